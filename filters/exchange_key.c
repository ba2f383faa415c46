/* SPDX-License-Identifier: BSD-2-Clause */
/* exchange_key.c - the facts of an exchange that keys are made of. */
#include "config.h"

#include "filters/exchange_key.h"

#include "server/http/exchange.h"
#include "server/http/uri.h"
#include "server/policy/exchange_facts.h"

/* Where no policy or route has asked for it. A path that has no normal form is not there. */
static void
find_path(struct exchange *ex)
{
    if (ex->normal_path.data == NULL && ex->request.path.bytes > 0 &&
        ex->request.method != METHOD_CONNECT && ex->request.form != TARGET_ASTERISK)
        ex->normal_path = uri_normal_path(ex->request.path, &ex->arena);
}

void
exchange_key_facts(struct exchange *ex, struct facts *facts)
{
    find_path(ex);
    exchange_facts(ex, ex->down->client->tls, (int64_t)(loop_wall_ms(ex->worker->loop) / 1000),
                   facts);
    facts->user = ex->user;
}
