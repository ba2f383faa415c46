/* SPDX-License-Identifier: BSD-2-Clause */
/* ca.c - prints the certificate of the local CA, for browsers and programs that
 * are to trust it.
 */
#include "config.h"

#include "server/commands/members.h"

#include "server/certificates/local_ca.h"

#include <stdio.h>
#include <stdlib.h>

static int
run(const struct arguments *arguments)
{
    struct err err;
    char *text = local_ca_certificate(&err);

    (void)arguments;
    if (text == NULL)
        return command_fail(&err);
    fputs(text, stdout);
    free(text);
    return 0;
}

const struct command ca_command = {
    .name = "ca",
    .usage = "",
    .text = "Prints the certificate of the local CA, to be trusted.",
    .run = run,
};
