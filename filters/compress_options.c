/* SPDX-License-Identifier: BSD-2-Clause */
/* compress_options.c - what may be said of compression. */
#include "config.h"

#include "filters/compress_inside.h"

#define AT(member_) .offset = offsetof(struct compress_conf, member_)

/* What is compressed already (images, video, woff2) gains nothing, and is not in the list. */
#define TYPES \
    "text/*, *+json, *+xml, application/json, application/javascript, application/xml, " \
    "application/x-javascript, application/ecmascript, application/wasm, " \
    "application/x-ndjson, application/vnd.ms-fontobject, font/ttf, font/otf, " \
    "application/x-font-ttf, application/rtf, image/bmp, image/x-icon, image/vnd.microsoft.icon, " \
    "image/svg+xml"

const struct option compress_options[] = {
    { .name = "codings", .type = OPTION_STRINGS, AT(codings),
      .text = "Codings that may be used: zstd, br and gzip. Of those that a client likes equally "
              "the first one is taken. When not given: all three that this build has, in this "
              "order. Note that the length of a compressed page tells about secrets in it to "
              "those who can put text of their own beside them (BREACH): pages with both are "
              "for the site to protect." },
    { .name = "types", .type = OPTION_STRINGS, AT(types), .fallback = TYPES,
      .text = "Types of content that are compressed; \"text/*\" stands for all that begin so, "
              "\"*+json\" for all that end so." },
    { .name = "statuses", .type = OPTION_STRINGS, AT(statuses), .fallback = "2xx, 4xx, 5xx",
      .text = "Statuses of responses that are compressed: \"200\", \"4xx\". Parts (206) never "
              "are." },
    { .name = "min", .type = OPTION_SIZE, AT(min_bytes), .fallback = "1K",
      .text = "Shorter content is passed as it is. Content of unknown length is compressed at "
              "once." },
    { .name = "gzip", .type = OPTION_INT, AT(levels[CODING_GZIP]), .min = 1, .max = 9,
      .fallback = "1",
      .text = "Level of gzip. 1 to 3 are ISA-L's, where it was found: fast. Higher ones are "
              "libdeflate's for content up to the option whole, else zlib's." },
    { .name = "br", .type = OPTION_INT, AT(levels[CODING_BR]), .min = 0, .max = 11,
      .fallback = "4", .text = "Level of brotli; from 10 on it is very slow." },
    { .name = "zstd", .type = OPTION_INT, AT(levels[CODING_ZSTD]), .min = 1, .max = 19,
      .fallback = "3", .text = "Level of zstd." },
    { .name = "flush", .type = OPTION_TIME, AT(flush_ms), .fallback = "100ms", .max = 60000,
      .text = "When a response pauses for so long, what came of it so far is sent on; 0: "
              "whenever it pauses." },
    { .name = "flush_types", .type = OPTION_STRINGS, AT(flush_types),
      .fallback = "text/event-stream, application/x-ndjson, multipart/x-mixed-replace",
      .text = "Types of content that is sent on whenever it pauses, as if flush were 0." },
    { .name = "whole", .type = OPTION_SIZE, AT(whole_bytes), .fallback = "256K", .min = 0,
      .max = 16 << 20,
      .text = "For gzip levels from 4 on: content up to so long is gathered and compressed at "
              "once, which takes half the time. 0: none is." },
    { .name = "memory", .type = OPTION_SIZE, AT(memory_bytes), .fallback = "256M", .min = 1 << 20,
      .text = "What all compression that is under way may take; when it is reached, content "
              "passes as it is." },
    { .name = NULL },
};

/* ---- statuses */

static bool
parse_status(struct slice word, unsigned *first, unsigned *last)
{
    uint64_t n;

    if (word.bytes != 3)
        return false;
    if (ascii_lower(word.data[1]) == 'x' && ascii_lower(word.data[2]) == 'x' &&
        word.data[0] >= '2' && word.data[0] <= '5') {
        *first = (unsigned)(word.data[0] - '0') * 100;
        *last = *first + 99;
        return true;
    }
    if (!slice_to_u64(word, COMPRESS_STATUSES - 1, &n) || n < 200)
        return false;
    *first = *last = (unsigned)n;
    return true;
}

