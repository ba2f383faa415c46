/* SPDX-License-Identifier: BSD-2-Clause */
/* log_privacy.h - what logs do not tell of the people behind requests.
 *
 * Addresses can be cut to their network, or replaced by pseudonyms: the same one for
 * the same client, made with a key that no log holds. The same for users' names; and
 * query strings, which carry what was searched for and worse, can be left out.
 */
#ifndef BASCULE_LOG_PRIVACY_H
#define BASCULE_LOG_PRIVACY_H

#include <stdbool.h>

#include "server/base/err.h"
#include "server/base/hash.h"
#include "server/net/address.h"

struct access_record;

enum log_clients {
    LOG_CLIENTS_FULL,
    LOG_CLIENTS_TRUNCATED,  /* to the /24, of IPv6 to the /48; without port */
    LOG_CLIENTS_PSEUDONYMS, /* "c" and 16 hexadecimal digits; without port */
};

enum log_users {
    LOG_USERS_FULL,
    LOG_USERS_PSEUDONYMS, /* "u" and 16 hexadecimal digits */
    LOG_USERS_OFF,
};

/* What is configured. Zeroed but for has_queries it conceals nothing. */
struct log_privacy {
    int clients, users;   /* enum log_clients, enum log_users */
    bool has_queries;
    const char *key_path; /* file of the key; NULL: one of this process */
    struct hash_key key;  /* set by log_privacy_adopt() */
};

#define LOG_PSEUDONYM_BYTES 17

/* Room for what takes the place of a record's values. */
struct log_concealed {
    char client[LOG_PSEUDONYM_BYTES], user[LOG_PSEUDONYM_BYTES], subject[LOG_PSEUDONYM_BYTES];
};

/* Checks what is configured together. 0, or -1 with err. */
int log_privacy_finish(const struct log_privacy *privacy, struct err *err);

/* Reads the key. 0, or -1 with err, which names the file. */
int log_privacy_adopt(struct log_privacy *privacy, struct err *err);

bool log_privacy_conceals(const struct log_privacy *privacy);

/* Takes out of the record, or replaces, what is not to be told. Header fields stay:
 * formats that show them are refused by log_privacy_objection(). The record borrows
 * room from then on. */
void log_privacy_apply(const struct log_privacy *privacy, struct access_record *record,
                       struct log_concealed *room);

/* The client's address as it may be told, into text[IP_TEXT_BYTES]. NULL: as it is.
 * Returns the length. */
size_t log_privacy_client_text(const struct log_privacy *privacy, const struct ip *client,
                               char *text);

/* The setting that a header field in the log would undo: `clients = "truncated"`; NULL:
 * none. Static. */
const char *log_privacy_objection(const struct log_privacy *privacy, struct slice name);

#endif
