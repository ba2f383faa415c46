/* SPDX-License-Identifier: BSD-2-Clause */
/* clamd_scan.c - INSTREAM: chunks of content, each behind its length in four bytes, the
 * most significant first; a length of 0 is the end (clamd(8)).
 *
 * Chunks are written where they are sent from. The last one grows until some of it was sent,
 * so that content which comes in crumbs does not go out in crumbs.
 *
 * clamd may answer, and close, before it has read all: then sending fails, and what it said
 * is read all the same.
 */
#include "config.h"

#include "filters/clamd_scan.h"

#include <stdlib.h>

#define BUFFER_BYTES (32u * 1024)
#define HEAD_BYTES 4u
#define NO_CHUNK SIZE_MAX

static const char command[] = "zINSTREAM"; /* with its NUL */

/* ---- the verdict */

static void
finish(struct clamd_scan *scan, enum clamd_verdict verdict, const char *why)
{
    struct service_connection *connection = scan->connection;

    scan->verdict = verdict;
    scan->why = why;
    scan->connection = NULL;
    free(scan->out);
    scan->out = NULL;
    scan->at = scan->end = 0;
    if (connection == NULL)
        return;
    if (verdict == CLAMD_FAILED)
        service_fail(connection, scan->service);
    else
        service_drop(connection);
}

/* A clean bill for what it has not seen all of is none. */
static void
judge(struct clamd_scan *scan, enum clamd_reply reply)
{
    bool has_all = scan->is_ending && scan->at == scan->end;

    switch (reply) {
    case CLAMD_REPLY_MORE:
        return;
    case CLAMD_REPLY_OK:
        if (has_all)
            finish(scan, CLAMD_CLEAN, NULL);
        else
            finish(scan, CLAMD_FAILED, "it answered before it had all");
        return;
    case CLAMD_REPLY_FOUND:
        finish(scan, CLAMD_INFECTED, NULL);
        return;
    case CLAMD_REPLY_TOO_LONG:
        finish(scan, CLAMD_TOO_LONG, "the content is longer than clamd's StreamMaxLength");
        return;
    case CLAMD_REPLY_ERROR:
        finish(scan, CLAMD_FAILED, "it could not scan the content");
        return;
    case CLAMD_REPLY_NONSENSE:
        finish(scan, CLAMD_FAILED, "its answer makes no sense");
        return;
    }
}

/* ---- the connection */

static void
hear(struct clamd_scan *scan)
{
    char data[CLAMD_ANSWER_BYTES];

    while (scan->connection != NULL) {
        ssize_t got = conn_recv(&scan->connection->conn, data, sizeof(data));

        if (got == CONN_WAIT)
            return;
        if (got <= 0)
            finish(scan, CLAMD_FAILED, "it ended the connection without an answer");
        else
            judge(scan, clamd_answer_read(&scan->answer, data, (size_t)got));
    }
}

/* Its time runs while it is clamd that we wait for. */
static void
watch_time(struct clamd_scan *scan, bool was_active)
{
    struct conn *conn = &scan->connection->conn;

    if (scan->at == scan->end && !scan->is_ending)
        timer_disarm(&conn->timer);
    else if (was_active || !timer_is_armed(&conn->timer))
        timer_arm(conn->loop, &conn->timer, scan->timeout_ms);
}

void
clamd_scan_send(struct clamd_scan *scan)
{
    bool was_active = false;

    while (scan->connection != NULL && scan->at < scan->end) {
        struct iovec rest = { scan->out + scan->at, scan->end - scan->at };
        ssize_t sent = conn_send(&scan->connection->conn, &rest, 1, false);

        if (sent == CONN_WAIT)
            break;
        if (sent < 0) {
            scan->connection->conn.may_read = true; /* the event may not have come yet */
            hear(scan);
            if (scan->connection != NULL)
                finish(scan, CLAMD_FAILED, "it broke the connection");
            return;
        }
        scan->chunk = NO_CHUNK;
        scan->at += (size_t)sent;
        was_active = true;
    }
    if (scan->connection != NULL)
        watch_time(scan, was_active);
}

