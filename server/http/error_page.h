/* SPDX-License-Identifier: BSD-2-Clause */
/* error_page.h - the content of answers that Bascule makes itself: refusals
 * and failures, for people (HTML) and for programs (RFC 9457).
 *
 * Nothing in a page names the product, a file's folder or an endpoint. All
 * that is put into one is escaped, wherever it came from.
 */
#ifndef BASCULE_ERROR_PAGE_H
#define BASCULE_ERROR_PAGE_H

#include "server/base/arena.h"
#include "server/config/option.h"

/* A small, self-contained page: what happened, why (plain words; NULL: the
 * status alone), which rule decided (NULL: none; shown as file:line) and the
 * exchange's number, as the log writes it. Empty when the arena is spent. */
struct slice error_page_html(struct arena *arena, unsigned status, const char *why,
                             const struct place *rule, uint64_t exchange_id);

/* The same as application/problem+json (RFC 9457). */
struct slice error_page_json(struct arena *arena, unsigned status, const char *why,
                             const struct place *rule, uint64_t exchange_id);

/* Which of the two suits an Accept field (RFC 9110 section 12.5.1). HTML is for
 * who asks for HTML by name and wants it at least as much as anything else,
 * which is what browsers do for pages; JSON is for who names JSON with the same
 * quality, who takes anything (curl, scripts, a page's images), and who says
 * nothing at all. */
bool error_page_wants_html(struct slice accept);

#endif
