/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_uri.c - any bytes as a URI, an authority, a host and a path.
 *
 * Parts lie within the whole and in their order; the normal form of a path is
 * its own normal form and no longer than the path.
 */
#include "config.h"

#include "server/http/uri.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

static bool
is_within(struct slice part, struct slice whole)
{
    return part.data >= whole.data && part.bytes <= whole.bytes &&
           (size_t)(part.data - whole.data) <= whole.bytes - part.bytes;
}

static void
check_authority(struct slice text, struct arena *arena)
{
    struct slice host, form;
    int port;

    if (uri_parse_authority(text, &host, &port) < 0)
        return;
    must(is_within(host, text) && host.bytes > 0);
    must(port == -1 || (port >= 1 && port <= 65535));
    form = uri_normal_host(host, arena);
    must(form.data != NULL && form.bytes > 0 && form.bytes <= host.bytes);
    must(slice_equal(uri_normal_host(form, arena), form));
    must(uri_host_is_odd_ip(form) == uri_host_is_odd_ip(host));
}

static void
check_absolute(struct slice text, struct arena *arena)
{
    struct slice scheme, authority, path, query;

    if (uri_parse_absolute(text, &scheme, &authority, &path, &query) < 0)
        return;
    must(scheme.data == text.data && scheme.bytes > 0);
    must(is_within(authority, text) && authority.data == scheme.data + scheme.bytes + 3);
    must(is_within(path, text) && path.data == authority.data + authority.bytes);
    must(query.data == NULL ||
         (is_within(query, text) && query.data == path.data + path.bytes + 1));
    must(scheme.bytes + 3 + authority.bytes + path.bytes +
             (query.data != NULL ? query.bytes + 1 : 0) == text.bytes);
    check_authority(authority, arena);
}

static void
check_path(struct slice path, struct arena *arena)
{
    struct slice form = uri_normal_path(path, arena), again;

    must(!arena_is_spent(arena));
    if (form.data == NULL)
        return;
    again = uri_normal_path(form, arena);
    must(again.data == form.data && again.bytes == form.bytes);
    must(form.bytes > 0 && form.bytes <= path.bytes);
    must(slice_equal(form, SLICE("*")) || form.data[0] == '/');
    must(memmem(form.data, form.bytes, "//", 2) == NULL);
    must(memmem(form.data, form.bytes, "/./", 3) == NULL);
    must(memmem(form.data, form.bytes, "/../", 4) == NULL);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct slice text = { (const char *)data, bytes };
    struct arena arena;

    arena_init(&arena, NULL, bytes * 8 + 64 * BLOCK_BYTES);
    check_authority(text, &arena);
    check_absolute(text, &arena);
    check_path(text, &arena);
    (void)uri_host_is_odd_ip(text);
    arena_fini(&arena);
    return 0;
}
