/* SPDX-License-Identifier: BSD-2-Clause */
/* security_headers.c - response fields that make browsers careful, by presets.
 *
 *     basic   breaks no site: no guessed types, no frames on foreign pages, no paths in
 *             referrers, https for a year where it is https
 *     strict  for sites that load nothing from elsewhere and are framed by nobody
 *     api     for answers that are data: nothing in them may act as a page
 *
 * A site's option hsts says more of it than a preset: then Strict-Transport-Security is the
 * site's (modes/site_tls.h).
 *
 * Which lines are sent is settled when the configuration is read. Here a line is added
 * where the application has none of its name. One thing asks for more: frame-ancestors
 * in our policy would make browsers ignore an X-Frame-Options of the application (CSP
 * Level 3, section 6.4.2.2), so it is not sent beside one.
 *
 * A 304 changes what a browser has stored (RFC 9111 section 4.3.4), and many servers leave
 * out of it what their 200 said: our lines would take the place of the application's. So it
 * gets them with override only.
 */
#include "config.h"

#include "filters/security_headers.h"

#include "filters/field_set.h"
#include "filters/template.h"

enum preset { PRESET_NONE, PRESET_BASIC, PRESET_STRICT, PRESET_API, PRESET_COUNT };

static const char *const preset_words[] = {
    [PRESET_NONE] = "none",
    [PRESET_BASIC] = "basic",
    [PRESET_STRICT] = "strict",
    [PRESET_API] = "api",
    NULL,
};

/* The kinds of lines, in the order they are sent. */
enum kind {
    TRANSPORT, /* over https only */
    TYPE_OPTIONS,
    FRAME_OPTIONS,
    REFERRER,
    PERMISSIONS,
    OPENER,
    EMBEDDER,
    RESOURCE,
    POLICY, /* of content, and not for our own pages */
    KIND_COUNT,
};

struct line {
    enum kind kind;
    enum field_id id;
    struct slice name; /* when the id is FIELD_OTHER */
    struct slice value;
};

struct security_headers_conf {
    struct filter_conf filter;
    int preset; /* enum preset */
    const char *values[KIND_COUNT]; /* as written; NULL: the preset's */
    bool report_only, override;
    bool frames; /* the policy has frame-ancestors */
    size_t count;
    struct line lines[KIND_COUNT]; /* those that are sent */

    /* The same for answers that have nothing of the kind, as most: for any, then
     * the policy, then over https. */
    struct fields ready;
    struct field ready_lines[KIND_COUNT];
    uint32_t plain_count, policy_count, transport_count;
};

enum { ADDED };

static struct filter_counts counts = { .events = { [ADDED] = "added" } };

#define VALUE(name_, kind_, text_) \
    { .name = (name_), .type = OPTION_STRING, \
      .offset = offsetof(struct security_headers_conf, values[kind_]), .text = (text_) }

static const struct option options[] = {
    { .name = "preset", .type = OPTION_ENUM, .words = preset_words, .fallback = "basic",
      .offset = offsetof(struct security_headers_conf, preset),
      .text = "What is sent without further options. basic: nosniff, frames of the same origin "
              "only, strict-origin-when-cross-origin, Strict-Transport-Security over https. "
              "strict: besides, nothing from other origins, no frames, no devices, "
              "includeSubDomains. api: answers are data, not pages. none: only what other options "
              "name." },
    VALUE("strict_transport_security", TRANSPORT,
          "Value of Strict-Transport-Security, sent over https only: \"max-age=31536000\". This "
          "and the following options: \"off\" sends none, not given is the preset's, which for "
          "this field gives way to a site's option hsts."),
    VALUE("content_type_options", TYPE_OPTIONS, "Value of X-Content-Type-Options: \"nosniff\"."),
    VALUE("frame_options", FRAME_OPTIONS,
          "Value of X-Frame-Options, \"DENY\" or \"SAMEORIGIN\", for browsers that do not know "
          "frame-ancestors."),
    VALUE("referrer_policy", REFERRER, "Value of Referrer-Policy."),
    VALUE("permissions_policy", PERMISSIONS,
          "Value of Permissions-Policy: \"camera=(), geolocation=(self)\"."),
    VALUE("opener_policy", OPENER, "Value of Cross-Origin-Opener-Policy: \"same-origin\"."),
    VALUE("embedder_policy", EMBEDDER, "Value of Cross-Origin-Embedder-Policy: \"require-corp\"."),
    VALUE("resource_policy", RESOURCE, "Value of Cross-Origin-Resource-Policy: \"same-site\"."),
    VALUE("content_security_policy", POLICY, "Value of Content-Security-Policy."),
    { .name = "report_only", .type = OPTION_BOOL, .fallback = "false",
      .offset = offsetof(struct security_headers_conf, report_only),
      .text = "Sends the policy of content as Content-Security-Policy-Report-Only: browsers "
              "report what it would forbid, and allow it." },
    { .name = "override", .type = OPTION_BOOL, .fallback = "false",
      .offset = offsetof(struct security_headers_conf, override),
      .text = "Replaces what the application says itself; otherwise that stays, and a 304 (Not "
              "Modified), which may not repeat it, is left alone." },
    { .name = NULL },
};

