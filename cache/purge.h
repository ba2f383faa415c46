/* SPDX-License-Identifier: BSD-2-Clause */
/* purge.h - what was purged, and since when.
 *
 * Purging looks for no objects. It takes the next number of the store's
 * sequence and writes down "everything with this tag up to that number"; an
 * object, which knows its tags and the number at which its fetch began, is
 * compared when it is next wanted. So a tag on a hundred thousand objects
 * costs as much as one on none.
 *
 * Four things can be purged: one URL, a tag (Cache-Tag, Surrogate-Key), a
 * site, all of which are tags of an object (purge_tag()), and all URLs that
 * begin with a prefix. Hard: the object is gone. Soft: it is stale.
 *
 * A purge is durable before it is acknowledged: it is appended to a log and
 * synced by a thread first. It is forgotten when no segment on disk and no
 * object in memory is as old. When the log turns out to be damaged in what was
 * durable, everything stored before counts as purged.
 */
#ifndef BASCULE_CACHE_PURGE_H
#define BASCULE_CACHE_PURGE_H

#include "cache/object.h"
#include "server/base/err.h"
#include "server/base/hash.h"
#include "server/net/loop.h"

struct purges;

enum purge_kind { PURGE_URL, PURGE_TAG, PURGE_SITE, PURGE_PREFIX };
enum purge_verdict { PURGE_NONE, PURGE_SOFT, PURGE_HARD };

/* A tag as objects carry it: its kind and text as 64 keyed bits. PURGE_TAG is
 * counted within a site: text is site, NUL, tag. */
uint64_t purge_tag(const struct hash_key *key, enum purge_kind kind, struct slice text);

/* Loads the log in folder path (NULL: nothing is durable) and starts a thread
 * that writes it. Copies key, which must be the one of the store's life. Raises
 * *next_seq beyond what the log holds, and to the wall clock's microseconds, so
 * that numbers go on even where a log was lost; purges take theirs there.
 * Limits: max_tags entries, max_prefixes. NULL with err. */
struct purges *purges_open(const char *path, const struct hash_key *key,
                           _Atomic uint64_t *next_seq, unsigned max_tags, unsigned max_prefixes,
                           struct err *err);

/* Adopts other limits while running; what is there already stays. */
void purges_set_limits(struct purges *purges, unsigned max_tags, unsigned max_prefixes);

/* Writes what waits, answers it (its loops must still be there), ends the thread.
 * NULL is fine. */
void purges_close(struct purges *purges);

/* Whether a purge concerns object. Cheap when nothing was purged since it was
 * last asked: two loads. Any thread. */
enum purge_verdict purges_judge(struct purges *purges, struct object *object);

/* The same for what is not an object in memory yet. */
enum purge_verdict purges_judge_tags(struct purges *purges, uint64_t seq, const uint64_t *tags,
                                     unsigned tag_count, struct slice url);

/* In effect at once; durable when purge->on_done is called on home's thread. */
struct purge {
    struct mail mail;
    struct loop *home;
    enum purge_kind kind;
    bool is_soft;
    struct slice text;      /* URL, prefix, site; tag: site, NUL, tag. Borrowed until on_done */
    uint64_t seq, tag;      /* its number, and what it is written down as: set by purges_add() */
    int error;              /* errno: it is in effect, but would not survive a crash */
    void (*on_done)(struct purge *purge);
    struct purge *next;
};

/* Takes purge until on_done, from any thread; waits for no disk. 0, or -1 with
 * err when a limit is reached: nothing was purged, on_done never comes. */
int purges_add(struct purges *purges, struct purge *purge, struct err *err) MUST_USE;

/* No object with a lower seq exists any more: forgets what concerned only those. */
void purges_forget_before(struct purges *purges, uint64_t seq);

struct purge_facts {
    uint64_t tags, prefixes; /* remembered */
    uint64_t purges;         /* since the start */
    uint64_t log_bytes, log_errors;
};
void purges_facts(struct purges *purges, struct purge_facts *facts);

#endif
