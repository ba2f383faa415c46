/* SPDX-License-Identifier: BSD-2-Clause */
/* file_read.c - a file is read up to the length it has when it is opened, and one byte more,
 * which must not be there.
 */
#include "config.h"

#include "server/file_read.h"

#include "server/opener.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

/* Returns how many there were, at most room; -1 with errno. */
static ssize_t
read_bytes(int fd, char *data, size_t room)
{
    size_t bytes = 0;

    while (bytes < room) {
        ssize_t n = read(fd, data + bytes, room - bytes);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return -1;
        if (n == 0)
            break;
        bytes += (size_t)n;
    }
    return (ssize_t)bytes;
}

static int
read_opened(int fd, const char *path, size_t bytes_max, struct slice *text, struct err *err)
{
    struct stat st;
    ssize_t bytes;
    char *data;

    if (fstat(fd, &st) < 0)
        return err_errno(err, "%s: cannot be read", path);
    if ((uint64_t)st.st_size > bytes_max)
        return err_set(err, "%s: has more than %zu bytes", path, bytes_max);
    data = malloc((size_t)st.st_size + 1);
    if (data == NULL)
        return err_set(err, "%s: out of memory", path);
    *text = slice_make(data, (size_t)st.st_size);
    bytes = read_bytes(fd, data, (size_t)st.st_size + 1);
    if (bytes < 0)
        return err_errno(err, "%s: cannot be read", path);
    if (bytes != st.st_size)
        return err_set(err, "%s: changes while it is read", path);
    data[bytes] = '\0';
    return 0;
}

int
file_read(const char *path, size_t bytes_max, struct slice *text, struct err *err)
{
    int fd = opener_open(path, err), result;

    *text = slice_make(NULL, 0);
    if (fd < 0)
        return -1;
    result = read_opened(fd, path, bytes_max, text, err);
    close(fd);
    if (result < 0)
        file_text_free(text);
    return result;
}

void
file_text_free(struct slice *text)
{
    if (text->data != NULL)
        explicit_bzero((char *)text->data, text->bytes);
    free((char *)text->data);
    *text = slice_make(NULL, 0);
}
