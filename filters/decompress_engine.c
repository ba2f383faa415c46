/* SPDX-License-Identifier: BSD-2-Clause */
/* decompress_engine.c - zlib, brotli and zstd behind one face.
 *
 *     head --> stream --> between --> head ...
 *
 * The head is kept where the library must not see it first: deflate is of two formats, and
 * libzstd also reads formats that are older than zstd's first release.
 */
#include "config.h"

#include "filters/decompress_engine.h"

#ifdef HAVE_BROTLI
#include <brotli/decode.h>
#include <malloc.h>
#include <stdlib.h>
#endif
#ifdef HAVE_ZSTD
#include <zstd.h>
#include <zstd_errors.h>
#endif

#define ZLIB_BYTES (40u * 1024) /* its state and a window */
#define ZSTD_WINDOW_LOG 23 /* 8 MB: RFC 9659 section 3 */

enum { ZLIB_BARE = -15, ZLIB_WRAPPED = 15, ZLIB_GZIP = 15 + 16 }; /* windowBits */

/* Takes bytes of the step into the head until it has so many. False: it has fewer yet. */
static bool
fill_head(struct decompress_engine *engine, struct transform_step *step, unsigned bytes)
{
    while (engine->head_bytes < bytes && step->taken < step->in_bytes)
        engine->head[engine->head_bytes++] = (unsigned char)step->in[step->taken++];
    if (engine->head_bytes > 0)
        engine->is_between = false;
    return engine->head_bytes == bytes;
}

/* ---- gzip, deflate */

static enum decompress_result
open_zlib(struct decompress_engine *engine, int window_bits)
{
    engine->zlib = (z_stream){ 0 };
    if (inflateInit2(&engine->zlib, window_bits) != Z_OK)
        return DECOMPRESS_NO_MEMORY;
    engine->is_open = true;
    return DECOMPRESS_WELL;
}

/* Inflates in, which is all taken unless the stream ends or there is no more room. */
static enum decompress_result
inflate_some(struct decompress_engine *engine, const void *in, size_t *in_bytes,
             struct transform_step *step)
{
    z_stream *zlib = &engine->zlib;
    size_t in_part = *in_bytes < UINT32_MAX ? *in_bytes : UINT32_MAX;
    size_t room = step->out_bytes - step->made;
    size_t out_part = room < UINT32_MAX ? room : UINT32_MAX;
    int result;

    zlib->next_in = (Bytef *)(uintptr_t)in;
    zlib->avail_in = (uInt)in_part;
    zlib->next_out = (Bytef *)step->out + step->made;
    zlib->avail_out = (uInt)out_part;
    result = inflate(zlib, Z_NO_FLUSH);
    *in_bytes = in_part - zlib->avail_in;
    step->made += out_part - zlib->avail_out;
    if (result == Z_STREAM_END)
        engine->is_between = true;
    else if (result == Z_MEM_ERROR)
        return DECOMPRESS_NO_MEMORY;
    else if (result != Z_OK && result != Z_BUF_ERROR)
        return DECOMPRESS_BROKEN; /* one that needs a dictionary, too */
    return DECOMPRESS_WELL;
}

static enum decompress_result
inflate_input(struct decompress_engine *engine, struct transform_step *step)
{
    size_t bytes = step->in_bytes - step->taken;
    enum decompress_result result = inflate_some(engine, step->in + step->taken, &bytes, step);

    step->taken += bytes;
    return result;
}

/* Members may follow each other (RFC 1952 section 2.2); nothing else may. */
static enum decompress_result
step_gzip(struct decompress_engine *engine, struct transform_step *step)
{
    if (step->in_bytes > 0 && !engine->is_open) {
        enum decompress_result result = open_zlib(engine, ZLIB_GZIP);

        if (result != DECOMPRESS_WELL)
            return result;
    } else if (step->in_bytes > 0 && engine->is_between) {
        (void)inflateReset(&engine->zlib); /* fails for no state that is there */
    }
    if (!engine->is_open || (engine->is_between && step->in_bytes == 0))
        return DECOMPRESS_WELL;
    engine->is_between = false;
    return inflate_input(engine, step);
}

