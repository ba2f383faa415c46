/* SPDX-License-Identifier: BSD-2-Clause */
/* content_judge.c - rules: bytes and names in, a verdict out. */
#include "config.h"

#include "filters/content_inside.h"

#include "filters/content_field.h"
#include "filters/decompress_engine.h"

static const struct content_verdict fine = { CONTENT_PASSED, NULL };

static struct content_verdict
refuse(struct arena *arena, enum content_event event, const char *what, struct slice which)
{
    struct slice why = arena_join(arena, (struct slice[]){ slice_of(what), which }, 2);

    return (struct content_verdict){ event, why.bytes > 0 ? why.data : what };
}

/* ---- what it says of itself */

static const struct slice *
find_type(const struct strings *patterns, struct slice type)
{
    for (size_t i = 0; i < patterns->count; i++)
        if (content_type_is(type, patterns->items[i]))
            return &patterns->items[i];
    return NULL;
}

/* Any of its extensions: servers that run "x.php.jpg" as PHP are many. */
static const struct slice *
find_extension(const struct strings *extensions, struct slice name)
{
    struct slice extension;

    while ((extension = file_extension(name)).data != NULL) {
        for (size_t i = 0; i < extensions->count; i++)
            if (slice_equal_nocase(extension, extensions->items[i]))
                return &extensions->items[i];
        name.bytes = (size_t)(extension.data - name.data) - 1;
    }
    return NULL;
}

struct content_verdict
content_judge_said(const struct content_conf *conf, struct arena *arena,
                   const struct content_facts *facts)
{
    const struct slice *found = find_type(&conf->deny_types, facts->type);

    if (found != NULL)
        return refuse(arena, CONTENT_TYPE, "Content of this type is not allowed here: ", *found);
    if (conf->allow_types.count > 0 && find_type(&conf->allow_types, facts->type) == NULL)
        return (struct content_verdict){ CONTENT_TYPE,
                                         "Content of this type is not among what is allowed "
                                         "here." };
    if (facts->is_unnamed && conf->deny_extensions.count > 0)
        return (struct content_verdict){ CONTENT_UNREADABLE,
                                         "What this content is called cannot be told." };
    for (unsigned i = 0; i < facts->name_count; i++) {
        found = find_extension(&conf->deny_extensions, facts->names[i]);
        if (found != NULL)
            return refuse(arena, CONTENT_EXTENSION, "Files of this name are not allowed here: .",
                          *found);
    }
    return fine;
}

/* ---- what it is */

static unsigned
promised_classes(const struct content_facts *facts)
{
    unsigned classes = true_type_classes_of_media(facts->type);

    for (unsigned i = 0; i < facts->name_count && classes == 0; i++)
        classes = true_type_classes_of_extension(file_extension(facts->names[i]));
    return classes;
}

struct content_verdict
content_judge_start(const struct content_conf *conf, struct arena *arena,
                    const struct content_facts *facts, bool *is_mismatch)
{
    const struct true_type *type;
    unsigned promised;

    *is_mismatch = false;
    if (facts->is_unreadable && conf->deny_true_types.count == 0 &&
        conf->on_mismatch != MISMATCH_DENY)
        return fine;
    if (facts->is_unreadable)
        return (struct content_verdict){ CONTENT_UNREADABLE,
                                         "What this content is cannot be told." };
    type = true_types_find(&conf->denied, facts->start);
    if (type == NULL && facts->is_upload && true_type_has_php(facts->start))
        type = true_types_find(&conf->denied, SLICE("<?php"));
    if (type != NULL)
        return refuse(arena, CONTENT_TRUE_TYPE, "Content of this kind is not allowed here: ",
                      slice_of(type->name));
    type = true_type_find(facts->start);
    promised = promised_classes(facts);
    if (conf->on_mismatch == MISMATCH_OFF || promised == 0 || type->classes == 0 ||
        (promised & type->classes) != 0)
        return fine;
    *is_mismatch = true;
    if (conf->on_mismatch == MISMATCH_LOG)
        return fine;
    return refuse(arena, CONTENT_MISMATCH, "The content is not what it is said to be, but ",
                  slice_of(type->name));
}

bool
content_rule(const struct content_conf *conf, struct exchange *ex,
             const struct content_verdict *verdict)
{
    filter_count(ex, &content_counts, verdict->event, 1);
    if (verdict->why == NULL)
        return false;
    exchange_decide(ex, DECISION_FILTER, &conf->filter.place, "content: %s%s",
                    conf->log_only ? "would refuse: " : "", verdict->why);
    if (conf->log_only)
        filter_count(ex, &content_counts, CONTENT_LOGGED, 1);
    return !conf->log_only;
}

/* ---- the first bytes of coded content */

/* One coding: as much as room takes. */
static bool
decode_layer(enum coding coding, struct slice in, char *room, size_t *bytes)
{
    struct decompress_engine engine = { .coding = coding };
    enum decompress_result result = DECOMPRESS_WELL;

    decompress_engine_init(&engine, coding);
    *bytes = 0;
    while (result == DECOMPRESS_WELL && *bytes < CONTENT_DECODED_BYTES) {
        struct transform_step step = {
            .in = in.data, .in_bytes = in.bytes, .out = room + *bytes,
            .out_bytes = CONTENT_DECODED_BYTES - *bytes,
        };

        result = decompress_engine_step(&engine, &step);
        in = slice_skip(in, step.taken);
        *bytes += step.made;
        if (step.taken == 0 && step.made == 0)
            break;
    }
    decompress_engine_fini(&engine);
    return result == DECOMPRESS_WELL;
}

/* Who hides a file behind a long header of its coding, or very little of it at a time, has
 * reasons. */
#define TOO_LITTLE_BYTES 512u

bool
content_decode_start(const struct codings *codings, struct slice start, bool is_whole,
                     char room[CONTENT_DECODED_BYTES], struct slice *decoded)
{
    char other[CONTENT_DECODED_BYTES];

    *decoded = start;
    for (unsigned i = codings->count; i-- > 0;) {
        size_t bytes;

        if (!decode_layer(codings->items[i], *decoded, other, &bytes))
            return false;
        memcpy(room, other, bytes);
        *decoded = slice_make(room, bytes);
    }
    return is_whole || decoded->bytes >= TOO_LITTLE_BYTES;
}
