/* SPDX-License-Identifier: BSD-2-Clause */
/* ldap_directory.c - directories as objects of the registry, and the connections that
 * are lent to threads.
 *
 * A directory that does not answer costs each thread that asks it the whole timeout. So
 * directories have pools of threads apart from each other, as long as there are few of
 * them; and one that has just failed is not asked for a moment.
 */
#include "config.h"

#include "server/users/ldap_inside.h"

#include "server/base/clock.h"
#include "server/file_read.h"
#include "server/registry.h"
#include "server/tls/reread.h"
#include "server/users/secrets.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define POOLS 8u
#define QUEUE_MAX 256u
#define IDLE_MS 60000u /* a connection that was not used for longer is not trusted any more */
#define DOWN_MS 1000u  /* not asked again for so long after it could not be reached */

#define POOL JOB_POOL_INIT("bascule-ldap", JOB_THREADS_MAX, QUEUE_MAX, false)

static struct job_pool pools[POOLS] = { POOL, POOL, POOL, POOL, POOL, POOL, POOL, POOL };

struct ldap_directory {
    struct registered registered; /* identity: all of conf */
    struct reread reread;         /* of the password's file */
    struct ldap_conf conf;        /* its strings are allocated */
    uint64_t version;
    struct job_pool *pool;
    pthread_mutex_t lock; /* of what follows; nobody waits for the directory holding it */
    pthread_cond_t is_free;
    struct list idle;     /* connections; who was used last is first */
    unsigned lent;
    uint64_t down_ms;     /* when it could not be reached; 0: it could */
    int told;             /* the last code that was logged */
    char password[LDAP_PASSWORD_BYTES_MAX];
};

int
ldap_check_built(struct err *err)
{
    (void)err;
    return 0;
}

/* ---- the password of who searches */

/* The first line. */
static int
read_password(const char *path, char password[LDAP_PASSWORD_BYTES_MAX], struct err *err)
{
    struct slice text;
    size_t bytes;

    if (file_read(path, LDAP_PASSWORD_BYTES_MAX - 1, &text, err) < 0)
        return -1;
    bytes = strcspn(text.data, "\r\n"); /* or up to a NUL */
    memcpy(password, text.data, bytes);
    password[bytes] = '\0';
    file_text_free(&text);
    return bytes > 0 ? 0 : err_set(err, "%s: has no password on its first line", path);
}

static int
reload(struct reread *reread, struct err *err)
{
    struct ldap_directory *directory = container_of(reread, struct ldap_directory, reread);
    char password[LDAP_PASSWORD_BYTES_MAX] = "";
    int result = read_password(directory->conf.bind_password, password, err);

    if (result == 0) {
        pthread_mutex_lock(&directory->lock);
        result = strcmp(directory->password, password) != 0;
        memcpy(directory->password, password, sizeof(password));
        pthread_mutex_unlock(&directory->lock);
    }
    OPENSSL_cleanse(password, sizeof(password));
    return result;
}

void
ldap_directory_password(struct ldap_directory *directory, char password[LDAP_PASSWORD_BYTES_MAX])
{
    pthread_mutex_lock(&directory->lock);
    memcpy(password, directory->password, LDAP_PASSWORD_BYTES_MAX);
    pthread_mutex_unlock(&directory->lock);
}

/* ---- as objects of the registry */

/* The strings of conf, one after the other. */
static const char **
string_of(struct ldap_conf *conf, unsigned i)
{
    const char **strings[] = {
        &conf->url,  &conf->ca, &conf->bind_dn,        &conf->bind_password, &conf->base,
        &conf->filter, &conf->dn, &conf->name_attribute, &conf->group_base,  &conf->group_filter,
        &conf->group_attribute,
    };

    return i < ARRAY_COUNT(strings) ? strings[i] : NULL;
}

static void
close_list(struct list *connections)
{
    list_each(link, connections) {
        list_remove(link);
        ldap_connection_close(container_of(link, struct ldap_connection, link));
    }
}

static void
free_directory(struct registered *object)
{
    struct ldap_directory *directory = container_of(object, struct ldap_directory, registered);
    const char **string;

    reread_drop(&directory->reread);
    must(directory->lent == 0);
    close_list(&directory->idle);
    pthread_cond_destroy(&directory->is_free);
    pthread_mutex_destroy(&directory->lock);
    for (unsigned i = 0; (string = string_of(&directory->conf, i)) != NULL; i++)
        free((char *)*string);
    OPENSSL_cleanse(directory->password, sizeof(directory->password));
    free(directory);
}

