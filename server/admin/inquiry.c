/* SPDX-License-Identifier: BSD-2-Clause */
/* inquiry.c - collects questions while the threads are asked once for all. */
#include "config.h"

#include "server/admin/inquiry.h"

#include "server/admin/status.h"

#define PATIENCE_MS 500

static void
on_limit(struct timer *timer)
{
    inquiry_answer(container_of(timer, struct inquiry, limit));
}

void
inquiry_init(struct inquiry *inquiry, struct loop *loop, const struct inquiry_ops *ops, void *arg)
{
    *inquiry = (struct inquiry){ .loop = loop, .ops = ops, .arg = arg };
    timer_init(&inquiry->limit, on_limit);
}

void
inquiry_fini(struct inquiry *inquiry)
{
    timer_disarm(&inquiry->limit);
}

bool
inquiry_ask(struct inquiry *inquiry, uint64_t ticket, render_fn *render)
{
    if (inquiry->count == QUESTIONS_MAX)
        return false;
    inquiry->questions[inquiry->count].ticket = ticket;
    inquiry->questions[inquiry->count].render = render;
    if (++inquiry->count > 1)
        return true; /* the threads are being asked */
    timer_arm(inquiry->loop, &inquiry->limit, PATIENCE_MS);
    inquiry->ops->ask_threads(inquiry->arg);
    return true;
}

static void
answer_one(struct inquiry *inquiry, uint64_t ticket, render_fn *render,
           const struct status_facts *facts)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);

    if (out != NULL) {
        render(out, facts);
        fclose(out);
    }
    inquiry->ops->answer(inquiry->arg, ticket, text, bytes);
}

void
inquiry_answer(struct inquiry *inquiry)
{
    struct status_facts facts;
    unsigned count = inquiry->count;

    timer_disarm(&inquiry->limit);
    if (count == 0)
        return;
    inquiry->count = 0;
    inquiry->ops->gather(inquiry->arg, &facts);
    for (unsigned i = 0; i < count; i++)
        answer_one(inquiry, inquiry->questions[i].ticket, inquiry->questions[i].render, &facts);
}
