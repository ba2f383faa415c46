/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_tracking.c - any bytes as a URL with parameters that track, and as a cookie.
 *
 * What is left is no longer, begins with the same path, and has nothing more to strip.
 */
#include "config.h"

#include "filters/anonymity_cookies.h"
#include "filters/tracking.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct slice text = { (const char *)data, bytes }, once, twice;
    struct slice names[] = { SLICE("x_*"), SLICE("ref") };
    struct strings more = { names, ARRAY_COUNT(names) };
    ptrdiff_t mark = slice_find(text, '?');
    struct arena arena;

    arena_init(&arena, NULL, bytes * 4 + 64 * BLOCK_BYTES);
    once = tracking_strip(text, &more, &arena);
    twice = tracking_strip(once, &more, &arena);
    must(once.bytes <= text.bytes);
    must(twice.data == once.data && twice.bytes == once.bytes);
    must(mark < 0 || slice_starts_with(once, slice_make(text.data, (size_t)mark)));
    once = cookies_for_session(text, 1700000000, &arena);
    must(once.bytes <= text.bytes);
    (void)cookies_is_same_site(text, once);
    arena_fini(&arena);
    return 0;
}
