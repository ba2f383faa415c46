/* SPDX-License-Identifier: BSD-2-Clause */
/* escape.c - peer bytes made harmless, quickly.
 *
 * Nearly every value is clean, so the fast path copies sixteen bytes at a time
 * and looks at them on the way; only a dirty byte takes the slow path.
 */
#include "config.h"

#include "server/log/escape.h"

#include "server/base/hex.h"
#include "server/base/must.h"

#include <time.h>
#ifdef __SSE2__
#include <emmintrin.h>
#endif

/* Shows that a value was cut. */
static const char cut_mark[] = "...";
#define CUT_MARK_BYTES 3

/* ---- clean runs */

/* low: the least byte that may stay; as char is compared signed, bytes from
 * 0x80 are below it too. */
static inline bool
is_dirty(char c, signed char low)
{
    return (signed char)c < low || c == 0x7f || c == '"' || c == '\\';
}

/* Copies 16 bytes. Returns a bit for each that must be escaped. */
#ifdef __SSE2__
static inline unsigned
copy_16(char *to, const char *from, signed char low)
{
    __m128i v = _mm_loadu_si128((const __m128i *)(const void *)from);
    __m128i control = _mm_cmplt_epi8(v, _mm_set1_epi8(low));
    __m128i delete = _mm_cmpeq_epi8(v, _mm_set1_epi8(0x7f));
    __m128i quote = _mm_cmpeq_epi8(v, _mm_set1_epi8('"'));
    __m128i backslash = _mm_cmpeq_epi8(v, _mm_set1_epi8('\\'));
    __m128i dirty = _mm_or_si128(_mm_or_si128(control, delete), _mm_or_si128(quote, backslash));

    _mm_storeu_si128((__m128i *)(void *)to, v);
    return (unsigned)_mm_movemask_epi8(dirty);
}
#else
static inline unsigned
copy_16(char *to, const char *from, signed char low)
{
    unsigned mask = 0;

    memcpy(to, from, 16);
    for (unsigned i = 0; i < 16; i++)
        mask |= (unsigned)is_dirty(from[i], low) << i;
    return mask;
}
#endif

/* Whether any of eight bytes must be escaped. Each term marks the top bit of a
 * byte that is below low, above 0x7f, or equal to a character; borrows can
 * only mark more bytes next to one that is dirty. */
static inline bool
has_dirty(uint64_t v, signed char low)
{
    const uint64_t ones = 0x0101010101010101, tops = 0x8080808080808080;
    uint64_t delete = v ^ (ones * 0x7f), quote = v ^ (ones * '"'), backslash = v ^ (ones * '\\');
    uint64_t below = (v - ones * (unsigned char)low) & ~v;
    uint64_t equal = ((delete - ones) & ~delete) | ((quote - ones) & ~quote) |
                     ((backslash - ones) & ~backslash);

    return ((v | below | equal) & tops) != 0;
}

/* Copies 4 to 15 bytes as two halves that overlap. False: some must be escaped,
 * and nothing was copied. */
static inline bool
copy_short(char *to, const char *from, size_t bytes, signed char low)
{
    if (bytes >= 8) {
        uint64_t first, last;

        memcpy(&first, from, 8);
        memcpy(&last, from + bytes - 8, 8);
        if (has_dirty(first, low) || has_dirty(last, low))
            return false;
        memcpy(to, &first, 8);
        memcpy(to + bytes - 8, &last, 8);
    } else {
        uint32_t first, last;

        memcpy(&first, from, 4);
        memcpy(&last, from + bytes - 4, 4);
        if (has_dirty((uint64_t)first << 32 | last, low))
            return false;
        memcpy(to, &first, 4);
        memcpy(to + bytes - 4, &last, 4);
    }
    return true;
}

struct copy {
    const char *in, *in_end;
    char *out, *out_end;
};

/* Copies until the first dirty byte, the end of input or of room. */
static inline void
copy_clean(struct copy *c, signed char low)
{
    const char *in = c->in;
    char *out = c->out;
    ptrdiff_t rest, back;

    while (c->in_end - in >= 16 && c->out_end - out >= 16) {
        unsigned dirty = copy_16(out, in, low);
        int clean = dirty != 0 ? __builtin_ctz(dirty) : 16;

        in += clean;
        out += clean;
        if (dirty != 0)
            goto done;
    }
    /* The last few bytes together with clean ones that were copied before. */
    rest = c->in_end - in;
    back = 16 - rest;
    if (rest > 0 && in - c->in >= back && c->out_end - out >= rest) {
        unsigned dirty = copy_16(out - back, in - back, low);
        int clean = dirty != 0 ? __builtin_ctz(dirty) : 16;

        in += clean - back;
        out += clean - back;
        goto done;
    }
    if (rest >= 4 && rest < 16 && c->out_end - out >= rest &&
        copy_short(out, in, (size_t)rest, low)) {
        in += rest;
        out += rest;
    }
    while (in < c->in_end && out < c->out_end && !is_dirty(*in, low))
        *out++ = *in++;
done:
    c->in = in;
    c->out = out;
}

