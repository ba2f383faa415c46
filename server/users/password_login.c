/* SPDX-License-Identifier: BSD-2-Clause */
/* password_login.c - proofs under way, and the exchanges that wait for them.
 *
 *     attempt (one name and password of one client) <-- waiter (an exchange) ...
 *
 * The thread that has made the proof answers all waiters by mail to their loops. What an
 * attempt needs of the configuration is there as long as the snapshot it holds.
 */
#include "config.h"

#include "server/users/password_login.h"

#include "server/base/clock.h"
#include "server/generation.h"
#include "server/snapshot.h"
#include "server/users/credentials.h"
#include "server/users/lockout.h"
#include "server/users/login_cache.h"

#include <openssl/crypto.h>
#include <stdatomic.h>
#include <stdlib.h>

#define USER_BYTES_MAX (256u * 1024)

struct waiter {
    struct mail mail;
    struct waiter *next;
    struct worker *worker;
    struct exchange *ex; /* NULL: it has ended */
    struct attempt *attempt;
    bool is_done;
};

struct attempt {
    struct job job;
    struct list link; /* under_way, until the proof is made */
    _Atomic unsigned references; /* of waiters and the thread */
    struct waiter *waiters;
    unsigned wanted; /* by exchanges that have not ended */
    struct login_key key;       /* for the cache: of what it is proved against, name, password */
    const struct password_check *check;
    const struct users_conf *users;
    struct snapshot *snapshot;  /* that users belongs to; NULL in tests */
    struct lockout_key lockout;
    struct ip client;
    const struct log_privacy *privacy; /* of the snapshot, too */
    struct slice name;
    char name_text[USER_NAME_BYTES_MAX + 1], password[PASSWORD_BYTES_MAX + 1];

    /* By the thread; for others once it has answered. */
    enum proof proof;
    bool is_locked; /* while it waited for a thread */
    struct user user;
    struct arena arena;
};

static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* of under_way, and who waits */
static struct list under_way = { &under_way, &under_way };
static _Atomic uint64_t busy;

/* ---- attempts */

static void
unref(struct attempt *attempt)
{
    if (atomic_fetch_sub_explicit(&attempt->references, 1, memory_order_acq_rel) > 1)
        return;
    arena_fini(&attempt->arena);
    snapshot_unref(attempt->snapshot);
    OPENSSL_cleanse(attempt->password, sizeof(attempt->password));
    free(attempt);
}

static void
on_answer(struct mail *mail)
{
    struct waiter *waiter = container_of(mail, struct waiter, mail);

    waiter->worker->errands--;
    waiter->is_done = true;
    if (waiter->ex != NULL) {
        waiter->ex->road->on_resume(waiter->ex);
        return;
    }
    unref(waiter->attempt);
    free(waiter);
}

/* Nobody joins any more. */
static struct waiter *
close_attempt(struct attempt *attempt)
{
    struct waiter *waiters;

    pthread_mutex_lock(&lock);
    list_remove(&attempt->link);
    waiters = attempt->waiters;
    attempt->waiters = NULL;
    pthread_mutex_unlock(&lock);
    return waiters;
}

static void
note(struct attempt *attempt)
{
    uint64_t now_ms = clock_monotonic_ms();

    switch (attempt->proof) {
    case PROOF_GOOD:
        lockout_forget(&attempt->lockout);
        login_cache_put(&attempt->key, &attempt->user, now_ms, attempt->users->cache_ms);
        break;
    case PROOF_WRONG:
    case PROOF_UNKNOWN:
        (void)lockout_fail(attempt->users, &attempt->lockout, attempt->name, &attempt->client,
                           attempt->privacy, now_ms);
        break;
    case PROOF_FAILED:
        break;
    }
}

/* False: all that waited for it have ended, and nobody joins any more. */
static bool
is_wanted(struct attempt *attempt)
{
    bool wanted;

    pthread_mutex_lock(&lock);
    wanted = attempt->wanted > 0;
    if (!wanted)
        list_remove(&attempt->link);
    pthread_mutex_unlock(&lock);
    return wanted;
}

