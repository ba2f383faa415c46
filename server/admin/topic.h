/* SPDX-License-Identifier: BSD-2-Clause */
/* topic.h - what the daemon can be asked besides its own affairs: the contract
 * between the control socket and those above server/, who know the answers.
 *
 * All of it is called on the main thread of the worker process.
 */
#ifndef BASCULE_TOPIC_H
#define BASCULE_TOPIC_H

#include "server/admin/inquiry.h"
#include "server/base/slice.h"

struct snapshot;
struct status_facts;

/* Who passes a request on. The whole of it stays until is_busy() is false. */
struct topic_home {
    struct loop *loop;
    struct snapshot *snapshot;
    void *arg;
    /* Answers a request, now or later; takes text, from malloc(). */
    void (*answer)(void *arg, uint64_t ticket, bool is_ok, char *text, size_t bytes);
};

struct topic {
    const char *word; /* with which its requests begin */
    /* The page that answers a request with the numbers of all threads; NULL: it is
     * none of these, but one for ask(). */
    render_fn *(*page)(struct slice request);
    /* Sees to any other request that begins with its word. False: it is not known. NULL:
     * there is none. */
    bool (*ask)(const struct topic_home *home, uint64_t ticket, struct slice request);
    /* Its part of `status`: lines of the text, and a member of the JSON object with
     * a comma in front. */
    render_fn *status_text, *status_json;
    render_fn *metrics;
    /* Whether answers are owed still. NULL: never. */
    bool (*is_busy)(void);
};

#endif
