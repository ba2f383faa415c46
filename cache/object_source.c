/* SPDX-License-Identifier: BSD-2-Clause */
/* object_source.c - from where the object has its content. */
#include "config.h"

#include "cache/object_source.h"

static enum flow
offer_memory(const struct object_source *source, struct piece *piece)
{
    piece->form = FORM_SLICES;
    piece->bytes = (size_t)(source->end - source->at);
    piece->count = 1;
    piece->iov[0] = (struct iovec){ source->object->body + source->at, piece->bytes };
    piece->is_last = true;
    return FLOW_MORE;
}

static enum flow
offer(struct source *base, unsigned forms, struct piece *piece)
{
    struct object_source *source = container_of(base, struct object_source, source);
    struct disk_body *body;
    enum flow flow;

    if (source->at == source->end)
        return FLOW_END;
    if (source->object->body != NULL)
        return offer_memory(source, piece);
    body = atomic_load_explicit(&source->object->on_disk, memory_order_acquire);
    if (body == NULL)
        return FLOW_FAILED;
    flow = disk_reader_offer(&source->disk, body, source->at, source->end, forms, piece);
    if (flow == FLOW_MORE)
        piece->is_last = piece->bytes == source->end - source->at;
    return flow;
}

static void
take(struct source *base, size_t bytes)
{
    struct object_source *source = container_of(base, struct object_source, source);

    must(bytes <= source->end - source->at);
    source->at += bytes;
}

static const struct source_ops ops = {
    .offer = offer,
    .take = take,
};

void
object_source_init(struct object_source *source, struct object *object, struct disk *disk,
                   struct worker *worker, uint64_t first, uint64_t end)
{
    must(first <= end && end <= object->body_bytes);
    *source = (struct object_source){
        .source = { .ops = &ops },
        .object = object_ref(object),
        .at = first,
        .end = end,
    };
    disk_reader_init(&source->disk, &source->source, disk, worker);
}

void
object_source_fini(struct object_source *source)
{
    if (source->object == NULL)
        return;
    disk_reader_fini(&source->disk);
    object_unref(source->object);
    source->object = NULL;
}
