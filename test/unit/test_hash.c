/* SPDX-License-Identifier: BSD-2-Clause */
/* test_hash.c - hashes are SipHash-1-3, and fold case when asked to. */
#include "config.h"

#include "server/base/hash.h"

#include <CUnit/CUnit.h>

#include "server/base/must.h"

void suite_hash(void);

/* Key 0, checked against CPython's siphash13 (PYTHONHASHSEED=0). */
static void
agrees_with_another_implementation(void)
{
    static const struct {
        const char *text;
        int64_t hash;
    } known[] = {
        { "a", 4644417185603328019 },
        { "abcdefg", 7904145750247929094 },
        { "abcdefgh", 4574395652268504554 },
        { "hello world, sixteen+", 8843870803815674202 },
    };
    struct hash_key key = { { 0, 0 } };

    for (size_t i = 0; i < ARRAY_COUNT(known); i++)
        CU_ASSERT_EQUAL((int64_t)hash_bytes(slice_of(known[i].text), &key), known[i].hash);
}

static void
depends_on_the_key(void)
{
    struct hash_key a, b;

    hash_key_random(&a);
    hash_key_random(&b);
    CU_ASSERT_NOT_EQUAL(hash_bytes(SLICE("www.example.com"), &a),
                        hash_bytes(SLICE("www.example.com"), &b));
}

/* All 256 byte values at each of 17 positions: only A to Z are folded. */
static void
folds_ascii_letters_and_nothing_else(void)
{
    struct hash_key key = { { 1, 2 } };
    char given[17], lower[17];

    for (unsigned byte = 0; byte < 256; byte++) {
        for (size_t at = 0; at < sizeof(given); at++) {
            memset(given, 'x', sizeof(given));
            given[at] = (char)byte;
            for (size_t i = 0; i < sizeof(given); i++)
                lower[i] = ascii_lower(given[i]);
            CU_ASSERT_EQUAL(hash_bytes_nocase(slice_make(given, sizeof(given)), &key),
                            hash_bytes(slice_make(lower, sizeof(lower)), &key));
        }
    }
}

static void
tells_lengths_apart(void)
{
    struct hash_key key = { { 3, 4 } };
    static const char zeros[20];

    for (size_t i = 0; i < sizeof(zeros); i++)
        for (size_t j = 0; j < i; j++)
            CU_ASSERT_NOT_EQUAL(hash_bytes(slice_make(zeros, i), &key),
                                hash_bytes(slice_make(zeros, j), &key));
    CU_ASSERT_EQUAL(hash_bytes(slice_make(NULL, 0), &key), hash_bytes(SLICE(""), &key));
}

void
suite_hash(void)
{
    CU_pSuite s = CU_add_suite("hash", NULL, NULL);

    CU_add_test(s, "agrees with another implementation", agrees_with_another_implementation);
    CU_add_test(s, "depends on the key", depends_on_the_key);
    CU_add_test(s, "folds ASCII letters and nothing else", folds_ascii_letters_and_nothing_else);
    CU_add_test(s, "tells lengths apart", tells_lengths_apart);
}
