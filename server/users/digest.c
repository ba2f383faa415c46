/* SPDX-License-Identifier: BSD-2-Clause */
/* digest.c - users = ( { kind = "digest"; file = "/etc/bascule/htdigest"; } ): RFC 7616
 * against a file of USER:REALM:HASH, where HASH is that of "USER:REALM:PASSWORD".
 *
 *     response = H( HASH : nonce : nc : cnonce : auth : H( method : uri ) )
 *
 * The password never comes here, and each nonce is good for each number once: what
 * somebody overhears is of no use. Two short hashes; no thread is needed for them.
 */
#include "config.h"

#include "server/users/members.h"

#include "server/base/clock.h"
#include "server/base/hex.h"
#include "server/schema.h"
#include "server/users/account_file.h"
#include "server/users/digest_fields.h"
#include "server/users/lockout.h"
#include "server/users/nonce.h"
#include "server/users/secrets.h"

#include <inttypes.h>
#include <openssl/crypto.h>

enum variant { DIGEST_SHA256, DIGEST_SHA512_256, DIGEST_MD5, DIGEST_COUNT };

/* Hashes of accounts: those of the configured algorithm, and of MD5 beside it. */
enum { SECRET_MAIN, SECRET_MD5 };

static const struct algorithm {
    struct slice name;
    const EVP_MD *(*md)(void);
    size_t bytes;
} algorithms[DIGEST_COUNT] = {
    [DIGEST_SHA256] = { SLICE_INIT("SHA-256"), EVP_sha256, 32 },
    [DIGEST_SHA512_256] = { SLICE_INIT("SHA-512-256"), EVP_sha512_256, 32 },
    [DIGEST_MD5] = { SLICE_INIT("MD5"), EVP_md5, 16 },
};

#define HASH_BYTES_MAX 32

struct digest_conf {
    struct users_conf users;
    const char *file, *groups;
    int algorithm; /* enum variant */
    bool md5;
    uint32_t nonce_ms;
    struct account_file *accounts;
};

static const char *const algorithm_words[] = { "SHA-256", "SHA-512-256", NULL };

static const struct option options[] = {
    { .name = "file", .type = OPTION_STRING, .offset = offsetof(struct digest_conf, file),
      .is_required = true,
      .text = "File with a line USER:REALM:HASH for each user; HASH is that of the text "
              "USER:REALM:PASSWORD in hexadecimal digits. Lines of other realms are passed over. "
              "Read again when it changes." },
    { .name = "groups", .type = OPTION_STRING, .offset = offsetof(struct digest_conf, groups),
      .text = "File with a line \"GROUP: USER USER ...\" for each group. Read again when it "
              "changes." },
    { .name = "algorithm", .type = OPTION_ENUM, .offset = offsetof(struct digest_conf, algorithm),
      .fallback = "SHA-256", .words = algorithm_words,
      .text = "What the hashes of 64 digits were made with." },
    { .name = "md5", .type = OPTION_BOOL, .offset = offsetof(struct digest_conf, md5),
      .fallback = "false",
      .text = "Also accept MD5, hashes of 32 digits as Apache's htdigest makes them: for old "
              "clients only." },
    { .name = "nonce_time", .type = OPTION_TIME, .offset = offsetof(struct digest_conf, nonce_ms),
      .fallback = "5m", .min = 1000, .max = 24 * 3600 * 1000,
      .text = "How long a client may go on with one nonce; it then gets another, without asking "
              "for the password again." },
    { .name = NULL },
};

/* ---- the file */

#define VARIANT_MD5 8 /* with: hashes of 32 digits are accepted */

static int
parse(const struct account_source *source, struct account *account, struct slice rest,
      struct arena *arena, struct err *err)
{
    ptrdiff_t colon = slice_find(rest, ':');
    struct slice hash = slice_trim(slice_skip(rest, (size_t)(colon + 1)));
    unsigned secret = hash.bytes == 32 ? SECRET_MD5 : SECRET_MAIN;
    unsigned char bytes[HASH_BYTES_MAX];

