/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_demands.c - compares what was shown and proved with what is asked. */
#include "config.h"

#include "server/tls/tls_demands.h"

#include <pthread.h>

#include "server/base/hash.h"
#include "server/certificates/certificates.h"
#include "server/host_map.h"
#include "server/schema.h"
#include "server/tls/tls_session.h"

static struct hash_key key;

static void
make_key(void)
{
    hash_key_random(&key);
}

const struct client_certificate_conf *
tls_demands_of(const struct listener_conf *listener, const struct site_conf *site)
{
    return site != NULL && site->client.place.line > 0 ? &site->client : &listener->tls.client;
}

uint64_t
tls_demands_id(const struct client_certificate_conf *conf)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    uint64_t id;

    if (conf->place.line == 0 || conf->mode == CLIENT_CERTIFICATE_OFF)
        return 0;
    pthread_once(&once, make_key);
    id = hash_bytes(slice_of(conf->ca), &key);
    if (conf->crl != NULL)
        id = id * 31 + hash_bytes(slice_of(conf->crl), &key);
    return (id * 31 + (uint64_t)conf->depth) * 4 + (uint64_t)conf->mode;
}

const struct certificate_set *
tls_set_of(const struct listener_conf *listener, const struct site_conf *site)
{
    return site != NULL && site->set != NULL ? site->set : listener->tls.set;
}

bool
tls_facts_suit(const struct tls_facts *facts, const struct listener_conf *listener,
               const struct site_conf *site)
{
    const struct certificate_set *set = tls_set_of(listener, site);

    return set != NULL && facts->set_id == certificate_set_id(set) &&
           facts->client_demands == tls_demands_id(tls_demands_of(listener, site));
}

bool
tls_facts_prove(const struct tls_facts *facts, const struct listener_conf *listener)
{
    uint64_t demands = tls_demands_id(&listener->tls.client);

    return demands == 0 || facts->client_demands == demands;
}

bool
tls_is_current(const struct tls_session *session, const struct listener_conf *listener)
{
    const struct tls_facts *facts;
    const struct site_conf *site;

    if (session == NULL)
        return true;
    facts = tls_session_facts(session);
    if (listener->sites == NULL)
        return tls_facts_prove(facts, listener);
    site = host_map_find(listener->sites, facts->server_name);
    return tls_facts_suit(facts, listener, site) && (site == NULL || site->pass_through == NULL);
}

bool
tls_demands_tls(const struct site_conf *site)
{
    return site->client.place.line > 0 && site->client.mode == CLIENT_CERTIFICATE_REQUIRED;
}
