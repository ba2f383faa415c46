/* SPDX-License-Identifier: BSD-2-Clause */
/* counters.h - what is counted. Each worker thread writes its own; readers add up.
 *
 * X(member, "metric_name", kind, "help"): kind is counter or gauge.
 */
#ifndef BASCULE_COUNTERS_H
#define BASCULE_COUNTERS_H

#include <stdatomic.h>
#include <stdint.h>

#define COUNTERS(X) \
    X(connections_accepted, "bascule_connections_accepted_total", counter, "Client connections accepted.") \
    X(connections_open, "bascule_connections_open", gauge, "Client connections open now.") \
    X(connections_refused, "bascule_connections_refused_total", counter, "Client connections closed at once: not allowed, or over a limit.") \
    X(connections_handed_over, "bascule_connections_handed_over_total", counter, "Connections given to a less loaded worker.") \
    X(requests, "bascule_requests_total", counter, "Requests whose head was read.") \
    X(requests_bad, "bascule_requests_bad_total", counter, "Requests refused because they were malformed or over a limit.") \
    X(requests_denied, "bascule_requests_denied_total", counter, "Requests and connections of ports that were refused by policy: denied in the access log.") \
    X(exchanges_open, "bascule_exchanges_open", gauge, "Exchanges in progress.") \
    X(responses_1xx, "bascule_responses_1xx_total", counter, "Interim responses relayed.") \
    X(responses_2xx, "bascule_responses_2xx_total", counter, "Responses with status 200 to 299.") \
    X(responses_3xx, "bascule_responses_3xx_total", counter, "Responses with status 300 to 399.") \
    X(responses_4xx, "bascule_responses_4xx_total", counter, "Responses with status 400 to 499.") \
    X(responses_5xx, "bascule_responses_5xx_total", counter, "Responses with status 500 to 599.") \
    X(client_bytes_in, "bascule_client_bytes_received_total", counter, "Bytes received from clients.") \
    X(client_bytes_out, "bascule_client_bytes_sent_total", counter, "Bytes sent to clients.") \
    X(client_aborts, "bascule_client_aborts_total", counter, "Exchanges ended because the client was gone.") \
    X(client_timeouts, "bascule_client_timeouts_total", counter, "Waits for a client that took too long.") \
    X(h2_connections, "bascule_h2_connections_total", counter, "Client connections that spoke HTTP/2.") \
    X(h2_errors, "bascule_h2_errors_total", counter, "HTTP/2 connections of clients closed because they broke the protocol.") \
    X(h2_floods, "bascule_h2_floods_total", counter, "HTTP/2 connections of clients closed because of too many resets or control frames.") \
    X(h2_resets, "bascule_h2_resets_total", counter, "HTTP/2 streams reset by clients, or because of them.") \
    X(upstream_connects, "bascule_upstream_connects_total", counter, "Connections made to endpoints and destinations.") \
    X(upstream_reuses, "bascule_upstream_reuses_total", counter, "Requests sent on an idle upstream connection.") \
    X(upstream_open, "bascule_upstream_connections_open", gauge, "Upstream connections open now.") \
    X(upstream_idle, "bascule_upstream_connections_idle", gauge, "Upstream connections kept for reuse.") \
    X(upstream_connect_failures, "bascule_upstream_connect_failures_total", counter, "Connections to upstream that failed.") \
    X(upstream_tls_handshakes, "bascule_upstream_tls_handshakes_total", counter, "TLS handshakes with endpoints and destinations that were finished.") \
    X(upstream_tls_resumed, "bascule_upstream_tls_handshakes_resumed_total", counter, "Those that resumed an earlier session.") \
    X(upstream_failures, "bascule_upstream_failures_total", counter, "Exchanges that failed upstream after the request was sent.") \
    X(upstream_timeouts, "bascule_upstream_timeouts_total", counter, "Waits for upstream that took too long.") \
    X(upstream_retries, "bascule_upstream_retries_total", counter, "Requests sent again to another connection or endpoint.") \
    X(tunnels_opened, "bascule_tunnels_opened_total", counter, "Tunnels opened: CONNECT, Upgrade, TCP forwards.") \
    X(tunnels_open, "bascule_tunnels_open", gauge, "Tunnels open now.") \
    X(tunnel_bytes_up, "bascule_tunnel_bytes_to_upstream_total", counter, "Bytes carried from clients by tunnels that ended.") \
    X(tunnel_bytes_down, "bascule_tunnel_bytes_to_client_total", counter, "Bytes carried to clients by tunnels that ended.") \
    X(tls_handshakes, "bascule_tls_handshakes_total", counter, "TLS handshakes with clients that were finished.") \
    X(tls_handshakes_resumed, "bascule_tls_handshakes_resumed_total", counter, "Those that resumed an earlier session.") \
    X(tls_handshake_failures, "bascule_tls_handshake_failures_total", counter, "TLS handshakes with clients that failed.") \
    X(tls_handshakes_open, "bascule_tls_handshakes_open", gauge, "TLS handshakes with clients under way.") \
    X(tls_handshakes_waiting, "bascule_tls_handshakes_waiting", gauge, "Clients that wait for others to finish their TLS handshakes.") \
    X(cache_hits, "bascule_cache_hits_total", counter, "Requests answered from a store without asking upstream.") \
    X(cache_stale, "bascule_cache_stale_total", counter, "Those that were given a stale answer.") \
    X(cache_misses, "bascule_cache_misses_total", counter, "Requests to cached sites that went upstream, or waited for a fetch.") \
    X(cache_fetches, "bascule_cache_fetches_total", counter, "Fetches begun to fill or validate stored objects.") \
    X(cache_validated, "bascule_cache_validated_total", counter, "Stored objects that the origin said are still good.") \
    X(cache_collapsed, "bascule_cache_collapsed_total", counter, "Requests that joined a fetch begun for another.") \
    X(limits_hit, "bascule_limits_hit_total", counter, "Exchanges or connections refused because a configured limit was reached.")

struct counters {
#define X(member, name, kind, help) _Atomic uint64_t member;
    COUNTERS(X)
#undef X
};

/* Only the owning thread writes: a plain load and store, no locked instruction. */
#define counter_add(counters_, member, n) \
    atomic_store_explicit(&(counters_)->member, \
                          atomic_load_explicit(&(counters_)->member, memory_order_relaxed) + (uint64_t)(n), \
                          memory_order_relaxed)
#define counter_up(counters_, member) counter_add(counters_, member, 1)
#define counter_down(counters_, member) counter_add(counters_, member, -1)

#endif
