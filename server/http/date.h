/* SPDX-License-Identifier: BSD-2-Clause */
/* date.h - dates as HTTP writes them (RFC 9110 section 5.6.7). */
#ifndef BASCULE_DATE_H
#define BASCULE_DATE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/slice.h"

#define DATE_BYTES 29 /* "Sun, 06 Nov 1994 08:49:37 GMT" */

/* Writes an IMF-fixdate and a NUL. seconds since 1970 are held within the
 * years 0 to 9999, which is all that four digits can say. */
void date_format(char text[DATE_BYTES + 1], int64_t seconds);

/* Remembers the last date that was formatted: most messages of one thread
 * carry the same. Zero it to begin. */
struct date_cache {
    int64_t seconds;
    char text[DATE_BYTES + 1];
};

/* The IMF-fixdate of seconds; good until the next call with this cache. */
struct slice date_cached(struct date_cache *cache, int64_t seconds);

/* Reads any of the three formats: IMF-fixdate, RFC 850, asctime. Nothing may
 * precede or follow. now (seconds since 1970) decides the century of a year of
 * two digits: at most 50 years ahead. The day's name has to be one, but need
 * not be the right one: senders err there, and it adds nothing. Nor does the
 * case of letters matter (RFC 9111 section 4.2). */
bool date_parse(struct slice text, int64_t now, int64_t *seconds);

#endif
