/* SPDX-License-Identifier: BSD-2-Clause */
/* content_inside.h - what the files of the filter content share. */
#ifndef BASCULE_CONTENT_INSIDE_H
#define BASCULE_CONTENT_INSIDE_H

#include "filters/coding.h"
#include "filters/filter.h"
#include "filters/true_type.h"

enum content_mismatch { MISMATCH_OFF, MISMATCH_LOG, MISMATCH_DENY };

struct content_conf {
    struct filter_conf filter;
    struct strings deny_types, allow_types, deny_extensions, deny_true_types;
    struct true_types denied; /* of deny_true_types */
    uint64_t min_bytes, max_bytes; /* of responses; 0: any */
    uint64_t look_bytes;
    int on_mismatch; /* enum content_mismatch */
    bool uploads, log_only;
    bool looks;      /* some rule needs the first bytes */
};

/* Counted, and what a judgement is about. */
enum content_event {
    CONTENT_PASSED, /* judged, and fine */
    CONTENT_TYPE,
    CONTENT_EXTENSION,
    CONTENT_TRUE_TYPE,
    CONTENT_MISMATCH,
    CONTENT_SIZE,
    CONTENT_UNREADABLE,
    CONTENT_LOGGED, /* refused but for log_only */
};

extern struct filter_counts content_counts;

/* What is known of some content: of a response, of an upload, of a part of a form. */
#define CONTENT_NAMES 8

struct content_facts {
    struct slice type;                 /* essence; empty: it does not say */
    struct slice names[CONTENT_NAMES]; /* file names and paths it may be stored under */
    unsigned name_count;
    struct slice start;
    bool is_unreadable;                /* its first bytes are hidden */
    bool is_unnamed;                   /* it has more names than these, or hides one */
    bool is_upload;                    /* servers run PHP wherever in a file it stands */
};

/* Judgements: why is NULL when there is nothing against it, else a sentence for the client,
 * static or of the arena, in words of ours and of the configuration. */
struct content_verdict {
    enum content_event event;
    const char *why;
};

/* By what it says of itself: media type and extensions. */
struct content_verdict content_judge_said(const struct content_conf *conf, struct arena *arena,
                                          const struct content_facts *facts);

/* By what it is: its first bytes. With on_mismatch = "log" *is_mismatch tells, and it passes. */
struct content_verdict content_judge_start(const struct content_conf *conf, struct arena *arena,
                                           const struct content_facts *facts,
                                           bool *is_mismatch);

/* Counts and records what verdict says. True: it is to be refused; with log_only never. */
bool content_rule(const struct content_conf *conf, struct exchange *ex,
                  const struct content_verdict *verdict);

/* A name or a path, as it stands there and as receivers decode it (escapes of URIs, words of
 * RFC 2047). */
void content_add_name(struct content_facts *facts, struct slice name, struct arena *arena);

/* The file names in all fields Content-Disposition. */
void content_add_dispositions(struct content_facts *facts, const struct fields *fields,
                              struct arena *arena);

/* Decodes the first bytes of coded content into room. is_whole: that is all of the content.
 * False: too little of it can be read. */
#define CONTENT_DECODED_BYTES 4096u
bool content_decode_start(const struct codings *codings, struct slice start, bool is_whole,
                          char room[CONTENT_DECODED_BYTES], struct slice *decoded);

/* Whether a response says that it is a stream of messages, and, unless start is NULL, begins as
 * one. Who did not ask in gRPC does not read the answer as such. */
bool content_is_stream(const struct exchange *ex, const struct slice *start);

/* A source that looks at an upload as it passes, part by part if it is a form. */
struct source *content_watch_upload(const struct content_conf *conf, struct exchange *ex,
                                    struct source *inner);

/* A source that fails once more than conf->max_bytes came. */
struct source *content_bound(const struct content_conf *conf, struct exchange *ex,
                             struct source *inner);

#endif
