/* SPDX-License-Identifier: BSD-2-Clause */
/* fuzz_date.c - any bytes as an HTTP date.
 *
 * A date that is read can be written, and is then read as the same, in every
 * case of its letters.
 */
#include "config.h"

#include "server/http/date.h"

#include "server/base/must.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

#define NOW INT64_C(1767225600)

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes)
{
    char text[DATE_BYTES + 1];
    int64_t seconds, again;

    if (!date_parse(slice_make((const char *)data, bytes), NOW, &seconds))
        return 0;
    date_format(text, seconds);
    if (seconds > INT64_C(253402300799))
        return 0; /* the leap second that ends the year 9999 */
    must(date_parse(slice_make(text, DATE_BYTES), NOW, &again) && again == seconds);
    for (unsigned i = 0; i < DATE_BYTES; i++)
        text[i] = ascii_lower(text[i]);
    must(date_parse(slice_make(text, DATE_BYTES), NOW, &again) && again == seconds);
    return 0;
}
