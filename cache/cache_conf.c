/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_conf.c - the options of stores and of caching, and what they must agree on. */
#include "config.h"

#include "cache/cache_conf.h"

#include "cache/disk.h"
#include "server/base/must.h"
#include "server/config/reader.h"

#include <inttypes.h>

#define HOUR (60 * 60 * 1000LL)
#define DAY (24 * HOUR)
#define YEAR_MAX (49 * DAY) /* what 32 bits of milliseconds hold */

#define SLICE_MIN (16u * 1024) /* each is an object, and asked for by itself */

static const char *const verify_words[] = {
    [DISK_VERIFY_ONCE] = "once",
    [DISK_VERIFY_ALWAYS] = "always",
    [DISK_VERIFY_ALWAYS + 1] = NULL,
};

static const char *const reload_words[] = { "auto", "obey", "ignore", NULL };

const struct option store_options[] = {
    OPTION_PLACE(struct store_conf, place),
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct store_conf, name),
      .is_required = true, .text = "What caches call it." },
    { .name = "memory", .type = OPTION_SIZE, .offset = offsetof(struct store_conf, memory_bytes),
      .fallback = "128M", .min = 1 << 20, .text = "Memory for what is asked for often." },
    { .name = "path", .type = OPTION_STRING, .offset = offsetof(struct store_conf, path),
      .text = "Folder of its own on disk; when not given, it keeps things in memory only." },
    { .name = "disk", .type = OPTION_SIZE, .offset = offsetof(struct store_conf, disk_bytes),
      .fallback = "10G", .min = 16 << 20, .text = "Room on disk; the oldest that nobody asked for "
                                                  "since goes first." },
    { .name = "min_free", .type = OPTION_SIZE,
      .offset = offsetof(struct store_conf, min_free_bytes), .fallback = "1G",
      .text = "Free room of the file system that is left to others." },
    { .name = "segment", .type = OPTION_SIZE,
      .offset = offsetof(struct store_conf, segment_bytes), .fallback = "64M", .min = 1 << 20,
      .max = 1 << 30, .text = "Length of its files: a quarter of disk at most." },
    { .name = "max_object", .type = OPTION_SIZE,
      .offset = offsetof(struct store_conf, object_bytes), .fallback = "1G",
      .text = "Longest content stored." },
    { .name = "max_memory_object", .type = OPTION_SIZE,
      .offset = offsetof(struct store_conf, memory_object_bytes), .fallback = "1M", .min = 4096,
      .max = 64 << 20, .text = "Longest content kept in memory; also the longest stored where "
                               "there is no disk." },
    { .name = "write_buffer", .type = OPTION_SIZE,
      .offset = offsetof(struct store_conf, queue_bytes), .fallback = "64M", .min = 1 << 20,
      .text = "Memory for what waits to be written; when it is full, more is not stored." },
    { .name = "window", .type = OPTION_SIZE, .offset = offsetof(struct store_conf, window_bytes),
      .fallback = "1M", .min = 128 << 10, .max = 64 << 20,
      .text = "Memory for long content on its way, per fetch: how far clients may be behind it "
              "before they read from disk." },
    { .name = "threads", .type = OPTION_INT, .offset = offsetof(struct store_conf, threads),
      .fallback = "2", .min = 1, .max = 64, .text = "Threads that read and write the disk." },
    { .name = "verify", .type = OPTION_ENUM, .offset = offsetof(struct store_conf, verify),
      .fallback = "once", .words = verify_words,
      .text = "When checksums of content on disk are compared: once per start, or always before "
              "it is sent." },
    { .name = "purge_tags", .type = OPTION_INT, .offset = offsetof(struct store_conf, tags),
      .fallback = "100000", .min = 16, .max = 10000000,
      .text = "Purged URLs, tags and sites remembered, as long as older objects may exist." },
    { .name = "purge_prefixes", .type = OPTION_INT,
      .offset = offsetof(struct store_conf, prefixes), .fallback = "1000", .min = 1, .max = 10000,
      .text = "The same for prefixes of URLs." },
    { .name = NULL },
};

