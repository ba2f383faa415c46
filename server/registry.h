/* SPDX-License-Identifier: BSD-2-Clause */
/* registry.h - what outlives a snapshot: objects found by their identity.
 *
 * A new snapshot adopts the object of the same kind and identity, so that
 * state (what is down, how many exchanges run, an open log) survives a reload.
 * Process-wide, for any thread. Finding an object and giving up its last
 * reference take a lock; neither happens on the way of an exchange.
 */
#ifndef BASCULE_REGISTRY_H
#define BASCULE_REGISTRY_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "server/base/err.h"

struct registered;

/* Both hooks are called under the registry's lock and must not call it. */
struct registry_kind {
    const char *name;
    /* A new object, with whatever it needs taken from conf. NULL with err. */
    struct registered *(*make)(const void *conf, struct err *err);
    void (*free)(struct registered *object);
};

/* Embedded in every object. */
struct registered {
    const struct registry_kind *kind;
    struct registered *next; /* of its bucket */
    char *identity;
    uint64_t hash;
    _Atomic unsigned references;
};

/* The object of this kind and identity, made from conf when there is none yet.
 * Counts a reference for the caller. Copies identity. NULL with err. */
struct registered *registry_adopt(const struct registry_kind *kind, const char *identity,
                                  const void *conf, struct err *err) MUST_USE;

/* One more reference, for someone who already has one. Never locks. */
struct registered *registered_ref(struct registered *object);

/* The same for someone who only knows that the object is not freed yet, because
 * its kind's free hook would wait for a lock that is held. False: nobody has a
 * reference any more. */
bool registered_try_ref(struct registered *object) MUST_USE;

/* Gives a reference back; the last one frees the object. NULL is fine. */
void registered_unref(struct registered *object);

/* Objects of a kind, or of all kinds (NULL). For status and tests. */
size_t registry_count(const struct registry_kind *kind);

#endif
