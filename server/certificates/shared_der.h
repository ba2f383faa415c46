/* SPDX-License-Identifier: BSD-2-Clause */
/* shared_der.h - bytes that many certificates have in common, kept once: those
 * of the authorities that vouch for them.
 */
#ifndef BASCULE_SHARED_DER_H
#define BASCULE_SHARED_DER_H

#include <stddef.h>

#include "server/base/must.h"
#include "server/base/slice.h"

/* A reference to the one copy of these bytes, made when there is none. Empty when
 * memory is short. From any thread. */
struct slice shared_der_take(struct slice der) MUST_USE;

/* Gives back what shared_der_take() returned. Empty is fine. */
void shared_der_give(struct slice der);

/* How many there are, and how many bytes they hold: for status and tests. */
struct shared_der_counts {
    size_t count, bytes;
};
struct shared_der_counts shared_der_counts(void);

#endif
