/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_session.h - what both sides of HTTP/2 share: frames over a connection.
 *
 *   conn --read--> nghttp2 --> streams: news, content held ----offer----> pump
 *        <--send-- output <--- nghttp2 <--- streams: head, DATA <---put--- pump
 *
 * nghttp2 frames, keeps the windows and codes fields; everything else is ours.
 * Its callbacks only note what happened (news). Streams hear of it once nghttp2
 * has returned, so that whatever they do then (end exchanges, send, reset) never
 * happens inside of it.
 *
 * Content that arrived and was not taken is held in blocks of the worker's pool,
 * within a window for each stream and a budget for the connection. Content to
 * be sent goes straight from a pump's piece behind its frame header in the
 * output, of which so much is made as one turn can send; a stream that finds no
 * room there waits, by urgency (RFC 9218). What is made in a turn leaves in one call.
 */
#ifndef BASCULE_H2_SESSION_H
#define BASCULE_H2_SESSION_H

#include <nghttp2/nghttp2.h>

#include "server/http/body.h"
#include "server/http/h2_fields.h"
#include "server/http/h2_run.h"
#include "server/http/rate_guard.h"
#include "server/net/conn.h"

struct h2_session;
struct h2_stream;
struct worker;

/* What happened to a stream since it was told last. */
enum {
    H2_NEWS_HEAD = 1,    /* on_head() took one in */
    H2_NEWS_CONTENT = 2, /* content, trailers or the end arrived */
    H2_NEWS_CLOSED = 4,  /* no frame comes or goes any more: stream->error says why */
};

struct h2_session_ops {
    /* ---- called from within nghttp2: these only note things */

    /* Server side: the peer begins a stream. Its struct (h2_stream_init() was
     * called), or NULL: refused. */
    struct h2_stream *(*on_open)(struct h2_session *session, int32_t id);
    /* A field section begins: where its lines go. NULL: it does not matter any more. */
    struct h2_head *(*on_head_begin)(struct h2_stream *stream, bool is_first);
    /* It is whole (stream->saw_end: and nothing follows). Sets stream->has_head when
     * it was a final one, and then length. False: the stream must be reset with
     * PROTOCOL_ERROR. */
    bool (*on_head)(struct h2_stream *stream, bool is_first);
    /* A frame's header is next, of any frame, known or not (from outside of nghttp2,
     * which knows only of what came in earlier reads); a frame arrived whole; one
     * of ours was made. NULL: not interested. */
    void (*on_frame_begin)(struct h2_session *session, const nghttp2_frame_hd *frame);
    void (*on_frame)(struct h2_session *session, const nghttp2_frame *frame);
    void (*on_frame_made)(struct h2_session *session, const nghttp2_frame *frame);

    /* ---- called from outside of it */

    void (*on_news)(struct h2_stream *stream, unsigned news);
    /* All output has left and nothing waits to be made. */
    void (*on_flushed)(struct h2_session *session);
    /* Server side: enough has left for h2_session_read() to go on. */
    void (*on_room)(struct h2_session *session);
    /* A send failed, or memory is short: nothing but the end is left. Called
     * once; from a task, never from within a call by the owner. */
    void (*on_broken)(struct h2_session *session);
};

struct h2_session_conf {
    bool is_server;
    bool allows_connect;   /* SETTINGS_ENABLE_CONNECT_PROTOCOL (RFC 8441) */
    uint32_t streams;      /* that the peer may open */
    uint32_t window_bytes; /* of each stream */
    uint64_t buffer_bytes; /* content of all streams held */
    uint32_t head_bytes;   /* SETTINGS_MAX_HEADER_LIST_SIZE */
    uint64_t output_bytes; /* control frames that may wait; 0: no bound */
};

#define H2_URGENCIES 8

