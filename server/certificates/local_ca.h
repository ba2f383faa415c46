/* SPDX-License-Identifier: BSD-2-Clause */
/* local_ca.h - a small certificate authority of one's own, for names that only
 * mean this machine: what `certificates = "local"` shows.
 *
 * It is made once, by the supervisor or a command: bascule-ca.pem (certificate),
 * bascule-ca.key and local.pem (a certificate for localhost and its like, with its
 * key) in a folder that only their owner may enter. Who trusts the CA trusts it
 * for these names only: its certificate says so.
 */
#ifndef BASCULE_LOCAL_CA_H
#define BASCULE_LOCAL_CA_H

#include "server/base/err.h"
#include "server/config/option.h"

/* What stands for it in the place of a file. */
#define LOCAL_CERTIFICATE "local"

/* Where it is kept: $STATE_DIRECTORY (systemd.exec(5)), /var/lib/bascule for root,
 * $XDG_STATE_HOME/bascule or ~/.local/state/bascule for others. For good. */
const char *local_ca_folder(void);

/* The path of local.pem where chain is "local", chain itself otherwise. */
const char *local_ca_path(const char *chain);

/* Makes what is missing: the CA, and a certificate for localhost, 127.0.0.1, ::1,
 * *.bascule.test and the further hosts that the CA may speak for; one that lacks
 * some or soon ends is made again. Others see each file whole. 0, or -1 with err. */
int local_ca_ensure(const struct strings *hosts, struct err *err) MUST_USE;

/* Whether the CA may speak for host: localhost, or a name below localhost or test. */
bool local_ca_may(struct slice host);

/* The certificate of the CA, PEM, to be freed. NULL with err: there is none. */
char *local_ca_certificate(struct err *err);

#endif
