/* SPDX-License-Identifier: BSD-2-Clause */
/* log_format.h - access log formats, compiled once and then run for every line.
 *
 * A format is the name of one that is built in (common, combined, squid, json)
 * or a text in which %{name} stands for a value and %% for "%". Names
 * are listed by log_format_name(); %{req.NAME} and %{resp.NAME} are the first header
 * field of that name. A value that is not known is "-".
 *
 * Values are escaped for where they stand: within double quotes of the text \xHH
 * replaces what could end them or steer a terminal, elsewhere also spaces.
 */
#ifndef BASCULE_LOG_FORMAT_H
#define BASCULE_LOG_FORMAT_H

#include <stdbool.h>
#include <stddef.h>

#include "server/base/arena.h"
#include "server/base/err.h"

struct access_record;
struct log_format;
struct log_privacy;

/* Compiles text into arena, which lends the result. NULL with err filled when it
 * names what is not known, or a header field that holds credentials. */
struct log_format *log_format_new(struct arena *arena, const char *text, struct err *err);

/* Whether nothing that the format shows undoes what the privacy of its log asks for. 0, or
 * -1 with err. */
int log_format_check_privacy(const struct log_format *format, const struct log_privacy *privacy,
                             struct err *err);

/* Writes a line, without its end, of at most room bytes. Values that do not
 * fit are cut, the rest of the line stays whole, and *is_cut becomes true.
 * Returns its length, or 0: room is too short for any line. */
size_t log_format_write(const struct log_format *format, const struct access_record *record,
                        char *out, size_t room, bool *is_cut);

/* The names for %{...} and the built-in formats, one after the other from 0 on;
 * NULL: there are no more. For the manual. */
const char *log_format_name(size_t i);
const char *log_format_preset(size_t i, const char **text);

#endif
