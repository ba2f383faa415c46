/* SPDX-License-Identifier: BSD-2-Clause */
/* list_formats.h - the lines of list files, and what they say.
 *
 * What stands in a line but is no entry for this kind of list (comments, rules of
 * a browser's filter that are not about whole domains, records of a zone that no
 * name triggers) is passed over; what makes no sense is an error.
 */
#ifndef BASCULE_LIST_FORMATS_H
#define BASCULE_LIST_FORMATS_H

#include "server/policy/list_content.h"

#define LIST_LINE_BYTES_MAX 8192u
#define ZONE_NAME_BYTES_MAX 512u

/* What is in a file; a squidGuard folder has three kinds. */
enum line_form {
    LINE_PLAIN,
    LINE_HOSTS,
    LINE_ADBLOCK,
    LINE_ZONE,
    LINE_EXPRESSION,
};

/* What the lines before have left. Zeroed at the begin of a file. */
struct zone_state {
    char origin[ZONE_NAME_BYTES_MAX]; /* without a dot at the end; empty: not said yet */
    char apex[ZONE_NAME_BYTES_MAX];   /* of the zone itself */
    char owner[ZONE_NAME_BYTES_MAX];  /* of the last record, in full */
    bool has_owner, is_in_parentheses;
};

struct line_state {
    enum line_form form;
    struct zone_state zone;
};

/* Takes one line, without its end. 0, or -1 with err: it makes no sense, or, with
 * content->is_over, no more can be added. */
int list_line_take(struct line_state *state, struct list_content *content, struct slice line,
                   struct err *err);

/* What the first lines of a file look like. */
enum line_form list_lines_guess(struct slice text);

/* For those of a zone; as list_line_take(). */
int zone_line_take(struct zone_state *zone, struct list_content *content, struct slice line,
                   struct err *err);

/* Takes the next word, between spaces and tabs, off *rest; empty: there is none. */
struct slice list_word_take(struct slice *rest);

#endif
