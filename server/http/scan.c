/* SPDX-License-Identifier: BSD-2-Clause */
/* scan.c - the scanning loops, once for each instruction set.
 *
 * Every loop looks at whole blocks while they fit before the end. The rest is
 * looked at in one block more, which ends at the end and begins in bytes that
 * were seen before; where there are too few of them, it is left to the narrower
 * loop, the last of which takes bytes.
 */
#include "config.h"

#include "server/http/scan.h"

#include "server/base/must.h"

#include <stddef.h>

#ifdef __SSE2__
#include <immintrin.h>
#endif

/* By the enum in scan.h: token 1, text 2, target 4, host 8, upper 16. */
const uint8_t char_classes[256] = {
     0,  0,  0,  0,  0,  0,  0,  0,  0,  2,  0,  0,  0,  0,  0,  0, /* 0x00 */
     0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0, /* 0x10 */
     2,  7,  6,  3,  7,  7,  7,  7,  6,  6,  7,  7,  6, 15, 15,  6, /* 0x20 */
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15,  6,  6,  6,  6,  6,  6, /* 0x30 */
     6, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31, /* 0x40 */
    31, 31, 31, 31, 31, 31, 31, 31, 31, 31, 31,  6,  6,  6,  7, 15, /* 0x50 */
     7, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15, /* 0x60 */
    15, 15, 15, 15, 15, 15, 15, 15, 15, 15, 15,  6,  7,  6,  7,  0, /* 0x70 */
    [0x80 ... 0xff] = CHAR_TEXT,
};

struct kernels {
    const char *(*text)(const char *, const char *);
    const char *(*token)(const char *, const char *);
    const char *(*target)(const char *, const char *);
    const char *(*field)(const char *, const char *, const char *, const char **);
};

/* ---- any CPU */

static const char *
skip_class(const char *at, const char *end, unsigned classes)
{
    while (at < end && char_is(*at, classes))
        at++;
    return at;
}

static const char *
text_bytewise(const char *at, const char *end)
{
    return skip_class(at, end, CHAR_TEXT);
}

static const char *
token_bytewise(const char *at, const char *end)
{
    return skip_class(at, end, CHAR_TOKEN);
}

static const char *
target_bytewise(const char *at, const char *end)
{
    return skip_class(at, end, CHAR_TARGET);
}

static const char *
field_bytewise(const char *start, const char *at, const char *end, const char **colon)
{
    (void)start;
    at = *colon = token_bytewise(at, end);
    return at < end && *at == ':' ? text_bytewise(at + 1, end) : at;
}

static const struct kernels bytewise = { text_bytewise, token_bytewise, target_bytewise,
                                         field_bytewise };

/* ---- SSE2: every x86-64 */

#ifdef __SSE2__

static inline __m128i
load16(const char *at)
{
    return _mm_loadu_si128((const __m128i *)(const void *)at);
}

static inline __m128i
is_at_most16(__m128i bytes, unsigned char limit)
{
    return _mm_cmpeq_epi8(_mm_min_epu8(bytes, _mm_set1_epi8((char)limit)), bytes);
}

static inline __m128i
is_byte16(__m128i bytes, char c)
{
    return _mm_cmpeq_epi8(bytes, _mm_set1_epi8(c));
}

static inline unsigned
not_text16(__m128i bytes)
{
    __m128i control = _mm_andnot_si128(is_byte16(bytes, '\t'), is_at_most16(bytes, 0x1f));

    return (unsigned)_mm_movemask_epi8(_mm_or_si128(control, is_byte16(bytes, 0x7f)));
}

static inline unsigned
not_target16(__m128i bytes)
{
    /* Moved down by 0x21, all that may be there is at most 0x7e - 0x21. */
    __m128i visible = is_at_most16(_mm_sub_epi8(bytes, _mm_set1_epi8(0x21)), 0x7e - 0x21);

    return (unsigned)_mm_movemask_epi8(_mm_andnot_si128(is_byte16(bytes, '#'), visible)) ^ 0xffffu;
}

