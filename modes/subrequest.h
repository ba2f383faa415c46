/* SPDX-License-Identifier: BSD-2-Clause */
/* subrequest.h - another server is asked for its word: who somebody is, which keys count.
 *
 *     subrequest_start(&subrequest, &order) --> on_done(subrequest, answer)
 *
 * On the calling worker thread, over the usual connections. Bounded in everything: how
 * long, how much content, how many at a time.
 */
#ifndef BASCULE_SUBREQUEST_H
#define BASCULE_SUBREQUEST_H

#include "server/http/exchange.h"

/* Under way at a time on one worker thread. */
#define SUBREQUESTS_MAX 1024

struct subrequest_order {
    struct worker *worker;
    struct generation *generation; /* whose configuration to is of; NULL: the current one */
    struct destination to;         /* host copied, the rest of the generation's */
    enum method method;            /* not CONNECT */
    struct slice method_name;
    struct slice target;           /* "/verify?x=1" */
    struct slice authority;        /* of Host; data NULL: the endpoint's name */
    const struct fields *fields;   /* NULL: none. Hop-by-hop ones are not sent */
    const struct client *client;   /* whom a group's PROXY header names; NULL: nobody */
    size_t content_bytes;          /* kept of the answer's content */
    uint32_t deadline_ms;          /* for all of it */
};

/* All lent, until on_done returns. */
struct subrequest_answer {
    const struct response *response; /* status and fields; NULL: there is none */
    struct slice content;
    bool is_cut;                     /* there was more of it */
    const struct failure *failure;   /* of no response */
};

/* Embedded by who asks; zeroed before its first use. */
struct subrequest {
    struct exchange *ex; /* while it is under way; NULL */
    void (*on_done)(struct subrequest *subrequest, const struct subrequest_answer *answer);
};

/* Asks. on_done is called once, perhaps before this returns, and may free subrequest.
 * Copies what order has but for the configuration. False: there are too many, or memory
 * is short; then on_done is not called. */
MUST_USE bool subrequest_start(struct subrequest *subrequest,
                               const struct subrequest_order *order,
                               void (*on_done)(struct subrequest *,
                                               const struct subrequest_answer *));

/* What is wrong with an answer that is of no use, for logs: what failed, or the status; in
 * words that are static, or in text. */
#define SUBREQUEST_WORDS_BYTES 32
const char *subrequest_words(const struct subrequest_answer *answer,
                             char text[SUBREQUEST_WORDS_BYTES]);

/* on_done will not be called. Harmless when nothing is under way. */
void subrequest_cancel(struct subrequest *subrequest);

#endif