static int
read_statuses(struct compress_conf *conf, struct err *err)
{
    for (size_t i = 0; i < conf->statuses.count; i++) {
        struct slice word = conf->statuses.items[i];
        unsigned first, last;

        if (!parse_status(word, &first, &last))
            return err_set(err, "statuses: \"%.*s\" is no status: \"200\" and \"4xx\" are",
                           SLICE_ARG(word));
        for (unsigned status = first; status <= last; status++)
            conf->status_bits[status / 64] |= UINT64_C(1) << (status % 64);
    }
    return 0;
}

bool
compress_has_status(const struct compress_conf *conf, unsigned status)
{
    return status < COMPRESS_STATUSES && ((conf->status_bits[status / 64] >> (status % 64)) & 1);
}

/* ---- codings */

static void
add_coding(struct compress_conf *conf, enum coding coding)
{
    for (unsigned i = 0; i < conf->order_count; i++)
        if (conf->order[i] == coding)
            return;
    conf->order[conf->order_count++] = coding;
}

static int
read_codings(struct compress_conf *conf, struct err *err)
{
    static const enum coding usual[] = { CODING_ZSTD, CODING_BR, CODING_GZIP };

    for (size_t i = 0; i < conf->codings.count; i++) {
        struct slice word = conf->codings.items[i];
        enum coding coding = coding_of(word);

        if (coding != CODING_ZSTD && coding != CODING_BR && coding != CODING_GZIP)
            return err_set(err, "codings: \"%.*s\" is not one of zstd, br and gzip",
                           SLICE_ARG(word));
        if (!coding_can_encode(coding))
            return err_set(err, "codings: this bascule was built without %.*s", SLICE_ARG(word));
        add_coding(conf, coding);
    }
    for (unsigned i = 0; conf->codings.count == 0 && i < ARRAY_COUNT(usual); i++)
        if (coding_can_encode(usual[i]))
            add_coding(conf, usual[i]);
    return 0;
}

/* ---- types */

static int
check_types(const char *name, const struct strings *types, struct err *err)
{
    for (size_t i = 0; i < types->count; i++) {
        struct slice type = types->items[i];

        if (slice_find(type, '/') < 0 && slice_find(type, '*') < 0)
            return err_set(err,
                           "%s: \"%.*s\" is no type: \"text/html\", \"text/*\" and \"*+json\" are",
                           name, SLICE_ARG(type));
    }
    return 0;
}

static bool
is_type(struct slice pattern, struct slice type)
{
    ptrdiff_t star = slice_find(pattern, '*');
    struct slice before, after;

    if (star < 0)
        return slice_equal_nocase(pattern, type);
    before = slice_make(pattern.data, (size_t)star);
    after = slice_skip(pattern, (size_t)star + 1);
    return type.bytes >= before.bytes + after.bytes &&
           slice_equal_nocase(slice_make(type.data, before.bytes), before) &&
           slice_equal_nocase(slice_skip(type, type.bytes - after.bytes), after);
}

bool
compress_type_is_in(const struct strings *types, struct slice content_type)
{
    ptrdiff_t end = slice_find(content_type, ';');
    struct slice type = content_type;

    if (end >= 0)
        type.bytes = (size_t)end;
    type = slice_trim(type);
    for (size_t i = 0; type.bytes > 0 && i < types->count; i++)
        if (is_type(types->items[i], type))
            return true;
    return false;
}

int
compress_options_finish(void *arg, struct conf *all, struct arena *arena, struct err *err)
{
    struct compress_conf *conf = arg;

    (void)all;
    (void)arena;
    if (read_codings(conf, err) < 0 || read_statuses(conf, err) < 0 ||
        check_types("types", &conf->types, err) < 0)
        return -1;
    return check_types("flush_types", &conf->flush_types, err);
}
