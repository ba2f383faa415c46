/* SPDX-License-Identifier: BSD-2-Clause */
/* snapshot.h - one generation of the configuration, immutable once published.
 *
 * Holds descriptions only (struct conf) and references to what it adopted from
 * the registry. Counted by reference: each worker holds one for the current
 * generation, and one more while exchanges of an older one run.
 */
#ifndef BASCULE_SNAPSHOT_H
#define BASCULE_SNAPSHOT_H

#include "server/config/source.h"
#include "server/schema.h"

struct snapshot {
    struct arena arena; /* holds all of it */
    uint64_t generation;
    struct conf conf;
    _Atomic unsigned references;
};

/* Reads, checks and links a configuration: no side effects, usable for `check`.
 * NULL with err. The caller holds the only reference. */
struct snapshot *snapshot_new(const struct config_source *source, struct err *err);

/* Finds or makes in the registry what the snapshot describes: endpoints,
 * groups, access logs, listeners. Worker process only. */
int snapshot_adopt(struct snapshot *snapshot, struct err *err);

struct snapshot *snapshot_ref(struct snapshot *snapshot);

/* The last one gives back what was adopted and frees it. From any thread. NULL is fine. */
void snapshot_unref(struct snapshot *snapshot);

#endif
