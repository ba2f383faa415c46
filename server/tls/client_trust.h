/* SPDX-License-Identifier: BSD-2-Clause */
/* client_trust.h - who may vouch for clients, and whom they have revoked.
 *
 *   client_trust (what the files hold, DER, shared) --> thread_trust (X509_STORE of a thread)
 *
 * Read when a configuration is, and again when a file changes; a file that is no
 * good then changes nothing.
 */
#ifndef BASCULE_CLIENT_TRUST_H
#define BASCULE_CLIENT_TRUST_H

#include <openssl/ssl.h>

#include "server/schema.h"

struct client_trust;
struct tls_thread;

/* Reads the files of conf: conf->trust leads to what is in them. 0, or -1 with err
 * naming the file. Give back with client_trust_unref(). */
int client_trust_adopt(struct client_certificate_conf *conf, struct err *err);
void client_trust_unref(struct client_trust *trust);

/* Reads the files again: 1: they hold something new; 0: as before; -1 with err: one
 * is no good, and what was there stays. From one thread at a time. */
int client_trust_reload(struct client_trust *trust, struct err *err);

/* Demands of ssl's client what conf says. *binding is the same for the same
 * demands only, also on other nodes: for the sessions. False when memory is short. */
bool client_trust_demand(struct tls_thread *thread, SSL *ssl,
                         const struct client_certificate_conf *conf, uint64_t *binding);

/* Gives back what the thread made of trusts: of those that no configuration names any
 * more, and of all. */
void client_trust_sweep(struct tls_thread *thread);
void client_trust_fini(struct tls_thread *thread);

#endif
