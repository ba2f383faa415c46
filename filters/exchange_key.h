/* SPDX-License-Identifier: BSD-2-Clause */
/* exchange_key.h - whose exchange it is, for filters that count by key: by the same keys as
 * the limits of policies.
 */
#ifndef BASCULE_EXCHANGE_KEY_H
#define BASCULE_EXCHANGE_KEY_H

#include "server/policy/limit.h"

struct exchange;

/* What filters on the request side know of ex. Borrows all. */
void exchange_key_facts(struct exchange *ex, struct facts *facts);

#endif
