/* SPDX-License-Identifier: BSD-2-Clause */
/* test_ocsp.c - which answers of OCSP responders are believed (RFC 6960), asked for and kept. */
#include "config.h"

#include "server/certificates/ocsp.h"

#include "test/unit/certificate_set_fixture.h"

#include <arpa/inet.h>
#include <openssl/ocsp.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/socket.h>

struct reply {
    int status;                            /* V_OCSP_CERTSTATUS_GOOD ... */
    const struct test_certificate *signer; /* NULL: middle */
    bool has_signer;                       /* its certificate is in the response */
    long since_s, until_s;                 /* from now */
};

static OCSP_RESPONSE *
make_response(OCSP_CERTID *id, const struct reply *reply)
{
    const struct test_certificate *signer = reply->signer != NULL ? reply->signer : &middle;
    OCSP_BASICRESP *basic = OCSP_BASICRESP_new();
    ASN1_TIME *since = X509_gmtime_adj(NULL, reply->since_s);
    ASN1_TIME *until = X509_gmtime_adj(NULL, reply->until_s);
    ASN1_TIME *revoked = X509_gmtime_adj(NULL, -TEST_DAY_S);
    OCSP_RESPONSE *response;

    OCSP_basic_add1_status(basic, id, reply->status, 0,
                           reply->status == V_OCSP_CERTSTATUS_REVOKED ? revoked : NULL, since,
                           until);
    OCSP_basic_sign(basic, signer->x509, signer->key, EVP_sha256(), NULL,
                    reply->has_signer ? 0 : OCSP_NOCERTS);
    response = OCSP_response_create(OCSP_RESPONSE_STATUS_SUCCESSFUL, basic);
    OCSP_BASICRESP_free(basic);
    ASN1_TIME_free(since);
    ASN1_TIME_free(until);
    ASN1_TIME_free(revoked);
    return response;
}

/* What is thought of a response about leaf. */
static int
judge(const struct certificate *certificate, X509 *leaf, const struct reply *reply)
{
    OCSP_CERTID *id = OCSP_cert_to_id(EVP_sha1(), leaf, middle.x509);
    OCSP_RESPONSE *response = make_response(id, reply);
    unsigned char *der = NULL;
    int bytes = i2d_OCSP_RESPONSE(response, &der), result;
    int64_t next_update_s = 0;

    result = ocsp_judge(certificate, slice_make((char *)der, (size_t)bytes), &next_update_s, &err);
    if (result == 0)
        CU_ASSERT(next_update_s > time(NULL));
    OPENSSL_free(der);
    OCSP_RESPONSE_free(response);
    OCSP_CERTID_free(id);
    return result;
}

static void
believes_good_answers_only(void)
{
    const struct test_draft delegate = { .name = "d", .issuer = &middle, .signs_ocsp = true };
    const struct test_draft impostor = { .name = "i", .issuer = &root, .signs_ocsp = true };
    struct test_certificate appointed = test_certificate_make(&delegate);
    struct test_certificate stranger = test_certificate_make(&impostor);
    const struct reply good = { .since_s = -60, .until_s = 3600 };
    struct bundle *bundle;
    const struct certificate *certificate;
    struct reply reply;
    int64_t next_update_s;

    write_pair(in("a.pem"), in("a.key"), &alice);
    bundle = load(in("a.pem"), in("a.key"), NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bundle);
    certificate = &bundle->certificates[0];
    CU_ASSERT_EQUAL(judge(certificate, alice.x509, &good), 0);
    CU_ASSERT_EQUAL(judge(certificate, bob.x509, &good), -1);
    CU_ASSERT(says("about another certificate"));

    reply = (struct reply){ .since_s = -7200, .until_s = -3600 };
    CU_ASSERT_EQUAL(judge(certificate, alice.x509, &reply), -1);
    CU_ASSERT(says("not of now"));
    reply = (struct reply){ .since_s = -60, .until_s = 60, .status = V_OCSP_CERTSTATUS_REVOKED };
    CU_ASSERT_EQUAL(judge(certificate, alice.x509, &reply), -1);
    CU_ASSERT(says("revoked"));
    reply = (struct reply){ .since_s = -60, .until_s = 60, .status = V_OCSP_CERTSTATUS_UNKNOWN };
    CU_ASSERT_EQUAL(judge(certificate, alice.x509, &reply), -1);

    /* RFC 6960 section 4.2.2.2: who the issuer appointed may sign, nobody else. */
    reply = good;
    reply.has_signer = true;
    reply.signer = &appointed;
    CU_ASSERT_EQUAL(judge(certificate, alice.x509, &reply), 0);
    reply.signer = &stranger;
    CU_ASSERT_EQUAL(judge(certificate, alice.x509, &reply), -1);
    CU_ASSERT(says("not signed by who issued"));
    reply.signer = &bob; /* issued by the same, but not for that */
    CU_ASSERT_EQUAL(judge(certificate, alice.x509, &reply), -1);
    CU_ASSERT_EQUAL(ocsp_judge(certificate, SLICE("nonsense"), &next_update_s, &err), -1);
    bundle_unref(bundle);
    test_certificate_free(&appointed);
    test_certificate_free(&stranger);
}

