/* SPDX-License-Identifier: BSD-2-Clause */
/* test_certificates.c - sets of certificates: who asks for them, how changes are
 * taken over, OCSP.
 */
#include "config.h"

#include "server/certificates/certificates.h"

#include "server/base/clock.h"
#include "server/certificates/ocsp.h"
#include "server/certificates/shared_der.h"
#include "server/file_watch.h"
#include "test/unit/certificate_folder_fixture.h"

#include <arpa/inet.h>
#include <openssl/ocsp.h>
#include <poll.h>
#include <pthread.h>
#include <stdarg.h>
#include <sys/socket.h>

#define WAIT_MS 20000 /* for what must happen */

/* ---- sets */

static struct certificate_set *
adopt_files(const char *chain, const char *key, const char *command, bool staple)
{
    struct certificate_conf conf = { .chain = chain, .key = key, .key_command = command };
    void *items[] = { &conf };
    struct config_list list = { items, 1 };
    struct certificate_set *set = certificate_set_adopt(&list, staple, &err);

    CU_ASSERT_PTR_NOT_NULL_FATAL(set);
    return set;
}

/* Who remembers only the number of a set that has gone must not take another for it. */
static void
numbers_are_never_used_again(void)
{
    struct certificate_set *set;
    uint64_t ids[3];

    for (unsigned i = 0; i < ARRAY_COUNT(ids); i++) {
        set = adopt_files(i == 1 ? "b.pem" : "a.pem", NULL, NULL, false);
        ids[i] = certificate_set_id(set);
        certificate_set_unref(set);
        CU_ASSERT_NOT_EQUAL(ids[i], 0);
    }
    CU_ASSERT_NOT_EQUAL(ids[0], ids[1]);
    CU_ASSERT_NOT_EQUAL(ids[0], ids[2]);
    CU_ASSERT_NOT_EQUAL(ids[1], ids[2]);
}

struct asker {
    struct certificate_waiter waiter;
    struct bundle *bundle;
    unsigned calls;
};

static void
on_bundle(struct certificate_waiter *waiter, struct bundle *bundle)
{
    struct asker *asker = container_of(waiter, struct asker, waiter);

    asker->bundle = bundle;
    asker->calls++;
}

/* What the set has; waits for it. The caller's reference. */
static struct bundle *
get(struct certificate_set *set)
{
    struct asker asker = { .waiter = { .loop = loop, .on_bundle = on_bundle } };
    uint64_t until_ms = clock_monotonic_ms() + WAIT_MS;
    struct bundle *bundle;
    bool is_bad;

    bundle = certificate_set_get(set, &asker.waiter, &is_bad);
    if (bundle != NULL || is_bad)
        return bundle;
    while (asker.calls == 0 && clock_monotonic_ms() < until_ms)
        loop_turn(loop, 50);
    CU_ASSERT_EQUAL_FATAL(asker.calls, 1);
    return asker.bundle;
}

static bool
shows(struct certificate_set *set, const struct test_certificate *made)
{
    struct bundle *bundle = get(set);
    bool is_it = bundle != NULL && is_leaf(&bundle->certificates[0], made);

    bundle_unref(bundle);
    return is_it;
}

/* How long until the set has another bundle than id, in ms. */
static uint64_t
wait_for_change(const struct certificate_set *set, uint64_t id)
{
    uint64_t start_ms = clock_monotonic_ms();

    while (certificate_set_current(set) == id && clock_monotonic_ms() - start_ms < WAIT_MS)
        poll(NULL, 0, 5);
    CU_ASSERT_NOT_EQUAL(certificate_set_current(set), id);
    return clock_monotonic_ms() - start_ms;
}

static void
start(void)
{
    CU_ASSERT_EQUAL_FATAL(certificates_start(NULL, &err), 0);
}

static void
stop(struct certificate_set *set)
{
    certificates_stop();
    certificate_set_unref(set);
    CU_ASSERT_EQUAL(registry_count(NULL), 0);
    CU_ASSERT_EQUAL(shared_der_counts().count, 0);
    CU_ASSERT_EQUAL(certificates_facts().sets, 0);
    CU_ASSERT_EQUAL(certificates_facts().loaded_bytes, 0);
    CU_ASSERT_EQUAL(file_watch_count(), 0);
}

