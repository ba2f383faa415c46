/* SPDX-License-Identifier: BSD-2-Clause */
/* condition_geo.c - compiles countries and autonomous systems: tables of letters and
 * numbers.
 */
#include "config.h"

#include "server/policy/condition_job.h"

#include <stdlib.h>

#include "server/schema.h"

static struct geo_test *
new_geo_test(struct job *job, const char *path, const char *option)
{
    struct geo_test *geo;

    if (path == NULL) {
        err_set(job->compiler->err, "%s needs geo = { %s = \"FILE\"; }", job->field->name, option);
        return NULL;
    }
    geo = arena_zalloc(job_arena(job), sizeof(*geo));
    if (geo == NULL) {
        job_out_of_memory(job);
        return NULL;
    }
    geo->geo = &job->compiler->conf->geo;
    job->test->data = geo;
    return geo;
}

static bool
is_letter(char c)
{
    return ascii_lower(c) >= 'a' && ascii_lower(c) <= 'z';
}

int
compile_countries(struct job *job)
{
    const struct strings *values = job_strings(job);
    struct geo_test *geo = new_geo_test(job, job->compiler->conf->geo.country_path, "country");

    if (geo == NULL)
        return -1;
    for (size_t i = 0; i < values->count; i++) {
        struct slice code = values->items[i];

        if (code.bytes != 2 || !is_letter(code.data[0]) || !is_letter(code.data[1]))
            return err_set(job->compiler->err, "%s \"%.60s\" is no country: expected two letters "
                           "as in \"DE\" (ISO 3166-1)", job->field->name, code.data);
        geo->letters[ascii_lower(code.data[0]) - 'a'] |= 1u << (ascii_lower(code.data[1]) - 'a');
    }
    return 0;
}

static int
compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;

    return (x > y) - (x < y);
}

int
compile_networks_as(struct job *job)
{
    const struct strings *values = job_strings(job);
    struct geo_test *geo = new_geo_test(job, job->compiler->conf->geo.as_path, "as");

    if (geo == NULL)
        return -1;
    geo->numbers = arena_alloc(job_arena(job), values->count * sizeof(*geo->numbers));
    if (geo->numbers == NULL)
        return job_out_of_memory(job);
    for (size_t i = 0; i < values->count; i++) {
        struct slice digits = values->items[i];
        uint64_t number;

        if (digits.bytes > 2 && slice_equal_nocase(slice_make(digits.data, 2), SLICE("AS")))
            digits = slice_skip(digits, 2);
        if (!slice_to_u64(digits, UINT32_MAX, &number))
            return err_set(job->compiler->err, "%s \"%.60s\" is no autonomous system: expected a "
                           "number as in \"AS64500\"", job->field->name, values->items[i].data);
        geo->numbers[geo->number_count++] = (uint32_t)number;
    }
    qsort(geo->numbers, geo->number_count, sizeof(*geo->numbers), compare_numbers);
    return 0;
}
