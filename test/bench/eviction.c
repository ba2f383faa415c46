/* SPDX-License-Identifier: BSD-2-Clause */
/* eviction.c - hit ratios of ways to evict, on made-up traces.
 *
 *     eviction [REQUESTS]
 *
 * A million objects of 512 bytes to 16 KB are asked for by Zipf's law. In the
 * traces with a crawler one request in five comes from one who passes over all
 * objects in turn; only the others' hits are counted. The first half of a trace
 * warms the cache. S3-FIFO is the memory tier itself; the others are
 * models. Segments are the disk tier's: a hundredth of the cache each, the oldest
 * goes whole, with or without writing again what was read since, up to half of it.
 *
 * Prints a table in Markdown: hits in a hundred requests / bytes in a hundred.
 */
#include "config.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "cache/disk.h"
#include "cache/memory.h"
#include "server/base/hash.h"
#include "server/base/must.h"

#define OBJECTS 1000000u
#define SEGMENTS 100u
#define NOBODY UINT32_MAX

/* ---- chance */

static uint64_t chance_state;

static uint64_t
chance(void)
{
    chance_state ^= chance_state << 13;
    chance_state ^= chance_state >> 7;
    chance_state ^= chance_state << 17;
    return chance_state * 0x2545f4914f6cdd1du;
}

static double
chance_part(void)
{
    return (double)(chance() >> 11) / 9007199254740992.0;
}

/* Draws by Zipf's law in two steps (Walker's alias method). */
struct zipf {
    double keep[OBJECTS];
    uint32_t other[OBJECTS];
};

static void
zipf_init(struct zipf *zipf, double alpha)
{
    static uint32_t small[OBJECTS], large[OBJECTS];
    size_t small_count = 0, large_count = 0;
    double sum = 0;

    for (uint32_t i = 0; i < OBJECTS; i++)
        sum += pow(i + 1, -alpha);
    for (uint32_t i = 0; i < OBJECTS; i++) {
        zipf->keep[i] = pow(i + 1, -alpha) / sum * OBJECTS;
        zipf->other[i] = i;
        if (zipf->keep[i] < 1)
            small[small_count++] = i;
        else
            large[large_count++] = i;
    }
    while (small_count > 0 && large_count > 0) {
        uint32_t poor = small[--small_count], rich = large[large_count - 1];

        zipf->other[poor] = rich;
        zipf->keep[rich] -= 1 - zipf->keep[poor];
        if (zipf->keep[rich] < 1) {
            large_count--;
            small[small_count++] = rich;
        }
    }
}

static uint32_t
zipf_draw(const struct zipf *zipf)
{
    uint32_t i = (uint32_t)(chance() % OBJECTS);

    return chance_part() < zipf->keep[i] ? i : zipf->other[i];
}

/* ---- objects, and what each way to evict knows about them */

static const struct hash_key secret = { { 1, 2 } };
static uint32_t sizes[OBJECTS];

struct entry {
    uint32_t next, prev; /* in the queue: next is older */
    uint32_t segment;    /* its number + 1; 0: not stored */
    bool is_in, is_used;
};

struct cache {
    uint64_t max_bytes, bytes;
    struct entry *entries;
    uint32_t newest, oldest, hand;
    struct memory *memory;
    uint32_t *members[SEGMENTS + 2]; /* a ring of segments: who was written to each */
    uint32_t member_count[SEGMENTS + 2], member_room[SEGMENTS + 2];
    uint64_t segment_bytes[SEGMENTS + 2];
    uint32_t first, last;            /* segments by number */
    uint64_t written, rewritten;     /* bytes */
};

/* Asks for an object and stores it if it is not there. Whether it was. */
typedef bool request_fn(struct cache *cache, uint32_t id);

static void
take_out(struct cache *cache, uint32_t id)
{
    struct entry *entry = &cache->entries[id];

    *(entry->prev != NOBODY ? &cache->entries[entry->prev].next : &cache->newest) = entry->next;
    *(entry->next != NOBODY ? &cache->entries[entry->next].prev : &cache->oldest) = entry->prev;
    if (cache->hand == id)
        cache->hand = entry->prev;
}

static void
put_first(struct cache *cache, uint32_t id)
{
    struct entry *entry = &cache->entries[id];

    entry->next = cache->newest;
    entry->prev = NOBODY;
    *(cache->newest != NOBODY ? &cache->entries[cache->newest].prev : &cache->oldest) = id;
    cache->newest = id;
}

