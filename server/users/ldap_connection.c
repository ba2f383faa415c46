/* SPDX-License-Identifier: BSD-2-Clause */
/* ldap_connection.c - libldap's handle, set up so that it trusts nobody it should not:
 * certificates are verified, referrals (which would be shown passwords) not followed.
 */
#include "config.h"

#include "server/users/ldap_connection.h"

#include "server/base/clock.h"

#include <stdlib.h>

#define KEEPALIVE_S 30

bool
ldap_code_is_fatal(int code)
{
    return code < 0 || code == LDAP_BUSY || code == LDAP_UNAVAILABLE ||
           code == LDAP_PROTOCOL_ERROR || code == LDAP_OTHER;
}

/* What is left, at least a little: zero would mean for ever. */
static struct timeval
left(uint64_t deadline_ms)
{
    uint64_t now_ms = clock_monotonic_ms();
    uint64_t ms = deadline_ms > now_ms + 1 ? deadline_ms - now_ms : 1;

    return (struct timeval){ .tv_sec = (time_t)(ms / 1000), .tv_usec = (long)(ms % 1000) * 1000 };
}

/* ---- opening */

static int
set_waits(LDAP *ld, uint64_t deadline_ms)
{
    struct timeval wait = left(deadline_ms);

    if (ldap_set_option(ld, LDAP_OPT_NETWORK_TIMEOUT, &wait) != LDAP_OPT_SUCCESS ||
        ldap_set_option(ld, LDAP_OPT_TIMEOUT, &wait) != LDAP_OPT_SUCCESS)
        return LDAP_PARAM_ERROR;
    return LDAP_SUCCESS;
}

static int
set_tls(LDAP *ld, const char *ca)
{
    const int demand = LDAP_OPT_X_TLS_DEMAND, oldest = LDAP_OPT_X_TLS_PROTOCOL_TLS1_2, client = 0;

    if (ldap_set_option(ld, LDAP_OPT_X_TLS_REQUIRE_CERT, &demand) != LDAP_OPT_SUCCESS ||
        ldap_set_option(ld, LDAP_OPT_X_TLS_PROTOCOL_MIN, &oldest) != LDAP_OPT_SUCCESS ||
        (ca != NULL && ldap_set_option(ld, LDAP_OPT_X_TLS_CACERTFILE, ca) != LDAP_OPT_SUCCESS) ||
        ldap_set_option(ld, LDAP_OPT_X_TLS_NEWCTX, &client) != LDAP_OPT_SUCCESS)
        return LDAP_CONNECT_ERROR;
    return LDAP_SUCCESS;
}

static int
set_up(LDAP *ld, const struct ldap_conf *conf, uint64_t deadline_ms)
{
    const int version = LDAP_VERSION3, never = LDAP_DEREF_NEVER, keepalive_s = KEEPALIVE_S;
    bool is_set =
        ldap_set_option(ld, LDAP_OPT_PROTOCOL_VERSION, &version) == LDAP_OPT_SUCCESS &&
        ldap_set_option(ld, LDAP_OPT_REFERRALS, LDAP_OPT_OFF) == LDAP_OPT_SUCCESS &&
        ldap_set_option(ld, LDAP_OPT_DEREF, &never) == LDAP_OPT_SUCCESS &&
        ldap_set_option(ld, LDAP_OPT_RESTART, LDAP_OPT_ON) == LDAP_OPT_SUCCESS &&
        ldap_set_option(ld, LDAP_OPT_X_KEEPALIVE_IDLE, &keepalive_s) == LDAP_OPT_SUCCESS;
    int code = is_set ? set_waits(ld, deadline_ms) : LDAP_PARAM_ERROR;

    return code == LDAP_SUCCESS ? set_tls(ld, conf->ca) : code;
}

/* libldap's own state is made by the first who comes. */
static int
initialize(LDAP **ld, const char *url)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    int code;

    pthread_mutex_lock(&lock);
    code = ldap_initialize(ld, url);
    pthread_mutex_unlock(&lock);
    return code;
}

static bool
wants_starttls(const struct ldap_conf *conf)
{
    return conf->starttls && strncmp(conf->url, "ldap://", 7) == 0;
}

struct ldap_connection *
ldap_connection_open(const struct ldap_conf *conf, uint64_t deadline_ms, int *code)
{
    struct ldap_connection *connection = calloc(1, sizeof(*connection));

    *code = LDAP_NO_MEMORY;
    if (connection == NULL)
        return NULL;
    list_init(&connection->link);
    *code = initialize(&connection->ld, conf->url);
    if (*code == LDAP_SUCCESS)
        *code = set_up(connection->ld, conf, deadline_ms);
    if (*code == LDAP_SUCCESS && wants_starttls(conf))
        *code = ldap_start_tls_s(connection->ld, NULL, NULL);
    if (*code == LDAP_SUCCESS)
        return connection;
    ldap_connection_close(connection);
    return NULL;
}

void
ldap_connection_close(struct ldap_connection *connection)
{
    if (connection->ld != NULL)
        (void)ldap_unbind_ext(connection->ld, NULL, NULL);
    free(connection);
}

/* ---- asking */

/* The final message, and those before it. */
static int
await(LDAP *ld, int id, uint64_t deadline_ms, LDAPMessage **result)
{
    struct timeval wait = left(deadline_ms);
    int type = ldap_result(ld, id, LDAP_MSG_ALL, &wait, result), code;

    if (type > 0) {
        if (ldap_parse_result(ld, *result, &code, NULL, NULL, NULL, NULL, 0) != LDAP_SUCCESS)
            code = LDAP_DECODING_ERROR;
        return code;
    }
    *result = NULL;
    if (type == 0) {
        (void)ldap_abandon_ext(ld, id, NULL, NULL);
        return LDAP_TIMEOUT;
    }
    code = LDAP_SERVER_DOWN;
    (void)ldap_get_option(ld, LDAP_OPT_RESULT_CODE, &code);
    return code != LDAP_SUCCESS ? code : LDAP_SERVER_DOWN;
}

int
ldap_connection_bind(struct ldap_connection *connection, const char *dn, const char *password,
                     uint64_t deadline_ms)
{
    struct berval secret = { .bv_len = strlen(password), .bv_val = (char *)password };
    LDAPMessage *result;
    int id, code = set_waits(connection->ld, deadline_ms);

    connection->is_service = false;
    if (code == LDAP_SUCCESS)
        code = ldap_sasl_bind(connection->ld, dn, LDAP_SASL_SIMPLE, &secret, NULL, NULL, &id);
    if (code != LDAP_SUCCESS)
        return code;
    code = await(connection->ld, id, deadline_ms, &result);
    ldap_msgfree(result);
    return code;
}

int
ldap_connection_search(struct ldap_connection *connection, const struct ldap_question *question,
                       uint64_t deadline_ms, LDAPMessage **result)
{
    char *attributes[] = { (char *)question->attribute, NULL };
    struct timeval wait = left(deadline_ms);
    int id, code = set_waits(connection->ld, deadline_ms);

    *result = NULL;
    if (code == LDAP_SUCCESS)
        code = ldap_search_ext(connection->ld, question->base, question->scope, question->filter,
                               attributes, 0, NULL, NULL, &wait, question->entries_max, &id);
    if (code != LDAP_SUCCESS)
        return code;
    code = await(connection->ld, id, deadline_ms, result);
    if (code == LDAP_SUCCESS)
        return code;
    ldap_msgfree(*result);
    *result = NULL;
    return code;
}
