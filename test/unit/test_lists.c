/* SPDX-License-Identifier: BSD-2-Clause */
/* test_lists.c - lists in the registry: adopted, watched, replaced while they are asked,
 * kept when a newer file is no good.
 */
#include "config.h"

#include "server/policy/list.h"

#include "server/base/clock.h"
#include "server/file_watch.h"
#include "server/net/grace.h"
#include "server/registry.h"
#include "server/schema.h"
#include "test/unit/folder_fixture.h"
#include "test/unit/suites.h"

#include <pthread.h>
#include <stdatomic.h>
#include <unistd.h>

#define WAIT_MS 30000u
#define SETTLE_MS 20u
#define THREADS 2

static struct err err;

/* As operators should. */
static void
replace(const char *path, const char *text)
{
    write_text(in("new"), text);
    CU_ASSERT_EQUAL(rename(in("new"), path), 0);
}

/* ---- configurations */

struct setting {
    struct conf conf;
    struct list_conf lists[2];
    void *items[2];
    struct slice files[2];
};

static void
name_list(struct setting *setting, size_t i, enum list_kind kind, enum list_format format,
          const char *path)
{
    setting->files[i] = slice_of(strdup(path));
    setting->lists[i] = (struct list_conf){
        .place = { "test.conf", 3 }, .name = i == 0 ? "one" : "two", .kind = kind,
        .format = format, .files = { &setting->files[i], 1 }, .max_entries = 1000,
        .max_expressions = 1, .max_bad_lines = 0, .settle_ms = SETTLE_MS };
    setting->items[i] = &setting->lists[i];
    setting->conf.lists = (struct config_list){ setting->items, i + 1 };
}

static void
end(struct setting *setting)
{
    lists_release(&setting->conf);
    for (size_t i = 0; i < setting->conf.lists.count; i++)
        free((char *)setting->files[i].data);
    CU_ASSERT_EQUAL(registry_count(NULL), 0);
}

static bool
has(const struct setting *setting, const char *host)
{
    return list_has_host(setting->lists[0].list, slice_of(host), NULL);
}

/* ---- without the loader */

static void
adopting_loads_and_the_same_files_are_the_same_list(void)
{
    struct setting a = { .conf = { .workers = 0 } }, b = { .conf = { .workers = 0 } };
    struct list_facts facts;

    write_text(in("a"), "example.com\n");
    name_list(&a, 0, LIST_DOMAINS, LIST_AUTO, in("a"));
    name_list(&b, 0, LIST_DOMAINS, LIST_AUTO, in("a"));
    b.lists[0].name = "by another name";
    name_list(&b, 1, LIST_DOMAINS, LIST_PLAIN, in("a"));
    CU_ASSERT_EQUAL(lists_adopt(&a.conf, &err), 0);
    CU_ASSERT_EQUAL(lists_adopt(&b.conf, &err), 0);
    CU_ASSERT_PTR_EQUAL(a.lists[0].list, b.lists[0].list);
    CU_ASSERT_PTR_NOT_EQUAL(b.lists[0].list, b.lists[1].list);
    CU_ASSERT(has(&a, "www.example.com"));
    list_facts(a.lists[0].list, &facts);
    CU_ASSERT_EQUAL(facts.entries, 1);
    CU_ASSERT(facts.bytes > 0 && facts.loaded_s > 0);
    CU_ASSERT_EQUAL(facts.failures, 0);
    lists_release(&a.conf);
    CU_ASSERT(has(&b, "example.com"));
    free((char *)a.files[0].data);
    end(&b);
}

static void
a_list_that_cannot_be_loaded_at_first_is_an_error(void)
{
    struct setting a = { .conf = { .workers = 0 } };

    write_text(in("bad"), "example.com\nexample..net\n");
    name_list(&a, 0, LIST_DOMAINS, LIST_AUTO, in("bad"));
    CU_ASSERT_EQUAL(lists_adopt(&a.conf, &err), -1);
    CU_ASSERT_PTR_NULL(a.lists[0].list);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "test.conf:3: list \"one\": /"));
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/bad:2: \"example..net\" is not a domain"));
    end(&a);
    name_list(&a, 0, LIST_DOMAINS, LIST_AUTO, in("nothing"));
    CU_ASSERT_EQUAL(lists_adopt(&a.conf, &err), -1);
    CU_ASSERT_PTR_NOT_NULL(strstr(err.text, "/nothing: No such file"));
    end(&a);
}

