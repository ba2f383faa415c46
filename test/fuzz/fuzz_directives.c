/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_directives.c - any lines as Cache-Control, CDN-Cache-Control and Pragma,
 * and what follows from them for freshness and storing.
 *
 * Each line of the input is a field: "c", "d", "p", "a", "e" or another letter
 * for its name, then its value. Numbers stay within bounds, what forbids is
 * never lost by adding a line of Cache-Control, and judging never fails.
 */
#include "config.h"

#include "cache/storable.h"

#include "server/base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define NOW INT64_C(1767225600)
#define FORBIDS                                                                                    \
    (DIRECTIVE_NO_STORE | DIRECTIVE_NO_CACHE | DIRECTIVE_PRIVATE | DIRECTIVE_MUST_REVALIDATE |     \
     DIRECTIVE_PROXY_REVALIDATE)

static enum field_id
id_of(char letter)
{
    switch (letter) {
    case 'c': return FIELD_CACHE_CONTROL;
    case 'd': return FIELD_CDN_CACHE_CONTROL;
    case 'p': return FIELD_PRAGMA;
    case 'a': return FIELD_AGE;
    case 'e': return FIELD_EXPIRES;
    case 'l': return FIELD_LAST_MODIFIED;
    case 'v': return FIELD_VARY;
    }
    return FIELD_DATE;
}

static void
add_lines(struct fields *fields, struct arena *arena, struct slice text)
{
    while (text.bytes > 0) {
        ptrdiff_t feed = slice_find(text, '\n');
        size_t length = feed >= 0 ? (size_t)feed : text.bytes;

        if (length > 0)
            fields_add(fields, arena, id_of(text.data[0]),
                       slice_make(text.data + 1, length - 1));
        text = slice_skip(text, length + 1);
    }
}

static void
check_bounds(const struct directives *d)
{
    must(d->max_age_s <= DELTA_MAX && d->s_maxage_s <= DELTA_MAX && d->min_fresh_s <= DELTA_MAX);
    must(d->max_stale_s <= DELTA_MAX && d->stale_while_revalidate_s <= DELTA_MAX);
    must(d->stale_if_error_s <= DELTA_MAX);
}

static void
check_use(const struct fields *fields, const struct directives *request,
          const struct directives *response)
{
    static const struct lifetime_conf conf = { .heuristic_max_s = 600, .stale_if_error_s = 60 };
    struct lifetime lifetime;
    struct storable_question question = {
        .method = METHOD_GET, .status = 200, .request_fields = fields, .response_fields = fields,
        .request = request, .response = response, .lifetime = &lifetime,
    };

    lifetime_of_response(&lifetime, 200, fields, response, &conf, NOW - 1, NOW);
    must(lifetime.fresh_s <= DELTA_MAX && lifetime.initial_age_s <= DELTA_MAX);
    for (int64_t now_s = NOW - 1; now_s < NOW + 5000; now_s += 1000) {
        enum staleness staleness = lifetime_staleness(&lifetime, request, &conf, now_s);

        must(lifetime_age(&lifetime, now_s) <= DELTA_MAX);
        must((staleness == FRESH) == lifetime_is_enough(&lifetime, request, now_s));
        must(!lifetime.always_validate || staleness == STALE);
    }
    must(storable_text(storable_judge(&question)).bytes > 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct directives request, response, more;
    struct fields fields = { 0 };
    struct arena arena;

    arena_init(&arena, NULL, 4096 + bytes * 8 * sizeof(struct field));
    add_lines(&fields, &arena, slice_make((const char *)data, bytes));
    directives_of_request(&request, &fields);
    directives_of_response(&response, &fields);
    check_bounds(&request);
    check_bounds(&response);
    check_use(&fields, &request, &response);
    fields_add(&fields, &arena, FIELD_CACHE_CONTROL, SLICE("public, max-age=3600, immutable"));
    directives_of_response(&more, &fields);
    must((response.present & FORBIDS & ~more.present) == 0);
    must(!directives_has(&response, DIRECTIVE_MAX_AGE) || more.max_age_s <= response.max_age_s);
    arena_fini(&arena);
    return 0;
}