    if (colon < 0)
        return err_set(err, "expected USER:REALM:HASH");
    if (!slice_equal(slice_make(rest.data, (size_t)colon), slice_of(source->realm)))
        return 0;
    if (!hex_decode(hash, bytes, secret == SECRET_MD5 ? 16 : 32))
        return err_set(err, "the hash is not 64 hexadecimal digits%s",
                       source->variant & VARIANT_MD5 ? ", nor 32 of MD5" : "");
    if (secret == SECRET_MD5 && !(source->variant & VARIANT_MD5))
        return err_set(err, "the hash is of MD5, which is not accepted unless md5 = true; expected "
                            "64 hexadecimal digits of %s",
                       algorithms[source->variant & ~VARIANT_MD5].name.data);
    account->secrets[secret] = arena_copy(arena, hash);
    for (size_t i = 0; i < account->secrets[secret].bytes; i++)
        ((char *)account->secrets[secret].data)[i] = ascii_lower(hash.data[i]);
    return 1;
}

static int
finish(struct users_conf *users, struct conf *conf, struct arena *arena, struct err *err)
{
    const struct digest_conf *own = (const struct digest_conf *)users;

    (void)conf;
    (void)arena;
    if (strchr(users->realm, ':') != NULL)
        return err_set(err, "realm: \"%s\" has a colon, which ends it in the file", users->realm);
    if (users_check_path("file", own->file, err) < 0)
        return -1;
    return users_check_path("groups", own->groups, err);
}

static int
adopt(struct users_conf *users, struct err *err)
{
    struct digest_conf *own = (struct digest_conf *)users;
    const struct account_source source = {
        .kind = "digest", .file = own->file, .groups = own->groups, .realm = users->realm,
        .variant = own->algorithm | (own->md5 ? VARIANT_MD5 : 0), .parse = parse,
    };

    own->accounts = account_file_adopt(&source, err);
    return own->accounts != NULL ? 0 : -1;
}

static void
release(struct users_conf *users)
{
    struct digest_conf *own = (struct digest_conf *)users;

    account_file_unref(own->accounts);
    own->accounts = NULL;
}

static const char *
file(const struct users_conf *users, unsigned i)
{
    const struct digest_conf *own = (const struct digest_conf *)users;

    return i == 0 ? own->file : i == 1 ? own->groups : NULL;
}

/* ---- what a response must be */

/* The hash of the parts with colons between them, as text in out. */
static bool
hash_text(const struct algorithm *algorithm, const struct slice *parts, unsigned count,
          char out[2 * HASH_BYTES_MAX])
{
    unsigned char hash[EVP_MAX_MD_SIZE];
    struct slice all[11];
    unsigned n = 0;

    must(2 * count - 1 <= ARRAY_COUNT(all));
    for (unsigned i = 0; i < count; i++) {
        if (i > 0)
            all[n++] = SLICE(":");
        all[n++] = parts[i];
    }
    if (hash_parts(algorithm->md(), all, n, hash) != algorithm->bytes)
        return false;
    hex_encode(hash, algorithm->bytes, out);
    return true;
}

/* RFC 7616 section 3.4.1. secret: of the user, as text. *is_right unless memory is short:
 * false then. */
static bool
compare(const struct algorithm *algorithm, const struct digest_fields *fields,
        struct slice secret, struct slice method, bool *is_right)
{
    char request[2 * HASH_BYTES_MAX], wanted[2 * HASH_BYTES_MAX];
    unsigned char shown[HASH_BYTES_MAX], expected[HASH_BYTES_MAX];
    const struct slice of_request[] = { method, fields->uri };
    const struct slice of_all[] = {
        secret, fields->nonce, fields->nc, fields->cnonce, SLICE("auth"),
        { request, 2 * algorithm->bytes },
    };

    *is_right = false;
    if (!hex_decode(fields->response, shown, algorithm->bytes))
        return true;
    if (!hash_text(algorithm, of_request, ARRAY_COUNT(of_request), request) ||
        !hash_text(algorithm, of_all, ARRAY_COUNT(of_all), wanted) ||
        !hex_decode(slice_make(wanted, 2 * algorithm->bytes), expected, algorithm->bytes))
        return false;
    *is_right = CRYPTO_memcmp(shown, expected, algorithm->bytes) == 0;
    return true;
}

