/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_staples.c - keeps OCSP responses for certificates that are shown.
 *
 *     due --> asked --> good answer: shown, asked again at half its life
 *      ^          '---> no good one: the last one is shown until its end;
 *      '-- later, and later ------'   asked again soon, and less soon
 */
#include "config.h"

#include "server/certificates/certificate_house.h"

#include "server/base/clock.h"
#include "server/base/log.h"
#include "server/certificates/ocsp.h"

#include <stdlib.h>

#define QUESTIONS_MAX 8        /* at a time */
#define LIFE_MIN_MS 5000       /* between two questions about one certificate ... */
#define LIFE_MAX_MS (24 * 3600 * 1000) /* ... however long the answer is good */
#define RETRY_MIN_MS 5000
#define RETRY_MAX_MS (3600 * 1000)
#define RETRY_DOUBLINGS_MAX 12

/* What is known about one certificate. The helper thread's. */
struct stapling {
    struct certificate_set *set;
    unsigned i;
    bool may_ask;
    struct ocsp_question *question; /* under way: holds the set, and ... */
    struct bundle *bundle;          /* ... this */
    uint64_t due_ms;
    unsigned failures;     /* since the last answer */
    int64_t next_update_s; /* of the staple that is there; 0: none */
    bool has_complained;
};

static unsigned question_count;

/* ---- answers */

static const struct certificate *
certificate_of(const struct stapling *stapling)
{
    return &stapling->bundle->certificates[stapling->i];
}

static struct staple *
make_staple(const struct ocsp_answer *answer)
{
    static uint64_t last_id;
    struct staple *staple = malloc(sizeof(*staple) + answer->der.bytes);

    if (staple == NULL)
        return NULL;
    atomic_init(&staple->references, 1);
    staple->id = ++last_id;
    memcpy(staple + 1, answer->der.data, answer->der.bytes);
    staple->der = slice_make((char *)(staple + 1), answer->der.bytes);
    return staple;
}

/* The bundle may be another by now: then it is asked about by itself. */
static void
show(struct stapling *stapling, struct staple *staple)
{
    struct certificate_set *set = stapling->set;

    house_lock();
    if (set->bundle == stapling->bundle) {
        certificate_set_put_staple(set, stapling->i, staple);
        staple = NULL;
    }
    house_unlock();
    staple_unref(staple);
}

static uint64_t
half_life_ms(int64_t next_update_s)
{
    int64_t left_ms = next_update_s * 1000 - (int64_t)clock_wall_ms();
    int64_t half_ms = left_ms / 2;

    if (half_ms < LIFE_MIN_MS)
        return LIFE_MIN_MS;
    return half_ms < LIFE_MAX_MS ? (uint64_t)half_ms : LIFE_MAX_MS;
}

static void
take_answer(struct stapling *stapling, const struct ocsp_answer *answer)
{
    struct staple *staple = make_staple(answer);

    if (staple == NULL)
        return;
    show(stapling, staple);
    stapling->next_update_s = answer->next_update_s;
    stapling->due_ms = clock_monotonic_ms() + half_life_ms(answer->next_update_s);
    stapling->failures = 0;
    if (stapling->has_complained)
        log_info("certificate %s: OCSP: an answer came", stapling->set->files[stapling->i].chain);
    stapling->has_complained = false;
}

static void
complain(struct stapling *stapling, const struct err *why)
{
    const char *consequence = "the last answer is shown on";

    if (stapling->has_complained)
        return;
    stapling->has_complained = true;
    if (stapling->next_update_s == 0)
        consequence = certificate_of(stapling)->must_staple
                          ? "clients will refuse the certificate, which demands an answer"
                          : "clients are shown none";
    log_warn("certificate %s: OCSP: %s: %s", stapling->set->files[stapling->i].chain, why->text,
             consequence);
}

static void
put_off(struct stapling *stapling)
{
    uint64_t wait_ms = RETRY_MIN_MS;

    if (stapling->failures < RETRY_DOUBLINGS_MAX)
        stapling->failures++;
    wait_ms <<= stapling->failures - 1;
    stapling->due_ms = clock_monotonic_ms() + (wait_ms < RETRY_MAX_MS ? wait_ms : RETRY_MAX_MS);
}

/* The question is over: gives back what it held. */
static void
let_go(struct stapling *stapling)
{
    struct bundle *bundle = stapling->bundle;

    question_count--;
    stapling->question = NULL;
    stapling->bundle = NULL;
    bundle_unref(bundle);
    certificate_set_unref(stapling->set); /* the stapling may go with it */
}

