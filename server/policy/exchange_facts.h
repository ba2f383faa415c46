/* SPDX-License-Identifier: BSD-2-Clause */
/* exchange_facts.h - what rules and limits may ask about an exchange. */
#ifndef BASCULE_EXCHANGE_FACTS_H
#define BASCULE_EXCHANGE_FACTS_H

#include "server/policy/facts.h"

struct exchange;

/* The facts of stages CONNECTION and HEAD, as far as ex has them. tls: of the client's
 * connection; NULL: plain. Borrows all. */
void exchange_facts(const struct exchange *ex, const struct tls_session *tls, int64_t now_s,
                    struct facts *facts);

#endif
