/* SPDX-License-Identifier: BSD-2-Clause */
/* auth_answer.h - what an authentication server's answer means. */
#ifndef BASCULE_AUTH_ANSWER_H
#define BASCULE_AUTH_ANSWER_H

#include "modes/auth_request.h"
#include "modes/subrequest.h"

/* Of one answer. */
#define AUTH_GROUPS_MAX 256u

/* A user whom the server does not name. */
#define AUTH_UNNAMED "unnamed"

enum auth_word {
    AUTH_LET_IN,   /* 2xx */
    AUTH_TURN_OFF, /* 401, 403, 407, 429, 3xx: the answer is for the client */
    AUTH_NO_WORD,  /* anything else, or none */
};

enum auth_word auth_word_of(const struct subrequest_answer *answer);

/* The user of a 2xx, with the fields for the origin; memory from arena, what can be is
 * borrowed from response. NULL: good; otherwise static words saying why it cannot be
 * believed, or that memory is short. */
const char *auth_answer_user(const struct auth_request_conf *conf,
                             const struct response *response, struct user *user,
                             struct arena *arena);

/* For how long, at most for_ms, the answer counts for equal requests: as its
 * Cache-Control says (RFC 9111 section 5.2.2). Cookies are for one client only. */
uint32_t auth_answer_life_ms(const struct response *response, uint32_t for_ms);

/* Makes of it the answer to ex. is_proxy: a log-in is asked for in the way of proxies. */
void auth_answer_pass(struct exchange *ex, const struct subrequest_answer *answer,
                      bool is_proxy);

#endif
