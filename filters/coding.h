/* SPDX-License-Identifier: BSD-2-Clause */
/* coding.h - content codings: their names, who accepts which, and what is under them.
 *
 *     head hook:  if (content_may_change_response(ex) &&
 *                     codings_read(&ex->response.fields, &plan.codings) &&
 *                     codings_can_decode(&plan.codings))
 *                     decode_response_head(ex);
 *     body hook:  inner = decode_begin(ex, inner, &plan);
 *
 * A filter that looks into content, or changes it, decodes it first. Compressing is what
 * the filter compress does (filters/compress.h); decoding for others, decompress.
 */
#ifndef BASCULE_CODING_H
#define BASCULE_CODING_H

#include "server/http/exchange.h"

/* RFC 9110 section 8.4.1, RFC 7932, RFC 8878. */
enum coding {
    CODING_IDENTITY,
    CODING_GZIP,    /* x-gzip, too */
    CODING_DEFLATE, /* in zlib's format; some send the bare one, which is read as well */
    CODING_BR,
    CODING_ZSTD,
    CODING_UNKNOWN, /* any other */
    CODING_COUNT
};

/* "gzip"; of CODING_UNKNOWN "?". */
struct slice coding_name(enum coding coding);

/* Whatever its case. */
enum coding coding_of(struct slice name);

/* Whether this build can. Both can identity. */
bool coding_can_decode(enum coding coding);
bool coding_can_encode(enum coding coding);

/* ---- what content is coded with */

#define CODINGS_MAX 4

/* In the order in which they were applied: the last one is taken off first. */
struct codings {
    enum coding items[CODINGS_MAX];
    unsigned count; /* 0: none, the content is as it is */
};

/* Reads Content-Encoding; identity is passed over. False: there are more than CODINGS_MAX,
 * so many that nobody means it; the list has the first of them. */
MUST_USE bool codings_read(const struct fields *fields, struct codings *codings);

/* Whether this build can take all of them off. */
bool codings_can_decode(const struct codings *codings);

/* ---- what a recipient accepts (RFC 9110 section 12.5.3) */

#define CODING_NOT_SAID UINT16_MAX

/* Weights in thousandths; 0: not acceptable. Of identity CODING_NOT_SAID: acceptable, when
 * nothing else is. */
struct coding_wishes {
    uint16_t weight[CODING_COUNT]; /* without CODING_UNKNOWN */
    bool is_said;                  /* there is an Accept-Encoding */
};

/* Elements that cannot be read count for nothing. */
void coding_wishes_read(struct coding_wishes *wishes, const struct fields *request);

/* Whether it may get that coding. Where nothing is said only identity may be sent, though
 * anything would be acceptable. */
bool coding_is_accepted(const struct coding_wishes *wishes, enum coding coding);

/* The one of these that it likes best; the first one of equals; CODING_IDENTITY when it
 * likes that better, or accepts none. */
enum coding coding_choose(const struct coding_wishes *wishes, const enum coding *order,
                          unsigned count);

/* ---- fields of content that a filter changes */

/* Whether the response's content may be made other content: it is no part (206,
 * Content-Range), and nobody said no-transform (RFC 9110 section 7.7). */
bool content_may_change_response(const struct exchange *ex);

/* The same of the request. */
bool content_may_change_request(const struct exchange *ex);

/* Whether these fields, of either, say no-transform. */
bool content_forbids_transform(const struct fields *fields);

/* In head hooks: the content will be other bytes, of unknown length. Content-Length,
 * Accept-Ranges and digests go, a strong ETag becomes weak. Without content (HEAD), too. */
void content_changes_response(struct exchange *ex);
void content_changes_request(struct exchange *ex);

/* The entity tag as a weak one: of the arena when it was strong. What is no tag stays. */
struct slice content_weak_etag(struct slice etag, struct arena *arena);

/* Of a 304 on its way to who has the changed content: its strong entity tag becomes the weak
 * one that was asked for (If-None-Match), unless the strong one was asked for, too. */
void content_not_modified(struct exchange *ex);

/* In request_head: the entity tags of If-Match become strong ones. Weak ones never match there,
 * so that who got changed content could not say which version it means. */
void content_matches_strongly(struct exchange *ex);

/* Adds a name to Vary, unless it is there, or "*" is. */
void content_varies(struct exchange *ex, enum field_id name);

/* ---- decoding */

enum decode_failure {
    DECODE_BROKEN,    /* no such format, wrong checksum, something behind the end, or beyond what
                       * the coding allows for HTTP: a window of zstd over 8 MB (RFC 9659) */
    DECODE_CUT_SHORT,
    DECODE_TOO_LONG,  /* than max_bytes */
    DECODE_TOO_DENSE, /* than max_ratio */
    DECODE_NO_MEMORY, /* or all decoders together have more than held_content */
};

/* "the content is longer than max allows, decoded" */
const char *decode_failure_text(enum decode_failure failure);

/* So much may come of anything, whatever max_ratio says. */
#define DECODE_FREE_BYTES (1024u * 1024)

struct decode_plan {
    struct codings codings; /* which this build can decode */
    uint64_t max_bytes;     /* of decoded content; 0: any */
    uint32_t max_ratio;     /* decoded by coded bytes, beyond DECODE_FREE_BYTES; 0: any */
    bool is_request;        /* a failure is answered with exchange_refuse(): 413 or 400 */
    void (*on_failed)(struct exchange *ex, void *arg, enum decode_failure failure); /* or NULL */
    void *arg;
};

/* A source of what is under the codings of inner; inner itself when there are none. Memory
 * is flat: of each coding its window, at most, and a buffer. At a failure it says so by a
 * decision record, by on_failed, and then FLOW_FAILED. Copies plan. NULL: memory is short. */
struct source *decode_begin(struct exchange *ex, struct source *inner,
                            const struct decode_plan *plan);

/* What all decoders of the process have now. */
uint64_t decode_total_bytes(void);

/* In head hooks, before: Content-Encoding goes, and all that content_changes_* says. */
void decode_response_head(struct exchange *ex);
void decode_request_head(struct exchange *ex);

#endif