const struct option cache_options[] = {
    OPTION_PLACE(struct cache_conf, place),
    { .name = "store", .type = OPTION_STRING, .offset = offsetof(struct cache_conf, store_name),
      .is_required = true,
      .text = "Name of the store, or \"off\". Listeners whose filters tell the servers different "
              "things of the same request need stores of their own." },
    { .name = "default", .type = OPTION_TIME, .offset = offsetof(struct cache_conf, default_ms),
      .fallback = "0", .max = YEAR_MAX,
      .text = "How long answers are fresh that say nothing about it. 0: such are stored only if "
              "they can be guessed fresh (RFC 9111 section 4.2.2)." },
    { .name = "min", .type = OPTION_TIME, .offset = offsetof(struct cache_conf, min_ms),
      .fallback = "0", .max = YEAR_MAX,
      .text = "Answers that may be stored are fresh for this long at least, whatever they say." },
    { .name = "max", .type = OPTION_TIME, .offset = offsetof(struct cache_conf, max_ms),
      .fallback = "0", .max = YEAR_MAX, .text = "... and at most. 0: as they say." },
    { .name = "heuristic", .type = OPTION_TIME,
      .offset = offsetof(struct cache_conf, heuristic_ms), .fallback = "1d", .max = YEAR_MAX,
      .text = "Longest freshness guessed from Last-Modified. 0: never guess." },
    { .name = "stale_while_revalidate", .type = OPTION_TIME,
      .offset = offsetof(struct cache_conf, stale_while_revalidate_ms), .fallback = "0",
      .max = YEAR_MAX,
      .text = "How long stale answers are still given while a new one is fetched behind, where "
              "they do not say (RFC 5861)." },
    { .name = "stale_if_error", .type = OPTION_TIME,
      .offset = offsetof(struct cache_conf, stale_if_error_ms), .fallback = "1d", .max = YEAR_MAX,
      .text = "How long stale answers are given when no good one can be had, where they do not "
              "say or forbid it." },
    { .name = "cookies", .type = OPTION_BOOL,
      .offset = offsetof(struct cache_conf, stores_cookies), .fallback = "false",
      .text = "Store answers that set cookies too, without their cookies." },
    { .name = "reload", .type = OPTION_ENUM, .offset = offsetof(struct cache_conf, reload),
      .fallback = "auto", .words = reload_words,
      .text = "Clients that ask for a fresh answer (Cache-Control: no-cache, max-age, min-fresh): "
              "obey, ignore, or auto: obeyed for what forward listeners fetch, ignored in front of "
              "sites, whose servers are not to be at the clients' mercy." },
    { .name = "collapse", .type = OPTION_BOOL, .offset = offsetof(struct cache_conf, collapses),
      .fallback = "true",
      .text = "Who asks for what is being fetched gets it from that fetch, as it arrives." },
    { .name = "finish", .type = OPTION_BOOL, .offset = offsetof(struct cache_conf, finishes),
      .fallback = "false",
      .text = "A fetch goes on when all its clients are gone, unless there were 256 under way "
              "already when it began." },
    { .name = "status", .type = OPTION_BOOL, .offset = offsetof(struct cache_conf, sends_status),
      .fallback = "true", .text = "Tell clients what the cache did: Cache-Status (RFC 9211)." },
    { .name = "query_ignore", .type = OPTION_STRINGS,
      .offset = offsetof(struct cache_conf, query_ignore),
      .text = "Parameters of the query that make no difference: \"utm_*\", \"fbclid\". They do "
              "not go upstream with what is fetched for the cache." },
    { .name = "query_only", .type = OPTION_STRINGS,
      .offset = offsetof(struct cache_conf, query_only),
      .text = "Instead: the only parameters that make a difference." },
    { .name = "query_sort", .type = OPTION_BOOL, .offset = offsetof(struct cache_conf, query_sort),
      .fallback = "false", .text = "The order of parameters makes no difference." },
    { .name = "query_off", .type = OPTION_BOOL, .offset = offsetof(struct cache_conf, query_off),
      .fallback = "false", .text = "The query makes no difference at all." },
    { .name = "vary_on", .type = OPTION_STRINGS, .offset = offsetof(struct cache_conf, vary_on),
      .text = "Request fields that answers depend on although their Vary does not say so." },
    { .name = "device", .type = OPTION_BOOL, .offset = offsetof(struct cache_conf, device),
      .fallback = "false",
      .text = "Answers depend on the kind of device: phone, tablet, desktop, bot." },
    { .name = "languages", .type = OPTION_STRINGS,
      .offset = offsetof(struct cache_conf, languages),
      .text = "Languages the site has: others in Accept-Language make no difference." },
    { .name = "slice", .type = OPTION_SIZE, .offset = offsetof(struct cache_conf, slice_bytes),
      .fallback = "0", .max = 64 << 20,
      .text = "Fetch ranges of long content in pieces of this length, each stored once and fetched "
              "to its end: \"1M\". An origin that knows no ranges is asked for the whole. 0: pass "
              "such requests on." },
    { .name = "quota", .type = OPTION_SIZE, .offset = offsetof(struct cache_conf, quota_bytes),
      .fallback = "0", .text = "Room on disk that the site may take. 0: no limit of its own." },
    { .name = "purge_from", .type = OPTION_NETWORKS,
      .offset = offsetof(struct cache_conf, purge_from),
      .text = "Networks whose clients may use the method PURGE. Not given: nobody." },
    { .name = NULL },
};

/* In megabytes, rounded up. */
static uint64_t
megabytes(uint64_t bytes)
{
    return (bytes + (1 << 20) - 1) >> 20;
}

