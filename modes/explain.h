/* SPDX-License-Identifier: BSD-2-Clause */
/* explain.h - what is said of a request: thought of, or of the trail.
 *
 * As text for people, the answer first; as one JSON object for programs.
 */
#ifndef BASCULE_EXPLAIN_H
#define BASCULE_EXPLAIN_H

#include "modes/hypothesis.h"
#include "server/admin/topic.h"

#include <stdio.h>

struct trail_entry;

void explain_text(FILE *out, const struct hypothesis *hypothesis);
void explain_json(FILE *out, const struct hypothesis *hypothesis);

/* Why the rule of that name (or "FILE:LINE", or the end of that) is not true: its first
 * condition that is false. 0, or -1 with err when there is no such rule in a policy that
 * has a say. */
int explain_why_not(FILE *out, const struct hypothesis *hypothesis, struct slice rule,
                    bool is_json, struct err *err);

void explain_entry_text(FILE *out, const struct trail_entry *entry);
void explain_entry_json(FILE *out, const struct trail_entry *entry);

/* ---- words, for both forms */

/* "no-ads", or "bascule.conf:12". Returns text. */
const char *explain_rule_name(const struct rule_conf *rule, char text[RULE_ID_BYTES]);

/* Each thing that the rule does besides its verdict: "tags video", "limit logins". text is
 * good until say returns. */
void explain_effects(const struct rule_conf *rule, void (*say)(void *arg, const char *text),
                     void *arg);

/* "deny", "deny, log only" ...; what the rule does when it is true. Static. */
const char *explain_action(const struct rule_conf *rule);

/* Requests of commands (server/admin/topic.h):
 *
 *     explain TAB id TAB FORM TAB ID
 *     explain TAB ask TAB FORM [TAB why-not=RULE] [TAB WORD=VALUE]...
 *
 * FORM: text or json. WORD: "method", "url", or one of question_words. */
extern const struct topic explain_topic;

#endif
