/* SPDX-License-Identifier: BSD-2-Clause */
/* rewrite_options.c - options of the filter rewrite, read and made ready. */
#include "config.h"

#include "filters/rewrite_options.h"

#include "filters/content_field.h"
#include "filters/field_set.h"

struct insert_conf {
    int at; /* enum html_place */
    const char *text;
};

static const char *const place_words[] = {
    [HTML_HEAD_BEGIN] = "head_begin", [HTML_HEAD_END] = "head_end",
    [HTML_BODY_BEGIN] = "body_begin", [HTML_BODY_END] = "body_end", NULL,
};

static const char *const side_words[] = { [SIDE_FETCH] = "fetch", [SIDE_DELIVER] = "deliver",
                                          NULL };

static const char *const limit_words[] = { [ON_LIMIT_PASS] = "pass", [ON_LIMIT_REFUSE] = "refuse",
                                           NULL };

static const struct option replace_options[] = {
    { .name = "find", .type = OPTION_STRING, .offset = offsetof(struct rewrite_rule_conf, find),
      .text = "Text to replace, as it stands there." },
    { .name = "regex", .type = OPTION_STRING, .offset = offsetof(struct rewrite_rule_conf, regex),
      .text = "Or a regular expression (PCRE2) for it. It is matched with bytes; a match may have "
              "max_match of them." },
    { .name = "with", .type = OPTION_STRING, .offset = offsetof(struct rewrite_rule_conf, with),
      .fallback = "",
      .text = "What stands there instead. With regex, \\0 is the match, \\1 to \\9 are its groups, "
              "and \\\\ is a backslash." },
    { .name = "ignore_case", .type = OPTION_BOOL, .fallback = "false",
      .offset = offsetof(struct rewrite_rule_conf, ignore_case),
      .text = "Letters of ASCII match in either case." },
    { .name = NULL },
};

static const struct option insert_options[] = {
    { .name = "at", .type = OPTION_ENUM, .offset = offsetof(struct insert_conf, at),
      .words = place_words, .is_required = true,
      .text = "Where in HTML: head_begin, head_end, body_begin or body_end. Where tags are "
              "missing, it is where browsers add them." },
    { .name = "text", .type = OPTION_STRING, .offset = offsetof(struct insert_conf, text),
      .is_required = true, .text = "What is put there." },
    { .name = NULL },
};

const struct option rewrite_options[] = {
    { .name = "replace", .type = OPTION_GROUPS, .offset = offsetof(struct rewrite_conf, replace),
      .options = replace_options, .member_bytes = sizeof(struct rewrite_rule_conf),
      .text = "What is replaced, wherever it is found. Of several at one place, the first "
              "counts; what was put there is not searched again." },
    { .name = "insert", .type = OPTION_GROUPS, .offset = offsetof(struct rewrite_conf, insert),
      .options = insert_options, .member_bytes = sizeof(struct insert_conf),
      .text = "What is inserted in HTML, after replacing." },
    { .name = "types", .type = OPTION_STRINGS, .offset = offsetof(struct rewrite_conf, types),
      .fallback = "text/html, text/css, text/javascript, application/javascript, "
                  "application/json, text/xml, application/xml",
      .text = "Media types of content to look through: \"text/*\", \"*+json\". Character "
              "encodings in which ASCII is not ASCII pass." },
    { .name = "fields", .type = OPTION_STRINGS, .offset = offsetof(struct rewrite_conf, fields),
      .text = "Response fields in whose values the same is replaced: \"Location\", \"Link\"." },
    { .name = "requests", .type = OPTION_BOOL, .fallback = "false",
      .offset = offsetof(struct rewrite_conf, requests),
      .text = "Replaces in the content of requests, too." },
    { .name = "side", .type = OPTION_ENUM, .offset = offsetof(struct rewrite_conf, side),
      .words = side_words, .fallback = "deliver",
      .text = "fetch: once, before content is stored in a cache, for all listeners that share "
              "it; deliver: for each client." },
    { .name = "max_match", .type = OPTION_SIZE, .fallback = "4K", .min = 16, .max = 64 * 1024,
      .offset = offsetof(struct rewrite_conf, max_match),
      .text = "Longest match of an expression, with what it looks at behind; longest text to "
              "find." },
    { .name = "max_size", .type = OPTION_SIZE, .fallback = "64M",
      .offset = offsetof(struct rewrite_conf, max_bytes),
      .text = "Longer content is not looked through; of content whose length is not known, the "
              "rest behind this. 0: any length." },
    { .name = "on_limit", .type = OPTION_ENUM, .offset = offsetof(struct rewrite_conf, on_limit),
      .words = limit_words, .fallback = "pass",
      .text = "What happens to content that is over max_size, or takes an expression too much "
              "work: pass, unchanged from there on, or refuse." },
    { .name = NULL },
};

/* Texts for one place stand there in the order written. */
static int
join_texts(struct rewrite_conf *conf, struct arena *arena, struct err *err)
{
    for (size_t i = 0; i < conf->insert.count; i++) {
        const struct insert_conf *insert = conf->insert.items[i];
        struct slice *text = &conf->texts[insert->at];

        *text = arena_join(arena, (struct slice[]){ *text, slice_of(insert->text) }, 2);
        conf->inserts = conf->inserts || text->bytes > 0;
    }
    return arena_is_spent(arena) ? err_set(err, "memory is short") : 0;
}

/* Fields that say how a message is framed and coded are not text. */
static int
check_fields(const struct strings *names, struct err *err)
{
    for (size_t i = 0; i < names->count; i++) {
        enum field_id id = field_id_of(names->items[i]);

        if (field_check_name(names->items[i], err) < 0)
            return err_prefix(err, "fields: ");
        if (id == FIELD_CONTENT_ENCODING || id == FIELD_CONTENT_RANGE)
            return err_set(err, "fields: \"%.*s\" is not for filters to change",
                           SLICE_ARG(names->items[i]));
    }
    return 0;
}

int
rewrite_finish(void *arg, struct conf *all, struct arena *arena, struct err *err)
{
    struct rewrite_conf *conf = arg;

    (void)all;
    if (conf->replace.count + conf->insert.count == 0)
        return err_set(err, "neither replace nor insert is given");
    for (size_t i = 0; i < conf->types.count; i++)
        if (!content_type_pattern_is_valid(conf->types.items[i]))
            return err_set(err, "types: \"%.*s\" is no media type; expected one such as "
                                "\"text/html\", \"text/*\" or \"*+json\"",
                           SLICE_ARG(conf->types.items[i]));
    if (check_fields(&conf->fields, err) < 0 || join_texts(conf, arena, err) < 0)
        return -1;
    if (conf->replace.count == 0)
        return 0;
    conf->rules = rewrite_rules_new((struct rewrite_rule_conf *const *)conf->replace.items,
                                    conf->replace.count, conf->max_match, arena, err);
    return conf->rules != NULL ? 0 : -1;
}