/* RFC 1950 section 2.2. */
static bool
is_zlib_head(const unsigned char *head)
{
    return (head[0] & 15) == Z_DEFLATED && head[0] >> 4 <= 7 && (head[0] * 256 + head[1]) % 31 == 0;
}

static enum decompress_result
step_deflate(struct decompress_engine *engine, struct transform_step *step)
{
    enum decompress_result result;
    size_t bytes = 2;

    if (engine->is_open && engine->is_between)
        return step->in_bytes > 0 ? DECOMPRESS_BROKEN : DECOMPRESS_WELL;
    if (engine->is_open)
        return inflate_input(engine, step);
    if (!fill_head(engine, step, 2))
        return DECOMPRESS_WELL;
    result = open_zlib(engine, is_zlib_head(engine->head) ? ZLIB_WRAPPED : ZLIB_BARE);
    if (result != DECOMPRESS_WELL)
        return result;
    engine->head_bytes = 0;
    result = inflate_some(engine, engine->head, &bytes, step);
    return bytes < 2 ? DECOMPRESS_BROKEN : result;
}

/* ---- brotli */

#ifdef HAVE_BROTLI
static void *
allocate_br(void *opaque, size_t bytes)
{
    struct decompress_engine *engine = opaque;
    void *memory = malloc(bytes);

    engine->br_bytes += malloc_usable_size(memory);
    return memory;
}

static void
free_br(void *opaque, void *memory)
{
    struct decompress_engine *engine = opaque;

    engine->br_bytes -= malloc_usable_size(memory);
    free(memory);
}

static enum decompress_result
failure_of_br(const BrotliDecoderState *br)
{
    BrotliDecoderErrorCode code = BrotliDecoderGetErrorCode(br);

    return code <= BROTLI_DECODER_ERROR_ALLOC_CONTEXT_MODES &&
                   code >= BROTLI_DECODER_ERROR_ALLOC_BLOCK_TYPE_TREES
               ? DECOMPRESS_NO_MEMORY
               : DECOMPRESS_BROKEN;
}

static enum decompress_result
step_br(struct decompress_engine *engine, struct transform_step *step)
{
    const uint8_t *in = (const uint8_t *)step->in;
    uint8_t *out = (uint8_t *)step->out;
    size_t in_left = step->in_bytes, room = step->out_bytes;
    BrotliDecoderResult result;

    if (!engine->is_open && step->in_bytes > 0) {
        engine->state = BrotliDecoderCreateInstance(allocate_br, free_br, engine);
        if (engine->state == NULL)
            return DECOMPRESS_NO_MEMORY;
        engine->is_open = true;
        engine->is_between = false;
    }
    if (!engine->is_open || engine->is_between) /* nothing may follow */
        return step->in_bytes > 0 ? DECOMPRESS_BROKEN : DECOMPRESS_WELL;
    result = BrotliDecoderDecompressStream(engine->state, &in_left, &in, &room, &out, NULL);
    step->taken = step->in_bytes - in_left;
    step->made = step->out_bytes - room;
    engine->is_between = result == BROTLI_DECODER_RESULT_SUCCESS;
    return result == BROTLI_DECODER_RESULT_ERROR ? failure_of_br(engine->state) : DECOMPRESS_WELL;
}
#endif

/* ---- zstd */

#ifdef HAVE_ZSTD
static enum decompress_result
open_zstd(struct decompress_engine *engine)
{
    engine->state = ZSTD_createDCtx();
    if (engine->state == NULL)
        return DECOMPRESS_NO_MEMORY;
    engine->is_open = true;
    (void)ZSTD_DCtx_setParameter(engine->state, ZSTD_d_windowLogMax, ZSTD_WINDOW_LOG);
    return DECOMPRESS_WELL;
}

/* A frame of zstd, or one that is to be skipped (RFC 8878 section 3.1). */
static bool
is_zstd_head(const unsigned char *head)
{
    uint32_t magic = head[0] | (uint32_t)head[1] << 8 | (uint32_t)head[2] << 16 |
                     (uint32_t)head[3] << 24;

    return magic == ZSTD_MAGICNUMBER ||
           (magic & ZSTD_MAGIC_SKIPPABLE_MASK) == ZSTD_MAGIC_SKIPPABLE_START;
}

