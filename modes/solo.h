/* SPDX-License-Identifier: BSD-2-Clause */
/* solo.h - an exchange without a client: it is Bascule itself that asks.
 *
 *     fetch.c        for the cache
 *     subrequest.c   for whoever needs another server's word
 *
 * It knows its way already and begins on the road where requests go upstream.
 * Nobody leads it; it keeps the configuration it began with alive, and a thread
 * does not end before it.
 */
#ifndef BASCULE_SOLO_H
#define BASCULE_SOLO_H

#include "modes/mode.h"
#include "server/http/exchange.h"

struct solo_ops {
    /* The step that takes the place of delivery: a response is in ex->response, with
     * content to be poured. ex->up is NULL when there is none, and ex->failure says why. */
    enum step (*deliver)(struct exchange *ex);
    /* 1xx other than 101. NULL: of no interest. */
    void (*interim)(struct exchange *ex, unsigned status, const struct fields *fields);
    /* The exchange is over and about to be freed. is_whole: the content was poured to
     * its end. */
    void (*finish)(struct exchange *ex, bool is_whole);
};

/* Who asks embeds it at the front of its own struct, in the exchange's arena. */
struct solo {
    const struct solo_ops *ops;
    struct exchange *ex;
    struct list link; /* worker->solos */
    struct downstream down;
    struct client client;
};

/* An exchange of that generation, or of the worker's current one (NULL), with zeroed
 * memory of bytes as its ex->solo. Copies client, which a PROXY header names; its TLS
 * session is not kept. NULL when memory is short. Ends with exchange_free() if it is
 * not started. */
struct exchange *solo_new(struct worker *worker, struct listener_conf *listener,
                          struct generation *generation, const struct client *client,
                          size_t bytes, const struct solo_ops *ops);

/* Copies that live as long as the exchange; text without data stays so. */
struct slice solo_copy(struct exchange *ex, struct slice text);
void solo_copy_fields(struct exchange *ex, const struct fields *from);

/* Sends it upstream. It may be over before this returns. */
void solo_start(struct exchange *ex);

/* What deliver() may say: the content goes into ex->down->sink and then the exchange
 * ends; or it ends now. */
enum step solo_pour(struct exchange *ex);
enum step solo_end(struct exchange *ex, bool is_whole);

/* Ends all of this thread. */
void solos_kill(struct worker *worker);

#endif
