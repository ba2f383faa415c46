/* SPDX-License-Identifier: BSD-2-Clause */
/* object_source.h - a stored object's content, or a range of it, as a source.
 *
 * From memory as slices. From disk as FORM_FILE where the sink takes that, else
 * as slices read into a block; a window that is not in the page cache, or not
 * verified yet, is read by a disk thread first, so the worker never waits for
 * the disk (disk_reader.h).
 */
#ifndef BASCULE_CACHE_OBJECT_SOURCE_H
#define BASCULE_CACHE_OBJECT_SOURCE_H

#include "cache/disk_reader.h"
#include "cache/object.h"

struct object_source {
    struct source source;
    struct object *object;   /* counted */
    uint64_t at, end;        /* of the content, from the object's beginning */
    struct disk_reader disk;
};

/* Content [first, end) of object; counts a reference. disk may be NULL when all
 * of the content is in memory. */
void object_source_init(struct object_source *source, struct object *object, struct disk *disk,
                        struct worker *worker, uint64_t first, uint64_t end);

/* Gives everything back. The pump must be stopped. Idempotent. */
void object_source_fini(struct object_source *source);

#endif
