/* SPDX-License-Identifier: BSD-2-Clause */
/* trail.c - an exchange as a record, and back.
 *
 *     record: head | piece | piece ...      piece: what, kind, bytes, line, text
 *
 * A thread's ring is found by the thread's number. The thread writes it without a
 * lock; the lock is for who reads it and for the thread when it replaces it.
 */
#include "config.h"

#include "modes/trail.h"

#include "modes/cached.h"
#include "modes/judge.h"
#include "modes/trail_ring.h"
#include "server/log/log_privacy.h"
#include "server/users/user.h"

#include <pthread.h>
#include <stdalign.h>
#include <stdlib.h>

#define RECORD_WORDS (TRAIL_RECORD_MAX / sizeof(uint64_t))

enum piece_kind {
    PIECE_LISTENER,
    PIECE_CLIENT,
    PIECE_METHOD,
    PIECE_URL,
    PIECE_USER,
    PIECE_SITE,
    PIECE_ROUTE,
    PIECE_GROUP,
    PIECE_ENDPOINT,
    PIECE_CACHE,
    PIECE_TAGS,
    PIECE_FILE, /* of the decisions that follow and have a line */
    PIECE_RULE, /* of the next decision: its name */
    PIECE_DECISION,
};

struct trail_piece {
    uint8_t what; /* enum piece_kind */
    uint8_t kind; /* of a decision */
    uint16_t bytes;
    uint32_t line;
};

struct record_head {
    struct trail_mark mark;
    uint64_t wall_ms;
    uint32_t duration_ms;
    uint16_t status, upstream_status;
    uint8_t end, is_tunnel, is_cut;
    uint8_t decisions;
    struct ip client; /* family 0: it is in a piece, or there is none */
    struct ip upstream;
};

struct thread_trail {
    alignas(64) pthread_mutex_t lock; /* of the pointer: readers hold it while they read */
    struct trail_ring *ring;          /* NULL: nothing is recorded */
};

static struct thread_trail trails[WORKERS_MAX] = {
    [0 ... WORKERS_MAX - 1] = { .lock = PTHREAD_MUTEX_INITIALIZER },
};

/* ---- size */

static void
move_records(const struct trail_ring *from, struct trail_ring *to)
{
    uint64_t record[RECORD_WORDS];
    struct trail_reader reader = { 0 };

    while (trail_ring_next(from, &reader, record, RECORD_WORDS))
        trail_ring_put(to, record);
}

void
trail_resize(unsigned worker_id, uint64_t bytes)
{
    struct thread_trail *trail = &trails[worker_id];
    struct trail_ring *old, *ring = NULL;

    must(worker_id < WORKERS_MAX);
    old = trail->ring;
    bytes &= ~(uint64_t)7;
    if (bytes == (old != NULL ? trail_ring_bytes(old) : 0))
        return;
    if (bytes > 0) {
        ring = trail_ring_new((size_t)bytes);
        if (ring == NULL)
            return;
        if (old != NULL)
            move_records(old, ring);
    }
    pthread_mutex_lock(&trail->lock);
    trail->ring = ring;
    pthread_mutex_unlock(&trail->lock);
    trail_ring_free(old);
}

/* ---- writing */

struct writer {
    char *at, *end;
    unsigned decisions;
    bool is_cut;
};

/* The bytes of the URL come in several slices. */
static void
put_slices(struct writer *writer, struct trail_piece piece, const struct slice *slices,
           unsigned count, size_t max)
{
    char *start = writer->at;
    size_t room;

    if ((size_t)(writer->end - start) < sizeof(piece) + 1) {
        writer->is_cut = true;
        return;
    }
    room = (size_t)(writer->end - start) - sizeof(piece);
    if (room > max)
        room = max;
    writer->at += sizeof(piece);
    for (unsigned i = 0; i < count; i++) {
        size_t bytes = slices[i].bytes < room ? slices[i].bytes : room;

        if (bytes > 0)
            writer->at = mempcpy(writer->at, slices[i].data, bytes);
        writer->is_cut |= bytes < slices[i].bytes;
        room -= bytes;
    }
    piece.bytes = (uint16_t)((size_t)(writer->at - start) - sizeof(piece));
    memcpy(start, &piece, sizeof(piece));
}

