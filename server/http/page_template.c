/* SPDX-License-Identifier: BSD-2-Clause */
/* page_template.c - parts of text, each followed by a value. */
#include "config.h"

#include "server/http/page_template.h"

#include "server/config/variable_text.h"
#include "server/file_read.h"
#include "server/http/html.h"
#include "server/http/status.h"
#include "server/log/escape.h"

enum variable {
    STATUS,
    REASON,
    WHY,
    RULE,
    ID,
    URL,
    HOST,
    CLIENT_IP,
    USER,
    TIME,
    CONTACT,
    VARIABLE_COUNT,
    NONE = VARIABLE_COUNT, /* the end */
};

static const char *const names[] = {
    [STATUS] = "status", [REASON] = "reason",       [WHY] = "why",   [RULE] = "rule",
    [ID] = "id",         [URL] = "url",             [HOST] = "host", [CLIENT_IP] = "client_ip",
    [USER] = "user",     [TIME] = "time",           [CONTACT] = "contact",
    [NONE] = NULL,
};

struct page_template {
    size_t count;
    struct variable_part parts[];
};

/* ---- compiling */

static unsigned
line_of(const char *start, const char *at)
{
    unsigned line = 1;

    for (; start < at; start++)
        line += *start == '\n';
    return line;
}

struct page_template *
page_template_new(struct arena *arena, struct slice text, unsigned *line, struct err *err)
{
    struct page_template *template;
    struct slice rest;

    *line = 1;
    if (text.bytes > PAGE_TEMPLATE_BYTES_MAX) {
        err_set(err, "is longer than %u bytes", PAGE_TEMPLATE_BYTES_MAX);
        return NULL;
    }
    rest = text = arena_copy(arena, text);
    template = arena_zalloc(arena, sizeof(*template) +
                                       variable_parts_max(text) * sizeof(template->parts[0]));
    if (template == NULL) {
        err_set(err, "no memory");
        return NULL;
    }
    while (rest.bytes > 0) {
        if (variable_part_take(&rest, names, &template->parts[template->count++], err) < 0) {
            *line = line_of(text.data, rest.data);
            return NULL;
        }
    }
    return template;
}

struct page_template *
page_template_load(struct arena *arena, const char *path, struct err *err)
{
    struct page_template *template;
    struct slice text;
    unsigned line;

    if (file_read(path, PAGE_TEMPLATE_BYTES_MAX, &text, err) < 0)
        return NULL;
    template = page_template_new(arena, text, &line, err);
    if (template == NULL)
        err_prefix(err, "%s:%u: ", path, line);
    file_text_free(&text);
    return template;
}

const char *
page_template_name(size_t i)
{
    return i < VARIABLE_COUNT ? names[i] : NULL;
}

/* ---- writing */

static struct slice
value_of(enum variable variable, struct arena *arena, const struct page_facts *facts)
{
    char text[IP_TEXT_BYTES];

    switch (variable) {
    case STATUS:
        return arena_printf(arena, "%u", facts->status);
    case REASON:
        return status_reason(facts->status);
    case WHY:
        return slice_of(facts->why != NULL ? facts->why : error_page_meaning(facts->status));
    case RULE:
        return facts->rule;
    case ID:
        return arena_copy(arena, slice_make(text, (size_t)(text_hex64(text, facts->id) - text)));
    case URL:
        return facts->url;
    case HOST:
        return facts->host;
    case CLIENT_IP:
        return arena_copy(arena, slice_make(text, ip_text(&facts->client, text)));
    case USER:
        return facts->user;
    case TIME:
        text_time_iso(text, facts->wall_ms);
        return arena_printf(arena, "%.19sZ", text); /* to the second */
    case CONTACT:
        return error_page_contact(arena, facts);
    case NONE:
        break;
    }
    return slice_make("", 0);
}

/* Values are made once, however often a page shows them. */
static void
make_values(const struct page_template *template, struct arena *arena,
            const struct page_facts *facts, struct slice values[VARIABLE_COUNT + 1])
{
    for (size_t i = 0; i < template->count; i++) {
        enum variable variable = (enum variable)template->parts[i].variable;

        if (values[variable].data == NULL)
            values[variable] = html_escape(arena, value_of(variable, arena, facts));
    }
}

struct slice
page_template_write(const struct page_template *template, struct arena *arena,
                    const struct page_facts *facts)
{
    struct slice values[VARIABLE_COUNT + 1] = { [NONE] = SLICE_INIT("") };
    size_t bytes = 0;
    char *start, *at;

    make_values(template, arena, facts, values);
    for (size_t i = 0; i < template->count; i++)
        bytes += template->parts[i].text.bytes + values[template->parts[i].variable].bytes;
    start = at = arena_alloc(arena, bytes + 1);
    if (start == NULL || arena_is_spent(arena))
        return slice_make("", 0);
    for (size_t i = 0; i < template->count; i++) {
        const struct slice value = values[template->parts[i].variable];

        at = mempcpy(at, template->parts[i].text.data, template->parts[i].text.bytes);
        at = mempcpy(at, value.data, value.bytes);
    }
    return slice_make(start, bytes);
}
