/* SPDX-License-Identifier: BSD-2-Clause */
/* commands.c - the list of commands, help, and what argv says. */
#include "config.h"

#include "server/commands/command.h"

#include "server/commands/members.h"
#include "server/config/option.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct command *const commands[] = {
    &run_command,     &forward_command, &reverse_command, &port_command,
    &check_command,   &options_command, &reload_command,  &stop_command,
    &status_command,  &explain_command, &cache_command,   &purge_command,
    &ban_command,     &ca_command,      &version_command, &help_command,    &worker_process_command,
    NULL,
};

int
command_fail(const struct err *err)
{
    fprintf(stderr, "bascule: %s\n", err->text);
    return 1;
}

int
command_refuse(const struct arguments *arguments, const char *what)
{
    fprintf(stderr, "bascule: %s: %s\n", arguments->command->name, what);
    return 1;
}

/* ---- help */

static int
write_overview(FILE *out)
{
    fprintf(out, "bascule %s, a forward and reverse HTTP proxy\n\nusage: bascule COMMAND [...]\n\n",
            PACKAGE_VERSION);
    for (size_t i = 0; commands[i] != NULL; i++)
        if (!commands[i]->is_hidden)
            fprintf(out, "  %-8s  %s\n", commands[i]->name, commands[i]->text);
    fprintf(out, "\nbascule help COMMAND says more about one; see also bascule(8).\n");
    return 0;
}

static void
write_flag(FILE *out, const struct flag *flag)
{
    char left[64];

    if (flag->letter != 0)
        snprintf(left, sizeof(left), "-%c, %s %s", flag->letter, flag->name,
                 flag->value != NULL ? flag->value : "");
    else
        snprintf(left, sizeof(left), "%s %s", flag->name,
                 flag->value != NULL ? flag->value : "");
    fprintf(out, "  %-28s  %s%s\n", left, flag->text,
            flag->is_repeatable ? " (may be repeated)" : "");
}

static int
write_help(FILE *out, const struct command *command)
{
    fprintf(out, "usage: bascule %s%s%s\n\n%s\n", command->name,
            command->usage[0] != '\0' ? " " : "", command->usage, command->text);
    if (command->flags != NULL && command->flags->name != NULL)
        fprintf(out, "\n");
    for (const struct flag *flag = command->flags; flag != NULL && flag->name != NULL; flag++)
        write_flag(out, flag);
    return 0;
}

static const struct command *
find_command(const char *name, struct err *err)
{
    struct nearest nearest;

    nearest_init(&nearest, slice_of(name));
    for (size_t i = 0; commands[i] != NULL; i++) {
        if (strcmp(commands[i]->name, name) == 0)
            return commands[i];
        if (!commands[i]->is_hidden)
            nearest_offer(&nearest, commands[i]->name);
    }
    if (name[0] == '-')
        err_set(err, "there is no command \"%s\": a command comes before its flags", name);
    else
        err_set(err, "there is no command \"%s\"", name);
    nearest_hint(&nearest, err);
    return NULL;
}

static int
run_help(const struct arguments *arguments)
{
    const struct command *command;
    struct err err;

    if (arguments->word_count == 0)
        return write_overview(stdout);
    command = find_command(arguments->words[0], &err);
    return command != NULL ? write_help(stdout, command) : command_fail(&err);
}

const struct command help_command = {
    .name = "help",
    .usage = "[COMMAND]",
    .text = "Says what there is.",
    .words_max = 1,
    .run = run_help,
};

static int
run_version(const struct arguments *arguments)
{
    (void)arguments;
    printf("bascule %s\n", PACKAGE_VERSION);
    return 0;
}

const struct command version_command = {
    .name = "version",
    .usage = "",
    .text = "Shows the version.",
    .run = run_version,
};

/* ---- flags */

static const struct flag *
find_flag(const struct command *command, struct slice name, struct err *err)
{
    bool is_letter = name.data[1] != '-';
    struct nearest nearest;

    nearest_init(&nearest, name);
    for (const struct flag *flag = command->flags; flag != NULL && flag->name != NULL; flag++) {
        if (is_letter ? name.bytes == 2 && flag->letter == name.data[1]
                      : slice_equal(name, slice_of(flag->name)))
            return flag;
        nearest_offer(&nearest, flag->name);
    }
    err_set(err, "%s: there is no flag \"%.*s\"", command->name, SLICE_ARG(name));
    if (!is_letter)
        nearest_hint(&nearest, err);
    return NULL;
}

