/* SPDX-License-Identifier: BSD-2-Clause */
/* condition_values.c - checks the values of each condition, and makes of them what is
 * asked fast: tables, sets, numbers.
 */
#include "config.h"

#include "server/policy/condition_job.h"

#include "modes/mode.h"
#include "server/http/scan.h"
#include "server/policy/limit.h"
#include "server/policy/list.h"
#include "server/policy/time_window.h"
#include "server/schema.h"

#define STATUS_MIN 100
#define STATUS_MAX 599

int
job_out_of_memory(struct job *job)
{
    return err_set(job->compiler->err, "out of memory: the configuration is too large");
}

/* ---- sets of texts */

struct text_pattern *
job_patterns(struct job *job)
{
    struct text_pattern *patterns = arena_zalloc(&job->compiler->scratch,
                                                 job_strings(job)->count * sizeof(*patterns));

    if (patterns == NULL)
        job_out_of_memory(job);
    return patterns;
}

int
job_keep_patterns(struct job *job, const struct text_pattern *patterns, size_t count, bool from_end)
{
    job->test->data = text_set_new(job_arena(job), patterns, count, from_end);
    return job->test->data != NULL ? 0 : job_out_of_memory(job);
}

/* The values as they are; "*", where it stands for any, sets mask. */
static int
compile_texts(struct job *job, bool has_any)
{
    const struct strings *values = job_strings(job);
    struct text_pattern *patterns = job_patterns(job);

    if (patterns == NULL)
        return -1;
    for (size_t i = 0; i < values->count; i++) {
        if (values->items[i].bytes == 0)
            return err_set(job->compiler->err, "%s: \"\" means nothing", job->field->name);
        patterns[i].text = values->items[i];
        if (has_any && slice_equal(values->items[i], SLICE("*")))
            job->test->mask = 1;
    }
    return job_keep_patterns(job, patterns, values->count, false);
}

/* ---- connection */

static int
compile_listeners(struct job *job)
{
    const struct config_list *listeners = &job->compiler->conf->listeners;
    const struct strings *values = job_strings(job);

    for (size_t i = 0; i < values->count; i++) {
        struct nearest nearest;
        size_t at = 0;

        nearest_init(&nearest, values->items[i]);
        for (; at < listeners->count; at++) {
            const char *name = ((const struct listener_conf *)listeners->items[at])->name;

            if (slice_equal(slice_of(name), values->items[i]))
                break;
            nearest_offer(&nearest, name);
        }
        if (at < listeners->count)
            continue;
        err_set(job->compiler->err, "there is no listener \"%.60s\"", values->items[i].data);
        return nearest_hint(&nearest, job->compiler->err);
    }
    return compile_texts(job, false);
}

static int
compile_modes(struct job *job)
{
    const struct strings *values = job_strings(job);

    for (size_t i = 0; i < values->count; i++) {
        struct nearest nearest;
        size_t at = 0;

        nearest_init(&nearest, values->items[i]);
        while (modes[at] != NULL && !slice_equal(slice_of(modes[at]->name), values->items[i]))
            nearest_offer(&nearest, modes[at++]->name);
        if (modes[at] != NULL)
            continue;
        err_set(job->compiler->err, "there is no mode \"%.60s\"", values->items[i].data);
        return nearest_hint(&nearest, job->compiler->err);
    }
    return compile_texts(job, false);
}

static int
compile_times(struct job *job)
{
    job->test->data = time_windows_new(job_arena(job), &job->conf->times, job->conf->time_zone,
                                       job->compiler->err);
    return job->test->data != NULL ? 0 : -1;
}

/* ---- lists and limits */

static const char *
list_kind_name(int kind)
{
    switch ((enum list_kind)kind) {
    case LIST_DOMAINS:
        return "domains";
    case LIST_NETWORKS:
        return "networks";
    case LIST_URLS:
        return "URLs";
    }
    return "";
}

