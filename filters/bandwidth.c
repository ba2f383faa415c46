/* SPDX-License-Identifier: BSD-2-Clause */
/* bandwidth.c - so many bytes a second for all exchanges of one key together.
 *
 * Each exchange gets a fair part, by its weight (server/policy/fair_share.h); the beginning
 * of content goes before what is bulk, so that pages stay quick while files are loaded.
 * Tunnels are no content: they are not slowed down here.
 */
#include "config.h"

#include "filters/bandwidth.h"

#include "filters/bandwidth_source.h"
#include "filters/exchange_key.h"
#include "server/policy/limit_key.h"

#include <inttypes.h>

#define BURSTS_PER_S 10
#define BURST_MIN_BYTES 16384u
#define SHORTEST_PER_S 200 /* bursts: a turn of the loop may take some milliseconds */

enum direction { DIRECTION_DOWNLOAD, DIRECTION_UPLOAD, DIRECTION_BOTH };

struct bandwidth_conf {
    struct filter_conf filter;
    uint64_t bytes_per_s, burst_bytes, quick_bytes;
    int64_t weight, max_keys, ipv4_bits, ipv6_bits;
    int direction;            /* enum direction */
    struct strings per;
    const char *group;        /* NULL: the filter is one by itself */
    struct limit_conf key;    /* per, compiled; no parts: all */
    struct bandwidth_terms terms;
    struct fair_share *share; /* in the registry */
};

struct bandwidth_state {
    struct bandwidth_source *download, *upload;
};

enum event { EVENT_SHAPED, EVENT_WAITED, EVENT_CROWDED };

static struct filter_counts counts = {
    .events = { [EVENT_SHAPED] = "shaped", [EVENT_WAITED] = "waited",
                [EVENT_CROWDED] = "crowded" },
};

/* ---- configuration */

static const char *const direction_words[] = {
    [DIRECTION_DOWNLOAD] = "download",
    [DIRECTION_UPLOAD] = "upload",
    [DIRECTION_BOTH] = "both",
    NULL,
};

static const struct option options[] = {
    { .name = "rate", .type = OPTION_SIZE, .offset = offsetof(struct bandwidth_conf, bytes_per_s),
      .is_required = true, .min = 1, .max = FAIR_RATE_MAX,
      .text = "Content in a second, of all exchanges of one key together: \"1M\" is eight megabits "
              "a second." },
    { .name = "per", .type = OPTION_STRINGS, .offset = offsetof(struct bandwidth_conf, per),
      .fallback = "client", .min = 1, .max = LIMIT_PARTS_MAX,
      .text = "What a key is: \"all\" (everything shares the rate), or as in limits client, user, "
              "host, listener, path, method, sni, header:NAME, cookie:NAME, of several each "
              "combination. What has no such thing is not slowed down." },
    { .name = "direction", .type = OPTION_ENUM,
      .offset = offsetof(struct bandwidth_conf, direction), .words = direction_words,
      .fallback = "download",
      .text = "Which content: download (of responses), upload (of requests) or both, which then "
              "share the rate." },
    { .name = "burst", .type = OPTION_SIZE, .offset = offsetof(struct bandwidth_conf, burst_bytes),
      .fallback = "0",
      .text = "What passes at once after a pause; at least what the rate lets pass in 5 ms. 0: a "
              "tenth of a second's worth, at least 16K." },
    { .name = "interactive", .type = OPTION_SIZE,
      .offset = offsetof(struct bandwidth_conf, quick_bytes), .fallback = "64K",
      .text = "So much of the beginning of each content passes before all that is bulk, which "
              "keeps a quarter of the rate. 0: all content is equal." },
    { .name = "weight", .type = OPTION_INT, .offset = offsetof(struct bandwidth_conf, weight),
      .fallback = "1", .min = 1, .max = 100,
      .text = "An exchange gets so many times the part of one with weight 1; for filters that "
              "share." },
    { .name = "share", .type = OPTION_STRING, .offset = offsetof(struct bandwidth_conf, group),
      .text = "Filters that say the same name here share one rate for each key; they differ in "
              "weight, interactive and direction at most. When not given, the filter shares with "
              "nobody." },
    { .name = "max_keys", .type = OPTION_INT, .offset = offsetof(struct bandwidth_conf, max_keys),
      .fallback = "10000", .min = 1, .max = 1000000,
      .text = "Keys with content under way, about; more of them share one rate. A key takes 170 "
              "bytes." },
    { .name = "ipv4_bits", .type = OPTION_INT, .offset = offsetof(struct bandwidth_conf, ipv4_bits),
      .fallback = "32", .min = 1, .max = 32,
      .text = "Bits of a client's IPv4 address that count: with 24, neighbours share." },
    { .name = "ipv6_bits", .type = OPTION_INT, .offset = offsetof(struct bandwidth_conf, ipv6_bits),
      .fallback = "64", .min = 1, .max = 128, .text = "The same of an IPv6 address." },
    { .name = NULL },
};

