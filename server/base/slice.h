/* SPDX-License-Identifier: BSD-2-Clause */
/* slice.h - a piece of somebody else's memory: where it starts, how long it is.
 *
 * A slice owns nothing and ends with no NUL. It is passed by value.
 */
#ifndef BASCULE_SLICE_H
#define BASCULE_SLICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

struct slice {
    const char *data;
    size_t bytes;
};

/* A slice of a string literal, and as an initialiser for static data. */
#define SLICE(literal) ((struct slice){ "" literal, sizeof(literal) - 1 })
#define SLICE_INIT(literal) { "" literal, sizeof(literal) - 1 }

/* For printf("%.*s", SLICE_ARG(s)). */
#define SLICE_ARG(s) (int)(s).bytes, (s).data

static inline struct slice
slice_make(const char *data, size_t bytes)
{
    return (struct slice){ data, bytes };
}

static inline struct slice
slice_of(const char *text)
{
    return (struct slice){ text, text != NULL ? strlen(text) : 0 };
}

static inline bool
slice_is_empty(struct slice s)
{
    return s.bytes == 0;
}

static inline bool
slice_equal(struct slice a, struct slice b)
{
    return a.bytes == b.bytes && (a.bytes == 0 || memcmp(a.data, b.data, a.bytes) == 0);
}

static inline bool
slice_starts_with(struct slice s, struct slice prefix)
{
    return s.bytes >= prefix.bytes &&
           (prefix.bytes == 0 || memcmp(s.data, prefix.data, prefix.bytes) == 0);
}

/* Without its first n bytes; empty when it is shorter. */
static inline struct slice
slice_skip(struct slice s, size_t n)
{
    if (n > s.bytes)
        n = s.bytes;
    return (struct slice){ s.data + n, s.bytes - n };
}

/* ASCII only, whatever the locale. */
static inline char
ascii_lower(char c)
{
    return (c >= 'A' && c <= 'Z') ? (char)(c | 0x20) : c;
}

static inline bool
ascii_is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Equal but for the case of ASCII letters. */
bool slice_equal_nocase(struct slice a, struct slice b);

/* Without SP and HTAB at either end (OWS, RFC 9110 section 5.6.3). */
struct slice slice_trim(struct slice s);

/* Takes c off the head of *text; false: something else is there. */
static inline bool
slice_take_char(struct slice *text, char c)
{
    if (text->bytes == 0 || text->data[0] != c)
        return false;
    *text = slice_skip(*text, 1);
    return true;
}

/* Takes the decimal digits at the head of *text, at most so many. Empty: there are none. */
struct slice slice_take_digits(struct slice *text, size_t most);

/* Position of the first c, or -1. */
ptrdiff_t slice_find(struct slice s, char c);

/* Takes the next element of a comma-separated list (RFC 9110 section 5.6.1)
 * off *list, trimmed; empty elements are passed over, commas in quoted strings
 * do not count. False when there is none left. */
bool slice_next_element(struct slice *list, struct slice *element);

/* Whether a comma-separated list has the token, whatever its case. */
bool slice_list_has(struct slice list, struct slice token);

/* Reads decimal digits and nothing else into *value. False when s is empty,
 * holds anything else, or exceeds max. */
bool slice_to_u64(struct slice s, uint64_t max, uint64_t *value);

/* The same of "FIRST-LAST", or of one number that is both. Either may be the larger. */
bool slice_to_range(struct slice s, uint64_t max, uint64_t *first, uint64_t *last);

#endif
