/* SPDX-License-Identifier: BSD-2-Clause */
/* jwks.c - sets of keys: read, compared, searched. */
#include "config.h"

#include "server/users/jwks.h"

#include "server/base/arena.h"
#include "server/base/json_strict.h"
#include "server/users/jwk_read.h"

#include <openssl/err.h>
#include <stdatomic.h>
#include <stdlib.h>

#define DEPTH_MAX 8
#define ARENA_BYTES (4u * JWKS_BYTES_MAX)

/* ---- names */

const char *const jwt_algorithm_words[] = {
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", NULL,
};

enum jwt_algorithm
jwt_algorithm_named(struct slice name)
{
    unsigned i = 0;

    while (i < JWT_ALGORITHM_COUNT && !slice_equal(name, slice_of(jwt_algorithm_words[i])))
        i++;
    return (enum jwt_algorithm)i;
}

enum jwt_key_kind
jwt_algorithm_key_kind(enum jwt_algorithm algorithm)
{
    static const enum jwt_key_kind kinds[JWT_ALGORITHM_COUNT] = {
        [JWT_RS256] = JWT_KEY_RSA,  [JWT_RS384] = JWT_KEY_RSA,  [JWT_RS512] = JWT_KEY_RSA,
        [JWT_PS256] = JWT_KEY_RSA,  [JWT_PS384] = JWT_KEY_RSA,  [JWT_PS512] = JWT_KEY_RSA,
        [JWT_ES256] = JWT_KEY_P256, [JWT_ES384] = JWT_KEY_P384, [JWT_ES512] = JWT_KEY_P521,
        [JWT_EDDSA] = JWT_KEY_ED25519,
    };

    return kinds[algorithm];
}

/* ---- the set */

static bool
is_told_apart(const struct jwk *a, const struct jwk *b)
{
    return a->kind != b->kind || (a->kid.data == NULL) != (b->kid.data == NULL) ||
           !slice_equal(a->kid, b->kid) ||
           (a->kid.data == NULL && EVP_PKEY_eq(a->pkey, b->pkey) != 1);
}

static int
add_key(struct jwks *jwks, struct jwk *key, struct err *err)
{
    if (jwks->count == JWKS_KEYS_MAX)
        return err_set(err, "there are more than %d of them", JWKS_KEYS_MAX);
    for (unsigned i = 0; i < jwks->count; i++)
        if (!is_told_apart(&jwks->keys[i], key))
            return err_set(err, "another one of its type has the same \"kid\"");
    jwks->keys[jwks->count++] = *key;
    *key = (struct jwk){ .pkey = NULL };
    return 0;
}

static int
read_keys(struct jwks *jwks, const json_t *list, struct arena *arena, struct err *err)
{
    const json_t *json;
    size_t i;

    json_array_foreach(list, i, json) {
        struct jwk key;
        int result = jwk_read(json, arena, &key, err);

        if (result == 1)
            result = add_key(jwks, &key, err);
        jwk_fini(&key);
        if (result < 0)
            return err_prefix(err, "key %zu: ", i + 1);
    }
    if (jwks->count == 0)
        return err_set(err, "has no key that could verify a token: RSA, EC (P-256, P-384, P-521) "
                            "and OKP (Ed25519) keys would be accepted");
    return 0;
}

static struct jwks *
new_set(void)
{
    static _Atomic uint64_t last_id;
    struct jwks *jwks = calloc(1, sizeof(*jwks));

    if (jwks == NULL)
        return NULL;
    atomic_init(&jwks->references, 1);
    jwks->id = atomic_fetch_add(&last_id, 1) + 1;
    return jwks;
}

static struct jwks *
make_set(const json_t *root, struct err *err)
{
    const json_t *list = json_object_get(root, "keys");
    struct jwks *jwks;
    struct arena arena;
    int result;

    if (!json_is_array(list)) {
        err_set(err, "has no array \"keys\" (RFC 7517 section 5)");
        return NULL;
    }
    jwks = new_set();
    if (jwks == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    arena_init(&arena, NULL, ARENA_BYTES);
    result = read_keys(jwks, list, &arena, err);
    arena_fini(&arena);
    ERR_clear_error();
    if (result == 0)
        return jwks;
    jwks_unref(jwks);
    return NULL;
}

struct jwks *
jwks_parse(struct slice json, struct err *err)
{
    struct jwks *jwks;
    json_t *root;

    if (json.bytes > JWKS_BYTES_MAX) {
        err_set(err, "has more than %u bytes", JWKS_BYTES_MAX);
        return NULL;
    }
    root = json_strict_object(json, DEPTH_MAX, err);
    if (root == NULL)
        return NULL;
    jwks = make_set(root, err);
    json_decref(root);
    return jwks;
}

struct jwks *
jwks_ref(struct jwks *jwks)
{
    atomic_fetch_add_explicit(&jwks->references, 1, memory_order_relaxed);
    return jwks;
}

void
jwks_unref(struct jwks *jwks)
{
    if (jwks == NULL ||
        atomic_fetch_sub_explicit(&jwks->references, 1, memory_order_acq_rel) != 1)
        return;
    for (unsigned i = 0; i < jwks->count; i++)
        jwk_fini(&jwks->keys[i]);
    free(jwks);
}

bool
jwks_equal(const struct jwks *a, const struct jwks *b)
{
    if (a->count != b->count)
        return false;
    for (unsigned i = 0; i < a->count; i++) {
        const struct jwk *x = &a->keys[i], *y = &b->keys[i];

        if (x->kind != y->kind || x->algorithm != y->algorithm ||
            (x->kid.data == NULL) != (y->kid.data == NULL) || !slice_equal(x->kid, y->kid) ||
            EVP_PKEY_eq(x->pkey, y->pkey) != 1)
            return false;
    }
    return true;
}

static bool
fits(const struct jwk *key, enum jwt_algorithm algorithm)
{
    return key->kind == jwt_algorithm_key_kind(algorithm) &&
           (key->algorithm == JWT_ALGORITHM_COUNT || key->algorithm == algorithm);
}

/* Keys of different types may share a name (RFC 7517 section 4.5). */
enum jwks_finding
jwks_find(const struct jwks *jwks, struct slice kid, enum jwt_algorithm algorithm,
          const struct jwk **key)
{
    enum jwks_finding finding = JWKS_UNKNOWN;

    *key = NULL;
    if (jwks->count == 1 && (kid.data == NULL || jwks->keys[0].kid.data == NULL)) {
        *key = &jwks->keys[0];
        return fits(*key, algorithm) ? JWKS_FOUND : JWKS_MISMATCH;
    }
    if (kid.data == NULL)
        return JWKS_AMBIGUOUS;
    for (unsigned i = 0; i < jwks->count; i++) {
        if (jwks->keys[i].kid.data == NULL || !slice_equal(jwks->keys[i].kid, kid))
            continue;
        if (fits(&jwks->keys[i], algorithm)) {
            *key = &jwks->keys[i];
            return JWKS_FOUND;
        }
        finding = JWKS_MISMATCH;
    }
    return finding;
}
