/* SPDX-License-Identifier: BSD-2-Clause */
/* explain.c - why a request would be allowed, refused or sent somewhere; and why one was.
 *
 * Asks the running daemon; with -c FILE a configuration that nobody serves yet. Either
 * way the topic "explain" answers (server/admin/topic.h).
 */
#include "config.h"

#include "server/commands/members.h"
#include "server/commands/policy_parts.h"
#include "server/commands/request_line.h"
#include "server/commands/talk.h"

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
             const struct request_line *line)
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
ask_file(const struct arguments *arguments, const struct request_line *line)
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

static bool
is_question_word(const char *name)
{
    for (size_t i = 0; question_words[i] != NULL; i++)
        if (strcmp(question_words[i], name) == 0)
            return true;
    return strcmp(name, "why-not") == 0;
}

/* Whether anything is given that a question is made of. */
static bool
has_question(const struct arguments *arguments)
{
    for (int i = 0; i < arguments->given_count; i++)
        if (is_question_word(arguments->given[i].flag->name + 2))
            return true;
    return false;
}

static void
add_flags(struct request_line *line, const struct arguments *arguments)
{
    for (int i = 0; i < arguments->given_count; i++) {
        const struct given *given = &arguments->given[i];

        if (is_question_word(given->flag->name + 2))
            request_line_add(line, given->flag->name + 2, given->value);
    }
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

static void
begin(struct request_line *line, const struct arguments *arguments, const char *what)
{
    request_line_add(line, NULL, "explain");
    request_line_add(line, NULL, what);
    request_line_add(line, NULL, arguments_get(arguments, "--json") != NULL ? "json" : "text");
}

static int
run_id(const struct arguments *arguments)
{
    static struct request_line line;

    if (has_question(arguments))
        return command_refuse(arguments, "of an exchange that was, only its number is asked");
    begin(&line, arguments, "id");
    request_line_add(&line, NULL, arguments->words[0]);
    return request_line_send(arguments, &line);
}

static int
run(const struct arguments *arguments)
{
    static struct request_line line;
    struct err err;

    if (arguments->word_count == 1)
        return run_id(arguments);
    if (check(arguments, &err) < 0)
        return command_fail(&err);
    begin(&line, arguments, "ask");
    if (arguments->word_count == 2) {
        request_line_add(&line, "method", arguments->words[0]);
        request_line_add(&line, "url", arguments->words[1]);
    } else if (arguments_get(arguments, "--listener") == NULL) {
        return command_refuse(arguments, "what? METHOD URL, the number of an exchange, or "
                                         "--listener NAME for a connection without HTTP");
    }
    add_flags(&line, arguments);
    if (arguments_get(arguments, "--conf") == NULL)
        return request_line_send(arguments, &line);
    return request_line_check(arguments, &line) != 0 ? 1 : ask_file(arguments, &line);
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
