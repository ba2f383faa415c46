/* SPDX-License-Identifier: BSD-2-Clause */
/* byte_range.c - reads, writes and joins ranges.
 *
 * Positions that no number holds are taken for UINT64_MAX: beyond the end of
 * everything.
 */
#include "config.h"

#include "cache/byte_range.h"

#include "server/base/must.h"

#define POSITION_MAX (UINT64_MAX - 1)

/* ---- reading */

/* Takes digits off the text; false when there are none. */
static bool
take_number(struct slice *text, uint64_t *number)
{
    struct slice digits = slice_take_digits(text, SIZE_MAX);

    if (!slice_to_u64(digits, UINT64_MAX, number))
        *number = UINT64_MAX;
    return digits.bytes > 0;
}

/* Unit names have no case (RFC 9110 section 14.1). */
static bool
take_bytes_unit(struct slice *text, char behind)
{
    if (text->bytes < 5 || !slice_equal_nocase(slice_make(text->data, 5), SLICE("bytes")))
        return false;
    *text = slice_skip(*text, 5);
    return slice_take_char(text, behind);
}

enum spec { SPEC_BAD, SPEC_BEYOND, SPEC_WHOLE, SPEC_PART };

/* "0-4", "5-" or "-5" (RFC 9110 section 14.1.2). */
static enum spec
parse_spec(struct slice text, uint64_t length, struct byte_range *range)
{
    uint64_t first, last = UINT64_MAX;

    if (slice_take_char(&text, '-')) {
        if (!take_number(&text, &last) || text.bytes > 0)
            return SPEC_BAD;
        if (last == 0)
            return SPEC_BEYOND;
        if (length == 0)
            return SPEC_WHOLE; /* it has no byte that a range could name */
        *range = (struct byte_range){ last < length ? length - last : 0, length - 1 };
        return SPEC_PART;
    }
    if (!take_number(&text, &first) || !slice_take_char(&text, '-'))
        return SPEC_BAD;
    if (text.bytes > 0 && (!take_number(&text, &last) || text.bytes > 0 || last < first))
        return SPEC_BAD;
    if (first >= length)
        return SPEC_BEYOND;
    *range = (struct byte_range){ first, last < length ? last : length - 1 };
    return SPEC_PART;
}

static void
insert(struct byte_range *ranges, unsigned count, struct byte_range range)
{
    for (; count > 0 && ranges[count - 1].first > range.first; count--)
        ranges[count] = ranges[count - 1];
    ranges[count] = range;
}

enum range_result
byte_range_parse(struct slice value, uint64_t length, struct byte_range *range)
{
    struct byte_range ranges[RANGES_MAX], one;
    struct slice element;
    unsigned specs = 0, count = 0;

    if (length == RANGE_LENGTH_UNKNOWN || !take_bytes_unit(&value, '='))
        return RANGE_IGNORE;
    while (slice_next_element(&value, &element)) {
        enum spec spec = parse_spec(element, length, &one);

        if (spec == SPEC_BAD || spec == SPEC_WHOLE || ++specs > RANGES_MAX)
            return RANGE_IGNORE;
        if (spec == SPEC_PART)
            insert(ranges, count++, one);
    }
    if (count == 0)
        return specs > 0 ? RANGE_UNSATISFIABLE : RANGE_IGNORE;
    for (unsigned i = 1; i < count; i++)
        if (!byte_range_join(ranges[0], ranges[i], &ranges[0]))
            return RANGE_IGNORE;
    *range = ranges[0];
    return RANGE_ONE;
}

bool
byte_range_begins(struct slice value, uint64_t *first)
{
    struct slice element, other;
    struct byte_range range;

    if (!take_bytes_unit(&value, '=') || !slice_next_element(&value, &element) ||
        slice_next_element(&value, &other) ||
        parse_spec(element, RANGE_LENGTH_UNKNOWN, &range) != SPEC_PART)
        return false;
    *first = element.data[0] == '-' ? 0 : range.first;
    return true;
}

static bool
take_length(struct slice *text, uint64_t *length)
{
    return take_number(text, length) && text->bytes == 0 && *length < RANGE_LENGTH_UNKNOWN;
}

