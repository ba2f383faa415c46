/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_flood.c - counting frames against the listener's limits. */
#include "config.h"

#include "server/http/h2_flood.h"

#include "server/base/log.h"
#include "server/net/listener.h"
#include "server/schema.h"
#include "server/worker.h"

#define SAY_MS 10000u /* floods are reported once in that time */

void
h2_flood_init(struct h2_flood *flood, struct h2_session *session, const struct ip *client,
              const struct listener_conf *listener)
{
    *flood = (struct h2_flood){
        .session = session,
        .client = client,
        .listener = listener,
        .window_ms = loop_now_ms(session->conn->loop),
    };
}

void
h2_flood_opened(struct h2_flood *flood, int32_t id)
{
    flood->last_id = (uint32_t)id;
    flood->streams++;
}

/* ---- what is said of it */

void
h2_flood_say(const struct h2_flood *flood, const char *what)
{
    static _Thread_local uint64_t said_ms;
    uint64_t now_ms = loop_now_ms(flood->session->conn->loop);
    char client[IP_TEXT_BYTES];

    counter_up(flood->session->worker->counters, h2_floods);
    counter_up(flood->session->worker->counters, limits_hit);
    if (said_ms != 0 && now_ms - said_ms < SAY_MS)
        return;
    said_ms = now_ms;
    log_warn("listener \"%s\": %s of client %s over HTTP/2: connection closed",
             flood->listener != NULL ? flood->listener->name : "-", what,
             listener_client_text(flood->listener, flood->client, client));
}

/* Callable from within nghttp2. What is in progress ends when this has left. */
static void
end_flood(struct h2_flood *flood, const char *what)
{
    if (flood->is_hostile)
        return;
    flood->is_hostile = flood->is_ending = true;
    h2_flood_say(flood, what);
    nghttp2_session_terminate_session(flood->session->ng, NGHTTP2_ENHANCE_YOUR_CALM);
}

/* ---- what counts */

/* The limits of frames are those of the window of time that now belongs to. */
static void
begin_window(struct h2_flood *flood)
{
    uint64_t now_ms = loop_now_ms(flood->session->conn->loop);

    if (now_ms - flood->window_ms < flood->listener->h2.rate_ms)
        return;
    flood->window_ms = now_ms;
    flood->control_frames = flood->useful_frames = flood->resets = 0;
}

static void
count_reset(struct h2_flood *flood)
{
    counter_up(flood->session->worker->counters, h2_resets);
    if (flood->listener == NULL)
        return;
    begin_window(flood);
    if (++flood->resets > (uint64_t)flood->listener->h2.resets)
        end_flood(flood, "too many resets");
}

static void
count_control(struct h2_flood *flood)
{
    uint64_t paid;

    if (flood->listener == NULL)
        return;
    begin_window(flood);
    paid = (uint64_t)flood->listener->h2.control_frames + 2 * flood->useful_frames;
    if (++flood->control_frames > paid)
        end_flood(flood, "too many control frames");
}

/* Section 5.1: HEADERS or DATA on a stream that is closed. What was on its way when
 * we reset a stream is passed over; a stream that was passed over when a later
 * one began is closed too, but the error is another. */
static void
check_stream(struct h2_flood *flood, const nghttp2_frame_hd *frame)
{
    uint32_t id = (uint32_t)frame->stream_id;

    if (id > flood->last_id || id % 2 == 0 || flood->has_reset ||
        nghttp2_session_find_stream(flood->session->ng, frame->stream_id) != NULL)
        return;
    nghttp2_session_terminate_session(flood->session->ng,
                                      flood->last_id == 2 * flood->streams - 1
                                          ? NGHTTP2_STREAM_CLOSED : NGHTTP2_PROTOCOL_ERROR);
}

/* ---- frames */

void
h2_flood_on_frame_begin(struct h2_flood *flood, const nghttp2_frame_hd *frame)
{
    if (frame->type == NGHTTP2_HEADERS || frame->type == NGHTTP2_DATA)
        check_stream(flood, frame);
    switch (frame->type) {
    case NGHTTP2_HEADERS:
        flood->useful_frames++;
        return;
    case NGHTTP2_DATA:
        if (frame->length > 0)
            flood->useful_frames++;
        else if (!(frame->flags & NGHTTP2_FLAG_END_STREAM))
            count_control(flood);
        return;
    case NGHTTP2_RST_STREAM:
        count_reset(flood);
        return;
    case NGHTTP2_PRIORITY: /* nghttp2 does not look at it, since nobody needs it */
        if (frame->stream_id == 0)
            nghttp2_session_terminate_session(flood->session->ng, NGHTTP2_PROTOCOL_ERROR);
        count_control(flood);
        return;
    default:
        count_control(flood);
    }
}

/* Content that is nothing but padding. */
void
h2_flood_on_frame(struct h2_flood *flood, const nghttp2_frame *frame)
{
    if (frame->hd.type != NGHTTP2_DATA || frame->hd.length == 0 ||
        frame->hd.length > frame->data.padlen || (frame->hd.flags & NGHTTP2_FLAG_END_STREAM))
        return;
    if (flood->useful_frames > 0)
        flood->useful_frames--;
    count_control(flood);
}

/* Resets of ours that the client has provoked count as its own. */
void
h2_flood_on_frame_made(struct h2_flood *flood, const nghttp2_frame *frame)
{
    switch (frame->hd.type) {
    case NGHTTP2_DATA:
        flood->useful_frames++;
        return;
    case NGHTTP2_RST_STREAM:
        flood->has_reset = true;
        if (frame->rst_stream.error_code != NGHTTP2_NO_ERROR &&
            frame->rst_stream.error_code != NGHTTP2_INTERNAL_ERROR &&
            frame->rst_stream.error_code != NGHTTP2_CANCEL &&
            frame->rst_stream.error_code != NGHTTP2_CONNECT_ERROR)
            count_reset(flood);
        return;
    case NGHTTP2_GOAWAY:
        if (frame->goaway.error_code != NGHTTP2_NO_ERROR && !flood->is_hostile) {
            flood->is_ending = true;
            counter_up(flood->session->worker->counters, h2_errors);
            counter_up(flood->session->worker->counters, requests_bad);
            log_debug("HTTP/2 error %u of a client", frame->goaway.error_code);
        }
        return;
    default:
        return;
    }
}
