/* SPDX-License-Identifier: BSD-2-Clause */
/* hide_server_inside.h - what the parts of the filter hide_server share.
 *
 *     hide_server.c         options, hooks, pages
 *     hide_server_url.c     URLs that lead to endpoints, and paths that the route changes
 *     hide_server_cookie.c  domains and paths of cookies
 *     hide_server_text.c    names and addresses in any text
 *     hide_server_body.c    the same in content
 */
#ifndef BASCULE_HIDE_SERVER_INSIDE_H
#define BASCULE_HIDE_SERVER_INSIDE_H

#include "filters/hide_server.h"
#include "filters/transform.h"

/* ---- URLs and cookies: value itself when it is right as it is; otherwise a new one in
 * the exchange's arena, empty when that is spent. ex->to has a group. */

/* An absolute or relative URL. */
struct slice hide_map_url(struct exchange *ex, struct slice url);

/* "5; url=http://..." */
struct slice hide_map_refresh(struct exchange *ex, struct slice value);

/* "<http://...>; rel=preload, <...>" */
struct slice hide_map_link(struct exchange *ex, struct slice value);

/* "name=value; Domain=app.internal; Path=/" */
struct slice hide_map_cookie(struct exchange *ex, struct slice cookie);

/* ---- their parts */

/* An authority taken apart. */
struct place_on_net {
    struct slice host;
    int port; /* -1: not said */
};

/* False: it is none. */
bool hide_take_apart(struct slice authority, struct place_on_net *place);

/* A path of a server is: before, and what is then left of it. */
struct mapped {
    struct slice before, left;
};

/* Takes back what the route did to the request's path (modes/site_route.c).
 * Behind the path, url may have a query and a fragment. What lies outside the
 * added prefix cannot be reached through the route, and stays; so does what
 * has the stripped prefix already, from a server that knows of it. */
struct mapped hide_map_path(const struct exchange *ex, struct slice url);

/* A route's prefix without a slash at its end; empty when there is none. */
struct slice hide_prefix_of(const char *text);

/* Whether the path begins with whole segments of the prefix. */
bool hide_is_under(struct slice path, struct slice prefix);

/* What goes in front of the servers' paths for clients. */
struct slice hide_stripped(const struct exchange *ex);

/* ---- names and addresses in text */

/* What is hidden from one client, and what takes its place. */
struct hide_text {
    const struct config_list *endpoints; /* NULL: none */
    struct slice asked;                  /* host by which we asked them; empty: the client's */
    struct slice host, authority;        /* of the client's URL */
    int port;
    bool is_tls;
    const struct prefix_set *masked;     /* addresses of no endpoint, too; NULL: none */
};

void hide_text_init(struct hide_text *hidden, const struct hide_server_conf *conf,
                    const struct exchange *ex);

/* A piece of text, and what is to stand there. */
struct hide_found {
    size_t start, end;
    struct slice parts[3];
};

/* The longest text that one thing hidden may take; parts are no longer. */
#define HIDE_TEXT_BYTES_MAX 300

/* Finds what is hidden in text, from byte from on. The byte before text[0] is before (0:
 * there is none). False: nothing is; found->start is then how much of the text is settled,
 * all of it with is_end, otherwise what follows may go with the rest. */
bool hide_text_find(const struct hide_text *hidden, struct slice text, size_t from, char before,
                    bool is_end, struct hide_found *found);

/* The text for clients: itself when nothing in it is hidden, otherwise of the arena. */
struct slice hide_text_map(const struct hide_text *hidden, struct slice text,
                           struct arena *arena);

/* ---- content */

struct hide_body;

/* Asks upstream for whole content that is not coded, as other cannot be looked through. */
void hide_body_ask(struct exchange *ex);

/* Whether the response's content is text that may be changed. */
bool hide_body_is_wanted(const struct exchange *ex);

/* Makes the response's fields ready for other content, sent or not (HEAD). In the
 * exchange's arena; NULL when that is spent. */
struct hide_body *hide_body_new(const struct hide_server_conf *conf, struct exchange *ex);

/* inner, looked through; NULL when memory is short. */
struct source *hide_body_source(struct hide_body *body, struct exchange *ex,
                                struct source *inner);

#endif