enum content_range_kind
content_range_parse(struct slice value, struct byte_range *range, uint64_t *length)
{
    struct byte_range part;
    uint64_t whole = RANGE_LENGTH_UNKNOWN;

    if (!take_bytes_unit(&value, ' '))
        return CONTENT_RANGE_BAD;
    if (slice_take_char(&value, '*')) {
        if (!slice_take_char(&value, '/') || !take_length(&value, &whole))
            return CONTENT_RANGE_BAD;
        *length = whole;
        return CONTENT_RANGE_UNSATISFIED;
    }
    if (!take_number(&value, &part.first) || !slice_take_char(&value, '-') ||
        !take_number(&value, &part.last) || !slice_take_char(&value, '/'))
        return CONTENT_RANGE_BAD;
    if (!slice_equal(value, SLICE("*")) && !take_length(&value, &whole))
        return CONTENT_RANGE_BAD;
    if (part.first > part.last || part.last > POSITION_MAX || part.last >= whole)
        return CONTENT_RANGE_BAD;
    *range = part;
    *length = whole;
    return CONTENT_RANGE_PART;
}

/* ---- writing */

static char *
put_number(char *at, uint64_t number)
{
    char digits[20];
    unsigned count = 0;

    do {
        digits[count++] = (char)('0' + number % 10);
        number /= 10;
    } while (number > 0);
    while (count > 0)
        *at++ = digits[--count];
    return at;
}

static struct slice
finish(char *text, char *at)
{
    *at = '\0';
    return slice_make(text, (size_t)(at - text));
}

struct slice
content_range_format(char text[CONTENT_RANGE_BYTES], struct byte_range range, uint64_t length)
{
    char *at = mempcpy(text, "bytes ", 6);

    at = put_number(at, range.first);
    *at++ = '-';
    at = put_number(at, range.last);
    *at++ = '/';
    if (length == RANGE_LENGTH_UNKNOWN)
        *at++ = '*';
    else
        at = put_number(at, length);
    return finish(text, at);
}

struct slice
content_range_unsatisfied(char text[CONTENT_RANGE_BYTES], uint64_t length)
{
    return finish(text, put_number(mempcpy(text, "bytes */", 8), length));
}

struct slice
byte_range_format(char text[CONTENT_RANGE_BYTES], struct byte_range range, uint64_t length)
{
    char *at = put_number(mempcpy(text, "bytes=", 6), range.first);

    *at++ = '-';
    if (length == RANGE_LENGTH_UNKNOWN || range.last + 1 < length)
        at = put_number(at, range.last);
    return finish(text, at);
}

/* ---- arithmetic: last + 1 never wraps, as last < UINT64_MAX */

bool
byte_range_join(struct byte_range a, struct byte_range b, struct byte_range *joined)
{
    if (a.first > b.last + 1 || b.first > a.last + 1)
        return false;
    joined->first = a.first < b.first ? a.first : b.first;
    joined->last = a.last > b.last ? a.last : b.last;
    return true;
}

bool
byte_range_covers(struct byte_range outer, struct byte_range inner)
{
    return outer.first <= inner.first && inner.last <= outer.last;
}

bool
byte_range_missing(struct byte_range have, struct byte_range want, struct byte_range *missing)
{
    if (byte_range_covers(have, want))
        return false;
    *missing = want;
    if (have.first <= want.first && want.first <= have.last)
        missing->first = have.last + 1;
    else if (have.first <= want.last && want.last <= have.last)
        missing->last = have.first - 1;
    return true;
}

struct slice_span
byte_range_slices(struct byte_range range, uint64_t slice_bytes)
{
    must(slice_bytes > 0);
    return (struct slice_span){ range.first / slice_bytes, range.last / slice_bytes };
}

struct byte_range
byte_range_of_slice(uint64_t n, uint64_t slice_bytes, uint64_t length)
{
    struct byte_range range = { n * slice_bytes, length - 1 };

    if (range.last - range.first >= slice_bytes)
        range.last = range.first + slice_bytes - 1;
    return range;
}