/* Domains only where domains are asked for; one of the files may be missing. */
static void
folders_of_squidguard_are_read_by_what_their_files_are(void)
{
    struct setting a = { .conf = { .workers = 0 } };
    struct slice none = { NULL, 0 };

    CU_ASSERT_EQUAL(mkdir(in("ut1"), 0700), 0);
    write_text(in("ut1/domains"), "site.example\n");
    write_text(in("ut1/urls"), "part.example/sub\n");
    write_text(in("ut1/expressions"), "# why\n(^|\\.)casino[0-9]*\\.\n");
    name_list(&a, 0, LIST_DOMAINS, LIST_AUTO, in("ut1"));
    name_list(&a, 1, LIST_URLS, LIST_SQUIDGUARD, in("ut1"));
    CU_ASSERT_EQUAL_FATAL(lists_adopt(&a.conf, &err), 0);
    CU_ASSERT(has(&a, "a.site.example"));
    CU_ASSERT_FALSE(list_has_url(a.lists[0].list, SLICE("part.example"), SLICE("/sub"), none));
    CU_ASSERT(list_has_url(a.lists[1].list, SLICE("part.example"), SLICE("/sub/x"), none));
    CU_ASSERT(list_has_url(a.lists[1].list, SLICE("site.example"), SLICE("/"), none));
    CU_ASSERT(list_has_url(a.lists[1].list, SLICE("www.casino7.example"), SLICE("/"), none));
    CU_ASSERT_FALSE(list_has_url(a.lists[1].list, SLICE("www.example"), SLICE("/"), none));
    end(&a);
    unlink(in("ut1/domains"));
    name_list(&a, 0, LIST_URLS, LIST_AUTO, in("ut1"));
    CU_ASSERT_EQUAL(lists_adopt(&a.conf, &err), 0);
    end(&a);
    name_list(&a, 0, LIST_DOMAINS, LIST_AUTO, in("ut1"));
    CU_ASSERT_EQUAL(lists_adopt(&a.conf, &err), -1);
    end(&a);
}

/* A zone may spare a name and not what is below it: so names below others count, also
 * those of files read before it was seen that there is a zone. */
static void
a_zone_behind_other_files_spares_only_what_it_names(void)
{
    struct setting a = { .conf = { .workers = 0 } };
    struct slice files[2];

    write_text(in("plain"), "bad.example\nworse.bad.example\n");
    write_text(in("zone"), "$TTL 60\nbad.example CNAME rpz-passthru.\n");
    name_list(&a, 0, LIST_DOMAINS, LIST_AUTO, in("plain"));
    files[0] = a.files[0];
    files[1] = slice_of(in("zone"));
    a.lists[0].files = (struct strings){ files, 2 };
    CU_ASSERT_EQUAL_FATAL(lists_adopt(&a.conf, &err), 0);
    CU_ASSERT_FALSE(has(&a, "bad.example"));
    CU_ASSERT_FALSE(has(&a, "x.bad.example"));
    CU_ASSERT(has(&a, "worse.bad.example") && has(&a, "x.worse.bad.example"));
    end(&a);
}

/* ---- with it: this thread takes part as others do, by reading its mail */

static struct loop *home;
static struct grace_reader at_home;

static void
begin_serving(void)
{
    home = loop_new(&err);
    grace_join(&at_home, home);
    CU_ASSERT_EQUAL_FATAL(lists_start(&err), 0);
}

static void
end_serving(struct setting *setting)
{
    lists_stop();
    end(setting);
    grace_leave(&at_home);
    loop_free_all(home);
    CU_ASSERT_EQUAL(file_watch_count(), 0);
}

static bool
wait_for(const struct setting *setting, const char *host)
{
    uint64_t until_ms = clock_monotonic_ms() + WAIT_MS;

    while (!has(setting, host) && clock_monotonic_ms() < until_ms)
        loop_turn(home, 2);
    return has(setting, host);
}

static bool
wait_for_failures(const struct setting *setting, uint64_t count)
{
    uint64_t until_ms = clock_monotonic_ms() + WAIT_MS;
    struct list_facts facts;

    do {
        loop_turn(home, 2);
        list_facts(setting->lists[0].list, &facts);
    } while (facts.failures < count && clock_monotonic_ms() < until_ms);
    return facts.failures >= count;
}

