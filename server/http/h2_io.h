/* SPDX-License-Identifier: BSD-2-Clause */
/* h2_io.h - what the three files of an HTTP/2 session know of each other:
 * h2_session.c, h2_input.c and h2_output.c.
 */
#ifndef BASCULE_H2_IO_H
#define BASCULE_H2_IO_H

#include "server/http/h2_session.h"

#define FRAME_HEAD_BYTES 9u
#define CONNECTION_WINDOW_BYTES 65535u /* that every connection starts with */
#define WINDOW_MAX ((1u << 31) - 1)

/* ---- h2_session.c */

/* It is over; the owner hears of it from the task. */
void h2_session_break_off(struct h2_session *session);

/* To be told by h2_session_tell_news(), which may end streams and the session. */
void h2_stream_add_news(struct h2_stream *stream, unsigned news);
void h2_session_tell_news(struct h2_session *session);

/* ---- h2_input.c */

extern const struct source_ops h2_source_ops;
void h2_input_register(nghttp2_session_callbacks *callbacks);

/* Content that nobody takes any more: what is held, and what still comes, too. */
void h2_stream_drop_content(struct h2_stream *stream);
void h2_stream_refuse_content(struct h2_stream *stream);

/* Whether so much waits for the socket that nothing is read. */
bool h2_session_is_full(const struct h2_session *session);

/* ---- h2_output.c */

extern const struct sink_ops h2_sink_ops;
void h2_output_register(nghttp2_session_callbacks *callbacks);

/* The session's task. */
void h2_output_run(struct task *task);

/* The read callback of all content. */
ssize_t h2_output_read(nghttp2_session *ng, int32_t id, uint8_t *buffer, size_t room,
                       uint32_t *flags, nghttp2_data_source *source, void *arg);

/* Whether it has content to come, which others of less urgency wait for. */
void h2_stream_set_active(struct h2_stream *stream, bool is_active);
void h2_stream_stop_waiting(struct h2_stream *stream);

#endif
