/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_purge.c - `bascule purge`: what an operator wants gone, everywhere it may be. */
#include "config.h"

#include "modes/cache_topic.h"

#include "cache/cache_conf.h"
#include "cache/store.h"
#include "modes/keep.h"
#include "modes/mode.h"
#include "modes/purge_places.h"
#include "server/host_map.h"
#include "server/snapshot.h"

#include <stdio.h>
#include <stdlib.h>

#define ARENA_BYTES (256u * 1024)

enum { WORD_SOFT = 2, WORD_STORE, WORD_KIND, WORD_TEXT, WORD_TAG };

static const char *const kind_words[] = {
    [PURGE_URL] = "url", [PURGE_TAG] = "tag", [PURGE_SITE] = "site", [PURGE_PREFIX] = "prefix",
};

/* A purge that is being written down; its snapshot keeps the stores. */
struct command {
    struct topic_home home;
    uint64_t ticket;
    struct arena arena;
    struct snapshot *snapshot;
    struct purge_job *job;
    struct purge_wish wish;
    struct public_url url;
    struct slice text; /* as given: for the answer */
};

static unsigned command_count;

static void
free_command(struct command *command)
{
    purge_job_free(command->job);
    snapshot_unref(command->snapshot);
    arena_fini(&command->arena);
    free(command);
    command_count--;
}

/* ---- what it is about */

static int
find_kind(struct slice word, enum purge_kind *kind, struct err *err)
{
    for (size_t i = 0; i < ARRAY_COUNT(kind_words); i++)
        if (slice_equal(word, slice_of(kind_words[i]))) {
            *kind = (enum purge_kind)i;
            return 0;
        }
    return err_set(err, "nothing is known to be purged by %.*s", SLICE_ARG(word));
}

static int
find_store(struct command *command, struct slice name, struct err *err)
{
    const struct config_list *stores = &command->snapshot->conf.stores;
    struct nearest nearest;

    if (stores->count == 0)
        return err_set(err, "no store is configured: nothing is cached");
    if (name.bytes == 0)
        return 0;
    nearest_init(&nearest, name);
    for (size_t i = 0; i < stores->count; i++) {
        const struct store_conf *store = stores->items[i];

        nearest_offer(&nearest, store->name);
        if (slice_equal(name, slice_of(store->name))) {
            command->wish.only = store;
            return 0;
        }
    }
    err_set(err, "there is no store \"%.*s\"", SLICE_ARG(name));
    nearest_hint(&nearest, err);
    return -1;
}

/* A misspelt name would purge nothing and look as if it had. */
static int
check_site(const struct conf *conf, struct slice name, struct err *err)
{
    struct nearest nearest;

    nearest_init(&nearest, name);
    for (size_t i = 0; i < conf->sites.count; i++) {
        const struct site_conf *site = conf->sites.items[i];

        nearest_offer(&nearest, site->name);
        if (slice_equal(name, slice_of(site->name)))
            return 0;
    }
    for (size_t i = 0; i < conf->listeners.count; i++) {
        const struct listener_conf *listener = conf->listeners.items[i];

        if (listener->cache.store == NULL)
            continue;
        nearest_offer(&nearest, listener->name);
        if (slice_equal(name, slice_of(listener->name)))
            return 0;
    }
    err_set(err, "there is no site \"%.*s\", nor a forward listener with a cache", SLICE_ARG(name));
    nearest_hint(&nearest, err);
    return -1;
}

static int
read_what(struct command *command, const struct cache_words *words, struct err *err)
{
    struct slice text = words->items[WORD_TEXT];

    command->text = arena_copy(&command->arena, text);
    switch (command->wish.kind) {
    case PURGE_URL:
    case PURGE_PREFIX:
        command->wish.url = &command->url;
        return public_url_parse(&command->url, &command->arena, command->text, err);
    case PURGE_TAG:
        if (words->count <= WORD_TAG || words->items[WORD_TAG].bytes == 0)
            return err_set(err, "a tag is one of a site: its name is to be given too");
        command->wish.text = keep_tag_text(&command->arena, text, words->items[WORD_TAG]);
        command->text = arena_printf(&command->arena, "%.*s of %.*s",
                                     SLICE_ARG(words->items[WORD_TAG]), SLICE_ARG(text));
        break;
    case PURGE_SITE:
        command->wish.text = command->text;
        break;
    }
    return check_site(&command->snapshot->conf, text, err);
}

static int
read_command(struct command *command, const struct cache_words *words, struct err *err)
{
    if (words->count <= WORD_TEXT)
        return err_set(err, "what is to be purged?");
    command->wish.is_soft = slice_equal(words->items[WORD_SOFT], SLICE("soft"));
    if (find_store(command, words->items[WORD_STORE], err) < 0 ||
        find_kind(words->items[WORD_KIND], &command->wish.kind, err) < 0)
        return -1;
    return read_what(command, words, err);
}

/* ---- purges */

/* What the rules of a listener, or of its site of that name, make of the URL. */
static void
add_listener(struct command *command, const struct listener_conf *listener)
{
    const struct site_conf *site = NULL;

    purge_listener(command->job, &command->arena, listener, &command->wish);
    if (listener->sites != NULL)
        site = host_map_find(listener->sites, command->url.host);
    if (site != NULL)
        purge_site(command->job, &command->arena, site, &command->wish);
}

static void
add_all(struct command *command)
{
    const struct conf *conf = &command->snapshot->conf;

    for (size_t i = 0; i < conf->stores.count; i++)
        purge_store(command->job, &command->arena, conf->stores.items[i], &command->wish);
    for (size_t i = 0; command->wish.kind == PURGE_URL && i < conf->listeners.count; i++)
        add_listener(command, conf->listeners.items[i]);
}

/* ---- the answer */

static void
answer(struct command *command)
{
    const struct topic_home *home = &command->home;
    char *text = NULL;
    int bytes;

    if (purge_job_is_good(command->job)) {
        bytes = asprintf(&text, "purged%s: %s %.*s\n", command->wish.is_soft ? ", softly" : "",
                         kind_words[command->wish.kind], SLICE_ARG(command->text));
        home->answer(home->arg, command->ticket, true, bytes < 0 ? NULL : text,
                     bytes < 0 ? 0 : (size_t)bytes);
    } else {
        cache_refuse(home, command->ticket, command->job->err.text);
    }
    free_command(command);
}

static void
on_done(struct purge_job *job)
{
    answer(job->arg);
}

static struct command *
new_command(const struct topic_home *home, uint64_t ticket)
{
    struct command *command = calloc(1, sizeof(*command));

    if (command == NULL)
        return NULL;
    command->home = *home;
    command->ticket = ticket;
    command->snapshot = snapshot_ref(home->snapshot);
    arena_init(&command->arena, NULL, ARENA_BYTES);
    command->job = purge_job_new(home->loop, on_done, command);
    command_count++;
    return command;
}

void
cache_purge(const struct topic_home *home, uint64_t ticket, const struct cache_words *words)
{
    struct command *command = new_command(home, ticket);
    struct err err = { "out of memory" };

    if (command == NULL) {
        cache_refuse(home, ticket, err.text);
        return;
    }
    if (command->job == NULL || read_command(command, words, &err) < 0) {
        cache_refuse(home, ticket, err.text);
        free_command(command);
        return;
    }
    add_all(command);
    if (arena_is_spent(&command->arena))
        command->job->is_short = true;
    if (!purge_job_start(command->job))
        answer(command);
}

unsigned
cache_purge_count(void)
{
    return command_count;
}
