/* SPDX-License-Identifier: BSD-2-Clause */
/* local_ca.c - makes and keeps a small certificate authority.
 *
 *   bascule-ca.key, bascule-ca.pem --(signs)--> local.pem: certificate and key
 *
 * Files are written beside their place and then put there, under a lock on the
 * folder, so that two processes that begin together end up with one CA.
 */
#include "config.h"

#include "server/certificates/local_ca.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <openssl/bn.h>
#include <openssl/ec.h>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/x509.h>
#include <openssl/x509v3.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#define ROOT_FOLDER "/var/lib/bascule"
#define CA_FILE "bascule-ca.pem"
#define CA_KEY_FILE "bascule-ca.key"
#define LEAF_FILE "local.pem"
#define CA_DAYS 3650
#define LEAF_DAYS 90
#define RENEW_DAYS 30 /* before its end */
#define HOSTS_MAX 100
#define NAMES_BYTES 16384
#define SERIAL_BITS 127
#define DAY_S (24 * 3600)

/* ---- where */

static char folder[PATH_MAX];
static char leaf_path[PATH_MAX + sizeof(LEAF_FILE) + 1];
static pthread_once_t once = PTHREAD_ONCE_INIT;

static bool
try_folder(const char *start, const char *end)
{
    if (start == NULL || start[0] != '/')
        return false;
    /* systemd may name several, separated by colons. */
    return (size_t)snprintf(folder, sizeof(folder), "%.*s%s", (int)strcspn(start, ":"), start,
                            end) < sizeof(folder);
}

static void
find_folder(void)
{
    if (!try_folder(getenv("STATE_DIRECTORY"), "") &&
        !(geteuid() == 0 && try_folder(ROOT_FOLDER, "")) &&
        !try_folder(getenv("XDG_STATE_HOME"), "/bascule") &&
        !try_folder(getenv("HOME"), "/.local/state/bascule"))
        try_folder(ROOT_FOLDER, "");
    snprintf(leaf_path, sizeof(leaf_path), "%s/" LEAF_FILE, folder);
}

const char *
local_ca_folder(void)
{
    pthread_once(&once, find_folder);
    return folder;
}

const char *
local_ca_path(const char *chain)
{
    if (strcmp(chain, LOCAL_CERTIFICATE) != 0)
        return chain;
    pthread_once(&once, find_folder);
    return leaf_path;
}

bool
local_ca_may(struct slice host)
{
    static const struct slice tops[] = { SLICE_INIT("localhost"), SLICE_INIT("test") };

    for (size_t i = 0; i < ARRAY_COUNT(tops); i++) {
        struct slice top = tops[i], end;

        if (i == 0 && slice_equal_nocase(host, top))
            return true;
        if (host.bytes <= top.bytes + 1)
            continue;
        end = slice_skip(host, host.bytes - top.bytes);
        if (slice_equal_nocase(end, top) && end.data[-1] == '.')
            return true;
    }
    return false;
}

/* ---- files */

static const char *
file_path(char path[2 * PATH_MAX], const char *name)
{
    snprintf(path, 2 * PATH_MAX, "%s/%s", local_ca_folder(), name);
    return path;
}

/* Makes what is missing of the folder, for its owner alone, and locks it. */
static int
open_folder(struct err *err)
{
    char path[PATH_MAX];
    int fd;

    snprintf(path, sizeof(path), "%s", local_ca_folder());
    for (char *slash = strchr(path + 1, '/'); slash != NULL; slash = strchr(slash + 1, '/')) {
        *slash = '\0';
        mkdir(path, 0700);
        *slash = '/';
    }
    mkdir(path, 0700);
    fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0 || flock(fd, LOCK_EX) < 0) {
        err_errno(err, "%s: the local CA cannot be kept there", path);
        if (fd >= 0)
            close(fd);
        return -1;
    }
    return fd;
}

static int
write_whole(int fd, BIO *text)
{
    char *data;
    long bytes = BIO_get_mem_data(text, &data);

    while (bytes > 0) {
        ssize_t wrote = write(fd, data, (size_t)bytes);

        if (wrote < 0 && errno != EINTR)
            return -1;
        if (wrote > 0) {
            data += wrote;
            bytes -= wrote;
        }
    }
    return fsync(fd);
}

