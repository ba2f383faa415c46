/* SPDX-License-Identifier: BSD-2-Clause */
/* waf_library.h - all that the filter waf asks of libmodsecurity.
 *
 * waf_modsecurity.c does it, waf_absent.c stands in its place where the library's headers were
 * not there to build with. It is C++: only that file calls it, by its C functions, and an
 * exception that it does not catch (there is no memory) ends the process, which the supervisor
 * starts again. It is not linked, but loaded with the first rules (waf_functions.h).
 *
 * Files are read and compiled once for the whole process, whoever names them, and again when
 * one of them, or another file in their folders, has changed (registry.h). The rules of one
 * filter are its own few and references to these.
 */
#ifndef BASCULE_WAF_LIBRARY_H
#define BASCULE_WAF_LIBRARY_H

#include "filters/waf_message.h"
#include "server/config/option.h"

#include <stdatomic.h>

struct waf_rules;
struct waf_transaction;

extern const bool waf_is_built_in;

/* ---- rules */

/* In this order. */
struct waf_plan {
    const char *setup;           /* rules of our own, from options */
    const char *directives;      /* of the operator, a line each; NULL: none */
    const struct strings *files; /* paths and patterns of them */
    const char *core;            /* a pattern: the core rule set; NULL: none */
};

/* Reads what was not read before; the first one loads the library. NULL with err, which names
 * file and line, or what of the library is missing. May take a second; not for workers. */
struct waf_rules *waf_rules_adopt(const struct waf_plan *plan, struct err *err);

/* For any thread. */
struct waf_rules *waf_rules_ref(struct waf_rules *rules);
void waf_rules_unref(struct waf_rules *rules);

/* ---- one request and its response */

struct waf_field {
    struct slice name, value;
};

/* A message as it came. Borrows everything. */
struct waf_message {
    const char *client, *server; /* addresses */
    const char *method, *target, *version; /* "GET", "/path?query", "1.1" */
    const struct waf_field *fields; /* of the request */
    size_t field_count;
    uint16_t status; /* of the response */
    const struct waf_field *response_fields;
    size_t response_field_count;
    struct slice content;
};

#define WAF_HITS_MAX 16

struct waf_verdict {
    bool is_disruptive;
    uint16_t status;     /* with is_disruptive: what the rule wants */
    char *location;      /* with is_disruptive: of a redirection; allocated; NULL: none */
    struct waf_hit by;   /* with is_disruptive: the rule */
    struct waf_hit hits[WAF_HITS_MAX]; /* others that were true, as far as they log */
    unsigned hit_count;  /* of all; those behind the last are not kept */
};

/* Borrows rules. What follows is for one thread at a time, and takes a millisecond: not for
 * workers. NULL when memory is short. */
struct waf_transaction *waf_transaction_new(struct waf_rules *rules);

/* Adds to verdict what the rules say of the request, up to the first that disrupts. */
void waf_judge_request(struct waf_transaction *transaction, const struct waf_message *message,
                       struct waf_verdict *verdict);

/* The same of the response. If the request was not judged, rules learn of it first, and
 * whatever they say of it is not told. */
void waf_judge_response(struct waf_transaction *transaction, const struct waf_message *message,
                        struct waf_verdict *verdict);

/* Runs the rules that come last and frees it. NULL is fine. */
void waf_transaction_end(struct waf_transaction *transaction);

#endif
