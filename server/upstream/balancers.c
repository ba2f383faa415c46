/* SPDX-License-Identifier: BSD-2-Clause */
/* balancers.c - all there are; the first is the default. */
#include "config.h"

#include "server/upstream/balancers.h"

const struct balancer_ops *const balancers[] = {
    &round_robin_balancer,
    &least_conn_balancer,
    NULL,
};

const char *const balancer_words[] = {
    "round_robin",
    "least_conn",
    NULL,
};
