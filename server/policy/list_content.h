/* SPDX-License-Identifier: BSD-2-Clause */
/* list_content.h - what a list holds once it is compiled.
 *
 * Built by one thread, then read-only for all.
 */
#ifndef BASCULE_LIST_CONTENT_H
#define BASCULE_LIST_CONTENT_H

#include "server/base/list.h"
#include "server/policy/domain_set.h"
#include "server/policy/list.h"
#include "server/policy/prefix_set.h"
#include "server/policy/url_set.h"

/* What an entry says of what it names and of all below that. */
enum list_effect {
    LIST_PUT,         /* it is in the list */
    LIST_SPARE,       /* it is not, whatever else says so */
    LIST_SPARE_ABOVE, /* it is not, for entries at or above it; below it there may be others */
};

struct list_content {
    enum list_kind kind;
    struct domain_set domains, spared, spared_above;
    struct url_set urls;
    struct arena arena; /* of networks */
    struct prefix_set *networks; /* and addresses among domains */
    struct prefix_set *spared_networks;
    uint64_t entries, max_entries, max_expressions;
    bool may_except_above; /* while it is built: LIST_SPARE_ABOVE may come */
    bool is_zone_late;     /* the same: that was not known from the beginning */
    bool is_over;          /* the same: no more can be added */
    int64_t loaded_s;

    /* Of one that was replaced. */
    struct list link;
    uint64_t round; /* of grace (server/net/grace.h) */
};

/* NULL when memory is short. */
struct list_content *list_content_new(const struct list_conf *conf);

/* NULL is fine. */
void list_content_free(struct list_content *content);

/* Each adds one entry, as it is written in a file. 0, or -1 with err: what is wrong
 * with it; or, when is_over has become true, that memory is short or there are more
 * than max_entries or max_expressions. */
int list_content_add_domain(struct list_content *content, struct slice text,
                            enum list_effect effect, struct err *err);
int list_content_add_network(struct list_content *content, struct slice text, struct err *err);
int list_content_add_url(struct list_content *content, struct slice text, struct err *err);
int list_content_add_expression(struct list_content *content, struct slice text, struct err *err);

/* By the kind of the list. */
int list_content_add(struct list_content *content, struct slice text, struct err *err);

/* After the last was added. -1: memory is short. */
int list_content_seal(struct list_content *content);

/* Bytes that it takes. */
uint64_t list_content_bytes(const struct list_content *content);

bool list_content_has_host(const struct list_content *content, struct slice host,
                           struct slice *entry);
bool list_content_has_ip(const struct list_content *content, const struct ip *ip);
bool list_content_has_url(const struct list_content *content, struct slice host,
                          struct slice path, struct slice query);

#endif