/* Most are short. */
static inline void
put_piece(struct writer *writer, struct trail_piece piece, struct slice text)
{
    if (unlikely(text.bytes > TRAIL_TEXT_MAX ||
                 (size_t)(writer->end - writer->at) < sizeof(piece) + TRAIL_TEXT_MAX)) {
        put_slices(writer, piece, &text, 1, TRAIL_TEXT_MAX);
        return;
    }
    piece.bytes = (uint16_t)text.bytes;
    memcpy(writer->at, &piece, sizeof(piece));
    writer->at += sizeof(piece);
    if (text.bytes > 0)
        writer->at = mempcpy(writer->at, text.data, text.bytes);
}

static void
put(struct writer *writer, enum piece_kind what, struct slice text)
{
    if (text.bytes > 0)
        put_piece(writer, (struct trail_piece){ .what = (uint8_t)what }, text);
}

/* What the access log conceals is not kept here either. */
static const struct log_privacy *
privacy_of(const struct exchange *ex)
{
    const struct access_log_conf *log = ex->listener->access_log;

    return log != NULL && unlikely(log_privacy_conceals(&log->privacy)) ? &log->privacy : NULL;
}

/* The usual case, without a loop. */
static bool
put_short_url(struct writer *writer, const struct request *request)
{
    size_t bytes = request->scheme.bytes + 3 + request->authority.bytes + request->target.bytes;
    struct trail_piece piece = { .what = PIECE_URL, .bytes = (uint16_t)bytes };
    char *at = writer->at;

    if (request->form != TARGET_ORIGIN || request->authority.bytes == 0 ||
        bytes > TRAIL_URL_MAX || (size_t)(writer->end - at) < sizeof(piece) + TRAIL_URL_MAX)
        return false;
    memcpy(at, &piece, sizeof(piece));
    at = mempcpy(at + sizeof(piece), request->scheme.data, request->scheme.bytes);
    memcpy(at, "://", 3);
    at = mempcpy(at + 3, request->authority.data, request->authority.bytes);
    writer->at = mempcpy(at, request->target.data, request->target.bytes);
    return true;
}

static void
put_url(struct writer *writer, const struct request *request, const struct log_privacy *privacy)
{
    struct slice slices[] = { request->scheme, SLICE("://"), request->authority, request->target };
    ptrdiff_t query = privacy != NULL && !privacy->has_queries ? slice_find(request->target, '?')
                                                               : -1;
    bool is_whole = request->form != TARGET_ORIGIN || request->authority.bytes == 0;

    if (privacy == NULL && put_short_url(writer, request))
        return;
    if (query >= 0)
        slices[3].bytes = (size_t)query;
    put_slices(writer, (struct trail_piece){ .what = PIECE_URL }, is_whole ? &slices[3] : slices,
               is_whole ? 1 : ARRAY_COUNT(slices), TRAIL_URL_MAX);
}

static void
put_decisions(struct writer *writer, const struct exchange *ex)
{
    const char *file = NULL;

    for (const struct decision *d = ex->decisions; d != NULL; d = d->next) {
        struct trail_piece piece = { .what = PIECE_DECISION, .kind = (uint8_t)d->kind };

        if (writer->decisions == TRAIL_DECISIONS_MAX) {
            writer->is_cut = true;
            return;
        }
        if (d->place != NULL && d->place->file != NULL) {
            piece.line = d->place->line;
            if (d->place->file != file)
                put(writer, PIECE_FILE, slice_of(d->place->file));
            file = d->place->file;
        }
        put(writer, PIECE_RULE, slice_of(d->rule));
        put_piece(writer, piece, d->what);
        writer->decisions++;
    }
}

static struct slice
cache_word(const struct exchange *ex)
{
    if (ex->cached == NULL)
        return slice_make(NULL, 0);
    if (ex->cached->is_stale)
        return SLICE("stale answer");
    return cache_status_word(ex->cached->outcome.forward);
}

static void
put_people(struct writer *writer, const struct exchange *ex, const struct log_privacy *privacy)
{
    char text[IP_TEXT_BYTES];

    if (privacy == NULL || privacy->users == LOG_USERS_FULL)
        put(writer, PIECE_USER, ex->user != NULL ? ex->user->name : slice_make(NULL, 0));
    if (privacy != NULL && privacy->clients != LOG_CLIENTS_FULL && ex->client_ip.family != 0)
        put(writer, PIECE_CLIENT,
            slice_make(text, log_privacy_client_text(privacy, &ex->client_ip, text)));
}