/* On a thread of the pool. What waited while others failed is not tried any more. */
static void
run(struct job *job)
{
    struct attempt *attempt = container_of(job, struct attempt, job);
    struct waiter *waiter, *next;

    attempt->is_locked = lockout_left_s(&attempt->lockout, clock_monotonic_ms()) > 0;
    if (!attempt->is_locked && is_wanted(attempt)) {
        attempt->proof = attempt->check->prove(attempt->users, attempt->name_text,
                                               attempt->password, &attempt->user, &attempt->arena);
        note(attempt);
    }
    for (waiter = close_attempt(attempt); waiter != NULL; waiter = next) {
        next = waiter->next;
        loop_post(waiter->worker->loop, &waiter->mail);
    }
    unref(attempt);
}

/* ---- asking */

/* What was shown, by whom. */
struct shown {
    struct slice name, password;
    struct login_key key;
    struct lockout_key lockout;
};

static struct attempt *
new_attempt(const struct password_check *check, const struct users_conf *users,
            const struct shown *shown, struct exchange *ex)
{
    struct attempt *attempt = calloc(1, sizeof(*attempt));

    if (attempt == NULL)
        return NULL;
    *attempt = (struct attempt){
        .job.run = run, .key = shown->key, .check = check, .users = users,
        .lockout = shown->lockout, .client = ex->client_ip, .privacy = lockout_privacy(ex),
        .proof = PROOF_FAILED, .user.by = "basic",
    };
    list_init(&attempt->link);
    atomic_init(&attempt->references, 1);
    arena_init(&attempt->arena, NULL, USER_BYTES_MAX);
    memcpy(attempt->name_text, shown->name.data, shown->name.bytes);
    memcpy(attempt->password, shown->password.data, shown->password.bytes);
    attempt->name = attempt->user.name = slice_make(attempt->name_text, shown->name.bytes);
    if (ex->generation != NULL)
        attempt->snapshot = snapshot_ref(ex->generation->snapshot);
    return attempt;
}

/* Under the lock: one that is under way for the same. *is_full: the client has too many
 * others. */
static struct attempt *
find_attempt(const struct users_conf *users, const struct shown *shown, bool *is_full)
{
    int64_t of_client = 0;

    list_each(link, &under_way) {
        struct attempt *attempt = container_of(link, struct attempt, link);

        if (attempt->users == users && attempt->lockout.hash == shown->lockout.hash &&
            login_key_equal(&attempt->key, &shown->key))
            return attempt;
        of_client += attempt->lockout.client == shown->lockout.client;
    }
    *is_full = of_client >= users->max_logins;
    return NULL;
}

/* Under the lock. */
static struct attempt *
begin_attempt(const struct password_check *check, const struct users_conf *users,
              const struct shown *shown, struct exchange *ex)
{
    bool is_full = false;
    struct attempt *attempt = find_attempt(users, shown, &is_full);

    if (attempt != NULL || is_full)
        return attempt;
    attempt = new_attempt(check, users, shown, ex);
    if (attempt == NULL)
        return NULL;
    list_push_back(&under_way, &attempt->link);
    if (job_pool_put(check->pool, &attempt->job))
        return attempt;
    list_remove(&attempt->link);
    unref(attempt);
    return NULL;
}

static enum login_state
ask(const struct password_check *check, const struct users_conf *users, const struct shown *shown,
    struct login *login, struct exchange *ex)
{
    struct waiter *waiter = calloc(1, sizeof(*waiter));
    struct attempt *attempt = NULL;

    if (waiter != NULL) {
        *waiter = (struct waiter){ .mail.deliver = on_answer, .worker = ex->worker, .ex = ex };
        pthread_mutex_lock(&lock);
        attempt = begin_attempt(check, users, shown, ex);
        if (attempt != NULL) {
            atomic_fetch_add_explicit(&attempt->references, 1, memory_order_relaxed);
            waiter->attempt = attempt;
            waiter->next = attempt->waiters;
            attempt->waiters = waiter;
            attempt->wanted++;
        }
        pthread_mutex_unlock(&lock);
    }
    if (attempt == NULL) {
        free(waiter);
        atomic_fetch_add(&busy, 1);
        login->detail = "too many logins at once";
        return LOGIN_BUSY;
    }
    ex->worker->errands++;
    login->state = waiter;
    return LOGIN_WAIT;
}