static void
on_answer(void *arg, const struct ocsp_answer *answer, const struct err *why)
{
    struct stapling *stapling = arg;

    put_off(stapling);
    if (answer != NULL)
        take_answer(stapling, answer);
    else
        complain(stapling, why);
    let_go(stapling);
}

/* ---- questions */

/* Takes a reference to the set. */
static void
ask(struct stapling *stapling)
{
    struct certificate_set *set = stapling->set;
    struct err err;

    house_lock();
    stapling->bundle = set->bundle != NULL ? bundle_ref(set->bundle) : NULL;
    house_unlock();
    question_count++;
    if (stapling->bundle != NULL) {
        stapling->question = ocsp_ask(house.loop, house.resolver, certificate_of(stapling),
                                      on_answer, stapling, &err);
        if (stapling->question != NULL)
            return;
        complain(stapling, &err);
    }
    put_off(stapling);
    let_go(stapling);
}

/* Under the lock. */
static void
drop_old(struct stapling *stapling, int64_t now_s)
{
    if (stapling->next_update_s == 0 || stapling->next_update_s > now_s)
        return;
    stapling->next_update_s = 0;
    stapling->has_complained = false; /* there is something new to say */
    certificate_set_put_staple(stapling->set, stapling->i, NULL);
}

/* Under the lock. One that is due, with a reference to its set. */
static struct stapling *
next_due(uint64_t now_ms, int64_t now_s)
{
    list_each(link, &house.stapled) {
        struct certificate_set *set = container_of(link, struct certificate_set, stapled_link);

        for (unsigned i = 0; i < set->count; i++) {
            struct stapling *stapling = &set->stapling[i];

            drop_old(stapling, now_s);
            if (stapling->may_ask && stapling->question == NULL && stapling->due_ms <= now_ms &&
                set->bundle != NULL && registered_try_ref(&set->registered))
                return stapling;
        }
    }
    return NULL;
}

void
stapling_tick(void)
{
    uint64_t now_ms = clock_monotonic_ms();
    int64_t now_s = (int64_t)(clock_wall_ms() / 1000);

    while (question_count < QUESTIONS_MAX) {
        struct stapling *stapling;

        house_lock();
        stapling = next_due(now_ms, now_s);
        house_unlock();
        if (stapling == NULL)
            return;
        ask(stapling);
    }
}

/* ---- which certificates */

static void
stop_asking(struct certificate_set *set)
{
    for (unsigned i = 0; set->stapling != NULL && i < set->count; i++) {
        if (set->stapling[i].question == NULL)
            continue;
        ocsp_cancel(set->stapling[i].question);
        let_go(&set->stapling[i]); /* not the last reference: the caller has one */
    }
}

/* A certificate that demands a staple, and nobody to ask for one. */
static void
warn_of_demand(const struct certificate_set *set, const struct certificate *certificate, unsigned i)
{
    if (certificate->must_staple)
        log_warn("certificate %s: demands an OCSP answer to be shown with it, and %s: clients will "
                 "refuse it", set->files[i].chain,
                 set->staple ? "it or its chain does not say whom to ask" : "staple is off");
}

void
stapling_begin(struct certificate_set *set, struct bundle *bundle)
{
    bool is_any = false;

    stop_asking(set);
    if (set->stapling == NULL)
        set->stapling = calloc(set->count, sizeof(*set->stapling));
    for (unsigned i = 0; set->stapling != NULL && i < set->count; i++) {
        const struct certificate *certificate = &bundle->certificates[i];
        bool may_ask = set->staple && house.resolver != NULL && ocsp_can_ask(certificate);

        set->stapling[i] = (struct stapling){ .set = set, .i = i, .may_ask = may_ask };
        is_any |= may_ask;
        if (!may_ask)
            warn_of_demand(set, certificate, i);
    }
    house_lock();
    list_remove(&set->stapled_link);
    if (is_any)
        list_push_back(&house.stapled, &set->stapled_link);
    house_unlock();
}

void
stapling_stop(void)
{
    list_each(link, &house.stapled) {
        struct certificate_set *set = container_of(link, struct certificate_set, stapled_link);

        list_remove(link);
        registered_ref(&set->registered); /* nobody else is there to end it meanwhile */
        stop_asking(set);
        certificate_set_unref(set);
    }
}
