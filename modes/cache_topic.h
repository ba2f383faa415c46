/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_topic.h - what commands ask of the cache (server/admin/topic.h).
 *
 *     cache [json]                               all stores and sites, in numbers
 *     cache TAB get TAB FORM TAB URL [TAB FIELD] what is stored under a URL (cache_get.c);
 *                                                FORM: text or json
 *     cache TAB purge TAB hard|soft TAB STORE TAB KIND TAB TEXT [TAB TEXT]
 *                                                (cache_purge.c)
 */
#ifndef BASCULE_CACHE_TOPIC_H
#define BASCULE_CACHE_TOPIC_H

#include "server/admin/topic.h"

extern const struct topic cache_topic;

/* Words of a request, as tabs separate them. */
#define CACHE_WORDS_MAX 40

struct cache_words {
    struct slice items[CACHE_WORDS_MAX];
    unsigned count;
};

/* Both answer under ticket, now or later. */
void cache_purge(const struct topic_home *home, uint64_t ticket,
                   const struct cache_words *words);
void cache_get(const struct topic_home *home, uint64_t ticket, const struct cache_words *words);

/* Requests of the kind that are not answered yet. */
unsigned cache_purge_count(void);
unsigned cache_get_count(void);

/* Answers at once with "TEXT LF". */
void cache_refuse(const struct topic_home *home, uint64_t ticket, const char *text);

#endif
