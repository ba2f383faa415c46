/* SPDX-License-Identifier: BSD-2-Clause */
/* h1_write.h - message heads as HTTP/1.1 writes them.
 *
 * What goes out is always written anew from the parsed form, in one canonical
 * framing; nothing the sender wrote of framing or connection survives.
 */
#ifndef BASCULE_H1_WRITE_H
#define BASCULE_H1_WRITE_H

#include "server/http/exchange.h"
#include "server/http/h1_reader.h"

/* The framing with which ex's response goes to an HTTP/1 client. is_kept is set
 * to whether the connection can go on afterwards, as far as framing decides. */
enum h1_framing h1_response_framing(const struct exchange *ex, uint64_t *length, bool *is_kept);

/* Writes the head of ex's response. is_kept decides about "Connection: close".
 * Returns its length, 0 when it does not fit into room. */
size_t h1_write_response(char *out, size_t room, const struct exchange *ex,
                         enum h1_framing framing, uint64_t length, bool is_kept);

/* Writes an interim response. */
size_t h1_write_interim(char *out, size_t room, unsigned status, const struct fields *fields);

/* Writes the head of the request that goes upstream: ex->out, ex->request. */
size_t h1_write_request(char *out, size_t room, const struct exchange *ex,
                        enum h1_framing framing);

#endif
