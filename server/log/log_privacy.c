/* SPDX-License-Identifier: BSD-2-Clause */
/* log_privacy.c - conceals values of a record before any format sees it. */
#include "config.h"

#include "server/log/log_privacy.h"

#include "server/log/access_log.h"
#include "server/log/escape.h"
#include "server/opener.h"

#include <errno.h>
#include <openssl/evp.h>
#include <pthread.h>
#include <unistd.h>

/* Of a key file. */
#define KEY_BYTES_MIN 16
#define KEY_BYTES_MAX 4096

/* So that nobody whose name is four bytes long has the pseudonym of an address. */
#define FOR_USERS 0x7573657273000001u

/* ---- the key */

static pthread_once_t is_made = PTHREAD_ONCE_INIT;
static struct hash_key process_key;

static void
make_process_key(void)
{
    hash_key_random(&process_key);
}

static bool
needs_key(const struct log_privacy *privacy)
{
    return privacy->clients == LOG_CLIENTS_PSEUDONYMS || privacy->users == LOG_USERS_PSEUDONYMS;
}

int
log_privacy_finish(const struct log_privacy *privacy, struct err *err)
{
    if (privacy->key_path == NULL)
        return 0;
    if (!needs_key(privacy))
        return err_set(err, "pseudonym_key without clients = \"pseudonyms\" or users = "
                            "\"pseudonyms\" means nothing");
    if (privacy->key_path[0] != '/')
        return err_set(err, "pseudonym_key: \"%s\" is not an absolute path", privacy->key_path);
    return 0;
}

/* Bytes of the file without white space at the end; -1: it cannot be read. */
static ssize_t
read_key(const char *path, char *data, size_t room, struct err *err)
{
    int fd = opener_open(path, err);
    ssize_t bytes;

    if (fd < 0)
        return -1;
    do {
        bytes = read(fd, data, room);
    } while (bytes < 0 && errno == EINTR);
    if (bytes < 0)
        err_errno(err, "%s", path);
    close(fd);
    while (bytes > 0 && strchr(" \t\r\n", data[bytes - 1]) != NULL)
        bytes--;
    return bytes;
}

int
log_privacy_adopt(struct log_privacy *privacy, struct err *err)
{
    unsigned char digest[EVP_MAX_MD_SIZE];
    char data[KEY_BYTES_MAX + 1];
    ssize_t bytes;

    if (!needs_key(privacy))
        return 0;
    if (privacy->key_path == NULL) {
        pthread_once(&is_made, make_process_key);
        privacy->key = process_key;
        return 0;
    }
    bytes = read_key(privacy->key_path, data, sizeof(data), err);
    if (bytes < 0)
        return -1;
    if (bytes < KEY_BYTES_MIN || bytes > KEY_BYTES_MAX)
        return err_set(err, "%s: holds %s than a key has: %d to %d bytes, best random ones",
                       privacy->key_path, bytes < KEY_BYTES_MIN ? "less" : "more", KEY_BYTES_MIN,
                       KEY_BYTES_MAX);
    if (EVP_Digest(data, (size_t)bytes, digest, NULL, EVP_sha256(), NULL) != 1)
        return err_set(err, "%s: no memory", privacy->key_path);
    memcpy(&privacy->key, digest, sizeof(privacy->key));
    return 0;
}

/* ---- values */

bool
log_privacy_conceals(const struct log_privacy *privacy)
{
    return privacy->clients != LOG_CLIENTS_FULL || privacy->users != LOG_USERS_FULL ||
           !privacy->has_queries;
}

static struct slice
pseudonym(char kind, struct slice of, const struct hash_key *key, char *text)
{
    text[0] = kind;
    text_hex64(text + 1, hash_bytes(of, key));
    return slice_make(text, LOG_PSEUDONYM_BYTES);
}

static struct slice
client_pseudonym(const struct log_privacy *privacy, const struct ip *client, char *text)
{
    struct slice bytes = slice_make((const char *)client->bytes, client->family == 4 ? 4 : 16);

    return pseudonym('c', bytes, &privacy->key, text);
}

/* Nobody has none. */
static struct slice
user_pseudonym(const struct log_privacy *privacy, struct slice user, char *text)
{
    struct hash_key key = { { privacy->key.half[0] ^ FOR_USERS, privacy->key.half[1] } };

    return user.bytes > 0 ? pseudonym('u', user, &key, text) : user;
}

