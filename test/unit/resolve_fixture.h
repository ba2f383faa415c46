/* SPDX-License-Identifier: BSD-2-Clause */
/* resolve_fixture.h - a resolver that asks the name server of name_server_fixture.h, and those
 * who ask it.
 */
#ifndef BASCULE_RESOLVE_FIXTURE_H
#define BASCULE_RESOLVE_FIXTURE_H

#include "server/base/clock.h"
#include "server/net/resolve.h"
#include "test/unit/descriptors.h"
#include "test/unit/name_server_fixture.h"
#include "test/unit/suites.h"

/* For what must come. Stalls of the machine may take seconds, so a deadline under test
 * is configured to be short, and all others are this long. */
#define PATIENCE_MS 60000

/* How often what must be soon is tried: it is late when the machine holds us up. */
#define ROUNDS 50

static struct resolver *resolver;
static struct resolver_conf conf;
static char server_text[32];
static struct slice server_slice;
static char hosts_path[] = "test_resolve.XXXXXX";

static void
set_conf(void)
{
    snprintf(server_text, sizeof(server_text), "127.0.0.1:%u",
             (unsigned)ntohs(server.address.sin_port));
    server_slice = slice_of(server_text);
    conf = (struct resolver_conf){
        .servers = { &server_slice, 1 }, .hosts_file = hosts_path, .resolv_conf = "no/such/file",
        .timeout_ms = PATIENCE_MS, .tries = 2, .limit_ms = PATIENCE_MS, .min_ttl_ms = 0,
        .max_ttl_ms = 3600000, .negative_ms = 5000, .stale_ms = 0, .max_entries = 100,
        .max_lookups = 100,
    };
}

static void
begin(void)
{
    struct err err;
    int fd;

    loop = loop_new(&err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(loop);
    CU_ASSERT_EQUAL_FATAL(open_server(INADDR_LOOPBACK, 0), 0);
    memcpy(hosts_path + strlen(hosts_path) - 6, "XXXXXX", 6);
    fd = mkstemp(hosts_path);
    CU_ASSERT_TRUE_FATAL(fd >= 0);
    close(fd);
    set_conf();
}

static void
start(void)
{
    struct err err;

    resolver = resolver_new(loop, &conf, &err);
    CU_ASSERT_PTR_NOT_NULL_FATAL(resolver);
}

static void
finish(void)
{
    resolver_free(resolver);
    resolver = NULL;
    close_server();
    loop_free_all(loop);
    unlink(hosts_path);
}

/* Somebody who asks; counts how often it was told. */
struct asker {
    struct resolve resolve;
    struct resolve_answer answer;
    unsigned told;
    struct asker *cancels; /* when told */
};

static void
on_done(struct resolve *resolve, const struct resolve_answer *got)
{
    struct asker *asker = container_of(resolve, struct asker, resolve);

    asker->told++;
    asker->answer = *got;
    if (asker->cancels != NULL)
        resolve_cancel(&asker->cancels->resolve);
}

static bool
ask(struct asker *asker, const char *name)
{
    memset(asker, 0, sizeof(*asker));
    resolve_init(&asker->resolve, on_done);
    if (!resolve_start(resolver, &asker->resolve, slice_of(name), &asker->answer))
        return false;
    asker->told++;
    return true;
}

/* By the loop's clock, which is the resolver's: it stands still between turns. */
static void
turn_for(uint64_t ms)
{
    uint64_t until = clock_monotonic_ms() + ms;

    do {
        loop_turn(loop, 5);
    } while (loop_now_ms(loop) < until);
}

static bool
is_under_way(void)
{
    return resolver_counts(resolver).under_way > 0;
}

static void
wait_until_nothing_is_under_way(void)
{
    uint64_t until = clock_monotonic_ms() + PATIENCE_MS;

    while (is_under_way() && clock_monotonic_ms() < until)
        loop_turn(loop, 5);
    CU_ASSERT_FALSE(is_under_way());
}

static void
wait_for(struct asker *asker)
{
    uint64_t until = clock_monotonic_ms() + PATIENCE_MS;

    while (asker->told == 0 && clock_monotonic_ms() < until)
        loop_turn(loop, 100);
    CU_ASSERT_EQUAL(asker->told, 1);
}

static struct resolve_answer
resolve(const char *name)
{
    struct asker asker;

    if (!ask(&asker, name))
        wait_for(&asker);
    return asker.answer;
}

/* Resolves a name like it that has addresses and puts it into name: another one when the
 * machine held us up until the limit of a look-up had passed. */
static void
learn(const char *like, char name[32])
{
    enum resolve_status status = RESOLVE_TIMEOUT;

    for (unsigned i = 0; i < ROUNDS && status == RESOLVE_TIMEOUT; i++) {
        snprintf(name, 32, like, i);
        status = resolve(name).status;
    }
    CU_ASSERT_EQUAL(status, RESOLVE_OK);
}

/* The addresses of an answer, in words. */
static const char *
text_of(struct resolve_answer got)
{
    static char text[RESOLVE_ADDRESSES_MAX * IP_TEXT_BYTES];
    size_t used = 0;

    text[0] = '\0';
    for (unsigned i = 0; i < got.count; i++) {
        char one[IP_TEXT_BYTES];

        ip_text(&got.ips[i], one);
        used += (size_t)snprintf(text + used, sizeof(text) - used, "%s%s", i > 0 ? " " : "", one);
    }
    return text;
}

static void
write_hosts(const char *text)
{
    FILE *file = fopen(hosts_path, "w");

    CU_ASSERT_PTR_NOT_NULL_FATAL(file);
    fputs(text, file);
    fclose(file);
}

static unsigned descriptors_before;

static int
note_descriptors(void)
{
    descriptors_before = count_open_descriptors();
    return 0;
}

/* Runs last. */
static void
no_descriptor_is_left_open(void)
{
    CU_ASSERT_EQUAL(count_open_descriptors(), descriptors_before);
}

#endif