struct h2_session {
    nghttp2_session *ng;
    struct conn *conn;
    struct worker *worker;
    const struct h2_session_ops *ops;
    struct list streams;               /* all of them */
    struct list news;                  /* of streams to be told */
    struct list waiting[H2_URGENCIES]; /* of streams whose sink waits for room */
    uint32_t waiters;                  /* on them */
    uint32_t active[H2_URGENCIES];     /* streams with content of ours to come */
    struct h2_head *head;              /* whose lines arrive now, perhaps over several reads */
    struct h2_stream *head_stream;     /* to which it belongs */
    struct h2_stream *head_of;         /* for comparison only: it may be gone */
    struct task task;                  /* makes and sends output at the end of the turn */
    struct h2_run out;                 /* frames to be sent */
    uint32_t out_bytes, control_bytes; /* of them; of them neither content nor head */
    uint64_t held_bytes;               /* content of all streams not taken yet */
    uint64_t owed_bytes;               /* of the connection's window, not given back yet */
    uint64_t free_held_bytes;          /* so much may be held without being owed */
    uint64_t sent_bytes;               /* content of all streams, ever */
    uint64_t output_bytes;
    uint32_t open_streams;             /* structs */
    uint32_t turn;                     /* number of the task's run */
    uint32_t heads;                    /* field sections that began, modulo 2^32 */
    struct rate_guard *guard;          /* of the owner: the socket takes nothing */
    uint32_t walked;                   /* bytes of frame_head */
    uint32_t frame_left;               /* of the frame that bytes are in: still to come */
    char frame_head[9];
    int32_t peer_window, widest;       /* SETTINGS_INITIAL_WINDOW_SIZE, and what came of it */
    char *data_head;                   /* where the next DATA frame's header goes */
    bool is_server;
    bool is_over;                      /* broken, or h2_session_close() */
    bool was_told;                     /* on_broken was called, or need not be */
    bool is_flooded;                   /* broken by control frames over output_bytes */
    bool is_full;                      /* so much waits for the socket that nothing is read */
};

/* One request and response on a connection; embedded in the owner's struct. */
struct h2_stream {
    struct h2_session *session;
    struct source source;   /* the content that the peer sends */
    struct sink sink;       /* for ours */
    struct list link, news_link, wait_link;
    struct h2_run in;       /* content not taken yet */
    uint64_t in_bytes;
    uint64_t received_bytes; /* content, ever */
    uint64_t sent_bytes;
    uint64_t moved_bytes;    /* h2_stream_moved_bytes(), and of what it was made: */
    uint64_t moved_own, moved_all; /* sent_bytes of the stream and of the session then */
    uint64_t wire_in, wire_out; /* the same with frame headers, heads as they were coded */
    uint64_t length;        /* of the peer's content, as announced; LENGTH_UNKNOWN */
    const uint64_t *limit_bytes; /* of content to be taken; NULL or 0: none */
    struct rate_guard *in_guard, *out_guard; /* of the owner, who must stop them; NULL: none */
    const struct piece *piece; /* being put */
    size_t piece_taken;
    uint32_t turn, turn_bytes; /* when it was its turn, and what it made since */
    const struct fields *trailers; /* to be sent */
    struct arena *arena;    /* for them */
    int32_t id;
    uint32_t error;         /* NGHTTP2_* code it was closed with */
    struct h2_priority priority;
    uint8_t news;
    bool has_head : 1;      /* of the peer: a final one was seen */
    bool saw_end : 1;       /* the peer has ended its side */
    bool is_cut : 1;        /* ... by a reset, or against the rules */
    bool is_closed : 1;
    bool is_over_limit : 1;
    bool awaits_continue : 1; /* the peer need not send before it was told to */
    bool is_ending : 1;     /* our content is whole */
    bool sent_head : 1;     /* a final one was submitted */
    bool sent_end : 1;      /* END_STREAM was made */
    bool keeps_open : 1;    /* the owner's wish: no END_STREAM; a reset follows, or a tunnel */
    bool is_deferred : 1;   /* nghttp2 waits until we resume it */
    bool is_active : 1;     /* counted in session->active */
    bool is_left : 1;       /* nobody takes the peer's content now */
    bool is_unwanted : 1;   /* it is thrown away */
    bool is_relay : 1;      /* the owner's mark: it carries a tunnel */
};

