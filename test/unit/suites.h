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
    X(byte_range) \
    X(cache_faults) \
    X(cache_key) \
    X(cache_status) \
    X(certificate_load) \
    X(certificates) \
    X(channel) \
    X(client_hello) \
    X(config) \
    X(date) \
    X(dial) \
    X(directives) \
    X(disk) \
    X(disk_crash) \
    X(error_page) \
    X(escape) \
    X(fill) \
    X(fill_flow) \
    X(fill_range) \
    X(fill_threads) \
    X(filters) \
    X(freshness) \
    X(group) \
    X(h1_chunked) \
    X(h1_file) \
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
    X(index) \
    X(invalidate) \
    X(listener) \
    X(local_ca) \
    X(log) \
    X(log_format) \
    X(loop) \
    X(memory) \
    X(message) \
    X(object) \
    X(opener) \
    X(object_source) \
    X(option) \
    X(parent) \
    X(part) \
    X(pattern) \
    X(pool) \
    X(prefix_set) \
    X(proxy_protocol) \
    X(public_url) \
    X(purge) \
    X(purge_job) \
    X(registry) \
    X(resolve) \
    X(scan) \
    X(schema) \
    X(segment) \
    X(slice) \
    X(storable) \
    X(structured_field) \
    X(template) \
    X(traffic) \
    X(tls_client) \
    X(tls_clients) \
    X(tls_records) \
    X(tls_server) \
    X(tls_sessions) \
    X(tunnel) \
    X(tunnel_tls) \
    X(update) \
    X(uri) \
    X(validate) \
    X(vary)

#define X(noun) void suite_##noun(void);
SUITES(X)
#undef X

#endif
