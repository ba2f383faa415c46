/* SPDX-License-Identifier: BSD-2-Clause */
/* ban.c - commands about who is banned, for the running daemon. */
#include "config.h"

#include "server/commands/members.h"
#include "server/commands/request_line.h"
#include "server/commands/talk.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#define LINE_MAX_BYTES 4096

static const struct flag flags[] = {
    CONF_FLAG,
    CONTROL_FLAG,
    { .name = "--table", .value = "NAME", .text = "of bans (default: the only one there is)" },
    { .name = "--for", .value = "TIME",
      .text = "add: how long, \"1h\" (default: as the table says)" },
    { .name = "--cause", .value = "TEXT",
      .text = "add: why, for those who look (default: by hand)" },
    { .name = "--json", .text = "list: an object in each line, as import reads them" },
    { .name = NULL },
};

static int
fail(const struct arguments *arguments, const char *what)
{
    struct err err;

    err_set(&err, "%s: %s", arguments->command->name, what);
    return command_fail(&err);
}

static const char *
value_of(const struct arguments *arguments, const char *name)
{
    const char *value = arguments_get(arguments, name);

    return value != NULL ? value : "";
}

static void
begin(const struct arguments *arguments, struct request_line *line, const char *what)
{
    *line = (struct request_line){ .bytes = 0 };
    request_line_add(line, NULL, "ban");
    request_line_add(line, NULL, what);
    request_line_add(line, NULL, value_of(arguments, "--table"));
}

/* ---- import */

/* Sends what has been gathered, if it is time to: as many lines as go into one request. */
static int
send_if(const struct arguments *arguments, struct request_line *line, bool is_due, bool *has_lines)
{
    int status = 0;

    if (*has_lines && is_due) {
        status = request_line_send(arguments, line);
        *has_lines = false;
    }
    if (!*has_lines)
        begin(arguments, line, "import");
    return status;
}

static int
import_lines(const struct arguments *arguments, FILE *in)
{
    static struct request_line line;
    char text[LINE_MAX_BYTES];
    bool has_lines = false;
    int status = send_if(arguments, &line, false, &has_lines);

    while (status == 0 && fgets(text, sizeof(text), in) != NULL) {
        text[strcspn(text, "\n")] = '\0';
        if (text[0] == '\0')
            continue;
        status = send_if(arguments, &line, line.bytes + strlen(text) + 3 > sizeof(line.text),
                         &has_lines);
        request_line_add(&line, NULL, text);
        has_lines = true;
    }
    return status != 0 ? status : send_if(arguments, &line, true, &has_lines);
}

static int
import(const struct arguments *arguments)
{
    const char *path = arguments->words[1];
    FILE *in = strcmp(path, "-") == 0 ? stdin : fopen(path, "re");
    struct err err;
    int status;

    if (in == NULL) {
        err_errno(&err, "%s", path);
        return command_fail(&err);
    }
    status = import_lines(arguments, in);
    if (in != stdin)
        fclose(in);
    return status;
}

/* ---- all of it */

static int
add(const struct arguments *arguments)
{
    static struct request_line line;

    begin(arguments, &line, "add");
    request_line_add(&line, NULL, arguments->words[1]);
    request_line_add(&line, NULL, value_of(arguments, "--for"));
    request_line_add(&line, NULL, value_of(arguments, "--cause"));
    return request_line_send(arguments, &line);
}

static int
run_ban(const struct arguments *arguments)
{
    const char *what = arguments->word_count > 0 ? arguments->words[0] : "list";
    bool is_list = strcmp(what, "list") == 0;
    static struct request_line line;

    if (is_list && arguments->word_count < 2) {
        begin(arguments, &line, what);
        request_line_add(&line, NULL, arguments_get(arguments, "--json") != NULL ? "json" : "text");
        return request_line_send(arguments, &line);
    }
    if (!is_list && arguments->word_count != 2)
        return fail(arguments, "what follows can be: list, add KEY, remove KEY, import FILE");
    if (strcmp(what, "add") == 0)
        return add(arguments);
    if (strcmp(what, "import") == 0)
        return import(arguments);
    if (strcmp(what, "remove") != 0)
        return fail(arguments, "what follows can be: list, add KEY, remove KEY, import FILE");
    begin(arguments, &line, what);
    request_line_add(&line, NULL, arguments->words[1]);
    return request_line_send(arguments, &line);
}

const struct command ban_command = {
    .name = "ban",
    .usage = "[list [--json] | add KEY [--for TIME] [--cause TEXT] | remove KEY | import FILE]\n"
             "                   [--table NAME] [-c FILE | --control PATH]",
    .text = "Shows who is banned, bans and lets in again; FILE is as list --json writes it.",
    .flags = flags,
    .words_max = 2,
    .run = run_ban,
};
