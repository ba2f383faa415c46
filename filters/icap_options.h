/* SPDX-License-Identifier: BSD-2-Clause */
/* icap_options.h - what an ICAP server says of a service: its answers to OPTIONS
 * (RFC 3507 section 4.10), remembered by each worker thread until they expire.
 */
#ifndef BASCULE_ICAP_OPTIONS_H
#define BASCULE_ICAP_OPTIONS_H

#include "filters/icap_reader.h"

/* Answers that one worker thread remembers. */
#define ICAP_OPTIONS_MAX 64

enum icap_transfer {
    ICAP_TRANSFER_PREVIEW,
    ICAP_TRANSFER_COMPLETE, /* without a preview */
    ICAP_TRANSFER_IGNORE,   /* the service does not want to see it */
};

#define ICAP_NO_PREVIEW UINT64_MAX

struct icap_options {
    uint64_t preview_bytes;   /* ICAP_NO_PREVIEW: it takes none */
    uint64_t max_connections; /* 0: it does not say */
    bool does_request, does_response; /* Methods */
    bool allows_204, allows_206;
};

/* What is known of the service uri at address, or NULL. Lent until the next call of
 * icap_options_learn() or _forget(). */
const struct icap_options *icap_options_find(const char *uri, const char *address,
                                             uint64_t now_ms);

/* Remembers an answer, whatever it says, in place of an older one. Anything but 200 means
 * that the server does not tell: then it is taken to be able to do only what every one
 * can, and asked again in a minute. Returns what find would; NULL when memory is short. */
const struct icap_options *icap_options_learn(const char *uri, const char *address,
                                              const struct icap_reply *reply, uint64_t now_ms);

/* How the service wants content of a file with this name extension ("exe", may be empty). */
enum icap_transfer icap_options_transfer(const struct icap_options *options,
                                         struct slice extension);

/* An answer of the service came with this ISTag: if it is another one than that of its
 * options (RFC 3507 section 4.7), they are to be asked for again. */
void icap_options_check_tag(const char *uri, const char *address, struct slice tag);

/* Forgets everything: the thread ends. */
void icap_options_forget(void);

#endif
