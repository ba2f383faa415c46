/* SPDX-License-Identifier: BSD-2-Clause */
/* describe.h - what may be configured, for people: printed from the same
 * tables that the reader reads by.
 */
#ifndef BASCULE_DESCRIBE_H
#define BASCULE_DESCRIBE_H

#include <stdio.h>

#include "server/base/err.h"
#include "server/config/option.h"

/* Prints every option: its path, type with range or words, default and sentence:
 *
 *     listeners[].timeouts.head (time 1s..1h; default 10s)
 *         Longest wait ...
 *
 * "[reverse]" instead of "[]" marks options of that family alone. A table that
 * was printed before is referred to. With a name, prints only options whose
 * path has it as a component or as its end ("head",
 * "timeouts.head", "reverse"), and what lies below. Returns 0, or -1
 * with err proposing the nearest name when there is none such. */
int describe_options(FILE *out, const struct option *root, const char *name, struct err *err);

/* Prints the OPTIONS section of bascule.conf(5) in the man macros. */
void describe_man(FILE *out, const struct option *root);

#endif