static void
evict(struct cache *cache, uint32_t id)
{
    take_out(cache, id);
    cache->entries[id].is_in = false;
    cache->bytes -= sizes[id];
}

static void
admit(struct cache *cache, uint32_t id)
{
    put_first(cache, id);
    cache->entries[id].is_in = true;
    cache->entries[id].is_used = false;
    cache->bytes += sizes[id];
}

static bool
fifo_request(struct cache *cache, uint32_t id)
{
    if (cache->entries[id].is_in)
        return true;
    admit(cache, id);
    while (cache->bytes > cache->max_bytes)
        evict(cache, cache->oldest);
    return false;
}

static bool
lru_request(struct cache *cache, uint32_t id)
{
    if (!cache->entries[id].is_in)
        return fifo_request(cache, id);
    take_out(cache, id);
    put_first(cache, id);
    return true;
}

/* Zhang et al., "SIEVE is simpler than LRU", NSDI 2024. */
static bool
sieve_request(struct cache *cache, uint32_t id)
{
    if (cache->entries[id].is_in) {
        cache->entries[id].is_used = true;
        return true;
    }
    while (cache->bytes + sizes[id] > cache->max_bytes) {
        if (cache->hand == NOBODY)
            cache->hand = cache->oldest;
        if (cache->entries[cache->hand].is_used) {
            cache->entries[cache->hand].is_used = false;
            cache->hand = cache->entries[cache->hand].prev;
        } else {
            evict(cache, cache->hand);
        }
    }
    admit(cache, id);
    return false;
}

static bool
memory_request(struct cache *cache, uint32_t id)
{
    struct slice key = slice_make((const char *)&id, sizeof(id));
    struct object_head head = { .hash = hash_bytes(key, &secret), .key = key };
    struct object *object = memory_find(cache->memory, head.hash, key);
    bool is_hit = object != NULL;

    if (!is_hit) {
        object = object_new(&head, sizes[id] - sizeof(struct object) - key.bytes);
        must(object != NULL && object_memory(object) == sizes[id]);
        must(memory_put(cache->memory, object));
    }
    object_unref(object);
    return is_hit;
}

/* ---- segments */

static void
append(struct cache *cache, uint32_t id)
{
    uint32_t slot;

    if (cache->segment_bytes[cache->last % (SEGMENTS + 2)] >= cache->max_bytes / SEGMENTS)
        cache->last++;
    slot = cache->last % (SEGMENTS + 2);
    if (cache->member_count[slot] == cache->member_room[slot]) {
        cache->member_room[slot] = cache->member_room[slot] * 2 + 64;
        cache->members[slot] =
            realloc(cache->members[slot], cache->member_room[slot] * sizeof(uint32_t));
        must(cache->members[slot] != NULL);
    }
    cache->members[slot][cache->member_count[slot]++] = id;
    cache->segment_bytes[slot] += sizes[id];
    cache->entries[id].segment = cache->last + 1;
    cache->entries[id].is_used = false;
    cache->bytes += sizes[id];
    cache->written += sizes[id];
}

static void
reclaim(struct cache *cache, bool readmits)
{
    uint32_t slot = cache->first % (SEGMENTS + 2), count = cache->member_count[slot];
    uint32_t *members = cache->members[slot];
    uint64_t room = readmits ? cache->segment_bytes[slot] / 2 : 0;

    cache->bytes -= cache->segment_bytes[slot];
    cache->segment_bytes[slot] = 0;
    cache->members[slot] = NULL;
    cache->member_count[slot] = cache->member_room[slot] = 0;
    cache->first++;
    for (uint32_t i = 0; i < count; i++) {
        struct entry *entry = &cache->entries[members[i]];

        entry->segment = 0;
        if (entry->is_used && sizes[members[i]] <= room) {
            append(cache, members[i]);
            cache->rewritten += sizes[members[i]];
            room -= sizes[members[i]];
        }
    }
    free(members);
}

static bool
segments_request(struct cache *cache, uint32_t id, bool readmits)
{
    if (cache->entries[id].segment > 0) {
        cache->entries[id].is_used = true;
        return true;
    }
    append(cache, id);
    while (cache->bytes > cache->max_bytes)
        reclaim(cache, readmits);
    return false;
}