static void
is_one_set_for_the_same_files(void)
{
    struct certificate_set *a = adopt_files("a.pem", "a.key", NULL, true);
    struct certificate_set *b = adopt_files("a.pem", "a.key", NULL, true);
    struct certificate_set *c = adopt_files("a.pem", "a.key", NULL, false);
    struct certificate_set *d = adopt_files("a.pem", NULL, NULL, true);

    CU_ASSERT_PTR_EQUAL(a, b);
    CU_ASSERT_PTR_NOT_EQUAL(a, c);
    CU_ASSERT_PTR_NOT_EQUAL(a, d);
    CU_ASSERT_EQUAL(certificates_facts().sets, 3);
    certificate_set_unref(a);
    certificate_set_unref(b);
    certificate_set_unref(c);
    certificate_set_unref(d);
    CU_ASSERT_EQUAL(registry_count(NULL), 0);
}

static void
calls_each_waiter_exactly_once(void)
{
    static struct asker askers[100];
    struct certificate_set *set;
    unsigned called = 0;
    bool is_bad;

    start();
    write_pair(in("a.pem"), in("a.key"), &alice);
    set = adopt_files(in("a.pem"), in("a.key"), NULL, true);
    CU_ASSERT_EQUAL(certificate_set_current(set), 0);
    for (size_t i = 0; i < ARRAY_COUNT(askers); i++) {
        askers[i] = (struct asker){ .waiter = { .loop = loop, .on_bundle = on_bundle } };
        askers[i].bundle = certificate_set_get(set, &askers[i].waiter, &is_bad);
        CU_ASSERT(!is_bad);
        askers[i].calls = askers[i].bundle != NULL; /* it may be there already */
    }
    for (int turn = 0; turn < 200 && called < ARRAY_COUNT(askers); turn++) {
        loop_turn(loop, 50);
        called = 0;
        for (size_t i = 0; i < ARRAY_COUNT(askers); i++)
            called += askers[i].calls > 0;
    }
    loop_turn(loop, 50);
    for (size_t i = 0; i < ARRAY_COUNT(askers); i++) {
        CU_ASSERT_EQUAL(askers[i].calls, 1);
        CU_ASSERT_PTR_NOT_NULL(askers[i].bundle);
        CU_ASSERT_PTR_EQUAL(askers[i].bundle, askers[0].bundle);
        bundle_unref(askers[i].bundle);
    }
    CU_ASSERT_NOT_EQUAL(certificate_set_current(set), 0);
    stop(set);
}

static void
a_cancelled_waiter_is_not_called(void)
{
    struct asker asker = { .waiter = { .loop = loop, .on_bundle = on_bundle } };
    struct certificate_set *set;
    struct bundle *bundle;
    bool is_bad;

    start();
    write_pair(in("a.pem"), in("a.key"), &alice);
    set = adopt_files(in("a.pem"), in("a.key"), NULL, true);
    bundle = certificate_set_get(set, &asker.waiter, &is_bad);
    if (bundle == NULL && !certificate_set_cancel(set, &asker.waiter)) {
        loop_turn(loop, 1000); /* it was answered before */
        CU_ASSERT_EQUAL(asker.calls, 1);
        bundle = asker.bundle;
        asker.calls = 0;
    }
    bundle_unref(bundle);
    CU_ASSERT(shows(set, &alice));
    CU_ASSERT_EQUAL(asker.calls, 0);
    stop(set);
}

static void
who_waits_at_the_end_gets_nothing(void)
{
    struct asker asker = { .waiter = { .loop = loop, .on_bundle = on_bundle } };
    struct certificate_set *set;
    bool is_bad;

    start();
    test_write_certificate(in("p.pem"), &alice, false);
    test_write_key(in("p.pem"), &alice, "open sesame", true);
    set = adopt_files(in("p.pem"), NULL, "sleep 100", true);
    CU_ASSERT_PTR_NULL(certificate_set_get(set, &asker.waiter, &is_bad));
    CU_ASSERT(!is_bad);
    certificates_stop();
    while (asker.calls == 0)
        loop_turn(loop, 50);
    CU_ASSERT_EQUAL(asker.calls, 1);
    CU_ASSERT_PTR_NULL(asker.bundle);
    CU_ASSERT_PTR_NULL(certificate_set_get(set, &asker.waiter, &is_bad));
    CU_ASSERT(is_bad);
    certificate_set_unref(set);
}

