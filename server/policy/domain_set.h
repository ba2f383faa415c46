/* SPDX-License-Identifier: BSD-2-Clause */
/* domain_set.h - a set of domains, asked "is this host one of them, or below one?".
 *
 * Names are in lower case, without a dot at the end. They are not kept, only keyed
 * fingerprints of them (fingerprint_set.h). A question reads each byte of the host
 * once, from the right, and no more of it than a name in the set could have: the
 * host may be long and have any number of labels.
 *
 * Built by one thread, then read-only.
 */
#ifndef BASCULE_DOMAIN_SET_H
#define BASCULE_DOMAIN_SET_H

#include "server/policy/fingerprint_set.h"

#define DOMAIN_BYTES_MAX 253u /* RFC 1035 section 2.3.4, without the root */
#define LABEL_BYTES_MAX 63u
#define LABELS_MAX 127u

/* Embedded. Private. */
struct domain_set {
    struct hash_key key;
    struct fingerprint_set names;
    uint64_t depths[2]; /* bit n: some name has n labels */
    unsigned deepest;
};

void domain_set_init(struct domain_set *set);
void domain_set_fini(struct domain_set *set);

/* Adds a name that is one of DNS (domain_is_good()). With unless_covered, not when
 * a domain above it is there. 1: it is new; 0: nothing was to be added; -1: memory is
 * short. */
int domain_set_add(struct domain_set *set, struct slice name, bool unless_covered);

/* Labels of the longest name in the set that is the host or a domain above it; 0:
 * none is. domain, unless NULL, becomes that part of host. A dot at the end of
 * host does not count. */
unsigned domain_set_find(const struct domain_set *set, struct slice host, struct slice *domain);

/* Letters in lower case, digits, '-' and '_' in labels of 1 to 63, 253 in all. */
bool domain_is_good(struct slice name);

static inline size_t
domain_set_count(const struct domain_set *set)
{
    return set->names.count;
}

static inline size_t
domain_set_bytes(const struct domain_set *set)
{
    return fingerprint_set_bytes(&set->names);
}

#endif
