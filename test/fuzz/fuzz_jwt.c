/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_jwt.c - any bytes as a set of keys (after "k"), as a token ("t"), as the claims of
 * one ("c"), and as header and claims, a line each, of one that is signed rightly ("s").
 *
 * A set that was read can be searched; only what was signed with its key is good; a name
 * or group that is handed out can be one.
 */
#include "config.h"

#include "server/base/base64url.h"
#include "server/base/json_strict.h"
#include "server/base/must.h"
#include "server/users/jwt.h"
#include "server/users/jwt_claims.h"

#include <openssl/err.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define NOW_S 1700000000
#define ARENA_BYTES ((size_t)4 << 20)

/* RFC 8037 appendix A.1: everybody knows it. */
static const unsigned char secret[32] = {
    0x9d, 0x61, 0xb1, 0x9d, 0xef, 0xfd, 0x5a, 0x60, 0xba, 0x84, 0x4a, 0xf4, 0x92, 0xec, 0x2c, 0xc4,
    0x44, 0x49, 0xc5, 0x69, 0x7b, 0x32, 0x69, 0x19, 0x70, 0x3b, 0xac, 0x03, 0x1c, 0xae, 0x7f, 0x60,
};

static const struct slice document = SLICE_INIT(
    "{\"keys\":[{\"kty\":\"OKP\",\"crv\":\"Ed25519\",\"kid\":\"k\","
    "\"x\":\"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo\"}]}");

/* Accepts what it can, so that much is read. */
static enum jwt_verdict
judge(const struct jwks *jwks, struct slice token)
{
    const struct jwt_rules rules = { .algorithms = (1u << JWT_ALGORITHM_COUNT) - 1,
                                     .leeway_s = 60 };
    struct jwt jwt;
    enum jwt_verdict verdict = jwt_verify(jwks, &rules, token, NOW_S, &jwt);

    must((verdict == JWT_GOOD) == (jwt.claims != NULL));
    must(jwt_verdict_text(verdict)[0] != '\0' && ERR_peek_error() == 0);
    jwt_fini(&jwt);
    return verdict;
}

static void
try_keys(struct slice json)
{
    struct jwks *jwks = jwks_parse(json, NULL);

    if (jwks == NULL)
        return;
    must(jwks->count > 0 && jwks->count <= JWKS_KEYS_MAX && jwks_equal(jwks, jwks));
    for (unsigned i = 0; i < jwks->count; i++)
        for (unsigned j = 0; j < JWT_ALGORITHM_COUNT; j++) {
            const struct jwk *key;

            if (jwks_find(jwks, jwks->keys[i].kid, j, &key) == JWKS_FOUND)
                must(key->kind == jwt_algorithm_key_kind(j));
        }
    (void)judge(jwks, SLICE("eyJhbGciOiJFZERTQSIsImtpZCI6ImsifQ.e30.AAAA"));
    jwks_unref(jwks);
}

static void
try_claims(struct slice json, struct arena *arena)
{
    static struct jwt_field_conf conf[] = { { .claim = "email", .field = "X-Email" },
                                            { .claim = "a.b", .field = "X-B" } };
    static void *items[] = { &conf[0], &conf[1] };
    const struct config_list fields = { items, ARRAY_COUNT(items) };
    json_t *claims = json_strict_object(json, 8, NULL);
    struct user user;

    if (claims == NULL)
        return;
    if (jwt_claims_read(claims, "sub", "groups", &fields, arena, &user)) {
        must(user_name_is_good(user.name) && user.group_count <= JWT_GROUPS_MAX);
        for (unsigned i = 0; i < user.group_count; i++)
            must(user_name_is_good(user.groups[i]));
        for (unsigned i = 0; i < user.field_count; i++)
            must(user_text_is_good(user.fields[i].value));
    }
    json_decref(claims);
}

static void
try_signed(const struct jwks *jwks, struct slice lines, struct arena *arena)
{
    ptrdiff_t end = slice_find(lines, '\n');
    struct slice header = end < 0 ? lines : slice_make(lines.data, (size_t)end);
    struct slice claims = end < 0 ? slice_make(NULL, 0) : slice_skip(lines, (size_t)end + 1);
    EVP_PKEY *key = EVP_PKEY_new_raw_private_key(EVP_PKEY_ED25519, NULL, secret, sizeof(secret));
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    unsigned char signature[64];
    size_t bytes = sizeof(signature);
    struct slice text = arena_printf(arena, "%s.%s", base64url_encode(arena, header).data,
                                     base64url_encode(arena, claims).data);

    must(EVP_DigestSignInit(context, NULL, NULL, NULL, key) == 1 &&
         EVP_DigestSign(context, signature, &bytes, (const unsigned char *)text.data,
                        text.bytes) == 1);
    must(judge(jwks, arena_printf(arena, "%s.%s", text.data,
                                  base64url_encode(arena, slice_make((char *)signature, bytes))
                                      .data)) != JWT_SIGNATURE_WRONG);
    EVP_MD_CTX_free(context);
    EVP_PKEY_free(key);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct slice rest = slice_skip(slice_make((const char *)data, bytes), 1);
    static struct jwks *jwks;
    struct arena arena;

    if (jwks == NULL)
        jwks = jwks_parse(document, NULL);
    must(jwks != NULL);
    if (bytes == 0 || bytes > JWKS_BYTES_MAX + 2)
        return 0;
    arena_init(&arena, NULL, ARENA_BYTES);
    if (data[0] == 'k')
        try_keys(rest);
    else if (data[0] == 't')
        (void)judge(jwks, rest);
    else if (data[0] == 'c')
        try_claims(rest, &arena);
    else if (data[0] == 's')
        try_signed(jwks, rest, &arena);
    arena_fini(&arena);
    return 0;
}
