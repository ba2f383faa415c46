/* SPDX-License-Identifier: BSD-2-Clause */
/* test_certificate_load.c - files of certificates and keys: what is accepted, and
 * what is said of what is not.
 */
#include "config.h"

#include "server/certificates/certificate_load.h"

#include "server/certificates/passphrase.h"
#include "server/certificates/shared_der.h"
#include "test/unit/certificate_folder_fixture.h"

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

/* waitpid() has nothing to tell then. */
static void
takes_no_passphrase_from_a_program_whose_end_is_not_known(void)
{
    test_write_certificate(in("p.pem"), &alice, false);
    test_write_key(in("p.pem"), &alice, "open sesame", true);
    signal(SIGCHLD, SIG_IGN);
    CU_ASSERT_PTR_NULL(load(in("p.pem"), NULL, "echo open sesame"));
    signal(SIGCHLD, SIG_DFL);
    CU_ASSERT(says("was killed"));
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
    {
        char command[PATH_MAX + 10];

        write_text(in("killer"), "kill -9 $$\n");
        snprintf(command, sizeof(command), "sh %s", in("killer"));
        CU_ASSERT_PTR_NULL(load(in("p.pem"), NULL, command));
        CU_ASSERT(says("was killed"));
    }
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

void
suite_certificate_load(void)
{
    CU_pSuite s = CU_add_suite("certificate_load", begin, end);

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
    CU_add_test(s, "takes no passphrase from a program whose end is not known",
                takes_no_passphrase_from_a_program_whose_end_is_not_known);
}
