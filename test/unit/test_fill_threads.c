/* SPDX-License-Identifier: BSD-2-Clause */
/* test_fill_threads.c - readers of a fill on other threads than its fetch: the
 * mail between them, and who may be gone when it arrives.
 *
 * The first tests turn all loops on one thread, so that they know what is on its
 * way; the last lets threads run.
 */
#include "config.h"

#include "cache/fill_inside.h"

#include "test/unit/fill_fixture.h"
#include "test/unit/suites.h"

#include <pthread.h>

#define KEY SLICE("key")
#define HASH 77

static const struct fill_conf in_memory = {
    .memory_bytes = 256 << 10,
    .object_bytes = 256 << 10,
    .window_bytes = 2 * CHUNK_BYTES,
};

static struct worker home; /* of the fetch */
static struct fills *fills;
static struct fill *fill;
static _Atomic unsigned abandoned;

static void
on_abandoned(struct fill *which, void *arg)
{
    (void)which;
    (void)arg;
    abandoned++;
}

static const struct fill_events events = { on_abandoned };

static void
new_fill(const struct fill_conf *conf)
{
    abandoned = 0;
    fill = fill_new(fills, conf, HASH, KEY, 0, &home, &events, NULL);
    CU_ASSERT_PTR_NOT_NULL_FATAL(fill);
}

static void
set_up(void)
{
    worker_set_up(&home);
    fills = fills_new();
}

static void
tear_down(void)
{
    loop_turn(home.loop, 0);
    loop_turn(home.loop, 0);
    CU_ASSERT_EQUAL(fills_count(fills), 0);
    fills_free(fills);
    worker_tear_down(&home);
}

static void
begin(uint64_t length, uint64_t body_room)
{
    struct object *object = make_object(body_room);

    fill_set_object(fill, object, length);
    object_unref(object);
}

static enum flow
feed(size_t bytes, bool is_last)
{
    uint64_t at = atomic_load(&fill->published);
    char *data = make_content(at, bytes);
    struct piece piece = { .form = FORM_SLICES, .bytes = bytes, .count = 1, .is_last = is_last,
                           .iov = { { data, bytes } } };
    size_t taken = 0;
    enum flow flow = fill_sink(fill)->ops->put(fill_sink(fill), &piece, &taken);

    free(data);
    return flow;
}

/* ---- what is on its way */

struct guest {
    struct fill_reader reader;
    struct visitor visitor;
    struct node *node;
    struct task task;
    bool has_begun, leaves_early;
};

static struct guest *
guest_new(struct worker *worker)
{
    struct guest *guest = calloc(1, sizeof(*guest));

    if (fill_join(fills, HASH, KEY, false, worker, &guest->reader))
        return guest;
    free(guest);
    return NULL;
}

static void
guest_free(struct guest *guest)
{
    if (guest->has_begun)
        pump_stop(&guest->visitor.pump);
    fill_reader_leave(&guest->reader);
    free(guest);
}

static void
guest_begin(struct guest *guest, struct worker *worker, uint64_t room, unsigned forms)
{
    guest->has_begun = true;
    visitor_start(&guest->visitor, worker, &guest->reader.source, 0, room, forms);
}

static void
a_thread_gets_one_mail_for_all_its_readers(void)
{
    struct worker away;
    struct guest *guests[50];
    unsigned before;

    set_up();
    worker_set_up(&away);
    new_fill(&in_memory);
    begin(10000, 10000);
    for (size_t i = 0; i < ARRAY_COUNT(guests); i++) {
        guests[i] = guest_new(&away);
        CU_ASSERT_PTR_NOT_NULL_FATAL(guests[i]);
        guest_begin(guests[i], &away, UINT64_MAX, 0);
    }
    before = atomic_load(&fill->references);
    for (int i = 0; i < 5; i++)
        feed(1000, false);
    CU_ASSERT_EQUAL(atomic_load(&fill->references), before + 1); /* of the mail on its way */
    loop_turn(away.loop, 0);
    CU_ASSERT_EQUAL(atomic_load(&fill->references), before);
    for (size_t i = 0; i < ARRAY_COUNT(guests); i++) {
        CU_ASSERT_EQUAL(guests[i]->visitor.at, 5000);
        guest_free(guests[i]);
    }
    fill_unref(fill);
    worker_tear_down(&away);
    tear_down();
}

