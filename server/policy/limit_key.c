/* SPDX-License-Identifier: BSD-2-Clause */
/* limit_key.c - one number made of several facts.
 *
 * The number of each part goes into the hash key of the next, so that their order
 * counts and none runs into another.
 */
#include "config.h"

#include "server/policy/limit_key.h"

#include "server/base/hash.h"
#include "server/http/scan.h"
#include "server/policy/named_field.h"

#include <pthread.h>

enum part_kind {
    PART_CLIENT,
    PART_USER,
    PART_HOST,
    PART_LISTENER,
    PART_PATH,
    PART_METHOD,
    PART_SNI,
    PART_HEADER,
    PART_COOKIE,
};

static const char *const words[] = {
    [PART_CLIENT] = "client",
    [PART_USER] = "user",
    [PART_HOST] = "host",
    [PART_LISTENER] = "listener",
    [PART_PATH] = "path",
    [PART_METHOD] = "method",
    [PART_SNI] = "sni",
    [PART_HEADER] = "header",
    [PART_COOKIE] = "cookie",
};

/* ---- configuration */

static int
name_part(struct limit_part *part, struct slice text, struct slice name, struct err *err)
{
    bool wants_name = part->kind == PART_HEADER || part->kind == PART_COOKIE;

    if (wants_name && !scan_is_token(name))
        return err_set(err, "key \"%.*s\": \"%s:NAME\" is what would be accepted", SLICE_ARG(text),
                       words[part->kind]);
    if (!wants_name && name.data != NULL)
        return err_set(err, "key \"%.*s\": \"%s\" takes no name", SLICE_ARG(text),
                       words[part->kind]);
    part->name = name;
    if (part->kind == PART_HEADER)
        part->field_id = (uint16_t)field_id_of(name);
    return 0;
}

int
limit_part_parse(struct limit_part *part, struct slice text, struct err *err)
{
    ptrdiff_t colon = slice_find(text, ':');
    struct slice word = slice_make(text.data, colon >= 0 ? (size_t)colon : text.bytes);
    struct slice name = slice_make(NULL, 0);
    struct nearest nearest;

    if (colon >= 0)
        name = slice_skip(text, (size_t)colon + 1);
    nearest_init(&nearest, word);
    for (unsigned i = 0; i < ARRAY_COUNT(words); i++) {
        nearest_offer(&nearest, words[i]);
        if (!slice_equal(word, slice_of(words[i])))
            continue;
        *part = (struct limit_part){ .kind = (uint8_t)i };
        return name_part(part, text, name, err);
    }
    err_set(err, "key \"%.*s\" is not one of client, user, host, listener, path, method, sni, "
            "header:NAME, cookie:NAME", SLICE_ARG(text));
    return nearest_hint(&nearest, err);
}

bool
limit_part_is_client(const struct limit_part *part)
{
    return part->kind == PART_CLIENT;
}

bool
limit_part_equal(const struct limit_part *a, const struct limit_part *b)
{
    return a->kind == b->kind && slice_equal_nocase(a->name, b->name) &&
           (a->kind != PART_COOKIE || slice_equal(a->name, b->name));
}

/* ---- facts */

struct slice
limit_client_fact(const struct limit_conf *conf, const struct ip *ip,
                  char bytes[LIMIT_PART_ROOM])
{
    size_t left = (size_t)(ip->family == 4 ? conf->ipv4_bits : conf->ipv6_bits);
    size_t length = ip->family == 4 ? 4 : 16;

    if (ip->family == 0)
        return slice_make(NULL, 0);
    bytes[0] = (char)ip->family;
    for (size_t i = 0; i < length; i++) {
        size_t bits = left < 8 ? left : 8;

        bytes[i + 1] = (char)(ip->bytes[i] & (0xff00u >> bits));
        left -= bits;
    }
    return slice_make(bytes, length + 1);
}

static struct slice
header(const struct fields *fields, const struct limit_part *part)
{
    const struct field *field = part->field_id != FIELD_OTHER
                                    ? fields_find(fields, part->field_id)
                                    : fields_find_name(fields, part->name);

    return field != NULL ? field->value : slice_make(NULL, 0);
}

static struct slice
cookie(const struct fields *fields, const struct limit_part *part)
{
    struct named_at at = { .field = NULL };
    struct slice value;

    return cookie_next(fields, part->name, &at, &value) ? value : slice_make(NULL, 0);
}

static struct slice
of_request(const struct limit_part *part, const struct facts *facts)
{
    const struct request *request = facts->request;

    if (request == NULL)
        return slice_make(NULL, 0);
    if (part->kind == PART_METHOD)
        return request->method_name;
    return part->kind == PART_HEADER ? header(&request->fields, part)
                                     : cookie(&request->fields, part);
}

struct slice
limit_part_fact(const struct limit_conf *conf, const struct limit_part *part,
                const struct facts *facts, char room[LIMIT_PART_ROOM])
{
    switch ((enum part_kind)part->kind) {
    case PART_CLIENT:
        return limit_client_fact(conf, &facts->client, room);
    case PART_USER:
        return facts->user != NULL ? facts->user->name : slice_make(NULL, 0);
    case PART_HOST:
        return facts->host;
    case PART_LISTENER:
        return facts->listener;
    case PART_PATH:
        return facts->path;
    case PART_SNI:
        return facts->server_name.bytes > 0 ? facts->server_name : facts->tunnel_name;
    case PART_METHOD:
    case PART_HEADER:
    case PART_COOKIE:
        return of_request(part, facts);
    }
    return slice_make(NULL, 0);
}

static struct hash_key process_key;

static void
make_process_key(void)
{
    hash_key_random(&process_key);
}

bool
limit_key(const struct limit_conf *conf, const struct facts *facts, uint64_t *key)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    struct hash_key hash_key;
    char room[LIMIT_PART_ROOM];

    pthread_once(&once, make_process_key);
    hash_key = process_key;
    for (unsigned i = 0; i < conf->part_count; i++) {
        struct slice value = limit_part_fact(conf, &conf->parts[i], facts, room);

        if (slice_is_empty(value))
            return false;
        *key = hash_bytes(value, &hash_key);
        hash_key.half[0] = process_key.half[0] ^ *key;
    }
    return conf->part_count > 0;
}
