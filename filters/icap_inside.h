/* SPDX-License-Identifier: BSD-2-Clause */
/* icap_inside.h - what the files of the filter icap share.
 *
 *     icap.c          options, hooks, what becomes of an outcome
 *     icap_job.c      one message is shown to the server: step by step
 *     icap_talk.c     bytes to and from the server
 *     icap_content.c  the content that the server gives back, as a source
 *     icap_write.c    the heads that the server is sent
 *     icap_apply.c    the heads that it gives back
 *     icap_reader.c   its answers
 *     icap_options.c  what it says of its services
 */
#ifndef BASCULE_ICAP_INSIDE_H
#define BASCULE_ICAP_INSIDE_H

#include "filters/filter.h"
#include "filters/hold.h"
#include "filters/icap_options.h"
#include "filters/icap_reader.h"
#include "filters/service.h"

/* A service: "icap://scan.example:1344/avscan". */
struct icap_target {
    const char *uri; /* NULL: there is none */
    const char *host;
};

struct icap_conf {
    struct filter_conf filter;
    struct service_conf service;
    const char *request, *response; /* as configured */
    struct icap_target to[2];       /* by enum icap_side */
    uint64_t preview_bytes, max_hold_bytes, max_bytes;
    uint32_t timeout_ms;
    int on_failure;
    int larger;
    bool sends_client_ip, sends_user, sends_username;
};

enum icap_side { ICAP_REQUEST, ICAP_RESPONSE };

/* Text that grows, on the heap. */
struct icap_text {
    char *data;
    size_t bytes, room;
    bool is_failed; /* memory was short: something is missing */
};

enum icap_outcome {
    ICAP_WAIT,      /* the exchange is resumed later */
    ICAP_UNCHANGED, /* the server has nothing to change */
    ICAP_IGNORED,   /* the service does not want to see it */
    ICAP_ANSWERED,  /* reader.reply has heads; icap_content() is the content */
    ICAP_FAILED,    /* no answer: why */
    ICAP_CUT,       /* the original content was cut short */
    ICAP_NO_MEMORY, /* to hold the content */
};

/* What of the content is sent next. */
enum icap_feed { ICAP_FEED_NOTHING, ICAP_FEED_HELD, ICAP_FEED_STREAM };

struct icap_job;
typedef enum icap_outcome icap_step(struct icap_job *job);

/* One message that is shown to the server. In the exchange's arena, zeroed at first. */
struct icap_job {
    const struct icap_conf *conf;
    struct exchange *ex;
    const struct icap_target *to;
    enum icap_side side;
    icap_step *step;
    const char *why;               /* static words: of a failure */
    unsigned tries;

    struct service_call call;
    struct service_connection *connection; /* lent; NULL: none */
    struct icap_options options;   /* of the service */
    bool knows_options;            /* they were asked for: good for this message, however short
                                    * their time, and at any address */
    enum icap_transfer transfer;
    unsigned options_pieces;       /* of content, in its answers about them */

    struct hold start, rest;       /* of the content: the preview, then up to max_hold */
    struct hold *hold;             /* the one that counts; NULL: there is no content */
    uint64_t sent_bytes;           /* of the content, so far */

    struct icap_text out;
    size_t out_at;
    enum icap_feed feed;
    const struct hold_chunk *chunk; /* of ICAP_FEED_HELD: where it is */
    size_t chunk_at;
    uint64_t skip_bytes;            /* of ICAP_FEED_STREAM: sent before */

    struct icap_reader reader;
    char *in;                       /* heap */
    size_t in_at, in_end;
    struct iovec pending[PIECE_SLICES]; /* content in in, not taken yet */
    unsigned pending_count, pending_at;
    struct task task;               /* more can be sent in another turn */
    const char *broken;             /* static words: the connection is of no use any more */

    struct source source;           /* of the content that comes back */
    struct sink sink;               /* while its head is awaited: takes nothing */
    struct source *tail;            /* the original content, as of use-original-body */
    uint64_t tail_skip_bytes;

    bool allows_204, allows_206;    /* as the request said */
    bool has_preview;               /* what was sent ended as a preview does, more may follow */
    bool was_asked;                 /* the question was written */
    bool was_heard;                 /* any byte of an answer */
    bool has_head;                  /* the reader has told of the heads */
    bool is_done;                   /* ... and of the end */
    bool reads_on;                  /* what follows the heads is wanted */
    bool is_content;                /* the heads were applied: source gives content */
    bool is_consumed;               /* some of the original is only with the server */
    bool is_cut;                    /* the original was cut short */
    bool is_deaf;                   /* the server reads no more of what we send */
};

/* ---- icap_job.c */

void icap_job_begin(struct icap_job *job, const struct icap_conf *conf, struct exchange *ex,
                    enum icap_side side);

/* Goes on. After ICAP_WAIT the exchange's on_resume is called, then call it again. */
enum icap_outcome icap_job_ask(struct icap_job *job);

/* Gives everything back; twice is fine. Unless is_consumed, the original content is in the
 * message as it was, and may go on. */
void icap_job_end(struct icap_job *job);

/* ---- icap_talk.c */

/* Takes the lent connection into use. */
void icap_talk_begin(struct icap_job *job);

/* Sends and reads what can be now. Look at broken, is_cut, has_head, is_done, pending. */
void icap_talk(struct icap_job *job);

/* Gets ready for the next answer on the connection. */
void icap_talk_next(struct icap_job *job);

/* Writes content of the hold as a preview of at most bytes. */
void icap_talk_preview(struct icap_job *job, uint64_t bytes);

/* Content follows, from behind sent_bytes on. */
void icap_talk_feed(struct icap_job *job);

/* The exchange of request and answer is over: the connection goes back, or is closed when
 * something is left on it. */
void icap_talk_end(struct icap_job *job);

/* ---- icap_content.c */

/* What the pump of the job's side reads while the heads are awaited: the original is sent
 * as it arrives. */
void icap_content_await(struct icap_job *job);

/* The content of the answer, whose heads were applied. */
struct source *icap_content(struct icap_job *job);

/* What is left of the original content is of no use. original may be NULL. */
void icap_give_up(struct source *original);

/* The pump that reads the content of that side. */
struct pump *icap_pump(struct icap_job *job);

/* ---- icap_write.c */

void icap_put(struct icap_text *text, struct slice part);
void icap_text_free(struct icap_text *text);

/* A question for the options of the service. */
void icap_write_options(struct icap_text *text, const struct icap_target *to);

/* REQMOD or RESPMOD with its heads; preview_bytes: ICAP_NO_PREVIEW or what is announced. */
void icap_write_question(struct icap_text *text, const struct icap_job *job,
                         uint64_t preview_bytes);

/* One chunk of content; the end of it. */
void icap_put_chunk(struct icap_text *text, const char *data, size_t bytes);
void icap_put_end(struct icap_text *text, bool is_ieof);

/* "http://www.example/path?query". Of the exchange's arena or request. */
struct slice icap_url(struct exchange *ex);

/* ---- icap_apply.c */

/* Makes the request or response what the reply says. Returns NULL, or static words that
 * say what is wrong with it; then nothing has changed. */
const char *icap_apply_request(struct icap_job *job);
const char *icap_apply_response(struct icap_job *job, bool is_made_up);

#endif