/* The rest of the address, and the port, which tells those behind one address apart. */
static void
truncate_client(struct ip *client)
{
    size_t kept = client->family == 4 ? 3 : 6;

    memset(client->bytes + kept, 0, sizeof(client->bytes) - kept);
    client->scope = 0;
    client->port = 0;
}

static void
conceal_client(const struct log_privacy *privacy, struct access_record *record,
               struct log_concealed *room)
{
    switch ((enum log_clients)privacy->clients) {
    case LOG_CLIENTS_FULL:
        return;
    case LOG_CLIENTS_TRUNCATED:
        truncate_client(&record->client);
        return;
    case LOG_CLIENTS_PSEUDONYMS:
        if (record->client.family != 0)
            record->client_alias = client_pseudonym(privacy, &record->client, room->client);
        record->client = (struct ip){ .family = record->client.family };
        return;
    }
}

/* A certificate names who showed it as well as a password would. */
static void
conceal_user(const struct log_privacy *privacy, struct access_record *record,
             struct log_concealed *room)
{
    const struct slice none = { NULL, 0 };

    switch ((enum log_users)privacy->users) {
    case LOG_USERS_FULL:
        return;
    case LOG_USERS_PSEUDONYMS:
        record->user = user_pseudonym(privacy, record->user, room->user);
        record->client_subject = user_pseudonym(privacy, record->client_subject, room->subject);
        break;
    case LOG_USERS_OFF:
        record->user = none;
        record->client_subject = none;
        break;
    }
    record->client_serial = none;
    record->client_fingerprint = none;
}

static void
cut_query(struct slice *url)
{
    for (size_t i = 0; i < url->bytes; i++)
        if (url->data[i] == '?' || url->data[i] == '#')
            url->bytes = i;
}

void
log_privacy_apply(const struct log_privacy *privacy, struct access_record *record,
                  struct log_concealed *room)
{
    conceal_client(privacy, record, room);
    conceal_user(privacy, record, room);
    if (privacy->has_queries)
        return;
    cut_query(&record->target);
    cut_query(&record->referer);
}

size_t
log_privacy_client_text(const struct log_privacy *privacy, const struct ip *client, char *text)
{
    struct ip shown = *client;
    struct slice alias;

    switch (privacy != NULL ? (enum log_clients)privacy->clients : LOG_CLIENTS_FULL) {
    case LOG_CLIENTS_FULL:
        break;
    case LOG_CLIENTS_TRUNCATED:
        truncate_client(&shown);
        break;
    case LOG_CLIENTS_PSEUDONYMS:
        if (client->family == 0)
            break;
        alias = client_pseudonym(privacy, client, text);
        text[alias.bytes] = '\0';
        return alias.bytes;
    }
    return ip_text(&shown, text);
}

/* ---- header fields */

/* Names of those that tell what a setting conceals; each list ends with NULL. */
static const char *const of_clients[] = {
    "forwarded", "x-forwarded-for", "x-real-ip", "x-client-ip", "client-ip", "true-client-ip",
    "cf-connecting-ip", "fastly-client-ip", "x-cluster-client-ip", "x-original-forwarded-for",
    NULL,
};
static const char *const of_users[] = {
    "from", "remote-user", "x-remote-user", "x-user", "x-forwarded-user", "x-forwarded-email",
    "x-forwarded-preferred-username", "x-auth-request-user", "x-auth-request-email",
    "x-webauth-user", NULL,
};
static const char *const of_queries[] = {
    "referer", "location", "content-location", "refresh", "x-original-url", "x-original-uri",
    "x-rewrite-url", "x-forwarded-uri", NULL,
};

static bool
is_among(struct slice name, const char *const *names)
{
    for (; *names != NULL; names++)
        if (slice_equal_nocase(name, slice_of(*names)))
            return true;
    return false;
}

const char *
log_privacy_objection(const struct log_privacy *privacy, struct slice name)
{
    static const char *const by_clients[] = {
        [LOG_CLIENTS_TRUNCATED] = "clients = \"truncated\"",
        [LOG_CLIENTS_PSEUDONYMS] = "clients = \"pseudonyms\"",
    };
    static const char *const by_users[] = {
        [LOG_USERS_PSEUDONYMS] = "users = \"pseudonyms\"",
        [LOG_USERS_OFF] = "users = \"off\"",
    };

    if (privacy->clients != LOG_CLIENTS_FULL && is_among(name, of_clients))
        return by_clients[privacy->clients];
    if (privacy->users != LOG_USERS_FULL && is_among(name, of_users))
        return by_users[privacy->users];
    return !privacy->has_queries && is_among(name, of_queries) ? "queries = false" : NULL;
}
