/* SPDX-License-Identifier: BSD-2-Clause */
/* cache_sheet.c - what there is to say of a stored object. */
#include "config.h"

#include "modes/cache_sheet.h"

#include "cache/cache_conf.h"
#include "cache/part.h"
#include "cache/store.h"
#include "cache/validate.h"
#include "server/admin/status.h"
#include "server/base/clock.h"

#include <inttypes.h>

#define SLICES_MAX 10000u /* counted, of one object */

/* ---- names with values */

static void
put_name(struct cache_sheet *sheet, const char *name)
{
    if (sheet->is_json)
        fprintf(sheet->out, "%s\"%s\":", sheet->is_in_list ? "," : "", name);
    else
        fprintf(sheet->out, "    %-11s ", name);
    sheet->is_in_list = true;
}

/* Text may come from origins: terminals are kept safe from it. */
void
cache_sheet_value(struct cache_sheet *sheet, struct slice text)
{
    char *copy = (char *)arena_copy(sheet->arena, text).data;

    if (copy == NULL || arena_is_spent(sheet->arena)) {
        fprintf(sheet->out, "\"\"");
        return;
    }
    if (sheet->is_json) {
        status_json_string(sheet->out, copy);
        return;
    }
    for (size_t i = 0; i < text.bytes; i++)
        if ((unsigned char)copy[i] < ' ' || (unsigned char)copy[i] >= 0x7f)
            copy[i] = '?';
    fputs(copy, sheet->out);
}

static void
put_text(struct cache_sheet *sheet, const char *name, struct slice text)
{
    put_name(sheet, name);
    cache_sheet_value(sheet, text);
    if (!sheet->is_json)
        fputc('\n', sheet->out);
}

static void
put_number(struct cache_sheet *sheet, const char *name, int64_t number)
{
    put_name(sheet, name);
    fprintf(sheet->out, "%" PRId64 "%s", number, sheet->is_json ? "" : "\n");
}

/* ---- one object */

static const char *
kind_word(const struct object *object)
{
    switch ((enum object_kind)object->kind) {
    case OBJECT_RESPONSE:
        return "response";
    case OBJECT_PARTIAL:
        return "part of a response";
    case OBJECT_VARIANTS:
        return "names of what its variants are told apart by";
    case OBJECT_SLICES:
        return "head of a response in slices";
    case OBJECT_KINDS:
        break;
    }
    return "";
}

static const char *
where_word(struct store *store, const struct object *object, bool is_in_memory)
{
    bool is_on_disk = atomic_load_explicit(&object->on_disk, memory_order_acquire) != NULL ||
                      store_may_have(store, object->hash);

    if (!is_in_memory)
        return "disk";
    return is_on_disk ? "memory and disk" : "memory";
}

static enum staleness
staleness_of(const struct cache_conf *conf, const struct object *object,
             enum purge_verdict verdict, int64_t now)
{
    static const struct directives none;
    uint32_t window = object->life.stale_while_revalidate_s;
    enum staleness staleness = lifetime_staleness(&object->life, &none, &conf->life, now);

    if (staleness != FRESH || verdict != PURGE_SOFT)
        return staleness;
    if (window == WINDOW_UNSAID)
        window = conf->life.stale_while_revalidate_s;
    return window > 0 ? STALE_REVALIDATE_BEHIND : STALE_ON_ERROR;
}

/* What would become of a request without directives of its own. */
static const char *
served_word(const struct cache_conf *conf, const struct object *object,
            enum purge_verdict verdict, int64_t now)
{
    if (verdict == PURGE_HARD)
        return "no: it was purged";
    if (object->life.always_validate)
        return "after asking the origin: no-cache";
    switch (staleness_of(conf, object, verdict, now)) {
    case FRESH:
        return "yes";
    case STALE_REVALIDATE_BEHIND:
        return "yes, stale, while it is validated behind";
    case STALE_ON_ERROR:
        return "after asking the origin; stale when that fails";
    case STALE:
        break;
    }
    return "after asking the origin";
}

static const char *
lifetime_word(const struct lifetime *life)
{
    if (life->is_explicit)
        return "as the origin says";
    return life->is_heuristic ? "guessed from Last-Modified" : "as the configuration says";
}