/* ---- dirty bytes */

static inline unsigned
byte_at(const char *p)
{
    return (unsigned char)*p;
}

static bool
is_tail(const char *p, const char *end, unsigned low, unsigned high)
{
    return p < end && byte_at(p) >= low && byte_at(p) <= high;
}

/* The table of RFC 3629 section 4. */
unsigned
text_utf8_bytes(const char *p, const char *end)
{
    unsigned lead = byte_at(p);
    unsigned low = 0x80, high = 0xbf, tails;

    if (lead >= 0xc2 && lead <= 0xdf) {
        tails = 1;
    } else if (lead >= 0xe0 && lead <= 0xef) {
        tails = 2;
        low = lead == 0xe0 ? 0xa0 : low;   /* overlong */
        high = lead == 0xed ? 0x9f : high; /* surrogates */
    } else if (lead >= 0xf0 && lead <= 0xf4) {
        tails = 3;
        low = lead == 0xf0 ? 0x90 : low;   /* overlong */
        high = lead == 0xf4 ? 0x8f : high; /* above U+10FFFF */
    } else {
        return 0;
    }
    if (!is_tail(p + 1, end, low, high))
        return 0;
    for (unsigned i = 2; i <= tails; i++)
        if (!is_tail(p + i, end, 0x80, 0xbf))
            return 0;
    return tails + 1;
}

static unsigned
escape_hex(char *text, char first, char second, unsigned byte)
{
    unsigned n = 0;

    text[n++] = first;
    if (second != '\0')
        text[n++] = second;
    hex_put_upper(text + n, (uint8_t)byte);
    return n + 2;
}

/* Fills text[6] with what stands for the dirty byte at in, and *used with how
 * many bytes of input that covers. Returns its length. */
static unsigned
escape_json(char *text, const char *in, const char *end, unsigned *used)
{
    unsigned byte = byte_at(in);
    unsigned sequence = byte >= 0x80 ? text_utf8_bytes(in, end) : 0;
    bool is_c1 = byte == 0xc2 && sequence == 2 && byte_at(in + 1) < 0xa0;

    *used = 1;
    if (byte == '"' || byte == '\\') {
        text[0] = '\\';
        text[1] = (char)byte;
        return 2;
    }
    if (sequence != 0 && !is_c1) {
        *used = sequence;
        memcpy(text, in, sequence);
        return sequence;
    }
    if (is_c1) { /* its second byte is the code point */
        *used = 2;
        byte = byte_at(in + 1);
    }
    memcpy(text, "\\u00", 4);
    hex_put(text + 4, (uint8_t)byte);
    return 6;
}

/* Writes the dirty byte at c->in. False when the room is too short. */
static bool
put_dirty(struct copy *c, enum escape escape)
{
    char text[6];
    unsigned bytes = 0, used = 1;

    switch (escape) {
    case ESCAPE_QUOTED:
    case ESCAPE_TOKEN:
        bytes = escape_hex(text, '\\', 'x', byte_at(c->in));
        break;
    case ESCAPE_URL:
        bytes = escape_hex(text, '%', '\0', byte_at(c->in));
        break;
    case ESCAPE_JSON:
        bytes = escape_json(text, c->in, c->in_end, &used);
        break;
    }
    if (c->out_end - c->out < (ptrdiff_t)bytes)
        return false;
    memcpy(c->out, text, bytes);
    c->out += bytes;
    c->in += used;
    return true;
}

/* Where a value that is too long ends: not within a UTF-8 sequence. */
static size_t
cut_at(struct slice s)
{
    size_t bytes = ESCAPE_VALUE_MAX;

    for (int i = 0; i < 3 && (byte_at(s.data + bytes) & 0xc0) == 0x80; i++)
        bytes--;
    return bytes;
}

