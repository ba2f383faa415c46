/* SPDX-License-Identifier: BSD-2-Clause */
/* pattern.h - regular expressions (PCRE2) that cannot run away.
 *
 * A pattern is read-only once made: any thread may match with it, each with
 * working memory of its own. Matching is compiled to machine code where the
 * CPU allows, and gives up after a fixed amount of work, so that no subject
 * can hold a worker for long.
 *
 * Subjects are bytes, not characters, unless the expression begins with
 * (*UTF); bytes that are no UTF-8 then match nothing. "$" matches at the very
 * end only, never before a last newline.
 */
#ifndef BASCULE_PATTERN_H
#define BASCULE_PATTERN_H

#include <stdbool.h>
#include <stddef.h>

#include "server/base/err.h"
#include "server/base/slice.h"

struct pattern;

/* Captures of one match: the whole and \1 to \9. */
#define PATTERN_CAPTURES 10

enum pattern_result {
    PATTERN_MISS,
    PATTERN_HIT,
    PATTERN_LIMIT, /* undecided: too much work, or no memory. Refuse what depends on it */
};

/* Compiles the expression; with nocase, letters match in either case. NULL
 * with err saying what is wrong and where. */
struct pattern *pattern_new(const char *text, bool nocase, struct err *err);

/* Searches the subject for the first match. captures, unless NULL, has room
 * for PATTERN_CAPTURES slices of subject: [0] is the match, those that took no
 * part are empty (NULL data). */
enum pattern_result pattern_match(const struct pattern *pattern, struct slice subject,
                                  struct slice *captures);

/* How many groups (...) the expression captures. */
unsigned pattern_capture_count(const struct pattern *pattern);

/* The expression as it was given. */
const char *pattern_text(const struct pattern *pattern);

/* NULL is fine. */
void pattern_free(struct pattern *pattern);

#endif
