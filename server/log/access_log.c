/* SPDX-License-Identifier: BSD-2-Clause */
/* access_log.c - a format, a sink, and the ring between them. */
#include "config.h"

#include "server/log/access_log.h"

#include "server/log/log_format.h"
#include "server/log/log_privacy.h"
#include "server/log/log_thread.h"

struct access_log {
    struct log_sink *sink;
    const struct log_format *format;
    const struct log_privacy *privacy; /* NULL: nothing is concealed */
};

static void
release_sink(void *sink)
{
    log_sink_unref(sink);
}

struct access_log *
access_log_new(struct arena *arena, struct log_sink *sink, const struct log_format *format,
               const struct log_privacy *privacy)
{
    struct access_log *log = arena_alloc(arena, sizeof(*log));

    if (log == NULL) {
        log_sink_unref(sink);
        return NULL;
    }
    *log = (struct access_log){ .sink = sink, .format = format };
    if (privacy != NULL && log_privacy_conceals(privacy))
        log->privacy = privacy;
    return arena_defer(arena, release_sink, sink) == 0 ? log : NULL;
}

void
access_log_write(const struct access_log *log, const struct access_record *record)
{
    struct access_record concealed;
    struct log_concealed texts;
    size_t room, bytes;
    bool is_cut = false;
    char *line = log_begin(log->sink, LEVEL_INFO, record->wall_ms, &room);

    if (line == NULL)
        return;
    if (log->privacy != NULL) {
        concealed = *record;
        log_privacy_apply(log->privacy, &concealed, &texts);
        record = &concealed;
    }
    bytes = log_format_write(log->format, record, line, room, &is_cut);
    /* Cut for want of room in the ring only: drop it rather than lose its end. */
    if (bytes == 0 || (is_cut && room < LOG_LINE_MAX))
        log_abandon();
    else
        log_commit(bytes);
}
