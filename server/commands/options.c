/* SPDX-License-Identifier: BSD-2-Clause */
/* options.c - what may be configured, from the tables that the reader reads by. */
#include "config.h"

#include "server/commands/members.h"

#include "server/config/describe.h"
#include "server/schema.h"

static const struct flag flags[] = {
    { .name = "--man", .text = "print it as a part of bascule.conf(5)" },
    { .name = NULL },
};

static int
run(const struct arguments *arguments)
{
    const char *name = arguments->word_count > 0 ? arguments->words[0] : NULL;
    struct err err;

    if (arguments_get(arguments, "--man") != NULL)
        describe_man(stdout, conf_options);
    else if (describe_options(stdout, conf_options, name, &err) < 0)
        return command_fail(&err);
    return 0;
}

const struct command options_command = {
    .name = "options",
    .usage = "[NAME]",
    .text = "Shows every option of a configuration file, or one.",
    .flags = flags,
    .words_max = 1,
    .run = run,
};
