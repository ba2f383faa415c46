/* SPDX-License-Identifier: BSD-2-Clause */
/* process_inside.h - the worker process's main thread from inside: what process.c (its
 * stages), process_receive.c (what the supervisor sends) and process_requests.c (what
 * commands ask) have in common.
 */
#ifndef BASCULE_PROCESS_INSIDE_H
#define BASCULE_PROCESS_INSIDE_H

#include "server/admin/control.h"
#include "server/admin/inquiry.h"
#include "server/channel.h"
#include "server/crew.h"
#include "server/log/sink.h"
#include "server/net/grace.h"
#include "server/snapshot.h"

#define STOP_TICKETS_MAX 32

enum process_stage { RECEIVING, PUBLISHING, SERVING, DRAINING }; /* see process.c */

struct process {
    struct loop *loop;
    struct grace_reader reader; /* explanations and expectations ask lists here */
    struct watch channel;
    struct crew crew;
    enum process_stage stage;

    /* What is being received, and what is served. */
    uint64_t incoming;
    struct config_source source;
    bool has_source;
    bool is_go_waiting;  /* for threads that are about to end */
    bool has_certificates; /* their helper thread runs */
    struct list sockets; /* of struct sockets */
    struct list files;   /* of struct held_file */
    bool is_refused;     /* it is: the answer waits for all threads */
    struct err refusal;
    struct snapshot *snapshot;
    uint64_t generation; /* as the supervisor counts, who may outlive us */
    struct listen_plan *plan, *old_plan;
    uint64_t start_ms, serving_ms;
    uint64_t descriptors, max_connections;
    char log_to[SINK_IDENTITY_BYTES];

    struct control *control;
    struct inquiry inquiry;

    bool is_stop_wanted, is_stop_at_once;
    struct timer stop_limit;
    uint64_t stop_tickets[STOP_TICKETS_MAX];
    unsigned stop_ticket_count;
};

/* ---- process.c */

/* Sends to the supervisor; text may be NULL. */
void process_tell(struct process *p, enum channel_kind kind, uint64_t number, const char *text);

/* All of the generation that is being received has come: serves it, as soon as possible. */
void process_go(struct process *p, uint64_t generation);

/* Lets what runs finish, or ends it at once; a second call may be stricter. */
void process_stop(struct process *p, bool at_once);

/* ---- process_receive.c */

/* Takes what has come from the supervisor. Ends the process when nobody is there any more. */
void process_on_channel(struct watch *watch, uint32_t events);

/* ---- process_requests.c */

/* Once p has its loop, before anything is asked. */
void process_requests_init(struct process *p);

/* Answers the ticket of a command, sooner or later; arg is the process. */
void process_on_request(void *arg, uint64_t ticket, struct slice request);

/* Waits for topics that are busy: disks answer late, and what they answer needs the loop. */
void process_requests_wait(struct process *p);

#endif
