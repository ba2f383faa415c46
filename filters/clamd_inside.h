/* SPDX-License-Identifier: BSD-2-Clause */
/* clamd_inside.h - what the files of the filter clamd share.
 *
 *     clamd.c          options, hooks: which content is scanned
 *     clamd_job.c      one message's content: held, judged, or sent on its way
 *     clamd_content.c  what is too long to be held passes, but for its last block
 *     clamd_feed.c     what is scanned of content: under its codings, form's files
 *     clamd_scan.c     the conversation with clamd
 *     clamd_answer.c   its answer
 */
#ifndef BASCULE_CLAMD_INSIDE_H
#define BASCULE_CLAMD_INSIDE_H

#include "filters/clamd_scan.h"
#include "filters/coding.h"
#include "filters/filter.h"
#include "filters/hold.h"
#include "filters/multipart.h"

enum clamd_failure { CLAMD_CLOSED, CLAMD_OPEN };

/* What becomes of what cannot be scanned, or not as a whole. */
enum clamd_policy { CLAMD_REFUSE, CLAMD_SCAN, CLAMD_PASS };

struct clamd_conf {
    struct filter_conf filter;
    struct service_conf service;
    uint64_t max_bytes, whole_bytes, block_bytes;
    uint32_t timeout_ms, patience_ms;
    int64_t max_ratio;
    int on_failure;         /* enum clamd_failure */
    int larger, unreadable; /* enum clamd_policy */
    int partial;            /* the same: CLAMD_REFUSE or CLAMD_PASS */
    struct strings skip_types, skip_extensions;
    bool downloads, uploads;
    bool is_trial;
};

enum clamd_event {
    CLAMD_COUNT_SCANNED,
    CLAMD_COUNT_CLEAN,
    CLAMD_COUNT_INFECTED,
    CLAMD_COUNT_FAILED,
    CLAMD_COUNT_SKIPPED,
    CLAMD_COUNT_TOO_LARGE,
    CLAMD_COUNT_UNREADABLE,
    CLAMD_COUNT_PARTIAL,
};

extern struct filter_counts clamd_counts;

/* ---- clamd_feed.c */

/* What content looks like. */
struct clamd_shape {
    struct codings codings; /* to be taken off; none: it is scanned as it is */
    bool is_form;           /* multipart/form-data, whose files are scanned one by one */
    size_t boundary_bytes;
    char boundary[MULTIPART_BOUNDARY_MAX];
};

/* Zeroed at first. */
struct clamd_feed {
    enum clamd_verdict verdict; /* of the whole */
    const char *why;            /* static words */
    struct slice name;          /* of what was found */
    bool was_begun;             /* there was something to scan; all else is private */

    const struct clamd_conf *conf;
    struct exchange *ex;
    void (*on_change)(struct clamd_feed *feed);
    struct clamd_scan scan;
    uint64_t left_bytes;        /* that may be scanned */
    struct source tap;          /* what the decoder reads: the input of this call */
    struct slice input;
    struct source *decoder;     /* NULL: there is nothing to be taken off */
    struct multipart *form;     /* NULL: it is none */
    const char *broken;         /* static words: what the decoder found */
    struct task task;           /* the decoder has more to do */
    bool is_input_ended, is_content_ended;
    bool is_file;               /* the part that is read is scanned */
    bool is_over;               /* only the beginning is scanned, and that was it */
};

/* Begins. on_change is called from the loop when more can be put, or there is a verdict. */
void clamd_feed_begin(struct clamd_feed *feed, const struct clamd_conf *conf,
                      struct exchange *ex, const struct clamd_shape *shape,
                      void (*on_change)(struct clamd_feed *feed));

/* Takes content while there is no verdict. Returns how many bytes were taken. */
size_t clamd_feed_put(struct clamd_feed *feed, const char *data, size_t bytes);

/* That was all: again after each on_change, until there is a verdict. */
void clamd_feed_end(struct clamd_feed *feed);

/* Gives it up. Harmless at any time. */
void clamd_feed_drop(struct clamd_feed *feed);

/* ---- clamd_job.c */

enum clamd_side { CLAMD_UPLOAD, CLAMD_DOWNLOAD };

enum clamd_stage {
    CLAMD_STAGE_HOLD,   /* content is taken in */
    CLAMD_STAGE_JUDGE,  /* what is held is sent to clamd */
    CLAMD_STAGE_STREAM, /* it goes on while the rest is scanned */
    CLAMD_STAGE_FREE,   /* nothing is in its way any more */
    CLAMD_STAGE_PASS,   /* the same, and none of it was touched */
    CLAMD_STAGE_STOP,   /* it goes no further */
};

/* One message's content. In the exchange's arena. */
struct clamd_job {
    const struct clamd_conf *conf;
    struct exchange *ex;
    enum clamd_side side;
    enum clamd_stage stage;
    struct clamd_shape shape;
    struct hold hold;
    struct clamd_feed feed;
    const struct hold_chunk *chunk; /* of what is held: what is fed next */
    size_t chunk_at;
    uint64_t fed_bytes;
    unsigned tries;
    uint64_t begun_ms;
    bool is_first_look;   /* at a form, as it is; then its files follow */
    bool was_counted;     /* as scanned */
    bool is_impatient;
    struct timer patience;

    struct source source; /* of CLAMD_STAGE_STREAM and what comes behind it */
    char *ring;           /* heap: what was fed and has not passed on */
    size_t ring_bytes, at, fill;
    uint64_t pulled_bytes;
    size_t drip, drip_floor;
    bool is_inner_ended, is_cut;
};

/* A job for the content of that side. NULL: memory is short. */
struct clamd_job *clamd_job_new(const struct clamd_conf *conf, struct exchange *ex,
                                enum clamd_side side, const struct clamd_shape *shape);

/* What a head hook says: called again after FILTER_WAIT. */
enum filter_verdict clamd_job_ask(struct clamd_job *job);

/* The same when there is a verdict without a scan. why: static words. */
enum filter_verdict clamd_job_say(struct clamd_job *job, enum clamd_verdict verdict,
                                  const char *why);

/* The content, after FILTER_NEXT. */
struct source *clamd_job_content(struct clamd_job *job, struct source *inner);

/* Whether content may pass with this verdict: counted, and told to the log. */
bool clamd_job_settle(struct clamd_job *job);

/* The answer in place of what must not pass: status and plain words. */
unsigned clamd_job_answer(const struct clamd_job *job, enum end_reason *reason, const char **why);

/* exchange_answer(), which reaches who waits for a fetch, too. */
void clamd_answer_instead(struct exchange *ex, unsigned status, enum end_reason reason,
                          const char *why);

void clamd_job_end(struct clamd_job *job);

/* ---- clamd_content.c */

/* The rest of what job holds, and what follows it. */
struct source *clamd_content_begin(struct clamd_job *job);

/* There may be more of it now. */
void clamd_content_go_on(struct clamd_job *job);

void clamd_content_end(struct clamd_job *job);

#endif
