/* SPDX-License-Identifier: BSD-2-Clause */
/* value_compare.h - compares the values that two groups give to one condition.
 *
 * Each takes from *work what it looks at, and when that is used up proves nothing.
 */
#ifndef BASCULE_VALUE_COMPARE_H
#define BASCULE_VALUE_COMPARE_H

#include "server/policy/condition.h"

/* Whether wide's condition is true whenever narrow's is. */
bool values_cover(const struct condition_field *field, const struct condition_conf *wide,
                  const struct condition_conf *narrow, uint64_t *work);

/* Whether the two conditions are never true of the same facts. */
bool values_are_apart(const struct condition_field *field, const struct condition_conf *a,
                      const struct condition_conf *b, uint64_t *work);

#endif
