/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_rewrite.c - any content through replacing and inserting: cut in pieces and at once, it
 * becomes the same. With literals, what it becomes is also worked out in the plainest way.
 *
 * Bytes of the input: which rules, how it is cut, then the content.
 */
#include "config.h"

#include "filters/rewrite_inside.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define MAX_MATCH 16u
#define CONTENT_MAX 2000u
#define OUT_MAX (CONTENT_MAX * 16)

struct output {
    size_t bytes;
    char data[OUT_MAX];
};

static struct output whole, cut, plain;

/* ---- rules */

static struct rewrite_rule_conf literals[] = {
    { .find = "abc", .with = "<1>" }, { .find = "ab", .with = "" },
    { .find = "Bca", .with = "2", .ignore_case = true }, { .find = "c", .with = "cc" },
    { .find = "aabb", .with = "x" }, { .find = "<body", .with = "<p" },
};
static struct rewrite_rule_conf one[] = { { .find = "aab", .with = "b" } };
static struct rewrite_rule_conf expressions[] = {
    { .regex = "a+b", .with = "[\\0]" }, { .find = "bb", .with = "B" },
    { .regex = "(?<=b)(c|d)\\1", .with = "\\1", .ignore_case = true },
    { .regex = "\\bx.*?y\\b", .with = "-" }, { .regex = "(?m)^d$", .with = "D" },
    { .regex = "c(?!c)", .with = "n" },
};

static const struct {
    struct rewrite_rule_conf *confs;
    size_t count;
} sets[] = {
    { literals, ARRAY_COUNT(literals) }, { one, 1 }, { expressions, ARRAY_COUNT(expressions) },
};
#define LITERAL_SETS 2u

static struct rewrite_rules *rules[ARRAY_COUNT(sets)];
static struct arena rules_arena;

static void
make_rules(void)
{
    arena_init(&rules_arena, NULL, 1 << 20);
    for (size_t i = 0; i < ARRAY_COUNT(sets); i++) {
        struct rewrite_rule_conf *confs[8];
        struct err err;

        for (size_t j = 0; j < sets[i].count; j++)
            confs[j] = &sets[i].confs[j];
        rules[i] = rewrite_rules_new(confs, sets[i].count, MAX_MATCH, &rules_arena, &err);
        must(rules[i] != NULL);
    }
}

/* ---- the same in the plainest way */

static void
add(struct output *out, const char *data, size_t bytes)
{
    must(out->bytes + bytes <= OUT_MAX);
    if (bytes > 0)
        memcpy(out->data + out->bytes, data, bytes);
    out->bytes += bytes;
}

static bool
matches(const struct rewrite_rule_conf *conf, struct slice text)
{
    struct slice find = slice_of(conf->find), start = text;

    if (start.bytes > find.bytes)
        start.bytes = find.bytes;
    return conf->ignore_case ? slice_equal_nocase(start, find) : slice_equal(start, find);
}

static void
replace_plainly(unsigned set, struct slice text)
{
    plain.bytes = 0;
    while (text.bytes > 0) {
        const struct rewrite_rule_conf *hit = NULL;

        for (size_t i = 0; i < sets[set].count && hit == NULL; i++)
            if (matches(&sets[set].confs[i], text))
                hit = &sets[set].confs[i];
        if (hit != NULL)
            add(&plain, hit->with, strlen(hit->with));
        else
            add(&plain, text.data, 1);
        text = slice_skip(text, hit != NULL ? strlen(hit->find) : 1);
    }
}

/* ---- one run, with work() cut as the numbers say */

typedef enum transform_result work_fn(void *of, struct transform_step *step);

static unsigned
next_size(unsigned *seed, unsigned most)
{
    if (*seed == 0)
        return most;
    *seed = *seed * 1103515245 + 12345;
    return 1 + (*seed >> 16) % (*seed >> 30 ? 7 : most);
}

static void
run(work_fn *work, void *of, struct slice in, unsigned seed, struct output *out)
{
    bool is_end = false;

    out->bytes = 0;
    for (;;) {
        size_t bytes = next_size(&seed, CONTENT_MAX), room = next_size(&seed, OUT_MAX);
        struct transform_step step = { .in = in.data, .in_bytes = bytes, .is_end = is_end };
        enum transform_result result;
        char *copy, *made;

        if (bytes > in.bytes)
            step.in_bytes = in.bytes;
        step.out_bytes = room;
        copy = malloc(step.in_bytes + 1);
        made = malloc(room);
        must(copy != NULL && made != NULL);
        if (step.in_bytes > 0)
            memcpy(copy, in.data, step.in_bytes);
        step.in = copy;
        step.out = made;
        result = work(of, &step);
        must(result != TRANSFORM_FAILED && step.taken <= step.in_bytes && step.made <= room);
        must(result == TRANSFORM_DONE || step.taken + step.made > 0 || step.in_bytes == 0);
        add(out, made, step.made);
        in = slice_skip(in, step.taken);
        free(copy);
        free(made);
        if (is_end && result == TRANSFORM_DONE)
            return;
        is_end = in.bytes == 0;
    }
}

static enum transform_result
work_replace(void *of, struct transform_step *step)
{
    return rewrite_replacer_work(of, false, step);
}

static enum transform_result
work_insert(void *of, struct transform_step *step)
{
    return rewrite_inserter_work(of, step);
}

static void
replace(unsigned set, struct slice text, unsigned seed, struct output *out)
{
    struct rewrite_replacer replacer;
    struct arena arena;

    arena_init(&arena, NULL, 1 << 16);
    must(rewrite_replacer_init(&replacer, rules[set], UINT64_MAX, &arena) == 0);
    run(work_replace, &replacer, text, seed, out);
    must(!replacer.has_limit);
    rewrite_replacer_fini(&replacer);
    arena_fini(&arena);
}

static void
insert(struct slice text, unsigned seed, struct output *out)
{
    static const struct slice texts[HTML_PLACES] = {
        SLICE_INIT("[1]"), SLICE_INIT("[2]"), SLICE_INIT("[3]"), SLICE_INIT("[4]"),
    };
    struct rewrite_inserter inserter;

    rewrite_inserter_init(&inserter, texts);
    run(work_insert, &inserter, text, seed, out);
    must(out->bytes >= text.bytes && out->bytes <= text.bytes + 12);
}

static void
check_same(const struct output *a, const struct output *b)
{
    must(a->bytes == b->bytes && memcmp(a->data, b->data, a->bytes) == 0);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    struct slice text;
    unsigned set, seed;

    if (bytes < 3 || bytes - 3 > CONTENT_MAX)
        return 0;
    if (rules[0] == NULL)
        make_rules();
    set = data[0] % ARRAY_COUNT(sets);
    seed = (unsigned)data[1] << 8 | data[2] | 1;
    text = slice_make((const char *)data + 3, bytes - 3);
    replace(set, text, 0, &whole);
    replace(set, text, seed, &cut);
    check_same(&whole, &cut);
    if (set < LITERAL_SETS) {
        replace_plainly(set, text);
        check_same(&whole, &plain);
    }
    insert(text, 0, &whole);
    insert(text, seed, &cut);
    check_same(&whole, &cut);
    return 0;
}