/* ---- what the request is for: RFC 7616 section 3.4.6 */

static bool
take(struct slice *text, struct slice part)
{
    if (!slice_starts_with(*text, part))
        return false;
    *text = slice_skip(*text, part.bytes);
    return true;
}

/* uri may be the target as it came; or the same in the other of the forms that a request
 * by way of proxies takes: with or without scheme and authority. */
static bool
is_for_request(struct slice uri, const struct request *request)
{
    if (slice_equal(uri, request->target))
        return true;
    if (request->form == TARGET_AUTHORITY)
        return false;
    if (uri.data[0] != '/' && uri.data[0] != '*' &&
        !(take(&uri, request->scheme) && take(&uri, SLICE("://")) &&
          take(&uri, request->authority)))
        return false;
    if (!take(&uri, request->path))
        return uri.bytes == 0 && slice_equal(request->path, SLICE("/"));
    if (request->query.data == NULL)
        return uri.bytes == 0;
    return take(&uri, SLICE("?")) && slice_equal(uri, request->query);
}

/* ---- logging in */

/* One of what we offer, or NULL. */
static const struct algorithm *
algorithm_of(const struct digest_conf *own, struct slice name)
{
    if (slice_equal_nocase(name, algorithms[own->algorithm].name))
        return &algorithms[own->algorithm];
    if (own->md5 && (name.bytes == 0 || slice_equal_nocase(name, algorithms[DIGEST_MD5].name)))
        return &algorithms[DIGEST_MD5];
    return NULL;
}

static enum login_state
wrong(struct login *login, const char *detail)
{
    login->detail = detail;
    return LOGIN_WRONG;
}

/* Why a well-formed response cannot be right, whoever made it; NULL: it may be. */
static const char *
mistake(const struct digest_conf *own, const struct digest_fields *fields,
        const struct exchange *ex)
{
    if (algorithm_of(own, fields->algorithm) == NULL)
        return "digest of an algorithm that was not offered";
    if (!slice_equal(fields->realm, slice_of(own->users.realm)))
        return "digest for another realm";
    if (!is_for_request(fields->uri, &ex->request))
        return "digest for another URI";
    return NULL;
}

/* Who it would be, with the hash of somebody when there is no such user: the same is done
 * for both. */
static const struct account *
find_account(const struct account_table *table, struct slice name, unsigned secret,
             struct slice *hash)
{
    static const char nobody[] = "0000000000000000000000000000000000000000000000000000000000000000";
    const struct account *account = account_table_find(table, name);

    *hash = account != NULL ? account->secrets[secret] : slice_make(NULL, 0);
    if (hash->bytes > 0)
        return account;
    *hash = slice_make(nobody, secret == SECRET_MD5 ? 32 : 64);
    return NULL;
}

/* The response is right, but nobody knows when it was made. */
static enum login_state
stale(struct login *login, const char *detail)
{
    login->is_stale = true;
    return wrong(login, detail);
}

static enum login_state
take_nonce(const struct digest_conf *own, const struct digest_fields *fields,
           const struct account *account, struct login *login, struct exchange *ex)
{
    const struct user user = { .name = account->name, .groups = account->groups,
                               .group_count = account->group_count, .by = "digest" };

    if (!nonce_is_good(fields->nonce, slice_of(own->users.name), clock_monotonic_ms(),
                       own->nonce_ms))
        return stale(login, "nonce that is too old, or not ours");
    if (!nonce_use(fields->nonce, fields->count))
        return stale(login, "number of a nonce that was used before");
    if (user_copy(&login->user, &user, &ex->arena))
        return LOGIN_OK;
    login->detail = "out of memory";
    return LOGIN_BUSY;
}

