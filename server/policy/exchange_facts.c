/* SPDX-License-Identifier: BSD-2-Clause */
/* exchange_facts.c - one view of an exchange, whatever mode it belongs to. */
#include "config.h"

#include "server/policy/exchange_facts.h"

#include "modes/mode.h"
#include "server/http/exchange.h"
#include "server/tls/tls_session.h"

void
exchange_facts(const struct exchange *ex, const struct tls_session *tls, int64_t now_s,
               struct facts *facts)
{
    const struct request *request = &ex->request;
    bool is_connect = request->method == METHOD_CONNECT;

    *facts = (struct facts){
        .known = STAGE_BIT(STAGE_CONNECTION) | STAGE_BIT(STAGE_HEAD),
        .to_come = STAGE_BIT(STAGE_USER) | STAGE_BIT(STAGE_DESTINATION) |
                   STAGE_BIT(STAGE_RESPONSE),
        .arena = (struct arena *)&ex->arena,
        .listener = slice_of(ex->listener->name),
        .mode = slice_of(ex->listener->mode->name),
        .client = ex->client_ip,
        .now_s = now_s,
        .tls = tls,
        .request = request,
        .host = request->host,
        .port = request->port,
        .path = ex->normal_path,
        .query = request->query,
    };
    if (tls != NULL)
        facts->server_name = tls_session_facts(tls)->server_name;
    if (is_connect) { /* whose response is our own */
        facts->to_come |= STAGE_BIT(STAGE_SNI);
        facts->to_come &= ~STAGE_BIT(STAGE_RESPONSE);
        return;
    }
    facts->known |= STAGE_BIT(STAGE_SNI); /* which is that of the client's own TLS */
    facts->tunnel_name = facts->server_name;
}
