/* SPDX-License-Identifier: BSD-2-Clause */
/* limit_conf.c - what may be configured of a limit. */
#include "config.h"

#include "server/policy/limit.h"

#include "server/config/reader.h"
#include "server/policy/limit_key.h"

#include <inttypes.h>

#define COUNT_MAX 1000000000
#define KEYS_MAX 100000000
#define PER_MS_MAX 100000                          /* more cannot be told apart in ticks */
#define BURST_MS_MAX ((uint64_t)3650 * 86400 * 1000) /* ten years */

/* Takes "LEFT/TIME" apart. 0, or -1 with err. */
static int
split(const struct config_node *node, const char *example, struct slice *left, uint32_t *ms,
      struct err *err)
{
    char value[CONFIG_VALUE_BYTES];
    struct slice text;
    struct err found;
    ptrdiff_t slash;

    if (config_node_kind(node) != CONFIG_TEXT)
        return err_set(err, "is %s where a text like \"%s\" is expected",
                       config_node_value_text(node, value), example);
    text = config_node_text(node);
    slash = slice_find(text, '/');
    if (slash <= 0)
        return err_set(err, "\"%.*s\" has no \"/\"; write it like \"%s\"", SLICE_ARG(text),
                       example);
    *left = slice_make(text.data, (size_t)slash);
    if (option_parse_time(slice_skip(text, (size_t)slash + 1), ms, &found) < 0)
        return err_set(err, "\"%.*s\": %s; write it like \"%s\"", SLICE_ARG(text), found.text,
                       example);
    if (*ms == 0)
        return err_set(err, "\"%.*s\" is for no time at all; write it like \"%s\"",
                       SLICE_ARG(text), example);
    return 0;
}

static int
parse_rate(struct config_reader *reader, const struct config_node *node, void *target,
           struct err *err)
{
    struct limit_conf *conf = target;
    struct slice left;
    uint64_t requests;

    (void)reader;
    if (split(node, "10/1m", &left, &conf->period_ms, err) < 0)
        return -1;
    if (!slice_to_u64(left, INT64_MAX, &requests) || requests == 0 || requests > COUNT_MAX)
        return err_set(err, "\"%.*s\" is not a number of requests, from 1 to %d",
                       SLICE_ARG(left), COUNT_MAX);
    if (requests / conf->period_ms > PER_MS_MAX)
        return err_set(err, "\"%s\" is more than %d in a millisecond", config_node_text(node).data,
                       PER_MS_MAX);
    conf->requests = (int64_t)requests;
    return 0;
}

static int
parse_quota(struct config_reader *reader, const struct config_node *node, void *target,
            struct err *err)
{
    struct limit_conf *conf = target;
    struct slice left;

    (void)reader;
    if (split(node, "1G/1d", &left, &conf->quota_ms, err) < 0 ||
        option_parse_size(left, &conf->quota_bytes, err) < 0)
        return -1;
    return conf->quota_bytes > 0 ? 0 : err_set(err, "of no bytes lets nothing pass: use a rule");
}

const struct option limit_options[] = {
    OPTION_PLACE(struct limit_conf, place),
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct limit_conf, name),
      .is_required = true, .text = "What rules call it." },
    { .name = "key", .type = OPTION_STRINGS, .offset = offsetof(struct limit_conf, key),
      .is_required = true, .min = 1, .max = LIMIT_PARTS_MAX,
      .text = "Who or what is counted apart: client (its address), user, host, listener, path, "
              "method, sni, header:NAME, cookie:NAME; of several each combination. What has no "
              "such thing is not limited." },
    { .name = "rate", .type = OPTION_CUSTOM, .offset = offsetof(struct limit_conf, requests),
      .parse = parse_rate, .form = "\"REQUESTS/TIME\"",
      .text = "Requests let through in the long run, 1 to 1000000000 in a time: \"10/1m\" is one "
              "every six seconds." },
    { .name = "burst", .type = OPTION_INT, .offset = offsetof(struct limit_conf, burst),
      .fallback = "0", .max = COUNT_MAX,
      .text = "Requests let through at once after a pause, before rate holds. 0: as many as rate "
              "says." },
    { .name = "concurrency", .type = OPTION_INT,
      .offset = offsetof(struct limit_conf, concurrency), .fallback = "0", .max = COUNT_MAX,
      .text = "Requests and tunnels at a time. 0: any number." },
    { .name = "quota", .type = OPTION_CUSTOM, .offset = offsetof(struct limit_conf, quota_bytes),
      .parse = parse_quota, .form = "\"BYTES/TIME\"",
      .text = "Content, both ways, in a time that begins with its first byte: \"1G/1d\". When it "
              "is spent, what runs may end, and nothing more begins until the time is over." },
    { .name = "max_keys", .type = OPTION_INT, .offset = offsetof(struct limit_conf, max_keys),
      .fallback = "100000", .min = 1, .max = KEYS_MAX,
      .text = "Keys remembered at a time, about; then the one that has been quiet longest is "
              "forgotten. A key takes 16 bytes, with concurrency 5 more, with quota 21 more." },
    { .name = "ipv4_bits", .type = OPTION_INT, .offset = offsetof(struct limit_conf, ipv4_bits),
      .fallback = "32", .min = 1, .max = 32,
      .text = "Bits of a client's IPv4 address that count: with 24, neighbours share." },
    { .name = "ipv6_bits", .type = OPTION_INT, .offset = offsetof(struct limit_conf, ipv6_bits),
      .fallback = "64", .min = 1, .max = 128,
      .text = "Bits of a client's IPv6 address that count: of the others it has as many as it "
              "likes." },
    { .name = NULL },
};

static int
finish_key(struct limit_conf *conf, struct err *err)
{
    if (conf->key.count > LIMIT_PARTS_MAX)
        return err_set(err, "key: has more than %d parts", LIMIT_PARTS_MAX);
    conf->part_count = 0;
    for (size_t i = 0; i < conf->key.count; i++) {
        struct limit_part *part = &conf->parts[i];

        if (limit_part_parse(part, conf->key.items[i], err) < 0)
            return -1;
        for (size_t j = 0; j < i; j++)
            if (limit_part_equal(part, &conf->parts[j]))
                return err_set(err, "key: has \"%.*s\" twice", SLICE_ARG(conf->key.items[i]));
        conf->part_count++;
    }
    return 0;
}

int
limit_conf_finish(struct limit_conf *conf, struct err *err)
{
    uint64_t burst = (uint64_t)(conf->burst > 0 ? conf->burst : conf->requests);

    if (finish_key(conf, err) < 0)
        return -1;
    if (conf->requests == 0 && conf->concurrency == 0 && conf->quota_bytes == 0)
        return err_set(err, "limits nothing: rate, concurrency or quota is needed");
    if (conf->requests == 0 && conf->burst > 0)
        return err_set(err, "burst without rate means nothing; give a rate, or leave it out");
    /* burst * period_ms < 2^30 * 2^32 */
    if (conf->requests > 0 && burst * conf->period_ms / (uint64_t)conf->requests > BURST_MS_MAX)
        return err_set(err, "burst: at this rate, %" PRIu64 " come back in more than ten years; a "
                       "smaller burst or a higher rate is needed", burst);
    return 0;
}
