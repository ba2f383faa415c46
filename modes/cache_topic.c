/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_topic.c - takes requests about the cache apart. */
#include "config.h"

#include "modes/cache_topic.h"

#include "cache/cache_page.h"

#include <stdio.h>
#include <stdlib.h>

/* False: there are too many. */
static bool
split(struct cache_words *words, struct slice request)
{
    words->count = 0;
    for (;;) {
        ptrdiff_t tab = slice_find(request, '\t');
        size_t bytes = tab >= 0 ? (size_t)tab : request.bytes;

        if (words->count == CACHE_WORDS_MAX)
            return false;
        words->items[words->count++] = slice_make(request.data, bytes);
        if (tab < 0)
            return true;
        request = slice_skip(request, bytes + 1);
    }
}

static render_fn *
page(struct slice request)
{
    if (slice_equal(request, SLICE("cache")))
        return cache_page_text;
    return slice_equal(request, SLICE("cache json")) ? cache_page_json : NULL;
}

static bool
ask(const struct topic_home *home, uint64_t ticket, struct slice request)
{
    struct cache_words words;

    if (!split(&words, request) || words.count < 2)
        return false;
    if (slice_equal(words.items[1], SLICE("purge")))
        cache_purge(home, ticket, &words);
    else if (slice_equal(words.items[1], SLICE("get")))
        cache_get(home, ticket, &words);
    else
        return false;
    return true;
}

static bool
is_busy(void)
{
    return cache_purge_count() + cache_get_count() > 0;
}

void
cache_refuse(const struct topic_home *home, uint64_t ticket, const char *text)
{
    char *line = NULL;
    int bytes = asprintf(&line, "%s\n", text);

    home->answer(home->arg, ticket, false, bytes < 0 ? NULL : line, bytes < 0 ? 0 : (size_t)bytes);
}

const struct topic cache_topic = {
    .word = "cache",
    .page = page,
    .ask = ask,
    .status_text = cache_page_status,
    .status_json = cache_page_status_json,
    .metrics = cache_page_metrics,
    .is_busy = is_busy,
};
