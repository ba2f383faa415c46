/* SPDX-License-Identifier: BSD-2-Clause */
/* explain.c - why a request would be allowed, refused or sent somewhere; and why one was.
 *
 * Asks the running daemon; with -c FILE a configuration that nobody serves yet. Either
 * way the topic "explain" answers (server/admin/topic.h).
 */
#include "config.h"

#include "server/commands/members.h"
#include "server/commands/policy_parts.h"
#include "server/commands/talk.h"

#include "server/admin/control.h"
#include "server/admin/topic.h"
#include "server/config/source.h"
#include "server/policy/question.h"
#include "server/snapshot.h"
#include "server/worker_thread.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Flags that a question is made of are named as its words are. */
static const struct flag flags[] = {
    { .name = "--listener", .value = "NAME",
      .text = "where it comes to (default: the first that takes such a request)" },
    { .name = "--from", .value = "ADDRESS", .text = "of the client (default: 127.0.0.1)" },
    { .name = "--user", .value = "NAME", .text = "who has proved to be it (default: nobody)" },
    { .name = "--group", .value = "NAME", .is_repeatable = true, .text = "of the user" },
    { .name = "--header", .value = "\"NAME: VALUE\"", .is_repeatable = true,
      .text = "of the request" },
    { .name = "--time", .value = "TIME",
      .text = "\"2026-11-23 10:00\", \"10:00\" (default: now)" },
    { .name = "--destination", .value = "ADDRESS", .text = "that the host name leads to" },
    { .name = "--sni", .value = "NAME", .text = "server name in the TLS of a tunnel or client" },
    { .name = "--status", .value = "N", .text = "of the origin's response" },
    { .name = "--response-header", .value = "\"NAME: VALUE\"", .is_repeatable = true,
      .text = "of the origin's response" },
    { .name = "--why-not", .value = "RULE",
      .text = "say only what keeps this rule from being true" },
    { .name = "--json", .text = "for programs" },
    { .name = "--conf", .letter = 'c', .value = "FILE",
      .text = "ask this configuration, not the daemon; with ID, the daemon that serves it" },
    CONTROL_FLAG,
    { .name = NULL },
};

/* A request in the making: words with tabs between. */
struct line {
    char text[CONTROL_REQUEST_MAX];
    size_t bytes;
    bool is_bad;
};

static bool
is_clean(const char *word)
{
    for (; *word != '\0'; word++)
        if ((unsigned char)*word < ' ')
            return false;
    return true;
}

/* "name=value", or the value alone. */
static void
add(struct line *line, const char *name, const char *value)
{
    size_t room = sizeof(line->text) - line->bytes;
    int bytes = snprintf(line->text + line->bytes, room, "%s%s%s%s", line->bytes > 0 ? "\t" : "",
                         name != NULL ? name : "", name != NULL ? "=" : "", value);

    if (!is_clean(value) || bytes < 0 || (size_t)bytes + 2 > room)
        line->is_bad = true;
    else
        line->bytes += (size_t)bytes;
}

/* ---- without a daemon */

struct answer {
    int status;
};

static void
print_answer(void *arg, uint64_t ticket, bool is_ok, char *text, size_t bytes)
{
    struct answer *answer = arg;

    (void)ticket;
    answer->status = is_ok ? 0 : 1;
    if (!is_ok)
        fputs("bascule: ", stderr);
    if (text != NULL)
        fwrite(text, 1, bytes, is_ok ? stdout : stderr);
    free(text);
}

static const struct topic *
find_topic(const struct arguments *arguments)
{
    const struct topic *const *topics = arguments->hooks->topics;

    while (*topics != NULL && strcmp((*topics)->word, "explain") != 0)
        topics++;
    return *topics;
}

static int
ask_snapshot(const struct arguments *arguments, struct snapshot *snapshot,
             const struct line *line)
{
    const struct topic *topic = find_topic(arguments);
    struct answer answer = { 1 };
    struct topic_home home = { NULL, snapshot, &answer, print_answer };
    struct err err;

    if (policy_parts_adopt(&snapshot->conf, &err) < 0)
        command_fail(&err);
    else if (topic != NULL)
        topic->ask(&home, 0, slice_make(line->text, line->bytes));
    policy_parts_release(&snapshot->conf);
    return answer.status;
}

