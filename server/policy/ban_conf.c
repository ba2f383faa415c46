/* SPDX-License-Identifier: BSD-2-Clause */
/* ban_conf.c - what is configured of tables of bans. */
#include "config.h"

#include "server/policy/ban_table.h"

#include "server/policy/prefix_set.h"
#include "server/schema.h"

#define HOUR_MS (3600 * 1000)
#define TIME_MAX_MS ((int64_t)30 * 24 * HOUR_MS)

const struct option ban_options[] = {
    OPTION_PLACE(struct ban_conf, place),
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct ban_conf, name),
      .is_required = true, .text = "What filters and bascule ban call it." },
    { .name = "key", .type = OPTION_STRINGS, .offset = offsetof(struct ban_conf, key.key),
      .fallback = "client", .min = 1, .max = 1,
      .text = "What is banned: client (its address), user, host, listener, path, method, sni, "
              "header:NAME or cookie:NAME. Who has no such thing is not banned." },
    { .name = "threshold", .type = OPTION_INT, .offset = offsetof(struct ban_conf, threshold),
      .fallback = "10", .min = 1, .max = 1000000,
      .text = "Failures within window that make a ban." },
    { .name = "window", .type = OPTION_TIME, .offset = offsetof(struct ban_conf, window_ms),
      .fallback = "1m", .min = 1000, .max = TIME_MAX_MS,
      .text = "From the first failure on; then counting begins anew." },
    { .name = "time", .type = OPTION_TIME, .offset = offsetof(struct ban_conf, time_ms),
      .fallback = "10m", .min = 1000, .max = TIME_MAX_MS, .text = "Length of the first ban." },
    { .name = "factor", .type = OPTION_INT, .offset = offsetof(struct ban_conf, factor),
      .fallback = "2", .min = 1, .max = 100,
      .text = "Each further ban is so many times longer, for whoever was banned within the last "
              "max_time." },
    { .name = "max_time", .type = OPTION_TIME, .offset = offsetof(struct ban_conf, max_time_ms),
      .fallback = "1d", .min = 1000, .max = TIME_MAX_MS, .text = "Length of the longest ban." },
    { .name = "never", .type = OPTION_NETWORKS, .offset = offsetof(struct ban_conf, never),
      .fallback = "loopback",
      .text = "Clients that are never banned. What is given takes the place of loopback: give it, "
              "too, if it should stay." },
    { .name = "max_keys", .type = OPTION_INT, .offset = offsetof(struct ban_conf, max_keys),
      .fallback = "100000", .min = 1, .max = 10000000,
      .text = "Keys remembered at a time, about, with failures or banned; then those that have "
              "failed least are forgotten, and bans last. A key takes 260 bytes." },
    { .name = "ipv4_bits", .type = OPTION_INT, .offset = offsetof(struct ban_conf, key.ipv4_bits),
      .fallback = "32", .min = 1, .max = 32,
      .text = "Bits of a client's IPv4 address that count: with 24, neighbours share." },
    { .name = "ipv6_bits", .type = OPTION_INT, .offset = offsetof(struct ban_conf, key.ipv6_bits),
      .fallback = "64", .min = 1, .max = 128,
      .text = "Bits of a client's IPv6 address that count: of the others it has as many as it "
              "likes." },
    { .name = "save", .type = OPTION_STRING, .offset = offsetof(struct ban_conf, save),
      .text = "File that keeps bans over a restart, a JSON object in each line; written within "
              "some seconds of a change. The user that Bascule runs as must be able to write to "
              "its folder. When not given, bans end with the process." },
    { .name = NULL },
};

/* Two tables would write over each other. */
static int
check_save(const struct ban_conf *conf, const struct conf *all, struct err *err)
{
    if (conf->save == NULL)
        return 0;
    if (conf->save[0] != '/')
        return err_set(err, "save: \"%s\" is not an absolute path, like "
                       "\"/var/lib/bascule/bans.json\"", conf->save);
    for (size_t i = 0; i < all->bans.count; i++) {
        const struct ban_conf *other = all->bans.items[i];

        if (other != conf && slice_equal(slice_of(other->save), slice_of(conf->save)))
            return err_set(err, "save: \"%s\" is the file of ban \"%s\", too", conf->save,
                           other->name);
    }
    return 0;
}

int
ban_conf_finish(struct ban_conf *conf, const struct conf *all, struct err *err)
{
    if (limit_part_parse(&conf->part, conf->key.key.items[0], err) < 0)
        return -1;
    if (conf->max_time_ms < conf->time_ms)
        return err_set(err, "max_time is less than time");
    return check_save(conf, all, err);
}

const struct ban_conf *
bans_find(const struct conf *all, const char *name, struct err *err)
{
    struct nearest nearest;

    nearest_init(&nearest, slice_of(name));
    for (size_t i = 0; i < all->bans.count; i++) {
        struct ban_conf *ban = all->bans.items[i];

        if (strcmp(ban->name, name) == 0) {
            ban->is_used = true;
            return ban;
        }
        nearest_offer(&nearest, ban->name);
    }
    err_set(err, "there is no \"%s\" in bans", name);
    nearest_hint(&nearest, err);
    return NULL;
}
