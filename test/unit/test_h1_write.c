/* SPDX-License-Identifier: BSD-2-Clause */
/* test_h1_write.c - whatever the form in which fields came, they leave in one. */
#include "config.h"

#include "server/http/h1_write.h"

#include "server/http/h1_parse.h"

#include <CUnit/CUnit.h>

#include "test/unit/suites.h"

static const struct h1_limits limits = { 1000, 4000, 32 };

/* Reads head as a request and writes it as one to upstream.test. */
static struct slice
pass(struct exchange *ex, const char *head, char *out, size_t room)
{
    struct h1_refusal refusal;

    *ex = (struct exchange){ 0 };
    arena_init(&ex->arena, NULL, 1 << 16);
    CU_ASSERT_EQUAL_FATAL(
        h1_parse_request(slice_of(head), &ex->arena, &limits, &ex->request, &refusal), 0);
    ex->out.target = ex->request.target;
    ex->out.authority = SLICE("upstream.test");
    return slice_make(out, h1_write_request(out, room, ex, H1_NO_BODY));
}

/* RFC 9112 section 5.1: a colon, one space; what framed the message, and what
 * belonged to the connection, is left out. */
static void
writes_every_line_in_one_form(void)
{
    static const char head[] = "GET /a HTTP/1.1\r\n"
                               "Accept: text/html\r\nX-A: 1\r\n"
                               "host: a.test\r\n"
                               "X-No-Space:2\r\nX-Tab:\t3\r\nX-Spaces:  4  \r\n"
                               "X-Empty:\r\nX-Blank: \r\n"
                               "X-B: 5\r\nX-C: 6\r\nKeep-Alive: 7\r\nX-D: 8\r\n\r\n";
    static const char wanted[] = "GET /a HTTP/1.1\r\nHost: upstream.test\r\n"
                                 "Accept: text/html\r\nX-A: 1\r\n"
                                 "X-No-Space: 2\r\nX-Tab: 3\r\nX-Spaces: 4\r\n"
                                 "X-Empty: \r\nX-Blank: \r\n"
                                 "X-B: 5\r\nX-C: 6\r\nX-D: 8\r\n\r\n";
    struct exchange ex;
    char out[1000];

    CU_ASSERT_TRUE(slice_equal(pass(&ex, head, out, sizeof(out)), slice_of(wanted)));
    arena_fini(&ex.arena);
}

static void
writes_lines_that_were_changed(void)
{
    static const char head[] = "GET /a HTTP/1.1\r\nHost: a.test\r\n"
                               "X-A: 1\r\nX-B: 2\r\nX-C: 3\r\nX-D: 4\r\nX-E: 5\r\n\r\n";
    static const char wanted[] = "GET /a HTTP/1.1\r\nHost: upstream.test\r\n"
                                 "X-A: 1\r\nX-C: other\r\nX-D: 4\r\nX-E: 5\r\nVia: 1.1 x\r\n\r\n";
    struct exchange ex;
    char out[1000];
    size_t bytes;

    pass(&ex, head, out, sizeof(out));
    fields_remove_name(&ex.request.fields, SLICE("X-B"));
    fields_set_name(&ex.request.fields, &ex.arena, SLICE("X-C"), SLICE("other"));
    fields_add(&ex.request.fields, &ex.arena, FIELD_VIA, SLICE("1.1 x"));
    bytes = h1_write_request(out, sizeof(out), &ex, H1_NO_BODY);
    CU_ASSERT_TRUE(slice_equal(slice_make(out, bytes), slice_of(wanted)));
    for (size_t room = 0; room < bytes; room++) /* never a head that was cut */
        CU_ASSERT_EQUAL(h1_write_request(out, room, &ex, H1_NO_BODY), 0);
    arena_fini(&ex.arena);
}

void
suite_h1_write(void)
{
    CU_pSuite s = CU_add_suite("h1_write", NULL, NULL);

    CU_add_test(s, "writes every line in one form", writes_every_line_in_one_form);
    CU_add_test(s, "writes lines that were changed", writes_lines_that_were_changed);
}