static enum decompress_result
decompress_zstd(struct decompress_engine *engine, const void *bytes, size_t count, size_t *taken,
                struct transform_step *step)
{
    ZSTD_inBuffer in = { bytes, count, 0 };
    ZSTD_outBuffer out = { step->out, step->out_bytes, step->made };
    size_t left = ZSTD_decompressStream(engine->state, &out, &in);

    *taken = in.pos;
    step->made = out.pos;
    if (ZSTD_isError(left))
        return ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation ? DECOMPRESS_NO_MEMORY
                                                                       : DECOMPRESS_BROKEN;
    engine->is_between = left == 0;
    return DECOMPRESS_WELL;
}

/* Frames may follow each other (RFC 8878 section 3). */
static enum decompress_result
step_zstd(struct decompress_engine *engine, struct transform_step *step)
{
    enum decompress_result result = engine->is_open ? DECOMPRESS_WELL : open_zstd(engine);
    size_t taken;

    if (result != DECOMPRESS_WELL)
        return result;
    if (engine->is_between || engine->head_bytes > 0) {
        if (!fill_head(engine, step, ENGINE_HEAD_BYTES))
            return DECOMPRESS_WELL;
        engine->head_bytes = 0;
        if (!is_zstd_head(engine->head))
            return DECOMPRESS_BROKEN;
        result = decompress_zstd(engine, engine->head, ENGINE_HEAD_BYTES, &taken, step);
        return taken < ENGINE_HEAD_BYTES ? DECOMPRESS_BROKEN : result;
    }
    result = decompress_zstd(engine, step->in, step->in_bytes, &taken, step);
    step->taken = taken;
    return result;
}
#endif

/* ---- all of them */

void
decompress_engine_init(struct decompress_engine *engine, enum coding coding)
{
    must(coding != CODING_IDENTITY && coding_can_decode(coding));
    engine->coding = coding;
    engine->is_between = true;
}

static enum decompress_result
step_one(struct decompress_engine *engine, struct transform_step *step)
{
    switch (engine->coding) {
    case CODING_GZIP:
        return step_gzip(engine, step);
    case CODING_DEFLATE:
        return step_deflate(engine, step);
    case CODING_BR:
#ifdef HAVE_BROTLI
        return step_br(engine, step);
#endif
    case CODING_ZSTD:
#ifdef HAVE_ZSTD
        return step_zstd(engine, step);
#endif
    case CODING_IDENTITY:
    case CODING_UNKNOWN:
    case CODING_COUNT:
        break;
    }
    return DECOMPRESS_BROKEN;
}

enum decompress_result
decompress_engine_step(struct decompress_engine *engine, struct transform_step *step)
{
    enum decompress_result result = step_one(engine, step);

    if (result == DECOMPRESS_WELL && step->in_bytes > 0 && step->taken + step->made == 0)
        return DECOMPRESS_BROKEN;
    return result;
}

size_t
decompress_engine_bytes(const struct decompress_engine *engine)
{
    if (!engine->is_open)
        return 0;
    if (engine->coding == CODING_BR)
        return engine->br_bytes;
#ifdef HAVE_ZSTD
    if (engine->coding == CODING_ZSTD)
        return ZSTD_sizeof_DCtx(engine->state);
#endif
    return ZLIB_BYTES;
}

void
decompress_engine_fini(struct decompress_engine *engine)
{
    if (!engine->is_open)
        return;
    engine->is_open = false;
    switch (engine->coding) {
    case CODING_GZIP:
    case CODING_DEFLATE:
        (void)inflateEnd(&engine->zlib);
        return;
    case CODING_BR:
#ifdef HAVE_BROTLI
        BrotliDecoderDestroyInstance(engine->state);
#endif
        return;
    case CODING_ZSTD:
#ifdef HAVE_ZSTD
        ZSTD_freeDCtx(engine->state);
#endif
        return;
    case CODING_IDENTITY:
    case CODING_UNKNOWN:
    case CODING_COUNT:
        return;
    }
}