/* ---- the session */

/* Begins with our SETTINGS in the output. Borrows all but conf. 0, or -1. */
MUST_USE int h2_session_init(struct h2_session *session, struct worker *worker,
                             struct conn *conn, const struct h2_session_ops *ops,
                             const struct h2_session_conf *conf);

/* No more calls; output is dropped. What is in streams is theirs: h2_stream_fini(). */
void h2_session_close(struct h2_session *session);

/* Frees. Streams must be gone. Not from within a callback of this turn. */
void h2_session_fini(struct h2_session *session);

/* Reads what is there, within a share of the turn, and tells the streams. A server
 * reads nothing while the peer leaves too much of its answers: on_room().
 * FLOW_MORE: more may be there (call again in another turn), FLOW_WAIT, FLOW_END:
 * the peer has ended its side, FLOW_FAILED: the connection is broken, or what came
 * is no HTTP/2. After an error that nghttp2 answers with GOAWAY the session goes
 * on until that has left: h2_session_is_done(). */
enum flow h2_session_read(struct h2_session *session);

/* The same with bytes that were read by somebody else. */
enum flow h2_session_feed(struct h2_session *session, struct slice bytes);

/* Has what nghttp2 has to say sent at the end of the turn. */
void h2_session_flush(struct h2_session *session);

/* The same at once. FLOW_END: all has left, FLOW_WAIT, FLOW_FAILED. */
enum flow h2_session_send(struct h2_session *session);

/* Whether nghttp2 neither expects nor has anything more: GOAWAY was sent, or received,
 * and no stream is left. */
bool h2_session_is_done(const struct h2_session *session);

/* ---- its streams */

/* A stream; a server's with the id it was opened with, a client's with id 0
 * until h2_stream_open(). Zeroes it. */
void h2_stream_init(struct h2_stream *stream, struct h2_session *session, int32_t id);

/* Forgets the stream: what is held is dropped, nothing will be heard of it. One
 * that is not closed, and not about to be as both sides have ended, is reset with
 * error. Pumps must be stopped. */
void h2_stream_fini(struct h2_stream *stream, uint32_t error);

/* Another struct takes its place, without guards, limit, trailers and pumps. */
void h2_stream_move(struct h2_stream *to, struct h2_stream *from);

/* Client side: opens it with a request's head. 0, or -1. */
MUST_USE int h2_stream_open(struct h2_stream *stream, const struct h2_lines *lines, bool is_end);

/* Sends a head: a final one unless is_interim. Lines must live until sink's put,
 * end or flush was called next (h2_lines_of_...); interim ones are copied. */
MUST_USE int h2_stream_send_head(struct h2_stream *stream, const struct h2_lines *lines,
                                 bool is_end, bool is_interim);

/* Resets it; the owner hears of H2_NEWS_CLOSED. Twice is fine. */
void h2_stream_reset(struct h2_stream *stream, uint32_t error);

/* The peer was told to go on: now it has to. */
void h2_stream_continue(struct h2_stream *stream);

/* Content that was sent, for out_guard: what it has grown by since it was asked last
 * is the stream's own, or that of all streams if this one's window is open: then it
 * waits for the connection's, and may have to let others pass. Nothing but content
 * counts: a peer whose windows are shut gains no time by having us answer to PING. */
uint64_t h2_stream_moved_bytes(struct h2_stream *stream);

/* Its place among those that wait. */
void h2_stream_set_priority(struct h2_stream *stream, const struct h2_priority *priority);

/* The stream of that id; NULL when it was forgotten or never was. */
struct h2_stream *h2_session_stream(const struct h2_session *session, int32_t id);

#endif
