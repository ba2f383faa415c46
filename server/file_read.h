/* SPDX-License-Identifier: BSD-2-Clause */
/* file_read.h - whole files of a bounded size, which only the supervisor may be able to open
 * (opener.h): secrets, lists of users, keys, templates of pages.
 */
#ifndef BASCULE_FILE_READ_H
#define BASCULE_FILE_READ_H

#include "server/base/err.h"
#include "server/base/slice.h"

/* All of a regular file of at most bytes_max bytes, in *text with a NUL behind it, to be
 * ended with file_text_free(). 0, or -1 with err, which names the file: *text is empty then.
 * One that changes meanwhile is not taken. From any thread. */
int file_read(const char *path, size_t bytes_max, struct slice *text, struct err *err) MUST_USE;

/* Overwrites the bytes, too: they may be secret. Twice is fine. */
void file_text_free(struct slice *text);

#endif