static bool
plain_segments_request(struct cache *cache, uint32_t id)
{
    return segments_request(cache, id, false);
}

static bool
segments_again_request(struct cache *cache, uint32_t id)
{
    return segments_request(cache, id, true);
}

/* ---- runs */

struct trace {
    const struct zipf *zipf;
    unsigned long requests;
    bool has_crawler;
};

struct result {
    double requests, bytes, rewritten; /* parts of a hundred */
};

static struct result
run(const struct trace *trace, request_fn *request, struct cache *cache)
{
    uint64_t asked = 0, hit = 0, asked_bytes = 0, hit_bytes = 0;
    uint32_t crawler = 0;

    chance_state = 88172645463325252u;
    for (unsigned long i = 0; i < trace->requests; i++) {
        bool is_crawler = trace->has_crawler && chance() % 5 == 0;
        uint32_t id = is_crawler ? crawler++ % OBJECTS : zipf_draw(trace->zipf);
        bool is_hit = request(cache, id);

        if (is_crawler || i < trace->requests / 2)
            continue;
        asked++;
        asked_bytes += sizes[id];
        hit += is_hit;
        hit_bytes += is_hit ? sizes[id] : 0;
    }
    return (struct result){
        .requests = 100.0 * (double)hit / (double)asked,
        .bytes = 100.0 * (double)hit_bytes / (double)asked_bytes,
        .rewritten = cache->written > 0
                         ? 100.0 * (double)cache->rewritten / (double)cache->written : 0,
    };
}

static struct result
run_fresh(const struct trace *trace, request_fn *request, uint64_t max_bytes)
{
    struct cache cache = { .max_bytes = max_bytes, .newest = NOBODY, .oldest = NOBODY,
                           .hand = NOBODY };
    struct result result;

    cache.entries = calloc(OBJECTS, sizeof(*cache.entries));
    cache.memory = memory_new(max_bytes);
    must(cache.entries != NULL && cache.memory != NULL);
    result = run(trace, request, &cache);
    memory_free(cache.memory);
    free(cache.entries);
    for (size_t i = 0; i < ARRAY_COUNT(cache.members); i++)
        free(cache.members[i]);
    return result;
}

static void
print_row(const struct trace *trace, double alpha, uint64_t total, unsigned percent)
{
    static request_fn *const ways[] = { memory_request, sieve_request, lru_request, fifo_request,
                                        plain_segments_request, segments_again_request };
    struct result result = { 0 };

    printf("| %.1f%s | %u %% |", alpha, trace->has_crawler ? " + crawler" : "", percent);
    for (size_t i = 0; i < ARRAY_COUNT(ways); i++) {
        result = run_fresh(trace, ways[i], total / 100 * percent);
        printf(" %.1f / %.1f |", result.requests, result.bytes);
        fflush(stdout);
    }
    printf(" %.0f %% |\n", result.rewritten);
}

/* Sizes are spread evenly over their logarithm, whatever the rank. */
static uint64_t
make_sizes(void)
{
    uint64_t total = 0;

    chance_state = 362436069;
    for (uint32_t i = 0; i < OBJECTS; i++) {
        sizes[i] = (uint32_t)(sizeof(struct object) + sizeof(i) + 512 * exp2(chance_part() * 5));
        total += sizes[i];
    }
    return total;
}

int
main(int argc, char **argv)
{
    static const double alphas[] = { 0.7, 0.9, 1.1 };
    static const unsigned percents[] = { 1, 10 };
    static struct zipf zipf;
    struct trace trace = { .zipf = &zipf, .requests = argc > 1 ? strtoul(argv[1], NULL, 10) : 0 };
    uint64_t total = make_sizes();

    if (trace.requests < 10)
        trace.requests = 6000000;
    puts("| zipf | cache | S3-FIFO | SIEVE | LRU | FIFO | segments | segments, read again "
         "| rewritten |\n|---|---|---|---|---|---|---|---|---|");
    for (unsigned crawler = 0; crawler < 2; crawler++) {
        trace.has_crawler = crawler;
        for (size_t i = 0; i < ARRAY_COUNT(alphas); i++) {
            zipf_init(&zipf, alphas[i]);
            for (size_t j = 0; j < ARRAY_COUNT(percents); j++)
                print_row(&trace, alphas[i], total, percents[j]);
        }
    }
    return 0;
}
