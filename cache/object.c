/* SPDX-License-Identifier: BSD-2-Clause */
/* object.c - one piece of memory for head and content, and its form on disk.
 *
 * Packed, a head is a fixed part, then its texts and tags in a fixed order:
 *
 *     packed_head | tags | key | url | vary | per field: packed_field, name, value
 *
 * What is read back was checked by a checksum, but is not trusted for that:
 * every length is compared with what is there.
 */
#include "config.h"

#include "cache/object.h"

#include "cache/disk.h"
#include "server/base/must.h"

#include <endian.h>
#include <stdlib.h>

#define PACKED_VERSION 1u
#define FIELDS_MAX 1024u

/* ---- making one */

struct sizes {
    size_t fields, tags, texts; /* bytes */
};

static bool
measure(const struct object_head *head, struct sizes *sizes)
{
    uint32_t count = head->fields != NULL ? head->fields->count : 0;

    if (count > FIELDS_MAX || head->tag_count > OBJECT_TAGS_MAX)
        return false;
    sizes->fields = count * sizeof(struct field);
    sizes->tags = head->tag_count * sizeof(uint64_t);
    sizes->texts = head->key.bytes + head->url.bytes + head->vary.bytes;
    for (uint32_t i = 0; i < count; i++)
        sizes->texts += head->fields->items[i].name.bytes + head->fields->items[i].value.bytes;
    return sizes->texts <= OBJECT_HEAD_MAX;
}

static struct slice
put_text(char **at, struct slice text)
{
    struct slice copy = slice_make(*at, text.bytes);

    *at = mempcpy(*at, text.data != NULL ? text.data : "", text.bytes);
    return copy;
}

static void
put_fields(struct object *object, const struct fields *from, char **at)
{
    struct fields *to = &object->fields;

    *to = *from;
    to->items = (struct field *)(object + 1);
    to->room = from->count;
    for (uint32_t i = 0; i < from->count; i++) {
        to->items[i] = from->items[i];
        to->items[i].name = put_text(at, from->items[i].name);
        to->items[i].value = put_text(at, from->items[i].value);
    }
}

static void
put_head(struct object *object, const struct object_head *head, const struct sizes *sizes)
{
    char *at = (char *)(object + 1) + sizes->fields;

    object->kind = (uint8_t)head->kind;
    object->status = head->status;
    object->site = head->site;
    object->slice_bytes = head->slice_bytes;
    object->hash = head->hash;
    object->seq = head->seq;
    object->generation = head->generation;
    object->life = head->life;
    object->first_byte = head->first_byte;
    object->whole_bytes = head->whole_bytes;
    object->tags = (uint64_t *)(void *)at;
    object->tag_count = head->tag_count;
    if (head->tag_count > 0)
        memcpy(at, head->tags, sizes->tags);
    at += sizes->tags;
    object->key = put_text(&at, head->key);
    object->url = put_text(&at, head->url);
    object->vary = put_text(&at, head->vary);
    if (head->fields != NULL)
        put_fields(object, head->fields, &at);
}

struct object *
object_new(const struct object_head *head, uint64_t body_room)
{
    struct sizes sizes;
    struct object *object;
    size_t head_bytes;

    if (!measure(head, &sizes) || body_room > SIZE_MAX / 2)
        return NULL;
    head_bytes = sizeof(*object) + sizes.fields + sizes.tags + sizes.texts;
    object = malloc(head_bytes + (size_t)body_room);
    if (object == NULL)
        return NULL;
    memset(object, 0, sizeof(*object));
    atomic_init(&object->references, 1);
    list_init(&object->resident.link);
    object->head_bytes = (uint32_t)head_bytes;
    object->body_bytes = body_room;
    object->body = body_room > 0 ? (char *)object + head_bytes : NULL;
    put_head(object, head, &sizes);
    return object;
}

void
object_head_of(const struct object *object, struct object_head *head)
{
    *head = (struct object_head){
        .kind = (enum object_kind)object->kind,
        .status = object->status,
        .site = object->site,
        .hash = object->hash,
        .seq = object->seq,
        .generation = object->generation,
        .key = object->key,
        .life = object->life,
        .fields = &object->fields,
        .vary = object->vary,
        .url = object->url,
        .tags = object->tags,
        .tag_count = object->tag_count,
        .first_byte = object->first_byte,
        .whole_bytes = object->whole_bytes,
        .slice_bytes = object->slice_bytes,
    };
}