/* Nor does it matter that its thread has ended. */
static void
mail_may_find_its_reader_gone(void)
{
    for (int fetch_ends = 0; fetch_ends < 2; fetch_ends++) {
        struct worker away;
        struct guest *guest;

        set_up();
        worker_set_up(&away);
        new_fill(&in_memory);
        begin(10000, 10000);
        guest = guest_new(&away);
        CU_ASSERT_PTR_NOT_NULL_FATAL(guest);
        guest_begin(guest, &away, UINT64_MAX, 0);
        feed(1000, false);
        guest_free(guest);
        if (fetch_ends)
            fill_unref(fill);
        worker_tear_down(&away); /* delivers it */
        if (!fetch_ends) {
            feed(1000, false);
            CU_ASSERT_EQUAL(atomic_load(&fill->references), 2); /* abandoned, and no more */
            fill_unref(fill);
        }
        tear_down();
    }
}

static void
a_thread_without_readers_gets_no_mail(void)
{
    struct worker away;
    struct guest *guest;

    set_up();
    worker_set_up(&away);
    new_fill(&in_memory);
    begin(10000, 10000);
    guest = guest_new(&away);
    CU_ASSERT_PTR_NOT_NULL_FATAL(guest);
    guest_begin(guest, &away, UINT64_MAX, 0);
    guest_free(guest); /* while it waits */
    worker_tear_down(&away);
    feed(1000, false);
    feed(9000, true);
    fill_unref(fill);
    tear_down();
}

static void
mail_may_find_the_fetch_gone(void)
{
    struct worker away;
    struct guest *guest;

    set_up();
    worker_set_up(&away);
    new_fill(&in_memory);
    guest = guest_new(&away);
    CU_ASSERT_PTR_NOT_NULL_FATAL(guest);
    guest_free(guest);
    fill_unref(fill);
    tear_down();
    CU_ASSERT_EQUAL(abandoned, 0);
    worker_tear_down(&away);
}

/* A fetch that just ends tells who waits, wherever that is. */
static struct guest *told;

static void
on_news(struct fill_reader *reader)
{
    told = container_of(reader, struct guest, reader);
    CU_ASSERT_EQUAL(fill_state(reader->fill), FILL_FAILED);
}

static void
a_fetch_that_ends_says_so(void)
{
    struct worker away;
    struct guest *guest;

    set_up();
    worker_set_up(&away);
    new_fill(&in_memory);
    guest = guest_new(&away);
    CU_ASSERT_PTR_NOT_NULL_FATAL(guest);
    fill_reader_wait(&guest->reader, FILL_ASKING, on_news);
    fill_unref(fill);
    told = NULL;
    loop_turn(away.loop, 0);
    CU_ASSERT_PTR_EQUAL(told, guest);
    guest_free(guest);
    worker_tear_down(&away);
    tear_down();
}

/* ---- threads that run */

struct node {
    struct worker worker;
    pthread_t thread;
    struct mail end;
    unsigned seed;
    bool is_over;
};

#define NODES 2
#define GUESTS 30 /* arriving at a time on each */
#define ROUNDS 40
#define HASTY_ROUNDS 500

static struct node nodes[NODES];
static _Atomic int guests_left;
static _Atomic unsigned wrong, whole, cut;
static _Atomic uint64_t round_length;
static _Atomic bool round_fails;

static void
guest_go(struct guest *guest)
{
    guest_free(guest);
    atomic_fetch_sub(&guests_left, 1);
}

static void
look_at_result(const struct guest *guest)
{
    const struct visitor *visitor = &guest->visitor;
    bool is_whole = visitor->result == PUMP_DONE && visitor->at == round_length;

    if (is_whole)
        whole++;
    else
        cut++;
    if (visitor->is_wrong || !(is_whole || (round_fails && visitor->result == PUMP_SOURCE_FAILED)))
        wrong++;
}

/* Once a turn: takes some more, or goes. */
static void
guest_step(struct task *task)
{
    struct guest *guest = container_of(task, struct guest, task);
    unsigned *seed = &guest->node->seed;

    if (guest->visitor.result >= 0) {
        look_at_result(guest);
        guest_go(guest);
    } else if (guest->leaves_early && rand_r(seed) % 8 == 0) {
        guest_go(guest);
    } else {
        if (guest->visitor.pump.is_sink_full)
            visitor_go_on(&guest->visitor, (uint64_t)rand_r(seed) % 200000);
        loop_ready(guest->node->worker.loop, task);
    }
}

