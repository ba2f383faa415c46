/* SPDX-License-Identifier: BSD-2-Clause */
/* part.c - parts of one representation, and what becomes of them together. */
#include "config.h"

#include "cache/part.h"

#include "cache/update.h"
#include "cache/validate.h"

/* ---- what a part is */

static bool
read_etag(struct part *part, const struct fields *fields)
{
    struct etag etag;

    part->etag = validate_etag(fields);
    return part->etag.data != NULL && etag_parse(part->etag, &etag) && !etag.is_weak;
}

bool
part_of_response(struct part *part, const struct fields *fields, uint64_t length)
{
    const struct field *field = fields_find(fields, FIELD_CONTENT_RANGE);

    return field != NULL && fields_next(fields, FIELD_CONTENT_RANGE, field) == NULL &&
           content_range_parse(field->value, &part->range, &part->whole_bytes) ==
               CONTENT_RANGE_PART &&
           part->whole_bytes != RANGE_LENGTH_UNKNOWN &&
           byte_range_bytes(part->range) == length && read_etag(part, fields);
}

bool
part_range(const struct object *object, struct byte_range *range)
{
    if (object->kind != OBJECT_PARTIAL || object->whole_bytes == LENGTH_UNKNOWN ||
        object->body_bytes == 0 || object->body_bytes > object->whole_bytes ||
        object->first_byte > object->whole_bytes - object->body_bytes)
        return false;
    *range = (struct byte_range){ object->first_byte,
                                  object->first_byte + object->body_bytes - 1 };
    return true;
}

bool
part_of_object(struct part *part, const struct object *object)
{
    part->whole_bytes = object->whole_bytes;
    return part_range(object, &part->range) && read_etag(part, &object->fields);
}

static bool
is_same_whole(const struct part *a, const struct part *b)
{
    return a->whole_bytes == b->whole_bytes && validate_etag_strong_equal(a->etag, b->etag);
}

bool
part_is(const struct part *part, struct byte_range range, const struct part *other)
{
    return part->range.first == range.first && part->range.last == range.last &&
           is_same_whole(part, other);
}

bool
part_missing(const struct part *part, struct byte_range *missing)
{
    struct byte_range whole = { 0, part->whole_bytes - 1 };

    return byte_range_missing(part->range, whole, missing) &&
           byte_range_bytes(*missing) < part->whole_bytes;
}

void
part_ask(struct fields *request, struct arena *arena, struct byte_range range,
         uint64_t whole_bytes, struct slice etag)
{
    char text[CONTENT_RANGE_BYTES];
    struct slice value = byte_range_format(text, range, whole_bytes);

    fields_set(request, arena, FIELD_RANGE, arena_copy(arena, value));
    if (etag.bytes > 0)
        fields_set(request, arena, FIELD_IF_RANGE, arena_copy(arena, etag));
}

void
part_forget_range(struct fields *fields)
{
    fields_remove(fields, FIELD_CONTENT_RANGE);
    fields_remove(fields, FIELD_CONTENT_LENGTH);
}

/* ---- joining */

static void
copy_content(struct object *to, const struct object *from)
{
    memcpy(to->body + (from->first_byte - to->first_byte), from->body, from->body_bytes);
}

static struct object *
make_joined(const struct object *older, const struct object *newer, struct byte_range range,
            const struct fields *fields)
{
    struct object_head head;
    struct object *object;

    object_head_of(newer, &head);
    head.fields = fields;
    head.first_byte = range.first;
    if (older->seq < newer->seq)
        head.seq = older->seq; /* a purge of either concerns both */
    if (byte_range_bytes(range) == newer->whole_bytes) {
        head.kind = OBJECT_RESPONSE;
        head.status = 200;
    }
    object = object_new(&head, byte_range_bytes(range));
    if (object == NULL)
        return NULL;
    copy_content(object, older);
    copy_content(object, newer);
    return object;
}

struct object *
part_joined(const struct object *older, const struct object *newer, uint64_t max_bytes,
            struct arena *arena)
{
    struct part a, b;
    struct byte_range range;
    struct fields *fields;

