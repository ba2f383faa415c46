/* SPDX-License-Identifier: BSD-2-Clause */
/* talk.c - commands for the running daemon: reload, stop, status. */
#include "config.h"

#include "server/commands/members.h"
#include "server/commands/talk.h"

#include "server/admin/client.h"
#include "server/base/arena.h"
#include "server/config/node.h"
#include "server/config/source.h"
#include "server/config/syntax.h"
#include "server/schema.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ARENA_BYTES 8192
#define RELOAD_S 300 /* a very large configuration takes its time */

static const struct flag flags[] = {
    CONF_FLAG,
    CONTROL_FLAG,
    { .name = NULL },
};

static const struct flag status_flags[] = {
    CONF_FLAG,
    CONTROL_FLAG,
    { .name = "--json", .text = "for programs" },
    { .name = "--metrics", .text = "every counter, as Prometheus text" },
    { .name = NULL },
};

/* ---- where the daemon can be asked */

static char *
control_of_tree(const char *path, const struct config_tree *tree, struct err *err)
{
    const struct config_node *node = config_node_find(config_tree_root(tree), "control");
    struct arena arena;
    char *control;

    if (node == NULL) {
        arena_init(&arena, NULL, ARENA_BYTES);
        control = strdup(schema_default_control(&arena));
        arena_fini(&arena);
        return control;
    }
    if (config_node_kind(node) == CONFIG_TEXT && config_node_text(node).data[0] == '/')
        return strdup(config_node_text(node).data);
    err_set(err, "%s names no control socket: --control PATH does", path);
    return NULL;
}

/* What the file says of the control socket, whatever else may be wrong with it:
 * nobody should have to finish a change in order to look or to stop. */
static char *
control_of_conf(const char *path, struct err *err)
{
    struct config_source source;
    struct config_tree *tree = NULL;
    char *text, *control = NULL;
    unsigned line = 0;

    if (config_load(path, &source, err) < 0)
        return NULL;
    text = config_syntax_rewrite(&source, err);
    if (text != NULL)
        tree = config_tree_new(text, &line, err);
    if (tree != NULL)
        control = control_of_tree(path, tree, err);
    else
        err_prefix(err, "the control socket is not known (--control PATH tells): ");
    config_tree_free(tree);
    free(text);
    config_source_fini(&source);
    return control;
}

/* ---- asking */

int
talk(const struct arguments *arguments, const char *request, unsigned wait_s)
{
    const char *path = arguments_get(arguments, "--control");
    struct control_reply reply;
    char *control = NULL;
    struct err err;
    int status;

    signal(SIGPIPE, SIG_IGN);
    if (path == NULL) {
        control = control_of_conf(arguments_conf(arguments), &err);
        if (control == NULL)
            return command_fail(&err);
        path = control;
    }
    if (control_ask(path, request, wait_s, &reply, &err) < 0) {
        free(control);
        return command_fail(&err);
    }
    free(control);
    if (reply.is_ok)
        fwrite(reply.text, 1, reply.bytes, stdout);
    else
        fprintf(stderr, "bascule: %s", reply.text);
    status = reply.is_ok ? 0 : 1;
    free(reply.text);
    return status;
}

static int
run_reload(const struct arguments *arguments)
{
    return talk(arguments, "reload", RELOAD_S);
}

/* Answered at the end, which stop_timeout bounds. */
static int
run_stop(const struct arguments *arguments)
{
    return talk(arguments, "stop", 0);
}

static int
run_status(const struct arguments *arguments)
{
    if (arguments_get(arguments, "--json") == NULL)
        return talk(arguments, arguments_get(arguments, "--metrics") == NULL ? "status" : "metrics",
                   TALK_S);
    if (arguments_get(arguments, "--metrics") == NULL)
        return talk(arguments, "status json", TALK_S);
    return command_refuse(arguments, "either --json or --metrics");
}

const struct command reload_command = {
    .name = "reload",
    .usage = "[-c FILE | --control PATH]",
    .text = "Makes the daemon read its configuration again.",
    .flags = flags,
    .run = run_reload,
};

const struct command stop_command = {
    .name = "stop",
    .usage = "[-c FILE | --control PATH]",
    .text = "Lets the daemon finish what runs and end.",
    .flags = flags,
    .run = run_stop,
};

const struct command status_command = {
    .name = "status",
    .usage = "[-c FILE | --control PATH] [--json | --metrics]",
    .text = "Shows what the daemon is doing.",
    .flags = status_flags,
    .run = run_status,
};
