/* SPDX-License-Identifier: BSD-2-Clause */
/* pattern.c - PCRE2 behind a small door. */
#include "config.h"

#include "server/base/pattern.h"

#include <stdlib.h>

#include "server/base/must.h"
#include "server/base/pattern_memory.h"

#define TEXT_MAX_BYTES 8192
#define MATCH_LIMIT 200000u      /* steps: a few milliseconds at worst */

struct pattern {
    pcre2_code *code;
    char *text;
};

static pcre2_code *
compile(const char *text, bool nocase, struct err *err)
{
    uint32_t options = PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C;
    PCRE2_UCHAR message[256];
    PCRE2_SIZE at;
    pcre2_code *code;
    int error;

    if (strlen(text) > TEXT_MAX_BYTES) {
        err_set(err, "the expression is longer than %d bytes", TEXT_MAX_BYTES);
        return NULL;
    }
    if (nocase)
        options |= PCRE2_CASELESS;
    /* A stray byte must not make the whole subject unreadable. */
    if (slice_starts_with(slice_of(text), SLICE("(*UTF)")))
        options |= PCRE2_MATCH_INVALID_UTF;
    code = pcre2_compile((PCRE2_SPTR)text, PCRE2_ZERO_TERMINATED, options, &error, &at, NULL);
    if (code != NULL)
        return code;
    pcre2_get_error_message(error, message, sizeof(message));
    err_set(err, "the expression \"%.60s\" is wrong at character %zu: %s", text, (size_t)at + 1,
            (const char *)message);
    return NULL;
}

struct pattern *
pattern_new(const char *text, bool nocase, struct err *err)
{
    struct pattern *pattern = calloc(1, sizeof(*pattern));

    if (pattern == NULL || (pattern->text = strdup(text)) == NULL) {
        err_set(err, "memory is short");
        goto fail;
    }
    pattern->code = compile(text, nocase, err);
    if (pattern->code == NULL)
        goto fail;
    /* Where this fails (no JIT, no executable memory) the interpreter works. */
    (void)pcre2_jit_compile(pattern->code, PCRE2_JIT_COMPLETE);
    return pattern;

fail:
    pattern_free(pattern);
    return NULL;
}

static void
copy_captures(const struct pattern_memory *memory, int pairs, struct slice subject,
              struct slice *captures)
{
    const PCRE2_SIZE *at = pcre2_get_ovector_pointer(memory->data);

    for (int i = 0; i < PATTERN_CAPTURES; i++) {
        bool is_set = i < pairs && at[2 * i] != PCRE2_UNSET;

        /* \K in a look-ahead can put the start behind the end. */
        if (is_set && at[2 * i] <= at[2 * i + 1])
            captures[i] = slice_make(subject.data + at[2 * i], at[2 * i + 1] - at[2 * i]);
        else
            captures[i] = slice_make(NULL, 0);
    }
}

enum pattern_result
pattern_match(const struct pattern *pattern, struct slice subject, struct slice *captures)
{
    struct pattern_memory *memory = pattern_memory_of_thread(MATCH_LIMIT);
    int pairs;

    if (memory == NULL)
        return PATTERN_LIMIT;
    if (subject.data == NULL)
        subject.data = "";
    pairs = pcre2_match(pattern->code, (PCRE2_SPTR)subject.data, subject.bytes, 0, 0,
                        memory->data, memory->context);
    if (pairs == PCRE2_ERROR_NOMATCH)
        return PATTERN_MISS;
    if (pairs < 0)
        return PATTERN_LIMIT;
    if (pairs == 0) /* more groups than we keep */
        pairs = PATTERN_CAPTURES;
    if (captures != NULL)
        copy_captures(memory, pairs, subject, captures);
    return PATTERN_HIT;
}

unsigned
pattern_capture_count(const struct pattern *pattern)
{
    uint32_t count = 0;

    pcre2_pattern_info(pattern->code, PCRE2_INFO_CAPTURECOUNT, &count);
    return count;
}

const char *
pattern_text(const struct pattern *pattern)
{
    return pattern->text;
}

void
pattern_free(struct pattern *pattern)
{
    if (pattern == NULL)
        return;
    pcre2_code_free(pattern->code);
    free(pattern->text);
    free(pattern);
}