    if (!part_of_object(&a, older) || !part_of_object(&b, newer) || !is_same_whole(&a, &b) ||
        !byte_range_join(a.range, b.range, &range) || byte_range_bytes(range) > max_bytes ||
        older->body == NULL || newer->body == NULL)
        return NULL;
    fields = fields_copy(&older->fields, arena);
    if (fields == NULL)
        return NULL;
    update_fields(fields, arena, &newer->fields);
    part_forget_range(fields);
    return arena_is_spent(arena) ? NULL : make_joined(older, newer, range, fields);
}

/* ---- slices */

bool
part_is_head(const struct object *object)
{
    struct part part;

    return object->kind == OBJECT_SLICES && object->slice_bytes > 0 && object->whole_bytes > 0 &&
           object->whole_bytes != LENGTH_UNKNOWN && read_etag(&part, &object->fields);
}

struct part
part_of_slice(const struct object *head, uint64_t n)
{
    return (struct part){
        .range = byte_range_of_slice(n, head->slice_bytes, head->whole_bytes),
        .whole_bytes = head->whole_bytes,
        .etag = validate_etag(&head->fields),
    };
}

size_t
part_slice_key_bytes(const struct object *head)
{
    return head->key.bytes + 2 + sizeof(head->generation) + sizeof(uint64_t);
}

struct slice
part_slice_key(char *room, const struct object *head, uint64_t n)
{
    char *at = mempcpy(room, head->key.data, head->key.bytes);

    *at++ = '\0';
    *at++ = 's';
    at = mempcpy(at, &head->generation, sizeof(head->generation));
    memcpy(at, &n, sizeof(n));
    return slice_make(room, part_slice_key_bytes(head));
}

struct object *
part_new_slice(const struct object *head, uint64_t n, struct slice key, uint64_t hash,
               uint64_t seq)
{
    struct byte_range range = part_of_slice(head, n).range;
    struct object_head slice = {
        .kind = OBJECT_PARTIAL,
        .status = 206,
        .site = head->site,
        .hash = hash,
        .seq = seq,
        .generation = head->generation,
        .key = key,
        .life = head->life,
        .first_byte = range.first,
        .whole_bytes = head->whole_bytes,
    };

    return object_new(&slice, byte_range_bytes(range));
}

bool
part_is_slice(const struct object *object, const struct object *head, uint64_t n)
{
    struct byte_range range = part_of_slice(head, n).range;

    return object->kind == OBJECT_PARTIAL && object->generation == head->generation &&
           object->whole_bytes == head->whole_bytes && object->first_byte == range.first &&
           object->body_bytes == byte_range_bytes(range);
}

/* ---- the whole, while the rest arrives */

static uint64_t
part_end(const struct object *part)
{
    return part->first_byte + part->body_bytes;
}

static bool
is_in_part(const struct part_source *source)
{
    return source->at >= source->part->first_byte && source->at < part_end(source->part);
}

static enum flow
offer(struct source *base, unsigned forms, struct piece *piece)
{
    struct part_source *source = container_of(base, struct part_source, source);
    const struct object *part = source->part;
    enum flow flow;

    (void)forms;
    if (source->at == part->whole_bytes)
        return FLOW_END;
    if (is_in_part(source)) {
        piece->form = FORM_SLICES;
        piece->bytes = (size_t)(part_end(part) - source->at);
        piece->count = 1;
        piece->iov[0] = (struct iovec){ part->body + (source->at - part->first_byte),
                                        piece->bytes };
        piece->is_last = part_end(part) == part->whole_bytes;
        return FLOW_MORE;
    }
    flow = base->inner->ops->offer(base->inner, FORM_SLICES, piece);
    if (flow == FLOW_MORE)
        piece->is_last = piece->is_last && source->at + piece->bytes == part->whole_bytes;
    return flow == FLOW_END ? FLOW_FAILED : flow; /* the rest is not all of it */
}

static void
take(struct source *base, size_t bytes)
{
    struct part_source *source = container_of(base, struct part_source, source);

    if (!is_in_part(source))
        base->inner->ops->take(base->inner, bytes);
    source->at += bytes;
}

static const struct source_ops ops = {
    .offer = offer,
    .take = take,
    .cancel = source_cancel_inner,
};

void
part_source_init(struct part_source *source, const struct object *part, struct source *rest)
{
    *source = (struct part_source){ .source = { .ops = &ops, .inner = rest }, .part = part };
}
