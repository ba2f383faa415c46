/* SPDX-License-Identifier: BSD-2-Clause */
/* redirect.c - sends clients elsewhere, to a URL made of theirs.
 *
 * A client must not be able to choose the host it is sent to: what stands in
 * front of the path of "to" is checked when the configuration is read.
 */
#include "config.h"

#include "filters/redirect.h"

#include "filters/template.h"

enum if_scheme { ANY, HTTP, HTTPS };

struct redirect_filter_conf {
    struct filter_conf filter;
    const char *to;
    int64_t status;
    int if_scheme; /* enum if_scheme */
    const struct template *location;
    bool needs_host;
};

static const char *const scheme_words[] = {
    [ANY] = "any",
    [HTTP] = "http",
    [HTTPS] = "https",
    NULL,
};

static const struct option options[] = {
    { .name = "to", .type = OPTION_STRING, .offset = offsetof(struct redirect_filter_conf, to),
      .is_required = true,
      .text = "Where to: a URL or a path, with variables as in the filter headers: "
              "\"https://%{host}%{target}\"." },
    { .name = "status", .type = OPTION_INT, .offset = offsetof(struct redirect_filter_conf, status),
      .fallback = "308",
      .text = "301, 302, 303, 307 or 308. With 307 and 308 clients keep method and content." },
    { .name = "if_scheme", .type = OPTION_ENUM,
      .offset = offsetof(struct redirect_filter_conf, if_scheme), .words = scheme_words,
      .fallback = "any", .text = "Only requests that came by this scheme; others go on." },
    { .name = NULL },
};

/* ---- configuration */

/* The length of a variable at the head of text, 0 when there is none. */
static size_t
variable_bytes(const char *text)
{
    const char *end = text[0] == '%' && text[1] == '{' ? strchr(text, '}') : NULL;

    return end != NULL ? (size_t)(end + 1 - text) : 0;
}

static bool
is_variable(const char *text, const char *name)
{
    return strncmp(text + 2, name, strlen(name)) == 0 && text[2 + strlen(name)] == '}';
}

/* Of a URL: only variables that name the host asked for, up to where the path
 * or query begins. */
static int
check_authority(const char *text, struct err *err)
{
    const char *at = text;

    while (*at != '\0' && strchr("/?#", *at) == NULL) {
        size_t bytes = variable_bytes(at);

        if (bytes > 0 && at > text && (is_variable(at, "target") || is_variable(at, "path")))
            return 0; /* begin with a slash */
        if (bytes > 0 && !is_variable(at, "host") && !is_variable(at, "authority"))
            return err_set(err, "to: \"%s\": of variables only %%{host} and %%{authority} may "
                           "stand where the host does", text);
        at += bytes > 0 ? bytes : 1;
    }
    return at > text ? 0 : err_set(err, "to: the host is missing");
}

/* Of a path: "//host" would be another host, and so would "/\host" to browsers. */
static int
check_path(const char *text, struct err *err)
{
    if (strchr("/\\", text[1]) != NULL && text[1] != '\0')
        return err_set(err, "to: \"%s\" begins with two slashes: what follows would be a host",
                       text);
    if (variable_bytes(text + 1) > 0)
        return err_set(err, "to: \"%s\": a variable right behind the first slash could begin with "
                       "another one, and what follows would be a host", text);
    return 0;
}

/* Characters of a URI (RFC 3986 section 2), besides those of variables. */
static int
check_characters(const char *text, struct err *err)
{
    for (const char *at = text; *at != '\0'; at++) {
        size_t bytes = variable_bytes(at);

        if (bytes > 0)
            at += bytes - 1;
        else if (*at <= ' ' || *at > '~' || strchr("\"<>\\^`{|}", *at) != NULL)
            return err_set(err, "to: \"%s\" has a character that no URL has", text);
    }
    return 0;
}

static int
check_to(const char *to, struct err *err)
{
    if (check_characters(to, err) < 0)
        return -1;
    if (strncmp(to, "http://", 7) == 0)
        return check_authority(to + 7, err);
    if (strncmp(to, "https://", 8) == 0)
        return check_authority(to + 8, err);
    if (to[0] == '/')
        return check_path(to, err);
    return err_set(err, "to: \"%s\": expected a path that begins with \"/\", or a URL that begins "
                   "with \"http://\" or \"https://\"", to);
}

static bool
is_redirection(int64_t status)
{
    return status == 301 || status == 302 || status == 303 || status == 307 || status == 308;
}

static int
finish(void *arg, struct conf *all, struct arena *arena, struct err *err)
{
    struct redirect_filter_conf *conf = arg;

    (void)all;
    if (!is_redirection(conf->status))
        return err_set(err, "status %d: expected 301, 302, 303, 307 or 308", (int)conf->status);
    conf->location = template_new(arena, slice_of(conf->to), err);
    if (conf->location == NULL)
        return err_prefix(err, "to: ");
    conf->needs_host = strstr(conf->to, "%{host}") != NULL ||
                       strstr(conf->to, "%{authority}") != NULL;
    return check_to(conf->to, err);
}

/* ---- serving */

/* OPTIONS * asks about the server itself: nothing that could be elsewhere. */
static bool
applies(const struct redirect_filter_conf *conf, const struct exchange *ex)
{
    if (slice_equal(ex->request.path, SLICE("*")))
        return false;
    return conf->if_scheme == ANY ||
           slice_equal(template_scheme(ex), slice_of(scheme_words[conf->if_scheme]));
}

static enum filter_verdict
request_head(const void *arg, void *state, struct exchange *ex)
{
    const struct redirect_filter_conf *conf = arg;
    struct slice location;

    (void)state;
    if (!applies(conf, ex))
        return FILTER_NEXT;
    if (conf->needs_host && ex->request.host.bytes == 0) {
        exchange_answer(ex, 400, END_BAD_REQUEST, "The request does not say which host it is for.");
        return FILTER_ANSWER;
    }
    location = template_text(conf->location, ex);
    exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "redirect");
    exchange_answer_with(ex, (unsigned)conf->status, END_ANSWERED, NULL, slice_make(NULL, 0));
    fields_add(&ex->response.fields, &ex->arena, FIELD_LOCATION, location);
    if (arena_is_spent(&ex->arena)) /* better no redirection than one to nowhere */
        exchange_answer(ex, 431, END_LIMIT, "The request needs more memory than one may have.");
    return FILTER_ANSWER;
}

const struct filter_ops redirect_filter = {
    .name = "redirect",
    .text = "Sends clients elsewhere, such as from http to https.",
    .options = options,
    .conf_bytes = sizeof(struct redirect_filter_conf),
    .finish = finish,
    .request_head = request_head,
};