static void
guest_is_done(struct visitor *visitor)
{
    struct guest *guest = container_of(visitor, struct guest, visitor);

    loop_ready(guest->node->worker.loop, &guest->task);
}

/* Reads on as it is woken, and leaves when it has all. */
static void
guest_reads_quietly(struct guest *guest)
{
    guest_begin(guest, &guest->node->worker, UINT64_MAX, 0);
    guest->visitor.on_result = guest_is_done;
    if (guest->visitor.result >= 0)
        guest_is_done(&guest->visitor);
}

static void
guest_hears(struct fill_reader *reader)
{
    struct guest *guest = container_of(reader, struct guest, reader);
    unsigned *seed = &guest->node->seed;

    if (fill_object(reader->fill) == NULL) {
        wrong += !round_fails;
        guest_go(guest);
        return;
    }
    guest_begin(guest, &guest->node->worker,
                rand_r(seed) % 2 ? UINT64_MAX : (uint64_t)rand_r(seed) % 100000,
                rand_r(seed) % 2 ? FORM_FILE : 0);
    loop_ready(guest->node->worker.loop, &guest->task);
}

struct arrival {
    struct mail mail;
    struct node *node;
    int guests;
};

static void
guests_arrive(struct mail *mail)
{
    struct arrival *arrival = container_of(mail, struct arrival, mail);
    struct node *node = arrival->node;

    for (int i = 0; i < arrival->guests; i++) {
        struct guest *guest = guest_new(&node->worker);

        if (guest == NULL) { /* it is not to be joined any more */
            guests_left--;
            continue;
        }
        guest->node = node;
        guest->leaves_early = rand_r(&node->seed) % 4 == 0;
        task_init(&guest->task, guest_step);
        if (arrival->guests == 1)
            guest_reads_quietly(guest);
        else if (fill_state(guest->reader.fill) == FILL_ASKING)
            fill_reader_wait(&guest->reader, FILL_ASKING, guest_hears);
        else
            guest_hears(&guest->reader);
    }
    free(arrival);
}

static void
send_guests(int count)
{
    for (unsigned i = 0; i < NODES; i++) {
        struct arrival *arrival = calloc(1, sizeof(*arrival));

        guests_left += count;
        arrival->guests = count;
        arrival->node = &nodes[i];
        arrival->mail.deliver = guests_arrive;
        loop_post(nodes[i].worker.loop, &arrival->mail);
    }
}

static void
on_end(struct mail *mail)
{
    container_of(mail, struct node, end)->is_over = true;
}

static void *
run_node(void *arg)
{
    struct node *node = arg;

    while (!node->is_over || !disk_reader_is_idle())
        loop_turn(node->worker.loop, -1);
    return NULL;
}

static void
start_nodes(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        nodes[i].is_over = false;
        nodes[i].seed = i + 1;
        nodes[i].end.deliver = on_end;
        worker_set_up(&nodes[i].worker);
        CU_ASSERT_EQUAL_FATAL(pthread_create(&nodes[i].thread, NULL, run_node, &nodes[i]), 0);
    }
}

static void
end_nodes(void)
{
    for (unsigned i = 0; i < NODES; i++) {
        loop_post(nodes[i].worker.loop, &nodes[i].end);
        pthread_join(nodes[i].thread, NULL);
        worker_tear_down(&nodes[i].worker);
    }
}

static void
pause_ns(uint64_t ns)
{
    uint64_t start_ns = clock_monotonic_ns();

    while (clock_monotonic_ns() - start_ns < ns)
        continue;
}

/* The reader looks, and begins to wait, just as the last byte comes. */
static void
no_wake_up_is_lost(void)
{
    const size_t length = 200;
    unsigned seed = 7;
    uint64_t start_ms;

    set_up();
    start_nodes();
    wrong = whole = cut = 0;
    round_length = length;
    round_fails = false;
    for (int i = 0; i < HASTY_ROUNDS; i++) {
        new_fill(&in_memory);
        begin(length, length);
        send_guests(1);
        while (atomic_load(&fill->references) < 1 + NODES)
            loop_turn(home.loop, 1);
        for (size_t n = 0; n < length; n++) {
            feed(1, n == length - 1);
            pause_ns((uint64_t)rand_r(&seed) % 4000);
        }
        start_ms = clock_monotonic_ms();
        while (guests_left > 0 && clock_monotonic_ms() - start_ms < 60000)
            loop_turn(home.loop, 1);
        CU_ASSERT_EQUAL_FATAL(guests_left, 0);
        fill_unref(fill);
    }
    end_nodes();
    tear_down();
    CU_ASSERT_EQUAL(wrong + cut, 0);
}