static void
a_program_for_one_key_holds_up_no_other(void)
{
    struct asker asker = { .waiter = { .loop = loop, .on_bundle = on_bundle } };
    struct certificate_set *slow, *quick;
    bool is_bad;

    start();
    test_write_certificate(in("p.pem"), &alice, false);
    test_write_key(in("p.pem"), &alice, "open sesame", true);
    write_pair(in("b.pem"), in("b.key"), &bob);
    slow = adopt_files(in("p.pem"), NULL, "sleep 100", true);
    quick = adopt_files(in("b.pem"), in("b.key"), NULL, true);
    CU_ASSERT_PTR_NULL(certificate_set_get(slow, &asker.waiter, &is_bad));
    CU_ASSERT(shows(quick, &bob));
    CU_ASSERT_EQUAL(asker.calls, 0);
    certificates_stop();
    loop_turn(loop, 1000);
    CU_ASSERT_EQUAL(asker.calls, 1);
    certificate_set_unref(slow);
    certificate_set_unref(quick);
}

static void
what_is_no_good_is_said_so_and_tried_again(void)
{
    struct asker asker = { .waiter = { .loop = loop, .on_bundle = on_bundle } };
    struct certificate_set *set;
    bool is_bad;

    start();
    unlink(in("late.pem"));
    set = adopt_files(in("late.pem"), NULL, NULL, true);
    CU_ASSERT_PTR_NULL(get(set));
    CU_ASSERT_PTR_NULL(certificate_set_get(set, &asker.waiter, &is_bad));
    CU_ASSERT(is_bad);
    CU_ASSERT_EQUAL(certificates_facts().bad, 1);
    test_write_certificate(in("late.new"), &alice, false);
    test_write_key(in("late.new"), &alice, NULL, true);
    rename(in("late.new"), in("late.pem"));
    wait_for_change(set, 0);
    CU_ASSERT(shows(set, &alice));
    CU_ASSERT_EQUAL(certificates_facts().bad, 0);
    stop(set);
}

static void
can_be_required_at_once(void)
{
    struct certificate_set *set, *bad;

    start();
    write_pair(in("a.pem"), in("a.key"), &alice);
    set = adopt_files(in("a.pem"), in("a.key"), NULL, true);
    bad = adopt_files(in("missing.pem"), NULL, NULL, true);
    CU_ASSERT_EQUAL(certificate_set_require(set, &err), 0);
    CU_ASSERT_NOT_EQUAL(certificate_set_current(set), 0);
    CU_ASSERT_EQUAL(certificate_set_require(bad, &err), -1);
    CU_ASSERT(says("missing.pem: No such file"));
    CU_ASSERT(shows(set, &alice));
    certificate_set_unref(bad);
    stop(set);
}

/* ---- changes */

static void
takes_over_files_written_in_place(void)
{
    struct certificate_set *set;
    uint64_t id;

    start();
    write_pair(in("c.pem"), in("c.key"), &alice);
    set = adopt_files(in("c.pem"), in("c.key"), NULL, true);
    CU_ASSERT(shows(set, &alice));
    id = certificate_set_current(set);
    write_pair(in("c.pem"), in("c.key"), &bob);
    CU_ASSERT(wait_for_change(set, id) < WAIT_MS);
    CU_ASSERT(shows(set, &bob));
    stop(set);
}

