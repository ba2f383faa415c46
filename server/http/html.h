/* SPDX-License-Identifier: BSD-2-Clause */
/* html.h - text made harmless for pages. */
#ifndef BASCULE_HTML_H
#define BASCULE_HTML_H

#include "server/base/arena.h"

/* The text as it may stand in content and between quotes of an attribute. What is
 * no UTF-8, controls, and characters that change how the rest is read (directions
 * of writing, line separators) become U+FFFD. Empty when the arena is spent. */
struct slice html_escape(struct arena *arena, struct slice text);

#endif
