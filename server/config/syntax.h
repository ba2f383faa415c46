/* SPDX-License-Identifier: BSD-2-Clause */
/* syntax.h - is this a configuration at all, and if not, why.
 *
 * Checks the grammar in words for people and rewrites the text into the form
 * that every version of libconfig reads alike: nothing but tokens, each on the
 * line it was written on.
 */
#ifndef BASCULE_SYNTAX_H
#define BASCULE_SYNTAX_H

#include "server/base/err.h"
#include "server/config/source.h"

/* Settings nest this deep at most, and a group has at most so many. */
#define SYNTAX_DEPTH_MAX 32
#define SYNTAX_NAMES_MAX 512

/* The rewritten text, from malloc(), or NULL with err naming file and line. */
char *config_syntax_rewrite(const struct config_source *source, struct err *err);

#endif
