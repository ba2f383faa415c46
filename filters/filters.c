/* SPDX-License-Identifier: BSD-2-Clause */
/* filters.c - all filters. */
#include "config.h"

#include "filters/filter.h"

#include "filters/anonymity.h"
#include "filters/body_limit.h"
#include "filters/headers.h"
#include "filters/hide_server.h"
#include "filters/redirect.h"

const struct filter_ops *const filters[] = {
    &headers_filter,
    &redirect_filter,
    &body_limit_filter,
    &anonymity_filter,
    &hide_server_filter,
    NULL,
};
