/* SPDX-License-Identifier: BSD-2-Clause */
/* hypothesis_inside.h - what the files of hypothesis share. */
#ifndef BASCULE_HYPOTHESIS_INSIDE_H
#define BASCULE_HYPOTHESIS_INSIDE_H

#include "modes/hypothesis.h"

/* ---- hypothesis_request.c */

/* Chooses the listener and makes the request of the question. 0, or -1 with err. */
int hypothesis_ask(struct hypothesis *h, struct err *err);

/* ---- hypothesis_judge.c */

/* One policy more, evaluated as far as facts of the stages that are over tell; for HTTP.
 * False: it decided against the request, and h says how. */
bool hypothesis_judge(struct hypothesis *h, const struct policy_conf *conf, const char *whose,
                      const char *owner);

/* The stage is over, if the question says what came of it. False: as above. */
bool hypothesis_learn(struct hypothesis *h, enum stage stage);

/* The same, all at once, for a connection without HTTP. */
void hypothesis_judge_flow(struct hypothesis *h);

/* A policy waits for what is not known: sets the outcome. */
void hypothesis_wait(struct hypothesis *h);

/* ---- hypothesis_choice.c */

/* Endpoints of the group, and which one would be chosen. */
void hypothesis_choose(struct hypothesis *h);

/* The key of the cache. */
void hypothesis_look_up(struct hypothesis *h);

/* ---- hypothesis.c */

void hypothesis_note(struct hypothesis *h, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
