/* SPDX-License-Identifier: BSD-2-Clause */
/* test_certificates.c - certificates by their files: what is accepted, how changes
 * are taken over, OCSP, the local CA, and files that only the supervisor may open.
 */
#include "config.h"

#include "server/certificates/certificates.h"

#include "server/base/clock.h"
#include "server/certificates/certificate_load.h"
#include "server/certificates/file_watch.h"
#include "server/certificates/local_ca.h"
#include "server/certificates/ocsp.h"
#include "server/certificates/passphrase.h"
#include "server/certificates/shared_der.h"
#include "server/channel.h"
#include "server/opener.h"
#include "test/unit/certificate_fixture.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <ftw.h>
#include <limits.h>
#include <openssl/ocsp.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/fsuid.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#define WAIT_MS 20000 /* for what must happen */

static char folder[] = "/tmp/test_certificates.XXXXXX";
static struct test_certificate root, middle, alice, bob;
static struct loop *loop;
static struct err err;

/* ---- files */

/* One of a few buffers. */
static const char *
in(const char *name)
{
    static char paths[16][PATH_MAX];
    static unsigned turn;
    char *path = paths[turn++ % ARRAY_COUNT(paths)];

    snprintf(path, PATH_MAX, "%s/%s", folder, name);
    return path;
}

