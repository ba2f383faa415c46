/* SPDX-License-Identifier: BSD-2-Clause */
/* waf_case.c - threads that judge messages, so that workers do not wait for rules.
 *
 *     worker                                       thread of the pool
 *     copies head and content --job (bounded)-->   new transaction, its phases
 *     on_resume: verdict      <------mail-------   transaction kept, or freed with the last
 *
 * The core rule set takes a millisecond for a small request and seconds for a hostile one:
 * on a worker that would hold up everybody else. Handing over costs some microseconds. What
 * is handed over is a copy, so the exchange may end at any time; what has not begun is then
 * dropped, and what goes on ends with the phase. All copies together are bounded by
 * held_content, as what filters hold is.
 */
#include "config.h"

#include "filters/waf_inside.h"

#include "server/base/clock.h"
#include "server/generation.h"
#include "server/snapshot.h"
#include "server/users/job_threads.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define QUEUE_MAX 1024
#define WORD_BYTES 8 /* "1.1" */

struct waf_case {
    struct job job;
    struct mail mail;
    struct worker *worker;
    struct exchange *ex;  /* NULL: it has ended; the worker's alone */
    struct waf_rules *rules;
    enum waf_side side;
    bool is_under_way;    /* a thread of the pool has it; the worker's alone */
    bool is_final;
    bool is_late;         /* its turn came too late: nothing was judged */
    uint32_t wait_ms;
    uint64_t asked_ms;
    _Atomic bool is_unwanted;
    struct waf_transaction *transaction; /* while it goes on */
    struct waf_message message;          /* in memory */
    char *memory;
    size_t memory_bytes;
    char client[IP_TEXT_BYTES], server[IP_TEXT_BYTES], version[WORD_BYTES];
    struct waf_verdict verdict;
};

/* They give way to workers, which serve others, too. */
static struct job_pool pool = JOB_POOL_INIT("bascule-waf", JOB_THREADS_MAX, QUEUE_MAX, true);
static pthread_mutex_t users_lock = PTHREAD_MUTEX_INITIALIZER; /* guards users */
static unsigned users;
static _Atomic uint64_t copied_bytes;

/* ---- threads */

void
waf_threads_use(void)
{
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    pthread_mutex_lock(&users_lock);
    if (users++ == 0)
        pool.threads_max = cpus < 1 ? 1 : cpus > JOB_THREADS_MAX ? JOB_THREADS_MAX : (unsigned)cpus;
    pthread_mutex_unlock(&users_lock);
}

void
waf_threads_leave(void)
{
    pthread_mutex_lock(&users_lock);
    if (--users == 0)
        job_pool_stop(&pool);
    pthread_mutex_unlock(&users_lock);
}

/* ---- a copy of the message */

/* Two passes over the same: at NULL counts, then it is filled. */
struct packer {
    char *at;
    size_t bytes;
};

static struct slice
pack(struct packer *packer, struct slice text)
{
    struct slice copy = slice_make(packer->at, text.bytes);

    packer->bytes += text.bytes + 1;
    if (packer->at == NULL)
        return copy;
    if (text.bytes > 0)
        memcpy(packer->at, text.data, text.bytes);
    packer->at[text.bytes] = '\0';
    packer->at += text.bytes + 1;
    return copy;
}

/* Content that is not shown must not be announced: it would be found to be missing, and the core
 * rule set allows no coding (920450). */
static bool
is_about_content(const struct field *field)
{
    return field->id == FIELD_CONTENT_LENGTH || field->id == FIELD_CONTENT_TYPE ||
           field->id == FIELD_CONTENT_ENCODING || field->id == FIELD_TRANSFER_ENCODING;
}

static size_t
pack_fields(struct packer *packer, const struct fields *fields, struct waf_field *to,
            bool is_unread)
{
    size_t count = 0;

    for (uint32_t i = 0; i < fields->count; i++) {
        const struct field *field = &fields->items[i];
        struct waf_field copy;

        if (is_unread && is_about_content(field))
            continue;
        copy.name = pack(packer, field->name);
        copy.value = pack(packer, field->value);
        if (packer->at != NULL)
            to[count] = copy;
        count++;
    }
    if (is_unread) {
        struct waf_field empty = { pack(packer, SLICE("Content-Length")),
                                   pack(packer, SLICE("0")) };

        if (packer->at != NULL)
            to[count] = empty;
        count++;
    }
    return count;
}