/* Letters, digits and hyphens: the bytes of nearly every token. */
static inline unsigned
not_plain16(__m128i bytes)
{
    __m128i folded = _mm_or_si128(bytes, _mm_set1_epi8(0x20));
    __m128i letter = is_at_most16(_mm_sub_epi8(folded, _mm_set1_epi8('a')), 25);
    __m128i digit = is_at_most16(_mm_sub_epi8(bytes, _mm_set1_epi8('0')), 9);
    __m128i plain = _mm_or_si128(_mm_or_si128(letter, digit), is_byte16(bytes, '-'));

    return (unsigned)_mm_movemask_epi8(plain) ^ 0xffffu;
}

/* From at on, while bytes from start on may be read. */
static inline const char *
text_from_sse2(const char *start, const char *at, const char *end)
{
    for (; end - at >= 16; at += 16) {
        unsigned found = not_text16(load16(at));

        if (found != 0)
            return at + __builtin_ctz(found);
    }
    if (at < end && end - start >= 16) {
        unsigned found = not_text16(load16(end - 16)) >> (16 - (end - at));

        return found != 0 ? at + __builtin_ctz(found) : end;
    }
    return text_bytewise(at, end);
}

static const char *
text_sse2(const char *at, const char *end)
{
    return text_from_sse2(at, at, end);
}

static const char *
token_sse2(const char *at, const char *end)
{
    while (end - at >= 16) {
        unsigned found = not_plain16(load16(at));

        at += found != 0 ? __builtin_ctz(found) : 16;
        if (found == 0)
            continue;
        if (!char_is(*at, CHAR_TOKEN))
            return at;
        at++;
    }
    return token_bytewise(at, end);
}

static const char *
field_sse2(const char *start, const char *at, const char *end, const char **colon)
{
    at = *colon = token_sse2(at, end);
    return at < end && *at == ':' ? text_from_sse2(start, at + 1, end) : at;
}

static const char *
target_sse2(const char *at, const char *end)
{
    for (; end - at >= 16; at += 16) {
        unsigned found = not_target16(load16(at));

        if (found != 0)
            return at + __builtin_ctz(found);
    }
    return target_bytewise(at, end);
}

static const struct kernels sse2 = { text_sse2, token_sse2, target_sse2, field_sse2 };

/* ---- AVX2: most x86-64 since 2013 */

#define AVX2 __attribute__((target("avx2")))

AVX2 static inline __m256i
load32(const char *at)
{
    return _mm256_loadu_si256((const __m256i *)(const void *)at);
}

AVX2 static inline __m256i
is_at_most32(__m256i bytes, unsigned char limit)
{
    return _mm256_cmpeq_epi8(_mm256_min_epu8(bytes, _mm256_set1_epi8((char)limit)), bytes);
}

AVX2 static inline __m256i
is_byte32(__m256i bytes, char c)
{
    return _mm256_cmpeq_epi8(bytes, _mm256_set1_epi8(c));
}

AVX2 static inline unsigned
not_text32(__m256i bytes)
{
    __m256i control = _mm256_andnot_si256(is_byte32(bytes, '\t'), is_at_most32(bytes, 0x1f));

    return (unsigned)_mm256_movemask_epi8(_mm256_or_si256(control, is_byte32(bytes, 0x7f)));
}

AVX2 static inline const char *
text_from_avx2(const char *start, const char *at, const char *end)
{
    for (; end - at >= 32; at += 32) {
        unsigned found = not_text32(load32(at));

        if (found != 0)
            return at + __builtin_ctz(found);
    }
    if (at < end && end - start >= 32) {
        unsigned found = not_text32(load32(end - 32)) >> (32 - (end - at));

        return found != 0 ? at + __builtin_ctz(found) : end;
    }
    return text_from_sse2(start, at, end);
}

AVX2 static const char *
text_avx2(const char *at, const char *end)
{
    return text_from_avx2(at, at, end);
}

/* Looks a byte up by its halves: the low one gives the set of high ones with
 * which it is a token character. */
