/* SPDX-License-Identifier: BSD-2-Clause */
/* memory_shard.c - a table with linear hashing (Litwin, "Linear hashing: a new
 * tool for file and table addressing", VLDB 1980): buckets are split one by one,
 * in their order, and `mask` says how far the present round will get.
 */
#include "config.h"

#include "cache/memory_shard.h"

#include <stdlib.h>

#define BUCKETS_MIN 64u

static bool
make_buckets(struct shard *shard, size_t room)
{
    struct object **buckets = realloc(shard->buckets, room * sizeof(struct object *));

    if (buckets == NULL)
        return false;
    shard->buckets = buckets;
    shard->buckets_room = room;
    return true;
}

void
shard_grow(struct shard *shard)
{
    size_t added = shard->buckets_used, bit;
    struct object **from, **to;

    if (added == shard->buckets_room && !make_buckets(shard, added * 2))
        return; /* chains get longer */
    if (added > shard->mask)
        shard->mask = shard->mask * 2 + 1;
    bit = (shard->mask >> 1) + 1;
    from = &shard->buckets[added - bit];
    to = &shard->buckets[added];
    while (*from != NULL) {
        struct object *object = *from;

        if ((object->hash & bit) == 0) {
            from = &object->resident.next;
            continue;
        }
        *from = object->resident.next;
        *to = object;
        to = &object->resident.next;
    }
    *to = NULL;
    shard->buckets_used++;
}

bool
shard_init(struct shard *shard)
{
    for (unsigned queue = 0; queue < QUEUES; queue++)
        list_init(&shard->queues[queue]);
    if (!make_buckets(shard, BUCKETS_MIN))
        return false;
    memset(shard->buckets, 0, BUCKETS_MIN * sizeof(*shard->buckets));
    shard->buckets_used = BUCKETS_MIN;
    shard->mask = BUCKETS_MIN * 2 - 1;
    return true;
}

void
shard_fini(struct shard *shard)
{
    free(shard->buckets);
    shard->buckets = NULL;
    ghosts_fini(&shard->ghosts);
}
