/* SPDX-License-Identifier: BSD-2-Clause */
/* write_mmdb.c - a database of addresses for a test, larger networks first:
 *
 *     write_mmdb FILE 192.0.2.0/24=DE 2001:db8::/32=FR ...   countries
 *     write_mmdb FILE 192.0.2.0/24=64500 ...                 autonomous systems
 */
#include "config.h"

#include "test/support/mmdb_writer.h"

#include <stdlib.h>

static struct mmdb_writer writer;

/* NETWORK=VALUE */
static int
add(char *text)
{
    char *value = strchr(text, '=');

    if (value == NULL)
        return -1;
    *value++ = '\0';
    return ascii_is_digit(*value) ? mmdb_add_as(&writer, text, (uint32_t)strtoul(value, NULL, 10))
                                  : mmdb_add_country(&writer, text, "country", value);
}

int
main(int argc, char **argv)
{
    if (argc < 2) {
        fprintf(stderr, "usage: write_mmdb FILE NETWORK=VALUE ...\n");
        return 2;
    }
    mmdb_begin(&writer);
    for (int i = 2; i < argc; i++) {
        if (add(argv[i]) < 0) {
            fprintf(stderr, "write_mmdb: %s: is not NETWORK=VALUE\n", argv[i]);
            return 2;
        }
    }
    if (mmdb_write(&writer, argv[1]) == 0)
        return 0;
    perror(argv[1]);
    return 1;
}