static void
write_text(const char *path, const char *text)
{
    FILE *file = fopen(path, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
}

/* Certificate and those who vouch for it, then the key in a file of its own. */
static void
write_pair(const char *chain, const char *key, const struct test_certificate *leaf)
{
    test_write_certificate(chain, leaf, false);
    test_write_certificate(chain, &middle, true);
    test_write_key(key, leaf, NULL, false);
}

static int
remove_entry(const char *path, const struct stat *st, int flag, struct FTW *ftw)
{
    (void)st;
    (void)flag;
    (void)ftw;
    return remove(path);
}

static int
begin(void)
{
    static const char fresh[] = "/tmp/test_certificates.XXXXXX";

    signal(SIGPIPE, SIG_IGN);
    memcpy(folder, fresh, sizeof(fresh));
    if (mkdtemp(folder) == NULL)
        return -1;
    setenv("STATE_DIRECTORY", in("state/bascule"), 1);
    root = test_certificate_make(&(struct test_draft){ .name = "root", .is_ca = true });
    middle = test_certificate_make(
        &(struct test_draft){ .name = "middle", .is_ca = true, .issuer = &root });
    alice = test_certificate_make(&(struct test_draft){ .name = "alice", .issuer = &middle });
    bob = test_certificate_make(&(struct test_draft){ .name = "bob", .issuer = &middle });
    loop = loop_new(&err);
    return loop != NULL ? 0 : -1;
}

static int
end(void)
{
    loop_free_all(loop);
    test_certificate_free(&root);
    test_certificate_free(&middle);
    test_certificate_free(&alice);
    test_certificate_free(&bob);
    return nftw(folder, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

/* ---- loading */

static struct bundle *
load(const char *chain, const char *key, const char *command)
{
    struct certificate_conf conf = { .chain = chain, .key = key, .key_command = command };
    void *items[] = { &conf };
    struct config_list list = { items, 1 };

    err.text[0] = '\0';
    return bundle_load(&list, &err);
}

static bool
says(const char *words)
{
    if (strstr(err.text, words) != NULL)
        return true;
    printf("#   it says: %s\n", err.text);
    return false;
}

static bool
is_leaf(const struct certificate *certificate, const struct test_certificate *made)
{
    unsigned char *der = NULL;
    int bytes = i2d_X509(made->x509, &der);
    bool is_same = slice_equal(certificate->leaf, slice_make((char *)der, (size_t)bytes));

    OPENSSL_free(der);
    return is_same;
}

static void
loads_a_chain_with_its_key(void)
{
    struct bundle *bundle;
    const unsigned char *at;
    EVP_PKEY *key;

    write_pair(in("a.pem"), in("a.key"), &alice);
    test_write_certificate(in("a.pem"), &root, true);
    bundle = load(in("a.pem"), in("a.key"), NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bundle);
    CU_ASSERT_EQUAL(bundle->count, 1);
    CU_ASSERT_EQUAL(bundle->certificates[0].kind, KEY_ECDSA);
    CU_ASSERT(is_leaf(&bundle->certificates[0], &alice));
    CU_ASSERT_EQUAL(bundle->certificates[0].chain_count, 1); /* without the root */
    CU_ASSERT(slice_equal(bundle->certificates[0].issuer, bundle->certificates[0].chain[0]));
    CU_ASSERT(!bundle->certificates[0].must_staple);
    CU_ASSERT(bundle->certificates[0].not_after_s > time(NULL) + 29 * TEST_DAY_S);
    at = (const unsigned char *)bundle->certificates[0].key.data;
    key = d2i_AutoPrivateKey(NULL, &at, (long)bundle->certificates[0].key.bytes);
    CU_ASSERT_PTR_NOT_NULL_FATAL(key);
    CU_ASSERT_EQUAL(EVP_PKEY_eq(key, alice.key), 1);
    EVP_PKEY_free(key);
    bundle_unref(bundle);
    CU_ASSERT_EQUAL(shared_der_counts().count, 0);
}

static void
finds_the_key_beside_the_chain_in_one_file(void)
{
    struct bundle *bundle;

    test_write_key(in("one.pem"), &alice, NULL, false);
    test_write_certificate(in("one.pem"), &alice, true);
    bundle = load(in("one.pem"), NULL, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bundle);
    CU_ASSERT_EQUAL(bundle->certificates[0].chain_count, 0);
    CU_ASSERT_EQUAL(bundle->certificates[0].issuer.bytes, 0);
    bundle_unref(bundle);
}

/* RFC 8446 section 4.4.2 lets servers off, but older clients want it. */
static void
puts_a_chain_in_order(void)
{
    struct test_certificate lower = test_certificate_make(
        &(struct test_draft){ .name = "lower", .is_ca = true, .issuer = &middle });
    struct test_certificate leaf =
        test_certificate_make(&(struct test_draft){ .name = "leaf", .issuer = &lower });
    struct bundle *bundle;
    X509 *first;
    const unsigned char *at;

    test_write_certificate(in("o.pem"), &leaf, false);
    test_write_certificate(in("o.pem"), &root, true);
    test_write_certificate(in("o.pem"), &middle, true);
    test_write_certificate(in("o.pem"), &lower, true);
    test_write_key(in("o.pem"), &leaf, NULL, true);
    bundle = load(in("o.pem"), NULL, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bundle);
    CU_ASSERT_EQUAL_FATAL(bundle->certificates[0].chain_count, 2);
    at = (const unsigned char *)bundle->certificates[0].chain[0].data;
    first = d2i_X509(NULL, &at, (long)bundle->certificates[0].chain[0].bytes);
    CU_ASSERT_EQUAL(X509_cmp(first, lower.x509), 0);
    X509_free(first);
    bundle_unref(bundle);
    test_certificate_free(&lower);
    test_certificate_free(&leaf);
}

static void
takes_one_certificate_for_each_kind_of_key(void)
{
    static const struct test_draft drafts[] = {
        { .name = "e", .must_staple = true },
        { .name = "r", .rsa_bits = 2048 },
        { .name = "d", .is_ed25519 = true },
        { .name = "p", .curve = "P-384" },
    };
    struct certificate_conf confs[ARRAY_COUNT(drafts)];
    void *items[] = { &confs[0], &confs[1], &confs[2], &confs[3] };
    struct config_list list = { items, 3 };
    struct bundle *bundle;

    for (size_t i = 0; i < ARRAY_COUNT(drafts); i++) {
        struct test_certificate made = test_certificate_make(&drafts[i]);
        char name[16];

        snprintf(name, sizeof(name), "kind%zu", i);
        confs[i] = (struct certificate_conf){ .chain = in(name) };
        test_write_certificate(confs[i].chain, &made, false);
        test_write_key(confs[i].chain, &made, NULL, true);
        test_certificate_free(&made);
    }
    bundle = bundle_load(&list, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bundle);
    CU_ASSERT_EQUAL(bundle->count, 3);
    CU_ASSERT_EQUAL(bundle->certificates[0].kind, KEY_ECDSA);
    CU_ASSERT(bundle->certificates[0].must_staple);
    CU_ASSERT_EQUAL(bundle->certificates[1].kind, KEY_RSA);
    CU_ASSERT_EQUAL(bundle->certificates[2].kind, KEY_ED25519);
    bundle_unref(bundle);
    list.count = 4;
    CU_ASSERT_PTR_NULL(bundle_load(&list, &err));
    CU_ASSERT(says("of the same kind"));
}

static void
refuses_the_key_of_another_certificate(void)
{
    write_pair(in("a.pem"), in("a.key"), &alice);
    write_pair(in("b.pem"), in("b.key"), &bob);
    CU_ASSERT_PTR_NULL(load(in("a.pem"), in("b.key"), NULL));
    CU_ASSERT(says("b.key: the key is not that of \"CN=alice\" in"));
    test_write_certificate(in("wrong.pem"), &middle, false);
    test_write_certificate(in("wrong.pem"), &alice, true);
    CU_ASSERT_PTR_NULL(load(in("wrong.pem"), in("a.key"), NULL));
    CU_ASSERT(says("put that one first"));
}

static void
refuse_draft(const struct test_draft *draft, const char *words)
{
    struct test_certificate made = test_certificate_make(draft);

    test_write_certificate(in("weak.pem"), &made, false);
    test_write_key(in("weak.pem"), &made, NULL, true);
    CU_ASSERT_PTR_NULL(load(in("weak.pem"), NULL, NULL));
    CU_ASSERT(says(words));
    test_certificate_free(&made);
}

static void
refuses_weak_keys(void)
{
    refuse_draft(&(struct test_draft){ .name = "r", .rsa_bits = 1024 }, "1024 bits: 2048 or more");
    refuse_draft(&(struct test_draft){ .name = "k", .curve = "secp256k1" }, "curve secp256k1");
    refuse_draft(&(struct test_draft){ .name = "k", .curve = "P-224" }, "curve secp224r1");
}

static void
refuses_files_that_make_no_sense(void)
{
    struct test_certificate other = test_certificate_make(
        &(struct test_draft){ .name = "other", .is_ca = true, .issuer = &root });
    char text[5000];
    FILE *file;
    size_t bytes;

    CU_ASSERT_PTR_NULL(load(in("missing.pem"), NULL, NULL));
    CU_ASSERT(says("missing.pem: No such file"));
    CU_ASSERT_PTR_NULL(load(folder, NULL, NULL));
    CU_ASSERT(says("is not a file"));
    write_text(in("empty.pem"), "");
    CU_ASSERT_PTR_NULL(load(in("empty.pem"), NULL, NULL));
    CU_ASSERT(says("empty.pem: has no certificate"));
    test_write_certificate(in("keyless.pem"), &alice, false);
    CU_ASSERT_PTR_NULL(load(in("keyless.pem"), NULL, NULL));
    CU_ASSERT(says("has no private key"));

    write_pair(in("a.pem"), in("a.key"), &alice);
    file = fopen(in("a.pem"), "r");
    bytes = fread(text, 1, sizeof(text), file);
    fclose(file);
    text[bytes - 200] = '\0';
    write_text(in("half.pem"), text);
    CU_ASSERT_PTR_NULL(load(in("half.pem"), in("a.key"), NULL));
    CU_ASSERT(says("cut off or damaged"));

    test_write_certificate(in("stray.pem"), &alice, false);
    test_write_certificate(in("stray.pem"), &other, true);
    CU_ASSERT_PTR_NULL(load(in("stray.pem"), in("a.key"), NULL));
    CU_ASSERT(says("\"CN=other\" in it did not issue \"CN=alice\""));
    test_certificate_free(&other);
}

static void
takes_an_expired_certificate(void)
{
    struct test_certificate old = test_certificate_make(&(struct test_draft){
        .name = "old", .begin_s = -9 * TEST_DAY_S, .end_s = -2 * TEST_DAY_S });
    struct bundle *bundle;

    test_write_certificate(in("old.pem"), &old, false);
    test_write_key(in("old.pem"), &old, NULL, true);
    bundle = load(in("old.pem"), NULL, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(bundle);
    CU_ASSERT(bundle->certificates[0].not_after_s < time(NULL));
    bundle_unref(bundle);
    test_certificate_free(&old);
}

static void
asks_a_program_for_the_passphrase(void)
{
    struct bundle *bundle;

    test_write_certificate(in("p.pem"), &alice, false);
    test_write_key(in("p.pem"), &alice, "open sesame", true);
    write_text(in("phrase"), "open sesame\nand more\n");
    CU_ASSERT_PTR_NULL(load(in("p.pem"), NULL, NULL));
    CU_ASSERT(says("is encrypted: key_command"));
    {
        char command[PATH_MAX + 10];

        snprintf(command, sizeof(command), "cat  %s", in("phrase"));
        bundle = load(in("p.pem"), NULL, command);
        CU_ASSERT_PTR_NOT_NULL(bundle);
        bundle_unref(bundle);
    }
    CU_ASSERT_PTR_NULL(load(in("p.pem"), NULL, "echo open"));
    CU_ASSERT(says("does not fit"));
    CU_ASSERT_PTR_NULL(load(in("p.pem"), NULL, "false"));
    CU_ASSERT(says("\"false\" failed with status 1"));
    CU_ASSERT_PTR_NULL(load(in("p.pem"), NULL, "true"));
    CU_ASSERT(says("printed nothing"));
    CU_ASSERT_PTR_NULL(load(in("p.pem"), NULL, "/no/such/program"));
    CU_ASSERT(says("cannot be run"));
    passphrase_abort(true);
    CU_ASSERT_PTR_NULL(load(in("p.pem"), NULL, "sleep 100"));
    CU_ASSERT(says("did not end"));
    passphrase_abort(false);
    /* A key without one asks nobody. */
    test_write_key(in("a.key"), &alice, NULL, false);
    bundle = load(in("p.pem"), in("a.key"), "false");
    CU_ASSERT_PTR_NOT_NULL(bundle);
    bundle_unref(bundle);
}

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

/* ---- the local CA */

static X509 *
read_certificate(const char *path)
{
    FILE *file = fopen(path, "r");
    X509 *certificate;

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    certificate = PEM_read_X509(file, NULL, NULL, NULL);
    fclose(file);
    CU_ASSERT_PTR_NOT_NULL_FATAL(certificate);
    return certificate;
}

static int
verify_by(X509 *ca, X509 *leaf)
{
    X509_STORE *store = X509_STORE_new();
    X509_STORE_CTX *context = X509_STORE_CTX_new();
    int error;

    X509_STORE_add_cert(store, ca);
    X509_STORE_CTX_init(context, store, leaf, NULL);
    X509_STORE_CTX_set_purpose(context, X509_PURPOSE_SSL_SERVER);
    X509_verify_cert(context);
    error = X509_STORE_CTX_get_error(context);
    X509_STORE_CTX_free(context);
    X509_STORE_free(store);
    return error;
}

static unsigned
mode_of(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 ? st.st_mode & 07777 : 0;
}

static void
the_local_ca_is_made_once(void)
{
    struct slice names[] = { SLICE_INIT("shop.test"), SLICE_INIT("www.example.com") };
    struct strings hosts = { names, 2 };
    X509 *ca, *same, *leaf;
    struct bundle *bundle;
    char *text;

    CU_ASSERT_PTR_NULL(local_ca_certificate(&err));
    CU_ASSERT_EQUAL_FATAL(local_ca_ensure(NULL, &err), 0);
    CU_ASSERT_EQUAL(mode_of(local_ca_folder()), 0700);
    CU_ASSERT_EQUAL(mode_of(in("state/bascule/bascule-ca.key")), 0600);
    CU_ASSERT_EQUAL(mode_of(in("state/bascule/local.pem")), 0600);
    ca = read_certificate(in("state/bascule/bascule-ca.pem"));
    leaf = read_certificate(local_ca_path("local"));
    CU_ASSERT_EQUAL(verify_by(ca, leaf), X509_V_OK);
    CU_ASSERT_EQUAL(X509_check_host(leaf, "localhost", 0, 0, NULL), 1);
    CU_ASSERT_EQUAL(X509_check_host(leaf, "welcome.bascule.test", 0, 0, NULL), 1);
    CU_ASSERT_EQUAL(X509_check_ip_asc(leaf, "127.0.0.1", 0), 1);
    CU_ASSERT_EQUAL(X509_check_ip_asc(leaf, "::1", 0), 1);
    CU_ASSERT_NOT_EQUAL(X509_check_host(leaf, "shop.test", 0, 0, NULL), 1);
    CU_ASSERT_EQUAL(X509_get_pathlen(ca), 0);
    X509_free(leaf);

    /* Another host: another leaf, of the same CA; none for a name of the internet. */
    CU_ASSERT_EQUAL_FATAL(local_ca_ensure(&hosts, &err), 0);
    same = read_certificate(in("state/bascule/bascule-ca.pem"));
    CU_ASSERT_EQUAL(X509_cmp(ca, same), 0);
    leaf = read_certificate(local_ca_path("local"));
    CU_ASSERT_EQUAL(X509_check_host(leaf, "shop.test", 0, 0, NULL), 1);
    CU_ASSERT_NOT_EQUAL(X509_check_host(leaf, "www.example.com", 0, 0, NULL), 1);
    X509_free(same);

    /* Nothing to do: nothing changes. */
    CU_ASSERT_EQUAL_FATAL(local_ca_ensure(&hosts, &err), 0);
    same = read_certificate(local_ca_path("local"));
    CU_ASSERT_EQUAL(X509_cmp(leaf, same), 0);
    X509_free(same);
    X509_free(leaf);

    bundle = load("local", NULL, NULL);
    CU_ASSERT_PTR_NOT_NULL(bundle);
    bundle_unref(bundle);
    text = local_ca_certificate(&err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(text);
    CU_ASSERT_PTR_NOT_NULL(strstr(text, "BEGIN CERTIFICATE"));
    CU_ASSERT_PTR_NULL(strstr(text, "PRIVATE"));
    free(text);
    X509_free(ca);
}

/* RFC 5280 section 4.2.1.10: who has its key cannot speak for the internet. */
static void
the_local_ca_speaks_for_this_machine_only(void)
{
    struct test_certificate ca, leaf;
    FILE *file;

    CU_ASSERT_EQUAL_FATAL(local_ca_ensure(NULL, &err), 0);
    ca.x509 = read_certificate(in("state/bascule/bascule-ca.pem"));
    file = fopen(in("state/bascule/bascule-ca.key"), "r");
    ca.key = PEM_read_PrivateKey(file, NULL, NULL, NULL);
    fclose(file);
    CU_ASSERT_PTR_NOT_NULL_FATAL(ca.key);
    leaf = test_certificate_make(&(struct test_draft){ .name = "x", .issuer = &ca,
                                                       .alt_names = "DNS:www.example.com" });
    CU_ASSERT_EQUAL(verify_by(ca.x509, leaf.x509), X509_V_ERR_PERMITTED_VIOLATION);
    test_certificate_free(&leaf);
    leaf = test_certificate_make(&(struct test_draft){ .name = "x", .issuer = &ca,
                                                       .alt_names = "DNS:a.b.test,IP:127.0.0.1" });
    CU_ASSERT_EQUAL(verify_by(ca.x509, leaf.x509), X509_V_OK);
    test_certificate_free(&leaf);
    leaf = test_certificate_make(&(struct test_draft){ .name = "x", .issuer = &ca,
                                                       .alt_names = "IP:192.0.2.1" });
    CU_ASSERT_EQUAL(verify_by(ca.x509, leaf.x509), X509_V_ERR_PERMITTED_VIOLATION);
    test_certificate_free(&leaf);
    test_certificate_free(&ca);

    CU_ASSERT(local_ca_may(SLICE("localhost")));
    CU_ASSERT(local_ca_may(SLICE("a.localhost")));
    CU_ASSERT(local_ca_may(SLICE("Shop.TEST")));
    CU_ASSERT(!local_ca_may(SLICE("test")));
    CU_ASSERT(!local_ca_may(SLICE("contest")));
    CU_ASSERT(!local_ca_may(SLICE("test.example.com")));
}

static void
a_local_ca_without_its_key_is_not_replaced(void)
{
    CU_ASSERT_EQUAL_FATAL(local_ca_ensure(NULL, &err), 0);
    unlink(in("state/bascule/bascule-ca.key"));
    CU_ASSERT_EQUAL(local_ca_ensure(NULL, &err), -1);
    CU_ASSERT(says("remove both"));
    unlink(in("state/bascule/bascule-ca.pem"));
    CU_ASSERT_EQUAL(local_ca_ensure(NULL, &err), 0);
}

/* ---- files of the supervisor */

static bool
may_open(void *arg, const char *path)
{
    return strcmp(path, arg) == 0;
}

struct worker {
    char named[PATH_MAX], other[PATH_MAX];
    int named_fd, other_fd;
    struct err why;
    unsigned names;
    int watched;
    _Atomic bool is_done;
};

static void
count_name(void *arg, int wd, struct slice name)
{
    unsigned *count = arg;

    CU_ASSERT(wd > 0);
    CU_ASSERT(name.bytes > 0);
    ++*count;
}

/* A thread that is not root as far as files go. */
static void *
run_worker(void *arg)
{
    struct worker *worker = arg;

    syscall(SYS_setfsuid, 65534);
    worker->named_fd = opener_open(worker->named, &worker->why);
    worker->other_fd = opener_open(worker->other, &worker->why);
    worker->watched = opener_watch(opener_inotify(), worker->named, count_name, &worker->names);
    worker->is_done = true;
    return NULL;
}

/* As the supervisor's end answers, and the worker process takes it. */
static void
ask_the_desk(struct worker *worker)
{
    static struct channel_message message;
    struct opener_desk desk;
    pthread_t thread;
    int ends[2];

    CU_ASSERT_EQUAL_FATAL(channel_open(ends, &err), 0);
    opener_desk_init(&desk, may_open, worker->named);
    CU_ASSERT_EQUAL_FATAL(opener_desk_open(&desk, loop, ends[0], &err), 0);
    CU_ASSERT_EQUAL_FATAL(channel_receive(ends[1], &message), CHANNEL_GOT);
    CU_ASSERT_EQUAL_FATAL(message.kind, CHANNEL_OPENER);
    CU_ASSERT_EQUAL_FATAL(message.fd_count, 2);
    opener_use(message.fds[0], message.fds[1]);
    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, run_worker, worker), 0);
    while (!worker->is_done)
        loop_turn(loop, 20);
    pthread_join(thread, NULL);
    opener_use(-1, -1);
    opener_desk_close(&desk);
    close(ends[0]);
    close(ends[1]);
}

static void
the_supervisor_opens_what_is_named_and_nothing_else(void)
{
    struct worker worker = { .named_fd = -1, .other_fd = -1, .watched = -1 };

    if (geteuid() != 0) {
        CU_PASS("needs root");
        return;
    }
    mkdir(in("secret"), 0700);
    mkdir(in("secret/archive"), 0700);
    write_text(in("secret/archive/key1"), "key");
    write_text(in("secret/other"), "other");
    CU_ASSERT_EQUAL(symlink("archive/key1", in("secret/key")), 0);
    snprintf(worker.named, sizeof(worker.named), "%s", in("secret/key"));
    snprintf(worker.other, sizeof(worker.other), "%s", in("secret/other"));
    ask_the_desk(&worker);
    CU_ASSERT(worker.named_fd >= 0);
    CU_ASSERT_EQUAL(worker.other_fd, -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(worker.why.text, "Permission denied"));
    CU_ASSERT_EQUAL(worker.watched, 0);
    CU_ASSERT_EQUAL(worker.names, 2); /* the link, and what it leads to */
    if (worker.named_fd >= 0)
        close(worker.named_fd);
}

void
suite_certificates(void)
{
    CU_pSuite s = CU_add_suite("certificates", begin, end);

    CU_add_test(s, "loads a chain with its key", loads_a_chain_with_its_key);
    CU_add_test(s, "finds the key beside the chain in one file",
                finds_the_key_beside_the_chain_in_one_file);
    CU_add_test(s, "puts a chain in order", puts_a_chain_in_order);
    CU_add_test(s, "takes one certificate for each kind of key",
                takes_one_certificate_for_each_kind_of_key);
    CU_add_test(s, "refuses the key of another certificate",
                refuses_the_key_of_another_certificate);
    CU_add_test(s, "refuses weak keys", refuses_weak_keys);
    CU_add_test(s, "refuses files that make no sense", refuses_files_that_make_no_sense);
    CU_add_test(s, "takes an expired certificate", takes_an_expired_certificate);
    CU_add_test(s, "asks a program for the passphrase", asks_a_program_for_the_passphrase);
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
    CU_add_test(s, "the local CA is made once", the_local_ca_is_made_once);
    CU_add_test(s, "the local CA speaks for this machine only",
                the_local_ca_speaks_for_this_machine_only);
    CU_add_test(s, "a local CA without its key is not replaced",
                a_local_ca_without_its_key_is_not_replaced);
    CU_add_test(s, "the supervisor opens what is named and nothing else",
                the_supervisor_opens_what_is_named_and_nothing_else);
}
