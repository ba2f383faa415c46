/* SPDX-License-Identifier: BSD-2-Clause */
/* waf_message.c - finds rule, place and reason in the library's messages.
 *
 *   ... against variable `ARGS:q' (Value: `...' ) [file "F"] [line "1"] [id "2"] [rev ""]
 *       [msg "why"] [data "Matched Data: ... found within ARGS:q: ..."] ...
 *
 *   Rules error. File: F. Line: 1. Column: 2. What is wrong
 */
#include "config.h"

#include "filters/waf_message.h"

#include "server/base/slice.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define ID_DIGITS_MAX 9
#define ERROR_BYTES_MAX 400

/* Copies from text up to its end or limit, as much as there is room for. */
static void
copy_between(char *to, size_t room, const char *from, const char *end)
{
    size_t bytes = (size_t)(end - from);

    if (bytes >= room)
        bytes = room - 1;
    memcpy(to, from, bytes);
    to[bytes] = '\0';
}

/* ---- rules that were true */

/* Whether `[line "N` ends right before at. */
static bool
is_behind_line(const char *text, const char *at)
{
    static const char start[] = " [line \"";
    const char *digits = at;

    while (digits > text && isdigit((unsigned char)digits[-1]))
        digits--;
    return digits < at && (size_t)(digits - text) >= sizeof(start) - 1 &&
           memcmp(digits - (sizeof(start) - 1), start, sizeof(start) - 1) == 0;
}

/* Behind the only rule's id, or NULL when there is none, or several. */
static const char *
find_id(const char *text, unsigned *id)
{
    static const char start[] = "\"] [id \"";
    const char *found = NULL;

    for (const char *at = strstr(text, start); at != NULL; at = strstr(at + 1, start)) {
        const char *digits = at + sizeof(start) - 1;
        size_t count = strspn(digits, "0123456789");

        if (count == 0 || count > ID_DIGITS_MAX || strncmp(digits + count, "\"]", 2) != 0 ||
            !is_behind_line(text, at))
            continue;
        if (found != NULL)
            return NULL;
        found = digits + count + 2;
        *id = (unsigned)strtoul(digits, NULL, 10);
    }
    return found;
}

static void
read_reason(const char *at, struct waf_hit *hit)
{
    static const char start[] = "] [msg \"";
    const char *begin = strstr(at, start), *end;

    if (begin == NULL)
        return;
    begin += sizeof(start) - 1;
    end = strstr(begin, "\"] [");
    copy_between(hit->message, sizeof(hit->message), begin,
                 end != NULL ? end : begin + strlen(begin));
}

static void
read_where(const char *text, const char *behind_id, struct waf_hit *hit)
{
    static const char variable[] = "against variable `", within[] = " found within ";
    const char *begin = strstr(text, variable), *end;

    if (begin != NULL) {
        begin += sizeof(variable) - 1;
        end = strstr(begin, "' (Value: ");
    } else {
        begin = behind_id != NULL ? strstr(behind_id, within) : NULL;
        if (begin == NULL)
            return;
        begin += sizeof(within) - 1;
        end = strstr(begin, ": ");
    }
    if (end != NULL)
        copy_between(hit->where, sizeof(hit->where), begin, end);
}

void
waf_message_read(const char *text, struct waf_hit *hit)
{
    const char *behind_id;

    *hit = (struct waf_hit){ 0 };
    behind_id = find_id(text, &hit->id);
    if (behind_id == NULL)
        hit->id = 0;
    else
        read_reason(behind_id, hit);
    read_where(text, behind_id, hit);
}

/* ---- rules that cannot be read */

/* One line without what stands at its ends. */
static void
tidy(char *text)
{
    size_t bytes = strlen(text);

    for (size_t i = 0; i < bytes; i++)
        if ((unsigned char)text[i] < ' ')
            text[i] = ' ';
    while (bytes > 0 && (text[bytes - 1] == ' ' || text[bytes - 1] == '.'))
        text[--bytes] = '\0';
}

static const char *
skip_spaces(const char *at)
{
    return at + strspn(at, " \r\n");
}

/* Takes "Line: 7" from behind at; what follows is in *rest. */
static bool
take_line(const char *at, unsigned long *line, const char **rest)
{
    static const char column[] = ". Column: ";
    char *end;

    *line = strtoul(at, &end, 10);
    if (end == at)
        return false;
    if (strncmp(end, column, sizeof(column) - 1) == 0) {
        end += sizeof(column) - 1;
        end += strspn(end, "0123456789");
    }
    *rest = skip_spaces(*end == '.' ? end + 1 : end);
    return true;
}

int
waf_message_error(const char *text, const char *loading, struct err *err)
{
    static const char file_start[] = "File: ", line_start[] = ". Line: ", plain[] = " at line: ";
    const char *file = strstr(text, file_start), *line_at = strstr(text, line_start), *rest;
    char what[ERROR_BYTES_MAX], path[ERROR_BYTES_MAX];
    unsigned long line;

    snprintf(path, sizeof(path), "%s", loading);
    if (file != NULL && line_at > file &&
        take_line(line_at + sizeof(line_start) - 1, &line, &rest)) {
        file += sizeof(file_start) - 1;
        if (*file == '/')
            copy_between(path, sizeof(path), file, line_at);
        snprintf(what, sizeof(what), "%s", rest);
        tidy(what);
        return err_set(err, "%s:%lu: %s", path, line, what);
    }
    line_at = strstr(text, plain); /* whose name of a file is a number in 3.0.9 */
    if (file != NULL && line_at > file && take_line(line_at + sizeof(plain) - 1, &line, &rest)) {
        copy_between(what, sizeof(what), text, file);
        tidy(what);
        return err_set(err, "%s:%lu: %s", path, line, what);
    }
    snprintf(what, sizeof(what), "%s", text);
    tidy(what);
    return err_set(err, "%s: %s", path, what[0] != '\0' ? what : "cannot be read");
}