static int
ask_file(const struct arguments *arguments, const struct line *line)
{
    struct config_source source;
    struct snapshot *snapshot;
    struct err err;
    int status;

    if (config_load(arguments_conf(arguments), &source, &err) < 0)
        return command_fail(&err);
    snapshot = snapshot_new(&source, &err);
    config_source_fini(&source);
    if (snapshot == NULL)
        return command_fail(&err);
    status = ask_snapshot(arguments, snapshot, line);
    snapshot_unref(snapshot);
    return status;
}

/* ---- the command */

static int
fail(const char *what)
{
    struct err err;

    err_set(&err, "explain: %s", what);
    return command_fail(&err);
}

static bool
is_question_word(const char *name)
{
    for (size_t i = 0; question_words[i] != NULL; i++)
        if (strcmp(question_words[i], name) == 0)
            return true;
    return strcmp(name, "why-not") == 0;
}

/* Whatever is given that a question is made of. Returns how many. */
static unsigned
add_flags(struct line *line, const struct arguments *arguments)
{
    unsigned count = 0;

    for (int i = 0; i < arguments->given_count; i++) {
        const char *name = arguments->given[i].flag->name + 2;

        if (!is_question_word(name))
            continue;
        add(line, name, arguments->given[i].value);
        count++;
    }
    return count;
}

/* What is wrong with a value is found here already. */
static int
check(const struct arguments *arguments, struct err *err)
{
    static struct question question;

    for (int i = 0; i < arguments->given_count; i++) {
        const struct given *given = &arguments->given[i];
        const char *name = given->flag->name + 2;

        if (is_question_word(name) && strcmp(name, "why-not") != 0 &&
            question_set(&question, slice_of(name), slice_of(given->value), err) < 0)
            return err_prefix(err, "explain: --");
    }
    return 0;
}

static int
run_id(const struct arguments *arguments)
{
    static struct line line;
    unsigned others = add_flags(&line, arguments);

    if (others > 0)
        return fail("of an exchange that was, only its number is asked");
    line = (struct line){ .bytes = 0 };
    add(&line, NULL, "explain");
    add(&line, NULL, "id");
    add(&line, NULL, arguments_get(arguments, "--json") != NULL ? "json" : "text");
    add(&line, NULL, arguments->words[0]);
    return line.is_bad ? fail("what is given is too long, or has control characters")
                       : talk(arguments, line.text, TALK_S);
}

static int
run(const struct arguments *arguments)
{
    static struct line line;
    struct err err;

    if (arguments->word_count == 1)
        return run_id(arguments);
    if (check(arguments, &err) < 0)
        return command_fail(&err);
    add(&line, NULL, "explain");
    add(&line, NULL, "ask");
    add(&line, NULL, arguments_get(arguments, "--json") != NULL ? "json" : "text");
    if (arguments->word_count == 2) {
        add(&line, "method", arguments->words[0]);
        add(&line, "url", arguments->words[1]);
    } else if (arguments_get(arguments, "--listener") == NULL) {
        return fail("what? METHOD URL, the number of an exchange, or --listener NAME for a "
                    "connection without HTTP");
    }
    add_flags(&line, arguments);
    if (line.is_bad)
        return fail("what is given is too long, or has control characters");
    return arguments_get(arguments, "--conf") != NULL ? ask_file(arguments, &line)
                                                      : talk(arguments, line.text, TALK_S);
}

const struct command explain_command = {
    .name = "explain",
    .usage = "[-c FILE | --control PATH] [--json] [--listener NAME] [--from ADDRESS] [...]\n"
             "                       (METHOD URL | ID)",
    .text = "Says what becomes of a request and why, or of an exchange why it went as it did.",
    .flags = flags,
    .words_max = 2,
    .run = run,
};
