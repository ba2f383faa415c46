/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_credentials.c - any bytes as the value of Authorization.
 *
 * What is read from Basic is what would be written; names are fit to be logged; lists of
 * parameters come to an end.
 */
#include "config.h"

#include "server/users/digest_fields.h"

#include "server/base/base64.h"
#include "server/base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static void
check_basic(struct slice value, struct arena *arena)
{
    struct slice name, password, rest, pair;

    if (basic_parse(value, arena, &name, &password) != CREDENTIALS_GOOD)
        return;
    must(user_name_is_good(name) && slice_find(name, ':') < 0);
    must(password.bytes <= PASSWORD_BYTES_MAX && strlen(password.data) == password.bytes);
    must(credentials_are(value, SLICE("Basic"), &rest));
    pair = arena_printf(arena, "%.*s:%.*s", SLICE_ARG(name), SLICE_ARG(password));
    must(slice_equal(base64_encode(arena, pair), rest));
}

static void
check_digest(struct slice value, struct arena *arena)
{
    struct digest_fields fields;

    if (digest_parse(value, arena, &fields) != CREDENTIALS_GOOD)
        return;
    must(user_name_is_good(fields.username));
    must(fields.count > 0 && fields.nc.bytes == 8 && fields.nonce.bytes > 0);
    must(fields.uri.bytes > 0 && fields.response.bytes > 0 && fields.cnonce.bytes > 0);
}

static void
check_list(struct slice list, struct arena *arena)
{
    struct slice name, value;
    size_t left = list.bytes;

    while (credentials_next(&list, arena, &name, &value) == CREDENTIALS_GOOD) {
        must(name.bytes > 0 && value.data != NULL);
        must(list.bytes < left && name.bytes + value.bytes < left - list.bytes);
        left = list.bytes;
    }
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct slice value = slice_make((const char *)data, bytes);
    struct arena arena;

    arena_init(&arena, NULL, 16 * bytes + 64 * BLOCK_BYTES);
    check_basic(value, &arena);
    check_digest(value, &arena);
    check_list(value, &arena);
    arena_fini(&arena);
    return 0;
}
