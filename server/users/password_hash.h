/* SPDX-License-Identifier: BSD-2-Clause */
/* password_hash.h - passwords as htpasswd files keep them: made to be slow. */
#ifndef BASCULE_PASSWORD_HASH_H
#define BASCULE_PASSWORD_HASH_H

#include "server/users/job_threads.h"
#include "server/base/err.h"
#include "server/base/slice.h"

/* Threads that hash. */
extern struct job_pool password_hash_pool;

/* Whether a hash is of a kind that is accepted and well-formed: bcrypt, yescrypt,
 * SHA-crypt, Apache's MD5. 0, or -1 with err. */
int password_hash_check(struct slice hash, struct err *err);

enum password_match { PASSWORD_RIGHT, PASSWORD_WRONG, PASSWORD_NOT_HASHED };

/* Hashes password as hash was and compares; takes a tenth of a second or so. Both end
 * with a NUL. NOT_HASHED: memory is short. */
enum password_match password_hash_match(const char *hash, const char *password);

/* How many were hashed so far. */
uint64_t password_hash_count(void);

#endif
