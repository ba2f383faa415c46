/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_choice.c - name --> site --> certificates and demands --> SSL.
 *
 * OpenSSL asks as soon as it has the ClientHello, before it looks for a session to
 * resume: a session is bound to the choice, so what was proved to one site is never
 * carried to another (RFC 8446 section 4.6.1 would leave that to us). When
 * the certificates are not there yet, the handshake is suspended and asks again.
 */
#include "config.h"

#include "server/tls/tls_choice.h"

#include "server/base/hash.h"
#include "server/host_map.h"
#include "server/tls/client_trust.h"
#include "server/tls/tls_demands.h"
#include "server/tls/tls_openssl.h"

#include <openssl/tls1.h>

#define NAME_BYTES_MAX 255
#define BINDING_BYTES 16

/* ---- the name (RFC 6066 section 3) */

static unsigned
two_bytes(const unsigned char *at)
{
    return (unsigned)at[0] << 8 | at[1];
}

/* Finds the name in the ClientHello. False: there is none, or none of a host. What
 * is malformed OpenSSL refuses by itself. */
static bool
find_name(SSL *ssl, struct slice *name)
{
    const unsigned char *at;
    size_t bytes;

    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_server_name, &at, &bytes) != 1 || bytes < 5 ||
        two_bytes(at) + 2u != bytes || at[2] != TLSEXT_NAMETYPE_host_name ||
        two_bytes(at + 3) + 5u > bytes)
        return false;
    *name = slice_make((const char *)at + 5, two_bytes(at + 3));
    if (name->bytes > 0 && name->data[name->bytes - 1] == '.')
        name->bytes--;
    return name->bytes > 0 && name->bytes <= NAME_BYTES_MAX;
}

/* The name in lower case, kept with the session; empty: none that can be a site's. */
static struct slice
learn_name(struct tls_choice *choice, SSL *ssl)
{
    struct slice name, none = { 0 };

    if (tls_session_facts(choice->session)->server_name.bytes > 0) /* asked before */
        return tls_session_facts(choice->session)->server_name;
    if (!find_name(ssl, &name) || !tls_session_set_name(choice->session, name))
        return none;
    name = tls_session_facts(choice->session)->server_name;
    if (host_is_name(name))
        return name;
    tls_session_learn(choice->session)->server_name = none;
    return none;
}

/* ---- the site */

/* False: clients that ask for this are refused. *site may be NULL: the listener
 * alone has a say. */
static bool
find_site(struct tls_choice *choice, struct slice name, struct site_conf **site)
{
    const struct listener_conf *listener = choice->listener;

    *site = NULL;
    if (listener->sites == NULL)
        return true;
    *site = host_map_find_named(listener->sites, name);
    if (*site != NULL)
        return true;
    if (listener->tls.unknown_name == TLS_UNKNOWN_REFUSE)
        return false;
    *site = host_map_find(listener->sites, name);
    return true;
}

/* ---- certificates */

static struct shown *
make_shown(struct tls_choice *choice, struct bundle *bundle)
{
    uint64_t id = bundle->id;
    struct shown *shown = certificate_cache_find(choice->thread->certificates, id);

    if (shown != NULL)
        bundle_unref(bundle);
    else
        shown = certificate_cache_add(choice->thread->certificates, bundle);
    if (shown == NULL)
        choice->why = "our certificate is of no use to OpenSSL";
    return shown;
}

/* NULL: there is none; choice->why, or choice->is_waiting for it. */
static struct shown *
find_certificates(struct tls_choice *choice)
{
    uint64_t id = certificate_set_current(choice->set);
    struct shown *shown = NULL;
    struct bundle *bundle = choice->bundle;
    bool is_bad = choice->has_failed;

    choice->bundle = NULL;
    if (bundle != NULL)
        return make_shown(choice, bundle);
    if (id != 0)
        shown = certificate_cache_find(choice->thread->certificates, id);
    if (shown != NULL)
        return shown;
    if (!is_bad)
        bundle = certificate_set_get(choice->set, &choice->waiter, &is_bad);
    if (bundle != NULL)
        return make_shown(choice, bundle);
    if (is_bad)
        choice->why = "our certificate cannot be loaded";
    choice->is_waiting = !is_bad;
    return NULL;
}

/* ---- sessions belong to what they were made with */

static void
hash_into(uint64_t halves[2], struct slice text)
{
    for (unsigned i = 0; i < 2; i++) {
        struct hash_key key = { { halves[i], i } };

        halves[i] = hash_bytes(text, &key);
    }
}