#undef VALUE

/* ---- presets */

#define HSTS_YEAR "max-age=31536000"

static const char *const presets[PRESET_COUNT][KIND_COUNT] = {
    [PRESET_BASIC] = {
        [TRANSPORT] = HSTS_YEAR,
        [TYPE_OPTIONS] = "nosniff",
        [FRAME_OPTIONS] = "SAMEORIGIN",
        [REFERRER] = "strict-origin-when-cross-origin",
        [POLICY] = "frame-ancestors 'self'",
    },
    [PRESET_STRICT] = {
        [TRANSPORT] = "max-age=63072000; includeSubDomains",
        [TYPE_OPTIONS] = "nosniff",
        [FRAME_OPTIONS] = "DENY",
        [REFERRER] = "no-referrer",
        [PERMISSIONS] = "accelerometer=(), camera=(), display-capture=(), geolocation=(), "
                        "gyroscope=(), magnetometer=(), microphone=(), midi=(), payment=(), "
                        "usb=()",
        [OPENER] = "same-origin",
        [RESOURCE] = "same-origin",
        [POLICY] = "default-src 'self'; base-uri 'self'; form-action 'self'; "
                   "frame-ancestors 'none'; object-src 'none'",
    },
    [PRESET_API] = {
        [TRANSPORT] = HSTS_YEAR,
        [TYPE_OPTIONS] = "nosniff",
        [FRAME_OPTIONS] = "DENY",
        [REFERRER] = "no-referrer",
        [POLICY] = "default-src 'none'; frame-ancestors 'none'",
    },
};

/* ---- configuration */

static const struct line kinds[KIND_COUNT] = {
    [TRANSPORT] = { .kind = TRANSPORT, .id = FIELD_STRICT_TRANSPORT_SECURITY },
    [TYPE_OPTIONS] = { .kind = TYPE_OPTIONS, .id = FIELD_X_CONTENT_TYPE_OPTIONS },
    [FRAME_OPTIONS] = { .kind = FRAME_OPTIONS, .id = FIELD_X_FRAME_OPTIONS },
    [REFERRER] = { .kind = REFERRER, .id = FIELD_REFERRER_POLICY },
    [PERMISSIONS] = { .kind = PERMISSIONS, .name = SLICE_INIT("Permissions-Policy") },
    [OPENER] = { .kind = OPENER, .name = SLICE_INIT("Cross-Origin-Opener-Policy") },
    [EMBEDDER] = { .kind = EMBEDDER, .name = SLICE_INIT("Cross-Origin-Embedder-Policy") },
    [RESOURCE] = { .kind = RESOURCE, .name = SLICE_INIT("Cross-Origin-Resource-Policy") },
    [POLICY] = { .kind = POLICY, .id = FIELD_CONTENT_SECURITY_POLICY },
};

/* The name of the option, for errors. */
static const char *
option_of(enum kind kind)
{
    return options[1 + kind].name;
}

static bool
has_frame_ancestors(struct slice policy)
{
    return policy.data != NULL &&
           memmem(policy.data, policy.bytes, "frame-ancestors", strlen("frame-ancestors")) != NULL;
}

static uint32_t
add_ready(struct security_headers_conf *conf, struct arena *arena, enum kind first, enum kind last)
{
    uint32_t count = conf->ready.count;

    for (size_t i = 0; i < conf->count; i++) {
        const struct line *line = &conf->lines[i];

        if (line->kind >= first && line->kind <= last)
            fields_add_line(&conf->ready, arena, line->id, line->name, line->value);
    }
    return conf->ready.count - count;
}

static void
make_ready(struct security_headers_conf *conf, struct arena *arena)
{
    conf->ready = (struct fields){ .items = conf->ready_lines, .room = KIND_COUNT };
    conf->plain_count = add_ready(conf, arena, TYPE_OPTIONS, RESOURCE);
    conf->policy_count = add_ready(conf, arena, POLICY, POLICY);
    conf->transport_count = add_ready(conf, arena, TRANSPORT, TRANSPORT);
}

static int
finish(void *arg, struct conf *all, struct arena *arena, struct err *err)
{
    struct security_headers_conf *conf = arg;

    (void)all;
    for (enum kind kind = 0; kind < KIND_COUNT; kind++) {
        const char *text = conf->values[kind];
        struct line *line = &conf->lines[conf->count];

        if (text == NULL)
            text = presets[conf->preset][kind];
        if (text == NULL || strcmp(text, "off") == 0)
            continue;
        *line = kinds[kind];
        line->value = slice_trim(slice_of(text));
        if (line->value.bytes == 0)
            return err_set(err, "%s: is empty: \"off\" sends no such field", option_of(kind));
        if (field_check_value(line->value, err) < 0)
            return err_prefix(err, "%s: ", option_of(kind));
        if (kind == POLICY && conf->report_only) {
            line->id = FIELD_OTHER;
            line->name = SLICE("Content-Security-Policy-Report-Only");
        } else if (kind == POLICY) {
            conf->frames = has_frame_ancestors(line->value);
        }
        conf->count++;
    }
    make_ready(conf, arena);
    return 0;
}

