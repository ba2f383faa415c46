/* SPDX-License-Identifier: BSD-2-Clause */
/* variable_text.h - takes texts apart in which %{name} stands for a value. "%%" is a
 * percent sign, and so is one that neither "{" nor "%" follows.
 */
#ifndef BASCULE_VARIABLE_TEXT_H
#define BASCULE_VARIABLE_TEXT_H

#include "server/base/err.h"
#include "server/base/slice.h"

struct variable_part {
    struct slice text; /* as it is, in front of the variable */
    unsigned variable; /* index of its name; that of the NULL behind all names: none is here */
};

/* Takes the next part off *text, which is not empty: up to a variable, to the first of two
 * percent signs, or all. names ends with NULL. 0; -1 with err when a name is none of them
 * or a "%{" not closed: *text then begins with it. */
MUST_USE int variable_part_take(struct slice *text, const char *const *names,
                                struct variable_part *part, struct err *err);

/* A text has no more parts than this. */
size_t variable_parts_max(struct slice text);

#endif
