/* SPDX-License-Identifier: BSD-2-Clause */
/* rewrite_regex.c - one regular expression over text of which more is to come (PCRE2).
 *
 * Until the end of the content is known, matching is partial: an attempt that comes to the
 * end of what is there is told as unsure from where it began. One that went on for more than
 * max_match bytes counts as a miss, however much is there by chance.
 */
#include "config.h"

#include "filters/rewrite_inside.h"

#include <pthread.h>
#include <stdlib.h>

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

#define TEXT_MAX_BYTES 8192u
#define LOOKBEHIND_MAX 100u  /* two of them, one in the other, fit into the context */
#define MATCH_LIMIT 20000u
#define HEAP_LIMIT_KIB 1024u /* of the interpreter */
#define JIT_STACK_MIN_BYTES (32u * 1024)
#define JIT_STACK_MAX_BYTES (256u * 1024)

/* What one thread matches with. */
struct scratch {
    pcre2_match_data *data;
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

static pthread_once_t scratch_once = PTHREAD_ONCE_INIT;
static pthread_key_t scratch_key;
static _Thread_local struct scratch *thread_scratch;

static void
free_scratch(void *arg)
{
    struct scratch *scratch = arg;

    pcre2_match_data_free(scratch->data);
    pcre2_match_context_free(scratch->context);
    pcre2_jit_stack_free(scratch->stack);
    free(scratch);
    thread_scratch = NULL;
}

static void
make_key(void)
{
    must(pthread_key_create(&scratch_key, free_scratch) == 0);
}

static struct scratch *
scratch_of_thread(void)
{
    struct scratch *scratch = thread_scratch;

    if (scratch != NULL)
        return scratch;
    pthread_once(&scratch_once, make_key);
    scratch = calloc(1, sizeof(*scratch));
    if (scratch == NULL)
        return NULL;
    scratch->data = pcre2_match_data_create(REWRITE_GROUPS, NULL);
    scratch->context = pcre2_match_context_create(NULL);
    if (scratch->data == NULL || scratch->context == NULL ||
        pthread_setspecific(scratch_key, scratch) != 0) {
        free_scratch(scratch);
        return NULL;
    }
    pcre2_set_match_limit(scratch->context, MATCH_LIMIT);
    pcre2_set_heap_limit(scratch->context, HEAP_LIMIT_KIB);
    scratch->stack = pcre2_jit_stack_create(JIT_STACK_MIN_BYTES, JIT_STACK_MAX_BYTES, NULL);
    if (scratch->stack != NULL)
        pcre2_jit_stack_assign(scratch->context, NULL, scratch->stack);
    return thread_scratch = scratch;
}

/* ---- compiling */

static void
free_code(void *code)
{
    pcre2_code_free(code);
}

/* They move where a match begins, or hang on where a search happened to begin. */
static bool
has_escape(const char *text, char letter)
{
    for (; *text != '\0'; text++)
        if (*text == '\\' && *++text == letter)
            return true;
        else if (*text == '\0')
            break;
    return false;
}

static int
check(const pcre2_code *code, const char *text, struct err *err)
{
    uint32_t lookbehind = 0;

    pcre2_pattern_info(code, PCRE2_INFO_MAXLOOKBEHIND, &lookbehind);
    if (lookbehind > LOOKBEHIND_MAX)
        return err_set(err, "the expression looks back over %u bytes; it may over %u", lookbehind,
                       LOOKBEHIND_MAX);
    if (has_escape(text, 'K') || has_escape(text, 'G'))
        return err_set(err, "\\K and \\G mean nothing in content that passes; a lookbehind such "
                            "as (?<=x) may be what is meant");
    return 0;
}

void *
rewrite_regex_new(const char *text, bool ignore_case, unsigned *groups, struct arena *arena,
                  struct err *err)
{
    uint32_t options = PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_UTF | (ignore_case ? PCRE2_CASELESS : 0);
    PCRE2_UCHAR message[256];
    PCRE2_SIZE at;
    pcre2_code *code;
    uint32_t count = 0;
    int error;

    if (strlen(text) > TEXT_MAX_BYTES) {
        err_set(err, "the expression is longer than %u bytes", TEXT_MAX_BYTES);
        return NULL;
    }
    code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, &error, &at, NULL);
    if (code == NULL) {
        pcre2_get_error_message(error, message, sizeof(message));
        err_set(err, "the expression is wrong at character %zu: %s", (size_t)at + 1,
                (const char *)message);
        return NULL;
    }
    if (arena_defer(arena, free_code, code) < 0) {
        err_set(err, "memory is short");
        return NULL;
    }
    if (check(code, text, err) < 0)
        return NULL;
    pcre2_pattern_info(code, PCRE2_INFO_CAPTURECOUNT, &count);
    *groups = count;
    /* Where this fails (no JIT, no executable memory) the interpreter works. */
    (void)pcre2_jit_compile(code, PCRE2_JIT_COMPLETE | PCRE2_JIT_PARTIAL_HARD);
    return code;
}

