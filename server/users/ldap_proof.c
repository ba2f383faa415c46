/* SPDX-License-Identifier: BSD-2-Clause */
/* ldap_proof.c - the questions that make a proof, in their order.
 *
 *   (as who searches) find the entry --> bind as it --> its name --> (as who searches) groups
 */
#include "config.h"

#include "server/users/ldap_inside.h"

#include "server/users/ldap_text.h"

#include <openssl/crypto.h>

static enum proof
fail(struct ldap_proof *proof, const char *doing, int code)
{
    proof->doing = doing;
    proof->code = code;
    return PROOF_FAILED;
}

/* ---- as whom */

/* A connection that was used before may still be bound as somebody else. */
static enum proof
become_service(struct ldap_proof *proof)
{
    char password[LDAP_PASSWORD_BYTES_MAX] = "";
    const char *dn = proof->conf->bind_dn;
    int code;

    if (proof->connection->is_service)
        return PROOF_GOOD;
    if (dn != NULL)
        ldap_directory_password(proof->directory, password);
    if (dn != NULL && password[0] == '\0')
        return fail(proof, "bind without a password", LDAP_INVALID_CREDENTIALS);
    code = ldap_connection_bind(proof->connection, dn != NULL ? dn : "", password,
                                proof->deadline_ms);
    OPENSSL_cleanse(password, sizeof(password));
    if (code != LDAP_SUCCESS)
        return fail(proof, "bind as who searches", code);
    proof->connection->is_service = true;
    return PROOF_GOOD;
}

/* RFC 4511 appendix A.2: what says no to this user, and what is amiss in general. */
static enum proof
become_user(struct ldap_proof *proof)
{
    int code = ldap_connection_bind(proof->connection, proof->dn.data, proof->password,
                                    proof->deadline_ms);

    switch (code) {
    case LDAP_SUCCESS:
        return PROOF_GOOD;
    case LDAP_INVALID_CREDENTIALS:
    case LDAP_INAPPROPRIATE_AUTH:     /* the entry has no password */
    case LDAP_NO_SUCH_OBJECT:
    case LDAP_UNWILLING_TO_PERFORM:   /* an account that is switched off */
    case LDAP_CONSTRAINT_VIOLATION:   /* ... or locked, after too many failures */
    case LDAP_INSUFFICIENT_ACCESS:
        return PROOF_WRONG;
    }
    return fail(proof, "bind as the user", code);
}

/* ---- entries */

static bool
is_alike(struct slice text, const struct berval *value)
{
    return slice_equal_nocase(text, slice_make(value->bv_val, value->bv_len));
}

/* The attribute's value, in arena: the one that is like that, or else the first. Empty: it
 * has none, or none that can be a name. */
static struct slice
value_of(struct ldap_proof *proof, LDAPMessage *entry, const char *attribute, struct slice like)
{
    struct berval **values = ldap_get_values_len(proof->connection->ld, entry, attribute);
    const struct berval *best;
    struct slice value = { NULL, 0 };

    if (values == NULL || values[0] == NULL) {
        ldap_value_free_len(values);
        return value;
    }
    best = values[0];
    for (unsigned i = 0; values[i] != NULL; i++)
        if (is_alike(like, values[i])) {
            best = values[i];
            break;
        }
    value = slice_make(best->bv_val, best->bv_len);
    value = user_name_is_good(value) ? arena_copy(proof->arena, value) : slice_make(NULL, 0);
    ldap_value_free_len(values);
    return value;
}

/* In arena; empty: it has none, with which a bind would be one as nobody. */
static struct slice
dn_of(struct ldap_proof *proof, LDAPMessage *entry)
{
    char *text = ldap_get_dn(proof->connection->ld, entry);
    struct slice dn = arena_copy(proof->arena, slice_of(text));

    ldap_memfree(text);
    return dn;
}

/* What rules and logs call him: "ann" and "ANN " are one to the directory. */
static enum proof
take_name(struct ldap_proof *proof, LDAPMessage *entry)
{
    proof->user->name = value_of(proof, entry, proof->conf->name_attribute, slice_of(proof->name));
    if (proof->user->name.bytes > 0)
        return PROOF_GOOD;
    return fail(proof, "read the user's name_attribute", LDAP_NO_SUCH_ATTRIBUTE);
}

/* ---- the user's entry */

static enum proof
take_entry(struct ldap_proof *proof, LDAPMessage *result)
{
    LDAPMessage *entry = ldap_first_entry(proof->connection->ld, result);

    if (entry == NULL || ldap_next_entry(proof->connection->ld, entry) != NULL)
        return PROOF_UNKNOWN;
    proof->dn = dn_of(proof, entry);
    return proof->dn.bytes > 0 ? take_name(proof, entry) : PROOF_UNKNOWN;
}

static enum proof
search_user(struct ldap_proof *proof)
{
    const struct ldap_values values = { .user = slice_of(proof->name) };
    const struct ldap_question question = {
        .base = proof->conf->base, .scope = LDAP_SCOPE_SUBTREE, .entries_max = 2,
        .filter = ldap_template_fill(proof->conf->filter, &values, LDAP_IN_FILTER,
                                     proof->arena).data,
        .attribute = proof->conf->name_attribute,
    };
    LDAPMessage *result;
    enum proof found = become_service(proof);
    int code;

    if (found != PROOF_GOOD)
        return found;
    code = ldap_connection_search(proof->connection, &question, proof->deadline_ms, &result);
    if (code == LDAP_SIZELIMIT_EXCEEDED)
        return PROOF_UNKNOWN; /* several: none of them for sure */
    if (code != LDAP_SUCCESS)
        return fail(proof, "search the user", code);
    found = take_entry(proof, result);
    ldap_msgfree(result);
    return found;
}

