/* SPDX-License-Identifier: BSD-2-Clause */
/* filters.c - all filters. */
#include "config.h"

#include "filters/filter.h"

#include "filters/anonymity.h"
#include "filters/bandwidth.h"
#include "filters/bans.h"
#include "filters/body_limit.h"
#include "filters/clamd.h"
#include "filters/compress.h"
#include "filters/content.h"
#include "filters/cors.h"
#include "filters/decompress.h"
#include "filters/headers.h"
#include "filters/hide_server.h"
#include "filters/icap.h"
#include "filters/rate_limit.h"
#include "filters/redirect.h"
#include "filters/rewrite.h"
#include "filters/security_headers.h"
#include "filters/waf.h"

const struct filter_ops *const filters[] = {
    &headers_filter,
    &redirect_filter,
    &bans_filter,
    &rate_limit_filter,
    &bandwidth_filter,
    &body_limit_filter,
    &content_filter,
    &rewrite_filter,
    &anonymity_filter,
    &hide_server_filter,
    &cors_filter,
    &security_headers_filter,
    &clamd_filter,
    &icap_filter,
    &compress_filter,
    &decompress_filter,
    &waf_filter,
    NULL,
};
