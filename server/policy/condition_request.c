/* SPDX-License-Identifier: BSD-2-Clause */
/* condition_request.c - compiles what is asked about a request: methods, hosts, paths,
 * header fields. What is compared is written in the form that requests have.
 */
#include "config.h"

#include "server/policy/condition_job.h"

#include "server/host_map.h"
#include "server/http/scan.h"
#include "server/http/uri.h"

int
compile_methods(struct job *job)
{
    static const char *const known[] = {
        [METHOD_GET] = "GET", [METHOD_HEAD] = "HEAD", [METHOD_POST] = "POST",
        [METHOD_PUT] = "PUT", [METHOD_DELETE] = "DELETE", [METHOD_CONNECT] = "CONNECT",
        [METHOD_OPTIONS] = "OPTIONS", [METHOD_TRACE] = "TRACE", [METHOD_PATCH] = "PATCH",
    };
    const struct strings *values = job_strings(job);
    struct text_pattern *others = job_patterns(job);
    size_t count = 0;

    if (others == NULL)
        return -1;
    for (size_t i = 0; i < values->count; i++) {
        struct slice method = values->items[i];
        size_t at = METHOD_OTHER + 1;

        if (!scan_is_token(method) ||
            strpbrk(method.data, "abcdefghijklmnopqrstuvwxyz") != NULL)
            return err_set(job->compiler->err, "\"%.60s\" is no method: methods are written in "
                           "capitals, as in \"POST\"", method.data);
        while (at < ARRAY_COUNT(known) && !slice_equal(slice_of(known[at]), method))
            at++;
        if (at == ARRAY_COUNT(known)) {
            others[count++].text = method;
            at = METHOD_OTHER;
        }
        job->test->mask |= 1u << at;
        if (at == METHOD_GET)
            job->test->mask |= 1u << METHOD_HEAD;
    }
    return count > 0 ? job_keep_patterns(job, others, count, false) : 0;
}

int
compile_schemes(struct job *job)
{
    const struct strings *values = job_strings(job);

    for (size_t i = 0; i < values->count; i++) {
        if (slice_equal(values->items[i], SLICE("http")))
            job->test->mask |= 1;
        else if (slice_equal(values->items[i], SLICE("https")))
            job->test->mask |= 2;
        else
            return err_set(job->compiler->err, "scheme \"%.60s\" is not one of \"http\", "
                           "\"https\"", values->items[i].data);
    }
    return 0;
}

/* "www.example.com", "*.example.com". */
static int
read_host(struct job *job, struct slice value, struct text_pattern *pattern)
{
    struct err *err = job->compiler->err;

    if (slice_equal(value, SLICE("*")))
        return err_set(err, "%s \"*\" is any: leave the condition out", job->field->name);
    if (host_map_clean(value, &pattern->text, job_arena(job), err) < 0)
        return err_prefix(err, "%s ", job->field->name);
    if (!slice_starts_with(pattern->text, SLICE("*.")))
        return 0;
    pattern->text = slice_skip(pattern->text, 1); /* with the dot: only what is below */
    pattern->is_open = true;
    return 0;
}

int
compile_hosts(struct job *job, bool has_none)
{
    const struct strings *values = job_strings(job);
    struct text_pattern *patterns = job_patterns(job);
    size_t count = 0;

    if (patterns == NULL)
        return -1;
    for (size_t i = 0; i < values->count; i++) {
        if (has_none && values->items[i].bytes == 0)
            job->test->mask = 1;
        else if (read_host(job, values->items[i], &patterns[count++]) < 0)
            return -1;
    }
    if (job->field->kind == TEST_HOST && count == 1) {
        job->test->kind = patterns[0].is_open ? TEST_HOST_BELOW : TEST_HOST_IS;
        job->test->text = patterns[0].text;
        return 0;
    }
    return job_keep_patterns(job, patterns, count, true);
}

/* "/login", "/admin/" and a "*". */
static int
read_path(struct job *job, struct slice value, struct text_pattern *pattern)
{
    struct err *err = job->compiler->err;
    struct slice path = value, normal;

    pattern->is_open = value.bytes > 0 && value.data[value.bytes - 1] == '*';
    path.bytes -= pattern->is_open;
    if (slice_find(path, '*') >= 0)
        return err_set(err, "path \"%.60s\": \"*\" may only stand at the end; path_regex can do "
                            "more, and \"%%2A\" is the character itself", value.data);
    if (path.bytes == 0 && pattern->is_open)
        return 0; /* whatever has a path */
    if (path.bytes == 0 || path.data[0] != '/' || slice_find(path, '?') >= 0 ||
        slice_find(path, '#') >= 0)
        return err_set(err, "path \"%.60s\" is no path: it begins with \"/\" and has no \"?\"",
                       value.data);
    normal = uri_normal_path(path, job_arena(job));
    if (normal.data == NULL)
        return err_set(err, "path \"%.60s\" has a \"%%\" without two hexadecimal digits",
                       value.data);
    pattern->text = normal;
    return 0;
}

int
compile_paths(struct job *job)
{
    const struct strings *values = job_strings(job);
    struct text_pattern *patterns = job_patterns(job);

    if (patterns == NULL)
        return -1;
    for (size_t i = 0; i < values->count; i++)
        if (read_path(job, values->items[i], &patterns[i]) < 0)
            return -1;
    if (values->count == 1) {
        job->test->kind = patterns[0].is_open ? TEST_PATH_BEGINS : TEST_PATH_IS;
        job->test->text = patterns[0].text;
        return 0;
    }
    return job_keep_patterns(job, patterns, values->count, false);
}

static int
check_match(struct job *job, const struct named_match *match)
{
    struct err *err = job->compiler->err;
    const char *option = job->field->name;

    if (match->name[0] == '\0')
        return err_set(err, "%s: a name is empty", option);
    if (job->field->kind != TEST_QUERY && !scan_is_token(slice_of(match->name)))
        return err_set(err, "\"%.60s\" is not the name of a %s", match->name,
                       job->field->kind == TEST_HEADER ? "header field" : "cookie");
    if (match->value != NULL && match->pattern != NULL)
        return err_set(err, "%s \"%.60s\": value and regex exclude each other", option,
                       match->name);
    return 0;
}

int
compile_matches(struct job *job)
{
    const struct config_list *matches = condition_value(job->field, job->conf);
    struct named_test *tests = arena_zalloc(job_arena(job), matches->count * sizeof(*tests));

    if (tests == NULL)
        return job_out_of_memory(job);
    for (size_t i = 0; i < matches->count; i++) {
        const struct named_match *match = matches->items[i];

        if (check_match(job, match) < 0)
            return -1;
        tests[i] = (struct named_test){
            .name = slice_of(match->name), .value = slice_of(match->value),
            .has_value = match->value != NULL, .pattern = match->pattern,
        };
        if (job->field->kind == TEST_HEADER)
            tests[i].id = (uint16_t)field_id_of(tests[i].name);
    }
    job->test->data = tests;
    job->test->mask = (uint32_t)matches->count;
    return 0;
}
