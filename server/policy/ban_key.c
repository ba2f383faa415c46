/* SPDX-License-Identifier: BSD-2-Clause */
/* ban_key.c - what is banned, as a number and as text. */
#include "config.h"

#include "server/policy/ban_table.h"

#include "server/base/hash.h"
#include "server/policy/prefix_set.h"

#include <inttypes.h>
#include <pthread.h>

static struct hash_key process_key;

static void
make_process_key(void)
{
    hash_key_random(&process_key);
}

/* Not 0, which marks what is empty. */
static void
set(struct ban_key *key, struct slice bytes, bool is_client)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, make_process_key);
    if (bytes.bytes > BAN_KEY_BYTES)
        bytes.bytes = BAN_KEY_BYTES;
    key->bytes = bytes;
    key->is_client = is_client;
    key->hash = hash_bytes(bytes, &process_key);
    if (key->hash == 0)
        key->hash = 1;
}

bool
ban_key_of(const struct ban_conf *conf, const struct facts *facts, struct ban_key *key)
{
    struct slice bytes = limit_part_fact(&conf->key, &conf->part, facts, key->room);

    if (slice_is_empty(bytes))
        return false;
    set(key, bytes, limit_part_is_client(&conf->part));
    return true;
}

static int64_t
bits_of(const struct ban_conf *conf, int family)
{
    return family == 4 ? conf->key.ipv4_bits : conf->key.ipv6_bits;
}

static int
parse_client(const struct ban_conf *conf, struct slice text, struct ban_key *key, struct err *err)
{
    ptrdiff_t slash = slice_find(text, '/');
    struct slice address = slice_make(text.data, slash >= 0 ? (size_t)slash : text.bytes);
    uint64_t bits;
    struct ip ip;

    if (!ip_parse(address, &ip))
        return err_set(err, "\"%.*s\" is no address of a client, like 192.0.2.1 or 2001:db8::1",
                       SLICE_ARG(text));
    if (slash >= 0 && (!slice_to_u64(slice_skip(text, (size_t)slash + 1), 128, &bits) ||
                       (int64_t)bits != bits_of(conf, ip.family)))
        return err_set(err, "\"%.*s\": the table \"%s\" bans IPv%d clients by /%" PRId64,
                       SLICE_ARG(text), conf->name, ip.family, bits_of(conf, ip.family));
    if (prefix_set_has(conf->never, &ip))
        return err_set(err, "\"%.*s\" is never banned: table \"%s\", option never",
                       SLICE_ARG(text), conf->name);
    set(key, limit_client_fact(&conf->key, &ip, key->room), true);
    return 0;
}

int
ban_key_parse(const struct ban_conf *conf, struct slice text, struct ban_key *key,
              struct err *err)
{
    if (limit_part_is_client(&conf->part))
        return parse_client(conf, text, key, err);
    if (text.bytes == 0 || text.bytes > BAN_KEY_BYTES)
        return err_set(err, "a key has 1 to %u bytes", BAN_KEY_BYTES);
    set(key, text, false);
    return 0;
}

size_t
ban_key_text(const struct ban_conf *conf, const struct ban_key *key, char text[BAN_KEY_BYTES])
{
    struct ip ip = { .family = 0 };
    size_t bytes;
    int64_t bits;

    if (!key->is_client) {
        memcpy(text, key->bytes.data, key->bytes.bytes);
        return key->bytes.bytes;
    }
    ip.family = (uint8_t)key->bytes.data[0];
    memcpy(ip.bytes, key->bytes.data + 1, key->bytes.bytes - 1);
    bytes = ip_text(&ip, text);
    bits = bits_of(conf, ip.family);
    if (bits < (ip.family == 4 ? 32 : 128))
        bytes += (size_t)snprintf(text + bytes, BAN_KEY_BYTES - bytes, "/%" PRId64, bits);
    return bytes;
}

bool
ban_is_exempt(const struct ban_conf *conf, const struct ip *client)
{
    return prefix_set_has(conf->never, client);
}
