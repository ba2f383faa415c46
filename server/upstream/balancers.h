/* SPDX-License-Identifier: BSD-2-Clause */
/* balancers.h - the members of the family in balance.h. */
#ifndef BASCULE_BALANCERS_H
#define BASCULE_BALANCERS_H

#include "server/upstream/balance.h"

extern const struct balancer_ops round_robin_balancer;
extern const struct balancer_ops least_conn_balancer;

#endif
