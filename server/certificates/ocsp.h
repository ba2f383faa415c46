/* SPDX-License-Identifier: BSD-2-Clause */
/* ocsp.h - asks an authority whether a certificate of its is good (RFC 6960), and
 * judges the answer.
 *
 * One question at a time for each certificate, over plain HTTP, as authorities
 * offer it: the answer is signed. On a loop, never blocking.
 */
#ifndef BASCULE_OCSP_H
#define BASCULE_OCSP_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/err.h"
#include "server/base/slice.h"
#include "server/certificates/certificates.h"
#include "server/net/loop.h"
#include "server/net/resolve.h"

struct ocsp_question;

/* An answer that says "good", to be shown to clients. */
struct ocsp_answer {
    struct slice der;     /* of the whole response; borrowed */
    int64_t next_update_s; /* since 1970: good until then */
};

/* Whether it says whom to ask, and the file has who issued it. */
bool ocsp_can_ask(const struct certificate *certificate);

/* Asks. on_done is called once, never from here: with an answer, or NULL and why
 * there is none. Borrows certificate until then. All is over within 10 seconds and the
 * resolver's limit. NULL with err. */
typedef void ocsp_done_fn(void *arg, const struct ocsp_answer *answer, const struct err *why);
struct ocsp_question *ocsp_ask(struct loop *loop, struct resolver *resolver,
                               const struct certificate *certificate, ocsp_done_fn *on_done,
                               void *arg, struct err *err) MUST_USE;

/* on_done will not be called. */
void ocsp_cancel(struct ocsp_question *question);

/* Judges a response: to this certificate, signed by its issuer or whom that one
 * appointed, of now, "good". 0, or -1 with err. */
int ocsp_judge(const struct certificate *certificate, struct slice response,
               int64_t *next_update_s, struct err *err);

#endif