int
store_conf_finish(struct store_conf *store, void *const *earlier, size_t earlier_count,
                  struct err *err)
{
    for (size_t i = 0; i < earlier_count; i++) {
        const struct store_conf *other = earlier[i];

        if (store->path != NULL && slice_equal(slice_of(store->path), slice_of(other->path)))
            return err_set(err, "path \"%s\" is that of store \"%s\" already: each has a folder "
                                "of its own", store->path, other->name);
    }
    if (strcmp(store->name, "off") == 0)
        return err_set(err, "the word switches caching off, another name is needed");
    if (store->path != NULL && store->path[0] != '/')
        return err_set(err, "path: \"%s\" is not an absolute path", store->path);
    if (store->path != NULL && store->disk_bytes < 4 * store->segment_bytes)
        return err_set(err, "disk is less than four times segment: disk = \"%" PRIu64 "M\" would "
                            "do, or a smaller segment",
                       megabytes(4 * store->segment_bytes));
    if (store->memory_object_bytes > store->memory_bytes / 4)
        return err_set(err, "max_memory_object is more than a quarter of memory: memory = "
                            "\"%" PRIu64 "M\" would do, or a smaller max_memory_object",
                       megabytes(4 * store->memory_object_bytes));
    if (store->path == NULL && store->object_bytes > store->memory_object_bytes)
        store->object_bytes = store->memory_object_bytes;
    return 0;
}

static struct store_conf *
find_store(const struct config_list *stores, const char *name, struct err *err)
{
    struct nearest nearest;

    nearest_init(&nearest, slice_of(name));
    for (size_t i = 0; i < stores->count; i++) {
        struct store_conf *store = stores->items[i];

        if (strcmp(store->name, name) == 0) {
            store->is_used = true;
            return store;
        }
        nearest_offer(&nearest, store->name);
    }
    err_set(err, "there is no store \"%s\"", name);
    nearest_hint(&nearest, err);
    return NULL;
}

static uint32_t
seconds(uint32_t ms)
{
    return ms / 1000 + (ms % 1000 > 0);
}

static void
make_lifetimes(struct cache_conf *cache)
{
    cache->life = (struct lifetime_conf){
        .heuristic_max_s = seconds(cache->heuristic_ms),
        .default_s = seconds(cache->default_ms),
        .stale_if_error_s = seconds(cache->stale_if_error_ms),
        .stale_while_revalidate_s = seconds(cache->stale_while_revalidate_ms),
        .min_s = seconds(cache->min_ms),
        .max_s = seconds(cache->max_ms),
    };
}

static struct slice *
lower_case(const struct strings *names, struct arena *arena)
{
    struct slice *items = arena_alloc(arena, (names->count + 1) * sizeof(*items));

    for (size_t i = 0; items != NULL && i < names->count; i++) {
        char *text = arena_strdup(arena, names->items[i].data);

        if (text == NULL)
            return NULL;
        for (char *at = text; *at != '\0'; at++)
            *at = ascii_lower(*at);
        items[i] = slice_of(text);
    }
    return items;
}

/* A name for the rules: objects stored under others are not found. */
static struct slice
name_rules(const struct cache_conf *cache, struct arena *arena)
{
    const struct strings *names = cache->query_only.count > 0 ? &cache->query_only
                                                              : &cache->query_ignore;
    struct slice text = arena_printf(arena, "%s%s%s", cache->query_off ? "off" : "",
                                     cache->query_sort ? "sort" : "",
                                     cache->query_only.count > 0 ? "only" : "");

    for (size_t i = 0; i < names->count; i++)
        text = arena_printf(arena, "%.*s&%.*s", SLICE_ARG(text), SLICE_ARG(names->items[i]));
    return text;
}

static int
make_keys(struct cache_conf *cache, struct arena *arena, struct err *err)
{
    struct slice *languages = lower_case(&cache->languages, arena);
    struct slice *vary_on = lower_case(&cache->vary_on, arena);

    if (languages == NULL || vary_on == NULL)
        return err_set(err, "out of memory");
    cache->vary_on.items = vary_on;
    cache->key = (struct key_conf){
        .ignored = cache->query_ignore.items,
        .ignored_count = (unsigned)cache->query_ignore.count,
        .only = cache->query_only.items,
        .only_count = (unsigned)cache->query_only.count,
        .sorts_query = cache->query_sort,
        .ignores_query = cache->query_off,
        .rules = name_rules(cache, arena),
    };
    cache->vary = (struct vary_conf){
        .languages = languages,
        .language_count = (unsigned)cache->languages.count,
        .narrows_encoding = true,
    };
    return 0;
}

int
cache_conf_finish(struct cache_conf *cache, const struct config_list *stores, struct arena *arena,
                  struct err *err)
{
    if (cache->place.line == 0 || strcmp(cache->store_name, "off") == 0)
        return 0;
    cache->store = find_store(stores, cache->store_name, err);
    if (cache->store == NULL)
        return err_prefix(err, "cache: ");
    if (cache->query_ignore.count > 0 && cache->query_only.count > 0)
        return err_set(err, "cache: query_ignore and query_only exclude each other");
    if (cache->max_ms > 0 && cache->min_ms > cache->max_ms)
        return err_set(err, "cache: min is more than max");
    if (cache->slice_bytes > 0 && cache->slice_bytes > cache->store->memory_object_bytes)
        return err_set(err, "cache: slice is more than max_memory_object of its store");
    if (cache->slice_bytes > 0 && cache->slice_bytes < SLICE_MIN)
        return err_set(err, "cache: slice is less than 16K");
    make_lifetimes(cache);
    return make_keys(cache, arena, err);
}