static void
on_ready(struct conn *conn)
{
    struct clamd_scan *scan = container_of(conn, struct service_connection, conn)->owner;

    hear(scan);
    clamd_scan_send(scan);
    if (scan->verdict != CLAMD_PENDING || clamd_scan_room(scan) > 0)
        scan->on_change(scan);
}

static void
on_due(struct timer *timer)
{
    struct conn *conn = container_of(timer, struct conn, timer);
    struct clamd_scan *scan = container_of(conn, struct service_connection, conn)->owner;

    finish(scan, CLAMD_FAILED, "it took too long");
    scan->on_change(scan);
}

static void
on_open(struct service_call *call, struct service_connection *connection, const char *why)
{
    struct clamd_scan *scan = container_of(call, struct clamd_scan, call);

    scan->connection = connection;
    if (connection == NULL) {
        finish(scan, CLAMD_FAILED, why);
    } else if ((scan->out = malloc(BUFFER_BYTES)) == NULL) {
        scan->connection = NULL;
        service_drop(connection);
        finish(scan, CLAMD_FAILED, "out of memory");
    } else {
        connection->owner = scan;
        connection->conn.on_ready = on_ready;
        connection->conn.timer.on_due = on_due;
        memcpy(scan->out, command, sizeof(command));
        scan->end = sizeof(command);
        clamd_scan_send(scan);
    }
    scan->on_change(scan);
}

void
clamd_scan_begin(struct clamd_scan *scan, struct worker *worker,
                 const struct service_conf *service, uint32_t timeout_ms,
                 void (*on_change)(struct clamd_scan *))
{
    must(!scan->is_begun);
    scan->is_begun = true;
    scan->service = service;
    scan->timeout_ms = timeout_ms;
    scan->on_change = on_change;
    scan->chunk = NO_CHUNK;
    service_open(&scan->call, worker, service, SERVICE_FRESH, on_open);
}

/* ---- content */

static void
write_length(char *at, size_t bytes)
{
    for (unsigned i = 0; i < HEAD_BYTES; i++)
        at[i] = (char)(bytes >> (8 * (HEAD_BYTES - 1 - i)));
}

/* To the front of the buffer. */
static void
compact(struct clamd_scan *scan)
{
    if (scan->at == 0)
        return;
    memmove(scan->out, scan->out + scan->at, scan->end - scan->at);
    if (scan->chunk != NO_CHUNK)
        scan->chunk -= scan->at;
    scan->end -= scan->at;
    scan->at = 0;
}

size_t
clamd_scan_room(struct clamd_scan *scan)
{
    size_t heads = 2 * HEAD_BYTES; /* of another chunk, and the end */

    if (scan->connection == NULL || scan->is_ending)
        return 0;
    if (BUFFER_BYTES - scan->end < BUFFER_BYTES / 2)
        compact(scan);
    return BUFFER_BYTES - scan->end > heads ? BUFFER_BYTES - scan->end - heads : 0;
}

void
clamd_scan_put(struct clamd_scan *scan, const char *data, size_t bytes)
{
    must(bytes <= clamd_scan_room(scan));
    if (bytes == 0)
        return;
    if (scan->chunk == NO_CHUNK) {
        scan->chunk = scan->end;
        scan->end += HEAD_BYTES;
    }
    memcpy(scan->out + scan->end, data, bytes);
    scan->end += bytes;
    write_length(scan->out + scan->chunk, scan->end - scan->chunk - HEAD_BYTES);
}

void
clamd_scan_end(struct clamd_scan *scan)
{
    if (scan->connection == NULL || scan->is_ending)
        return;
    scan->is_ending = true;
    write_length(scan->out + scan->end, 0);
    scan->end += HEAD_BYTES;
    clamd_scan_send(scan);
}

void
clamd_scan_drop(struct clamd_scan *scan)
{
    if (!scan->is_begun)
        return;
    service_cancel(&scan->call);
    if (scan->connection != NULL)
        service_drop(scan->connection);
    scan->connection = NULL;
    free(scan->out);
    scan->out = NULL;
    scan->at = scan->end = 0;
}
