/* SPDX-License-Identifier: BSD-2-Clause */
/* err.c - error texts are built here and nowhere else. */
#include "config.h"

#include "server/base/err.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

int
err_set(struct err *err, const char *format, ...)
{
    va_list args;

    if (err == NULL)
        return -1;
    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    return -1;
}

int
err_errno(struct err *err, const char *format, ...)
{
    int error = errno;
    size_t used;
    va_list args;

    if (err == NULL)
        return -1;
    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    used = strlen(err->text);
    snprintf(err->text + used, sizeof(err->text) - used, ": %s", strerrordesc_np(error));
    errno = error;
    return -1;
}

int
err_prefix(struct err *err, const char *format, ...)
{
    char tail[sizeof(err->text)];
    size_t used;
    va_list args;

    if (err == NULL)
        return -1;
    memcpy(tail, err->text, sizeof(tail));
    va_start(args, format);
    vsnprintf(err->text, sizeof(err->text), format, args);
    va_end(args);
    used = strlen(err->text);
    snprintf(err->text + used, sizeof(err->text) - used, "%s", tail);
    return -1;
}