/* The same on all nodes that are configured alike, as they may share tickets. */
static bool
bind_sessions(const struct tls_choice *choice, SSL *ssl, const struct site_conf *site,
              uint64_t trust)
{
    const struct config_list *certificates = site != NULL && site->certificates.count > 0
                                                 ? &site->certificates
                                                 : &choice->listener->tls.certificates;
    uint64_t halves[2] = { trust, 1 };

    hash_into(halves, slice_of(choice->listener->name));
    for (size_t i = 0; i < certificates->count; i++) {
        const struct certificate_conf *certificate = certificates->items[i];

        hash_into(halves, slice_of(certificate->chain));
    }
    return SSL_set_session_id_context(ssl, (const unsigned char *)halves, BINDING_BYTES) == 1;
}

/* ---- all of it */

static int
refuse(struct tls_choice *choice, int *alert, int number, const char *why)
{
    if (choice->why == NULL)
        choice->why = why;
    *alert = number;
    return SSL_CLIENT_HELLO_ERROR;
}

static int
choose_for(struct tls_choice *choice, SSL *ssl, struct site_conf *site, int *alert)
{
    const struct listener_conf *listener = choice->listener;
    const struct client_certificate_conf *demands = tls_demands_of(listener, site);
    struct tls_facts *facts = tls_session_learn(choice->session);
    struct shown *shown;
    uint64_t trust = 0;

    choice->set = (struct certificate_set *)tls_set_of(listener, site);
    if (choice->set == NULL)
        return refuse(choice, alert, SSL_AD_UNRECOGNIZED_NAME, "there is no certificate for it");
    shown = find_certificates(choice);
    if (shown == NULL && choice->is_waiting)
        return SSL_CLIENT_HELLO_RETRY;
    if (shown == NULL)
        return refuse(choice, alert, SSL_AD_INTERNAL_ERROR, NULL);
    choice->bundle_id = shown->bundle->id;
    facts->set_id = certificate_set_id(choice->set);
    facts->client_demands = tls_demands_id(demands);
    if (!shown_use(shown, ssl))
        return refuse(choice, alert, SSL_AD_INTERNAL_ERROR,
                      "our certificate is of no use to OpenSSL");
    if ((facts->client_demands != 0 &&
         !client_trust_demand(choice->thread, ssl, demands, &trust)) ||
        !bind_sessions(choice, ssl, site, trust))
        return refuse(choice, alert, SSL_AD_INTERNAL_ERROR, "out of memory");
    return SSL_CLIENT_HELLO_SUCCESS;
}

int
tls_choose(SSL *ssl, int *alert, void *arg)
{
    struct tls_thread *thread = arg;
    struct tls_choice *choice = thread->choice;
    struct site_conf *site;

    must(choice != NULL && !choice->is_waiting);
    choice->why = NULL;
    if (!find_site(choice, learn_name(choice, ssl), &site))
        return refuse(choice, alert, SSL_AD_UNRECOGNIZED_NAME,
                      "it asks for a name that no site has");
    return choose_for(choice, ssl, site, alert);
}

int
tls_staple(SSL *ssl, void *arg)
{
    struct tls_thread *thread = arg;
    const struct tls_choice *choice = thread->choice;
    struct shown *shown = certificate_cache_find(thread->certificates, choice->bundle_id);
    int i = shown != NULL ? shown_index(shown, ssl) : -1;
    struct staple *staple;
    unsigned char *copy;

    if (i < 0)
        return SSL_TLSEXT_ERR_NOACK;
    staple = certificate_set_staple(choice->set, shown->bundle, (unsigned)i);
    if (staple == NULL)
        return SSL_TLSEXT_ERR_NOACK;
    copy = OPENSSL_memdup(staple->der.data, staple->der.bytes);
    if (copy != NULL)
        SSL_set_tlsext_status_ocsp_resp(ssl, copy, (long)staple->der.bytes);
    staple_unref(staple);
    return copy != NULL ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_NOACK;
}

bool
tls_choice_end(struct tls_choice *choice)
{
    if (choice->is_waiting && certificate_set_cancel(choice->set, &choice->waiter))
        choice->is_waiting = false;
    if (choice->bundle != NULL)
        bundle_unref(choice->bundle);
    choice->bundle = NULL;
    return !choice->is_waiting;
}
