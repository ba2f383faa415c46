/* SPDX-License-Identifier: BSD-2-Clause */
/* ban_inside.h - what the files of ban_table share. */
#ifndef BASCULE_BAN_INSIDE_H
#define BASCULE_BAN_INSIDE_H

#include "server/policy/ban_table.h"
#include "server/registry.h"

#include <pthread.h>

#define BAN_LOCKS 64

struct ban_bucket;
struct ban_detail;

struct ban_table {
    struct registered registered; /* identity: all that decides keys and memory */
    struct ban_bucket *buckets;
    struct ban_detail *details;   /* of each slot of each bucket */
    uint32_t bucket_count;
    pthread_mutex_t locks[BAN_LOCKS]; /* guard details, and writing to buckets */
    _Atomic uint64_t bans, lifted, evicted;
    _Atomic uint64_t changes;     /* of what would be saved */
    _Atomic unsigned tarpits;
    char *name, *path;            /* path NULL: it is not saved */

    /* ban_save.c: a thread of its own, as disks may be slow. */
    pthread_t saver;
    pthread_mutex_t saver_lock;   /* guards the next three */
    pthread_cond_t saver_wake;
    bool has_saver, is_stopping;
    bool is_orphan;               /* the saver frees the table */
    struct ban_table *older;      /* of those that are saved; ban_save.c guards these */
    uint64_t saved;               /* of changes */
    bool is_failing;
};

/* Frees memory; nobody uses the table any more. */
void ban_table_discard(struct ban_table *table);

/* ---- ban_save.c */

/* Puts into the table what is in its file; then writes it whenever something changed. conf is
 * used until it returns. 0, or -1 with err: the thread cannot be started. */
int ban_save_start(struct ban_table *table, const struct ban_conf *conf, struct err *err);

/* Writes what is not saved yet, and frees the table: a worker thread does not wait for it. */
void ban_save_stop(struct ban_table *table);

/* ---- ban_record.c */

/* One ban as a JSON object and a line feed. */
void ban_record_write(FILE *out, const char *table, const struct ban_record *record);

/* Reads one, from a file or a command, and bans by it. *is_set: it is not over yet. 0, or -1
 * with err. */
int ban_record_read(struct slice line, const struct ban_conf *conf, uint64_t now_ms,
                    bool *is_set, struct err *err);

/* Its member "table"; data NULL: there is none. Copied into arena. */
struct slice ban_record_table(struct slice line, struct arena *arena);

#endif