static const char *
purge_word(enum purge_verdict verdict)
{
    switch (verdict) {
    case PURGE_NONE:
        return "no";
    case PURGE_SOFT:
        return "softly";
    case PURGE_HARD:
        break;
    }
    return "yes";
}

/* How many slices are there: in memory, or by the disk's index. */
static void
put_slices(struct cache_sheet *sheet, struct store *store, const struct object *head)
{
    char *room = arena_alloc(sheet->arena, part_slice_key_bytes(head));
    uint64_t count = 0, last = (head->whole_bytes - 1) / head->slice_bytes;

    for (uint64_t n = 0; room != NULL && n <= last && n < SLICES_MAX; n++) {
        struct slice key = part_slice_key(room, head, n);
        uint64_t hash = store_hash(store, key);
        struct object *object = store_find(store, hash, key);

        count += object != NULL || store_may_have(store, hash);
        object_unref(object);
    }
    put_number(sheet, "slices", (int64_t)count);
}

static void
put_life(struct cache_sheet *sheet, const struct cache_conf *conf, const struct object *object,
         enum purge_verdict verdict)
{
    int64_t now = (int64_t)(clock_wall_coarse_ms() / 1000);
    struct slice etag = validate_etag(&object->fields);

    put_text(sheet, "served", slice_of(served_word(conf, object, verdict, now)));
    put_number(sheet, "status", object->status);
    put_number(sheet, "age_s", lifetime_age(&object->life, now));
    put_number(sheet, "fresh_s", object->life.fresh_s);
    put_number(sheet, "left_s", lifetime_left(&object->life, now));
    put_text(sheet, "lifetime", slice_of(lifetime_word(&object->life)));
    if (etag.data != NULL)
        put_text(sheet, "etag", etag);
    if (object->body_bytes != LENGTH_UNKNOWN)
        put_number(sheet, "bytes", (int64_t)object->body_bytes);
    if (object->kind == OBJECT_PARTIAL)
        put_number(sheet, "first_byte", (int64_t)object->first_byte);
    if (object->kind != OBJECT_RESPONSE && object->whole_bytes != LENGTH_UNKNOWN)
        put_number(sheet, "whole_bytes", (int64_t)object->whole_bytes);
}

void
cache_sheet_object(struct cache_sheet *sheet, const struct cache_place *place,
                   struct slice encoding, struct object *object, bool is_in_memory)
{
    const struct cache_conf *conf = place->conf;
    struct store *store = conf->store->store;
    enum purge_verdict verdict = purges_judge(store_purges(store), object);

    if (sheet->is_json)
        fprintf(sheet->out, "%s{", sheet->count > 0 ? "," : "");
    else
        fprintf(sheet->out, "  %s\n", kind_word(object));
    sheet->is_in_list = false;
    if (sheet->is_json)
        put_text(sheet, "kind", slice_of(kind_word(object)));
    put_text(sheet, "store", slice_of(conf->store->name));
    put_text(sheet, "site", slice_of(place->site));
    put_text(sheet, "where", slice_of(where_word(store, object, is_in_memory)));
    if (object->kind != OBJECT_VARIANTS)
        put_life(sheet, conf, object, verdict);
    if (object->kind == OBJECT_SLICES && object->slice_bytes > 0 &&
        object->whole_bytes != LENGTH_UNKNOWN && object->whole_bytes > 0)
        put_slices(sheet, store, object);
    put_text(sheet, "purged", slice_of(purge_word(verdict)));
    if (object->vary.bytes > 0)
        put_text(sheet, "vary", object->vary);
    if (encoding.data != NULL && object->kind != OBJECT_VARIANTS)
        put_text(sheet, "for", arena_printf(sheet->arena, "accept-encoding: %.*s",
                                          SLICE_ARG(encoding)));
    put_number(sheet, "tags", object->tag_count);
    put_number(sheet, "head_bytes", object->head_bytes);
    put_text(sheet, "key", cache_key_source(object->key));
    put_text(sheet, "key_url", cache_key_url(object->key));
    if (sheet->is_json)
        fprintf(sheet->out, "}");
    sheet->count++;
}
