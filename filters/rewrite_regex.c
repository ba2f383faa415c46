/* SPDX-License-Identifier: BSD-2-Clause */
/* rewrite_regex.c - one regular expression over text of which more is to come (PCRE2).
 *
 * Until the end of the content is known, matching is partial: an attempt that comes to the
 * end of what is there is told as unsure from where it began. One that went on for more than
 * max_match bytes counts as a miss, however much is there by chance.
 */
#include "config.h"

#include "filters/rewrite_inside.h"

#include "server/base/pattern.h"
#include "server/base/pattern_memory.h"

#define TEXT_MAX_BYTES 8192u
#define LOOKBEHIND_MAX 100u  /* two of them, one in the other, fit into the context */
#define MATCH_LIMIT 20000u

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
match(struct pattern_memory *memory, const struct rewrite_rule *rule, const char *data, size_t from,
      size_t end, bool is_end)
{
    return pcre2_match(rule->regex, (PCRE2_SPTR)data, end, from,
                       PCRE2_NOTEMPTY | (is_end ? 0 : PCRE2_PARTIAL_HARD), memory->data,
                       memory->context);
}

static void
copy_groups(struct pattern_memory *memory, int pairs, struct rewrite_found *found)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(memory->data);

    found->start = at[0];
    found->end = at[1];
    found->group_count = pairs == 0 ? REWRITE_GROUPS : (unsigned)pairs;
    for (unsigned i = 0; i < 2 * found->group_count; i++)
        found->groups[i] = at[i] == PCRE2_UNSET ? SIZE_MAX : at[i];
}

/* A match at start: whether it is one, too, when only max_match bytes are there. */
static int
match_within(struct pattern_memory *memory, const struct rewrite_rule *rule, const char *data,
             size_t start, size_t max_match)
{
    int result = match(memory, rule, data, start, start + max_match, false);

    if (result >= 0 && pcre2_get_ovector_pointer(memory->data)[0] != start)
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
attempt(struct rewrite_search *search, struct pattern_memory *memory,
        const struct rewrite_rule *rule, const struct rewrite_text *text,
        struct rewrite_candidate *candidate)
{
    size_t max_match = search->rules->max_match, start;
    int result = match(memory, rule, text->data, candidate->from, text->end, text->is_end);

    if (result == PCRE2_ERROR_NOMATCH) {
        tell(candidate, REWRITE_NONE, text->end);
        return true;
    }
    if (result < 0 && result != PCRE2_ERROR_PARTIAL) {
        tell(candidate, REWRITE_LIMIT, candidate->from); /* of work, or of the JIT's stack */
        return true;
    }
    start = pcre2_get_ovector_pointer(memory->data)[0];
    if (result == PCRE2_ERROR_PARTIAL && text->end - start <= max_match) {
        tell(candidate, REWRITE_UNSURE, start);
        candidate->found.start = start;
        candidate->least = (int)(rule - search->rules->items);
        return true;
    }
    if (result >= 0 && text->end - start > max_match)
        result = match_within(memory, rule, text->data, start, max_match);
    if (result >= 0) {
        tell(candidate, REWRITE_FOUND, start);
        copy_groups(memory, result, &candidate->found);
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
    struct pattern_memory *memory = pattern_memory_of_thread(MATCH_LIMIT);

    candidate->seen_end = text->end;
    if (memory == NULL) {
        tell(candidate, REWRITE_LIMIT, candidate->from);
        return;
    }
    while (!attempt(search, memory, rule, text, candidate))
        if (is_too_much(search, text->end - candidate->from)) {
            tell(candidate, REWRITE_LIMIT, candidate->from);
            return;
        }
    if (candidate->answer == REWRITE_UNSURE && is_too_much(search, text->end - candidate->from))
        tell(candidate, REWRITE_LIMIT, candidate->from);
}
