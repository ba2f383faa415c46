/* SPDX-License-Identifier: BSD-2-Clause */
/* cache.c - commands about the cache of the running daemon. */
#include "config.h"

#include "server/commands/members.h"
#include "server/commands/request_line.h"
#include "server/commands/talk.h"

#include <string.h>

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
    static struct request_line line;

    if (arguments->word_count == 0)
        return talk(arguments, is_json ? "cache json" : "cache", TALK_S);
    if (strcmp(arguments->words[0], "get") != 0 || arguments->word_count != 2)
        return command_refuse(arguments, "what follows can be: get URL");
    request_line_add(&line, NULL, "cache");
    request_line_add(&line, NULL, "get");
    request_line_add(&line, NULL, is_json ? "json" : "text");
    request_line_add(&line, NULL, arguments->words[1]);
    for (int i = 0; i < arguments->given_count; i++)
        if (strcmp(arguments->given[i].flag->name, "--field") == 0)
            request_line_add(&line, NULL, arguments->given[i].value);
    return request_line_send(arguments, &line);
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
    static struct request_line line;

    if (is_prefix + is_tag + is_site > 1)
        return command_refuse(arguments, "one of --prefix, --tag and --site");
    if (arguments->word_count != (is_tag ? 2 : 1))
        return command_refuse(arguments, is_tag ? "--tag wants SITE and TAG"
                                                : "give one thing to purge: URL, --prefix URL, "
                                                  "--tag SITE TAG or --site NAME");
    request_line_add(&line, NULL, "cache");
    request_line_add(&line, NULL, "purge");
    request_line_add(&line, NULL, arguments_get(arguments, "--soft") != NULL ? "soft" : "hard");
    request_line_add(&line, NULL, store != NULL ? store : "");
    request_line_add(&line, NULL, is_prefix ? "prefix" : is_tag ? "tag" : is_site ? "site" : "url");
    for (int i = 0; i < arguments->word_count; i++)
        request_line_add(&line, NULL, arguments->words[i]);
    return request_line_send(arguments, &line);
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
