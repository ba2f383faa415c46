/* SPDX-License-Identifier: BSD-2-Clause */
/* certificates.h - the certificates and keys that we show, by the files they
 * are in.
 *
 *   certificate_set (files of one site) --> bundle (what is in them now) --> staples (OCSP)
 *
 * A set is an object of the registry: found by its file names, shared by all
 * that name the same ones, and alive over reloads. What is in the files is
 * loaded by a helper thread when it is first asked for, checked, and looked after:
 * a file that changes is loaded again within a second; one that is no good is
 * reported and the last good one stays. Worker threads never touch a file.
 */
#ifndef BASCULE_CERTIFICATES_H
#define BASCULE_CERTIFICATES_H

#include <stdatomic.h>

#include "server/net/loop.h"
#include "server/registry.h"
#include "server/schema.h"

enum key_kind { KEY_RSA, KEY_ECDSA, KEY_ED25519 };

#define BUNDLE_CERTIFICATES_MAX 4

/* One chain with its key, as DER: checked to be well-formed and to belong
 * together. Immutable. */
struct certificate {
    enum key_kind kind;
    struct slice leaf;
    struct slice *chain;         /* those that vouch for it, without the root */
    size_t chain_count;
    struct slice issuer;         /* of leaf, also when it is the root; empty: not in the file */
    struct slice key;            /* PKCS #8 */
    int64_t not_before_s, not_after_s; /* since 1970 */
    bool must_staple;            /* RFC 7633 */
    uint8_t fingerprint[32];     /* SHA-256 of leaf */
};

/* What a set's files held when they were last good. Counted by reference. */
struct bundle {
    uint64_t id; /* no other bundle of this process has or ever had it */
    size_t bytes; /* that it takes, without what it shares with others */
    _Atomic unsigned references;
    unsigned count; /* BUNDLE_CERTIFICATES_MAX at most, of different kinds */
    struct certificate certificates[];
};

/* Finds or makes the set of these certificates. Reads nothing. NULL with err.
 * Give back with certificate_set_unref(). */
struct certificate_set *certificate_set_adopt(const struct config_list *certificates,
                                              bool staple, struct err *err) MUST_USE;
void certificate_set_unref(struct certificate_set *set);

/* A number that no other set of this process has or ever had, for those who
 * remember a set without holding it. */
uint64_t certificate_set_id(const struct certificate_set *set);

/* Someone who waits for a bundle on a worker thread. */
struct certificate_waiter {
    struct mail mail;
    struct loop *loop;
    /* On the loop's thread. bundle is the receiver's reference; NULL: the files
     * are no good (reported already). */
    void (*on_bundle)(struct certificate_waiter *waiter, struct bundle *bundle);
    struct certificate_set *set;
    struct bundle *bundle;
    struct certificate_waiter *next;
};

/* The set's bundle, with a reference for the caller, when it is there. NULL: it
 * is being loaded and waiter->on_bundle will be called, exactly once; *is_bad:
 * it could not be loaded a moment ago, and nobody will be called. From any worker
 * thread; waiter (loop and on_bundle set) is borrowed until its call, and the set
 * with it. */
struct bundle *certificate_set_get(struct certificate_set *set,
                                   struct certificate_waiter *waiter, bool *is_bad);

/* Stops waiting, on the loop's thread. True: waiter is the caller's again. False:
 * its call is in the loop's mail already and comes in this turn or the next. */
bool certificate_set_cancel(struct certificate_set *set, struct certificate_waiter *waiter);

/* Loads what is not there yet, now: for those who cannot start without it. 0, or -1
 * with err naming the file. Not for worker threads. */
int certificate_set_require(struct certificate_set *set, struct err *err);

/* The id of the bundle that is current, 0 for none: whether what a thread made
 * of an older one is stale. Cheap. */
uint64_t certificate_set_current(const struct certificate_set *set);

void bundle_unref(struct bundle *bundle);

/* The newest good OCSP response for a certificate of the bundle, to be stapled;
 * NULL when there is none. Counted by reference. */
struct staple {
    _Atomic unsigned references;
    uint64_t id;
    struct slice der;
};
struct staple *certificate_set_staple(struct certificate_set *set, const struct bundle *bundle,
                                      unsigned i);
void staple_unref(struct staple *staple);

/* ---- the helper thread */

/* Starts it: loads what is asked for, looks for changed files, scans all sets for
 * expiry dates (a warning in the log, metrics), asks OCSP responders, whose names
 * are resolved as resolver says (copied). Worker process only; before the first
 * set is asked for. */
int certificates_start(const struct resolver_conf *resolver, struct err *err);

/* Who still waits is told that there is nothing. Sets may live on. */
void certificates_stop(void);

/* How they are, for status and metrics. */
struct certificates_facts {
    size_t sets, loaded, loaded_bytes;
    size_t bad;          /* files that are no good now; the last good ones serve on, if any */
    size_t expired;
    size_t staples;      /* OCSP responses that are there */
    size_t unknown;      /* not looked at yet */
    int64_t nearest_s;   /* until the next one ends, 0 when one has; -1: none known */
};
struct certificates_facts certificates_facts(void);

/* ---- for `bascule check` */

/* Reads the files of one certificate now and says what is wrong: unreadable, not
 * PEM, key of another certificate, weak key ... NULL with err naming the file. */
struct bundle *bundle_load(const struct config_list *certificates, struct err *err);

#endif