static int
compile_lists(struct job *job, enum list_kind kind)
{
    const struct strings *values = job_strings(job);
    const struct list_conf **lists = arena_alloc(job_arena(job), values->count * sizeof(*lists));
    struct compiler *compiler = job->compiler;

    if (lists == NULL)
        return job_out_of_memory(job);
    for (size_t i = 0; i < values->count; i++) {
        lists[i] = compiler_find(compiler, compiler->lists, &compiler->conf->lists, "list",
                                 values->items[i]);
        if (lists[i] == NULL)
            return -1;
        if (lists[i]->kind != (int)kind)
            return err_set(compiler->err, "%s \"%.60s\": that list, at %s:%u, is of %s, not of %s",
                           job->field->name, lists[i]->name, lists[i]->place.file,
                           lists[i]->place.line, list_kind_name(lists[i]->kind),
                           list_kind_name((int)kind));
    }
    job->test->data = lists;
    job->test->mask = (uint32_t)values->count;
    return 0;
}

unsigned
limit_stages(const struct limit_conf *limit)
{
    unsigned stages = STAGE_BIT(STAGE_CONNECTION);

    for (size_t i = 0; i < limit->key.count; i++) {
        struct slice part = limit->key.items[i];

        if (slice_equal(part, SLICE("user")))
            stages |= STAGE_BIT(STAGE_USER);
        else if (!slice_equal(part, SLICE("client")) && !slice_equal(part, SLICE("listener")) &&
                 !slice_equal(part, SLICE("sni")))
            stages |= STAGE_BIT(STAGE_HEAD);
    }
    return stages;
}

static int
compile_over(struct job *job)
{
    const struct strings *values = job_strings(job);
    struct over_test *over = arena_alloc(job_arena(job), values->count * sizeof(*over));
    struct compiler *compiler = job->compiler;

    if (over == NULL)
        return job_out_of_memory(job);
    for (size_t i = 0; i < values->count; i++) {
        const struct limit_conf *limit = compiler_find(compiler, compiler->limits,
                                                       &compiler->conf->limits, "limit",
                                                       values->items[i]);
        int number = limit != NULL ? compiler_limit(compiler, limit) : -1;

        if (number < 0)
            return -1;
        over[i] = (struct over_test){ .limit = limit, .bit = UINT64_C(1) << number,
                                      .needs = limit_stages(limit) };
        job->test->stages |= (uint8_t)over[i].needs;
    }
    job->test->data = over;
    job->test->mask = (uint32_t)values->count;
    job->test->needs = 0;
    job->test->has_limits = true;
    return 0;
}

/* ---- user, response */

static int
compile_users(struct job *job, bool has_any)
{
    const struct policy_conf *policy = job->compiler->policy;

    if (policy != NULL && policy->users == NULL)
        return err_set(job->compiler->err, "%s needs users = \"NAME\" in the policy",
                       job->field->name);
    return compile_texts(job, has_any);
}

bool
condition_read_statuses(struct slice text, struct port_range *range)
{
    uint64_t first, last;

    if (!slice_to_range(text, STATUS_MAX, &first, &last) || first < STATUS_MIN || first > last)
        return false;
    *range = (struct port_range){ (uint16_t)first, (uint16_t)last };
    return true;
}

/* A bit for each status. */
static int
compile_statuses(struct job *job)
{
    const struct strings *values = job_strings(job);
    uint64_t *bits = arena_zalloc(job_arena(job), (STATUS_MAX / 64 + 1) * sizeof(*bits));

    if (bits == NULL)
        return job_out_of_memory(job);
    for (size_t i = 0; i < values->count; i++) {
        struct port_range range;

        if (!condition_read_statuses(values->items[i], &range))
            return err_set(job->compiler->err, "status \"%.60s\" is none: expected %d..%d, or a "
                           "range as in \"500-599\"", values->items[i].data, STATUS_MIN,
                           STATUS_MAX);
        for (unsigned status = range.first; status <= range.last; status++)
            bits[status / 64] |= UINT64_C(1) << (status % 64);
    }
    job->test->data = bits;
    return 0;
}

