/* SPDX-License-Identifier: BSD-2-Clause */
/* client_hello.h - which server a TLS client wants, before anybody answers it:
 * the first message of a connection (RFC 8446 section 4.1.2), looked at only for
 * the name in it (RFC 6066 section 3).
 *
 * Pure functions: no socket, no memory.
 */
#ifndef BASCULE_CLIENT_HELLO_H
#define BASCULE_CLIENT_HELLO_H

#include "server/base/must.h"
#include "server/base/slice.h"

/* No ClientHello that is accepted is longer, and with the headers of the records
 * it comes in it ends within so many bytes. */
#define CLIENT_HELLO_MAX (16u * 1024)
#define CLIENT_HELLO_READ_MAX (20u * 1024)

enum client_hello_result {
    CLIENT_HELLO_OK,
    CLIENT_HELLO_MORE, /* good so far: come back with more bytes behind the same */
    CLIENT_HELLO_BAD,  /* not TLS, or malformed: close the connection */
};

struct client_hello {
    /* In lower case, with the syntax of a host name; empty: the client asks for
     * none, or for something that is no host name. */
    struct slice server_name;
    char name[256]; /* where it is */
};

/* Reads the ClientHello at the start of bytes. */
enum client_hello_result client_hello_parse(struct slice bytes,
                                            struct client_hello *hello) MUST_USE;

#endif
