/* SPDX-License-Identifier: BSD-2-Clause */
/* hash.h - keyed hashing, for tables whose keys strangers may choose.
 *
 * SipHash-1-3: without the key nobody can prepare names that all fall into
 * one bucket. Keys are random, so a hash on disk means
 * something only beside its key (cache/store.c keeps one there).
 */
#ifndef BASCULE_HASH_H
#define BASCULE_HASH_H

#include <stdint.h>

#include "server/base/slice.h"

struct hash_key {
    uint64_t half[2];
};

/* Fills the key from the kernel's random source. */
void hash_key_random(struct hash_key *key);

/* 64 bits that depend on every byte of s and of the key. */
uint64_t hash_bytes(struct slice s, const struct hash_key *key);

/* The same as hash_bytes() of s with its ASCII letters in lower case. */
uint64_t hash_bytes_nocase(struct slice s, const struct hash_key *key);

#endif
