/* SPDX-License-Identifier: BSD-2-Clause */
/* request_line.c - puts together what a command asks, and asks it. */
#include "config.h"

#include "server/commands/request_line.h"

#include "server/commands/talk.h"

#include <stdio.h>

/* What would end a word of the request, or all of it. */
static bool
is_clean(const char *word)
{
    for (; *word != '\0'; word++)
        if ((unsigned char)*word < ' ')
            return false;
    return true;
}

void
request_line_add(struct request_line *line, const char *name, const char *value)
{
    size_t room = sizeof(line->text) - line->bytes;
    int bytes = snprintf(line->text + line->bytes, room, "%s%s%s%s", line->bytes > 0 ? "\t" : "",
                         name != NULL ? name : "", name != NULL ? "=" : "", value);

    if (!is_clean(value) || bytes < 0 || (size_t)bytes + 2 > room) /* it gets a line end, too */
        line->is_bad = true;
    else
        line->bytes += (size_t)bytes;
}

int
request_line_check(const struct arguments *arguments, const struct request_line *line)
{
    if (!line->is_bad)
        return 0;
    return command_refuse(arguments, "what is given is too long, or has control characters");
}

int
request_line_send(const struct arguments *arguments, const struct request_line *line)
{
    int status = request_line_check(arguments, line);

    return status != 0 ? status : talk(arguments, line->text, TALK_S);
}