char *
escape_put(enum escape escape, char *at, char *limit, struct slice s, bool *is_cut)
{
    signed char low = escape == ESCAPE_TOKEN || escape == ESCAPE_URL ? ' ' + 1 : ' ';
    bool is_long = s.bytes > ESCAPE_VALUE_MAX;
    struct copy c = { .in = s.data, .out = at, .out_end = limit - CUT_MARK_BYTES };

    if (s.bytes == 0)
        return at;
    c.in_end = s.data + (is_long ? cut_at(s) : s.bytes);
    for (;;) {
        copy_clean(&c, low);
        if (c.in == c.in_end)
            break;
        if (c.out == c.out_end || !put_dirty(&c, escape)) {
            *is_cut = true;
            break;
        }
    }
    if (c.in == c.in_end && !is_long)
        return c.out;
    memcpy(c.out, cut_mark, CUT_MARK_BYTES);
    return c.out + CUT_MARK_BYTES;
}

/* ---- numbers */

static const char pairs[] =
    "0001020304050607080910111213141516171819202122232425262728293031323334353637383940414243444546"
    "4748495051525354555657585960616263646566676869707172737475767778798081828384858687888990919293"
    "949596979899";

static inline char *
put_pair(char *at, unsigned value)
{
    memcpy(at, pairs + 2 * value, 2);
    return at + 2;
}

char *
text_u64(char *at, uint64_t value)
{
    char *end = at + 1, *p;

    for (uint64_t rest = value; rest >= 10; rest /= 10)
        end++;
    for (p = end; value >= 100; value /= 100) {
        p -= 2;
        put_pair(p, (unsigned)(value % 100));
    }
    if (value >= 10)
        put_pair(p - 2, (unsigned)value);
    else
        p[-1] = (char)('0' + value);
    return end;
}

char *
text_hex64(char *at, uint64_t value)
{
    for (int shift = 56; shift >= 0; shift -= 8)
        at = hex_put(at, (uint8_t)(value >> shift));
    return at;
}

/* ---- times */

static char *
put_year(char *at, int year)
{
    at = put_pair(at, (unsigned)(year / 100) % 100);
    return put_pair(at, (unsigned)(year % 100));
}

static char *
put_clock(char *at, const struct tm *tm)
{
    at = put_pair(at, (unsigned)tm->tm_hour);
    *at++ = ':';
    at = put_pair(at, (unsigned)tm->tm_min);
    *at++ = ':';
    return put_pair(at, (unsigned)tm->tm_sec);
}

/* The second a thread wrote last, which is nearly always the one it writes next. */
struct written_time {
    uint64_t second;
    char text[32];
};

static void
write_iso(struct written_time *written, uint64_t second)
{
    time_t t = (time_t)second;
    char *at = written->text;
    struct tm tm = { 0 };

    gmtime_r(&t, &tm);
    at = put_year(at, tm.tm_year + 1900);
    *at++ = '-';
    at = put_pair(at, (unsigned)tm.tm_mon + 1);
    *at++ = '-';
    at = put_pair(at, (unsigned)tm.tm_mday);
    *at++ = 'T';
    put_clock(at, &tm);
    written->second = second;
}

char *
text_time_iso(char *at, uint64_t wall_ms)
{
    static _Thread_local struct written_time written = { .second = UINT64_MAX };
    unsigned ms = (unsigned)(wall_ms % 1000);

    if (unlikely(wall_ms / 1000 != written.second))
        write_iso(&written, wall_ms / 1000);
    memcpy(at, written.text, 19);
    at[19] = '.';
    at[20] = (char)('0' + ms / 100);
    put_pair(at + 21, ms % 100);
    at[23] = 'Z';
    return at + 24;
}

static void
write_local(struct written_time *written, uint64_t second)
{
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t t = (time_t)second;
    char *at = written->text;
    struct tm tm = { 0 };
    long offset;

    localtime_r(&t, &tm);
    offset = tm.tm_gmtoff < 0 ? -tm.tm_gmtoff : tm.tm_gmtoff;
    at = put_pair(at, (unsigned)tm.tm_mday);
    *at++ = '/';
    memcpy(at, months + 3 * tm.tm_mon, 3);
    at[3] = '/';
    at = put_year(at + 4, tm.tm_year + 1900);
    *at++ = ':';
    at = put_clock(at, &tm);
    *at++ = ' ';
    *at++ = tm.tm_gmtoff < 0 ? '-' : '+';
    at = put_pair(at, (unsigned)(offset / 3600));
    put_pair(at, (unsigned)(offset / 60 % 60));
    written->second = second;
}

char *
text_time_local(char *at, uint64_t wall_ms)
{
    static _Thread_local struct written_time written = { .second = UINT64_MAX };

    if (unlikely(wall_ms / 1000 != written.second))
        write_local(&written, wall_ms / 1000);
    memcpy(at, written.text, 26);
    return at + 26;
}
