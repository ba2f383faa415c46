/* SPDX-License-Identifier: BSD-2-Clause */
/* clamd_scan.h - one piece of content is scanned: sent to clamd, and its verdict read.
 *
 *     clamd_scan_begin() --> clamd_scan_put() ... --> clamd_scan_end() --> verdict
 *
 * It has a connection of its own, which clamd ends with its answer. Whoever puts content
 * waits for room; memory is one buffer.
 */
#ifndef BASCULE_CLAMD_SCAN_H
#define BASCULE_CLAMD_SCAN_H

#include "filters/clamd_answer.h"
#include "filters/service.h"

enum clamd_verdict {
    CLAMD_PENDING,
    CLAMD_CLEAN,
    CLAMD_INFECTED,
    CLAMD_TOO_LONG,   /* longer than what is scanned */
    CLAMD_UNREADABLE, /* a coding or a form that is not understood; a scan never says so */
    CLAMD_FAILED,     /* there is no verdict */
};

/* Zeroed at first, and again after clamd_scan_drop() to be used once more. */
struct clamd_scan {
    enum clamd_verdict verdict;
    const char *why;            /* static words: of a failure */
    struct clamd_answer answer; /* with CLAMD_INFECTED: answer.name */
    bool is_begun, is_ending;   /* as called; all else is private */

    const struct service_conf *service;
    uint32_t timeout_ms;
    void (*on_change)(struct clamd_scan *scan);
    struct service_call call;
    struct service_connection *connection; /* NULL: not open yet, or not any more */
    char *out;
    size_t at, end;             /* of out: what is to be sent */
    size_t chunk;               /* where the chunk that may grow begins; NO_CHUNK: none */
};

/* Opens a connection. on_change is called when there is room, or a verdict; from the loop,
 * never from the functions here. Borrows worker and service. timeout_ms: how long clamd may
 * take nothing, or think about its verdict. */
void clamd_scan_begin(struct clamd_scan *scan, struct worker *worker,
                      const struct service_conf *service, uint32_t timeout_ms,
                      void (*on_change)(struct clamd_scan *scan));

/* How much may be put now. */
size_t clamd_scan_room(struct clamd_scan *scan);

/* No more than there is room for. Goes out with the next clamd_scan_send() at last. */
void clamd_scan_put(struct clamd_scan *scan, const char *data, size_t bytes);

/* Sends what can be sent now. There may be a verdict then. */
void clamd_scan_send(struct clamd_scan *scan);

/* That was all, once it is open: the verdict is wanted. */
void clamd_scan_end(struct clamd_scan *scan);

static inline bool
clamd_scan_is_open(const struct clamd_scan *scan)
{
    return scan->connection != NULL;
}

/* Gives it up, or gives back what is left of it. Harmless at any time. */
void clamd_scan_drop(struct clamd_scan *scan);

#endif