static void
a_file_that_changes_is_read_again(void)
{
    struct setting a = { .conf = { .workers = 0 } };

    write_text(in("live"), "old.example\n");
    name_list(&a, 0, LIST_DOMAINS, LIST_AUTO, in("live"));
    begin_serving();
    CU_ASSERT_EQUAL_FATAL(lists_adopt(&a.conf, &err), 0);
    replace(in("live"), "new.example\n");
    CU_ASSERT(wait_for(&a, "new.example"));
    CU_ASSERT_FALSE(has(&a, "old.example"));
    write_text(in("live"), "in-place.example\n");
    CU_ASSERT(wait_for(&a, "in-place.example"));
    end_serving(&a);
}

static void
a_bad_file_leaves_the_last_good_content(void)
{
    struct setting a = { .conf = { .workers = 0 } };
    struct list_facts facts;

    write_text(in("live"), "good.example\n");
    name_list(&a, 0, LIST_DOMAINS, LIST_AUTO, in("live"));
    begin_serving();
    CU_ASSERT_EQUAL_FATAL(lists_adopt(&a.conf, &err), 0);
    replace(in("live"), "other.example\nno good\n");
    CU_ASSERT(wait_for_failures(&a, 1));
    CU_ASSERT(has(&a, "good.example"));
    CU_ASSERT_FALSE(has(&a, "other.example"));
    replace(in("live"), ""); /* as a download that failed leaves it */
    CU_ASSERT(wait_for_failures(&a, 2));
    unlink(in("live"));
    CU_ASSERT(wait_for_failures(&a, 3));
    CU_ASSERT(has(&a, "good.example"));
    write_text(in("live"), "again.example\n");
    CU_ASSERT(wait_for(&a, "again.example"));
    list_facts(a.lists[0].list, &facts);
    CU_ASSERT_EQUAL(facts.failures, 0);
    end_serving(&a);
}

/* ---- when a file is read again */

/* Something that happens all the time. */
static bool
wait_despite(const struct setting *setting, const char *host, const char *path, const char *mode)
{
    uint64_t until_ms = clock_monotonic_ms() + WAIT_MS;

    while (!has(setting, host) && clock_monotonic_ms() < until_ms) {
        FILE *file = fopen(path, mode);

        CU_ASSERT_PTR_NOT_NULL_FATAL(file);
        fputs("# here again\n", file);
        fclose(file);
        loop_turn(home, 1);
    }
    return has(setting, host);
}

static void
a_busy_folder_puts_nothing_off(void)
{
    struct setting a = { .conf = { .workers = 0 } };

    write_text(in("live"), "old.example\n");
    name_list(&a, 0, LIST_DOMAINS, LIST_AUTO, in("live"));
    begin_serving();
    CU_ASSERT_EQUAL_FATAL(lists_adopt(&a.conf, &err), 0);
    replace(in("live"), "new.example\n");
    CU_ASSERT(wait_despite(&a, "new.example", in("other"), "w"));
    end_serving(&a);
}

static void
a_file_that_never_rests_is_read_all_the_same(void)
{
    struct setting a = { .conf = { .workers = 0 } };

    write_text(in("live"), "old.example\n");
    name_list(&a, 0, LIST_DOMAINS, LIST_AUTO, in("live"));
    begin_serving();
    CU_ASSERT_EQUAL_FATAL(lists_adopt(&a.conf, &err), 0);
    replace(in("live"), "new.example\n");
    CU_ASSERT(wait_despite(&a, "new.example", in("live"), "a"));
    end_serving(&a);
}

static void
a_file_that_has_just_changed_is_left_alone(void)
{
    struct setting a = { .conf = { .workers = 0 } };
    uint64_t until_ms;

    write_text(in("live"), "old.example\n");
    name_list(&a, 0, LIST_DOMAINS, LIST_AUTO, in("live"));
    a.lists[0].settle_ms = 60000;
    begin_serving();
    CU_ASSERT_EQUAL_FATAL(lists_adopt(&a.conf, &err), 0);
    replace(in("live"), "half.exam");
    for (until_ms = clock_monotonic_ms() + 5 * SETTLE_MS; clock_monotonic_ms() < until_ms;)
        loop_turn(home, 2);
    CU_ASSERT(has(&a, "old.example"));
    end_serving(&a);
}

/* ---- threads that ask meanwhile */

struct part {
    struct loop *loop;
    struct grace_reader reader;
    pthread_t thread;
    const struct policy_list *list;
    struct task task;
};

