/* SPDX-License-Identifier: BSD-2-Clause */
/* ocsp.c - one question to an OCSP responder.
 *
 *     dial --> POST the request, read the response --> judge it --> on_done
 *
 * OpenSSL speaks HTTP here: over a socket that does not block it takes as many
 * steps as bytes allow.
 */
#include "config.h"

#include "server/certificates/ocsp.h"

#include "server/base/must.h"
#include "server/net/dial.h"

#include <openssl/err.h>
#include <openssl/http.h>
#include <openssl/ocsp.h>
#include <openssl/x509v3.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define CONNECT_MS 5000
#define LIMIT_MS 10000
#define RESPONSE_BYTES_MAX 65536
#define CLOCK_SKEW_S 300
#define DEFAULT_LIFE_S (12 * 3600) /* where newer ones may be there at any time */

struct ocsp_question {
    struct loop *loop;
    struct resolver *resolver;
    const struct certificate *certificate;
    ocsp_done_fn *on_done;
    void *arg;
    struct dial dial;
    struct watch watch;
    struct timer limit;
    struct grave grave;
    char *host, *port, *path;
    OCSP_REQUEST *request;
    BIO *socket;
    OSSL_HTTP_REQ_CTX *http;
};

/* ---- what a certificate says */

static X509 *
parse_certificate(struct slice der)
{
    const unsigned char *at = (const unsigned char *)der.data;

    return d2i_X509(NULL, &at, (long)der.bytes);
}

/* The first responder that is spoken to in plain HTTP; to be freed by OpenSSL. */
static char *
responder_of(X509 *certificate)
{
    STACK_OF(OPENSSL_STRING) *urls = X509_get1_ocsp(certificate);
    char *found = NULL;

    for (int i = 0; i < sk_OPENSSL_STRING_num(urls) && found == NULL; i++) {
        const char *url = sk_OPENSSL_STRING_value(urls, i);

        if (slice_starts_with(slice_of(url), SLICE("http://")))
            found = OPENSSL_strdup(url);
    }
    X509_email_free(urls);
    return found;
}

bool
ocsp_can_ask(const struct certificate *certificate)
{
    X509 *leaf;
    char *url;

    if (certificate->issuer.bytes == 0)
        return false;
    leaf = parse_certificate(certificate->leaf);
    url = leaf != NULL ? responder_of(leaf) : NULL;
    X509_free(leaf);
    OPENSSL_free(url);
    ERR_clear_error();
    return url != NULL;
}

/* Which certificate is meant: its serial number and who issued it. */
static OCSP_CERTID *
identify(const struct certificate *certificate)
{
    X509 *leaf = parse_certificate(certificate->leaf);
    X509 *issuer = parse_certificate(certificate->issuer);
    OCSP_CERTID *id = NULL;

    if (leaf != NULL && issuer != NULL)
        id = OCSP_cert_to_id(EVP_sha1(), leaf, issuer); /* the digest that all know */
    X509_free(leaf);
    X509_free(issuer);
    return id;
}

/* ---- judging */

/* The issuer, or whom it appointed by a certificate for that purpose. */
static int
verify_signature(OCSP_BASICRESP *basic, const struct certificate *certificate)
{
    X509 *issuer = parse_certificate(certificate->issuer);
    STACK_OF(X509) *known = sk_X509_new_null();
    X509_STORE *trusted = X509_STORE_new();
    int result = -1;

    if (issuer != NULL && known != NULL && trusted != NULL && sk_X509_push(known, issuer) > 0 &&
        X509_STORE_add_cert(trusted, issuer) == 1 &&
        X509_STORE_set_flags(trusted, X509_V_FLAG_PARTIAL_CHAIN) == 1 &&
        OCSP_basic_verify(basic, known, trusted, OCSP_TRUSTOTHER) == 1)
        result = 0;
    sk_X509_free(known);
    X509_STORE_free(trusted);
    X509_free(issuer);
    return result;
}

static int64_t
time_s(const ASN1_GENERALIZEDTIME *time)
{
    struct tm tm;

    return ASN1_TIME_to_tm(time, &tm) == 1 ? (int64_t)timegm(&tm) : 0;
}

