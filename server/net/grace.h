/* SPDX-License-Identifier: BSD-2-Clause */
/* grace.h - when nobody can be looking any more at something that was replaced.
 *
 * Threads with a loop read what others replace (the content of lists) without a
 * lock or a reference, by one atomic load; none keeps it beyond the callback that it
 * is in. Who replaces something begins a round: each of these threads gets a mail,
 * and when it is delivered, the callbacks of before are over. On the way of an
 * exchange all of this costs nothing.
 */
#ifndef BASCULE_GRACE_H
#define BASCULE_GRACE_H

#include "server/net/loop.h"

/* One thread that reads. Private. */
struct grace_reader {
    struct list link;
    struct loop *loop;
    struct mail mail;
    uint64_t asked, passed; /* rounds: that the mail is about, and that are over here */
    bool is_asked;          /* the mail is under way */
};

/* From now on rounds wait for the thread of loop: before it reads. Borrows reader
 * until loop_free_all(), since mail may be under way after grace_leave(). */
void grace_join(struct grace_reader *reader, struct loop *loop);

/* The thread reads no more. */
void grace_leave(struct grace_reader *reader);

/* Begins a round: after the new was put in place of the old. From any thread. */
uint64_t grace_begin(void);

/* Whether all who could have found the old have passed since. */
bool grace_is_over(uint64_t round);

#endif
