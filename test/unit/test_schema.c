/* SPDX-License-Identifier: BSD-2-Clause */
/* test_schema.c - what a configuration means (server/schema.h, server/snapshot.h).
 *
 * Bad configurations with the messages they must produce are in test/conf.
 */
#include "config.h"

#include "server/schema.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <malloc.h>
#include <stdlib.h>
#include <stdio.h>
#include <time.h>

#include "server/config/tables.h"
#include "server/host_map.h"
#include "server/snapshot.h"
#include "server/upstream/group.h"

/* A listener, without which nothing is accepted. */
#define FRONT \
    "listeners = ( { name = \"front\"; mode = \"reverse\"; listen = \"127.0.0.1:8080\"; } );\n"
#define SITES "sites = ( { name = \"www\"; default = true; welcome = true; } );\n"

static struct snapshot *
read_bytes(struct slice text, struct err *err)
{
    struct config_source source;
    struct snapshot *snapshot;

    err->text[0] = '\0';
    if (config_source_from_text("t.conf", text, &source, err) < 0)
        return NULL;
    snapshot = snapshot_new(&source, err);
    config_source_fini(&source);
    return snapshot;
}

/* The snapshot of a text that must be good. */
static struct snapshot *
read_good(const char *text)
{
    struct err err;
    struct snapshot *snapshot = read_bytes(slice_of(text), &err);

    if (snapshot == NULL)
        fprintf(stderr, "%s\n", err.text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(snapshot);
    return snapshot;
}

static void
the_tables_are_right(void)
{
    struct err err = { "" };

    CU_ASSERT_EQUAL(config_check_tables(conf_options, sizeof(struct conf), &err), 0);
    CU_ASSERT_STRING_EQUAL(err.text, "");
}

/* DESIGN, "Defaults worth agreeing on". */
static void
defaults_are_those_agreed_on(void)
{
    struct snapshot *snapshot = read_good(FRONT SITES "groups = ( { name = \"g\"; endpoints = "
                                                      "\"127.0.0.1:9000\"; } );\n");
    const struct conf *conf = &snapshot->conf;
    const struct listener_conf *listener = conf->listeners.items[0];
    const struct group_conf *group = conf->groups.items[0];

    CU_ASSERT_EQUAL(listener->timeouts.head_ms, 10000);
    CU_ASSERT_EQUAL(listener->timeouts.body.bytes, 512);
    CU_ASSERT_EQUAL(listener->timeouts.body.ms, 10000);
    CU_ASSERT_EQUAL(listener->timeouts.write.bytes, 512);
    CU_ASSERT_EQUAL(listener->timeouts.write.ms, 30000);
    CU_ASSERT_EQUAL(listener->timeouts.idle_ms, 60000);
    CU_ASSERT_EQUAL(listener->timeouts.tunnel_idle_ms, 3600000);
    CU_ASSERT_EQUAL(listener->timeouts.exchange_ms, 0);
    CU_ASSERT_EQUAL(listener->limits.h1.line_bytes, 16384);
    CU_ASSERT_EQUAL(listener->limits.h1.head_bytes, 65536);
    CU_ASSERT_EQUAL(listener->limits.h1.field_count, 128);
    CU_ASSERT_EQUAL(listener->limits.body_bytes, 0);
    CU_ASSERT_EQUAL(group->timeouts.connect_ms, 5000);
    CU_ASSERT_EQUAL(group->timeouts.head_ms, 60000);
    CU_ASSERT_EQUAL(group->timeouts.body_ms, 60000);
    CU_ASSERT_EQUAL(group->max_fails, 1);
    CU_ASSERT_EQUAL(group->fail_ms, 10000);
    CU_ASSERT_EQUAL(conf->max_connections, 100000);
    CU_ASSERT_EQUAL(conf->log.level, LEVEL_INFO);
    CU_ASSERT_PTR_NULL(listener->access_log);
    CU_ASSERT(conf->forward_to_sites);
    snapshot_unref(snapshot);
}

static void
endpoints_are_texts_or_groups(void)
{
    struct snapshot *snapshot = read_good(
        FRONT SITES
        "groups = ( { name = \"a\"; endpoints = [ \"127.0.0.1:9000\", \"[2001:db8::1]:81\" ]; },\n"
        "{ name = \"b\";"
        " endpoints = ( { to = \"App.Internal:9000\"; weight = 3; }, \"x:80\" ); },\n"
        "{ name = \"c\"; endpoints = \"unix:/run/app\"; } );\n");
    struct conf *conf = &snapshot->conf;
    const struct group_conf *a = conf->groups.items[0], *b = conf->groups.items[1];
    const struct group_conf *c = conf->groups.items[2];
    const struct endpoint_conf *endpoint = a->endpoints.items[0];

    CU_ASSERT_EQUAL_FATAL(a->endpoints.count, 2);
    CU_ASSERT(endpoint->is_literal && endpoint->port == 9000 && endpoint->weight == 1);
    CU_ASSERT(slice_equal(endpoint->host, SLICE("127.0.0.1")));
    CU_ASSERT_EQUAL(endpoint->address.to.any.sa_family, AF_INET);
    endpoint = a->endpoints.items[1];
    CU_ASSERT(endpoint->is_literal && endpoint->port == 81);
    CU_ASSERT(slice_equal(endpoint->host, SLICE("2001:db8::1")));
    CU_ASSERT_EQUAL(endpoint->place.line, 3);

    CU_ASSERT_EQUAL_FATAL(b->endpoints.count, 2);
    endpoint = b->endpoints.items[0];
    CU_ASSERT(!endpoint->is_literal && endpoint->port == 9000 && endpoint->weight == 3);
    CU_ASSERT(slice_equal(endpoint->host, SLICE("app.internal")));
    CU_ASSERT_EQUAL(b->schedule_count, 4);

    endpoint = c->endpoints.items[0];
    CU_ASSERT(endpoint->is_literal && slice_is_empty(endpoint->host));
    CU_ASSERT_EQUAL(endpoint->address.to.any.sa_family, AF_UNIX);
    snapshot_unref(snapshot);
}

static void
a_route_inherits_what_it_does_not_say(void)
{
    struct snapshot *snapshot = read_good(
        FRONT "groups = ( { name = \"app\"; endpoints = \"a:80\"; },"
              " { name = \"api\"; endpoints = \"b:80\"; } );\n"
              "sites = ( { name = \"www\"; hosts = [ \"WWW.example.com\", \"*.example.com\" ];"
              " group = \"app\"; host = \"endpoint\"; routes = (\n"
              "{ path_prefix = \"/api/\"; methods = \"GET\"; group = \"api\";"
              " host = \"client\"; },\n"
              "{ path = \"/slow\"; },\n"
              "{ path_prefix = \"/old/\";"
              " redirect = { to = \"/new/\"; status = 301; }; } ); } );\n");
    struct conf *conf = &snapshot->conf;
    struct site_conf *site = conf->sites.items[0];
    const struct route_conf *api = site->routes.items[0], *slow = site->routes.items[1];
    const struct route_conf *old = site->routes.items[2];

    CU_ASSERT_PTR_EQUAL(site->all.group, conf->groups.items[0]);
    CU_ASSERT_PTR_EQUAL(api->group, conf->groups.items[1]);
    CU_ASSERT_STRING_EQUAL(api->host, "client");
    CU_ASSERT_EQUAL(api->methods.count, 2); /* HEAD comes with GET */
    CU_ASSERT_PTR_EQUAL(slow->group, conf->groups.items[0]);
    CU_ASSERT_STRING_EQUAL(slow->host, "endpoint");
    CU_ASSERT_PTR_NULL(old->group);
    CU_ASSERT_EQUAL(old->redirect.status, 301);
    CU_ASSERT_PTR_EQUAL(host_map_find(conf->hosts, SLICE("www.example.com")), site);
    CU_ASSERT_PTR_EQUAL(host_map_find(conf->hosts, SLICE("a.example.com")), site);
    CU_ASSERT_PTR_NULL(host_map_find(conf->hosts, SLICE("example.com")));
    snapshot_unref(snapshot);
}

static void
listeners_find_their_access_log(void)
{
    struct snapshot *snapshot = read_good(
        SITES "access_logs = ( { name = \"main\"; to = \"stdout\"; },"
              " { name = \"json\"; to = \"stdout\"; format = \"json\"; } );\n"
              "listeners = ( { name = \"a\"; mode = \"reverse\"; listen = \"127.0.0.1:1\"; },\n"
              "{ name = \"b\"; mode = \"reverse\"; listen = \"127.0.0.1:2\";"
              " access_log = \"json\"; },\n"
              "{ name = \"c\"; mode = \"reverse\"; listen = [ \"127.0.0.1:0\", \"127.0.0.1:0\" ];"
              " access_log = \"off\"; } );\n");
    struct conf *conf = &snapshot->conf;
    const struct listener_conf *a = conf->listeners.items[0], *b = conf->listeners.items[1];
    const struct listener_conf *c = conf->listeners.items[2];

    CU_ASSERT_PTR_EQUAL(a->access_log, conf->access_logs.items[0]);
    CU_ASSERT_PTR_EQUAL(b->access_log, conf->access_logs.items[1]);
    CU_ASSERT_PTR_NULL(c->access_log);
    CU_ASSERT_PTR_NOT_NULL(a->access_log->compiled);
    snapshot_unref(snapshot);
}

static void
the_control_socket_has_a_place_its_user_may_write_to(void)
{
    struct snapshot *snapshot = read_good(FRONT SITES "control = \"off\";\n");

    CU_ASSERT_PTR_NULL(snapshot->conf.control);
    snapshot_unref(snapshot);
    snapshot = read_good(FRONT SITES);
    CU_ASSERT_PTR_NOT_NULL_FATAL(snapshot->conf.control);
    CU_ASSERT_EQUAL(snapshot->conf.control[0], '/');
    snapshot_unref(snapshot);
}

#define GROUP_OF_TWO "groups = ( { name = \"g\"; endpoints = [ \"a:80\", \"b:80\" ]; } );\n"

static void
a_new_snapshot_adopts_what_matches(void)
{
    struct snapshot *old = read_good(FRONT SITES GROUP_OF_TWO);
    struct snapshot *fresh = read_good(
        FRONT SITES "groups = ( { name = \"g\"; endpoints = [ \"c:80\", \"b:80\" ]; } );\n");
    const struct group_conf *old_group = old->conf.groups.items[0];
    const struct group_conf *fresh_group = fresh->conf.groups.items[0];
    const struct endpoint_conf *kept;
    struct err err;

    CU_ASSERT_EQUAL(snapshot_adopt(old, &err), 0);
    CU_ASSERT_EQUAL(snapshot_adopt(fresh, &err), 0);
    CU_ASSERT(fresh->generation > old->generation);
    kept = old_group->endpoints.items[1];
    CU_ASSERT_PTR_EQUAL(fresh_group->group, old_group->group);
    CU_ASSERT_PTR_EQUAL(((struct endpoint_conf *)fresh_group->endpoints.items[1])->endpoint,
                        kept->endpoint);
    CU_ASSERT_EQUAL(registry_count(&endpoint_kind), 3);
    CU_ASSERT_EQUAL(kept->endpoint->generation, fresh->generation);
    snapshot_unref(old);
    CU_ASSERT_EQUAL(registry_count(&endpoint_kind), 2);
    snapshot_unref(fresh);
    CU_ASSERT_EQUAL(registry_count(NULL), 0);
}

/* DESIGN section 1: a hundred reloads leave memory as it was. */
static void
a_hundred_generations_leave_memory_as_it_was(void)
{
    struct snapshot *current = NULL;
    size_t after_ten = 0;
    int i;

    for (i = 0; i < 110; i++) {
        struct snapshot *next = read_good(FRONT SITES GROUP_OF_TWO);
        struct err err;

        CU_ASSERT_EQUAL(snapshot_adopt(next, &err), 0);
        snapshot_unref(current);
        current = next;
        if (i == 9)
            after_ten = mallinfo2().uordblks;
    }
#ifndef BASCULE_ASAN
    CU_ASSERT(mallinfo2().uordblks <= after_ten + 1024);
#else
    (void)after_ten; /* the sanitizer's allocator does not say */
#endif
    snapshot_unref(current);
    CU_ASSERT_EQUAL(registry_count(NULL), 0);
}

static void
a_file_that_fails_leaves_nothing_behind(void)
{
    struct err err;

    CU_ASSERT_PTR_NULL(read_bytes(SLICE(SITES), &err));
    CU_ASSERT_PTR_NULL(read_bytes(SLICE(FRONT SITES "groups = ( { name = \"g\"; } );"), &err));
    CU_ASSERT_PTR_NULL(read_bytes(SLICE(FRONT), &err));
    CU_ASSERT_PTR_NOT_EQUAL(strstr(err.text, "t.conf:1: listener \"front\": "), NULL);
    CU_ASSERT_EQUAL(registry_count(NULL), 0);
}

static void
ten_thousand_sites_are_linked_in_little_time_and_memory(void)
{
    enum { COUNT = 10000 };
    char *text = malloc(COUNT * 100 + 1000);
    size_t bytes = 0;
    struct snapshot *snapshot;
    struct err err;
    clock_t before;
    int i;

    bytes += (size_t)sprintf(text, FRONT GROUP_OF_TWO "sites = (\n");
    for (i = 0; i < COUNT; i++)
        bytes += (size_t)sprintf(text + bytes,
                                 "{ name = \"h%d\"; hosts = \"h%d.bench.test\";"
                                 " group = \"g\"; }%s\n",
                                 i, i, i + 1 < COUNT ? "," : " );");
    before = clock(); /* what the processor did, however busy it is */
    snapshot = read_bytes(slice_make(text, bytes), &err);
    free(text);
    CU_ASSERT_PTR_NOT_NULL_FATAL(snapshot);
    CU_ASSERT((clock() - before) / CLOCKS_PER_SEC < 5); /* far more than is needed */
    CU_ASSERT_PTR_EQUAL(host_map_find(snapshot->conf.hosts, SLICE("h1234.bench.test")),
                        snapshot->conf.sites.items[1234]);
    CU_ASSERT(((size_t)1 << 30) - snapshot->arena.left_bytes < 10u << 20);
    snapshot_unref(snapshot);
}

void
suite_schema(void)
{
    CU_pSuite s = CU_add_suite("schema", NULL, NULL);

    CU_add_test(s, "the tables are right", the_tables_are_right);
    CU_add_test(s, "defaults are those agreed on", defaults_are_those_agreed_on);
    CU_add_test(s, "endpoints are texts or groups", endpoints_are_texts_or_groups);
    CU_add_test(s, "a route inherits what it does not say", a_route_inherits_what_it_does_not_say);
    CU_add_test(s, "listeners find their access log", listeners_find_their_access_log);
    CU_add_test(s, "the control socket has a place its user may write to",
                the_control_socket_has_a_place_its_user_may_write_to);
    CU_add_test(s, "a new snapshot adopts what matches", a_new_snapshot_adopts_what_matches);
    CU_add_test(s, "a hundred generations leave memory as it was",
                a_hundred_generations_leave_memory_as_it_was);
    CU_add_test(s, "a file that fails leaves nothing behind",
                a_file_that_fails_leaves_nothing_behind);
    CU_add_test(s, "ten thousand sites are linked in little time and memory",
                ten_thousand_sites_are_linked_in_little_time_and_memory);
}
