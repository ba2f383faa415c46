/* SPDX-License-Identifier: BSD-2-Clause */
/* chain.h - filters that always run together: those of a listener, or of a site and one of its
 * routes. Made when the configuration is read, so that an exchange passes only those that have
 * something to do on a side.
 */
#ifndef BASCULE_CHAIN_H
#define BASCULE_CHAIN_H

#include "filters/filter.h"

enum filter_side { SIDE_REQUEST, SIDE_FETCH, SIDE_DELIVER, SIDE_END, SIDE_COUNT };

struct filter_link {
    const struct filter_conf *conf;
    const struct filter_ops *ops;
    size_t state_at; /* within the chain's state */
};

struct filter_chain {
    size_t state_bytes;
    struct slice fetch_id; /* what of them works on the side of fetch, and how; empty: nothing */
    struct filter_links {
        struct filter_link *links; /* in the order in which they run */
        unsigned count;
    } sides[SIDE_COUNT];
};

/* What the lists hold (of struct filter_conf), one behind the other. Borrows what is in them.
 * NULL when memory is short. */
const struct filter_chain *filter_chain_new(struct arena *arena,
                                            const struct config_list *const *lists, size_t count);

#endif
