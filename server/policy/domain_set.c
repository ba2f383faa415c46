/* SPDX-License-Identifier: BSD-2-Clause */
/* domain_set.c - hashes a name label by label from the right:
 *
 *     www.example.com      com --> example --> www
 *                           |         |         |
 *                        a mark    a mark     a mark
 *
 * Marks are made only for as many labels as some name of the set has. All are
 * made, and their places fetched, before the first is looked at: memory is slow,
 * and waits for several places at a time take no longer than one.
 *
 * A label is read eight bytes at a time, until there is a dot among them. What
 * follows that dot is absorbed with zeros above it, which a whole word of a label
 * never has: so where labels begin counts as much as what is in them.
 */
#include "config.h"

#include "server/policy/domain_set.h"

#include "server/base/must.h"

#define DOTS 0x2e2e2e2e2e2e2e2eu

/* One domain above a host, or the host. */
struct suffix {
    struct fingerprint fingerprint;
    const uint64_t *home;
    uint8_t bytes, labels;
};

struct suffixes {
    unsigned count;
    struct suffix items[LABELS_MAX];
};

void
domain_set_init(struct domain_set *set)
{
    *set = (struct domain_set){ .deepest = 0 };
    hash_key_random(&set->key);
}

void
domain_set_fini(struct domain_set *set)
{
    fingerprint_set_fini(&set->names);
}

static inline bool
has_depth(const struct domain_set *set, unsigned labels)
{
    return set->depths[labels / 64] >> labels % 64 & 1;
}

/* A name that at least eight bytes may be read from. */
struct readable {
    char text[sizeof(uint64_t)];
    const char *begin, *end;
};

static inline void
make_readable(struct readable *readable, struct slice name)
{
    readable->begin = name.data;
    if (unlikely(name.bytes < sizeof(readable->text))) {
        memset(readable->text, 0, sizeof(readable->text));
        memcpy(readable->text, name.data, name.bytes);
        readable->begin = readable->text;
    }
    readable->end = readable->begin + name.bytes;
}

/* The eight bytes before at, with dots for those before the name. */
static inline uint64_t
word_before(const struct readable *name, const char *at)
{
    size_t left = (size_t)(at - name->begin);

    if (likely(left >= sizeof(uint64_t)))
        return sip_load(at - sizeof(uint64_t));
    return sip_load(name->begin) << 8 * (7 - left) << 8 | DOTS >> 8 * left;
}

/* The top bit of each byte that is a dot. No sum carries into its neighbour, as it
 * adds to 7 bits. */
static inline uint64_t
dots_in(uint64_t word)
{
    const uint64_t low = 0x7f7f7f7f7f7f7f7fu;
    uint64_t x = word ^ DOTS;

    return ~(((x & low) + low) | x | low);
}

/* Absorbs the label that ends at end: where it begins; NULL: no name in a set has
 * such a label. */
static inline const char *
absorb_label(struct sip *sip, const struct readable *name, const char *end)
{
    const char *at = end;
    uint64_t word, dots;
    unsigned left;

    for (;; at -= sizeof(word)) {
        word = word_before(name, at);
        dots = dots_in(word);
        if (dots != 0)
            break;
        if ((size_t)(end - at) + sizeof(word) > LABEL_BYTES_MAX)
            return NULL;
        sip_absorb(sip, word);
    }
    left = (unsigned)__builtin_clzll(dots) / 8; /* bytes behind the last dot */
    sip_absorb(sip, word >> 1 >> (63 - 8 * left));
    return at - left < end ? at - left : NULL;
}

/* Those of the host that could be in the set. */
static inline void
hash_suffixes(const struct domain_set *set, struct slice host, struct suffixes *suffixes)
{
    struct sip sip = sip_begin(&set->key);
    struct readable name;
    const char *at;

    make_readable(&name, host);
    at = name.end;
    suffixes->count = 0;
    for (unsigned labels = 1; labels <= set->deepest; labels++) {
        at = absorb_label(&sip, &name, at);
        if (at == NULL || (size_t)(name.end - at) > DOMAIN_BYTES_MAX)
            return;
        if (has_depth(set, labels)) {
            struct suffix *suffix = &suffixes->items[suffixes->count++];

            suffix->fingerprint = fingerprint_of(sip);
            suffix->home = fingerprint_set_home(&set->names, suffix->fingerprint);
            __builtin_prefetch(suffix->home);
            suffix->bytes = (uint8_t)(name.end - at);
            suffix->labels = (uint8_t)labels;
        }
        if (at == name.begin)
            return;
        at--;
    }
}

