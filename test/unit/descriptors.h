/* SPDX-License-Identifier: BSD-2-Clause */
/* descriptors.h - how many descriptors this program has open: a test that ends with more
 * than it began with has lost some.
 */
#ifndef BASCULE_DESCRIPTORS_H
#define BASCULE_DESCRIPTORS_H

#include <fcntl.h>

static unsigned
count_open_descriptors(void)
{
    unsigned count = 0;

    for (int fd = 0; fd < 1024; fd++)
        count += fcntl(fd, F_GETFD) >= 0;
    return count;
}

#endif