static void
take_object(void)
{
    struct object *object = fill_take_object(fill);

    if (object == NULL)
        return;
    wrong += object->body_bytes != round_length;
    wrong += object->body == NULL && round_length > 0 && atomic_load(&object->on_disk) == NULL;
    wrong += object->body != NULL && !is_content(object->body, (size_t)round_length, 0);
    object_unref(object);
}

static const struct failure reset = { .reason = END_UPSTREAM_FAILED, .status = 502,
                                      .detail = "reset" };

/* One fill: begun, joined at any time, left at any time, ended in every way. */
static void
play_round(const struct fill_conf *conf, unsigned *seed)
{
    uint64_t length = (uint64_t)rand_r(seed) % (rand_r(seed) % 2 ? 1500000 : 300000);
    uint64_t fail_at = (uint64_t)rand_r(seed) % (length + 1);
    bool is_known = rand_r(seed) % 2, is_private = rand_r(seed) % 8 == 0;
    bool fits = is_known && length <= conf->memory_bytes;

    round_length = length;
    round_fails = rand_r(seed) % 4 == 0 || is_private;
    new_fill(conf);
    send_guests(GUESTS);
    loop_turn(home.loop, 1);
    if (is_private) {
        struct object *object = make_object(0);

        fill_set_private(fill, object, is_known ? length : LENGTH_UNKNOWN);
        object_unref(object);
    } else {
        begin(is_known ? length : LENGTH_UNKNOWN, fits ? length : 0);
    }
    send_guests(GUESTS);
    while (fill->end == FILL_OPEN && abandoned == 0) {
        uint64_t at = atomic_load(&fill->published);
        uint64_t bytes = 1 + (uint64_t)rand_r(seed) % 90000;

        if (round_fails && at >= fail_at)
            fill_fail(fill, &reset);
        else if (bytes < length - at)
            feed((size_t)bytes, false);
        else if (at < length)
            feed((size_t)(length - at), true);
        else
            fill_sink(fill)->ops->end(fill_sink(fill), NULL);
        if (rand_r(seed) % 8 == 0)
            send_guests(GUESTS);
        if (rand_r(seed) % 16 == 0)
            fill_forget(fills, HASH, KEY);
        loop_turn(home.loop, rand_r(seed) % 2);
    }
    take_object();
    fill_unref(fill);
    while (guests_left > 0)
        loop_turn(home.loop, 1);
}

static void
readers_come_and_go_on_all_threads(void)
{
    struct disk_bench disks[2];
    unsigned seed = 42;

    set_up();
    start_nodes();
    disk_set_up(&disks[0], 64u << 20, DISK_VERIFY_ONCE);
    disk_set_up(&disks[1], 3 * CHUNK_BYTES, DISK_VERIFY_ONCE); /* soon overwhelmed */
    wrong = whole = cut = 0;
    for (int i = 0; i < ROUNDS; i++) {
        struct fill_conf conf = in_memory;

        if (i % 2) {
            conf.disk = disks[i / 2 % 2].disk;
            conf.object_bytes = 1 << 20;
        }
        conf.outlives_readers = i % 3 == 0;
        play_round(&conf, &seed);
    }
    end_nodes();
    disk_tear_down(&disks[0]);
    disk_tear_down(&disks[1]);
    tear_down();
    CU_ASSERT_EQUAL(wrong, 0);
    CU_ASSERT_TRUE(whole > ROUNDS * 10);
    CU_ASSERT_TRUE(cut > ROUNDS);
}

void
suite_fill_threads(void)
{
    CU_pSuite s = CU_add_suite("fill_threads", NULL, NULL);

    CU_add_test(s, "a thread gets one mail for all its readers",
                a_thread_gets_one_mail_for_all_its_readers);
    CU_add_test(s, "mail may find its reader gone", mail_may_find_its_reader_gone);
    CU_add_test(s, "a thread without readers gets no mail", a_thread_without_readers_gets_no_mail);
    CU_add_test(s, "mail may find the fetch gone", mail_may_find_the_fetch_gone);
    CU_add_test(s, "a fetch that ends says so", a_fetch_that_ends_says_so);
    CU_add_test(s, "no wake-up is lost", no_wake_up_is_lost);
    CU_add_test(s, "readers come and go on all threads", readers_come_and_go_on_all_threads);
}