static struct slice
without_dot(struct slice host)
{
    if (host.bytes > 0 && host.data[host.bytes - 1] == '.')
        host.bytes--;
    return host;
}

/* For most hosts that are not in the set, by one branch. */
static inline bool
has_surely_none(const struct suffixes *suffixes)
{
    bool may_have = false;

    for (unsigned i = 0; i < suffixes->count; i++)
        may_have |= fingerprint_may_be_at(suffixes->items[i].home,
                                          suffixes->items[i].fingerprint.mark);
    return !may_have;
}

unsigned
domain_set_find(const struct domain_set *set, struct slice host, struct slice *domain)
{
    struct suffixes suffixes;

    if (set->names.count == 0)
        return 0;
    host = without_dot(host);
    hash_suffixes(set, host, &suffixes);
    if (likely(has_surely_none(&suffixes)))
        return 0;
    while (suffixes.count > 0) {
        const struct suffix *suffix = &suffixes.items[--suffixes.count];

        if (!fingerprint_is_at(suffix->home, suffix->fingerprint.mark))
            continue;
        if (domain != NULL)
            *domain = slice_skip(host, host.bytes - suffix->bytes);
        return suffix->labels;
    }
    return 0;
}

/* ---- building */

/* Of the whole name, which is good; suffixes: of the domains above it that could be in
 * the set. */
static struct fingerprint
hash_whole(const struct domain_set *set, struct slice name, struct suffixes *suffixes,
           unsigned *labels)
{
    struct sip sip = sip_begin(&set->key);
    struct readable readable;
    const char *at;

    make_readable(&readable, name);
    at = readable.end;
    suffixes->count = 0;
    for (*labels = 1;; ++*labels) {
        struct fingerprint fingerprint;

        at = absorb_label(&sip, &readable, at);
        must(at != NULL);
        if (at != readable.begin && !has_depth(set, *labels)) {
            at--;
            continue;
        }
        fingerprint = fingerprint_of(sip);
        if (set->names.count > 0)
            __builtin_prefetch(fingerprint_set_home(&set->names, fingerprint));
        if (at == readable.begin)
            return fingerprint;
        suffixes->items[suffixes->count++].fingerprint = fingerprint;
        at--;
    }
}

static bool
has_some(const struct domain_set *set, const struct suffixes *suffixes)
{
    for (unsigned i = 0; i < suffixes->count; i++)
        if (fingerprint_set_has(&set->names, suffixes->items[i].fingerprint))
            return true;
    return false;
}

int
domain_set_add(struct domain_set *set, struct slice name, bool unless_covered)
{
    struct suffixes above;
    unsigned labels;
    struct fingerprint fingerprint = hash_whole(set, name, &above, &labels);
    int result;

    if (unless_covered && has_some(set, &above))
        return 0;
    result = fingerprint_set_add(&set->names, fingerprint);
    if (result <= 0)
        return result;
    set->depths[labels / 64] |= UINT64_C(1) << labels % 64;
    if (labels > set->deepest)
        set->deepest = labels;
    return result;
}

/* 1: of a name, in lower case; 2: a dot. */
static const uint8_t kinds[256] = {
    ['-'] = 1, ['_'] = 1, ['.'] = 2,
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1,
    ['8'] = 1, ['9'] = 1,
    ['a'] = 1, ['b'] = 1, ['c'] = 1, ['d'] = 1, ['e'] = 1, ['f'] = 1, ['g'] = 1, ['h'] = 1,
    ['i'] = 1, ['j'] = 1, ['k'] = 1, ['l'] = 1, ['m'] = 1, ['n'] = 1, ['o'] = 1, ['p'] = 1,
    ['q'] = 1, ['r'] = 1, ['s'] = 1, ['t'] = 1, ['u'] = 1, ['v'] = 1, ['w'] = 1, ['x'] = 1,
    ['y'] = 1, ['z'] = 1,
};

bool
domain_is_good(struct slice name)
{
    size_t label = 0;

    if (name.bytes == 0 || name.bytes > DOMAIN_BYTES_MAX)
        return false;
    for (size_t i = 0; i < name.bytes; i++) {
        uint8_t kind = kinds[(unsigned char)name.data[i]];

        if (kind == 0 || (kind == 2 && label == 0))
            return false;
        label = kind == 2 ? 0 : label + 1;
        if (label > LABEL_BYTES_MAX)
            return false;
    }
    return label > 0;
}
