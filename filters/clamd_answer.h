/* SPDX-License-Identifier: BSD-2-Clause */
/* clamd_answer.h - reads clamd's answer to INSTREAM, as it arrives.
 *
 *     stream: OK                               NUL
 *     stream: Win.Test.EICAR_HDB-1 FOUND       NUL
 *     INSTREAM size limit exceeded. ERROR      NUL
 */
#ifndef BASCULE_CLAMD_ANSWER_H
#define BASCULE_CLAMD_ANSWER_H

#include "server/base/slice.h"

#define CLAMD_ANSWER_BYTES 512u /* longer is no answer */
#define CLAMD_NAME_BYTES 128u   /* of a signature's name; the rest is cut off */

enum clamd_reply {
    CLAMD_REPLY_MORE,     /* it is not all there */
    CLAMD_REPLY_OK,
    CLAMD_REPLY_FOUND,    /* name */
    CLAMD_REPLY_TOO_LONG, /* than clamd's StreamMaxLength */
    CLAMD_REPLY_ERROR,    /* it could not scan */
    CLAMD_REPLY_NONSENSE,
};

/* Zeroed at first. */
struct clamd_answer {
    struct slice name; /* of what was found: 1 to CLAMD_NAME_BYTES visible ASCII characters */
    size_t bytes;      /* private */
    char text[CLAMD_ANSWER_BYTES];
};

/* Reads on. What follows the answer does not matter, nor what comes in later calls. */
enum clamd_reply clamd_answer_read(struct clamd_answer *answer, const char *data, size_t bytes);

#endif
