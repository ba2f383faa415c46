/* SPDX-License-Identifier: BSD-2-Clause */
/* declared.h - what the supervisor remembers of a generation: enough to hand
 * it to another worker process, but not its snapshot, which may be large.
 */
#ifndef BASCULE_DECLARED_H
#define BASCULE_DECLARED_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/err.h"
#include "server/log/sink.h"

struct conf;
struct config_source;

struct declared {
    uint64_t generation; /* 0: none */
    int text_fd;         /* a memfd with the packed configuration; -1: none */
    uint32_t stop_ms;
    char log_path[SINK_IDENTITY_BYTES]; /* of the error log; empty: not a file */
    char **paths;        /* of files to read; sorted, each once */
    size_t path_count;
    bool wants_local;    /* a certificate of the local CA */
};

/* Remembers a configuration that was read from source. 0 or -1. */
int declared_set(struct declared *declared, uint64_t generation, const struct config_source *source,
                 const struct conf *conf, struct err *err);

/* Closes what it holds. Harmless when it is empty, not when it was never. */
void declared_forget(struct declared *declared);

/* Whether the configuration names this path, letter by letter, as a file to read:
 * a certificate, a key and the like. */
bool declared_names(const struct declared *declared, const char *path);

/* Makes stderr the error log, if that is a file: what goes wrong after the
 * start belongs there, also what a worker process says in its last moment. */
void declared_follow_log(const struct declared *declared);

#endif
