/* SPDX-License-Identifier: BSD-2-Clause */
/* cache.c - commands about the cache of the running daemon. */
#include "config.h"

#include "server/commands/members.h"
#include "server/commands/talk.h"

#include "server/admin/control.h"

#include <stdio.h>
#include <string.h>

/* A request in the making: words with tabs between. */
struct line {
    char text[CONTROL_REQUEST_MAX];
    size_t bytes;
    bool is_bad;
};

/* What would end a word of the request, or all of it. */
static bool
is_clean(const char *word)
{
    for (; *word != '\0'; word++)
        if ((unsigned char)*word < ' ')
            return false;
    return true;
}

static void
add(struct line *line, const char *word)
{
    size_t bytes = strlen(word);

    if (!is_clean(word) || line->bytes + bytes + 3 > sizeof(line->text)) {
        line->is_bad = true;
        return;
    }
    if (line->bytes > 0)
        line->text[line->bytes++] = '\t';
    memcpy(line->text + line->bytes, word, bytes + 1);
    line->bytes += bytes;
}

static int
ask(const struct arguments *arguments, const struct line *line)
{
    struct err err;

    if (!line->is_bad)
        return talk(arguments, line->text, TALK_S);
    err_set(&err, "%s: what is given is too long, or has control characters",
            arguments->command->name);
    return command_fail(&err);
}

static int
refuse(const struct arguments *arguments, const char *what)
{
    struct err err;

    err_set(&err, "%s: %s", arguments->command->name, what);
    return command_fail(&err);
}

/* ---- bascule cache */

static const struct flag cache_flags[] = {
    CONF_FLAG,
    CONTROL_FLAG,
    { .name = "--json", .text = "for programs" },
    { .name = "--field", .value = "\"NAME: VALUE\"", .is_repeatable = true,
      .text = "of the request: chooses among variants" },
    { .name = NULL },
};

static int
run_cache(const struct arguments *arguments)
{
    bool is_json = arguments_get(arguments, "--json") != NULL;
    static struct line line;

    if (arguments->word_count == 0)
        return talk(arguments, is_json ? "cache json" : "cache", TALK_S);
    if (strcmp(arguments->words[0], "get") != 0 || arguments->word_count != 2)
        return refuse(arguments, "what follows can be: get URL");
    add(&line, "cache");
    add(&line, "get");
    add(&line, is_json ? "json" : "text");
    add(&line, arguments->words[1]);
    for (int i = 0; i < arguments->given_count; i++)
        if (strcmp(arguments->given[i].flag->name, "--field") == 0)
            add(&line, arguments->given[i].value);
    return ask(arguments, &line);
}

const struct command cache_command = {
    .name = "cache",
    .usage = "[get URL] [-c FILE | --control PATH] [--json] [--field \"NAME: VALUE\"]",
    .text = "Shows what is stored, and what the cache did; or what is stored under a URL.",
    .flags = cache_flags,
    .words_max = 2,
    .run = run_cache,
};

/* ---- bascule purge */

static const struct flag purge_flags[] = {
    CONF_FLAG,
    CONTROL_FLAG,
    { .name = "--prefix", .text = "all URLs that begin like this" },
    { .name = "--tag", .text = "all that has the tag (Cache-Tag, Surrogate-Key)" },
    { .name = "--site", .text = "everything of the site, or of a forward listener" },
    { .name = "--soft", .text = "it becomes stale, but is not forgotten" },
    { .name = "--store", .value = "NAME", .text = "in this store only" },
    { .name = NULL },
};

static int
run_purge(const struct arguments *arguments)
{
    bool is_prefix = arguments_get(arguments, "--prefix") != NULL;
    bool is_tag = arguments_get(arguments, "--tag") != NULL;
    bool is_site = arguments_get(arguments, "--site") != NULL;
    const char *store = arguments_get(arguments, "--store");
    static struct line line;

    if (is_prefix + is_tag + is_site > 1)
        return refuse(arguments, "one of --prefix, --tag and --site");
    if (arguments->word_count != (is_tag ? 2 : 1))
        return refuse(arguments, is_tag ? "--tag wants SITE and TAG"
                                        : "give one thing to purge: URL, --prefix URL, "
                                          "--tag SITE TAG or --site NAME");
    add(&line, "cache");
    add(&line, "purge");
    add(&line, arguments_get(arguments, "--soft") != NULL ? "soft" : "hard");
    add(&line, store != NULL ? store : "");
    add(&line, is_prefix ? "prefix" : is_tag ? "tag" : is_site ? "site" : "url");
    for (int i = 0; i < arguments->word_count; i++)
        add(&line, arguments->words[i]);
    return ask(arguments, &line);
}

const struct command purge_command = {
    .name = "purge",
    .usage = "[-c FILE | --control PATH] [--soft] [--store NAME]\n"
             "                     (URL | --prefix URL | --tag SITE TAG | --site NAME)",
    .text = "Makes the cache forget; answered when it outlives a crash.",
    .flags = purge_flags,
    .words_max = 2,
    .run = run_purge,
};
