/* SPDX-License-Identifier: BSD-2-Clause */
/* must.c - the end of a program that has found itself wrong. */
#include "config.h"

#include "server/base/must.h"

#include <stdio.h>
#include <stdlib.h>

void
must_failed(const char *condition, const char *file, int line)
{
    /* Straight to stderr: the log thread may be what is broken. */
    fprintf(stderr, "bascule: %s:%d: this must be true: %s\n", file, line, condition);
    abort();
}
