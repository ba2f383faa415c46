/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_flood.h - what a client may ask of us that costs it less than us.
 *
 * Frames that are of no use (PING, SETTINGS, PRIORITY, empty ones) are counted
 * over a window of time, and so are resets, also those of ours that the client has
 * provoked; useful frames pay for some others: content for WINDOW_UPDATE, requests
 * for their priorities. Over a limit, the connection is told ENHANCE_YOUR_CALM, and
 * ends when that has left.
 */
#ifndef BASCULE_H2_FLOOD_H
#define BASCULE_H2_FLOOD_H

#include "server/http/h2_session.h"

struct ip;
struct listener_conf;

struct h2_flood {
    struct h2_session *session;
    const struct ip *client;
    const struct listener_conf *listener; /* with the limits; NULL: it is gone */
    uint64_t window_ms; /* when counting began: */
    uint64_t control_frames, useful_frames, resets;
    uint32_t last_id;   /* of a stream that was let in */
    uint32_t streams;   /* that were */
    bool has_reset;     /* some stream */
    bool is_hostile;    /* a limit was hit: nothing goes on */
    bool is_ending;     /* a GOAWAY with an error has been made, or is to be: no new streams */
};

/* Borrows all; session was opened. The owner sets listener anew after a reload. */
void h2_flood_init(struct h2_flood *flood, struct h2_session *session, const struct ip *client,
                   const struct listener_conf *listener);

/* A stream was let in. */
void h2_flood_opened(struct h2_flood *flood, int32_t id);

/* What the session's owner hears (struct h2_session_ops). */
void h2_flood_on_frame_begin(struct h2_flood *flood, const nghttp2_frame_hd *frame);
void h2_flood_on_frame(struct h2_flood *flood, const nghttp2_frame *frame);
void h2_flood_on_frame_made(struct h2_flood *flood, const nghttp2_frame *frame);

/* Counts and logs a flood of what, "too many ...", of which somebody else knows. */
void h2_flood_say(const struct h2_flood *flood, const char *what);

#endif
