/* SPDX-License-Identifier: BSD-2-Clause */
/* prefix_set.c - networks as sorted, disjoint ranges of addresses.
 *
 * A look-up is one binary search without branches to mispredict: the last
 * range that begins at or before the address, then one comparison with its
 * end. Overlapping networks melt into one range when the set is sealed.
 */
#include "config.h"

#include "server/policy/prefix_set.h"

#include <endian.h>
#include <stdlib.h>

#include "server/base/hash.h"
#include "server/base/must.h"

struct range4 {
    uint32_t first, last;
};

struct ip6 {
    uint64_t high, low;
};

struct range6 {
    struct ip6 first, last;
};

struct prefix_set {
    struct arena *arena;
    struct range4 *v4;
    struct range6 *v6;
    size_t v4_count, v4_room;
    size_t v6_count, v6_room;
    size_t count;
    bool is_unsealed;
};

/* ---- addresses as numbers */

static uint32_t
number4(const uint8_t *bytes)
{
    uint32_t n;

    memcpy(&n, bytes, sizeof(n));
    return be32toh(n);
}

static struct ip6
number6(const uint8_t *bytes)
{
    struct ip6 n;

    memcpy(&n, bytes, sizeof(n));
    return (struct ip6){ be64toh(n.high), be64toh(n.low) };
}

static void
bytes_of_number6(struct ip6 n, uint8_t *bytes)
{
    n = (struct ip6){ htobe64(n.high), htobe64(n.low) };
    memcpy(bytes, &n, sizeof(n));
}

/* Whether a <= b. As one wide number, so that it compiles to a comparison with
 * borrow and no branch. */
static inline bool
not_after(struct ip6 a, struct ip6 b)
{
    return ((unsigned __int128)a.high << 64 | a.low) <= ((unsigned __int128)b.high << 64 | b.low);
}

/* The host part of a prefix: its last bits, all ones. */
static uint32_t
host_mask4(unsigned length)
{
    return length == 0 ? UINT32_MAX : (uint32_t)((UINT64_C(1) << (32 - length)) - 1);
}

static struct ip6
host_mask6(unsigned length)
{
    if (length == 0)
        return (struct ip6){ UINT64_MAX, UINT64_MAX };
    if (length <= 64)
        return (struct ip6){ length == 64 ? 0 : UINT64_MAX >> length, UINT64_MAX };
    return (struct ip6){ 0, length == 128 ? 0 : UINT64_MAX >> (length - 64) };
}

/* ---- building */

struct prefix_set *
prefix_set_new(struct arena *arena)
{
    struct prefix_set *set = arena_zalloc(arena, sizeof(*set));

    if (set != NULL)
        set->arena = arena;
    return set;
}

/* Room for one more in an array of the set; the array moves as it grows. */
static void *
make_room(struct prefix_set *set, void *items, size_t count, size_t *room, size_t item_bytes)
{
    size_t more = *room == 0 ? 4 : *room * 2;
    void *grown;

    if (count < *room)
        return items;
    grown = arena_alloc(set->arena, more * item_bytes);
    if (grown == NULL)
        return NULL;
    if (count > 0)
        memcpy(grown, items, count * item_bytes);
    *room = more;
    return grown;
}

static int
add_range4(struct prefix_set *set, uint32_t first, uint32_t last)
{
    struct range4 *items = make_room(set, set->v4, set->v4_count, &set->v4_room, sizeof(*items));

    if (items == NULL)
        return -1;
    set->v4 = items;
    set->v4[set->v4_count++] = (struct range4){ first, last };
    set->is_unsealed = true;
    return 0;
}

static int
add_range6(struct prefix_set *set, struct ip6 first, struct ip6 last)
{
    struct range6 *items = make_room(set, set->v6, set->v6_count, &set->v6_room, sizeof(*items));

    if (items == NULL)
        return -1;
    set->v6 = items;
    set->v6[set->v6_count++] = (struct range6){ first, last };
    set->is_unsealed = true;
    return 0;
}

static int
memory_is_short(struct err *err)
{
    return err_set(err, "memory for networks is short");
}