static bool
is_all(const struct strings *per)
{
    return per->count == 1 && slice_equal(per->items[0], SLICE("all"));
}

static int
finish_key(struct bandwidth_conf *conf, struct err *err)
{
    struct limit_conf *key = &conf->key;

    *key = (struct limit_conf){ .ipv4_bits = conf->ipv4_bits, .ipv6_bits = conf->ipv6_bits };
    if (is_all(&conf->per))
        return 0;
    for (size_t i = 0; i < conf->per.count; i++) {
        struct slice word = conf->per.items[i];

        if (slice_equal(word, SLICE("all")))
            return err_set(err, "per: \"all\" stands by itself");
        if (limit_part_parse(&key->parts[i], word, err) < 0)
            return err_prefix(err, "per: ");
        for (size_t j = 0; j < i; j++)
            if (limit_part_equal(&key->parts[i], &key->parts[j]))
                return err_set(err, "per: has \"%.*s\" twice", SLICE_ARG(word));
        key->part_count++;
    }
    return 0;
}

/* ---- filters that share */

static bool
is_same_text(const struct strings *a, const struct strings *b)
{
    if (a->count != b->count)
        return false;
    for (size_t i = 0; i < a->count; i++)
        if (!slice_equal(a->items[i], b->items[i]))
            return false;
    return true;
}

static int
compare_in(const struct bandwidth_conf *conf, const struct config_list *list, struct err *err)
{
    for (size_t i = 0; i < list->count; i++) {
        const struct bandwidth_conf *other = list->items[i];

        if (other->filter.ops != &bandwidth_filter || other->group == NULL ||
            strcmp(other->group, conf->group) != 0)
            continue;
        if (other->bytes_per_s != conf->bytes_per_s || other->burst_bytes != conf->burst_bytes ||
            other->max_keys != conf->max_keys || other->ipv4_bits != conf->ipv4_bits ||
            other->ipv6_bits != conf->ipv6_bits || !is_same_text(&other->per, &conf->per))
            return err_set(err, "share: \"%s\" is another rate, burst, per, max_keys or number of "
                           "bits at %s:%u; they have to be the same", conf->group,
                           other->filter.place.file, other->filter.place.line);
    }
    return 0;
}

static int
compare_in_site(const struct bandwidth_conf *conf, const struct site_conf *site, struct err *err)
{
    for (size_t i = 0; i < site->routes.count; i++) {
        const struct route_conf *route = site->routes.items[i];

        if (compare_in(conf, &route->filters, err) < 0)
            return -1;
    }
    return compare_in(conf, &site->all.filters, err);
}

static int
compare(const struct bandwidth_conf *conf, const struct conf *all, struct err *err)
{
    for (size_t i = 0; i < all->listeners.count; i++) {
        const struct listener_conf *listener = all->listeners.items[i];

        if (compare_in(conf, &listener->filters, err) < 0)
            return -1;
    }
    for (size_t i = 0; i < all->sites.count; i++)
        if (compare_in_site(conf, all->sites.items[i], err) < 0)
            return -1;
    return 0;
}

static uint64_t
burst_of(const struct bandwidth_conf *conf)
{
    uint64_t bytes = conf->burst_bytes, least = conf->bytes_per_s / SHORTEST_PER_S;

    if (bytes == 0) {
        bytes = conf->bytes_per_s / BURSTS_PER_S;
        least = BURST_MIN_BYTES;
    }
    return bytes > least ? bytes : least;
}