/* As certbot leaves them: links in one folder to files in another. */
static void
takes_over_links_that_lead_elsewhere(void)
{
    struct certificate_set *set;
    uint64_t id;

    start();
    mkdir(in("live"), 0700);
    mkdir(in("archive"), 0700);
    write_pair(in("archive/chain1.pem"), in("archive/key1.pem"), &alice);
    write_pair(in("archive/chain2.pem"), in("archive/key2.pem"), &bob);
    CU_ASSERT_EQUAL(symlink("../archive/chain1.pem", in("live/chain.pem")), 0);
    CU_ASSERT_EQUAL(symlink("../archive/key1.pem", in("live/key.pem")), 0);
    set = adopt_files(in("live/chain.pem"), in("live/key.pem"), NULL, true);
    CU_ASSERT(shows(set, &alice));
    id = certificate_set_current(set);
    unlink(in("live/chain.pem"));
    CU_ASSERT_EQUAL(symlink("../archive/chain2.pem", in("live/chain.pem")), 0);
    unlink(in("live/key.pem"));
    CU_ASSERT_EQUAL(symlink("../archive/key2.pem", in("live/key.pem")), 0);
    wait_for_change(set, id);
    CU_ASSERT(shows(set, &bob));
    stop(set);
}

/* As Kubernetes and many deployment programs do it: the folder is a link. */
static void
takes_over_a_folder_that_is_a_link(void)
{
    struct certificate_set *set;
    uint64_t id;

    start();
    mkdir(in("r1"), 0700);
    mkdir(in("r2"), 0700);
    write_pair(in("r1/chain.pem"), in("r1/key.pem"), &alice);
    write_pair(in("r2/chain.pem"), in("r2/key.pem"), &bob);
    CU_ASSERT_EQUAL(symlink("r1", in("now")), 0);
    set = adopt_files(in("now/chain.pem"), in("now/../now/key.pem"), NULL, true);
    CU_ASSERT(shows(set, &alice));
    id = certificate_set_current(set);
    CU_ASSERT_EQUAL(symlink("r2", in("then")), 0);
    CU_ASSERT_EQUAL(rename(in("then"), in("now")), 0);
    wait_for_change(set, id);
    CU_ASSERT(shows(set, &bob));
    stop(set);
}

/* Folders of a relative path that go up, down and through links again. */
static void
follows_a_crooked_path(void)
{
    struct certificate_set *set;
    char here[PATH_MAX];
    uint64_t id;

    CU_ASSERT_PTR_NOT_NULL_FATAL(getcwd(here, sizeof(here)));
    mkdir(in("x"), 0700);
    mkdir(in("x/y"), 0700);
    mkdir(in("keys"), 0700);
    write_pair(in("keys/c.pem"), in("keys/c.key"), &alice);
    CU_ASSERT_EQUAL(symlink("./../../keys/.", in("x/y/link")), 0);
    CU_ASSERT_EQUAL(chdir(in("x/y")), 0);
    start();
    set = adopt_files("../y/..//y/link/c.pem", "../../x/y/link/../keys//c.key", NULL, true);
    CU_ASSERT(shows(set, &alice));
    id = certificate_set_current(set);
    write_pair(in("keys/c.pem"), in("keys/c.key"), &bob);
    wait_for_change(set, id);
    CU_ASSERT(shows(set, &bob));
    stop(set);
    CU_ASSERT_EQUAL(chdir(here), 0);
}

static void
waits_for_the_second_of_two_files(void)
{
    struct certificate_set *set;
    uint64_t id;

    start();
    write_pair(in("c.pem"), in("c.key"), &alice);
    write_pair(in("c.pem.new"), in("c.key.new"), &bob);
    set = adopt_files(in("c.pem"), in("c.key"), NULL, true);
    CU_ASSERT(shows(set, &alice));
    id = certificate_set_current(set);
    rename(in("c.key.new"), in("c.key"));
    poll(NULL, 0, 700); /* it is seen, and does not fit */
    CU_ASSERT(shows(set, &alice));
    CU_ASSERT_EQUAL(certificate_set_current(set), id);
    rename(in("c.pem.new"), in("c.pem"));
    wait_for_change(set, id);
    CU_ASSERT(shows(set, &bob));
    stop(set);
}