static atomic_bool is_over;
static atomic_uint wrong;

static void
ask(struct task *task)
{
    struct part *part = container_of(task, struct part, task);

    for (unsigned i = 0; i < 20; i++) {
        struct slice entry = { NULL, 0 };

        if (!list_has_host(part->list, SLICE("a.always.example"), &entry) ||
            !slice_equal(entry, SLICE("always.example")))
            wrong++;
    }
    if (!is_over)
        loop_ready(part->loop, task);
}

static void *
run(void *arg)
{
    struct part *part = arg;

    loop_ready(part->loop, &part->task);
    while (!is_over)
        loop_turn(part->loop, 1);
    task_cancel(&part->task);
    return NULL;
}

static void
start_asking(struct part parts[THREADS], const struct policy_list *list)
{
    is_over = false;
    wrong = 0;
    for (unsigned i = 0; i < THREADS; i++) {
        parts[i] = (struct part){ .loop = loop_new(&err), .list = list };
        task_init(&parts[i].task, ask);
        grace_join(&parts[i].reader, parts[i].loop);
        pthread_create(&parts[i].thread, NULL, run, &parts[i]);
    }
}

static void
end_asking(struct part parts[THREADS])
{
    is_over = true;
    for (unsigned i = 0; i < THREADS; i++) {
        pthread_join(parts[i].thread, NULL);
        grace_leave(&parts[i].reader);
        loop_free_all(parts[i].loop);
    }
}

static void
lists_are_replaced_while_they_are_asked(void)
{
    struct setting a = { .conf = { .workers = 0 } };
    struct part parts[THREADS];
    char text[80], host[32];

    write_text(in("live"), "always.example\n");
    name_list(&a, 0, LIST_DOMAINS, LIST_AUTO, in("live"));
    begin_serving();
    CU_ASSERT_EQUAL_FATAL(lists_adopt(&a.conf, &err), 0);
    start_asking(parts, a.lists[0].list);
    for (unsigned i = 0; i < 4; i++) {
        snprintf(host, sizeof(host), "n%u.example", i);
        snprintf(text, sizeof(text), "%s\nalways.example\n", host);
        replace(in("live"), text);
        CU_ASSERT(wait_for(&a, host));
    }
    end_asking(parts);
    CU_ASSERT_EQUAL(wrong, 0);
    end_serving(&a);
}

/* The last snapshot that names a list may end on any thread. */
static void
a_list_may_go_while_the_loader_runs(void)
{
    struct setting a = { .conf = { .workers = 0 } };

    write_text(in("live"), "a.example\n");
    name_list(&a, 0, LIST_DOMAINS, LIST_AUTO, in("live"));
    begin_serving();
    for (unsigned i = 0; i < 20; i++) {
        CU_ASSERT_EQUAL(lists_adopt(&a.conf, &err), 0);
        CU_ASSERT(has(&a, "a.example"));
        loop_turn(home, 5);
        lists_release(&a.conf);
    }
    end_serving(&a);
}

void
suite_lists(void)
{
    CU_pSuite s = CU_add_suite("lists", make_folder, remove_folder);

    CU_add_test(s, "adopting loads, and the same files are the same list",
                adopting_loads_and_the_same_files_are_the_same_list);
    CU_add_test(s, "a list that cannot be loaded at first is an error",
                a_list_that_cannot_be_loaded_at_first_is_an_error);
    CU_add_test(s, "folders of squidGuard are read by what their files are",
                folders_of_squidguard_are_read_by_what_their_files_are);
    CU_add_test(s, "a zone behind other files spares only what it names",
                a_zone_behind_other_files_spares_only_what_it_names);
    CU_add_test(s, "a file that changes is read again", a_file_that_changes_is_read_again);
    CU_add_test(s, "a bad file leaves the last good content",
                a_bad_file_leaves_the_last_good_content);
    CU_add_test(s, "a busy folder puts nothing off", a_busy_folder_puts_nothing_off);
    CU_add_test(s, "a file that never rests is read all the same",
                a_file_that_never_rests_is_read_all_the_same);
    CU_add_test(s, "a file that has just changed is left alone",
                a_file_that_has_just_changed_is_left_alone);
    CU_add_test(s, "lists are replaced while they are asked",
                lists_are_replaced_while_they_are_asked);
    CU_add_test(s, "a list may go while the loader runs", a_list_may_go_while_the_loader_runs);
}
