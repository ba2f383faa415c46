/* SPDX-License-Identifier: BSD-2-Clause */
/* suites.h - every suite of unit tests, by the noun it tests.
 *
 * X(noun) stands for void suite_noun(void) in test_noun.c, which adds one CUnit
 * suite of that name with one test for each promise.
 */
#ifndef BASCULE_SUITES_H
#define BASCULE_SUITES_H

#define SUITES(X) \
    X(address) \
    X(arena) \
    X(arrival) \
    X(balancers) \
    X(base64) \
    X(certificates) \
    X(channel) \
    X(client_hello) \
    X(config) \
    X(date) \
    X(dial) \
    X(error_page) \
    X(escape) \
    X(filters) \
    X(group) \
    X(h1_chunked) \
    X(h1_parse) \
    X(h1_stream) \
    X(h2_downstream) \
    X(h2_fields) \
    X(h1_write) \
    X(h2_upstream) \
    X(hash) \
    X(header) \
    X(host_map) \
    X(hosts) \
    X(listener) \
    X(log) \
    X(log_format) \
    X(loop) \
    X(message) \
    X(option) \
    X(parent) \
    X(pattern) \
    X(pool) \
    X(prefix_set) \
    X(proxy_protocol) \
    X(registry) \
    X(resolve) \
    X(scan) \
    X(schema) \
    X(slice) \
    X(template) \
    X(tls_client) \
    X(tls_server) \
    X(tunnel) \
    X(tunnel_tls) \
    X(uri)

#define X(noun) void suite_##noun(void);
SUITES(X)
#undef X

#endif