struct object *
object_freshened(const struct object *old, const struct object_head *head)
{
    struct disk_body *on_disk = atomic_load_explicit(&old->on_disk, memory_order_acquire);
    struct object *object = object_new(head, old->body != NULL ? old->body_bytes : 0);

    if (object == NULL)
        return NULL;
    object->body_bytes = old->body_bytes;
    if (old->body != NULL)
        memcpy(object->body, old->body, old->body_bytes);
    if (on_disk != NULL)
        atomic_init(&object->on_disk, disk_body_ref(on_disk));
    return object;
}

struct object *
object_ref(struct object *object)
{
    atomic_fetch_add_explicit(&object->references, 1, memory_order_relaxed);
    return object;
}

void
object_unref(struct object *object)
{
    unsigned before;

    if (object == NULL)
        return;
    before = atomic_fetch_sub_explicit(&object->references, 1, memory_order_acq_rel);
    must(before > 0);
    if (before > 1)
        return;
    disk_body_unref(atomic_load_explicit(&object->on_disk, memory_order_relaxed));
    free(object);
}

size_t
object_memory(const struct object *object)
{
    return object->head_bytes + (object->body != NULL ? (size_t)object->body_bytes : 0);
}

/* FNV-1a: names are the operator's own, and an id must be the same for ever. */
uint32_t
object_site_id(struct slice name)
{
    uint32_t id = 2166136261u;

    for (size_t i = 0; i < name.bytes; i++)
        id = (id ^ (unsigned char)name.data[i]) * 16777619u;
    return id != 0 ? id : 1;
}

/* ---- packed */

struct packed_head {
    uint32_t version;
    uint8_t kind, life_flags;
    uint16_t status;
    uint32_t site, slice_bytes;
    uint64_t hash, seq, generation, first_byte, whole_bytes;
    int64_t response_s;
    uint32_t initial_age_s, fresh_s, stale_while_revalidate_s, stale_if_error_s;
    uint32_t tag_count, key_bytes, url_bytes, vary_bytes, field_count, texts_bytes;
};

struct packed_field {
    uint32_t name_bytes, value_bytes;
};

enum {
    LIFE_HEURISTIC = 1,
    LIFE_MUST_REVALIDATE = 2,
    LIFE_ALWAYS_VALIDATE = 4,
    LIFE_EXPLICIT = 8,
    LIFE_IMMUTABLE = 16,
};

_Static_assert(__BYTE_ORDER == __LITTLE_ENDIAN, "records are little-endian");

static size_t
packed_texts(const struct object *object)
{
    size_t bytes = 0;

    for (uint32_t i = 0; i < object->fields.count; i++)
        bytes += sizeof(struct packed_field) + object->fields.items[i].name.bytes +
                 object->fields.items[i].value.bytes;
    return bytes;
}

size_t
object_packed_bytes(const struct object *object)
{
    return sizeof(struct packed_head) + object->tag_count * sizeof(uint64_t) + object->key.bytes +
           object->url.bytes + object->vary.bytes + packed_texts(object);
}

static char *
pack_text(char *at, struct slice text)
{
    return mempcpy(at, text.data != NULL ? text.data : "", text.bytes);
}

void
object_pack(const struct object *object, char *out)
{
    const struct lifetime *life = &object->life;
    struct packed_head head = {
        .version = PACKED_VERSION,
        .kind = object->kind,
        .life_flags = (uint8_t)((life->is_heuristic ? LIFE_HEURISTIC : 0) |
                                (life->must_revalidate ? LIFE_MUST_REVALIDATE : 0) |
                                (life->always_validate ? LIFE_ALWAYS_VALIDATE : 0) |
                                (life->is_explicit ? LIFE_EXPLICIT : 0) |
                                (life->is_immutable ? LIFE_IMMUTABLE : 0)),
        .status = object->status,
        .site = object->site,
        .slice_bytes = object->slice_bytes,
        .hash = object->hash,
        .seq = object->seq,
        .generation = object->generation,
        .first_byte = object->first_byte,
        .whole_bytes = object->whole_bytes,
        .response_s = life->response_s,
        .initial_age_s = life->initial_age_s,
        .fresh_s = life->fresh_s,
        .stale_while_revalidate_s = life->stale_while_revalidate_s,
        .stale_if_error_s = life->stale_if_error_s,
        .tag_count = object->tag_count,
        .key_bytes = (uint32_t)object->key.bytes,
        .url_bytes = (uint32_t)object->url.bytes,
        .vary_bytes = (uint32_t)object->vary.bytes,
        .field_count = object->fields.count,
        .texts_bytes = (uint32_t)packed_texts(object),
    };
    char *at = mempcpy(out, &head, sizeof(head));

    if (object->tag_count > 0)
        at = mempcpy(at, object->tags, object->tag_count * sizeof(uint64_t));
    at = pack_text(at, object->key);
    at = pack_text(at, object->url);
    at = pack_text(at, object->vary);
    for (uint32_t i = 0; i < object->fields.count; i++) {
        const struct field *field = &object->fields.items[i];
        struct packed_field lengths = { (uint32_t)field->name.bytes,
                                        (uint32_t)field->value.bytes };

        at = mempcpy(at, &lengths, sizeof(lengths));
        at = pack_text(at, field->name);
        at = pack_text(at, field->value);
    }
}