static int
finish(void *arg, struct conf *all, struct arena *arena, struct err *err)
{
    struct bandwidth_conf *conf = arg;

    (void)arena;
    conf->terms = (struct bandwidth_terms){
        .rate = { .bytes_per_s = conf->bytes_per_s, .burst_bytes = burst_of(conf) },
        .quick_bytes = conf->quick_bytes,
        .weight = (uint32_t)conf->weight,
    };
    if (finish_key(conf, err) < 0)
        return -1;
    return conf->group != NULL ? compare(conf, all, err) : 0;
}

static void
let_go(void *share)
{
    fair_share_unref(share);
}

/* What decides about keys and memory; the rate may change. */
static int
adopt(void *arg, struct arena *arena, struct err *err)
{
    struct bandwidth_conf *conf = arg;
    struct slice identity;

    if (conf->group != NULL)
        identity = arena_printf(arena, "share %s", conf->group);
    else
        identity = arena_printf(arena, "at %s:%u", conf->filter.place.file,
                                conf->filter.place.line);
    identity = arena_printf(arena, "%.*s %" PRId64 " %" PRId64 "/%" PRId64, SLICE_ARG(identity),
                            conf->max_keys, conf->ipv4_bits, conf->ipv6_bits);
    for (size_t i = 0; i < conf->per.count; i++)
        identity = arena_printf(arena, "%.*s %.*s", SLICE_ARG(identity),
                                SLICE_ARG(conf->per.items[i]));
    if (identity.bytes == 0)
        return err_set(err, "no memory");
    conf->share = fair_share_adopt(identity.data, (uint64_t)conf->max_keys, err);
    if (conf->share == NULL)
        return -1;
    return arena_defer(arena, let_go, conf->share) == 0 ? 0 : err_set(err, "no memory");
}

/* ---- content */

/* inner, or a source over it, which *at is then. */
static struct source *
shape(const struct bandwidth_conf *conf, struct bandwidth_source **at, struct exchange *ex,
      struct source *inner, uint64_t length)
{
    struct facts facts;
    uint64_t key = 0;
    bool is_crowded;

    exchange_key_facts(ex, &facts);
    if (conf->key.part_count > 0 && !limit_key(&conf->key, &facts, &key))
        return inner;
    *at = arena_zalloc(&ex->arena, sizeof(**at));
    if (*at == NULL)
        return inner;
    inner = bandwidth_source_begin(*at, ex->worker->loop, inner, length, &conf->terms,
                                   conf->share, key, &is_crowded);
    filter_count(ex, &counts, EVENT_SHAPED, 1);
    exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "bandwidth: shared");
    if (is_crowded)
        filter_count(ex, &counts, EVENT_CROWDED, 1);
    return inner;
}

static struct source *
request_body(const void *arg, void *memory, struct exchange *ex, struct source *inner)
{
    const struct bandwidth_conf *conf = arg;
    struct bandwidth_state *state = memory;

    if (conf->direction == DIRECTION_DOWNLOAD)
        return inner;
    return shape(conf, &state->upload, ex, inner, ex->request.length);
}

static struct source *
deliver_body(const void *arg, void *memory, struct exchange *ex, struct source *inner)
{
    const struct bandwidth_conf *conf = arg;
    struct bandwidth_state *state = memory;

    if (conf->direction == DIRECTION_UPLOAD || state->download != NULL)
        return inner;
    return shape(conf, &state->download, ex, inner, ex->response.length);
}

static void
end(const void *arg, void *memory, struct exchange *ex)
{
    const struct bandwidth_state *state = memory;
    struct bandwidth_source *sources[] = { state->upload, state->download };
    bool has_waited = false;

    (void)arg;
    for (unsigned i = 0; i < ARRAY_COUNT(sources); i++) {
        if (sources[i] == NULL)
            continue;
        has_waited = has_waited || sources[i]->has_waited;
        bandwidth_source_end(sources[i]);
    }
    if (has_waited)
        filter_count(ex, &counts, EVENT_WAITED, 1);
}

const struct filter_ops bandwidth_filter = {
    .name = "bandwidth",
    .text = "Shares a rate fairly among exchanges.",
    .options = options,
    .conf_bytes = sizeof(struct bandwidth_conf),
    .state_bytes = sizeof(struct bandwidth_state),
    .counts = &counts,
    .finish = finish,
    .adopt = adopt,
    .request_body = request_body,
    .deliver_body = deliver_body,
    .end = end,
};
