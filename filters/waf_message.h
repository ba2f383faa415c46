/* SPDX-License-Identifier: BSD-2-Clause */
/* waf_message.h - what libmodsecurity says, in sentences, as facts.
 *
 * Its messages hold bytes of the client, unescaped, before and behind what they tell of the
 * rule. So a message in which more than one rule seems to be named tells of none.
 */
#ifndef BASCULE_WAF_MESSAGE_H
#define BASCULE_WAF_MESSAGE_H

#include "server/base/err.h"

/* A rule that was true. Texts are cut to fit, and may hold bytes of the client. */
struct waf_hit {
    unsigned id;       /* 0: not known */
    char where[64];    /* "ARGS:q"; empty: it does not say */
    char message[112]; /* of the rule: "SQL Injection Attack Detected via libinjection" */
};

/* Reads a log message of a rule. */
void waf_message_read(const char *text, struct waf_hit *hit);

/* Fills err from the library's words on rules that it could not read: "FILE:LINE: what is
 * wrong". loading is what was read, where the words do not name a file. Returns -1. */
int waf_message_error(const char *text, const char *loading, struct err *err);

#endif
