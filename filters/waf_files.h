/* SPDX-License-Identifier: BSD-2-Clause */
/* waf_files.h - the files that patterns of rule files stand for, and how they are now. */
#ifndef BASCULE_WAF_FILES_H
#define BASCULE_WAF_FILES_H

#include "server/base/err.h"
#include "server/base/slice.h"

#include <stddef.h>

struct waf_files {
    char **paths; /* in the order of the patterns; those of one pattern sorted */
    size_t count;
    /* Of them, and of all other files in their folders, which they may include or take
     * words from: another one when any of these has changed. */
    char *identity;
};

/* Patterns are absolute paths, perhaps with * and ? (glob(7)). Each must stand for a file.
 * 0, or -1 with err and nothing to free. */
int waf_files_find(struct waf_files *files, const struct slice *patterns, size_t count,
                   struct err *err) MUST_USE;

void waf_files_free(struct waf_files *files);

#endif
