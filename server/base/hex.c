/* SPDX-License-Identifier: BSD-2-Clause */
/* hex.c - numbers and runs of bytes as hexadecimal digits, and back. */
#include "config.h"

#include "server/base/hex.h"

char *
hex_put_number(char *at, uint64_t n)
{
    int shift = (63 - __builtin_clzll(n | 1)) & ~3; /* of the first digit */

    for (; shift >= 0; shift -= 4)
        *at++ = "0123456789abcdef"[n >> shift & 15];
    return at;
}

bool
hex_to_u64(struct slice s, uint64_t *value)
{
    uint64_t n = 0;

    if (s.bytes == 0 || s.bytes > 16)
        return false;
    for (size_t i = 0; i < s.bytes; i++) {
        int digit = hex_value(s.data[i]);

        if (digit < 0)
            return false;
        n = n << 4 | (unsigned)digit;
    }
    *value = n;
    return true;
}

void
hex_encode(const unsigned char *data, size_t bytes, char *out)
{
    for (size_t i = 0; i < bytes; i++)
        out = hex_put(out, data[i]);
}

bool
hex_decode(struct slice text, unsigned char *out, size_t bytes)
{
    if (text.bytes != 2 * bytes)
        return false;
    for (size_t i = 0; i < bytes; i++) {
        int byte = hex_byte(text.data + 2 * i);

        if (byte < 0)
            return false;
        out[i] = (unsigned char)byte;
    }
    return true;
}