static int
refuse_host_bits(const struct ip *network, unsigned length, struct slice text, struct err *err)
{
    char meant[IP_TEXT_BYTES];

    ip_text(network, meant);
    return err_set(err, "\"%.*s\" has bits set behind the /%u; the network is \"%s/%u\"",
                   SLICE_ARG(text), length, meant, length);
}

static int
add_prefix(struct prefix_set *set, struct ip *ip, unsigned length, struct slice text,
           struct err *err)
{
    if (ip->family == 4) {
        uint32_t host = host_mask4(length), n = number4(ip->bytes);

        if ((n & host) != 0) {
            n = htobe32(n & ~host);
            memcpy(ip->bytes, &n, sizeof(n));
            return refuse_host_bits(ip, length, text, err);
        }
        if (add_range4(set, n, n | host) < 0)
            return memory_is_short(err);
    } else {
        struct ip6 host = host_mask6(length), n = number6(ip->bytes);

        if ((n.high & host.high) != 0 || (n.low & host.low) != 0) {
            bytes_of_number6((struct ip6){ n.high & ~host.high, n.low & ~host.low }, ip->bytes);
            return refuse_host_bits(ip, length, text, err);
        }
        if (add_range6(set, n, (struct ip6){ n.high | host.high, n.low | host.low }) < 0)
            return memory_is_short(err);
    }
    set->count++;
    return 0;
}

/* "10.0.0.0/8", "192.0.2.1", "::ffff:10.0.0.0/104". */
static int
add_network(struct prefix_set *set, struct slice text, struct err *err)
{
    ptrdiff_t slash = slice_find(text, '/');
    struct slice address = text;
    uint64_t length, longest;
    bool is_mapped;
    struct ip ip;

    if (slash >= 0)
        address.bytes = (size_t)slash;
    if (!ip_parse(address, &ip))
        return err_set(err,
                       "\"%.*s\" is not a network; write \"10.0.0.0/8\", \"2001:db8::/32\", an "
                       "address, or one of any, loopback, private, link-local, multicast, special",
                       SLICE_ARG(text));
    is_mapped = ip.family == 4 && slice_find(address, ':') >= 0;
    longest = ip.family == 4 && !is_mapped ? 32 : 128;
    length = longest;
    if (slash >= 0 && !slice_to_u64(slice_skip(text, (size_t)slash + 1), longest, &length))
        return err_set(err, "\"%.*s\" wants a prefix length of 0..%u behind the slash",
                       SLICE_ARG(text), (unsigned)longest);
    if (is_mapped && length < 96)
        return err_set(err, "\"%.*s\" reaches beyond the IPv4-mapped addresses; write IPv4 and "
                       "IPv6 networks apart", SLICE_ARG(text));
    return add_prefix(set, &ip, (unsigned)(is_mapped ? length - 96 : length), text, err);
}

/* ---- named groups */

static const char *const any[] = { "0.0.0.0/0", "::/0", NULL };
static const char *const loopback[] = { "127.0.0.0/8", "::1/128", NULL };
static const char *const private[] = {
    "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", /* RFC 1918 */
    "100.64.0.0/10",                                 /* shared space: RFC 6598 */
    "fc00::/7",                                      /* unique local: RFC 4193 */
    NULL,
};
static const char *const link_local[] = { "169.254.0.0/16", "fe80::/10", NULL };
static const char *const multicast[] = { "224.0.0.0/4", "ff00::/8", NULL };

/* IPv4: the IANA special-purpose registry (RFC 6890 and successors) without
 * its globally reachable rows for AS112 and AMT, which are plain hosts. */
static const char *const special4[] = {
    "0.0.0.0/8",          /* "this network": Linux takes 0.0.0.0 for loopback */
    "10.0.0.0/8",         /* private: RFC 1918 */
    "100.64.0.0/10",      /* shared space: RFC 6598 */
    "127.0.0.0/8",        /* loopback */
    "168.63.129.16/32",   /* Azure's metadata and wire server, public by number only */
    "169.254.0.0/16",     /* link-local, cloud metadata: RFC 3927 */
    "172.16.0.0/12",      /* private: RFC 1918 */
    "192.0.0.0/24",       /* protocol assignments, with the anycasts of PCP and TURN: RFC 6890 */
    "192.0.2.0/24",       /* documentation: RFC 5737 */
    "192.88.99.0/24",     /* 6to4 relays, deprecated: RFC 7526 */
    "192.168.0.0/16",     /* private: RFC 1918 */
    "198.18.0.0/15",      /* benchmarking: RFC 2544 */
    "198.51.100.0/24",    /* documentation: RFC 5737 */
    "203.0.113.0/24",     /* documentation: RFC 5737 */
    "224.0.0.0/4",        /* multicast: RFC 5771 */
    "240.0.0.0/4",        /* reserved, and limited broadcast: RFC 1112, RFC 919 */
    NULL,
};