/* Reads argv[*at], and the value behind it. 0 or -1. */
static int
take_flag(struct arguments *arguments, int argc, char **argv, int *at, struct err *err)
{
    const char *text = argv[*at];
    const char *equals = strchr(text, '=');
    struct slice name = slice_make(text, equals != NULL ? (size_t)(equals - text) : strlen(text));
    const struct flag *flag = find_flag(arguments->command, name, err);
    const char *value = equals != NULL ? equals + 1 : NULL;

    if (flag == NULL)
        return -1;
    if (flag->value == NULL && value != NULL)
        return err_set(err, "%s takes no value", flag->name);
    if (!flag->is_repeatable && arguments_get(arguments, flag->name) != NULL)
        return err_set(err, "%s is given twice", flag->name);
    if (flag->value != NULL && value == NULL) {
        if (*at + 1 >= argc)
            return err_set(err, "%s wants a value: %s %s", flag->name, flag->name,
                           flag->value);
        value = argv[++*at];
    }
    arguments->given[arguments->given_count++] =
        (struct given){ flag, value != NULL ? value : "" };
    return 0;
}

static bool
takes_conf(const struct command *command)
{
    for (const struct flag *flag = command->flags; flag != NULL && flag->name != NULL; flag++)
        if (flag->letter == 'c')
            return true;
    return false;
}

/* Sorts argv into flags and words. 0, -1, or 1: help is wanted. */
static int
parse(struct arguments *arguments, int argc, char **argv, struct err *err)
{
    for (int i = 0; i < argc; i++) {
        if (strcmp(argv[i], "-h") == 0 || strcmp(argv[i], "--help") == 0)
            return 1;
        if (argv[i][0] == '-' && argv[i][1] != '\0') {
            if (take_flag(arguments, argc, argv, &i, err) < 0)
                return -1;
            continue;
        }
        if (arguments->word_count == arguments->command->words_max)
            return err_set(err, "%s: \"%s\" is one word too many%s", arguments->command->name,
                           argv[i],
                           takes_conf(arguments->command) ? "; a file is given as -c FILE" : "");
        arguments->words[arguments->word_count++] = argv[i];
    }
    return 0;
}

const char *
arguments_get(const struct arguments *arguments, const char *name)
{
    for (int i = 0; i < arguments->given_count; i++)
        if (strcmp(arguments->given[i].flag->name, name) == 0)
            return arguments->given[i].value;
    return NULL;
}

const char *
arguments_conf(const struct arguments *arguments)
{
    const char *path = arguments_get(arguments, "--conf");

    return path != NULL ? path : BASCULE_CONF;
}

/* ---- all of it */

static int
run(struct arguments *arguments, int argc, char **argv)
{
    struct err err;
    int parsed = parse(arguments, argc, argv, &err);

    if (parsed > 0)
        return write_help(stdout, arguments->command);
    if (parsed < 0) {
        command_fail(&err);
        fprintf(stderr, "bascule help %s says what is possible\n", arguments->command->name);
        return 1;
    }
    return arguments->command->run(arguments);
}

static const char *
command_name(const char *word)
{
    if (strcmp(word, "-h") == 0 || strcmp(word, "--help") == 0)
        return "help";
    if (strcmp(word, "-V") == 0 || strcmp(word, "--version") == 0)
        return "version";
    return word;
}

int
commands_main(int argc, char **argv, const struct worker_hooks *hooks)
{
    struct arguments arguments = { .hooks = hooks };
    struct err err;
    int status = 1;

    if (argc < 2) {
        write_overview(stdout);
        return 1;
    }
    arguments.command = find_command(command_name(argv[1]), &err);
    if (arguments.command == NULL) {
        command_fail(&err);
        fprintf(stderr, "bascule help says which there are\n");
        return 1;
    }
    arguments.given = calloc((size_t)argc, sizeof(*arguments.given));
    arguments.words = calloc((size_t)argc, sizeof(*arguments.words));
    if (arguments.given != NULL && arguments.words != NULL)
        status = run(&arguments, argc - 2, argv + 2);
    free(arguments.given);
    free(arguments.words);
    return status;
}
