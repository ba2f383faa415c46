/* SPDX-License-Identifier: BSD-2-Clause */
/* hex.h - hexadecimal digits: what they are worth, and bytes and numbers written with them.
 *
 * Nothing here allocates, or ends its output with a NUL.
 */
#ifndef BASCULE_HEX_H
#define BASCULE_HEX_H

#include "server/base/slice.h"

/* The value of a digit of either case; -1: c is none. */
static inline int
hex_value(char c)
{
    unsigned digit = (unsigned char)c - (unsigned)'0';
    unsigned letter = ((unsigned char)c | 0x20u) - 'a';

    if (digit < 10)
        return (int)digit;
    return letter < 6 ? (int)letter + 10 : -1;
}

/* The byte that the two digits at text make; -1: they are not both digits. The
 * second is read only behind a digit, so text may end with a NUL before it. */
static inline int
hex_byte(const char *text)
{
    int high = hex_value(text[0]);
    int low = high >= 0 ? hex_value(text[1]) : -1;

    return low >= 0 ? high << 4 | low : -1;
}

/* The byte that the percent-escape at the head of text stands for (RFC 3986 section
 * 2.1); -1: text begins with no such thing. */
static inline int
hex_unescape(struct slice text)
{
    return text.bytes >= 3 && text.data[0] == '%' ? hex_byte(text.data + 1) : -1;
}

/* Writes byte as two digits of lower case. Returns the place behind them. */
static inline char *
hex_put(char *at, uint8_t byte)
{
    at[0] = "0123456789abcdef"[byte >> 4];
    at[1] = "0123456789abcdef"[byte & 15];
    return at + 2;
}

/* The same of upper case, as RFC 3986 section 2.1 wants it in URIs. */
static inline char *
hex_put_upper(char *at, uint8_t byte)
{
    at[0] = "0123456789ABCDEF"[byte >> 4];
    at[1] = "0123456789ABCDEF"[byte & 15];
    return at + 2;
}

/* Writes n without zeros in front: 1 to 16 digits of lower case. Returns the place
 * behind them. */
char *hex_put_number(char *at, uint64_t n);

/* Reads 1 to 16 digits and nothing else into *value; false: s is not that. */
bool hex_to_u64(struct slice s, uint64_t *value);

/* Writes data as 2 * bytes digits of lower case to out. */
void hex_encode(const unsigned char *data, size_t bytes, char *out);

/* Reads bytes from 2 * bytes digits, of either case. False: they are not that. */
bool hex_decode(struct slice text, unsigned char *out, size_t bytes);

#endif
