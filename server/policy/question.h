/* SPDX-License-Identifier: BSD-2-Clause */
/* question.h - a request that is only thought of: what `bascule explain` and the
 * `expect` blocks of a configuration ask about.
 *
 * What is not said has a usual value, or is not known: then a rule that asks for it
 * cannot be judged, and the answer says so.
 */
#ifndef BASCULE_QUESTION_H
#define BASCULE_QUESTION_H

#include "server/base/arena.h"
#include "server/base/err.h"
#include "server/net/address.h"

#define QUESTION_ITEMS_MAX 64u /* groups, fields: of each */

struct question {
    struct slice listener;      /* empty: the first that takes such a request */
    struct slice method, url;   /* empty: a connection without HTTP */
    struct ip client;
    struct slice user;          /* empty: nobody has proved who it is */
    struct slice groups[QUESTION_ITEMS_MAX];
    unsigned group_count;
    struct slice fields[QUESTION_ITEMS_MAX]; /* "Name: value", of the request */
    unsigned field_count;
    int64_t time_s;             /* since 1970; 0: now */
    struct ip destination;      /* family 0: not known, unless the URL has it */
    struct slice server_name;   /* in the TLS inside a tunnel, or that the client comes by */
    uint16_t status;            /* of the response; 0: not known */
    struct slice response_fields[QUESTION_ITEMS_MAX];
    unsigned response_field_count;
    bool has_client, has_server_name;
};

/* What may be said, by name: "listener", "from", "user", "group", "header", "time",
 * "destination", "sni", "status", "response-header"; the last is NULL. Flags of the
 * command have the same names. */
extern const char *const question_words[];

/* Reads one of them, or "method" or "url". Borrows value. 0, or -1 with err: what is
 * wrong with it and what would be accepted, beginning with the name. */
int question_set(struct question *question, struct slice name, struct slice value,
                 struct err *err) MUST_USE;

/* "2026-11-23 10:00", of the system's time zone, or with "Z", "UTC" or "+01:00" behind
 * it; "10:00" is today. Seconds may follow the minutes. */
int question_parse_time(struct slice text, int64_t *time_s, struct err *err) MUST_USE;

#endif
