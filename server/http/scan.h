/* SPDX-License-Identifier: BSD-2-Clause */
/* scan.h - finds the first byte that does not belong, many bytes at a time.
 *
 * All functions return the place of that byte, or end when there is none, and
 * read nothing outside at..end (start..end where there is a start). The widest
 * instructions that the CPU has are picked at run time.
 */
#ifndef BASCULE_SCAN_H
#define BASCULE_SCAN_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/slice.h"

#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Classes of bytes, for places where a loop suffices. */
enum {
    CHAR_TOKEN = 1,  /* tchar: RFC 9110 section 5.6.2 */
    CHAR_TEXT = 2,   /* field-vchar, SP, HTAB: section 5.5 */
    CHAR_TARGET = 4, /* visible ASCII but '#': what a request-target may have */
    CHAR_HOST = 8,   /* letters, digits, '-', '.', '_': host names as we take them */
    CHAR_UPPER = 16,
};

extern const uint8_t char_classes[256];

static inline bool
char_is(char c, unsigned classes)
{
    return (char_classes[(unsigned char)c] & classes) != 0;
}

/* The first byte that cannot be in a field value: a control other than HTAB. */
const char *scan_text(const char *at, const char *end);

/* The first byte that cannot be in a token. */
const char *scan_token(const char *at, const char *end);

/* Whether s is a token and nothing else (RFC 9110 section 5.6.2). */
static inline bool
scan_is_token(struct slice s)
{
    return s.bytes > 0 && scan_token(s.data, s.data + s.bytes) == s.data + s.bytes;
}

/* The same of a token of structured fields (RFC 9651 section 3.3.4). */
bool scan_is_structured_token(struct slice s);

/* The first byte that cannot be in a request-target: a control, a space, '#',
 * or anything beyond ASCII. */
const char *scan_target(const char *at, const char *end);

/* A field line at at: *colon is the first byte that cannot be in a token. When
 * that is a colon, returns the first byte behind it that cannot be in a field
 * value; otherwise *colon. */
const char *scan_field(const char *start, const char *at, const char *end, const char **colon);

/* The line feeds among the bytes from at on: a bit for each, the lowest for
 * *at (before end), of SCAN_FEEDS bytes, or of as many as there are. */
#define SCAN_FEEDS 32
static inline uint32_t
scan_feeds(const char *start, const char *at, const char *end)
{
    uint32_t feeds = 0;

#ifdef __SSE2__
    if (end - start >= SCAN_FEEDS) {
        const char *block = end - at >= SCAN_FEEDS ? at : end - SCAN_FEEDS;
        __m128i low = _mm_loadu_si128((const __m128i *)(const void *)block);
        __m128i high = _mm_loadu_si128((const __m128i *)(const void *)(block + 16));
        __m128i feed = _mm_set1_epi8('\n');

        feeds = (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(low, feed)) |
                (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(high, feed)) << 16;
        return feeds >> (at - block);
    }
#endif
    (void)start;
    for (unsigned i = 0; i < SCAN_FEEDS && at + i < end; i++)
        feeds |= (uint32_t)(at[i] == '\n') << i;
    return feeds;
}

/* Makes the functions above behave as on a CPU with only the first (0: none)
 * of the instruction sets known to this build, for tests. False when this
 * machine lacks it. */
bool scan_limit(unsigned level);

#endif
