/* SPDX-License-Identifier: BSD-2-Clause */
/* waf_functions.h - libmodsecurity, loaded once a configuration asks for it.
 *
 * It brings some thirty other libraries, which cost every process memory and time to start,
 * whether it has a firewall or not. So nothing is linked to it: its headers say which types
 * its functions have, and the dynamic linker finds them by name.
 */
#ifndef BASCULE_WAF_FUNCTIONS_H
#define BASCULE_WAF_FUNCTIONS_H

#include "server/base/err.h"

#include <modsecurity/intervention.h>
#include <modsecurity/modsecurity.h>
#include <modsecurity/rules_set.h>
#include <modsecurity/transaction.h>

#define WAF_FUNCTIONS(X) \
    X(msc_add_n_request_header) \
    X(msc_add_n_response_header) \
    X(msc_append_request_body) \
    X(msc_append_response_body) \
    X(msc_create_rules_set) \
    X(msc_init) \
    X(msc_intervention) \
    X(msc_new_transaction) \
    X(msc_process_connection) \
    X(msc_process_logging) \
    X(msc_process_request_body) \
    X(msc_process_request_headers) \
    X(msc_process_response_body) \
    X(msc_process_response_headers) \
    X(msc_process_uri) \
    X(msc_rules_add) \
    X(msc_rules_add_file) \
    X(msc_rules_cleanup) \
    X(msc_rules_merge) \
    X(msc_set_connector_info) \
    X(msc_set_log_cb) \
    X(msc_transaction_cleanup)

/* Members are named as the functions are: call->msc_init(). */
struct waf_functions {
#define WAF_FUNCTION_MEMBER(name) __typeof__(name) *name;
    WAF_FUNCTIONS(WAF_FUNCTION_MEMBER)
#undef WAF_FUNCTION_MEMBER
};

/* Loads the library, unless that was done already; if there was none, one may have been
 * installed meanwhile. Lends the functions for ever. NULL with err, which names
 * what is missing. For one thread at a time; takes some milliseconds: not for workers. */
const struct waf_functions *waf_functions_load(struct err *err) MUST_USE;

#endif