static void
a_bad_replacement_keeps_the_old_one(void)
{
    struct certificate_set *set;
    uint64_t id, start_ms;

    start();
    write_pair(in("c.pem"), in("c.key"), &alice);
    set = adopt_files(in("c.pem"), in("c.key"), NULL, true);
    CU_ASSERT(shows(set, &alice));
    id = certificate_set_current(set);
    write_text(in("c.pem"), "nonsense");
    start_ms = clock_monotonic_ms();
    while (certificates_facts().bad == 0 && clock_monotonic_ms() - start_ms < WAIT_MS)
        poll(NULL, 0, 5);
    CU_ASSERT_EQUAL(certificates_facts().bad, 1);
    CU_ASSERT(shows(set, &alice));
    CU_ASSERT_EQUAL(certificate_set_current(set), id);
    write_pair(in("c.pem"), in("c.key"), &bob);
    wait_for_change(set, id);
    CU_ASSERT(shows(set, &bob));
    CU_ASSERT_EQUAL(certificates_facts().bad, 0);
    stop(set);
}

static void
a_touch_changes_nothing(void)
{
    struct certificate_set *set;
    struct stat before, after;
    uint64_t id;

    start();
    write_pair(in("c.pem"), in("c.key"), &alice);
    set = adopt_files(in("c.pem"), in("c.key"), NULL, true);
    CU_ASSERT(shows(set, &alice));
    id = certificate_set_current(set);
    stat(in("c.pem"), &before);
    write_pair(in("c.pem.new"), in("c.key"), &alice);
    rename(in("c.pem.new"), in("c.pem"));
    stat(in("c.pem"), &after);
    CU_ASSERT_NOT_EQUAL(before.st_ino, after.st_ino);
    poll(NULL, 0, 500);
    CU_ASSERT_EQUAL(certificate_set_current(set), id);
    stop(set);
}

static void
sets_come_and_go_while_files_change(void)
{
    struct certificate_set *set;

    start();
    write_pair(in("c.pem"), in("c.key"), &alice);
    for (int i = 0; i < 100; i++) {
        set = adopt_files(in("c.pem"), in("c.key"), NULL, true);
        CU_ASSERT(shows(set, &alice));
        write_pair(in("c.pem.new"), in("c.key"), &alice);
        rename(in("c.pem.new"), in("c.pem"));
        certificate_set_unref(set);
    }
    set = adopt_files(in("c.pem"), in("c.key"), NULL, true);
    CU_ASSERT(shows(set, &alice));
    stop(set);
}

/* ---- many */

/* Until the helper thread has let go of what it looked at. */
static void
settle(size_t sets)
{
    uint64_t start_ms = clock_monotonic_ms();

    while (certificates_facts().sets > sets && clock_monotonic_ms() - start_ms < WAIT_MS)
        poll(NULL, 0, 5);
}

#define MANY 200

static void
many_share_what_vouches_for_them(void)
{
    static struct certificate_set *sets[MANY];
    struct certificates_facts facts;
    char name[32];

    start();
    for (int i = 0; i < MANY; i++) {
        struct test_certificate leaf =
            test_certificate_make(&(struct test_draft){ .name = "leaf", .issuer = &middle });

        snprintf(name, sizeof(name), "many%d.pem", i);
        write_pair(in(name), in("many.key"), &leaf);
        test_write_key(in(name), &leaf, NULL, true);
        sets[i] = adopt_files(in(name), NULL, NULL, true);
        test_certificate_free(&leaf);
    }
    for (int i = 0; i < MANY; i++)
        bundle_unref(get(sets[i]));
    facts = certificates_facts();
    CU_ASSERT_EQUAL(facts.loaded, MANY);
    CU_ASSERT(facts.loaded_bytes / MANY < 1024);
    CU_ASSERT_EQUAL(shared_der_counts().count, 1);
    for (int i = 1; i < MANY; i++)
        certificate_set_unref(sets[i]);
    settle(1);
    CU_ASSERT_EQUAL(certificates_facts().loaded, 1);
    stop(sets[0]);
}

