/* SPDX-License-Identifier: BSD-2-Clause */
/* test_base64.c - base64 both ways, and what is refused (RFC 4648). */
#include "config.h"

#include "server/base/base64.h"

#include <CUnit/CUnit.h>

void suite_base64(void);

static struct arena arena;

static int
set_up(void)
{
    arena_init(&arena, NULL, 1 << 20);
    return 0;
}

static int
tear_down(void)
{
    arena_fini(&arena);
    return 0;
}

/* RFC 4648 section 10: the test vectors. */
static const char *const vectors[][2] = {
    { "", "" },          { "f", "Zg==" },         { "fo", "Zm8=" },       { "foo", "Zm9v" },
    { "foob", "Zm9vYg==" }, { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" },
};

static void
encodes_the_vectors(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
        struct slice text = base64_encode(&arena, slice_of(vectors[i][0]));

        CU_ASSERT(slice_equal(text, slice_of(vectors[i][1])));
        CU_ASSERT_EQUAL(text.data[text.bytes], '\0');
    }
}

static void
decodes_the_vectors(void)
{
    for (size_t i = 0; i < ARRAY_COUNT(vectors); i++) {
        struct slice bytes;

        CU_ASSERT_EQUAL(base64_decode(&arena, slice_of(vectors[i][1]), &bytes), 0);
        CU_ASSERT(slice_equal(bytes, slice_of(vectors[i][0])));
    }
}

static void
keeps_every_byte(void)
{
    char all[259];
    struct slice back;

    for (size_t i = 0; i < sizeof(all); i++)
        all[i] = (char)(i * 7);
    for (size_t bytes = 0; bytes <= sizeof(all); bytes++) {
        struct slice text = base64_encode(&arena, slice_make(all, bytes));

        CU_ASSERT_EQUAL(text.bytes, (bytes + 2) / 3 * 4);
        CU_ASSERT_EQUAL(base64_decode(&arena, text, &back), 0);
        CU_ASSERT(slice_equal(back, slice_make(all, bytes)));
    }
}

/* Sections 3.1 to 3.5: no line breaks, padding required, no foreign
 * characters, pad bits zero. */
static void
refuses_all_but_the_one_encoding(void)
{
    static const char *const bad[] = {
        "Z",    "Zg",       "Zg=",  "Zm8",  "=",        "==",   "====",  "Zg===", "Zg==Zg==",
        "Z===", "Zm9v\n",   "Zm 9", "Zm9-", "Zm9_",     "Zh==", "Zm9=",  "=Zg=",  "Z=g=",
        "Zm9v=", "Zm9vZg=", "Zm\x80v", "Zm9v Zg==",
    };
    struct slice bytes;

    for (size_t i = 0; i < ARRAY_COUNT(bad); i++)
        CU_ASSERT_EQUAL(base64_decode(&arena, slice_of(bad[i]), &bytes), -1);
    CU_ASSERT_EQUAL(base64_decode(&arena, slice_make("Zm9\0", 4), &bytes), -1);
}

static void
is_empty_when_the_arena_is_spent(void)
{
    struct arena small;
    struct slice bytes;

    arena_init(&small, NULL, 8);
    CU_ASSERT_EQUAL(base64_encode(&small, SLICE("twelve bytes")).bytes, 0);
    CU_ASSERT(arena_is_spent(&small));
    CU_ASSERT_EQUAL(base64_decode(&small, SLICE("Zm9vYmFyZm9vYmFy"), &bytes), -1);
    arena_fini(&small);
}

void
suite_base64(void)
{
    CU_pSuite s = CU_add_suite("base64", set_up, tear_down);

    CU_add_test(s, "the vectors of RFC 4648 are encoded", encodes_the_vectors);
    CU_add_test(s, "the vectors of RFC 4648 are decoded", decodes_the_vectors);
    CU_add_test(s, "every byte and length survives", keeps_every_byte);
    CU_add_test(s, "all but the one encoding is refused", refuses_all_but_the_one_encoding);
    CU_add_test(s, "a spent arena gives nothing, and remembers", is_empty_when_the_arena_is_spent);
}
