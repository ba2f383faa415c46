/* SPDX-License-Identifier: BSD-2-Clause */
/* body_limit.c - lowers the limit of request content for a site, a route or a
 * listener.
 *
 * Only says the number. A length that is known is refused before anything is
 * read of it (modes/road.c); what comes in chunks is counted where it is read,
 * and the origin never takes the part it got for the whole. Both answer 413.
 */
#include "config.h"

#include "filters/body_limit.h"

struct body_limit_conf {
    struct filter_conf filter;
    uint64_t max_bytes;
};

static const struct option options[] = {
    { .name = "max", .type = OPTION_SIZE, .offset = offsetof(struct body_limit_conf, max_bytes),
      .is_required = true, .min = 1,
      .text = "Longest request content; longer gets 413. The smallest of all limits that apply "
              "counts." },
    { .name = NULL },
};

static enum filter_verdict
request_head(const void *arg, void *state, struct exchange *ex)
{
    const struct body_limit_conf *conf = arg;

    (void)state;
    if (ex->body_limit_bytes == 0 || ex->body_limit_bytes > conf->max_bytes)
        ex->body_limit_bytes = conf->max_bytes;
    return FILTER_NEXT;
}

/* The road has refused it: the log shall name whose limit it was. */
static enum filter_verdict
deliver_head(const void *arg, void *state, struct exchange *ex)
{
    const struct body_limit_conf *conf = arg;

    (void)state;
    if (ex->response.status == 413 && ex->end == END_LIMIT && ex->refusal == NULL &&
        ex->body_limit_bytes == conf->max_bytes)
        exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "body_limit: over max");
    return FILTER_NEXT;
}

const struct filter_ops body_limit_filter = {
    .name = "body_limit",
    .text = "Bounds the content of requests.",
    .options = options,
    .conf_bytes = sizeof(struct body_limit_conf),
    .request_head = request_head,
    .deliver_head = deliver_head,
};