/* ---- answers */

static enum login_state
locked(struct login *login, uint32_t left_s)
{
    login->retry_s = left_s > 0 ? left_s : 1;
    login->detail = "locked after too many failures";
    return LOGIN_LOCKED;
}

static enum login_state
answer_of(const struct attempt *attempt, struct login *login, struct exchange *ex)
{
    if (attempt->is_locked)
        return locked(login, lockout_left_s(&attempt->lockout, clock_monotonic_ms()));
    switch (attempt->proof) {
    case PROOF_GOOD:
        if (user_copy(&login->user, &attempt->user, &ex->arena))
            return LOGIN_OK;
        break;
    case PROOF_WRONG:
        login->detail = "wrong password";
        return LOGIN_WRONG;
    case PROOF_UNKNOWN:
        login->detail = "no such user";
        return LOGIN_WRONG;
    case PROOF_FAILED:
        break;
    }
    login->detail = "the password could not be checked";
    return LOGIN_BUSY;
}

static enum login_state
take_answer(struct login *login, struct exchange *ex)
{
    struct waiter *waiter = login->state;
    enum login_state state;

    if (!waiter->is_done)
        return LOGIN_WAIT;
    login->state = NULL;
    state = answer_of(waiter->attempt, login, ex);
    unref(waiter->attempt);
    free(waiter);
    return state;
}

/* False: memory is short. */
static bool
identify(const struct password_check *check, const struct users_conf *users, struct shown *shown)
{
    const struct slice parts[] = { shown->name, shown->password };

    return login_key_make(&shown->key, check->version(users), parts, ARRAY_COUNT(parts));
}

enum login_state
password_login(const struct password_check *check, const struct users_conf *users,
               struct login *login, struct exchange *ex)
{
    uint64_t now_ms = clock_monotonic_ms();
    struct shown shown;
    uint32_t left_s;

    if (login->state != NULL)
        return take_answer(login, ex);
    switch (basic_parse(credentials_of(login, ex), &ex->arena, &shown.name, &shown.password)) {
    case CREDENTIALS_NONE:
        return LOGIN_NONE;
    case CREDENTIALS_BAD:
        login->detail = "malformed credentials";
        return LOGIN_WRONG;
    case CREDENTIALS_GOOD:
        break;
    }
    login->claimed = shown.name;
    shown.lockout = lockout_key(users, shown.name, &ex->client_ip);
    left_s = lockout_left_s(&shown.lockout, now_ms);
    if (left_s > 0)
        return locked(login, left_s);
    if (!identify(check, users, &shown)) {
        login->detail = "out of memory";
        return LOGIN_BUSY;
    }
    if (users->cache_ms > 0 && login_cache_find(&shown.key, now_ms, &login->user, &ex->arena))
        return LOGIN_OK;
    return ask(check, users, &shown, login, ex);
}

void
password_challenge(const struct users_conf *users, const struct login *login, struct exchange *ex)
{
    credentials_challenge(login, ex,
                          arena_printf(&ex->arena, "Basic realm=%.*s, charset=\"UTF-8\"",
                                       SLICE_ARG(credentials_realm(users, ex))));
}

void
password_cancel(const struct users_conf *users, struct login *login, struct exchange *ex)
{
    struct waiter *waiter = login->state;

    (void)users;
    (void)ex;
    if (waiter == NULL)
        return;
    login->state = NULL;
    waiter->ex = NULL;
    if (!waiter->is_done) { /* on_answer() frees it */
        pthread_mutex_lock(&lock);
        waiter->attempt->wanted--;
        pthread_mutex_unlock(&lock);
        return;
    }
    unref(waiter->attempt);
    free(waiter);
}

void
password_strip(const struct users_conf *users, const struct login *login, struct exchange *ex)
{
    (void)users;
    credentials_strip(login, ex, SLICE("Basic"));
}

uint64_t
password_login_busy(void)
{
    return atomic_load(&busy);
}
