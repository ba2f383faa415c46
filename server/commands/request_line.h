/* SPDX-License-Identifier: BSD-2-Clause */
/* request_line.h - a request to the running daemon, word by word: tabs stand between. */
#ifndef BASCULE_REQUEST_LINE_H
#define BASCULE_REQUEST_LINE_H

#include "server/admin/control.h"
#include "server/commands/command.h"

/* Zeroed it is empty. */
struct request_line {
    char text[CONTROL_REQUEST_MAX];
    size_t bytes;
    bool is_bad; /* a word was too long, or had control characters */
};

/* Adds "NAME=VALUE", or with name NULL the value alone. */
void request_line_add(struct request_line *line, const char *name, const char *value);

/* Whether it may be asked: 0, or for a line that is bad the exit status, its fault said. */
int request_line_check(const struct arguments *arguments, const struct request_line *line);

/* Asks the daemon (talk.h), unless the line is bad. Returns the exit status. */
int request_line_send(const struct arguments *arguments, const struct request_line *line);

#endif
