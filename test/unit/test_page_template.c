/* SPDX-License-Identifier: BSD-2-Clause */
/* test_page_template.c - error pages that an operator wrote. */
#include "config.h"

#include "server/http/page_template.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static struct arena arena;

static int
set_up(void)
{
    arena_init(&arena, NULL, 8 * 1024 * 1024);
    return 0;
}

static int
tear_down(void)
{
    arena_fini(&arena);
    return 0;
}

static struct page_facts
facts(void)
{
    return (struct page_facts){
        .status = 403,
        .why = "Games & <fun> are not for the office.",
        .rule = SLICE("no-games"),
        .id = 0x4d,
        .wall_ms = 1795295250123,
        .url = SLICE("http://games.example/?a=\"b\"&c='d'"),
        .host = SLICE("games.example"),
        .user = SLICE("ann"),
        .client = { .family = 4, .bytes = { 192, 0, 2, 7 } },
        .contact = "mailto:it@example.com",
    };
}

/* The page that text makes of the facts; NUL-terminated. */
static const char *
page(const char *text, const struct page_facts *facts)
{
    struct page_template *template;
    struct err err = { "" };
    unsigned line;

    template = page_template_new(&arena, slice_of(text), &line, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(template);
    return arena_copy(&arena, page_template_write(template, &arena, facts)).data;
}

/* The line of the mistake in text; 0: there is none. */
static unsigned
wrong_line(const char *text, const char *words)
{
    struct err err = { "" };
    unsigned line;

    if (page_template_new(&arena, slice_of(text), &line, &err) != NULL)
        return 0;
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, words));
    return line;
}

static void
every_name_has_a_value(void)
{
    const struct page_facts all = facts(), none = { .status = 502 };

    CU_ASSERT_STRING_EQUAL(page("%{status} %{reason}|%{rule}|%{id}|%{host}", &all),
                           "403 Forbidden|no-games|000000000000004d|games.example");
    CU_ASSERT_STRING_EQUAL(page("%{client_ip} %{user} %{time}", &all),
                           "192.0.2.7 ann 2026-11-21T21:07:30Z");
    CU_ASSERT_STRING_EQUAL(page("%{contact}", &all),
                           "mailto:it@example.com?subject=Please%20review%20000000000000004d");
    CU_ASSERT_STRING_EQUAL(page("[%{rule}%{url}%{host}%{user}%{contact}]", &none), "[]");
    CU_ASSERT_PTR_NOT_NULL(strstr(page("%{why}", &none), "could not be reached"));
    for (size_t i = 0; page_template_name(i) != NULL; i++)
        page(arena_printf(&arena, "%%{%s}", page_template_name(i)).data, &all);
}

static void
all_values_are_escaped(void)
{
    const struct page_facts all = facts();

    CU_ASSERT_STRING_EQUAL(page("<p>%{why}</p><a href=\"%{url}\">", &all),
                           "<p>Games &amp; &lt;fun&gt; are not for the office.</p>"
                           "<a href=\"http://games.example/?a=&quot;b&quot;&amp;c=&#39;d&#39;\">");
}

/* A value is not looked at again. */
static void
values_are_no_templates(void)
{
    struct page_facts all = facts();

    all.url = SLICE("http://x/%{user}%%");
    CU_ASSERT_STRING_EQUAL(page("%{url}", &all), "http://x/%{user}%%");
}

static void
percent_signs_of_style_sheets_stay(void)
{
    const struct page_facts all = facts();

    CU_ASSERT_STRING_EQUAL(page("width: 100%; height: 50% }", &all),
                           "width: 100%; height: 50% }");
    CU_ASSERT_STRING_EQUAL(page("100%%{status}%", &all), "100%{status}%");
    CU_ASSERT_STRING_EQUAL(page("%%%{status}%%", &all), "%403%");
    CU_ASSERT_STRING_EQUAL(page("", &all), "");
    CU_ASSERT_STRING_EQUAL(page("%", &all), "%");
}

static void
mistakes_are_told_with_their_line(void)
{
    CU_ASSERT_EQUAL(wrong_line("<p>\n\n%{stauts}</p>", "did you mean \"status\"?"), 3);
    CU_ASSERT_EQUAL(wrong_line("%{status}\n%{why", "not closed"), 2);
    CU_ASSERT_EQUAL(wrong_line("%{}", "unknown name"), 1);
}

static void
a_page_has_a_longest_length(void)
{
    char *text = malloc(PAGE_TEMPLATE_BYTES_MAX + 2);

    memset(text, 'x', PAGE_TEMPLATE_BYTES_MAX + 1);
    text[PAGE_TEMPLATE_BYTES_MAX + 1] = '\0';
    CU_ASSERT_EQUAL(wrong_line(text, "longer than 65536"), 1);
    text[PAGE_TEMPLATE_BYTES_MAX] = '\0';
    CU_ASSERT_EQUAL(wrong_line(text, ""), 0);
    free(text);
}

static void
memory_that_is_short_gives_no_half_page(void)
{
    struct page_template *template;
    const struct page_facts all = facts();
    struct arena small;
    struct err err;
    unsigned line;

    template = page_template_new(&arena, slice_of("%{url}%{url}%{url}"), &line, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(template);
    for (size_t bytes = 0; bytes < 512; bytes += 16) {
        arena_init(&small, NULL, bytes);
        if (page_template_write(template, &small, &all).bytes == 0)
            CU_ASSERT_TRUE(arena_is_spent(&small));
        arena_fini(&small);
    }
}

static void
a_file_is_read(void)
{
    char path[] = "/tmp/bascule-page-XXXXXX";
    int fd = mkstemp(path);
    const struct page_facts all = facts();
    struct page_template *template;
    struct err err;

    CU_ASSERT_TRUE_FATAL(fd >= 0);
    CU_ASSERT_EQUAL(write(fd, "\n%{rule}", 8), 8);
    template = page_template_load(&arena, path, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(template);
    CU_ASSERT_TRUE(slice_equal(page_template_write(template, &arena, &all),
                               SLICE("\nno-games")));
    CU_ASSERT_EQUAL(write(fd, "\n%{x}", 5), 5);
    CU_ASSERT_PTR_NULL(page_template_load(&arena, path, &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, ":3: unknown name %{x}"));
    close(fd);
    unlink(path);
    CU_ASSERT_PTR_NULL(page_template_load(&arena, path, &err));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, path));
}

void
suite_page_template(void)
{
    CU_pSuite s = CU_add_suite("page_template", set_up, tear_down);

    CU_add_test(s, "every name has a value", every_name_has_a_value);
    CU_add_test(s, "all values are escaped", all_values_are_escaped);
    CU_add_test(s, "values are no templates", values_are_no_templates);
    CU_add_test(s, "percent signs of style sheets stay", percent_signs_of_style_sheets_stay);
    CU_add_test(s, "mistakes are told with their line", mistakes_are_told_with_their_line);
    CU_add_test(s, "a page has a longest length", a_page_has_a_longest_length);
    CU_add_test(s, "memory that is short gives no half page",
                memory_that_is_short_gives_no_half_page);
    CU_add_test(s, "a file is read", a_file_is_read);
}
