/* SPDX-License-Identifier: BSD-2-Clause */
/* prefix_set.h - a set of networks, asked "is this address in it?".
 *
 * Built once, then read-only: safe to ask from any thread. IPv4-mapped IPv6
 * addresses are looked up as IPv4, and mapped networks are stored so too.
 */
#ifndef BASCULE_PREFIX_SET_H
#define BASCULE_PREFIX_SET_H

#include "server/base/arena.h"
#include "server/base/err.h"
#include "server/net/address.h"

struct prefix_set;

/* An empty set. Memory comes from arena and ends with it. NULL when spent. */
struct prefix_set *prefix_set_new(struct arena *arena);

/* Adds "10.0.0.0/8", "192.0.2.1", "2001:db8::/32", or a named group:
 *
 *     any          every address
 *     loopback     127.0.0.0/8, ::1
 *     private      RFC 1918, RFC 4193 and the shared space of RFC 6598
 *     link-local   169.254.0.0/16, fe80::/10
 *     multicast    224.0.0.0/4, ff00::/8
 *     special      everything that is not a public unicast destination: the
 *                  above, unspecified, reserved, documentation, benchmarking,
 *                  protocol assignments, cloud metadata. IPv6 transition
 *                  addresses that carry an IPv4 address (NAT64, 6to4, Teredo)
 *                  are left to prefix_set_has_embedded().
 *
 * Bits set beyond the prefix length are an error that names the network
 * meant. Returns 0, or -1 with err. */
int prefix_set_add(struct prefix_set *set, struct slice text, struct err *err);

/* Sorts what was added, so that look-ups are fast; before that they are right
 * but slow. Nothing may be added while other threads ask. */
void prefix_set_seal(struct prefix_set *set);

/* A sealed copy of set in another arena, without the room that set had to grow: for
 * large ones. NULL when the arena is spent. */
struct prefix_set *prefix_set_pack(struct prefix_set *set, struct arena *arena);

/* NULL is an empty set. */
bool prefix_set_has(const struct prefix_set *set, const struct ip *ip);

/* As prefix_set_has(), also when the address carries an IPv4 address of the
 * set inside: IPv4-compatible and IPv4-translated, NAT64 (64:ff9b::/96,
 * 64:ff9b:1::/48 in every layout of RFC 6052), 6to4 (2002::/16), Teredo
 * (2001::/32) and ISATAP. For SSRF guards: for refusing, never for allowing. */
bool prefix_set_has_embedded(const struct prefix_set *set, const struct ip *ip);

/* How many networks were added; members of named groups count each. */
size_t prefix_set_count(const struct prefix_set *set);

/* The i-th range of addresses in a sealed set: none touches another, IPv4 comes before
 * IPv6. False: there are no more. */
bool prefix_set_range(const struct prefix_set *set, size_t i, struct ip *first, struct ip *last);

/* A number for a sealed set: the same for the same networks, in whatever order they
 * were added, at any time; another for other addresses, but for chance. Nobody hostile
 * chooses them. 0: there are none; NULL is an empty set. */
uint64_t prefix_set_digest(const struct prefix_set *set);

#endif