/* A responder that answers one connection after the other. */
struct responder {
    int fd;
    uint16_t port;
    pthread_t thread;
    _Atomic bool is_broken;
    _Atomic unsigned asked, answered;
    long until_s;
};

static void
respond(struct responder *responder, int fd)
{
    struct timeval patience = { .tv_sec = 10 };
    char text[8192];
    size_t bytes = 0;
    char *body = NULL;
    OCSP_REQUEST *request = NULL;
    const unsigned char *at;

    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
    while (request == NULL && bytes < sizeof(text) - 1) {
        ssize_t got = recv(fd, text + bytes, sizeof(text) - 1 - bytes, 0);

        if (got <= 0)
            return;
        bytes += (size_t)got;
        text[bytes] = '\0';
        body = memmem(text, bytes, "\r\n\r\n", 4);
        if (body == NULL)
            continue;
        at = (unsigned char *)body + 4;
        request = d2i_OCSP_REQUEST(NULL, &at, (long)(text + bytes - (body + 4)));
    }
    responder->asked++;
    if (request != NULL && !responder->is_broken) {
        OCSP_CERTID *id = OCSP_onereq_get0_id(OCSP_request_onereq_get0(request, 0));
        struct reply reply = { .since_s = -60, .until_s = responder->until_s };
        OCSP_RESPONSE *response = make_response(id, &reply);
        unsigned char *der = NULL;
        int length = i2d_OCSP_RESPONSE(response, &der);

        dprintf(fd, "HTTP/1.0 200 OK\r\nContent-Type: application/ocsp-response\r\n"
                    "Content-Length: %d\r\n\r\n", length);
        send(fd, der, (size_t)length, MSG_NOSIGNAL);
        OPENSSL_free(der);
        OCSP_RESPONSE_free(response);
    } else {
        dprintf(fd, "HTTP/1.0 500 No\r\n\r\n");
    }
    OCSP_REQUEST_free(request);
}

static void *
run_responder(void *arg)
{
    struct responder *responder = arg;

    for (;;) {
        int fd = accept(responder->fd, NULL, NULL);

        if (fd < 0)
            return NULL;
        respond(responder, fd);
        close(fd);
        responder->answered++;
    }
}

/* It is there, and says nothing. */
static void
open_responder(struct responder *responder, long until_s)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof(address);

    *responder = (struct responder){ .fd = socket(AF_INET, SOCK_STREAM, 0), .until_s = until_s };
    CU_ASSERT_EQUAL_FATAL(bind(responder->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    CU_ASSERT_EQUAL_FATAL(listen(responder->fd, 16), 0);
    getsockname(responder->fd, (struct sockaddr *)&address, &bytes);
    responder->port = ntohs(address.sin_port);
}

static void
start_responder(struct responder *responder, long until_s)
{
    open_responder(responder, until_s);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&responder->thread, NULL, run_responder, responder), 0);
}

static void
stop_responder(struct responder *responder)
{
    shutdown(responder->fd, SHUT_RDWR);
    pthread_join(responder->thread, NULL);
    close(responder->fd);
}

/* The newest staple, once there is another than the one with id; NULL: none came. */
static struct staple *
wait_for_staple(struct certificate_set *set, struct bundle *bundle, uint64_t id)
{
    uint64_t start_ms = clock_monotonic_ms();

    while (clock_monotonic_ms() - start_ms < WAIT_MS) {
        struct staple *staple = certificate_set_staple(set, bundle, 0);

        if (staple != NULL && staple->id != id)
            return staple;
        staple_unref(staple);
        poll(NULL, 0, 10);
    }
    return NULL;
}

static const struct resolver_conf resolver = {
    .hosts_file = "/etc/hosts", .resolv_conf = "/etc/resolv.conf", .timeout_ms = 1000, .tries = 1,
    .limit_ms = 2000, .min_ttl_ms = 1000, .max_ttl_ms = 60000, .max_entries = 10, .max_lookups = 10,
};

/* A certificate in name, with its own responder. */
struct stapled {
    struct responder responder;
    struct test_certificate leaf;
    struct certificate_set *set;
};

static void
make_stapled(struct stapled *s, const char *name)
{
    char url[64];

    snprintf(url, sizeof(url), "http://127.0.0.1:%u/ocsp", s->responder.port);
    s->leaf = test_certificate_make(
        &(struct test_draft){ .name = "s", .issuer = &middle, .ocsp = url });
    write_pair(in(name), in("s.key"), &s->leaf);
    test_write_key(in(name), &s->leaf, NULL, true);
}

