/* SPDX-License-Identifier: BSD-2-Clause */
/* filter_fixture.h - an exchange without sockets, and filters to run on it, read
 * from text like the real ones.
 */
#ifndef BASCULE_FILTER_FIXTURE_H
#define BASCULE_FILTER_FIXTURE_H

#include "filters/filter.h"
#include "server/config/reader.h"

#include <CUnit/CUnit.h>
#include <stdio.h>

/* Not every file needs all of it. */
#pragma GCC diagnostic ignored "-Wunused-function"

static struct arena conf_arena;
static struct client fixture_client;
static struct downstream fixture_down;
static struct listener_conf fixture_listener;
static struct exchange fixture_ex;
static struct worker fixture_worker; /* for what filters count */
static struct conf *fixture_conf;    /* what finish hooks get */

static int
fixture_set_up(void)
{
    arena_init(&conf_arena, NULL, 1 << 20);
    return 0;
}

static int
fixture_tear_down(void)
{
    arena_fini(&conf_arena);
    return 0;
}

/* A fresh exchange: GET http://www.example.com/a/b?c=d of 192.0.2.7. */
static struct exchange *
exchange_begin(void)
{
    struct exchange *ex = &fixture_ex;

    fixture_client = (struct client){ .peer = { .family = 4, .bytes = { 192, 0, 2, 7 } } };
    fixture_down = (struct downstream){ .client = &fixture_client };
    fixture_listener = (struct listener_conf){ .name = "web" };
    *ex = (struct exchange){ .listener = &fixture_listener, .down = &fixture_down,
                             .worker = &fixture_worker, .id = 0xabc };
    arena_init(&ex->arena, NULL, 1 << 20);
    ex->last_decision = &ex->decisions;
    ex->client_ip = fixture_client.peer;
    ex->request = (struct request){
        .method = METHOD_GET, .method_name = SLICE("GET"), .minor_version = 1, .port = 80,
        .target = SLICE("/a/b?c=d"), .scheme = SLICE("http"),
        .authority = SLICE("www.example.com"), .host = SLICE("www.example.com"),
        .path = SLICE("/a/b"), .query = SLICE("c=d"),
    };
    ex->normal_path = ex->request.path;
    ex->response = (struct response){ .status = 200, .minor_version = 1 };
    return ex;
}

static void
exchange_end(struct exchange *ex)
{
    arena_fini(&ex->arena);
}

static void
ask(struct exchange *ex, const char *name, const char *value)
{
    fields_add_name(&ex->request.fields, &ex->arena, slice_of(name), slice_of(value));
}

static void
respond(struct exchange *ex, const char *name, const char *value)
{
    fields_add_name(&ex->response.fields, &ex->arena, slice_of(name), slice_of(value));
}

static bool
is_text(struct slice s, const char *text)
{
    return s.data != NULL && slice_equal(s, slice_of(text));
}

/* Whether the one line of this name has the value; value NULL: there is none. */
static bool
is_field(const struct fields *fields, const char *name, const char *value)
{
    const struct field *found = NULL;
    unsigned count = 0;

    for (uint32_t i = 0; i < fields->count; i++)
        if (slice_equal_nocase(fields->items[i].name, slice_of(name))) {
            found = &fields->items[i];
            count++;
        }
    if (found == NULL || value == NULL)
        return found == NULL && value == NULL;
    return count == 1 && is_text(found->value, value);
}

/* ---- filters as an operator writes them */

static bool
family_at(size_t i, struct option_family *family)
{
    const struct filter_ops *ops = filters[i];

    if (ops == NULL)
        return false;
    *family = (struct option_family){ .word = ops->name, .options = ops->options,
                                      .member_bytes = ops->conf_bytes, .ops = ops };
    return true;
}

static const struct option member_options[] = {
    OPTION_PLACE(struct filter_conf, place),
    { .name = "filter", .type = OPTION_FAMILY, .offset = offsetof(struct filter_conf, ops),
      .is_required = true, .family_at = family_at },
    { .name = NULL },
};

struct filter_lists {
    struct config_list filters;
};

static const struct option list_options[] = {
    { .name = "filters", .type = OPTION_GROUPS, .offset = offsetof(struct filter_lists, filters),
      .options = member_options, .member_bytes = sizeof(struct filter_conf),
      .family_key = "filter" },
    { .name = NULL },
};

/* Reads "filter = \"headers\"; ...;" and finishes it. NULL with err. */
static const struct filter_conf *
filter_read(const char *text, struct err *err)
{
    struct slice whole = arena_printf(&conf_arena, "filters = ( { %s } );\n", text);
    struct filter_lists lists = { 0 };
    struct config_source source;
    struct filter_conf *conf = NULL;
    int result = -1;

    err->text[0] = '\0';
    if (config_source_from_text("test.conf", whole, &source, err) < 0)
        return NULL;
    result = config_source_read(&source, list_options, &lists, &conf_arena, err, NULL);
    config_source_fini(&source);
    if (result < 0 || lists.filters.count != 1)
        return NULL;
    conf = lists.filters.items[0];
    if (conf->ops->finish != NULL && conf->ops->finish(conf, fixture_conf, &conf_arena, err) < 0)
        return NULL;
    return conf;
}

/* The same for text that must be right. */
static const struct filter_conf *
filter_made(const char *text)
{
    struct err err;
    const struct filter_conf *conf = filter_read(text, &err);

    if (conf == NULL) {
        printf("%s\n", err.text);
        CU_FAIL_FATAL("a filter of a test is malformed");
    }
    return conf;
}

/* Whether text is refused with an error that has why in it. */
static bool
is_filter_refused(const char *text, const char *why)
{
    struct err err;

    if (filter_read(text, &err) != NULL || strstr(err.text, why) == NULL) {
        printf("refused? %s\n", err.text);
        return false;
    }
    return true;
}

#endif