/* Takes bytes off the front of *rest. False when there are fewer. */
static bool
unpack_text(struct slice *rest, size_t bytes, struct slice *text)
{
    if (bytes > rest->bytes)
        return false;
    *text = slice_make(rest->data, bytes);
    *rest = slice_skip(*rest, bytes);
    return true;
}

static bool
unpack_field(struct slice *rest, struct field *field)
{
    struct packed_field lengths;
    struct slice bytes;

    if (!unpack_text(rest, sizeof(lengths), &bytes))
        return false;
    memcpy(&lengths, bytes.data, sizeof(lengths));
    if (!unpack_text(rest, lengths.name_bytes, &field->name) ||
        !unpack_text(rest, lengths.value_bytes, &field->value) || field->name.bytes == 0)
        return false;
    field->id = (uint16_t)field_id_of(field->name); /* numbers differ from version to version */
    field->flags = (uint16_t)field_flags((enum field_id)field->id);
    return true;
}

static bool
unpack_fields(struct slice rest, uint32_t count, struct fields *fields)
{
    for (uint32_t i = 0; i < count; i++) {
        if (!unpack_field(&rest, &fields->items[i]))
            return false;
        fields->count++;
        fields->present[fields->items[i].id / 64] |= 1ull << (fields->items[i].id % 64);
    }
    return rest.bytes == 0;
}

static void
unpack_life(const struct packed_head *head, struct lifetime *life)
{
    *life = (struct lifetime){
        .response_s = head->response_s,
        .initial_age_s = head->initial_age_s,
        .fresh_s = head->fresh_s,
        .stale_while_revalidate_s = head->stale_while_revalidate_s,
        .stale_if_error_s = head->stale_if_error_s,
        .is_heuristic = head->life_flags & LIFE_HEURISTIC,
        .must_revalidate = head->life_flags & LIFE_MUST_REVALIDATE,
        .always_validate = head->life_flags & LIFE_ALWAYS_VALIDATE,
        .is_explicit = head->life_flags & LIFE_EXPLICIT,
        .is_immutable = head->life_flags & LIFE_IMMUTABLE,
    };
}

/* All but the fields. */
static bool
unpack_head(const struct packed_head *packed, struct slice *rest, struct object_head *head)
{
    struct slice tags;

    if (packed->version != PACKED_VERSION || packed->kind >= OBJECT_KINDS ||
        packed->tag_count > OBJECT_TAGS_MAX || packed->field_count > FIELDS_MAX)
        return false;
    *head = (struct object_head){
        .kind = (enum object_kind)packed->kind,
        .status = packed->status,
        .site = packed->site,
        .hash = packed->hash,
        .seq = packed->seq,
        .generation = packed->generation,
        .tag_count = packed->tag_count,
        .first_byte = packed->first_byte,
        .whole_bytes = packed->whole_bytes,
        .slice_bytes = packed->slice_bytes,
    };
    unpack_life(packed, &head->life);
    if (!unpack_text(rest, packed->tag_count * sizeof(uint64_t), &tags) ||
        !unpack_text(rest, packed->key_bytes, &head->key) ||
        !unpack_text(rest, packed->url_bytes, &head->url) ||
        !unpack_text(rest, packed->vary_bytes, &head->vary))
        return false;
    head->tags = (const uint64_t *)(const void *)tags.data; /* only copied from */
    return rest->bytes == packed->texts_bytes;
}

struct object *
object_unpack(struct slice packed, uint64_t body_room)
{
    struct field items[FIELDS_MAX];
    struct fields fields = { .items = items, .room = FIELDS_MAX };
    struct packed_head fixed;
    struct object_head head;

    if (packed.bytes < sizeof(fixed))
        return NULL;
    memcpy(&fixed, packed.data, sizeof(fixed));
    packed = slice_skip(packed, sizeof(fixed));
    if (!unpack_head(&fixed, &packed, &head) ||
        !unpack_fields(packed, fixed.field_count, &fields))
        return NULL;
    head.fields = &fields;
    return object_new(&head, body_room);
}