static void
put_pieces(struct writer *writer, const struct exchange *ex, const struct log_privacy *privacy)
{
    put(writer, PIECE_LISTENER, slice_of(ex->listener->name));
    put(writer, PIECE_METHOD, ex->request.method_name);
    put_url(writer, &ex->request, privacy);
    put_people(writer, ex, privacy);
    put(writer, PIECE_SITE, slice_of(ex->site != NULL ? ex->site->name : NULL));
    put(writer, PIECE_ROUTE, slice_of(ex->route != NULL ? ex->route->name : NULL));
    put(writer, PIECE_GROUP, slice_of(ex->to.group != NULL ? ex->to.group->name : NULL));
    put(writer, PIECE_ENDPOINT, slice_of(ex->endpoint != NULL ? ex->endpoint->to : NULL));
    put(writer, PIECE_CACHE, cache_word(ex));
    put(writer, PIECE_TAGS, judge_tags(ex));
    put_decisions(writer, ex);
}

static uint32_t
milliseconds(uint64_t ns)
{
    uint64_t ms = ns / 1000000;

    return ms < UINT32_MAX ? (uint32_t)ms : UINT32_MAX;
}

void
trail_record(const struct exchange *ex)
{
    struct trail_ring *ring = trails[ex->worker->id].ring;
    union {
        uint64_t words[RECORD_WORDS];
        struct record_head head;
        char bytes[TRAIL_RECORD_MAX];
    } record;
    struct writer writer = { .at = record.bytes + sizeof(record.head),
                             .end = record.bytes + sizeof(record.bytes) };
    const struct log_privacy *privacy = privacy_of(ex);
    const struct loop *loop = ex->worker->loop;
    size_t bytes;

    if (ring == NULL)
        return;
    put_pieces(&writer, ex, privacy);
    bytes = (size_t)(writer.at - record.bytes);
    memset(writer.at, 0, -bytes & 7);
    memset(&record.head, 0, sizeof(record.head));
    record.head.mark.words = (uint32_t)((bytes + 7) / 8);
    record.head.mark.more = (uint32_t)bytes;
    record.head.mark.id = ex->id;
    record.head.wall_ms = loop_wall_ms(loop);
    record.head.duration_ms = milliseconds(loop_now_ns(loop) - ex->phases.start_ns);
    record.head.status = ex->is_started || ex->is_answered ? ex->response.status : 0;
    record.head.upstream_status = ex->upstream_status;
    record.head.end = (uint8_t)ex->end;
    record.head.is_tunnel = ex->is_tunnel;
    record.head.is_cut = writer.is_cut;
    record.head.decisions = (uint8_t)writer.decisions;
    if (privacy == NULL || privacy->clients == LOG_CLIENTS_FULL)
        record.head.client = ex->client_ip;
    record.head.upstream = ex->upstream_ip;
    trail_ring_put(ring, record.words);
}

/* ---- reading */

/* What the next decision is about. */
struct about {
    struct slice file, rule;
};

static void
take_decision(struct trail_entry *entry, const struct trail_piece *piece, struct slice text,
              struct about *about)
{
    if (entry->decision_count == TRAIL_DECISIONS_MAX)
        return;
    entry->decisions[entry->decision_count++] = (struct trail_decision){
        .kind = (enum decision_kind)piece->kind,
        .what = text,
        .rule = about->rule,
        .file = piece->line > 0 ? about->file : slice_make("", 0),
        .line = piece->line,
    };
    about->rule = slice_make("", 0);
}

/* Where pieces that are about the whole exchange go. */
static const uint16_t members[] = {
    [PIECE_LISTENER] = offsetof(struct trail_entry, listener),
    [PIECE_CLIENT] = offsetof(struct trail_entry, client),
    [PIECE_METHOD] = offsetof(struct trail_entry, method),
    [PIECE_URL] = offsetof(struct trail_entry, url),
    [PIECE_USER] = offsetof(struct trail_entry, user),
    [PIECE_SITE] = offsetof(struct trail_entry, site),
    [PIECE_ROUTE] = offsetof(struct trail_entry, route),
    [PIECE_GROUP] = offsetof(struct trail_entry, group),
    [PIECE_ENDPOINT] = offsetof(struct trail_entry, endpoint),
    [PIECE_CACHE] = offsetof(struct trail_entry, cache),
    [PIECE_TAGS] = offsetof(struct trail_entry, tags),
};

static void
take_piece(struct trail_entry *entry, const struct trail_piece *piece, struct slice text,
           struct about *about)
{
    if (piece->what == PIECE_FILE)
        about->file = text;
    else if (piece->what == PIECE_RULE)
        about->rule = text;
    else if (piece->what == PIECE_DECISION)
        take_decision(entry, piece, text, about);
    else
        *(struct slice *)((char *)entry + members[piece->what]) = text;
}