static bool
copy_strings(struct ldap_conf *conf, const struct ldap_conf *from)
{
    struct ldap_conf lent = *from;
    bool is_whole = true;
    const char **string;

    for (unsigned i = 0; (string = string_of(conf, i)) != NULL; i++) {
        const char *text = *string_of(&lent, i);

        *string = text != NULL ? strdup(text) : NULL;
        is_whole &= text == NULL || *string != NULL;
    }
    return is_whole;
}

static void
init_condition(pthread_cond_t *condition)
{
    pthread_condattr_t attributes;

    pthread_condattr_init(&attributes);
    pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC);
    pthread_cond_init(condition, &attributes);
    pthread_condattr_destroy(&attributes);
}

static struct registered *
make_directory(const void *arg, struct err *err)
{
    static unsigned count; /* under the registry's lock */
    const struct ldap_conf *conf = arg;
    struct ldap_directory *directory = calloc(1, sizeof(*directory));

    if (directory == NULL) {
        err_set(err, "out of memory for a directory");
        return NULL;
    }
    directory->conf = *conf;
    directory->version = users_version_new();
    directory->pool = &pools[count++ % POOLS];
    pthread_mutex_init(&directory->lock, NULL);
    init_condition(&directory->is_free);
    list_init(&directory->idle);
    list_init(&directory->reread.link);
    if (!copy_strings(&directory->conf, conf)) {
        free_directory(&directory->registered);
        err_set(err, "out of memory for a directory");
        return NULL;
    }
    if (directory->conf.bind_password != NULL) {
        directory->reread.paths[0] = directory->conf.bind_password;
        directory->reread.reload = reload;
        reread_add(&directory->reread);
    }
    return &directory->registered;
}

static const struct registry_kind directory_kind = {
    .name = "directory",
    .make = make_directory,
    .free = free_directory,
};