static struct slice
pack_content(struct packer *packer, const struct hold *hold)
{
    struct slice copy = slice_make(packer->at, hold != NULL ? hold->bytes : 0);

    packer->bytes += copy.bytes;
    if (packer->at == NULL || hold == NULL)
        return copy;
    for (const struct hold_chunk *chunk = hold_next(hold, NULL); chunk != NULL;
         chunk = hold_next(hold, chunk)) {
        memcpy(packer->at, chunk->data, chunk->bytes);
        packer->at += chunk->bytes;
    }
    return copy;
}

/* With those behind the content, which servers may take for any other. */
static void
pack_request(struct packer *packer, struct waf_case *of, const struct hold *hold, bool is_unread)
{
    static const struct fields none;
    const struct fields *late = hold != NULL && hold->trailers != NULL ? hold->trailers : &none;
    struct waf_message *message = &of->message;
    struct waf_field *to = (struct waf_field *)message->fields;
    size_t count;

    message->method = pack(packer, of->ex->request.method_name).data;
    message->target = pack(packer, of->ex->request.target).data;
    count = pack_fields(packer, &of->ex->request.fields, to, is_unread);
    message->field_count =
        count + pack_fields(packer, late, packer->at != NULL ? to + count : NULL, false);
}

/* A transaction that goes on knows the request; a new one that is asked about the response
 * learns of it, but for its content. */
static void
pack_message(struct packer *packer, struct waf_case *of, const struct hold *hold, bool is_unread)
{
    struct exchange *ex = of->ex;
    struct waf_message *message = &of->message;

    if (of->side == WAF_REQUEST)
        pack_request(packer, of, hold, is_unread);
    else if (of->transaction == NULL)
        pack_request(packer, of, NULL, ex->request.has_body);
    if (of->side == WAF_RESPONSE) {
        message->response_field_count = pack_fields(
            packer, &ex->response.fields, (struct waf_field *)message->response_fields, false);
        message->status = ex->response.status;
    }
    message->content = pack_content(packer, hold);
}

static bool
reserve(struct waf_case *of, size_t bytes)
{
    uint64_t most = of->ex->generation->snapshot->conf.held_bytes;

    if (atomic_fetch_add_explicit(&copied_bytes, bytes, memory_order_relaxed) + bytes <= most)
        of->memory = malloc(bytes);
    if (of->memory != NULL) {
        of->memory_bytes = bytes;
        return true;
    }
    atomic_fetch_sub_explicit(&copied_bytes, bytes, memory_order_relaxed);
    return false;
}

static void
drop_copy(struct waf_case *of)
{
    atomic_fetch_sub_explicit(&copied_bytes, of->memory_bytes, memory_order_relaxed);
    free(of->memory);
    of->memory = NULL;
    of->memory_bytes = 0;
}

/* HTTP/1.0, 1.1 or 2: of the client. */
static void
write_version(struct waf_case *of)
{
    const struct downstream *down = of->ex->down;
    const char *protocol = down != NULL ? down->ops->protocol : "HTTP/1.1";

    if (strncmp(protocol, "HTTP/", 5) == 0 && protocol[5] > '1')
        snprintf(of->version, sizeof(of->version), "%s", protocol + 5);
    else
        snprintf(of->version, sizeof(of->version), "1.%u", of->ex->request.minor_version % 10u);
}