static void
knows_what_ends_also_when_nobody_asked(void)
{
    static const long ends_s[] = { -TEST_DAY_S, 2 * TEST_DAY_S, 60 * TEST_DAY_S };
    struct certificate_set *sets[ARRAY_COUNT(ends_s)];
    struct certificates_facts facts;
    uint64_t start_ms = clock_monotonic_ms();
    char name[32];

    for (size_t i = 0; i < ARRAY_COUNT(ends_s); i++) {
        struct test_certificate leaf = test_certificate_make(&(struct test_draft){
            .name = "leaf", .begin_s = -3 * TEST_DAY_S, .end_s = ends_s[i] });

        snprintf(name, sizeof(name), "end%zu.pem", i);
        test_write_certificate(in(name), &leaf, false);
        test_write_key(in(name), &leaf, NULL, true);
        sets[i] = adopt_files(in(name), NULL, NULL, true);
        test_certificate_free(&leaf);
    }
    CU_ASSERT_EQUAL(certificates_facts().unknown, 3);
    start();
    do {
        poll(NULL, 0, 5);
        facts = certificates_facts();
    } while (facts.unknown > 0 && clock_monotonic_ms() - start_ms < WAIT_MS);
    CU_ASSERT_EQUAL(facts.unknown, 0);
    CU_ASSERT_EQUAL(facts.loaded, 0);
    CU_ASSERT_EQUAL(facts.expired, 1);
    CU_ASSERT_EQUAL(facts.nearest_s, 0);
    certificate_set_unref(sets[0]);
    settle(2);
    facts = certificates_facts();
    CU_ASSERT_EQUAL(facts.expired, 0);
    CU_ASSERT(facts.nearest_s > TEST_DAY_S && facts.nearest_s <= 2 * TEST_DAY_S);
    certificate_set_unref(sets[1]);
    stop(sets[2]);
}

/* ---- OCSP (RFC 6960) */

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
    _Atomic unsigned asked;
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
    }
}

