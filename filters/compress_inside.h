/* SPDX-License-Identifier: BSD-2-Clause */
/* compress_inside.h - what the parts of the filter compress share.
 *
 *     compress.c           hooks: which content is coded, and its fields
 *     compress_options.c   options, and what they say of types and statuses
 *     compress_content.c   the source of coded content
 *     compress_engine.h    what codes it
 */
#ifndef BASCULE_COMPRESS_INSIDE_H
#define BASCULE_COMPRESS_INSIDE_H

#include "filters/compress.h"

#include "filters/compress_engine.h"

#define COMPRESS_STATUSES 600u

struct compress_conf {
    struct filter_conf filter;
    struct strings codings;
    struct strings types, flush_types;
    struct strings statuses;
    uint64_t min_bytes;
    int64_t levels[CODING_COUNT];
    uint32_t flush_ms;
    uint64_t whole_bytes;
    uint64_t memory_bytes;
    enum coding order[CODING_COUNT]; /* of codings */
    unsigned order_count;
    uint64_t status_bits[(COMPRESS_STATUSES + 63) / 64];
};

extern const struct option compress_options[];
int compress_options_finish(void *conf, struct conf *all, struct arena *arena, struct err *err);

bool compress_has_status(const struct compress_conf *conf, unsigned status);

/* Whether a value of Content-Type is of one of these types: "text/html", "text/" followed by
 * "*", "*" with a suffix ("+json"), "*". Parameters do not count. */
bool compress_type_is_in(const struct strings *types, struct slice content_type);

/* ---- counted */

enum {
    COMPRESS_GZIP,
    COMPRESS_BR,
    COMPRESS_ZSTD,
    COMPRESS_NOT_ACCEPTED,
    COMPRESS_NO_MEMORY,
    COMPRESS_BYTES_IN,
    COMPRESS_BYTES_OUT,
};

extern struct filter_counts compress_counts;

/* ---- content */

struct compress_content {
    struct transform transform;
    struct exchange *ex;
    struct compress_plan plan;
    const struct compress_engine_ops *ops; /* NULL: it is not coded */
    struct compress_engine *engine;        /* from its first byte to its last */
    size_t reserved_bytes;
    uint64_t in_bytes, out_bytes;
};

/* Sets memory aside for what plan says. False: there are memory_bytes in use already. */
bool compress_content_reserve(struct compress_content *content, struct exchange *ex,
                              const struct compress_plan *plan, uint64_t memory_bytes);

/* inner, coded. NULL: memory is short. */
struct source *compress_content_begin(struct compress_content *content, struct source *inner,
                                      uint32_t flush_ms);

#endif
