/* SPDX-License-Identifier: BSD-2-Clause */
/* err.h - what went wrong, in words for an operator. */
#ifndef BASCULE_ERR_H
#define BASCULE_ERR_H

#include "server/base/must.h"

/* Filled by a function that fails. Its text says place, finding and what would
 * be accepted; it is always NUL-terminated and cut, never overrun. */
struct err {
    char text[1024];
};

/* Sets the text. Returns -1, so that callers can write return err_set(...).
 * err may be NULL. */
int err_set(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* The same, followed by ": " and the message of errno. */
int err_errno(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

/* Puts words in front of the text that is there already. Returns -1. */
int err_prefix(struct err *err, const char *format, ...) PRINTF_LIKE(2, 3);

#endif
