/* SPDX-License-Identifier: BSD-2-Clause */
/* test_certificates.c - sets of certificates: who asks for them, how changes are taken over. */
#include "config.h"

#include "test/unit/certificate_set_fixture.h"

/* ---- sets */

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
    for (size_t i = 0; i < ARRAY_COUNT(askers); i++)
        wait_for(&askers[i]);
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
        wait_for(&asker); /* it was answered before */
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
    wait_for(&asker);
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
    wait_for(&asker);
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
    poll(NULL, 0, 400); /* it is seen, and does not fit */
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
}
