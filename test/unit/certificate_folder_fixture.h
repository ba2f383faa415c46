/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_folder_fixture.h - a folder for files of certificates, and four that are
 * ready: root vouches for middle, middle for alice and bob.
 */
#ifndef BASCULE_CERTIFICATE_FOLDER_FIXTURE_H
#define BASCULE_CERTIFICATE_FOLDER_FIXTURE_H

#include "server/certificates/certificate_load.h"
#include "server/net/loop.h"
#include "test/unit/certificate_fixture.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <ftw.h>
#include <limits.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Not every file needs all of it. */
#pragma GCC diagnostic ignored "-Wunused-function"

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

#endif
