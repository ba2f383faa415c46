/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_context.c - a configuration's words as one SSL_CTX.
 *
 * A context's number is a digest of what its files hold, so that connections
 * and sessions outlive a reload that changes nothing about them, and none
 * outlives one that does.
 */
#include "config.h"

#include "server/tls/tls_context.h"

#include "server/certificates/certificates.h"
#include "server/opener.h"
#include "server/schema.h"
#include "server/tls/system_trust.h"
#include "server/tls/tls_resumption.h"

#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>
#include <unistd.h>

/* As in the handshake: RFC 7301 section 3.1. */
#define WIRE_H1 "\x08http/1.1"
#define WIRE_H2 "\x02h2"

static const char *
library_reason(void)
{
    const char *reason = ERR_reason_error_string(ERR_peek_last_error());

    return reason != NULL ? reason : "out of memory";
}

static void
release(void *context)
{
    SSL_CTX_free(context);
}

/* ---- its number */

static void
digest_text(EVP_MD_CTX *digest, const char *text)
{
    if (text != NULL)
        EVP_DigestUpdate(digest, text, strlen(text));
    EVP_DigestUpdate(digest, "", 1); /* so that one text does not run into the next */
}

/* What cannot be read is reported by who loads it. */
static void
digest_file(EVP_MD_CTX *digest, const char *path)
{
    char data[4096];
    int fd = path != NULL ? opener_open(path, NULL) : -1;
    ssize_t bytes;

    if (fd < 0)
        return;
    while ((bytes = read(fd, data, sizeof(data))) > 0)
        EVP_DigestUpdate(digest, data, (size_t)bytes);
    close(fd);
}

static EVP_MD_CTX *
begin_id(const struct tls_context *context)
{
    EVP_MD_CTX *digest = EVP_MD_CTX_new();

    if (digest == NULL || EVP_DigestInit_ex(digest, EVP_sha256(), NULL) != 1) {
        EVP_MD_CTX_free(digest);
        return NULL;
    }
    digest_text(digest, context->verify ? "verified" : "unverified");
    digest_text(digest, context->name);
    digest_text(digest, context->ca_file);
    digest_file(digest, context->ca_file);
    return digest;
}

/* Never 0, which stands for connections without TLS. */
static void
end_id(EVP_MD_CTX *digest, struct tls_context *context)
{
    unsigned char hash[EVP_MAX_MD_SIZE] = { 0 };

    EVP_DigestFinal_ex(digest, hash, NULL);
    EVP_MD_CTX_free(digest);
    memcpy(&context->id, hash, sizeof(context->id));
    context->id |= 1;
}

/* ---- what we trust */

/* Adds the certificates to those that are trusted. How many; -1: memory is short. */
static int
trust_all(X509_STORE *store, const STACK_OF(X509_INFO) *all)
{
    int count = 0;

    for (int i = 0; i < sk_X509_INFO_num(all); i++) {
        X509 *certificate = sk_X509_INFO_value(all, i)->x509;

        if (certificate != NULL && X509_STORE_add_cert(store, certificate) != 1)
            return -1;
        count += certificate != NULL;
    }
    return count;
}

static int
trust_file(const struct tls_context *context, struct err *err)
{
    int fd = opener_open(context->ca_file, err), count;
    BIO *bio = fd >= 0 ? BIO_new_fd(fd, BIO_CLOSE) : NULL;
    STACK_OF(X509_INFO) *all;

    if (fd < 0)
        return -1;
    if (bio == NULL) {
        close(fd);
        return err_set(err, "%s: out of memory", context->ca_file);
    }
    all = PEM_X509_INFO_read_bio(bio, NULL, NULL, NULL);
    BIO_free(bio);
    count = all != NULL ? trust_all(SSL_CTX_get_cert_store(context->openssl), all) : 0;
    sk_X509_INFO_pop_free(all, X509_INFO_free);
    ERR_clear_error();
    if (count < 0)
        return err_set(err, "%s: out of memory", context->ca_file);
    if (count == 0)
        return err_set(err, "%s: holds no certificate in PEM that can be read", context->ca_file);
    return 0;
}

/* Read again, they count as other ones. */
static int
trust_system(const struct tls_context *context, EVP_MD_CTX *digest, struct err *err)
{
    uint64_t version;
    X509_STORE *store = system_trust_ref(&version);

    if (store == NULL)
        return err_set(err, "the system's CA certificates cannot be loaded: out of memory");
    SSL_CTX_set_cert_store(context->openssl, store);
    EVP_DigestUpdate(digest, &version, sizeof(version));
    return 0;
}

static int
trust(const struct tls_context *context, const struct tls_context *like, EVP_MD_CTX *digest,
      struct err *err)
{
    if (!context->verify)
        return 0;
    if (context->ca_file == NULL)
        return trust_system(context, digest, err);
    if (like != NULL && like->verify && like->ca_file != NULL &&
        slice_equal(slice_of(like->ca_file), slice_of(context->ca_file))) {
        SSL_CTX_set1_cert_store(context->openssl, SSL_CTX_get_cert_store(like->openssl));
        return 0;
    }
    return trust_file(context, err);
}

/* ---- what we show */

static X509 *
read_certificate(struct slice der)
{
    const unsigned char *at = (const unsigned char *)der.data;

    return d2i_X509(NULL, &at, (long)der.bytes);
}