/* ---- serving */

/* Whether there is a line of that name. FIELD_OTHER only: others have a bit. */
static bool
has_name(const struct fields *fields, struct slice name)
{
    for (uint32_t i = 0; i < fields->count; i++)
        if (fields->items[i].id == FIELD_OTHER && fields->items[i].name.bytes == name.bytes &&
            slice_equal_nocase(fields->items[i].name, name))
            return true;
    return false;
}

static bool
has(const struct fields *fields, const struct line *line)
{
    if (!fields_has(fields, line->id))
        return false;
    if (line->id == FIELD_OTHER)
        return has_name(fields, line->name);
    return fields_find(fields, line->id) != NULL;
}

static void
put(struct fields *fields, struct arena *arena, const struct line *line, bool replaces)
{
    if (replaces)
        fields_set_line(fields, arena, line->id, line->name, line->value);
    else
        fields_add_line(fields, arena, line->id, line->name, line->value);
}

/* Our own pages carry their style in them, and load nothing. */
static bool
is_our_page(const struct exchange *ex)
{
    return ex->response.body == &ex->made_up.source;
}

/* Whether Strict-Transport-Security is the site's to say. */
static bool
is_of_site(const struct security_headers_conf *conf, const struct exchange *ex)
{
    return conf->values[TRANSPORT] == NULL && ex->site != NULL && ex->site->says_hsts;
}

static bool
sends_transport(const struct security_headers_conf *conf, const struct exchange *ex)
{
    return !is_of_site(conf, ex) && slice_equal(template_scheme(ex), SLICE("https"));
}

/* framed: the application has said who may frame it. */
static bool
is_for(const struct line *line, const struct security_headers_conf *conf,
       const struct exchange *ex, bool framed)
{
    if (line->kind == TRANSPORT)
        return sends_transport(conf, ex);
    if (line->kind == POLICY)
        return !is_our_page(ex) && !(framed && conf->frames);
    return true;
}

/* Whether the answer says nothing of the kind itself. */
static bool
is_silent(const struct security_headers_conf *conf, const struct fields *fields)
{
    uint64_t both = 0;

    for (size_t i = 0; i < ARRAY_COUNT(fields->present); i++)
        both |= fields->present[i] & conf->ready.present[i];
    return both == 0 && !fields_has(fields, FIELD_X_FRAME_OPTIONS);
}

static unsigned
add_all(const struct security_headers_conf *conf, struct exchange *ex)
{
    struct fields *fields = &ex->response.fields;
    uint32_t count = conf->plain_count + (is_our_page(ex) ? 0 : conf->policy_count);

    fields_add_lines(fields, &ex->arena, conf->ready_lines, count);
    if (conf->transport_count == 0 || !sends_transport(conf, ex))
        return count;
    fields_add_lines(fields, &ex->arena, conf->ready_lines + conf->plain_count +
                     conf->policy_count, conf->transport_count);
    return count + conf->transport_count;
}

static unsigned
add_lacking(const struct security_headers_conf *conf, struct exchange *ex)
{
    struct fields *fields = &ex->response.fields;
    bool framed = !conf->override && fields_find(fields, FIELD_X_FRAME_OPTIONS) != NULL;
    unsigned added = 0;

    for (size_t i = 0; i < conf->count; i++) {
        const struct line *line = &conf->lines[i];
        bool is_there = has(fields, line);

        if ((is_there && !conf->override) || !is_for(line, conf, ex, framed))
            continue;
        put(fields, &ex->arena, line, is_there);
        added++;
    }
    return added;
}

static enum filter_verdict
deliver_head(const void *arg, void *state, struct exchange *ex)
{
    const struct security_headers_conf *conf = arg;
    struct fields *fields = &ex->response.fields;

    (void)state;
    if (ex->request.method == METHOD_CONNECT || ex->response.status == 101 ||
        (ex->response.status == 304 && !conf->override))
        return FILTER_NEXT;
    if (conf->override && is_of_site(conf, ex)) /* which adds its own where there is none */
        fields_remove(fields, FIELD_STRICT_TRANSPORT_SECURITY);
    filter_count(ex, &counts, ADDED,
                 is_silent(conf, fields) ? add_all(conf, ex) : add_lacking(conf, ex));
    return FILTER_NEXT;
}

const struct filter_ops security_headers_filter = {
    .name = "security_headers",
    .text = "Adds the response fields that make browsers careful.",
    .options = options,
    .conf_bytes = sizeof(struct security_headers_conf),
    .counts = &counts,
    .finish = finish,
    .deliver_head = deliver_head,
};
