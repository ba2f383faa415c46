/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_house.h - what the files about sets of certificates share: only
 * certificates.c, certificate_helper.c and certificate_staples.c look in here.
 */
#ifndef BASCULE_CERTIFICATE_HOUSE_H
#define BASCULE_CERTIFICATE_HOUSE_H

#include <pthread.h>

#include "server/certificates/certificate_load.h"
#include "server/certificates/certificates.h"
#include "server/file_watch.h"

struct stapling;

struct certificate_set {
    struct registered registered;
    uint64_t id;

    /* Guarded by the lock. */
    struct list link;         /* of all sets; who was looked at longest ago is first */
    struct list loaded_link;  /* of those with a bundle; who was asked for longest ago is first */
    struct list changed_link; /* of those whose files may have changed */
    struct list blind_link;   /* of those with a bundle whose files cannot be watched */
    struct list stapled_link; /* of those with stapling */
    struct bundle *bundle;
    struct certificate_waiter *waiters;
    struct staple *staples[BUNDLE_CERTIFICATES_MAX]; /* of bundle's certificates */
    uint64_t failed_ms;       /* when loading failed; 0: it did not */
    uint64_t changed_ms;      /* since when a change waits to be taken over; 0: none does */
    uint64_t retry_ms;        /* when to try that */
    _Atomic int64_t not_after_s; /* the first of its certificates to end; 0: not known */
    bool is_asked;            /* ask_mail is under way */
    bool is_bad;              /* what its files hold now is no good */

    _Atomic uint64_t current; /* bundle id */
    _Atomic bool has_staples;

    /* The helper thread's. */
    struct mail ask_mail, slow_mail;
    struct watched watched;
    struct bundle *fresh;     /* from the thread for passphrases; NULL with */
    struct err *why;          /* ... the reason */
    bool is_busy;             /* it is there */
    uint64_t looked_ms;       /* 0: never */
    uint64_t told;            /* hash of the last complaint; 0: none */
    int told_days;            /* the last warning about the end */
    struct stapling *stapling; /* count of them; NULL: not yet */
    uint64_t stapling_id;      /* the bundle that they are for */
    struct file_state *stamps; /* of the files when they were read */

    bool staple;
    bool is_slow;             /* some key may need a passphrase */
    unsigned count;
    struct certificate_conf files[]; /* then the stamps, then the strings */
};

struct certificate_house {
    pthread_mutex_t lock; /* guards sets, lists and counts; nobody waits while holding it */
    struct list sets, loaded, changed, blind, stapled;
    size_t set_count, loaded_count, loaded_bytes, staple_count;
    bool is_running;

    /* The helper thread's. */
    struct loop *loop;
    struct resolver *resolver; /* for OCSP; NULL: nobody is asked */
};

extern struct certificate_house house;

static inline void
house_lock(void)
{
    pthread_mutex_lock(&house.lock);
}

static inline void
house_unlock(void)
{
    pthread_mutex_unlock(&house.lock);
}

/* ---- certificates.c */

/* The first end of a bundle's certificates. */
int64_t bundle_end(const struct bundle *bundle);

/* All under the lock. A bundle that is returned is to be given back without it. */
struct bundle *certificate_set_put(struct certificate_set *set, struct bundle *bundle);
struct bundle *certificate_set_take(struct certificate_set *set);
void certificate_set_answer(struct certificate_set *set);
/* Takes staple, which may be NULL. */
void certificate_set_put_staple(struct certificate_set *set, unsigned i, struct staple *staple);

/* ---- certificate_helper.c */

/* A wish for a bundle: mail of the helper thread. Holds a reference. */
void certificate_helper_load(struct mail *mail);

/* ---- certificate_staples.c, on the helper thread */

/* Begins to ask about the certificates of a new bundle. */
void stapling_begin(struct certificate_set *set, struct bundle *bundle);

/* Asks what is due. */
void stapling_tick(void);

/* Ends every question. */
void stapling_stop(void);

#endif
