/* SPDX-License-Identifier: BSD-2-Clause */
/* clamd_answer.c - one line of text, up to a NUL, that says what was found. */
#include "config.h"

#include "filters/clamd_answer.h"

static bool
ends_with(struct slice text, struct slice end)
{
    return text.bytes >= end.bytes &&
           slice_equal(slice_skip(text, text.bytes - end.bytes), end);
}

/* A name goes to logs and pages: nothing but what can be seen. */
static enum clamd_reply
read_name(struct clamd_answer *answer, size_t start, size_t end)
{
    if (end <= start)
        return CLAMD_REPLY_NONSENSE;
    if (end - start > CLAMD_NAME_BYTES)
        end = start + CLAMD_NAME_BYTES;
    for (size_t i = start; i < end; i++)
        if (answer->text[i] <= ' ' || answer->text[i] >= 0x7f)
            answer->text[i] = '_';
    answer->name = slice_make(answer->text + start, end - start);
    return CLAMD_REPLY_FOUND;
}

static enum clamd_reply
judge(struct clamd_answer *answer)
{
    static const struct slice stream = SLICE_INIT("stream: "), found = SLICE_INIT(" FOUND");
    struct slice text = slice_make(answer->text, answer->bytes);

    if (slice_equal(text, SLICE("stream: OK")))
        return CLAMD_REPLY_OK;
    if (slice_starts_with(text, stream) && ends_with(text, found))
        return read_name(answer, stream.bytes, text.bytes - found.bytes);
    if (slice_equal(text, SLICE("INSTREAM size limit exceeded. ERROR")))
        return CLAMD_REPLY_TOO_LONG;
    return ends_with(text, SLICE(" ERROR")) ? CLAMD_REPLY_ERROR : CLAMD_REPLY_NONSENSE;
}

enum clamd_reply
clamd_answer_read(struct clamd_answer *answer, const char *data, size_t bytes)
{
    const char *end = bytes > 0 ? memchr(data, '\0', bytes) : NULL;
    size_t more = end != NULL ? (size_t)(end - data) : bytes;

    if (bytes == 0)
        return CLAMD_REPLY_MORE;
    if (more > sizeof(answer->text) - answer->bytes)
        return CLAMD_REPLY_NONSENSE;
    memcpy(answer->text + answer->bytes, data, more);
    answer->bytes += more;
    return end != NULL ? judge(answer) : CLAMD_REPLY_MORE;
}