/* entry->bytes holds the record; the rest of entry is zero. */
static void
take_apart(struct trail_entry *entry)
{
    struct about about = { slice_make("", 0), slice_make("", 0) };
    struct record_head head;
    const char *at, *end;

    memcpy(&head, entry->bytes, sizeof(head));
    entry->id = head.mark.id;
    entry->wall_ms = head.wall_ms;
    entry->duration_ms = head.duration_ms;
    entry->status = head.status;
    entry->upstream_status = head.upstream_status;
    entry->end = (enum end_reason)head.end;
    entry->is_tunnel = head.is_tunnel;
    entry->is_cut = head.is_cut;
    entry->upstream = head.upstream;
    if (head.client.family != 0)
        entry->client = slice_make(entry->client_text, ip_text(&head.client, entry->client_text));
    at = entry->bytes + sizeof(head);
    end = entry->bytes + head.mark.more;
    while (at < end) {
        struct trail_piece piece;

        memcpy(&piece, at, sizeof(piece));
        at += sizeof(piece);
        take_piece(entry, &piece, slice_make(at, piece.bytes), &about);
        at += piece.bytes;
    }
}

/* The end of a tunnel: after a reload nothing but what became of it is known then, and
 * the record of its beginning has the rest. */
static void
take_end(struct trail_entry *entry, const struct record_head *head)
{
    entry->wall_ms = head->wall_ms;
    entry->duration_ms = head->duration_ms;
    entry->end = (enum end_reason)head->end;
}

static void
take_record(struct trail_entry *entry, const uint64_t *record)
{
    struct record_head head;

    memcpy(&head, record, sizeof(head));
    if (entry->decision_count > 0 && head.decisions == 0) {
        take_end(entry, &head);
        return;
    }
    memset(entry, 0, sizeof(*entry));
    memcpy(entry->bytes, record, head.mark.words * sizeof(*record));
    take_apart(entry);
}

static bool
find_in(struct thread_trail *trail, uint64_t id, struct trail_entry *entry)
{
    struct trail_reader reader = { 0 };
    uint64_t record[RECORD_WORDS]; /* what is behind a short one's end is not looked at */
    bool is_found = false;

    pthread_mutex_lock(&trail->lock);
    while (trail->ring != NULL &&
           trail_ring_next_of(trail->ring, &reader, id, record, RECORD_WORDS)) {
        take_record(entry, record);
        is_found = true;
    }
    pthread_mutex_unlock(&trail->lock);
    return is_found;
}

bool
trail_find(uint64_t id, struct trail_entry *entry)
{
    memset(entry, 0, sizeof(*entry));
    for (size_t i = 0; i < WORKERS_MAX; i++)
        if (find_in(&trails[i], id, entry))
            return true;
    return false;
}

static void
look_at_oldest(const struct trail_ring *ring, uint64_t now_wall_ms, uint64_t *oldest_s)
{
    union {
        uint64_t words[RECORD_WORDS];
        struct record_head head;
    } record;
    struct trail_reader reader = { 0 };

    if (!trail_ring_next(ring, &reader, record.words, RECORD_WORDS) ||
        record.head.wall_ms > now_wall_ms)
        return;
    if ((now_wall_ms - record.head.wall_ms) / 1000 > *oldest_s)
        *oldest_s = (now_wall_ms - record.head.wall_ms) / 1000;
}

bool
trail_is_kept(uint64_t now_wall_ms, uint64_t *oldest_s)
{
    bool is_kept = false;

    *oldest_s = 0;
    for (size_t i = 0; i < WORKERS_MAX; i++) {
        pthread_mutex_lock(&trails[i].lock);
        if (trails[i].ring != NULL) {
            is_kept = true;
            look_at_oldest(trails[i].ring, now_wall_ms, oldest_s);
        }
        pthread_mutex_unlock(&trails[i].lock);
    }
    return is_kept;
}

const char *
trail_kind_word(enum decision_kind kind)
{
    static const char *const words[] = {
        [DECISION_ALLOW] = "allow",   [DECISION_DENY] = "deny",
        [DECISION_RULE] = "rule",     [DECISION_ROUTE] = "route",
        [DECISION_ENDPOINT] = "endpoint", [DECISION_FILTER] = "filter",
        [DECISION_FAILURE] = "failure",
    };

    return words[kind];
}
