/* SPDX-License-Identifier: BSD-2-Clause */
/* inquiry.h - questions of commands that need numbers from all threads.
 *
 * The threads are asked by mail; when the last one has answered, or half a
 * second is over, the facts are gathered and all who wait get their page.
 */
#ifndef BASCULE_INQUIRY_H
#define BASCULE_INQUIRY_H

#include <stdbool.h>
#include <stdio.h>

#include "server/net/loop.h"

struct status_facts;

#define QUESTIONS_MAX 32

typedef void render_fn(FILE *out, const struct status_facts *facts);

struct inquiry_ops {
    void (*ask_threads)(void *arg); /* leads to inquiry_answer() */
    void (*gather)(void *arg, struct status_facts *facts);
    void (*answer)(void *arg, uint64_t ticket, char *text, size_t bytes); /* takes text */
};

struct inquiry {
    struct loop *loop;
    const struct inquiry_ops *ops;
    void *arg;
    struct timer limit;
    unsigned count;
    struct {
        uint64_t ticket;
        render_fn *render;
    } questions[QUESTIONS_MAX];
};

void inquiry_init(struct inquiry *inquiry, struct loop *loop, const struct inquiry_ops *ops,
                  void *arg);
void inquiry_fini(struct inquiry *inquiry);

/* False: too many are waiting. */
bool inquiry_ask(struct inquiry *inquiry, uint64_t ticket, render_fn *render);

/* The threads have answered. */
void inquiry_answer(struct inquiry *inquiry);

#endif