static bool
copy_message(struct waf_case *of, const struct hold *hold, bool is_unread)
{
    struct packer packer = { NULL, 0 };
    struct exchange *ex = of->ex;
    size_t tables;

    of->message = (struct waf_message){ .client = of->client, .server = of->server,
                                        .version = of->version };
    pack_message(&packer, of, hold, is_unread);
    tables = (of->message.field_count + of->message.response_field_count) *
             sizeof(struct waf_field);
    if (!reserve(of, tables + packer.bytes))
        return false;
    packer.at = of->memory + tables;
    of->message.fields = (struct waf_field *)(void *)of->memory;
    of->message.response_fields = of->message.fields + of->message.field_count;
    pack_message(&packer, of, hold, is_unread);
    of->client[ip_text(&ex->client_ip, of->client)] = '\0';
    if (ex->down != NULL)
        of->server[ip_text(&ex->down->client->local, of->server)] = '\0';
    write_version(of);
    return true;
}

/* ---- one case */

struct waf_case *
waf_case_new(struct waf_rules *rules, struct exchange *ex, uint32_t wait_ms)
{
    struct waf_case *of = calloc(1, sizeof(*of));

    if (of == NULL)
        return NULL;
    of->worker = ex->worker;
    of->ex = ex;
    of->rules = waf_rules_ref(rules);
    of->wait_ms = wait_ms;
    return of;
}

static void
discard(struct waf_case *of)
{
    waf_transaction_end(of->transaction);
    waf_rules_unref(of->rules);
    drop_copy(of);
    free(of->verdict.location);
    free(of);
}

static void
on_judged(struct mail *mail)
{
    struct waf_case *of = container_of(mail, struct waf_case, mail);

    of->worker->errands--;
    of->is_under_way = false;
    if (of->ex == NULL)
        discard(of);
    else
        of->ex->road->on_resume(of->ex);
}

/* Without memory it is as if a rule had said no. */
static void
judge(struct waf_case *of)
{
    if (of->transaction == NULL)
        of->transaction = waf_transaction_new(of->rules);
    if (of->transaction == NULL) {
        of->verdict.is_disruptive = true;
        of->verdict.status = 503;
    } else if (of->side == WAF_REQUEST) {
        waf_judge_request(of->transaction, &of->message, &of->verdict);
    } else {
        waf_judge_response(of->transaction, &of->message, &of->verdict);
    }
}

/* On a thread of the pool. */
static void
run(struct job *job)
{
    struct waf_case *of = container_of(job, struct waf_case, job);

    of->is_late = clock_monotonic_ms() - of->asked_ms > of->wait_ms;
    if (!of->is_late && !atomic_load_explicit(&of->is_unwanted, memory_order_relaxed))
        judge(of);
    if (of->is_final || atomic_load_explicit(&of->is_unwanted, memory_order_relaxed)) {
        waf_transaction_end(of->transaction);
        of->transaction = NULL;
    }
    drop_copy(of);
    loop_post(of->worker->loop, &of->mail);
}

bool
waf_case_ask(struct waf_case *of, enum waf_side side, const struct hold *hold, bool is_unread,
             bool is_final)
{
    must(!of->is_under_way);
    free(of->verdict.location);
    of->verdict = (struct waf_verdict){ 0 };
    of->side = side;
    of->is_final = is_final;
    of->job.run = run;
    of->mail.deliver = on_judged;
    of->asked_ms = clock_monotonic_ms();
    if (!copy_message(of, hold, is_unread))
        return false;
    if (!job_pool_put(&pool, &of->job)) {
        drop_copy(of);
        return false;
    }
    of->is_under_way = true;
    of->worker->errands++;
    return true;
}

const struct waf_verdict *
waf_case_verdict(const struct waf_case *of)
{
    return of->is_under_way ? NULL : &of->verdict;
}

bool
waf_case_is_late(const struct waf_case *of)
{
    return of->is_late;
}

/* Freeing a transaction takes a while, too: there may be rules that come last. */
void
waf_case_end(struct waf_case *of)
{
    if (of == NULL)
        return;
    of->ex = NULL;
    atomic_store_explicit(&of->is_unwanted, true, memory_order_relaxed);
    if (of->is_under_way)
        return;
    if (of->transaction == NULL || !job_pool_put(&pool, &of->job)) {
        discard(of);
        return;
    }
    of->is_under_way = true;
    of->worker->errands++;
}