/* Puts text in the place of the file at once. */
static int
store(int folder_fd, const char *name, BIO *text, mode_t mode, struct err *err)
{
    char fresh[NAME_MAX];
    int fd;

    snprintf(fresh, sizeof(fresh), "%s.new", name);
    unlinkat(folder_fd, fresh, 0);
    fd = openat(folder_fd, fresh, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, mode);
    if (fd < 0)
        return err_errno(err, "%s/%s", local_ca_folder(), fresh);
    if (fchmod(fd, mode) < 0 || write_whole(fd, text) < 0 ||
        renameat(folder_fd, fresh, folder_fd, name) < 0) {
        err_errno(err, "%s/%s", local_ca_folder(), name);
        close(fd);
        unlinkat(folder_fd, fresh, 0);
        return -1;
    }
    close(fd);
    return 0;
}

static BIO *
open_file(const char *name)
{
    char path[2 * PATH_MAX];

    return BIO_new_file(file_path(path, name), "r");
}

static X509 *
load_certificate(const char *name)
{
    BIO *file = open_file(name);
    X509 *certificate = file != NULL ? PEM_read_bio_X509(file, NULL, NULL, NULL) : NULL;

    BIO_free(file);
    ERR_clear_error();
    return certificate;
}

static EVP_PKEY *
load_key(const char *name)
{
    BIO *file = open_file(name);
    EVP_PKEY *key = file != NULL ? PEM_read_bio_PrivateKey(file, NULL, NULL, NULL) : NULL;

    BIO_free(file);
    ERR_clear_error();
    return key;
}

/* ---- making certificates */

static int
set_serial(X509 *certificate)
{
    BIGNUM *number = BN_new();
    int is_done = number != NULL &&
                  BN_rand(number, SERIAL_BITS, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) &&
                  BN_to_ASN1_INTEGER(number, X509_get_serialNumber(certificate)) != NULL;

    BN_free(number);
    return is_done;
}

static int
add_extension(X509 *certificate, X509 *issuer, int nid, const char *value)
{
    X509_EXTENSION *extension;
    X509V3_CTX context;
    int is_done;

    X509V3_set_ctx(&context, issuer, certificate, NULL, NULL, 0);
    extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    is_done = extension != NULL && X509_add_ext(certificate, extension, -1);
    X509_EXTENSION_free(extension);
    return is_done;
}

struct extension {
    int nid;
    const char *value;
};

/* All that a certificate says. It begins a day ago: clocks differ. */
struct draft {
    const char *name;
    int days;
    struct extension extensions[7];
};

static int
set_name(X509_NAME *name, const char *text)
{
    return X509_NAME_add_entry_by_txt(name, "O", MBSTRING_ASC, (const unsigned char *)"Bascule",
                                      -1, -1, 0) &&
           X509_NAME_add_entry_by_txt(name, "CN", MBSTRING_UTF8, (const unsigned char *)text, -1,
                                      -1, 0);
}

/* issuer NULL: it signs itself. */
static X509 *
make_certificate(const struct draft *draft, EVP_PKEY *key, X509 *issuer, EVP_PKEY *issuer_key)
{
    X509 *certificate = X509_new();
    X509 *signer = issuer != NULL ? issuer : certificate;
    int is_good = certificate != NULL && X509_set_version(certificate, X509_VERSION_3) &&
                  set_serial(certificate) && X509_set_pubkey(certificate, key) &&
                  X509_gmtime_adj(X509_getm_notBefore(certificate), -DAY_S) != NULL &&
                  X509_gmtime_adj(X509_getm_notAfter(certificate),
                                  (long)draft->days * DAY_S) != NULL &&
                  set_name(X509_get_subject_name(certificate), draft->name) &&
                  X509_set_issuer_name(certificate, X509_get_subject_name(signer));

    for (const struct extension *e = draft->extensions; is_good && e->value != NULL; e++)
        is_good = add_extension(certificate, signer, e->nid, e->value);
    if (is_good && X509_sign(certificate, issuer_key, EVP_sha256()) > 0)
        return certificate;
    X509_free(certificate);
    return NULL;
}

static EVP_PKEY *
make_key(void)
{
    return EVP_EC_gen("P-256");
}

/* ---- the CA */

struct ca {
    X509 *certificate;
    EVP_PKEY *key;
};

static void
ca_fini(struct ca *ca)
{
    X509_free(ca->certificate);
    EVP_PKEY_free(ca->key);
}

