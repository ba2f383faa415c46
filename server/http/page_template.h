/* SPDX-License-Identifier: BSD-2-Clause */
/* page_template.h - an operator's own error page: HTML in which %{name} stands for
 * what happened, escaped for content and for attributes in quotes. "%%" is a percent
 * sign, and so is one that neither "{" nor "%" follows, which style sheets need.
 *
 *     status     "403"
 *     reason     "Forbidden"
 *     why        the rule's words, or what the status means
 *     rule       name of the rule that denied it; empty: it has none
 *     id         number of the exchange, as in the access log
 *     url        that was asked for
 *     host       of it
 *     client_ip  address of the client, or whom a trusted proxy named
 *     user       who proved who it is
 *     time       "2026-11-22T07:05:00Z"
 *     contact    where a review is asked for: a URI for href; empty: nowhere
 *
 * What is not known is empty.
 */
#ifndef BASCULE_PAGE_TEMPLATE_H
#define BASCULE_PAGE_TEMPLATE_H

#include "server/base/err.h"
#include "server/http/error_page.h"

#define PAGE_TEMPLATE_BYTES_MAX 65536

struct page_template;

/* Compiles text, which is copied. NULL with err, and in *line where in the text, when a
 * name is unknown, a "%{" is not closed, or it is longer than PAGE_TEMPLATE_BYTES_MAX. */
struct page_template *page_template_new(struct arena *arena, struct slice text, unsigned *line,
                                        struct err *err);

/* Reads the file (through the supervisor) and compiles it. NULL with err, which names
 * the file and the line. */
struct page_template *page_template_load(struct arena *arena, const char *path, struct err *err);

/* The page. Empty when the arena is spent. */
struct slice page_template_write(const struct page_template *template, struct arena *arena,
                                 const struct page_facts *facts);

/* The i-th name of a variable; NULL behind the last. For the manual. */
const char *page_template_name(size_t i);

#endif