AVX2 static inline unsigned
not_token16(__m128i bytes)
{
    const __m128i by_low =
        _mm_setr_epi8(-24, -4, -8, -4, -4, -4, -4, -4, -8, -8, -12, 84, -48, 84, -12, 112);
    const __m128i by_high = _mm_setr_epi8(1, 2, 4, 8, 16, 32, 64, -128, 0, 0, 0, 0, 0, 0, 0, 0);
    __m128i low = _mm_and_si128(bytes, _mm_set1_epi8(0x0f));
    __m128i high = _mm_and_si128(_mm_srli_epi16(bytes, 4), _mm_set1_epi8(0x0f));
    __m128i both = _mm_and_si128(_mm_shuffle_epi8(by_low, low), _mm_shuffle_epi8(by_high, high));

    return (unsigned)_mm_movemask_epi8(_mm_cmpeq_epi8(both, _mm_setzero_si128()));
}

/* Names are short, so 16 bytes at a time. */
AVX2 static inline const char *
token_from_avx2(const char *start, const char *at, const char *end)
{
    for (; end - at >= 16; at += 16) {
        unsigned found = not_token16(load16(at));

        if (found != 0)
            return at + __builtin_ctz(found);
    }
    if (at < end && end - start >= 16) {
        unsigned found = not_token16(load16(end - 16)) >> (16 - (end - at));

        return found != 0 ? at + __builtin_ctz(found) : end;
    }
    return token_bytewise(at, end);
}

AVX2 static const char *
token_avx2(const char *at, const char *end)
{
    return token_from_avx2(at, at, end);
}

AVX2 static const char *
field_avx2(const char *start, const char *at, const char *end, const char **colon)
{
    at = *colon = token_from_avx2(start, at, end);
    return at < end && *at == ':' ? text_from_avx2(start, at + 1, end) : at;
}

AVX2 static const char *
target_avx2(const char *at, const char *end)
{
    for (; end - at >= 32; at += 32) {
        __m256i bytes = load32(at);
        __m256i visible =
            is_at_most32(_mm256_sub_epi8(bytes, _mm256_set1_epi8(0x21)), 0x7e - 0x21);
        unsigned found =
            ~(unsigned)_mm256_movemask_epi8(_mm256_andnot_si256(is_byte32(bytes, '#'), visible));

        if (found != 0)
            return at + __builtin_ctz(found);
    }
    return target_sse2(at, end);
}

static const struct kernels avx2 = { text_avx2, token_avx2, target_avx2, field_avx2 };

#endif

/* ---- the choice */

static const struct kernels *
choose(unsigned level)
{
#ifdef __SSE2__
    if (level >= 2 && __builtin_cpu_supports("avx2"))
        return &avx2;
    if (level >= 1)
        return &sse2;
#endif
    (void)level;
    return &bytewise;
}

static const struct kernels *kernels;

/* Threads that meet here for the first time choose the same. */
static inline const struct kernels *
get(void)
{
    const struct kernels *chosen = __atomic_load_n(&kernels, __ATOMIC_RELAXED);

    if (unlikely(chosen == NULL)) {
        chosen = choose(2);
        __atomic_store_n(&kernels, chosen, __ATOMIC_RELAXED);
    }
    return chosen;
}

const char *
scan_text(const char *at, const char *end)
{
    return get()->text(at, end);
}

const char *
scan_token(const char *at, const char *end)
{
    return get()->token(at, end);
}

const char *
scan_target(const char *at, const char *end)
{
    return get()->target(at, end);
}

const char *
scan_field(const char *start, const char *at, const char *end, const char **colon)
{
    return get()->field(start, at, end, colon);
}

bool
scan_limit(unsigned level)
{
    const struct kernels *chosen = choose(level);

    if (level > 0 && chosen == choose(level - 1))
        return false;
    __atomic_store_n(&kernels, chosen, __ATOMIC_RELAXED);
    return true;
}

/* ---- short texts */

bool
scan_is_structured_token(struct slice s)
{
    char first = s.bytes > 0 ? ascii_lower(s.data[0]) : '\0';

    if ((first < 'a' || first > 'z') && first != '*')
        return false;
    for (size_t i = 1; i < s.bytes; i++)
        if (!char_is(s.data[i], CHAR_TOKEN) && s.data[i] != ':' && s.data[i] != '/')
            return false;
    return true;
}