/* Of an entry that was not searched: as the user himself, who may see it. */
static enum proof
read_name(struct ldap_proof *proof)
{
    const struct ldap_question question = {
        .base = proof->dn.data, .filter = "(objectClass=*)", .scope = LDAP_SCOPE_BASE,
        .attribute = proof->conf->name_attribute, .entries_max = 1,
    };
    LDAPMessage *result, *entry;
    enum proof found;
    int code = ldap_connection_search(proof->connection, &question, proof->deadline_ms, &result);

    if (code != LDAP_SUCCESS)
        return fail(proof, "read the user's entry", code);
    entry = ldap_first_entry(proof->connection->ld, result);
    found = entry != NULL ? take_name(proof, entry)
                          : fail(proof, "read the user's entry", LDAP_NO_SUCH_OBJECT);
    ldap_msgfree(result);
    return found;
}

static enum proof
prove_user(struct ldap_proof *proof)
{
    const struct ldap_values values = { .user = slice_of(proof->name) };
    enum proof found;

    if (proof->conf->dn == NULL) {
        found = search_user(proof);
        return found == PROOF_GOOD ? become_user(proof) : found;
    }
    proof->dn = ldap_template_fill(proof->conf->dn, &values, LDAP_IN_DN, proof->arena);
    if (proof->dn.bytes == 0)
        return fail(proof, "get memory", LDAP_NO_MEMORY);
    found = become_user(proof);
    return found == PROOF_GOOD ? read_name(proof) : found;
}

/* ---- groups */

/* Those that were found, in the order of their finding: who they are in is asked of each
 * once. */
struct groups {
    struct slice names[LDAP_GROUPS_MAX], dns[LDAP_GROUPS_MAX];
    unsigned count;
};

static bool
is_known(const struct groups *groups, struct slice dn)
{
    for (unsigned i = 0; i < groups->count; i++)
        if (slice_equal_nocase(groups->dns[i], dn))
            return true;
    return false;
}

/* Who is taken to be in fewer groups than he is may pass where he should not: so what
 * cannot be kept is a failure. */
static enum proof
add_group(struct ldap_proof *proof, struct groups *groups, LDAPMessage *entry)
{
    struct slice dn = dn_of(proof, entry), name;

    if (is_known(groups, dn))
        return PROOF_GOOD;
    name = value_of(proof, entry, proof->conf->group_attribute, slice_make(NULL, 0));
    if (dn.bytes == 0 || name.bytes == 0)
        return fail(proof, "read a group's group_attribute", LDAP_NO_SUCH_ATTRIBUTE);
    if (groups->count == LDAP_GROUPS_MAX)
        return fail(proof, "count the user's groups", LDAP_SIZELIMIT_EXCEEDED);
    groups->names[groups->count] = name;
    groups->dns[groups->count++] = dn;
    return PROOF_GOOD;
}

/* Adds the groups that dn is in. */
static enum proof
search_groups(struct ldap_proof *proof, struct groups *groups, struct slice dn)
{
    const struct ldap_values values = { .user = proof->user->name, .dn = dn };
    const struct ldap_question question = {
        .base = proof->conf->group_base, .scope = LDAP_SCOPE_SUBTREE,
        .filter = ldap_template_fill(proof->conf->group_filter, &values, LDAP_IN_FILTER,
                                     proof->arena).data,
        .attribute = proof->conf->group_attribute, .entries_max = LDAP_GROUPS_MAX + 1,
    };
    LDAPMessage *result, *entry;
    enum proof found = PROOF_GOOD;
    int code = ldap_connection_search(proof->connection, &question, proof->deadline_ms, &result);

    if (code != LDAP_SUCCESS)
        return fail(proof, "search groups", code);
    for (entry = ldap_first_entry(proof->connection->ld, result);
         entry != NULL && found == PROOF_GOOD;
         entry = ldap_next_entry(proof->connection->ld, entry))
        found = add_group(proof, groups, entry);
    ldap_msgfree(result);
    return found;
}

static enum proof
find_groups(struct ldap_proof *proof, struct groups *groups)
{
    enum proof found = search_groups(proof, groups, proof->dn);
    unsigned next = 0;

    for (int64_t depth = 1; depth < proof->conf->group_depth; depth++)
        for (unsigned end = groups->count; next < end && found == PROOF_GOOD; next++)
            found = search_groups(proof, groups, groups->dns[next]);
    return found;
}

static enum proof
take_groups(struct ldap_proof *proof)
{
    struct groups *groups;
    enum proof found;

    if (proof->conf->group_base == NULL)
        return PROOF_GOOD;
    found = proof->conf->bind_dn != NULL ? become_service(proof) : PROOF_GOOD;
    if (found != PROOF_GOOD)
        return found;
    groups = arena_zalloc(proof->arena, sizeof(*groups));
    if (groups == NULL)
        return fail(proof, "get memory", LDAP_NO_MEMORY);
    found = find_groups(proof, groups);
    proof->user->groups = groups->names;
    proof->user->group_count = groups->count;
    return found;
}

enum proof
ldap_proof_make(struct ldap_proof *proof)
{
    enum proof found = prove_user(proof);

    if (found == PROOF_GOOD)
        found = take_groups(proof);
    if (found == PROOF_GOOD && arena_is_spent(proof->arena))
        return fail(proof, "get memory", LDAP_NO_MEMORY);
    return found;
}