static enum login_state
judge(const struct digest_conf *own, const struct digest_fields *fields,
      const struct account_table *table, struct login *login, struct exchange *ex)
{
    const struct algorithm *algorithm = algorithm_of(own, fields->algorithm);
    unsigned secret = algorithm == &algorithms[DIGEST_MD5] ? SECRET_MD5 : SECRET_MAIN;
    struct lockout_key key = lockout_key(&own->users, fields->username, &ex->client_ip);
    uint64_t now_ms = clock_monotonic_ms();
    const struct account *account;
    struct slice hash;
    bool is_right;

    login->claimed = fields->username;
    login->retry_s = lockout_left_s(&key, now_ms);
    if (login->retry_s > 0) {
        login->detail = "locked after too many failures";
        return LOGIN_LOCKED;
    }
    account = find_account(table, fields->username, secret, &hash);
    if (!compare(algorithm, fields, hash, ex->request.method_name, &is_right)) {
        login->detail = "the digest could not be checked";
        return LOGIN_BUSY;
    }
    if (account == NULL || !is_right) {
        (void)lockout_fail(&own->users, &key, fields->username, &ex->client_ip,
                           lockout_privacy(ex), now_ms);
        return wrong(login, account == NULL ? "no such user" : "wrong password");
    }
    lockout_forget(&key);
    return take_nonce(own, fields, account, login, ex);
}

static enum login_state
login_of(const struct users_conf *users, struct login *login, struct exchange *ex)
{
    const struct digest_conf *own = (const struct digest_conf *)users;
    const struct account_table *table;
    struct digest_fields fields;
    enum login_state state;
    const char *why;

    switch (digest_parse(credentials_of(login, ex), &ex->arena, &fields)) {
    case CREDENTIALS_NONE:
        return LOGIN_NONE;
    case CREDENTIALS_BAD:
        return wrong(login, "malformed credentials");
    case CREDENTIALS_GOOD:
        break;
    }
    why = mistake(own, &fields, ex);
    if (why != NULL)
        return wrong(login, why);
    table = account_file_take(own->accounts);
    state = judge(own, &fields, table, login, ex);
    account_table_give(table);
    return state;
}

/* ---- asking */

/* The same for all that share the secrets: what comes back is not looked at. */
static void
challenge_with(const struct users_conf *users, const struct login *login, struct exchange *ex,
               const struct algorithm *algorithm)
{
    char nonce[NONCE_BYTES];

    if (!nonce_make(nonce, slice_of(users->name), clock_monotonic_ms()))
        return;
    credentials_challenge(
        login, ex,
        arena_printf(&ex->arena,
                     "Digest realm=%.*s, qop=\"auth\", algorithm=%.*s, nonce=\"%.*s\", "
                     "opaque=\"%016" PRIx64 "\", charset=UTF-8%s",
                     SLICE_ARG(credentials_realm(users, ex)), SLICE_ARG(algorithm->name),
                     NONCE_BYTES, nonce,
                     hash_bytes(slice_of(users->name), &users_secrets.tables),
                     login->is_stale ? ", stale=true" : ""));
}

/* The better one first (RFC 7616 section 3.7), and none that no user could use. */
static void
challenge(const struct users_conf *users, const struct login *login, struct exchange *ex)
{
    const struct digest_conf *own = (const struct digest_conf *)users;
    const struct account_table *table = account_file_take(own->accounts);
    bool has_md5 = own->md5 && account_table_has(table, SECRET_MD5);
    bool has_main = account_table_has(table, SECRET_MAIN) || !has_md5;

    account_table_give(table);
    if (has_main)
        challenge_with(users, login, ex, &algorithms[own->algorithm]);
    if (has_md5)
        challenge_with(users, login, ex, &algorithms[DIGEST_MD5]);
}

static void
strip(const struct users_conf *users, const struct login *login, struct exchange *ex)
{
    (void)users;
    credentials_strip(login, ex, SLICE("Digest"));
}

const struct users_ops digest_users = {
    .name = "digest",
    .text = "Digest (RFC 7616), against a file of hashes made for it: no password is sent.",
    .options = options,
    .conf_bytes = sizeof(struct digest_conf),
    .finish = finish,
    .adopt = adopt,
    .release = release,
    .file = file,
    .login = login_of,
    .challenge = challenge,
    .strip = strip,
};