/* "text/html", "image/" and a "*". */
static int
compile_content_types(struct job *job)
{
    const struct strings *values = job_strings(job);
    struct text_pattern *patterns = job_patterns(job);

    if (patterns == NULL)
        return -1;
    for (size_t i = 0; i < values->count; i++) {
        char *lower = arena_strdup(job_arena(job), values->items[i].data);
        struct slice type = slice_of(lower);
        ptrdiff_t slash = slice_find(type, '/');

        if (lower == NULL)
            return job_out_of_memory(job);
        for (size_t at = 0; at < type.bytes; at++)
            lower[at] = ascii_lower(lower[at]);
        if (slash < 0 || !scan_is_token(slice_make(type.data, (size_t)slash)) ||
            !scan_is_token(slice_skip(type, (size_t)slash + 1)))
            return err_set(job->compiler->err, "content_type \"%.60s\" is none: expected one as "
                           "in \"text/html\" or \"image/*\"", values->items[i].data);
        patterns[i].is_open = type.data[type.bytes - 1] == '*';
        patterns[i].text = slice_make(type.data, type.bytes - patterns[i].is_open);
        if (slice_equal(type, SLICE("*/*")))
            patterns[i].text = SLICE("");
        if (slice_find(patterns[i].text, '*') >= 0)
            return err_set(job->compiler->err, "content_type \"%.60s\": \"*\" may only stand at "
                           "the end, as in \"image/*\"", values->items[i].data);
    }
    return job_keep_patterns(job, patterns, values->count, false);
}

/* ---- all */

static int
compile(struct job *job)
{
    struct test *test = job->test;

    switch ((enum test_kind)job->field->kind) {
    case TEST_METHOD:
        return compile_methods(job);
    case TEST_SCHEME:
        return compile_schemes(job);
    case TEST_HOST:
        return compile_hosts(job, false);
    case TEST_SNI:
        test->needs = 0;
        return compile_hosts(job, true);
    case TEST_SNI_IN:
        test->needs = 0;
        return compile_lists(job, LIST_DOMAINS);
    case TEST_PATH:
        return compile_paths(job);
    case TEST_PORT:
        test->data = &job->conf->ports;
        return 0;
    case TEST_STATUS:
        return compile_statuses(job);
    case TEST_LONGER:
        test->data = &job->conf->longer_than;
        return 0;
    case TEST_LISTENER:
        return compile_listeners(job);
    case TEST_MODE:
        return compile_modes(job);
    case TEST_USER:
        return compile_users(job, true);
    case TEST_USER_GROUP:
        return compile_users(job, false);
    case TEST_CLIENT:
        test->data = job->conf->clients;
        return 0;
    case TEST_DESTINATION:
        test->data = job->conf->destinations;
        return 0;
    case TEST_SNI_DIFFERS:
        test->mask = job->conf->server_name_differs == MAYBE_YES;
        return 0;
    case TEST_HEADER:
    case TEST_COOKIE:
    case TEST_QUERY:
        return compile_matches(job);
    case TEST_CONTENT_TYPE:
        return compile_content_types(job);
    case TEST_TIME:
        return compile_times(job);
    case TEST_CLIENT_IN:
    case TEST_DESTINATION_IN:
        return compile_lists(job, LIST_NETWORKS);
    case TEST_HOST_IN:
        return compile_lists(job, LIST_DOMAINS);
    case TEST_URL_IN:
        return compile_lists(job, LIST_URLS);
    case TEST_COUNTRY:
    case TEST_DESTINATION_COUNTRY:
        return compile_countries(job);
    case TEST_AS:
    case TEST_DESTINATION_AS:
        return compile_networks_as(job);
    case TEST_PATH_REGEX:
        test->data = job->conf->path_regex;
        return 0;
    case TEST_URL_REGEX:
        test->data = job->conf->url_regex;
        return 0;
    case TEST_CERTIFICATE:
    case TEST_CERTIFICATE_ISSUER:
        return compile_texts(job, job->field->kind == TEST_CERTIFICATE);
    case TEST_OVER:
        return compile_over(job);
    case TEST_HOST_IS:
    case TEST_HOST_BELOW:
    case TEST_PATH_IS:
    case TEST_PATH_BEGINS:
    case TEST_ANY:
    case TEST_NONE:
    case TEST_SET:
        break;
    }
    must(false); /* those have no row */
    return -1;
}

int
test_compile(struct compiler *compiler, const struct condition_field *field,
             const struct condition_conf *conf, struct test *test)
{
    struct job job = { .compiler = compiler, .field = field, .conf = conf, .test = test };

    return compile(&job);
}
