/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_get.c - `bascule cache get`: what is stored under a URL, and what would
 * become of a request for it.
 *
 *     places by URL --> primary objects --(some are told apart)--> variants
 *
 * Objects are looked for by their keys, in memory and then on disk, one after the
 * other. Nothing is searched through; so of variants only those are found whose
 * request fields are given or are common.
 */
#include "config.h"

#include "modes/cache_topic.h"

#include "cache/cache_conf.h"
#include "cache/store.h"
#include "modes/cache_sheet.h"
#include "modes/cached.h"
#include "modes/keep.h"
#include "server/admin/status.h"
#include "server/snapshot.h"

#include <stdio.h>
#include <stdlib.h>

#define ARENA_BYTES (1u << 20)
#define TARGETS_MAX 128

enum { WORD_FORM = 2, WORD_URL, WORD_FIELD };

/* An object that may be there. */
struct target {
    const struct cache_place *place;
    struct slice key;
    struct slice encoding; /* of a variant: Accept-Encoding; data NULL: as was given */
};

struct get {
    struct topic_home home;
    uint64_t ticket;
    struct snapshot *snapshot;
    struct exchange ex; /* thought of; its arena is that of all this */
    struct cache_sheet sheet;
    char *text;
    size_t text_bytes;
    struct cache_place places[CACHE_PLACES_MAX];
    unsigned place_count;
    struct target targets[TARGETS_MAX];
    unsigned target_count, at;
    struct disk_query query;
};

static unsigned get_count;

static void
free_get(struct get *get)
{
    if (get->sheet.out != NULL)
        fclose(get->sheet.out);
    free(get->text);
    snapshot_unref(get->snapshot);
    arena_fini(&get->ex.arena);
    free(get);
    get_count--;
}

/* ---- variants */

static void
add_target(struct get *get, const struct cache_place *place, struct slice key,
           struct slice encoding)
{
    if (key.bytes == 0 || get->target_count == TARGETS_MAX)
        return;
    for (unsigned i = 0; i < get->target_count; i++)
        if (get->targets[i].place->conf->store == place->conf->store &&
            slice_equal(get->targets[i].key, key))
            return;
    get->targets[get->target_count++] = (struct target){ place, key, encoding };
}

static void
add_variant(struct get *get, const struct cache_place *place, const struct object *primary,
            const struct fields *fields, struct slice encoding)
{
    struct arena *arena = &get->ex.arena;
    struct cached cached = { .conf = place->conf, .key = place->key };

    add_target(get, place,
               keep_variant_key(arena, &cached, arena_copy(arena, primary->vary),
                                primary->generation, fields), encoding);
}

/* All that a request can say about codings, as far as it matters. */
static void
add_encodings(struct get *get, const struct cache_place *place, const struct object *primary)
{
    static const struct slice encodings[] = {
        SLICE_INIT("identity"), SLICE_INIT("gzip"),     SLICE_INIT("br"),
        SLICE_INIT("br, gzip"), SLICE_INIT("zstd"),     SLICE_INIT("br, zstd"),
        SLICE_INIT("zstd, gzip"), SLICE_INIT("br, zstd, gzip"),
    };

    for (size_t i = 0; i < ARRAY_COUNT(encodings); i++) {
        struct fields *fields = fields_copy(&get->ex.request.fields, &get->ex.arena);

        if (fields == NULL)
            return;
        fields_add(fields, &get->ex.arena, FIELD_ACCEPT_ENCODING, encodings[i]);
        add_variant(get, place, primary, fields, encodings[i]);
    }
}

static void
add_variants(struct get *get, const struct cache_place *place, const struct object *primary)
{
    const struct fields *given = &get->ex.request.fields;

    add_variant(get, place, primary, given, slice_make(NULL, 0));
    if (!fields_has(given, FIELD_ACCEPT_ENCODING) &&
        slice_list_has(primary->vary, SLICE("accept-encoding")))
        add_encodings(get, place, primary);
}

/* ---- looking */

static void go_on(struct get *get);

static void
found(struct get *get, struct object *object, bool is_in_memory)
{
    const struct target *target = &get->targets[get->at++];

    if (object == NULL)
        return;
    cache_sheet_object(&get->sheet, target->place, target->encoding, object, is_in_memory);
    if (object->kind == OBJECT_VARIANTS)
        add_variants(get, target->place, object);
    object_unref(object);
}

static void
on_found(struct disk_query *query)
{
    struct get *get = container_of(query, struct get, query);

    found(get, query->found, false);
    go_on(get);
}

/* True: on_found will be called. */
static bool
ask_disk(struct get *get, const struct target *target, uint64_t hash)
{
    get->query = (struct disk_query){
        .home = get->home.loop,
        .hash = hash,
        .key = target->key,
        .body_room = 0,
        .on_found = on_found,
    };
    return store_ask(target->place->conf->store->store, &get->query);
}

