/* SPDX-License-Identifier: BSD-2-Clause */
/* facts.h - what rules may ask about: one view of a connection, a request, a
 * tunnel and a response, whatever mode they belong to.
 *
 * Facts arrive in stages. What belongs to a stage that is over is known, be it
 * empty; what belongs to one that is still to come is not known yet; and what
 * belongs to a stage that this flow does not have (the request of a TCP forward)
 * is absent: no condition about it is true, so that a "not" of one is. The same goes
 * for what there is none of: the user of who is nobody, the destination where a
 * group or another proxy answers. `check` tells of rules that match by such a "not".
 */
#ifndef BASCULE_FACTS_H
#define BASCULE_FACTS_H

#include "server/base/arena.h"
#include "server/http/message.h"
#include "server/net/address.h"
#include "server/users/user.h"

struct tls_session;

enum stage {
    STAGE_CONNECTION,  /* listener, client, time, its TLS */
    STAGE_HEAD,        /* the request */
    STAGE_USER,        /* who it is: asked of whoever sent no credentials */
    STAGE_DESTINATION, /* the address behind the name, before it is connected */
    STAGE_SNI,         /* of the TLS inside a tunnel: after its first bytes */
    STAGE_RESPONSE,    /* the response head */
    STAGE_COUNT,
};

#define STAGE_BIT(stage) (1u << (stage))

/* All borrowed, for as long as an evaluation runs. */
struct facts {
    unsigned known;    /* STAGE_BIT()s of stages that are over */
    unsigned to_come;  /* of those that this flow still has before it */
    struct arena *arena; /* for what is made when asked for: text of certificates */

    /* CONNECTION */
    struct slice listener, mode;     /* their names */
    struct ip client;                /* the true one */
    int64_t now_s;                   /* since 1970 */
    const struct tls_session *tls;   /* of the client's connection; NULL: plain */
    struct slice server_name;        /* SNI of it, or of what is passed through; empty: none */

    /* HEAD */
    const struct request *request;   /* NULL: a TCP flow */
    struct slice host;               /* lower case, without brackets; asked for */
    uint16_t port;
    struct slice path;               /* in the one normal form; empty for CONNECT */
    struct slice query;              /* as received, without "?"; data NULL: none */

    /* USER */
    const struct user *user;         /* NULL: nobody */

    /* DESTINATION */
    struct ip destination;           /* family 0: none (a group or another proxy answers) */

    /* SNI */
    struct slice tunnel_name;        /* lower case; empty: no TLS, or no name in it */

    /* RESPONSE */
    const struct response *response; /* as it came, from upstream or the cache */
};

#endif
