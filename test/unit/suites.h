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
    X(anonymity) \
    X(arena) \
    X(arrival) \
    X(auth_request) \
    X(balancers) \
    X(ban_table) \
    X(base64) \
    X(byte_range) \
    X(cache_faults) \
    X(cache_key) \
    X(cache_status) \
    X(certificate_load) \
    X(certificate_users) \
    X(certificates) \
    X(channel) \
    X(client_hello) \
    X(config) \
    X(cors) \
    X(credentials) \
    X(date) \
    X(dial) \
    X(digest) \
    X(directives) \
    X(disk) \
    X(disk_crash) \
    X(domain_set) \
    X(error_page) \
    X(escape) \
    X(fair_share) \
    X(file_read) \
    X(fill) \
    X(fill_flow) \
    X(fill_range) \
    X(fill_threads) \
    X(filters) \
    X(freshness) \
    X(geo) \
    X(grace) \
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
    X(hide_server) \
    X(hold) \
    X(host_map) \
    X(hosts) \
    X(http_url) \
    X(hypothesis) \
    X(icap_options) \
    X(icap_reader) \
    X(index) \
    X(invalidate) \
    X(jwks) \
    X(jwt) \
    X(jwt_user) \
    X(ldap_text) \
    X(limit) \
    X(limit_key) \
    X(limit_table) \
    X(list_formats) \
    X(listener) \
    X(lists) \
    X(local_ca) \
    X(log) \
    X(log_format) \
    X(log_privacy) \
    X(login_cache) \
    X(loop) \
    X(memory) \
    X(message) \
    X(multipart) \
    X(object) \
    X(opener) \
    X(object_source) \
    X(option) \
    X(pac) \
    X(pace) \
    X(page_template) \
    X(parent) \
    X(part) \
    X(password_hash) \
    X(pattern) \
    X(policy) \
    X(policy_facts) \
    X(policy_review) \
    X(pool) \
    X(prefix_set) \
    X(proxy_protocol) \
    X(public_url) \
    X(purge) \
    X(purge_job) \
    X(question) \
    X(rate_limit) \
    X(registry) \
    X(resolve) \
    X(scan) \
    X(schema) \
    X(security_headers) \
    X(segment) \
    X(service) \
    X(slice) \
    X(storable) \
    X(structured_field) \
    X(subrequest) \
    X(template) \
    X(time_window) \
    X(traffic) \
    X(trail) \
    X(transform) \
    X(tls_client) \
    X(tls_clients) \
    X(tls_records) \
    X(tls_server) \
    X(tls_sessions) \
    X(trusted_field) \
    X(tunnel) \
    X(tunnel_tls) \
    X(update) \
    X(uri) \
    X(users) \
    X(validate) \
    X(vary)

#define X(noun) void suite_##noun(void);
SUITES(X)
#undef X

#endif