/* ---- searching */

static int
match(struct scratch *scratch, const struct rewrite_rule *rule, const char *data, size_t from,
      size_t end, bool is_end)
{
    return pcre2_match(rule->regex, (PCRE2_SPTR)data, end, from,
                       PCRE2_NOTEMPTY | (is_end ? 0 : PCRE2_PARTIAL_HARD), scratch->data,
                       scratch->context);
}

static void
copy_groups(struct scratch *scratch, int pairs, struct rewrite_found *found)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(scratch->data);

    found->start = at[0];
    found->end = at[1];
    found->group_count = pairs == 0 ? REWRITE_GROUPS : (unsigned)pairs;
    for (unsigned i = 0; i < 2 * found->group_count; i++)
        found->groups[i] = at[i] == PCRE2_UNSET ? SIZE_MAX : at[i];
}

/* A match at start: whether it is one, too, when only max_match bytes are there. */
static int
match_within(struct scratch *scratch, const struct rewrite_rule *rule, const char *data,
             size_t start, size_t max_match)
{
    int result = match(scratch, rule, data, start, start + max_match, false);

    if (result >= 0 && pcre2_get_ovector_pointer(scratch->data)[0] != start)
        return PCRE2_ERROR_NOMATCH;
    return result;
}

static void
tell(struct rewrite_candidate *candidate, enum rewrite_answer answer, size_t from)
{
    candidate->answer = answer;
    candidate->from = from;
}

/* One attempt. False: it went on for too long, and the next one is to begin behind. */
static bool
attempt(struct rewrite_search *search, struct scratch *scratch, const struct rewrite_rule *rule,
        const struct rewrite_text *text, struct rewrite_candidate *candidate)
{
    size_t max_match = search->rules->max_match, start;
    int result = match(scratch, rule, text->data, candidate->from, text->end, text->is_end);

    if (result == PCRE2_ERROR_NOMATCH) {
        tell(candidate, REWRITE_NONE, text->end);
        return true;
    }
    if (result < 0 && result != PCRE2_ERROR_PARTIAL) {
        tell(candidate, REWRITE_LIMIT, candidate->from); /* of work, or of the JIT's stack */
        return true;
    }
    start = pcre2_get_ovector_pointer(scratch->data)[0];
    if (result == PCRE2_ERROR_PARTIAL && text->end - start <= max_match) {
        tell(candidate, REWRITE_UNSURE, start);
        candidate->found.start = start;
        candidate->least = (int)(rule - search->rules->items);
        return true;
    }
    if (result >= 0 && text->end - start > max_match)
        result = match_within(scratch, rule, text->data, start, max_match);
    if (result >= 0) {
        tell(candidate, REWRITE_FOUND, start);
        copy_groups(scratch, result, &candidate->found);
        candidate->found.rule = rule;
        return true;
    }
    candidate->from = start + 1;
    if (result == PCRE2_ERROR_PARTIAL || result == PCRE2_ERROR_NOMATCH)
        return false;
    tell(candidate, REWRITE_LIMIT, start);
    return true;
}

/* Other rules' matches, or ones that are too long, may make an expression look at the same text
 * from each of its bytes on. */
static bool
is_too_much(struct rewrite_search *search, size_t effort)
{
    search->effort += effort;
    return search->effort > REWRITE_EFFORT_FREE + REWRITE_EFFORT_EACH * search->passed;
}

void
rewrite_regex_search(struct rewrite_search *search, const struct rewrite_rule *rule,
                     const struct rewrite_text *text, struct rewrite_candidate *candidate)
{
    struct scratch *scratch = scratch_of_thread();

    candidate->seen_end = text->end;
    if (scratch == NULL) {
        tell(candidate, REWRITE_LIMIT, candidate->from);
        return;
    }
    while (!attempt(search, scratch, rule, text, candidate))
        if (is_too_much(search, text->end - candidate->from)) {
            tell(candidate, REWRITE_LIMIT, candidate->from);
            return;
        }
    if (candidate->answer == REWRITE_UNSURE && is_too_much(search, text->end - candidate->from))
        tell(candidate, REWRITE_LIMIT, candidate->from);
}
