/* SPDX-License-Identifier: BSD-2-Clause */
/* slice.c - comparing and taking apart borrowed memory. */
#include "config.h"

#include "server/base/slice.h"

bool
slice_equal_nocase(struct slice a, struct slice b)
{
    if (a.bytes != b.bytes)
        return false;
    for (size_t i = 0; i < a.bytes; i++)
        if (ascii_lower(a.data[i]) != ascii_lower(b.data[i]))
            return false;
    return true;
}

static bool
is_ows(char c)
{
    return c == ' ' || c == '\t';
}

struct slice
slice_trim(struct slice s)
{
    while (s.bytes > 0 && is_ows(s.data[0]))
        s = slice_skip(s, 1);
    while (s.bytes > 0 && is_ows(s.data[s.bytes - 1]))
        s.bytes--;
    return s;
}

ptrdiff_t
slice_find(struct slice s, char c)
{
    const char *at = s.bytes > 0 ? memchr(s.data, c, s.bytes) : NULL;

    return at != NULL ? at - s.data : -1;
}

/* The length of the element at the head of the list: up to a comma that is
 * not inside a quoted string. */
static size_t
element_bytes(struct slice list)
{
    bool is_quoted = false;

    for (size_t i = 0; i < list.bytes; i++) {
        if (is_quoted && list.data[i] == '\\')
            i++;
        else if (list.data[i] == '"')
            is_quoted = !is_quoted;
        else if (list.data[i] == ',' && !is_quoted)
            return i;
    }
    return list.bytes;
}

struct slice
slice_take_digits(struct slice *text, size_t most)
{
    struct slice digits = slice_make(text->data, 0);

    while (digits.bytes < text->bytes && digits.bytes < most &&
           ascii_is_digit(text->data[digits.bytes]))
        digits.bytes++;
    *text = slice_skip(*text, digits.bytes);
    return digits;
}

bool
slice_next_element(struct slice *list, struct slice *element)
{
    while (list->bytes > 0) {
        size_t bytes = element_bytes(*list);

        *element = slice_trim(slice_make(list->data, bytes));
        *list = slice_skip(*list, bytes + 1);
        if (element->bytes > 0)
            return true;
    }
    return false;
}

bool
slice_list_has(struct slice list, struct slice token)
{
    struct slice element;

    while (slice_next_element(&list, &element))
        if (slice_equal_nocase(element, token))
            return true;
    return false;
}

bool
slice_to_u64(struct slice s, uint64_t max, uint64_t *value)
{
    uint64_t n = 0;

    if (s.bytes == 0)
        return false;
    for (size_t i = 0; i < s.bytes; i++) {
        unsigned digit = (unsigned char)s.data[i] - '0';

        if (digit > 9 || n > (UINT64_MAX - digit) / 10)
            return false;
        n = n * 10 + digit;
    }
    if (n > max)
        return false;
    *value = n;
    return true;
}

bool
slice_to_range(struct slice s, uint64_t max, uint64_t *first, uint64_t *last)
{
    ptrdiff_t dash = slice_find(s, '-');
    struct slice low = s, high = s;

    if (dash >= 0) {
        low.bytes = (size_t)dash;
        high = slice_skip(s, (size_t)dash + 1);
    }
    return slice_to_u64(low, max, first) && slice_to_u64(high, max, last);
}