static int
judge_status(OCSP_BASICRESP *basic, OCSP_CERTID *id, int64_t *next_update_s, struct err *err)
{
    ASN1_GENERALIZEDTIME *since, *next;
    int status, reason;

    if (OCSP_resp_find_status(basic, id, &status, &reason, NULL, &since, &next) != 1)
        return err_set(err, "the answer is about another certificate");
    if (OCSP_check_validity(since, next, CLOCK_SKEW_S, -1) != 1)
        return err_set(err, "the answer is not of now");
    if (status == V_OCSP_CERTSTATUS_REVOKED)
        return err_set(err, "the certificate is revoked");
    if (status != V_OCSP_CERTSTATUS_GOOD)
        return err_set(err, "the responder does not know the certificate");
    *next_update_s = next != NULL ? time_s(next) : (int64_t)time(NULL) + DEFAULT_LIFE_S;
    return 0;
}

static int
judge(const struct certificate *certificate, OCSP_RESPONSE *response, int64_t *next_update_s,
      struct err *err)
{
    int status = OCSP_response_status(response), result;
    OCSP_BASICRESP *basic;
    OCSP_CERTID *id;

    if (status != OCSP_RESPONSE_STATUS_SUCCESSFUL)
        return err_set(err, "the responder says \"%s\"", OCSP_response_status_str(status));
    basic = OCSP_response_get1_basic(response);
    id = identify(certificate);
    if (basic == NULL || id == NULL)
        result = err_set(err, "the answer makes no sense");
    else if (verify_signature(basic, certificate) < 0)
        result = err_set(err, "the answer is not signed by who issued the certificate");
    else
        result = judge_status(basic, id, next_update_s, err);
    OCSP_CERTID_free(id);
    OCSP_BASICRESP_free(basic);
    return result;
}

int
ocsp_judge(const struct certificate *certificate, struct slice text, int64_t *next_update_s,
           struct err *err)
{
    const unsigned char *at = (const unsigned char *)text.data;
    OCSP_RESPONSE *response = d2i_OCSP_RESPONSE(NULL, &at, (long)text.bytes);
    int result;

    if (response == NULL)
        result = err_set(err, "the answer makes no sense");
    else
        result = judge(certificate, response, next_update_s, err);
    OCSP_RESPONSE_free(response);
    ERR_clear_error();
    return result;
}

/* ---- the end */

static void
release(void *object)
{
    struct ocsp_question *question = object;

    OSSL_HTTP_REQ_CTX_free(question->http);
    BIO_free(question->socket);
    OCSP_REQUEST_free(question->request);
    OPENSSL_free(question->host);
    OPENSSL_free(question->port);
    OPENSSL_free(question->path);
    free(question);
}

void
ocsp_cancel(struct ocsp_question *question)
{
    int fd = question->watch.fd;

    dial_cancel(&question->dial);
    timer_disarm(&question->limit);
    if (fd >= 0) {
        loop_unwatch(question->loop, &question->watch);
        close(fd);
    }
    loop_free(question->loop, &question->grave, release, question);
}

static void
fail(struct ocsp_question *question, const char *why)
{
    struct err err;

    err_set(&err, "http://%s:%s%s: %s", question->host, question->port, question->path, why);
    ocsp_cancel(question);
    question->on_done(question->arg, NULL, &err);
}

static void
on_limit(struct timer *timer)
{
    fail(container_of(timer, struct ocsp_question, limit), "did not answer in time");
}

/* ---- the exchange */

static void
take_response(struct ocsp_question *question)
{
    struct ocsp_answer answer;
    struct err err;
    char *data;
    long bytes = BIO_get_mem_data(OSSL_HTTP_REQ_CTX_get0_mem_bio(question->http), &data);

    answer.der = slice_make(data, bytes > 0 ? (size_t)bytes : 0);
    if (ocsp_judge(question->certificate, answer.der, &answer.next_update_s, &err) < 0) {
        fail(question, err.text);
        return;
    }
    ocsp_cancel(question); /* its memory lasts until the end of the turn */
    question->on_done(question->arg, &answer, NULL);
}

static void
on_event(struct watch *watch, uint32_t events)
{
    struct ocsp_question *question = container_of(watch, struct ocsp_question, watch);
    int result = OSSL_HTTP_REQ_CTX_nbio(question->http);

    (void)events;
    if (result == 1)
        take_response(question);
    else if (result == 0)
        fail(question, "its answer is no OCSP response");
    ERR_clear_error();
}

