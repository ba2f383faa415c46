/* SPDX-License-Identifier: BSD-2-Clause */
/* error_page.h - the content of answers that Bascule makes itself: refusals
 * and failures, for people (HTML) and for programs (RFC 9457).
 *
 * Nothing in a page names the product, a file's folder or an endpoint. All
 * that is put into one is escaped, wherever it came from. Who wants another page
 * for people writes a template (page_template.h).
 */
#ifndef BASCULE_ERROR_PAGE_H
#define BASCULE_ERROR_PAGE_H

#include "server/base/arena.h"
#include "server/config/option.h"
#include "server/net/address.h"

struct page_template;

/* What a listener or a site says about its pages. */
struct error_page_conf {
    const char *path;    /* of a template; NULL: the built-in page */
    const char *contact; /* "mailto:it@example.com", a URL; NULL: nobody to ask */
    struct page_template *template; /* read when the snapshot was adopted */
};

/* What a page tells. All borrowed. */
struct page_facts {
    unsigned status;
    const char *why;     /* plain words; NULL: what the status means will do */
    struct slice rule;   /* name of the rule that denied it; empty: it has none, or none did */
    uint64_t id;         /* of the exchange, as the log writes it */
    uint64_t wall_ms;
    struct slice url, host, user;
    struct ip client;
    const char *contact; /* whom to ask for a review; NULL: nobody */
    bool is_refusal;     /* nothing failed: the built-in pages name the contact */
};

/* A small, self-contained page: what happened, why, which rule decided, the
 * exchange's number and whom to ask. Empty when the arena is spent. */
struct slice error_page_html(struct arena *arena, const struct page_facts *facts);

/* The same as application/problem+json (RFC 9457). */
struct slice error_page_json(struct arena *arena, const struct page_facts *facts);

/* What a status means for whoever sees the page, and what they can do. Static. */
const char *error_page_meaning(unsigned status);

/* Where a review is asked for, as a URI that names the exchange; empty: nowhere. */
struct slice error_page_contact(struct arena *arena, const struct page_facts *facts);

/* Whether contact is "mailto:..." or an http URL, safe in a page. 0, or -1 with err. */
int error_page_check_contact(const char *contact, struct err *err);

/* Which of the two suits an Accept field (RFC 9110 section 12.5.1). HTML is for
 * who asks for HTML by name and wants it at least as much as anything else,
 * which is what browsers do for pages; JSON is for who names JSON with the same
 * quality, who takes anything (curl, scripts, a page's images), and who says
 * nothing at all. */
bool error_page_wants_html(struct slice accept);

#endif
