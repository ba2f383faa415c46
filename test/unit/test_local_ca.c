/* SPDX-License-Identifier: BSD-2-Clause */
/* test_local_ca.c - the certificate authority that Bascule makes for this machine. */
#include "config.h"

#include "server/certificates/local_ca.h"

#include "test/unit/certificate_folder_fixture.h"

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

void
suite_local_ca(void)
{
    CU_pSuite s = CU_add_suite("local_ca", begin, end);

    CU_add_test(s, "the local CA is made once", the_local_ca_is_made_once);
    CU_add_test(s, "the local CA speaks for this machine only",
                the_local_ca_speaks_for_this_machine_only);
    CU_add_test(s, "a local CA without its key is not replaced",
                a_local_ca_without_its_key_is_not_replaced);
}