static int
begin_http(struct ocsp_question *question, int fd)
{
    OSSL_HTTP_REQ_CTX *http = NULL;
    bool is_usual = strcmp(question->port, "80") == 0;
    char authority[300];

    snprintf(authority, sizeof(authority), "%s%s%s", question->host, is_usual ? "" : ":",
             is_usual ? "" : question->port);
    question->socket = BIO_new_socket(fd, BIO_NOCLOSE);
    if (question->socket != NULL)
        http = OSSL_HTTP_REQ_CTX_new(question->socket, question->socket, 0);
    question->http = http;
    if (http == NULL)
        return -1;
    OSSL_HTTP_REQ_CTX_set_max_response_length(http, RESPONSE_BYTES_MAX);
    return OSSL_HTTP_REQ_CTX_set_request_line(http, 1, NULL, NULL, question->path) == 1 &&
                   OSSL_HTTP_REQ_CTX_add1_header(http, "Host", authority) == 1 &&
                   OSSL_HTTP_REQ_CTX_set_expected(http, "application/ocsp-response", 1, 0,
                                                  0) == 1 &&
                   OSSL_HTTP_REQ_CTX_set1_req(http, "application/ocsp-request",
                                              ASN1_ITEM_rptr(OCSP_REQUEST),
                                              (const ASN1_VALUE *)question->request) == 1
               ? 0
               : -1;
}

static void
on_dialled(struct dial *dial, int fd, const struct dial_result *result)
{
    struct ocsp_question *question = container_of(dial, struct ocsp_question, dial);

    if (fd < 0) {
        fail(question, dial_status_text(result->status));
        return;
    }
    question->watch.fd = fd;
    question->watch.on_event = on_event;
    if (begin_http(question, fd) < 0)
        fail(question, "out of memory");
    else if (loop_watch(question->loop, &question->watch, LOOP_STREAM) < 0)
        fail(question, "cannot be watched");
}

/* From the loop, since a dial may be done at once. */
static void
begin(struct timer *timer)
{
    struct ocsp_question *question = container_of(timer, struct ocsp_question, limit);
    struct dial_target target = {
        .host = slice_of(question->host),
        .port = (uint16_t)atoi(question->port),
        .connect_ms = CONNECT_MS,
    };

    question->limit.on_due = on_limit;
    timer_arm(question->loop, &question->limit, LIMIT_MS);
    dial_start(&question->dial, question->resolver, question->loop, &target);
}

/* ---- the question */

static OCSP_REQUEST *
make_request(const struct certificate *certificate)
{
    OCSP_REQUEST *request = OCSP_REQUEST_new();
    OCSP_CERTID *id = identify(certificate);

    if (request != NULL && id != NULL && OCSP_request_add0_id(request, id) != NULL)
        return request;
    OCSP_CERTID_free(id);
    OCSP_REQUEST_free(request);
    return NULL;
}

static int
find_responder(struct ocsp_question *question, struct err *err)
{
    X509 *leaf = parse_certificate(question->certificate->leaf);
    char *url = leaf != NULL ? responder_of(leaf) : NULL;
    int is_tls = 0, result = -1;

    X509_free(leaf);
    if (url != NULL && OSSL_HTTP_parse_url(url, &is_tls, NULL, &question->host, &question->port,
                                           NULL, &question->path, NULL, NULL) == 1 && !is_tls)
        result = 0;
    else
        err_set(err, "\"%.200s\" is no address of a responder", url != NULL ? url : "");
    OPENSSL_free(url);
    ERR_clear_error();
    return result;
}

struct ocsp_question *
ocsp_ask(struct loop *loop, struct resolver *resolver, const struct certificate *certificate,
         ocsp_done_fn *on_done, void *arg, struct err *err)
{
    struct ocsp_question *question = calloc(1, sizeof(*question));

    if (question == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    question->loop = loop;
    question->resolver = resolver;
    question->certificate = certificate;
    question->on_done = on_done;
    question->arg = arg;
    question->watch.fd = -1;
    list_init(&question->grave.link);
    dial_init(&question->dial, on_dialled);
    timer_init(&question->limit, begin);
    if (find_responder(question, err) < 0) {
        release(question);
        return NULL;
    }
    question->request = make_request(certificate);
    if (question->request == NULL) {
        err_set(err, "out of memory");
        release(question);
        return NULL;
    }
    timer_arm(loop, &question->limit, 1);
    return question;
}
