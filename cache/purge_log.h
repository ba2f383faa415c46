/* SPDX-License-Identifier: BSD-2-Clause */
/* purge_log.h - the file in which purges outlive a crash.
 *
 * Records, one after the other, each with a keyed checksum of its own:
 *
 *     purges.log       check | magic | bytes | seq | durable | kind ... | tag | text
 *     purges.log.new   the same, being written anew without what is dead
 *
 * What cannot be read is passed over. After a crash that is the end of what
 * nobody was told to be durable. But each record says how much of the file was
 * durable before it, so damage to more than that is noticed: then everything
 * has to be taken as purged.
 *
 * A log is one thread's own. All of this waits for the disk.
 */
#ifndef BASCULE_CACHE_PURGE_LOG_H
#define BASCULE_CACHE_PURGE_LOG_H

#include "cache/purge.h"

#define PURGE_TEXT_MAX 8192u /* of a prefix */
#define PURGE_RECORD_MAX (64u + PURGE_TEXT_MAX)

struct purge_record {
    uint64_t seq;
    uint64_t durable;     /* bytes of the file that were so before it was written */
    enum purge_kind kind;
    bool is_soft;
    uint64_t tag;         /* of all kinds but PREFIX */
    struct slice text;    /* PREFIX; borrowed */
};

/* Writes the record's bytes, at most PURGE_RECORD_MAX, a multiple of 8. */
size_t purge_record_write(const struct purge_record *record, const struct hash_key *key, char *out);
size_t purge_record_bytes(const struct purge_record *record);

/* Reads records out of any bytes. */
struct purge_reader {
    const struct hash_key *key;
    struct slice rest;      /* not read yet */
    bool is_last;           /* nothing follows rest */
    uint64_t at;            /* where rest is in the file */
    uint64_t damaged_bytes; /* passed over */
    uint64_t damaged_at;    /* first of them */
    uint64_t durable;       /* greatest that a record said */
};

/* The next record that is whole; its text is borrowed from rest. False: there
 * is none, or more has to be put behind what is left of rest. */
bool purge_reader_next(struct purge_reader *reader, struct purge_record *record);

/* Whether some of the damage is to what was durable. */
bool purge_reader_lost(const struct purge_reader *reader);

/* ---- the file */

struct purge_log {
    const struct hash_key *key;
    int folder_fd, fd;   /* fd -1: no file, or not to be trusted: it has to be begun anew */
    int new_fd;          /* of purges.log.new, else -1 */
    int error;           /* errno of what failed since; nothing more is written then */
    uint64_t bytes;      /* of the file that is written to */
    uint64_t durable;    /* of these, before what was put since */
    char *block;         /* bytes not written yet */
    size_t block_used;
};

/* Opens the folder and calls each for all records of its log, if there is one.
 * *lost: durable ones are missing. 0, or -1 with err; then there is nothing to close. */
int purge_log_open(struct purge_log *log, const char *folder, const struct hash_key *key,
                   void (*each)(void *arg, const struct purge_record *record), void *arg,
                   bool *lost, struct err *err);
void purge_log_close(struct purge_log *log);

/* Begins a new file; what is put then goes there. */
void purge_log_begin_anew(struct purge_log *log);

/* Puts a record at the end. Errors are kept for purge_log_sync(). */
void purge_log_put(struct purge_log *log, const struct purge_record *record);

/* Makes durable what was put; a new file takes the place of the old one. 0, or an
 * errno: the log has to be begun anew. */
int purge_log_sync(struct purge_log *log);

/* Whether nothing can be put before it is begun anew. */
static inline bool
purge_log_is_broken(const struct purge_log *log)
{
    return log->fd < 0;
}

#endif
