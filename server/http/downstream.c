/* SPDX-License-Identifier: BSD-2-Clause */
/* downstream.c - which protocol a connection is for. */
#include "config.h"

#include "server/http/downstream.h"

#include "modes/mode.h"
#include "server/http/h1_downstream.h"
#include "server/http/h2_downstream.h"
#include "server/tls/tls_session.h"

void
http_downstream_open(struct worker *worker, struct listener_conf *listener,
                     const struct accepted *accepted)
{
    if (accepted->tls != NULL && tls_session_facts(accepted->tls)->alpn == ALPN_H2)
        h2_downstream_open(worker, listener, accepted);
    else
        h1_downstream_open(worker, listener, accepted);
}
