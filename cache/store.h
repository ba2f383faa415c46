/* SPDX-License-Identifier: BSD-2-Clause */
/* store.h - where objects are kept: memory, disk, and what was purged, under one name.
 *
 * Lives in the registry by its name and path, so reloads keep it, whatever its
 * size is changed to. Any thread may use it; nothing here waits, but for
 * store_adopt() and stores_wait_closed().
 */
#ifndef BASCULE_CACHE_STORE_H
#define BASCULE_CACHE_STORE_H

#include "cache/disk.h"
#include "cache/fill.h"
#include "cache/memory.h"
#include "cache/purge.h"

struct hash_key;
struct store;
struct store_conf;

/* The store of this name and path, made by conf when there is none yet; otherwise as
 * it is. NULL with err. Main thread. */
struct store *store_adopt(const struct store_conf *conf, struct err *err);

/* Takes over what conf says of sizes and limits. */
void store_set_conf(struct store *store, const struct store_conf *conf);

struct store *store_ref(struct store *store);

/* The last reference closes it, behind the caller's back. NULL is fine. */
void store_unref(struct store *store);

/* Waits until those that are closing are closed: before the process ends. */
void stores_wait_closed(void);

const char *store_name(const struct store *store);
struct disk *store_disk(struct store *store); /* NULL: memory only */
struct purges *store_purges(struct store *store);
struct fills *store_fills(struct store *store);
struct memory *store_memory(struct store *store);

/* By which keys and tags are hashed. */
const struct hash_key *store_key(const struct store *store);
uint64_t store_hash(const struct store *store, struct slice key);

/* The present place in the sequence of purges: taken when a fetch begins. */
uint64_t store_seq(struct store *store);

/* A generation for a primary object: no other has it. */
uint64_t store_new_generation(struct store *store);

/* The object under key if it is in memory; counted. NULL: it is not. */
struct object *store_find(struct store *store, uint64_t hash, struct slice key);

/* Whether it is worth asking the disk: cheap. */
bool store_may_have(const struct store *store, uint64_t hash);

/* Has the disk looked at, by disk_find(). False: not there either. What on_found
 * brings goes to store_found(). */
bool store_ask(struct store *store, struct disk_query *query) MUST_USE;

/* Keeps what was found on disk in memory too. Borrows it. */
void store_found(struct store *store, struct object *object);

/* The site of this name (a forward listener, for what belongs to none) may take so
 * much of the disk; 0: no limit of its own. */
void store_set_quota(struct store *store, struct slice site, uint64_t max_bytes);

/* Room for content on its way into memory: a quarter of what the store may have
 * there, for all fetches together. False: there is none; nothing is reserved. */
bool store_reserve(struct store *store, uint64_t bytes) MUST_USE;
void store_unreserve(struct store *store, uint64_t bytes);

/* Remembers for a few seconds that the answer for this key could not be shared:
 * who asks next does not wait for others. */
void store_pass(struct store *store, uint64_t hash, int64_t now_s);
bool store_is_passed(const struct store *store, uint64_t hash, int64_t now_s);

/* Whether a purge concerns object; after PURGE_HARD it is in no tier any more. */
enum purge_verdict store_judge(struct store *store, struct object *object);

/* Keeps object, in the tiers that take it, in place of what is under its key.
 * Counts references of its own. */
void store_put(struct store *store, struct object *object);

/* Forgets what is under the key, and what is about to come there. */
void store_forget(struct store *store, uint64_t hash, struct slice key);

#endif