static void
put_places(struct get *get)
{
    for (unsigned i = 0; i < get->place_count; i++) {
        const struct cache_conf *conf = get->places[i].conf;
        struct disk *disk = store_disk(conf->store->store);
        bool is_loading = disk != NULL && disk_state(disk) == DISK_LOADING;

        if (!get->sheet.is_json) {
            fprintf(get->sheet.out, "  nothing in store %s for site %s%s\n", conf->store->name,
                    get->places[i].site,
                    is_loading ? " (its index is being loaded: ask again)" : "");
            continue;
        }
        fprintf(get->sheet.out, "%s{\"store\":", i > 0 ? "," : "");
        status_json_string(get->sheet.out, conf->store->name);
        fprintf(get->sheet.out, ",\"site\":");
        status_json_string(get->sheet.out, get->places[i].site);
        fprintf(get->sheet.out, ",\"loading\":%s}", is_loading ? "true" : "false");
    }
}

static void
finish(struct get *get)
{
    const struct topic_home *home = &get->home;
    FILE *out = get->sheet.out;
    char *text;

    if (get->sheet.is_json) {
        fprintf(out, "],\"places\":[");
        put_places(get);
        fprintf(out, "]}\n");
    } else if (get->place_count == 0) {
        fprintf(out, "  no cache: no site and no forward listener that is cached takes it\n");
    } else if (get->sheet.count == 0) {
        put_places(get);
    }
    get->sheet.out = NULL;
    fclose(out);
    text = get->text;
    get->text = NULL;
    home->answer(home->arg, get->ticket, true, text, get->text_bytes);
    free_get(get);
}

static void
go_on(struct get *get)
{
    while (get->at < get->target_count) {
        const struct target *target = &get->targets[get->at];
        struct store *store = target->place->conf->store->store;
        uint64_t hash = store_hash(store, target->key);
        struct object *object = store_find(store, hash, target->key);

        if (object == NULL && ask_disk(get, target, hash))
            return;
        found(get, object, true);
    }
    finish(get);
}

/* ---- beginning */

/* "Name: value". */
static int
add_field(struct get *get, struct slice line, struct err *err)
{
    struct arena *arena = &get->ex.arena;
    ptrdiff_t colon = slice_find(line, ':');

    if (colon <= 0)
        return err_set(err, "\"%.*s\" is not a field: \"Accept-Encoding: gzip\" is one",
                       SLICE_ARG(line));
    fields_add_name(&get->ex.request.fields, arena,
                    arena_copy(arena, slice_make(line.data, (size_t)colon)),
                    arena_copy(arena, slice_trim(slice_skip(line, (size_t)colon + 1))));
    return 0;
}

static int
read_request(struct get *get, const struct cache_words *words, struct err *err)
{
    struct public_url url;
    struct arena *arena = &get->ex.arena;

    if (words->count <= WORD_URL)
        return err_set(err, "which URL?");
    get->sheet.is_json = slice_equal(words->items[WORD_FORM], SLICE("json"));
    if (public_url_parse(&url, arena, arena_copy(arena, words->items[WORD_URL]), err) < 0)
        return -1;
    cache_places_think(&get->ex, &url);
    for (unsigned i = WORD_FIELD; i < words->count; i++)
        if (add_field(get, words->items[i], err) < 0)
            return -1;
    get->place_count = cache_places_find(&get->ex, &get->snapshot->conf, get->places);
    for (unsigned i = 0; i < get->place_count; i++)
        add_target(get, &get->places[i], get->places[i].key, slice_make(NULL, 0));
    if (get->sheet.is_json)
        fprintf(get->sheet.out, "{\"url\":");
    cache_sheet_value(&get->sheet, public_url_text(arena, &url));
    fprintf(get->sheet.out, get->sheet.is_json ? ",\"objects\":[" : "\n");
    return arena_is_spent(arena) ? err_set(err, "out of memory") : 0;
}

static struct get *
new_get(const struct topic_home *home, uint64_t ticket)
{
    struct get *get = calloc(1, sizeof(*get));

    if (get == NULL)
        return NULL;
    get->home = *home;
    get->ticket = ticket;
    get->snapshot = snapshot_ref(home->snapshot);
    arena_init(&get->ex.arena, NULL, ARENA_BYTES);
    get->sheet.arena = &get->ex.arena;
    get->sheet.out = open_memstream(&get->text, &get->text_bytes);
    get_count++;
    return get;
}

void
cache_get(const struct topic_home *home, uint64_t ticket, const struct cache_words *words)
{
    struct get *get = new_get(home, ticket);
    struct err err = { "out of memory" };

    if (get == NULL) {
        cache_refuse(home, ticket, err.text);
        return;
    }
    if (get->sheet.out == NULL || read_request(get, words, &err) < 0) {
        cache_refuse(home, ticket, err.text);
        free_get(get);
        return;
    }
    go_on(get);
}

unsigned
cache_get_count(void)
{
    return get_count;
}
