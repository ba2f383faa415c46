/* SPDX-License-Identifier: BSD-2-Clause */
/* password_hash.c - crypt(3), and what is asked of it. */
#include "config.h"

#include "server/users/password_hash.h"

#include "server/users/apr1.h"

#include <crypt.h>
#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>

#define BCRYPT_COST_MAX 16        /* several seconds: no login should take longer */
#define SHA_ROUNDS_MAX 10000000u
#define QUEUE_MAX 128 /* some seconds: who waits longer gives up */

struct job_pool password_hash_pool = JOB_POOL_INIT("bascule-hash", 0, QUEUE_MAX, true);

static _Atomic uint64_t hashes;

/* ---- what a hash looks like */

/* Whether the next count bytes are of the alphabet of crypt(3), which they all share. */
static bool
take_hash64(struct slice *text, size_t count)
{
    static const char letters[] =
        "./0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";

    if (text->bytes < count)
        return false;
    for (size_t i = 0; i < count; i++)
        if (text->data[i] == '\0' || strchr(letters, text->data[i]) == NULL)
            return false;
    *text = slice_skip(*text, count);
    return true;
}

/* A part of 1 to max bytes of the alphabet, up to "$", which goes too. */
static bool
take_part(struct slice *text, size_t max)
{
    ptrdiff_t end = slice_find(*text, '$');

    if (end < 1 || (size_t)end > max || !take_hash64(text, (size_t)end))
        return false;
    *text = slice_skip(*text, 1);
    return true;
}

/* "12$", then salt and hash. */
static int
check_bcrypt(struct slice rest, struct err *err)
{
    uint64_t cost;

    if (rest.bytes != 56 || rest.data[2] != '$' ||
        !slice_to_u64(slice_make(rest.data, 2), 99, &cost) || cost < 4)
        return err_set(err, "is no whole bcrypt hash");
    if (cost > BCRYPT_COST_MAX)
        return err_set(err, "bcrypt cost %u would take minutes: at most %d is accepted",
                       (unsigned)cost, BCRYPT_COST_MAX);
    rest = slice_skip(rest, 3);
    return take_hash64(&rest, 53) ? 0 : err_set(err, "is no whole bcrypt hash");
}

static int
take_rounds(struct slice *rest, struct err *err)
{
    const struct slice word = SLICE("rounds=");
    uint64_t rounds;
    ptrdiff_t end;

    if (!slice_starts_with(*rest, word))
        return 0;
    *rest = slice_skip(*rest, word.bytes);
    end = slice_find(*rest, '$');
    if (end < 1 || !slice_to_u64(slice_make(rest->data, (size_t)end), 999999999, &rounds))
        return err_set(err, "is no whole SHA-crypt hash");
    if (rounds > SHA_ROUNDS_MAX)
        return err_set(err, "SHA-crypt with %u rounds would take minutes: at most %u are "
                            "accepted", (unsigned)rounds, SHA_ROUNDS_MAX);
    *rest = slice_skip(*rest, (size_t)end + 1);
    return 0;
}

static int
check_sha(struct slice rest, size_t bytes, struct err *err)
{
    if (take_rounds(&rest, err) < 0)
        return -1;
    if (!take_part(&rest, 16) || !take_hash64(&rest, bytes) || rest.bytes > 0)
        return err_set(err, "is no whole SHA-crypt hash");
    return 0;
}

static int
check_sha256(struct slice rest, struct err *err)
{
    return check_sha(rest, 43, err);
}

static int
check_sha512(struct slice rest, struct err *err)
{
    return check_sha(rest, 86, err);
}

static int
check_yescrypt(struct slice rest, struct err *err)
{
    if (!take_part(&rest, 16) || !take_part(&rest, 86) || !take_hash64(&rest, 43) ||
        rest.bytes > 0)
        return err_set(err, "is no whole yescrypt hash");
    return 0;
}

static int
check_apr1(struct slice rest, struct err *err)
{
    if (!take_part(&rest, APR1_SALT_BYTES_MAX) || !take_hash64(&rest, 22) || rest.bytes > 0)
        return err_set(err, "is no whole hash of Apache's MD5");
    return 0;
}

static const struct hash_kind {
    struct slice prefix;
    int (*check)(struct slice rest, struct err *err);
} kinds[] = {
    { SLICE_INIT("$2y$"), check_bcrypt }, { SLICE_INIT("$2b$"), check_bcrypt },
    { SLICE_INIT("$2a$"), check_bcrypt }, { SLICE_INIT("$y$"), check_yescrypt },
    { SLICE_INIT("$6$"), check_sha512 },  { SLICE_INIT("$5$"), check_sha256 },
    { SLICE_INIT(APR1_PREFIX), check_apr1 },
};

int
password_hash_check(struct slice hash, struct err *err)
{
    for (size_t i = 0; i < ARRAY_COUNT(kinds); i++)
        if (slice_starts_with(hash, kinds[i].prefix))
            return kinds[i].check(slice_skip(hash, kinds[i].prefix.bytes), err);
    return err_set(err, "%s is not accepted; accepted are bcrypt (htpasswd -B), yescrypt, "
                        "SHA-crypt ($5$, $6$) and Apache's MD5 ($apr1$)",
                   slice_starts_with(hash, SLICE("{SHA}"))
                       ? "SHA-1 without a salt"
                       : "this kind of hash, or a password that is not hashed,");
}

/* ---- hashing */

static enum password_match
compare(const char *hash, const char *made)
{
    size_t bytes = strlen(hash);

    if (made == NULL)
        return PASSWORD_NOT_HASHED;
    return strlen(made) == bytes && CRYPTO_memcmp(made, hash, bytes) == 0 ? PASSWORD_RIGHT
                                                                          : PASSWORD_WRONG;
}

static enum password_match
match_apr1(const char *hash, const char *password)
{
    char made[APR1_BYTES];

    return compare(hash, apr1_hash(made, hash, password) ? made : NULL);
}

enum password_match
password_hash_match(const char *hash, const char *password)
{
    enum password_match match;
    struct crypt_data *data;

    atomic_fetch_add(&hashes, 1);
    if (strncmp(hash, APR1_PREFIX, strlen(APR1_PREFIX)) == 0)
        return match_apr1(hash, password);
    data = calloc(1, sizeof(*data));
    if (data == NULL)
        return PASSWORD_NOT_HASHED;
    match = compare(hash, crypt_rn(password, hash, data, sizeof(*data)));
    OPENSSL_cleanse(data, sizeof(*data));
    free(data);
    return match;
}

uint64_t
password_hash_count(void)
{
    return atomic_load(&hashes);
}
