/* SPDX-License-Identifier: BSD-2-Clause */
/* time_zone.h - what clocks on walls show somewhere, from the system's database.
 *
 * Files are in the format of RFC 8536. No library fits: the C library knows one zone
 * at a time, by an environment variable, under a lock; others are large, or C++. Read
 * once, a zone may be asked by any thread.
 */
#ifndef BASCULE_TIME_ZONE_H
#define BASCULE_TIME_ZONE_H

#include "server/base/arena.h"
#include "server/base/err.h"

struct time_zone;

#define TIME_ZONE_NAME_BYTES 16

struct zone_offset {
    int32_t seconds;                 /* east of UTC */
    char name[TIME_ZONE_NAME_BYTES]; /* "CET" */
};

/* The zone of that name ("Europe/Berlin", "UTC"), in the arena. NULL: the system's own, UTC
 * if it has none. NULL with err, which names the nearest when there is no such zone. */
struct time_zone *time_zone_load(struct arena *arena, const char *name, struct err *err);

/* The same of a file's bytes, which are not kept. */
struct time_zone *time_zone_read(struct arena *arena, struct slice file, struct err *err);

/* What holds then (seconds since 1970). Lives as long as the zone. */
const struct zone_offset *time_zone_at(const struct time_zone *zone, int64_t now_s);

#endif
