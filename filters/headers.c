/* SPDX-License-Identifier: BSD-2-Clause */
/* headers.c - adds, sets and removes header fields, in both directions.
 *
 * On each side what is to go goes first, then fields are set, then added. All
 * that an operator could get wrong (names, line breaks, variables, framing) is
 * found when the configuration is read; here values are put in place.
 */
#include "config.h"

#include "filters/headers.h"

#include "filters/field_set.h"
#include "filters/template.h"
#include "server/base/log.h"

struct line {
    enum field_id id;
    struct slice name; /* when the id is FIELD_OTHER */
    const struct template *value;
};

struct lines {
    const struct line *items;
    size_t count;
};

struct side {
    struct strings add, set, remove; /* as written */
    struct field_set removed;
    struct lines to_set, to_add;
};

struct headers_conf {
    struct filter_conf filter;
    struct side request, response;
};

static const struct option side_options[] = {
    { .name = "add", .type = OPTION_STRINGS, .offset = offsetof(struct side, add),
      .text = "Lines added to those of the same name: \"Name: value\". Values may have "
              "variables: %{client_ip}, %{host}, %{authority}, %{scheme}, %{method}, %{target}, "
              "%{path}, %{query}, %{id}, %{listener}, %{site}, %{route}." },
    { .name = "set", .type = OPTION_STRINGS, .offset = offsetof(struct side, set),
      .text = "Lines that replace all of the same name." },
    { .name = "remove", .type = OPTION_STRINGS, .offset = offsetof(struct side, remove),
      .text = "Names of fields to take out; \"X-Debug-*\" is all that begin so. Comes before set "
              "and add." },
    { .name = NULL },
};

static const struct option options[] = {
    { .name = "request", .type = OPTION_GROUP, .offset = offsetof(struct headers_conf, request),
      .options = side_options, .member_bytes = sizeof(struct side),
      .text = "Changes to what goes to the server." },
    { .name = "response", .type = OPTION_GROUP, .offset = offsetof(struct headers_conf, response),
      .options = side_options, .member_bytes = sizeof(struct side),
      .text = "Changes to what goes to the client; also to answers that Bascule makes itself." },
    { .name = NULL },
};

/* ---- configuration */

/* "Name: value". */
static int
compile_line(struct slice text, struct line *line, struct arena *arena, struct err *err)
{
    ptrdiff_t colon = slice_find(text, ':');

    if (colon < 0)
        return err_set(err, "\"%s\": expected \"Name: value\"", log_escape(text));
    line->name = slice_trim(slice_make(text.data, (size_t)colon));
    if (field_check_name(line->name, err) < 0)
        return -1;
    line->id = field_id_of(line->name);
    line->value = template_new(arena, slice_trim(slice_skip(text, (size_t)colon + 1)), err);
    return line->value != NULL ? 0 : err_prefix(err, "%s: ", log_escape(line->name));
}

static int
compile_lines(const struct strings *texts, struct lines *lines, struct arena *arena,
              struct err *err)
{
    struct line *items = arena_zalloc(arena, texts->count * sizeof(*items));

    if (items == NULL)
        return err_set(err, "no memory");
    for (size_t i = 0; i < texts->count; i++)
        if (compile_line(texts->items[i], &items[i], arena, err) < 0)
            return -1;
    *lines = (struct lines){ items, texts->count };
    return 0;
}

/* A second line of such a field would make the message malformed. */
static int
check_added(const struct lines *lines, struct err *err)
{
    for (size_t i = 0; i < lines->count; i++)
        if (field_flags(lines->items[i].id) & FIELD_SINGLETON)
            return err_set(err, "there may be one \"%s\" only: use set",
                           field_name(lines->items[i].id).data);
    return 0;
}

static int
finish_side(struct side *side, const char *name, struct arena *arena, struct err *err)
{
    if (field_set_add(&side->removed, &side->remove, arena, err) < 0)
        return err_prefix(err, "%s.remove: ", name);
    if (compile_lines(&side->set, &side->to_set, arena, err) < 0)
        return err_prefix(err, "%s.set: ", name);
    if (compile_lines(&side->add, &side->to_add, arena, err) < 0 ||
        check_added(&side->to_add, err) < 0)
        return err_prefix(err, "%s.add: ", name);
    return 0;
}

static int
finish(void *arg, struct conf *all, struct arena *arena, struct err *err)
{
    struct headers_conf *conf = arg;

    (void)all;
    if (finish_side(&conf->request, "request", arena, err) < 0)
        return -1;
    return finish_side(&conf->response, "response", arena, err);
}

/* ---- serving */

/* A spent arena leaves a value without data: the exchange is refused then. */
static void
set(struct fields *fields, const struct line *line, struct exchange *ex)
{
    struct slice value = template_text(line->value, ex);

    if (value.data != NULL)
        fields_set_line(fields, &ex->arena, line->id, line->name, value);
}

static void
add(struct fields *fields, const struct line *line, struct exchange *ex)
{
    struct slice value = template_text(line->value, ex);

    if (value.data != NULL)
        fields_add_line(fields, &ex->arena, line->id, line->name, value);
}

static void
change(const struct side *side, struct fields *fields, struct exchange *ex)
{
    if (side->remove.count > 0)
        field_set_remove(&side->removed, fields);
    for (size_t i = 0; i < side->to_set.count; i++)
        set(fields, &side->to_set.items[i], ex);
    for (size_t i = 0; i < side->to_add.count; i++)
        add(fields, &side->to_add.items[i], ex);
}

static enum filter_verdict
request_head(const void *arg, void *state, struct exchange *ex)
{
    const struct headers_conf *conf = arg;

    (void)state;
    change(&conf->request, &ex->request.fields, ex);
    return FILTER_NEXT;
}

static enum filter_verdict
deliver_head(const void *arg, void *state, struct exchange *ex)
{
    const struct headers_conf *conf = arg;

    (void)state;
    change(&conf->response, &ex->response.fields, ex);
    return FILTER_NEXT;
}

const struct filter_ops headers_filter = {
    .name = "headers",
    .text = "Adds, sets and removes header fields of requests and responses.",
    .options = options,
    .conf_bytes = sizeof(struct headers_conf),
    .finish = finish,
    .request_head = request_head,
    .deliver_head = deliver_head,
};