/* The machine in the name tells it from others in a browser's list. */
static int
create_ca(struct ca *ca)
{
    char machine[65] = "", name[128];
    struct draft draft = {
        .name = name,
        .days = CA_DAYS,
        .extensions = {
            { NID_basic_constraints, "critical,CA:TRUE,pathlen:0" },
            { NID_key_usage, "critical,keyCertSign,cRLSign" },
            { NID_subject_key_identifier, "hash" },
            /* Names: what RFC 6761 keeps away from the internet. */
            { NID_name_constraints,
              "critical,permitted;DNS:localhost,permitted;DNS:test,"
              "permitted;IP:127.0.0.1/255.255.255.255,"
              "permitted;IP:::1/ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
        },
    };

    gethostname(machine, sizeof(machine) - 1);
    snprintf(name, sizeof(name), "local CA of %.40s",
             machine[0] != '\0' ? machine : "this machine");
    ca->key = make_key();
    if (ca->key != NULL)
        ca->certificate = make_certificate(&draft, ca->key, NULL, ca->key);
    return ca->certificate != NULL ? 0 : -1;
}

static int
store_ca(const struct ca *ca, int folder_fd, struct err *err)
{
    BIO *certificate = BIO_new(BIO_s_mem()), *key = BIO_new(BIO_s_mem());
    int result = -1;

    if (certificate == NULL || key == NULL || !PEM_write_bio_X509(certificate, ca->certificate) ||
        !PEM_write_bio_PrivateKey(key, ca->key, NULL, NULL, 0, NULL, NULL))
        err_set(err, "out of memory for the local CA");
    else if (store(folder_fd, CA_KEY_FILE, key, 0600, err) == 0 &&
             store(folder_fd, CA_FILE, certificate, 0644, err) == 0)
        result = 0;
    BIO_free(certificate);
    BIO_free(key);
    return result;
}

static bool
is_over_soon(const X509 *certificate, int days)
{
    time_t then = time(NULL) + (time_t)days * DAY_S;

    return X509_cmp_time(X509_get0_notAfter(certificate), &then) <= 0;
}

/* Somebody may have told browsers to trust it: a CA that is there but cannot be
 * used is not replaced behind their back, unless its time is over. */
static int
have_ca(struct ca *ca, int folder_fd, struct err *err)
{
    ca->certificate = load_certificate(CA_FILE);
    ca->key = load_key(CA_KEY_FILE);
    if (ca->certificate != NULL && ca->key != NULL && !is_over_soon(ca->certificate, LEAF_DAYS) &&
        X509_check_private_key(ca->certificate, ca->key) == 1)
        return 0;
    ERR_clear_error();
    if (ca->certificate != NULL && !is_over_soon(ca->certificate, LEAF_DAYS))
        return err_set(err, "%s/%s: is not there or not that of %s: remove both, and a new local "
                            "CA is made", local_ca_folder(), CA_KEY_FILE, CA_FILE);
    ca_fini(ca);
    *ca = (struct ca){ NULL, NULL };
    if (create_ca(ca) < 0)
        return err_set(err, "the local CA cannot be made: %s",
                       ERR_reason_error_string(ERR_get_error()));
    return store_ca(ca, folder_fd, err);
}

/* ---- its certificate for this machine */

static const char *const own_names[] = { "localhost", "*.bascule.test", "bascule.test" };

static bool
covers(X509 *leaf, struct slice host)
{
    /* A wildcard is compared as it is. */
    return X509_check_host(leaf, host.data, host.bytes, X509_CHECK_FLAG_NEVER_CHECK_SUBJECT,
                           NULL) == 1;
}

static bool
is_good_leaf(X509 *leaf, const struct ca *ca, const struct strings *hosts)
{
    if (is_over_soon(leaf, RENEW_DAYS) || X509_verify(leaf, ca->key) != 1)
        return false;
    for (size_t i = 0; hosts != NULL && i < hosts->count; i++)
        if (local_ca_may(hosts->items[i]) && !covers(leaf, hosts->items[i]))
            return false;
    return true;
}

static void
put_name(char *text, size_t *bytes, struct slice name)
{
    int put;

    if (*bytes + name.bytes + 8 > NAMES_BYTES)
        return;
    put = snprintf(text + *bytes, NAMES_BYTES - *bytes, ",DNS:%.*s", SLICE_ARG(name));
    *bytes += (size_t)put;
}

/* Only letters, digits, hyphens, dots and a star: what else there may be would
 * have a meaning of its own in the list. */
static bool
is_plain(struct slice host)
{
    for (size_t i = 0; i < host.bytes; i++) {
        char c = ascii_lower(host.data[i]);

        if (!(c >= 'a' && c <= 'z') && !ascii_is_digit(c) && c != '-' && c != '.' && c != '*')
            return false;
    }
    return true;
}

/* The names of a certificate that is made again stay, unless told otherwise. */
static void
put_names_of(X509 *leaf, char *text, size_t *bytes)
{
    GENERAL_NAMES *names = X509_get_ext_d2i(leaf, NID_subject_alt_name, NULL, NULL);

    for (int i = 0; i < sk_GENERAL_NAME_num(names) && i < HOSTS_MAX; i++) {
        const GENERAL_NAME *name = sk_GENERAL_NAME_value(names, i);
        struct slice host;

        if (name->type != GEN_DNS)
            continue;
        host = slice_make((const char *)ASN1_STRING_get0_data(name->d.dNSName),
                          (size_t)ASN1_STRING_length(name->d.dNSName));
        if (is_plain(host) && local_ca_may(host))
            put_name(text, bytes, host);
    }
    GENERAL_NAMES_free(names);
}

static void
list_names(char text[NAMES_BYTES], const struct strings *hosts, X509 *old)
{
    size_t bytes = (size_t)snprintf(text, NAMES_BYTES, "IP:127.0.0.1,IP:::1");

    for (size_t i = 0; i < ARRAY_COUNT(own_names); i++)
        put_name(text, &bytes, slice_of(own_names[i]));
    if (hosts == NULL && old != NULL)
        put_names_of(old, text, &bytes);
    for (size_t i = 0; hosts != NULL && i < hosts->count && i < HOSTS_MAX; i++)
        if (is_plain(hosts->items[i]) && local_ca_may(hosts->items[i]))
            put_name(text, &bytes, hosts->items[i]);
}

static int
store_leaf(X509 *leaf, EVP_PKEY *key, int folder_fd, struct err *err)
{
    BIO *text = BIO_new(BIO_s_mem());
    int result = -1;

    if (text == NULL || !PEM_write_bio_X509(text, leaf) ||
        !PEM_write_bio_PrivateKey(text, key, NULL, NULL, 0, NULL, NULL))
        err_set(err, "out of memory for the local certificate");
    else
        result = store(folder_fd, LEAF_FILE, text, 0600, err);
    BIO_free(text);
    return result;
}

static int
renew_leaf(const struct ca *ca, const struct strings *hosts, X509 *old, int folder_fd,
           struct err *err)
{
    char names[NAMES_BYTES];
    struct draft draft = {
        .name = "localhost",
        .days = LEAF_DAYS,
        .extensions = {
            { NID_basic_constraints, "critical,CA:FALSE" },
            { NID_key_usage, "critical,digitalSignature" },
            { NID_ext_key_usage, "serverAuth" },
            { NID_subject_key_identifier, "hash" },
            { NID_authority_key_identifier, "keyid" },
            { NID_subject_alt_name, names },
        },
    };
    EVP_PKEY *key = make_key();
    X509 *leaf;
    int result;

    list_names(names, hosts, old);
    leaf = key != NULL ? make_certificate(&draft, key, ca->certificate, ca->key) : NULL;
    if (leaf != NULL)
        result = store_leaf(leaf, key, folder_fd, err);
    else
        result = err_set(err, "the local certificate cannot be made: %s",
                         ERR_reason_error_string(ERR_get_error()));
    X509_free(leaf);
    EVP_PKEY_free(key);
    return result;
}

int
local_ca_ensure(const struct strings *hosts, struct err *err)
{
    int folder_fd = open_folder(err), result;
    struct ca ca = { NULL, NULL };
    X509 *leaf;

    if (folder_fd < 0)
        return -1;
    result = have_ca(&ca, folder_fd, err);
    leaf = result == 0 ? load_certificate(LEAF_FILE) : NULL;
    if (result == 0 && (leaf == NULL || !is_good_leaf(leaf, &ca, hosts)))
        result = renew_leaf(&ca, hosts, leaf, folder_fd, err);
    X509_free(leaf);
    ca_fini(&ca);
    ERR_clear_error();
    close(folder_fd); /* and the lock with it */
    return result;
}

char *
local_ca_certificate(struct err *err)
{
    X509 *certificate = load_certificate(CA_FILE);
    BIO *text = BIO_new(BIO_s_mem());
    char *data, *copy = NULL;

    if (certificate == NULL) {
        err_set(err, "there is no local CA in %s: it is made when a configuration with "
                     "certificates = \"" LOCAL_CERTIFICATE "\" is served", local_ca_folder());
    } else if (text != NULL && PEM_write_bio_X509(text, certificate)) {
        long bytes = BIO_get_mem_data(text, &data);

        copy = strndup(data, (size_t)bytes);
    }
    if (certificate != NULL && copy == NULL)
        err_set(err, "out of memory");
    BIO_free(text);
    X509_free(certificate);
    return copy;
}