static void
start_responder(struct responder *responder, long until_s)
{
    struct sockaddr_in address = { .sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t bytes = sizeof(address);

    *responder = (struct responder){ .fd = socket(AF_INET, SOCK_STREAM, 0), .until_s = until_s };
    CU_ASSERT_EQUAL_FATAL(bind(responder->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    CU_ASSERT_EQUAL_FATAL(listen(responder->fd, 16), 0);
    getsockname(responder->fd, (struct sockaddr *)&address, &bytes);
    responder->port = ntohs(address.sin_port);
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

static struct test_certificate
make_stapled(const struct responder *responder)
{
    char url[64];

    snprintf(url, sizeof(url), "http://127.0.0.1:%u/ocsp", responder->port);
    return test_certificate_make(
        &(struct test_draft){ .name = "s", .issuer = &middle, .ocsp = url });
}

static void
keeps_the_last_good_answer(void)
{
    struct responder responder;
    struct test_certificate leaf;
    struct certificate_set *set;
    struct staple *first, *second, *last;
    struct bundle *bundle;
    unsigned asked;

    start_responder(&responder, 12); /* half of that is soon over */
    leaf = make_stapled(&responder);
    write_pair(in("s.pem"), in("s.key"), &leaf);
    CU_ASSERT_EQUAL_FATAL(certificates_start(&resolver, &err), 0);
    set = adopt_files(in("s.pem"), in("s.key"), NULL, true);
    bundle = get(set);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bundle);
    first = wait_for_staple(set, bundle, 0);
    CU_ASSERT_PTR_NOT_NULL_FATAL(first);
    CU_ASSERT_EQUAL(certificates_facts().staples, 1);
    second = wait_for_staple(set, bundle, first->id);
    CU_ASSERT_PTR_NOT_NULL_FATAL(second);
    responder.is_broken = true;
    asked = responder.asked;
    while (responder.asked == asked)
        poll(NULL, 0, 10);
    last = certificate_set_staple(set, bundle, 0);
    CU_ASSERT_PTR_EQUAL(last, second);
    staple_unref(first);
    staple_unref(second);
    staple_unref(last);
    bundle_unref(bundle);
    stop(set);
    stop_responder(&responder);
    test_certificate_free(&leaf);
}

static void
nobody_is_asked_where_staple_is_off(void)
{
    struct responder responder;
    struct test_certificate leaf;
    struct certificate_set *set;
    struct bundle *bundle;

    start_responder(&responder, 3600);
    leaf = make_stapled(&responder);
    write_pair(in("s.pem"), in("s.key"), &leaf);
    CU_ASSERT_EQUAL_FATAL(certificates_start(&resolver, &err), 0);
    set = adopt_files(in("s.pem"), in("s.key"), NULL, false);
    bundle = get(set);
    poll(NULL, 0, 1500);
    CU_ASSERT_EQUAL(responder.asked, 0);
    CU_ASSERT_PTR_NULL(certificate_set_staple(set, bundle, 0));
    bundle_unref(bundle);
    stop(set);
    stop_responder(&responder);
    test_certificate_free(&leaf);
}

/* It is there, and says nothing. */
static void
a_silent_responder_holds_up_nothing(void)
{
    struct responder responder;
    struct test_certificate leaf;
    struct certificate_set *set;
    int fd = socket(AF_INET, SOCK_STREAM, 0);

    start_responder(&responder, 3600);
    leaf = make_stapled(&responder);
    stop_responder(&responder);
    write_pair(in("s.pem"), in("s.key"), &leaf);
    {
        struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(responder.port),
                                       .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
        int on = 1;

        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
        CU_ASSERT_EQUAL(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
        CU_ASSERT_EQUAL(listen(fd, 16), 0);
    }
    CU_ASSERT_EQUAL_FATAL(certificates_start(&resolver, &err), 0);
    set = adopt_files(in("s.pem"), in("s.key"), NULL, true);
    CU_ASSERT(shows(set, &leaf));
    poll(NULL, 0, 1500); /* it is asked meanwhile */
    write_pair(in("s.pem"), in("s.key"), &alice);
    wait_for_change(set, certificate_set_current(set));
    CU_ASSERT(shows(set, &alice));
    stop(set);
    close(fd);
    test_certificate_free(&leaf);
}

void
suite_certificates(void)
{
    CU_pSuite s = CU_add_suite("certificates", begin, end);

    CU_add_test(s, "is one set for the same files", is_one_set_for_the_same_files);
    CU_add_test(s, "numbers of sets are never used again", numbers_are_never_used_again);
    CU_add_test(s, "calls each waiter exactly once", calls_each_waiter_exactly_once);
    CU_add_test(s, "a cancelled waiter is not called", a_cancelled_waiter_is_not_called);
    CU_add_test(s, "who waits at the end gets nothing", who_waits_at_the_end_gets_nothing);
    CU_add_test(s, "a program for one key holds up no other",
                a_program_for_one_key_holds_up_no_other);
    CU_add_test(s, "what is no good is said so and tried again",
                what_is_no_good_is_said_so_and_tried_again);
    CU_add_test(s, "can be required at once", can_be_required_at_once);
    CU_add_test(s, "takes over files written in place", takes_over_files_written_in_place);
    CU_add_test(s, "takes over links that lead elsewhere", takes_over_links_that_lead_elsewhere);
    CU_add_test(s, "takes over a folder that is a link", takes_over_a_folder_that_is_a_link);
    CU_add_test(s, "follows a crooked path", follows_a_crooked_path);
    CU_add_test(s, "waits for the second of two files", waits_for_the_second_of_two_files);
    CU_add_test(s, "a bad replacement keeps the old one", a_bad_replacement_keeps_the_old_one);
    CU_add_test(s, "a touch changes nothing", a_touch_changes_nothing);
    CU_add_test(s, "sets come and go while files change", sets_come_and_go_while_files_change);
    CU_add_test(s, "many share what vouches for them", many_share_what_vouches_for_them);
    CU_add_test(s, "knows what ends also when nobody asked",
                knows_what_ends_also_when_nobody_asked);
    CU_add_test(s, "believes good OCSP answers only", believes_good_answers_only);
    CU_add_test(s, "keeps the last good OCSP answer", keeps_the_last_good_answer);
    CU_add_test(s, "nobody is asked where staple is off", nobody_is_asked_where_staple_is_off);
    CU_add_test(s, "a silent responder holds up nothing", a_silent_responder_holds_up_nothing);
}
