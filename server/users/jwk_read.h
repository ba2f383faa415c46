/* SPDX-License-Identifier: BSD-2-Clause */
/* jwk_read.h - one public key, from JSON to OpenSSL's (RFC 7517 section 4). */
#ifndef BASCULE_JWK_READ_H
#define BASCULE_JWK_READ_H

#include <jansson.h>

#include "server/base/arena.h"
#include "server/users/jwks.h"

/* 1: *key is read, to be ended with jwk_fini(); 0: it is of no use here: for encryption, of
 * an unknown type; -1 with err: something is wrong with it. arena is for the work. */
int jwk_read(const json_t *json, struct arena *arena, struct jwk *key, struct err *err);

/* Twice is fine. */
void jwk_fini(struct jwk *key);

#endif