static bool
use_leaf(SSL_CTX *openssl, const struct certificate *certificate)
{
    const unsigned char *at = (const unsigned char *)certificate->key.data;
    EVP_PKEY *key = d2i_AutoPrivateKey(NULL, &at, (long)certificate->key.bytes);
    X509 *leaf = read_certificate(certificate->leaf);
    bool is_good = key != NULL && leaf != NULL && SSL_CTX_use_certificate(openssl, leaf) == 1 &&
                   SSL_CTX_use_PrivateKey(openssl, key) == 1;

    EVP_PKEY_free(key);
    X509_free(leaf);
    return is_good;
}

static bool
use_chain(SSL_CTX *openssl, const struct certificate *certificate)
{
    for (size_t i = 0; i < certificate->chain_count; i++) {
        X509 *one = read_certificate(certificate->chain[i]);

        if (one == NULL || SSL_CTX_add0_chain_cert(openssl, one) != 1) {
            X509_free(one);
            return false;
        }
    }
    return true;
}

static int
show(const struct tls_context *context, const struct certificate_conf *conf, EVP_MD_CTX *digest,
     struct err *err)
{
    void *item = (void *)(uintptr_t)conf;
    struct config_list one = { &item, 1 };
    struct bundle *bundle;
    int rc = 0;

    if (conf->chain == NULL)
        return 0;
    bundle = bundle_load(&one, err);
    if (bundle == NULL)
        return -1;
    ERR_clear_error();
    if (!use_leaf(context->openssl, &bundle->certificates[0]) ||
        !use_chain(context->openssl, &bundle->certificates[0]))
        rc = err_set(err, "%s: cannot be used: %s", conf->chain, library_reason());
    EVP_DigestUpdate(digest, bundle->certificates[0].fingerprint,
                     sizeof(bundle->certificates[0].fingerprint));
    bundle_unref(bundle);
    return rc;
}

/* ---- what we speak */

static int
speak(const struct tls_context *context, enum upstream_protocol protocol)
{
    static const struct slice wire[] = {
        [UPSTREAM_AUTO] = SLICE_INIT(WIRE_H2 WIRE_H1),
        [UPSTREAM_H1] = SLICE_INIT(WIRE_H1),
        [UPSTREAM_H2] = SLICE_INIT(WIRE_H2),
        [UPSTREAM_H2C] = SLICE_INIT(WIRE_H2),
    };

    return SSL_CTX_set_alpn_protos(context->openssl, (const unsigned char *)wire[protocol].data,
                                   (unsigned)wire[protocol].bytes);
}

static SSL_CTX *
new_openssl(bool verify)
{
    SSL_CTX *openssl = SSL_CTX_new(TLS_client_method());

    if (openssl == NULL)
        return NULL;
    SSL_CTX_set_min_proto_version(openssl, TLS1_2_VERSION);
    SSL_CTX_set_options(openssl, SSL_OP_NO_RENEGOTIATION);
    SSL_CTX_set_verify(openssl, verify ? SSL_VERIFY_PEER : SSL_VERIFY_NONE, NULL);
    SSL_CTX_set_mode(openssl, SSL_MODE_ENABLE_PARTIAL_WRITE | SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER |
                                  SSL_MODE_RELEASE_BUFFERS);
    tls_resumption_enable(openssl);
    return openssl;
}

/* An empty one, tied to the arena. */
static struct tls_context *
make(struct arena *arena, bool verify, struct err *err)
{
    struct tls_context *context = arena_zalloc(arena, sizeof(*context));
    SSL_CTX *openssl = context != NULL ? new_openssl(verify) : NULL;

    if (openssl == NULL || arena_defer(arena, release, openssl) < 0) {
        err_set(err, "TLS: out of memory");
        return NULL;
    }
    context->openssl = openssl;
    context->verify = verify;
    return context;
}

static struct tls_context *
fill(struct tls_context *context, enum upstream_protocol protocol,
     const struct certificate_conf *client, const struct tls_context *like, struct err *err)
{
    EVP_MD_CTX *digest;

    ERR_clear_error();
    digest = begin_id(context);
    if (digest == NULL || speak(context, protocol) != 0) {
        EVP_MD_CTX_free(digest);
        err_set(err, "TLS: out of memory");
        return NULL;
    }
    if (trust(context, like, digest, err) < 0 ||
        (client != NULL && show(context, client, digest, err) < 0)) {
        EVP_MD_CTX_free(digest);
        return NULL;
    }
    end_id(digest, context);
    return context;
}

struct tls_context *
tls_context_new(struct arena *arena, const char *ca_file, struct err *err)
{
    struct tls_context *context = make(arena, true, err);

    if (context == NULL)
        return NULL;
    context->ca_file = ca_file;
    return fill(context, UPSTREAM_H1, NULL, NULL, err);
}

/* A certificate is for a name; an endpoint that has none needs one from tls. */
static int
check_names(const struct group_conf *group, struct err *err)
{
    for (size_t i = 0; i < group->endpoints.count; i++) {
        const struct endpoint_conf *endpoint = group->endpoints.items[i];

        if (endpoint->host.bytes == 0 && group->tls.verify && group->tls.name == NULL)
            return err_set(err, "endpoint %s has no host: which name must its certificate be for? "
                                "tls = { name = \"...\" } says so", endpoint->to);
    }
    return 0;
}

struct tls_context *
tls_context_of_group(struct arena *arena, const struct group_conf *group,
                     const struct tls_context *like, struct err *err)
{
    const struct upstream_tls_conf *conf = &group->tls;
    struct tls_context *context;

    if (check_names(group, err) < 0)
        return NULL;
    context = make(arena, conf->verify, err);
    if (context == NULL)
        return NULL;
    context->ca_file = conf->ca;
    context->name = conf->name;
    context->needs_h2 = group->protocol == UPSTREAM_H2;
    return fill(context, (enum upstream_protocol)group->protocol, &conf->client, like, err);
}