/* IPv6: global unicast is 2000::/3 and nothing else (IANA IPv6 address space,
 * RFC 4291 section 2.4), so all the rest is special but for the NAT64 prefix;
 * within 2000::/3 the rows of the special-purpose registry. AMT (2001:3::/32)
 * and AS112 (2001:4:112::/48) are plain hosts; Teredo (2001::/32) and 6to4
 * (2002::/16) are judged by the IPv4 address inside. */
static const struct {
    const char *first, *last;
} special6[] = {
    /* ::, ::1, IPv4-compatible, and what lies below NAT64 */
    { "::", "64:ff9a:ffff:ffff:ffff:ffff:ffff:ffff" },
    /* behind 64:ff9b::/96: local NAT64 64:ff9b:1::/48 (RFC 8215), discard
     * only 100::/64 (RFC 6666), dummy 100:0:0:1::/64 (RFC 9780), the rest
     * reserved */
    { "64:ff9b::1:0:0", "1fff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
    /* anycasts of PCP, TURN and DNS-SD in 2001:1::/32, benchmarking
     * 2001:2::/48 (RFC 5180) */
    { "2001:1::", "2001:2:ffff:ffff:ffff:ffff:ffff:ffff" },
    /* the rest of the protocol assignments 2001::/23 (RFC 2928): ORCHID,
     * ORCHIDv2 and drone identifiers, none of which is routed */
    { "2001:4::", "2001:4:111:ffff:ffff:ffff:ffff:ffff" },
    { "2001:4:113::", "2001:1ff:ffff:ffff:ffff:ffff:ffff:ffff" },
    /* documentation: RFC 3849, RFC 9637 */
    { "2001:db8::", "2001:db8:ffff:ffff:ffff:ffff:ffff:ffff" },
    { "3fff::", "3fff:fff:ffff:ffff:ffff:ffff:ffff:ffff" },
    /* segment routing 5f00::/16 (RFC 9602), unique local fc00::/7 (with cloud
     * metadata fd00:ec2::254), link-local fe80::/10, site-local fec0::/10
     * (RFC 3879), multicast ff00::/8, the rest reserved */
    { "4000::", "ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff" },
};

static int
add_all(struct prefix_set *set, const char *const *networks, struct err *err)
{
    for (; *networks != NULL; networks++)
        if (add_network(set, slice_of(*networks), err) < 0)
            return -1;
    return 0;
}

static int
add_special(struct prefix_set *set, struct err *err)
{
    for (size_t i = 0; i < ARRAY_COUNT(special6); i++) {
        struct ip first, last;

        must(ip_parse(slice_of(special6[i].first), &first));
        must(ip_parse(slice_of(special6[i].last), &last));
        if (add_range6(set, number6(first.bytes), number6(last.bytes)) < 0)
            return memory_is_short(err);
        set->count++;
    }
    return add_all(set, special4, err);
}

static const struct {
    const char *name;
    const char *const *networks; /* NULL: special */
} named[] = {
    { "any", any },
    { "loopback", loopback },
    { "private", private },
    { "link-local", link_local },
    { "multicast", multicast },
    { "special", NULL },
};

int
prefix_set_add(struct prefix_set *set, struct slice text, struct err *err)
{
    for (size_t i = 0; i < ARRAY_COUNT(named); i++) {
        if (!slice_equal(text, slice_of(named[i].name)))
            continue;
        return named[i].networks != NULL ? add_all(set, named[i].networks, err)
                                         : add_special(set, err);
    }
    return add_network(set, text, err);
}

static int
compare4(const void *a, const void *b)
{
    const struct range4 *x = a, *y = b;

    return (x->first > y->first) - (x->first < y->first);
}

static int
compare6(const void *a, const void *b)
{
    const struct range6 *x = a, *y = b;

    return not_after(x->first, y->first) ? -(int)!not_after(y->first, x->first) : 1;
}

static void
seal4(struct prefix_set *set)
{
    size_t kept = 0;

    if (set->v4_count == 0)
        return;
    qsort(set->v4, set->v4_count, sizeof(*set->v4), compare4);
    for (size_t i = 1; i < set->v4_count; i++) {
        struct range4 *last = &set->v4[kept], next = set->v4[i];

        if (next.first > last->last)
            set->v4[++kept] = next;
        else if (next.last > last->last)
            last->last = next.last;
    }
    set->v4_count = kept + 1;
}

static void
seal6(struct prefix_set *set)
{
    size_t kept = 0;

    if (set->v6_count == 0)
        return;
    qsort(set->v6, set->v6_count, sizeof(*set->v6), compare6);
    for (size_t i = 1; i < set->v6_count; i++) {
        struct range6 *last = &set->v6[kept], next = set->v6[i];

        if (!not_after(next.first, last->last))
            set->v6[++kept] = next;
        else if (!not_after(next.last, last->last))
            last->last = next.last;
    }
    set->v6_count = kept + 1;
}

void
prefix_set_seal(struct prefix_set *set)
{
    if (!set->is_unsealed)
        return;
    seal4(set);
    seal6(set);
    set->is_unsealed = false;
}

bool
prefix_set_range(const struct prefix_set *set, size_t i, struct ip *first, struct ip *last)
{
    if (set == NULL || i >= set->v4_count + set->v6_count)
        return false;
    *first = *last = (struct ip){ .family = i < set->v4_count ? 4 : 6 };
    if (first->family == 4) {
        const uint32_t ends[] = { htobe32(set->v4[i].first), htobe32(set->v4[i].last) };

        memcpy(first->bytes, &ends[0], sizeof(ends[0]));
        memcpy(last->bytes, &ends[1], sizeof(ends[1]));
    } else {
        bytes_of_number6(set->v6[i - set->v4_count].first, first->bytes);
        bytes_of_number6(set->v6[i - set->v4_count].last, last->bytes);
    }
    return true;
}

static void *
copy_items(struct arena *arena, const void *items, size_t bytes)
{
    void *copy = bytes > 0 ? arena_alloc(arena, bytes) : NULL;

    return copy != NULL ? memcpy(copy, items, bytes) : NULL;
}

struct prefix_set *
prefix_set_pack(struct prefix_set *set, struct arena *arena)
{
    struct prefix_set *copy = prefix_set_new(arena);

    if (copy == NULL)
        return NULL;
    prefix_set_seal(set);
    *copy = *set;
    copy->arena = arena;
    copy->v4_room = set->v4_count;
    copy->v6_room = set->v6_count;
    copy->v4 = copy_items(arena, set->v4, set->v4_count * sizeof(*set->v4));
    copy->v6 = copy_items(arena, set->v6, set->v6_count * sizeof(*set->v6));
    return arena_is_spent(arena) ? NULL : copy;
}

size_t
prefix_set_count(const struct prefix_set *set)
{
    return set->count;
}

uint64_t
prefix_set_digest(const struct prefix_set *set)
{
    struct hash_key key = { { 0, 0 } };

    if (set == NULL || (set->v4_count == 0 && set->v6_count == 0))
        return 0;
    must(!set->is_unsealed);
    key.half[0] = hash_bytes(slice_make((const char *)set->v4,
                                        set->v4_count * sizeof(*set->v4)), &key);
    return hash_bytes(slice_make((const char *)set->v6, set->v6_count * sizeof(*set->v6)), &key);
}

/* ---- asking */

static bool
has4(const struct prefix_set *set, uint32_t n)
{
    const struct range4 *at = set->v4;
    size_t count = set->v4_count;

    if (unlikely(set->is_unsealed)) {
        for (size_t i = 0; i < count; i++)
            if (at[i].first <= n && n <= at[i].last)
                return true;
        return false;
    }
    if (count == 0)
        return false;
    while (count > 1) {
        size_t half = count / 2;

        at += at[half].first <= n ? half : 0;
        count -= half;
    }
    return at->first <= n && n <= at->last;
}

static bool
has6(const struct prefix_set *set, struct ip6 n)
{
    const struct range6 *at = set->v6;
    size_t count = set->v6_count;

    if (unlikely(set->is_unsealed)) {
        for (size_t i = 0; i < count; i++)
            if (not_after(at[i].first, n) && not_after(n, at[i].last))
                return true;
        return false;
    }
    if (count == 0)
        return false;
    while (count > 1) {
        size_t half = count / 2;

        at += not_after(at[half].first, n) ? half : 0;
        count -= half;
    }
    return not_after(at->first, n) && not_after(n, at->last);
}

bool
prefix_set_has(const struct prefix_set *set, const struct ip *ip)
{
    if (set == NULL)
        return false;
    if (ip->family == 4)
        return has4(set, number4(ip->bytes));
    return ip->family == 6 && has6(set, number6(ip->bytes));
}

/* Where an IPv6 address under a prefix keeps the four bytes of an IPv4 one. */
struct embedding {
    uint8_t prefix[16];
    uint8_t prefix_bytes; /* compared, from byte `from` on */
    uint8_t from;
    uint8_t at[4];
    uint8_t mask; /* the bytes are stored exclusive-or this */
};

static const struct embedding embeddings[] = {
    /* IPv4-compatible: RFC 4291 section 2.5.5.1 */
    { { 0 }, 12, 0, { 12, 13, 14, 15 }, 0 },
    /* IPv4-translated ::ffff:0:0:0/96: RFC 2765 section 2.1 */
    { { [8] = 0xff, 0xff }, 12, 0, { 12, 13, 14, 15 }, 0 },
    /* NAT64, the well-known prefix: RFC 6052 section 2.1 */
    { { 0x00, 0x64, 0xff, 0x9b }, 12, 0, { 12, 13, 14, 15 }, 0 },
    /* NAT64 of the site's own (RFC 8215): any layout of RFC 6052 section 2.2
     * whose prefix fits, /96, /64, /56, /48 */
    { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 6, 0, { 12, 13, 14, 15 }, 0 },
    { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 6, 0, { 9, 10, 11, 12 }, 0 },
    { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 6, 0, { 7, 9, 10, 11 }, 0 },
    { { 0x00, 0x64, 0xff, 0x9b, 0x00, 0x01 }, 6, 0, { 6, 7, 9, 10 }, 0 },
    /* 6to4: RFC 3056 section 2 */
    { { 0x20, 0x02 }, 2, 0, { 2, 3, 4, 5 }, 0 },
    /* Teredo: the server, and the client with its bits turned over (RFC 4380
     * section 4) */
    { { 0x20, 0x01, 0x00, 0x00 }, 4, 0, { 4, 5, 6, 7 }, 0 },
    { { 0x20, 0x01, 0x00, 0x00 }, 4, 0, { 12, 13, 14, 15 }, 0xff },
    /* ISATAP interface identifiers, local and global: RFC 5214 section 6.1 */
    { { [8] = 0x00, 0x00, 0x5e, 0xfe }, 4, 8, { 12, 13, 14, 15 }, 0 },
    { { [8] = 0x02, 0x00, 0x5e, 0xfe }, 4, 8, { 12, 13, 14, 15 }, 0 },
};

bool
prefix_set_has_embedded(const struct prefix_set *set, const struct ip *ip)
{
    if (prefix_set_has(set, ip))
        return true;
    if (set == NULL || ip->family != 6)
        return false;
    for (size_t i = 0; i < ARRAY_COUNT(embeddings); i++) {
        const struct embedding *e = &embeddings[i];
        uint8_t inner[4];

        if (memcmp(ip->bytes + e->from, e->prefix + e->from, e->prefix_bytes) != 0)
            continue;
        for (int j = 0; j < 4; j++)
            inner[j] = ip->bytes[e->at[j]] ^ e->mask;
        if (has4(set, number4(inner)))
            return true;
    }
    return false;
}
