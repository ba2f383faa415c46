/* SPDX-License-Identifier: BSD-2-Clause */
/* scan.h - finds the first byte that does not belong, many bytes at a time.
 *
 * All functions return the place of that byte, or end when there is none, and
 * read nothing outside at..end. The widest instructions that the CPU has are
 * picked at run time.
 */
#ifndef BASCULE_SCAN_H
#define BASCULE_SCAN_H

#include <stdbool.h>
#include <stdint.h>

/* Classes of bytes, for places where a loop suffices. */
enum {
    CHAR_TOKEN = 1,  /* tchar: RFC 9110 section 5.6.2 */
    CHAR_TEXT = 2,   /* field-vchar, SP, HTAB: section 5.5 */
    CHAR_TARGET = 4, /* visible ASCII but '#': what a request-target may have */
    CHAR_HOST = 8,   /* letters, digits, '-', '.', '_': host names as we take them */
    CHAR_UPPER = 16,
    CHAR_HEX = 32,
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

/* The first byte that cannot be in a request-target: a control, a space, '#',
 * or anything beyond ASCII. */
const char *scan_target(const char *at, const char *end);

/* Makes the functions above behave as on a CPU with only the first (0: none)
 * of the instruction sets known to this build, for tests. False when this
 * machine lacks it. */
bool scan_limit(unsigned level);

#endif
