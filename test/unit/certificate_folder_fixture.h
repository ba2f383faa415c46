/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_folder_fixture.h - a folder for files of certificates, and four that are
 * ready: root vouches for middle, middle for alice and bob.
 */
#ifndef BASCULE_CERTIFICATE_FOLDER_FIXTURE_H
#define BASCULE_CERTIFICATE_FOLDER_FIXTURE_H

#include "server/certificates/certificate_load.h"
#include "server/net/loop.h"
#include "test/unit/certificate_fixture.h"
#include "test/unit/folder_fixture.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Not every file needs all of it. */
#pragma GCC diagnostic ignored "-Wunused-function"

static struct test_certificate root, middle, alice, bob;
static struct loop *loop;
static struct err err;

/* ---- files */

/* Certificate and those who vouch for it, then the key in a file of its own. */
static void
write_pair(const char *chain, const char *key, const struct test_certificate *leaf)
{
    test_write_certificate(chain, leaf, false);
    test_write_certificate(chain, &middle, true);
    test_write_key(key, leaf, NULL, false);
}

static int
begin(void)
{
    signal(SIGPIPE, SIG_IGN);
    if (make_folder() < 0)
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
    return remove_folder();
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

#endif
