/* SPDX-License-Identifier: BSD-2-Clause */
/* lists.c - what a list of very many domains costs: time to load it, memory, time of a
 * question.
 *
 *     lists [DOMAINS]            one million when not given
 *     lists DOMAINS FILE         only writes such a file
 *
 * Names have two to four labels, as those of published lists. Times are of the CPU.
 */
#include "config.h"

#include "server/base/must.h"
#include "server/policy/list_load.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#define QUESTIONS 200000u
#define HOST_BYTES 256u
#define ROUNDS 3

static const char *const ends[] = { "com", "net", "org", "de", "co.uk", "info", "ru", "xyz" };

static double
cpu_s(void)
{
    struct timespec now;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

static int
name_of(size_t i, char text[HOST_BYTES])
{
    uint64_t x = (i + 1) * 0x9e3779b97f4a7c15u;
    const char *end = ends[x >> 61];

    switch (i % 3) {
    case 0:
        return snprintf(text, HOST_BYTES, "d%06" PRIx64 "%zx.%s", x >> 32 & 0xffffff, i, end);
    case 1:
        return snprintf(text, HOST_BYTES, "ads%" PRIu64 ".site%zx.%s", x >> 40 & 63, i, end);
    }
    return snprintf(text, HOST_BYTES, "t.cdn%" PRIu64 ".net%zx.%s", x >> 40 & 7, i, end);
}

static void
write_names(FILE *out, size_t count)
{
    char text[HOST_BYTES];

    for (size_t i = 0; i < count; i++) {
        name_of(i, text);
        fprintf(out, "%s\n", text);
    }
}

/* ---- questions */

static void
make_hit(size_t count, size_t i, char *text)
{
    memcpy(text, "www.", 4);
    name_of(i * 7919 % count, text + 4);
}

static void
make_miss(size_t count, size_t i, char *text)
{
    snprintf(text, 64, "www.shop%zx.example%zu.%s", i * 2654435761u, count % 97, ends[i % 8]);
}

static void
make_deep(size_t count, size_t i, char *text)
{
    for (unsigned label = 0; label < 100; label++)
        text += snprintf(text, 4, "%c.", 'a' + (int)((i + label) % 26));
    make_miss(count, i, text);
}

static const struct {
    const char *name;
    void (*make)(size_t count, size_t i, char *text);
} questions[] = { { "in the list", make_hit }, { "not in it", make_miss },
                  { "of 104 labels", make_deep } };

static void
ask_all(const struct list_content *content, size_t count, char (*hosts)[HOST_BYTES],
        struct slice *slices)
{
    for (size_t kind = 0; kind < ARRAY_COUNT(questions); kind++) {
        size_t hits = 0;
        double begin;

        for (size_t i = 0; i < QUESTIONS; i++) {
            questions[kind].make(count, i, hosts[i]);
            slices[i] = slice_of(hosts[i]);
        }
        begin = cpu_s();
        for (size_t i = 0; i < QUESTIONS * ROUNDS; i++)
            hits += list_content_has_host(content, slices[i % QUESTIONS], NULL);
        printf("%-14s %6.0f ns, %zu found\n", questions[kind].name,
               (cpu_s() - begin) / (QUESTIONS * ROUNDS) * 1e9, hits / ROUNDS);
    }
}

static void
measure(const char *path, size_t count)
{
    struct slice file = slice_of(path);
    const struct list_conf conf = { .name = "bench", .files = { &file, 1 },
                                    .max_entries = INT64_MAX };
    char (*hosts)[HOST_BYTES] = malloc(QUESTIONS * sizeof(*hosts));
    struct slice *slices = malloc(QUESTIONS * sizeof(*slices));
    double begin = cpu_s();
    struct err err = { .text = "" };
    struct list_content *content = list_load(&conf, false, &err);

    must(content != NULL && hosts != NULL && slices != NULL);
    printf("%" PRIu64 " domains in %.2f s, %.1f bytes each\n", content->entries,
           cpu_s() - begin, (double)list_content_bytes(content) / (double)content->entries);
    ask_all(content, count, hosts, slices);
    list_content_free(content);
    free(hosts);
    free(slices);
}

int
main(int argc, char **argv)
{
    size_t count = argc > 1 ? strtoul(argv[1], NULL, 10) : 1000000;
    char path[] = "/tmp/bench_lists.XXXXXX";
    FILE *out = argc > 2 ? fopen(argv[2], "w") : fdopen(mkstemp(path), "w");

    must(out != NULL && count > 0);
    write_names(out, count);
    must(fclose(out) == 0);
    if (argc > 2)
        return 0;
    measure(path, count);
    return unlink(path);
}
