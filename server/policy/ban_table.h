/* SPDX-License-Identifier: BSD-2-Clause */
/* ban_table.h - who is shut out for a time, and who is about to be.
 *
 *     bans = ( { name = "bad"; key = "client"; threshold = 10; window = "1m"; time = "10m"; } );
 *
 * A table lives in the registry, so that it survives reloads; it is bounded and shared by
 * all threads. Whether a key is banned is asked without a lock:
 *
 *     bucket   8 hashes | 8 times until which they are banned      (one look: two lines)
 *              8 details: text of the key, failures counted, times banned so far
 *
 * What changes is behind one of a few locks. Keys are known by 64 bits of a keyed hash. A key
 * is forgotten when neither its ban nor its failures count any more; in a full bucket what is
 * banned stays longest. Times are wall clock milliseconds, as bans outlive a restart.
 */
#ifndef BASCULE_BAN_TABLE_H
#define BASCULE_BAN_TABLE_H

#include <stdio.h>

#include "server/policy/limit_key.h"

struct ban_table;
struct conf;
struct prefix_set;

#define BAN_KEY_BYTES 120u  /* of a key's text; longer ones are known by their first bytes */
#define BAN_CAUSE_BYTES 32u /* of why; the end of longer ones is not kept */

struct ban_conf {
    struct place place;
    const char *name;
    struct limit_conf key;    /* name of the part, its bits; the rest is not used */
    struct limit_part part;
    int64_t threshold;
    uint32_t window_ms;
    uint32_t time_ms, max_time_ms;
    int64_t factor;
    int64_t max_keys;
    struct prefix_set *never; /* addresses of clients that are never banned; NULL: none */
    const char *save;         /* absolute path; NULL: bans end with the process */
    bool is_used;             /* by a filter, as bans_find() has seen */
    struct ban_table *table;  /* in the registry */
};

extern const struct option ban_options[];

/* Checks what is configured, beside the others of all. 0, or -1 with err. */
int ban_conf_finish(struct ban_conf *conf, const struct conf *all, struct err *err);

/* The table of that name, for finish hooks: it is used from then on. NULL with err, which names
 * the nearest one. */
const struct ban_conf *bans_find(const struct conf *all, const char *name, struct err *err);

/* Finds each table or makes it, with what was saved of it; all or none. */
int bans_adopt(struct conf *conf, struct err *err);
void bans_release(struct conf *conf);

/* ---- keys */

struct ban_key {
    uint64_t hash;
    struct slice bytes; /* borrowed, or in room: a key is not copied */
    bool is_client;     /* an address as limit_client_fact() writes it */
    char room[LIMIT_PART_ROOM];
};

/* The key of these facts. False: there is none (no user). */
bool ban_key_of(const struct ban_conf *conf, const struct facts *facts, struct ban_key *key);

/* The same of text: of an address, the network of conf's bits that it is in. Borrows text.
 * -1 with err: it is none. */
int ban_key_parse(const struct ban_conf *conf, struct slice text, struct ban_key *key,
                  struct err *err);

/* "192.0.2.1", "2001:db8::/64", or the bytes as they are. Returns the length. */
size_t ban_key_text(const struct ban_conf *conf, const struct ban_key *key,
                    char text[BAN_KEY_BYTES]);

/* ---- bans */

/* Until when the key is banned; 0: it is not at now_ms. Any thread, without a lock. */
uint64_t ban_until(const struct ban_table *table, uint64_t hash, uint64_t now_ms);

/* Whether the client may never be banned. */
bool ban_is_exempt(const struct ban_conf *conf, const struct ip *client);

/* Counts a failure of the key. cause: static words for `bascule ban list`. True: that was one
 * too many within window, and the key is banned from now on: for time, and for factor times
 * longer each time that it comes back to it within max_time. */
bool ban_count(const struct ban_conf *conf, const struct ban_key *key, uint64_t now_ms,
               const char *cause);

/* Bans until then, whatever was before. times: it was banned so often; 0: one more. */
void ban_set(const struct ban_conf *conf, const struct ban_key *key, uint64_t now_ms,
             uint64_t until_ms, unsigned times, struct slice cause);

/* Ends the ban and forgets what was counted. False: it was not banned. */
bool ban_lift(const struct ban_conf *conf, const struct ban_key *key, uint64_t now_ms);

/* One that is banned. Text is borrowed. */
struct ban_record {
    struct slice key, cause;
    uint64_t since_ms, until_ms;
    unsigned times;
};

/* Calls see for each that is banned at now_ms; it must not call anything here. */
void ban_each(const struct ban_table *table, uint64_t now_ms,
              void (*see)(void *arg, const struct ban_record *record), void *arg);

struct ban_facts {
    uint64_t banned; /* now */
    uint64_t bans, lifted;
    uint64_t evicted; /* bans that ended early, for others */
};

void ban_facts(const struct ban_table *table, uint64_t now_ms, struct ban_facts *facts);

/* ---- those who are held back while they are banned */

/* One more at a time, of most. False: there are too many. */
bool ban_tarpit_enter(struct ban_table *table, unsigned most);
void ban_tarpit_leave(struct ban_table *table);

struct ban_table *ban_table_ref(struct ban_table *table);
void ban_table_unref(struct ban_table *table);

#endif