static void
start_stapled(struct stapled *s, const char *name, long until_s)
{
    start_responder(&s->responder, until_s);
    make_stapled(s, name);
    s->set = adopt_files(in(name), NULL, NULL, true);
}

/* Half of the time that answers are good is soon over: it is asked again, side by side with
 * one that has broken down meanwhile. */
static void
keeps_the_last_good_answer(void)
{
    struct staple *first, *second, *broken;
    struct bundle *bundle, *other;
    struct stapled good, bad;
    unsigned answered;

    CU_ASSERT_EQUAL_FATAL(certificates_start(&resolver, &err), 0);
    start_stapled(&good, "s.pem", 10);
    start_stapled(&bad, "t.pem", 12);
    bundle = get(good.set);
    other = get(bad.set);
    CU_ASSERT_FATAL(bundle != NULL && other != NULL);
    first = wait_for_staple(good.set, bundle, 0);
    broken = wait_for_staple(bad.set, other, 0);
    CU_ASSERT_FATAL(first != NULL && broken != NULL);
    CU_ASSERT_EQUAL(certificates_facts().staples, 2);
    bad.responder.is_broken = true;
    answered = bad.responder.answered;
    second = wait_for_staple(good.set, bundle, first->id);
    CU_ASSERT_PTR_NOT_NULL(second);
    while (bad.responder.answered == answered)
        poll(NULL, 0, 10);
    poll(NULL, 0, 50); /* for who was answered so */
    staple_unref(first);
    first = certificate_set_staple(bad.set, other, 0);
    CU_ASSERT_PTR_EQUAL(first, broken);
    staple_unref(first);
    staple_unref(second);
    staple_unref(broken);
    bundle_unref(bundle);
    bundle_unref(other);
    certificate_set_unref(bad.set);
    stop(good.set);
    stop_responder(&good.responder);
    stop_responder(&bad.responder);
    test_certificate_free(&good.leaf);
    test_certificate_free(&bad.leaf);
}

/* Its turn would have come before that of one for which it is on. */
static void
nobody_is_asked_where_staple_is_off(void)
{
    struct certificate_set *set;
    struct bundle *bundle, *other;
    struct staple *staple;
    struct stapled s;

    CU_ASSERT_EQUAL_FATAL(certificates_start(&resolver, &err), 0);
    start_responder(&s.responder, 3600);
    make_stapled(&s, "s.pem");
    set = adopt_files(in("s.pem"), NULL, NULL, false);
    bundle = get(set);
    s.set = adopt_files(in("s.pem"), NULL, NULL, true);
    other = get(s.set);
    staple = wait_for_staple(s.set, other, 0);
    CU_ASSERT_PTR_NOT_NULL(staple);
    CU_ASSERT_EQUAL(s.responder.asked, 1);
    CU_ASSERT_PTR_NULL(certificate_set_staple(set, bundle, 0));
    staple_unref(staple);
    bundle_unref(bundle);
    bundle_unref(other);
    certificate_set_unref(set);
    stop(s.set);
    stop_responder(&s.responder);
    test_certificate_free(&s.leaf);
}

static void
a_silent_responder_holds_up_nothing(void)
{
    struct stapled s;
    struct pollfd poller;

    open_responder(&s.responder, 3600);
    make_stapled(&s, "s.pem");
    CU_ASSERT_EQUAL_FATAL(certificates_start(&resolver, &err), 0);
    s.set = adopt_files(in("s.pem"), NULL, NULL, true);
    CU_ASSERT(shows(s.set, &s.leaf));
    poller = (struct pollfd){ .fd = s.responder.fd, .events = POLLIN };
    CU_ASSERT_EQUAL(poll(&poller, 1, WAIT_MS), 1); /* it is asked */
    write_pair(in("s.pem"), in("s.key"), &alice);
    test_write_key(in("s.pem"), &alice, NULL, true);
    wait_for_change(s.set, certificate_set_current(s.set));
    CU_ASSERT(shows(s.set, &alice));
    stop(s.set);
    close(s.responder.fd);
    test_certificate_free(&s.leaf);
}

void
suite_ocsp(void)
{
    CU_pSuite s = CU_add_suite("ocsp", begin, end);

    CU_add_test(s, "believes good OCSP answers only", believes_good_answers_only);
    CU_add_test(s, "keeps the last good OCSP answer", keeps_the_last_good_answer);
    CU_add_test(s, "nobody is asked where staple is off", nobody_is_asked_where_staple_is_off);
    CU_add_test(s, "a silent responder holds up nothing", a_silent_responder_holds_up_nothing);
}