static char *
identity_of(const struct ldap_conf *conf)
{
    struct ldap_conf copy = *conf;
    const char **string;
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    if (out == NULL)
        return NULL;
    fprintf(out, "%d %lld %u %lld", conf->starttls, (long long)conf->group_depth,
            conf->timeout_ms, (long long)conf->connections);
    for (unsigned i = 0; (string = string_of(&copy, i)) != NULL; i++)
        fprintf(out, "\n%s%s", *string != NULL ? "=" : "", *string != NULL ? *string : "");
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

/* libldap would only say that TLS failed. */
static int
check_ca(const struct ldap_conf *conf, struct err *err)
{
    if (conf->ca == NULL || access(conf->ca, R_OK) == 0)
        return 0;
    return err_errno(err, "ca: %s: cannot be read", conf->ca);
}

struct ldap_directory *
ldap_directory_adopt(const struct ldap_conf *conf, struct err *err)
{
    char *identity = identity_of(conf);
    struct registered *object;
    struct ldap_directory *directory;

    if (identity == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    object = check_ca(conf, err) == 0 ? registry_adopt(&directory_kind, identity, conf, err) : NULL;
    free(identity);
    if (object == NULL)
        return NULL;
    directory = container_of(object, struct ldap_directory, registered);
    if (conf->bind_password == NULL || reload(&directory->reread, err) >= 0)
        return directory;
    err_prefix(err, "bind_password_file: ");
    registered_unref(object);
    return NULL;
}

void
ldap_directory_unref(struct ldap_directory *directory)
{
    if (directory != NULL)
        registered_unref(&directory->registered);
}

struct job_pool *
ldap_directory_pool(struct ldap_directory *directory)
{
    return directory->pool;
}

uint64_t
ldap_directory_version(const struct ldap_directory *directory)
{
    return directory->version;
}

/* ---- connections */

/* Under the lock. False: none was given back in time. */
static bool
wait_for_turn(struct ldap_directory *directory, uint64_t deadline_ms)
{
    const struct timespec end = {
        .tv_sec = (time_t)(deadline_ms / 1000), .tv_nsec = (long)(deadline_ms % 1000) * 1000000,
    };

    while (directory->lent >= (unsigned)directory->conf.connections)
        if (pthread_cond_timedwait(&directory->is_free, &directory->lock, &end) == ETIMEDOUT)
            return false;
    return true;
}

/* Under the lock; those that were idle for too long are put on *old. */
static struct ldap_connection *
take_idle(struct ldap_directory *directory, struct list *old)
{
    uint64_t now_ms = clock_monotonic_ms();

    list_each(link, &directory->idle) {
        struct ldap_connection *connection = container_of(link, struct ldap_connection, link);

        list_remove(link);
        if (now_ms - connection->idle_since_ms < IDLE_MS)
            return connection;
        list_push_back(old, link);
    }
    return NULL;
}

/* False: there is no turn, or it is down. Otherwise the turn has to be given back. */
static bool
take_turn(struct ldap_proof *proof, struct list *old)
{
    struct ldap_directory *directory = proof->directory;
    uint64_t now_ms = clock_monotonic_ms();
    bool may_ask = false;

    pthread_mutex_lock(&directory->lock);
    proof->code = LDAP_SERVER_DOWN;
    proof->doing = NULL; /* told when it went down */
    if (directory->down_ms == 0 || now_ms - directory->down_ms >= DOWN_MS) {
        may_ask = wait_for_turn(directory, proof->deadline_ms);
        proof->doing = "wait for a connection";
        proof->code = LDAP_TIMEOUT;
    }
    if (may_ask) {
        directory->lent++;
        proof->connection = take_idle(directory, old);
    }
    pthread_mutex_unlock(&directory->lock);
    return may_ask;
}

/* Takes proof->connection, which may be NULL. */
static void
give_turn(struct ldap_proof *proof, bool is_broken)
{
    struct ldap_directory *directory = proof->directory;
    struct ldap_connection *connection = proof->connection;

    proof->connection = NULL;
    if (connection != NULL && is_broken) {
        ldap_connection_close(connection);
        connection = NULL;
    }
    pthread_mutex_lock(&directory->lock);
    directory->lent--;
    if (connection != NULL) {
        connection->idle_since_ms = clock_monotonic_ms();
        list_push_front(&directory->idle, &connection->link);
    }
    pthread_cond_signal(&directory->is_free);
    pthread_mutex_unlock(&directory->lock);
}

/* ---- proofs */

/* Over one connection. *was_idle: it might have ended before we asked. */
static enum proof
try(struct ldap_proof *proof, bool *was_idle)
{
    struct list old;
    enum proof result = PROOF_FAILED;

    *was_idle = false;
    list_init(&old);
    if (!take_turn(proof, &old))
        return PROOF_FAILED;
    close_list(&old);
    *was_idle = proof->connection != NULL;
    if (proof->connection == NULL) {
        proof->doing = "connect";
        proof->connection = ldap_connection_open(proof->conf, proof->deadline_ms, &proof->code);
    }
    if (proof->connection != NULL)
        result = ldap_proof_make(proof);
    give_turn(proof, result == PROOF_FAILED && ldap_code_is_fatal(proof->code));
    return result;
}

/* Says what changed, once. */
static void
note(struct ldap_proof *proof, enum proof result)
{
    struct ldap_directory *directory = proof->directory;
    bool is_down = result == PROOF_FAILED && ldap_code_is_fatal(proof->code);
    int code = result == PROOF_FAILED ? proof->code : LDAP_SUCCESS, told;

    if (result == PROOF_FAILED && proof->doing == NULL)
        return;
    pthread_mutex_lock(&directory->lock);
    directory->down_ms = is_down ? clock_monotonic_ms() : 0;
    told = directory->told;
    directory->told = code;
    pthread_mutex_unlock(&directory->lock);
    if (code == told)
        return;
    if (result == PROOF_FAILED)
        log_error("directory %s: could not %s: %s: logins are answered with 503", proof->conf->url,
                  proof->doing, ldap_err2string(code));
    else
        log_info("directory %s: answers again", proof->conf->url);
}

/* Directories take " ann" and "ann  b" for "ann" and "ann b" (RFC 4518 section 2.6): as many
 * names for one user, each with failures of its own. */
static bool
has_odd_spaces(const char *name)
{
    size_t bytes = strlen(name);

    return bytes == 0 || name[0] == ' ' || name[bytes - 1] == ' ' || strstr(name, "  ") != NULL;
}

enum proof
ldap_directory_prove(struct ldap_directory *directory, const char *name, const char *password,
                     struct user *user, struct arena *arena)
{
    struct ldap_proof proof = {
        .directory = directory, .conf = &directory->conf, .name = name, .password = password,
        .deadline_ms = clock_monotonic_ms() + directory->conf.timeout_ms, .arena = arena,
        .user = user,
    };
    const struct user nobody = *user;
    enum proof result;
    bool was_idle;

    if (password[0] == '\0')
        return PROOF_WRONG;
    if (has_odd_spaces(name))
        return PROOF_UNKNOWN;
    result = try(&proof, &was_idle);
    while (result == PROOF_FAILED && was_idle && ldap_code_is_fatal(proof.code) &&
           clock_monotonic_ms() < proof.deadline_ms) {
        *user = nobody;
        result = try(&proof, &was_idle);
    }
    note(&proof, result);
    return result;
}

void
ldap_directories_stop(void)
{
    for (unsigned i = 0; i < POOLS; i++)
        job_pool_stop(&pools[i]);
}
