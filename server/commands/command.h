/* SPDX-License-Identifier: BSD-2-Clause */
/* command.h - what the program can be told to do: bascule COMMAND [FLAG ...]. */
#ifndef BASCULE_COMMAND_H
#define BASCULE_COMMAND_H

#include <stdbool.h>

#include "server/base/err.h"

struct arguments;
struct worker_hooks;

/* A flag: "--name VALUE" or "--name=VALUE", and "-c VALUE" where it has a letter. */
struct flag {
    const char *name;  /* with its dashes; NULL ends a table */
    char letter;       /* 0: none */
    bool is_repeatable;
    const char *value; /* what stands for it in help, "FILE"; NULL: it takes none */
    const char *text;
};

struct command {
    const char *name;
    const char *usage; /* what follows the name, for help */
    const char *text;  /* one sentence */
    const struct flag *flags;
    int words_max;     /* arguments that are not flags */
    bool is_hidden;
    int (*run)(const struct arguments *arguments); /* returns the exit status */
};

/* All of them, in the order of help; ends with NULL. */
extern const struct command *const commands[];

/* What was given to a command, checked against its flags. */
struct arguments {
    const struct command *command;
    const struct worker_hooks *hooks;
    struct given {
        const struct flag *flag;
        const char *value;
    } *given; /* in the order given */
    int given_count;
    char **words;
    int word_count;
};

/* The value of a flag, "" for one without a value; NULL when it was not given. */
const char *arguments_get(const struct arguments *arguments, const char *name);

/* Runs what argv says. hooks are handed to the worker process. Returns the exit
 * status. */
int commands_main(int argc, char **argv, const struct worker_hooks *hooks);

/* Prints "bascule: " and the text to stderr. Returns 1. */
int command_fail(const struct err *err);

/* The same of what does not make sense of the arguments: the command's name, and what. */
int command_refuse(const struct arguments *arguments, const char *what);

/* The configuration file that was named, or the installed one. */
const char *arguments_conf(const struct arguments *arguments);

#define CONF_FLAG \
    { .name = "--conf", .letter = 'c', .value = "FILE", \
      .text = "configuration (default: " BASCULE_CONF ")" }

#endif
