/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_context.h - whom we trust as a client of TLS, and what we show and speak.
 *
 * Made when a configuration is read, constant afterwards, shared by all threads.
 */
#ifndef BASCULE_TLS_CONTEXT_H
#define BASCULE_TLS_CONTEXT_H

#include "server/base/arena.h"
#include "server/base/err.h"

struct group_conf;
struct ssl_ctx_st;

struct tls_context {
    struct ssl_ctx_st *openssl;
    const char *ca_file; /* borrowed; NULL: the system's */
    const char *name;    /* borrowed; asked for instead of the host; NULL: the host */
    bool verify;
    bool needs_h2; /* who does not speak HTTP/2 is of no use */
    uint64_t id;
};

/* Trusts the certificates in ca_file (PEM), or the system's when it is NULL, and
 * speaks HTTP/1.1. TLS 1.2 and later. Ends with arena. NULL with err. */
struct tls_context *tls_context_new(struct arena *arena, const char *ca_file, struct err *err);

/* As the group's tls and protocol say. like may be NULL; otherwise what it
 * trusts is shared where the files are the same, for loading takes long. */
struct tls_context *tls_context_of_group(struct arena *arena, const struct group_conf *group,
                                         const struct tls_context *like, struct err *err);

/* Contexts with the same number trust and show the same: a connection or session
 * that was verified by one is as good for the other. No other has or ever had it. */
static inline uint64_t
tls_context_id(const struct tls_context *context)
{
    return context->id;
}

#endif
