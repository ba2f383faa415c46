/* SPDX-License-Identifier: BSD-2-Clause */
/* schema.h - what a configuration says, as structs.
 *
 * Filled from the option tables in schema.c, checked and linked (names turned
 * into pointers) by schema_finish(), then read-only: the snapshot holds it.
 * These are descriptions only; what has a life of its own (endpoint state,
 * pools, sockets) is in the registry and is found through the pointers that
 * snapshot_adopt() sets.
 */
#ifndef BASCULE_SCHEMA_H
#define BASCULE_SCHEMA_H

#include "cache/cache_conf.h"
#include "server/base/log.h"
#include "server/config/option.h"
#include "server/http/error_page.h"
#include "server/http/h1_parse.h"
#include "server/log/log_privacy.h"
#include "server/net/address.h"
#include "server/net/resolve.h"
#include "server/policy/geo.h"
#include "server/policy/prefix_set.h"

struct access_log;
struct balancer_ops;
struct certificate_set;
struct client_trust;
struct endpoint;
struct filter_chain;
struct filter_ops;
struct group;
struct host_map;
struct listener;
struct log_format;
struct mode_ops;
struct name_set;
struct pattern;
struct policy_conf;
struct site_conf;
struct tls_context;
struct tls_server;

/* ---- limits and deadlines */

/* At least bytes over any window of ms; 0 bytes: no minimum. */
struct min_rate {
    uint64_t bytes;
    uint32_t ms;
};

struct client_timeouts {
    uint32_t head_ms;       /* the whole request head */
    uint32_t idle_ms;       /* keep-alive between requests */
    struct min_rate body;   /* request content */
    struct min_rate write;  /* what we send to the client */
    uint32_t exchange_ms;   /* one exchange, all told; 0: no limit */
    uint32_t tunnel_idle_ms;
    uint32_t tunnel_half_close_ms; /* the same once one side has ended; 0: as tunnel_idle_ms */
    uint32_t tunnel_life_ms;
};

struct upstream_timeouts {
    uint32_t connect_ms;
    uint32_t head_ms;  /* from the request sent to the response head */
    uint32_t body_ms;  /* between two pieces of response content */
    uint32_t write_ms; /* while it takes none of the request */
    uint32_t idle_ms;  /* kept for reuse */
};

struct http_limits {
    struct h1_limits h1;    /* of requests; made of the next three */
    uint64_t line_bytes, head_bytes;
    int64_t field_count;
    uint64_t body_bytes;    /* longest request content; 0: no limit */
    uint64_t drain_bytes;   /* unread request content read away to keep a connection */
    int64_t requests;       /* per connection; 0: no limit */
    uint64_t arena_bytes;   /* memory for one exchange */
};

/* What a client may do with HTTP/2 (RFC 9113), per connection. Each limit hit is
 * counted and ends the stream, or the connection, with the error that fits. */
struct h2_limits {
    int64_t streams;         /* open at a time */
    uint64_t window_bytes;   /* a client may send on one stream before its content is taken */
    uint64_t buffer_bytes;   /* request content of all streams not taken yet, held for them */
    int64_t resets;          /* streams reset by the client, or refused, in rate_ms */
    int64_t control_frames;  /* PING, SETTINGS, PRIORITY, empty frames ... in rate_ms */
    uint32_t rate_ms;
    uint64_t output_bytes;   /* answers to control frames that the client does not take */
};

/* ---- TLS */

/* A chain of certificates and the key of its first. */
struct certificate_conf {
    struct place place;
    const char *chain;       /* PEM file: the certificate, then those that vouch for it */
    const char *key;         /* PEM file; NULL: it is in chain */
    const char *key_command; /* prints the passphrase of the key; NULL: it has none */
};

enum client_certificate_mode {
    CLIENT_CERTIFICATE_OFF,
    CLIENT_CERTIFICATE_OPTIONAL,
    CLIENT_CERTIFICATE_REQUIRED,
};

struct client_certificate_conf {
    struct place place;  /* line 0: not asked for */
    int mode;            /* enum client_certificate_mode */
    const char *ca;      /* PEM file: who may vouch for clients */
    const char *crl;     /* PEM file of revoked ones; NULL: none */
    int64_t depth;       /* longest chain */
    struct client_trust *trust; /* in the registry; what is in the files */
};

enum tls_preset { TLS_MODERN, TLS_INTERMEDIATE };
enum tls_unknown_name { TLS_UNKNOWN_DEFAULT, TLS_UNKNOWN_REFUSE };

/* How a listener speaks TLS. */
struct tls_conf {
    struct place place;              /* line 0: it does not */
    int preset;                      /* enum tls_preset */
    struct config_list certificates; /* of struct certificate_conf: where no site has its own */
    struct client_certificate_conf client; /* the same */
    int unknown_name;                /* enum tls_unknown_name */
    bool http2;                      /* offered by ALPN */
    uint32_t handshake_ms;
    int64_t max_handshakes;          /* at a time, on each worker thread */
    bool tickets;
    const char *ticket_keys;         /* file shared with other nodes; NULL: keys of our own */
    uint32_t session_ms;             /* how long a session may be resumed */
    int64_t session_cache;           /* sessions kept for clients without tickets, per thread */
    bool staple;                     /* OCSP */
    bool early_data;                 /* 0-RTT, of safe requests */
    bool ktls;
    bool passes_through;             /* some names' connections, by the word of their sites */
    struct certificate_set *set;     /* of certificates; in the registry; NULL: none */
    struct tls_server *server;       /* in the snapshot */
};

/* How a group's endpoints are spoken to by TLS. */
struct upstream_tls_conf {
    struct place place;      /* line 0: plainly */
    bool verify;
    const char *ca;          /* PEM file; NULL: the system's */
    const char *name;        /* for SNI, and the certificate's; NULL: the endpoint's host */
    struct certificate_conf client; /* shown when asked; chain NULL: none */
    struct tls_context *context;    /* in the snapshot */
};

/* ---- upstream */

struct endpoint_conf {
    struct place place;
    const char *to;          /* as written: "127.0.0.1:9000", "app.internal:80", "unix:/run/app" */
    struct slice host;       /* name or literal to resolve; empty for unix */
    uint16_t port;
    bool is_literal;         /* address is final: nothing to resolve */
    struct address address;
    int64_t weight;
    int64_t max_connections; /* 0: no limit */
    struct endpoint *endpoint; /* in the registry */
};

enum upstream_protocol { UPSTREAM_AUTO, UPSTREAM_H1, UPSTREAM_H2, UPSTREAM_H2C };

enum proxy_protocol_version { PROXY_PROTOCOL_OFF, PROXY_PROTOCOL_V1, PROXY_PROTOCOL_V2 };

struct group_conf {
    struct place place;
    const char *name;
    struct config_list endpoints; /* of struct endpoint_conf */
    int balance;             /* index into balancers[] */
    int64_t max_fails;
    uint32_t fail_ms;        /* counted and then skipped for this long */
    int64_t max_idle;        /* idle connections kept per endpoint and worker */
    int64_t tries;           /* endpoints tried for one exchange */
    int send_proxy;          /* enum proxy_protocol_version */
    int protocol;            /* enum upstream_protocol */
    int64_t max_streams;     /* HTTP/2: exchanges on one connection */
    bool maintenance;        /* nobody is asked: what is stored is served, however old */
    bool is_used;            /* somebody has asked conf_group() for it */
    struct upstream_tls_conf tls;
    struct upstream_timeouts timeouts;
    uint16_t *schedule;      /* positions in endpoints, by turns; NULL: just one */
    uint32_t schedule_count;
    struct group *group;     /* in the registry */
};

/* ---- filters */

/* One configured filter; the member's own struct begins with this. */
struct filter_conf {
    struct place place;
    const struct filter_ops *ops;
};

/* ---- sites and routes */

struct redirect_conf {
    const char *to;   /* "https://new.example.com", "/new" */
    int64_t status;
    bool is_exact;    /* the rest of the path and the query do not follow */
};

struct header_match {
    struct place place;
    const char *name;
    const char *value;          /* exact; NULL: any */
    struct pattern *pattern;    /* instead of value */
};

struct route_conf {
    struct place place;
    const char *name;
    const char *path;           /* exact */
    const char *path_prefix;
    struct pattern *path_regex;
    struct strings methods;
    struct config_list headers; /* of struct header_match */
    const char *group_name;
    struct group_conf *group;
    struct redirect_conf redirect;
    bool welcome;               /* answers with the built-in page */
    const char *strip_prefix;   /* taken off the path that goes upstream */
    const char *add_prefix;
    const char *host;           /* sent upstream: "client", "endpoint" or a name; never NULL */
    struct config_list filters; /* of struct filter_conf */
    const struct filter_chain *chain; /* with those of the site; NULL: none */
    struct cache_conf cache;
};

struct site_conf {
    struct place place;
    const char *name;
    struct strings hosts;       /* "www.example.com", "*.example.com" */
    bool is_default;
    struct route_conf all;      /* the route when no other matches: group, redirect, welcome ... */
    struct config_list routes;  /* of struct route_conf, in order */
    bool hide_server;
    bool https;                 /* requests that came plainly are sent to https:// */
    uint16_t https_port;        /* with https: where */
    uint32_t hsts_s;            /* max-age of Strict-Transport-Security; 0: none */
    bool says_hsts;             /* the configuration does, if only that there is none */
    struct config_list certificates;       /* of struct certificate_conf; none: the listener's */
    struct client_certificate_conf client; /* place line 0: the listener's */
    struct error_page_conf error_page; /* what it does not say is as in the listener */
    const char *policy_name;    /* judged by after the listener's; NULL: by none */
    struct policy_conf *policy;
    const char *pass_through_name;
    struct group_conf *pass_through;       /* TLS for its names goes there as it is */
    struct certificate_set *set;           /* of certificates; in the registry; NULL: none */
};

/* ---- logs */

struct error_log_conf {
    int level; /* enum log_level */
    const char *to;
    uint64_t ring_bytes;
};

struct access_log_conf {
    struct place place;
    const char *name;
    const char *to;     /* "file:/path" or "/path", "stdout", "stderr", "syslog:" */
    const char *format; /* a name or a format string */
    struct log_privacy privacy;
    struct log_format *compiled;
    struct access_log *log; /* in the registry */
    bool is_used;           /* by a listener, or by a filter that writes to it */
};

/* ---- listeners */

struct listener_conf {
    struct place place;
    const char *name;
    const struct mode_ops *mode;
    struct addresses listen;
    bool proxy_protocol;                   /* a PROXY header is required */
    struct prefix_set *proxy_protocol_from; /* ... and believed from these only */
    struct prefix_set *allow_client;       /* others are refused; NULL: everyone */
    struct prefix_set *trusted_proxies;    /* X-Forwarded-* believed from these */
    struct error_page_conf error_page;
    const char *policy_name;               /* NULL: none */
    struct policy_conf *policy;
    struct client_timeouts timeouts;
    struct http_limits limits;
    struct h2_limits h2;
    struct tls_conf tls;
    const char *upstream_ca;               /* file: who vouches for servers of no group */
    struct host_map *sites;                /* it serves, by host name; NULL: its mode has none */
    int64_t max_connections;
    const char *access_log_name;           /* "off", or of an access_log; NULL: the first one */
    struct access_log_conf *access_log;
    struct config_list filters;            /* of struct filter_conf */
    const struct filter_chain *chain;      /* of these; NULL: none */
    struct cache_conf cache;               /* of what belongs to no site; forward mode */
    int64_t backlog;
    struct listener *listener;             /* in the registry */
};

/* ---- the whole */

#define MAX_CONNECTIONS_DEFAULT 100000 /* mostly nobody's wish */

struct conf {
    int64_t workers;              /* 0: one per core */
    const char *user, *user_group;
    const char *control;          /* absolute path of the control socket; NULL: none */
    int64_t max_connections;
    uint32_t stop_ms;             /* how long running exchanges may take at stop */
    struct error_log_conf log;
    struct config_list access_logs; /* of struct access_log_conf */
    struct config_list stores;    /* of struct store_conf */
    struct geo_conf geo;
    struct config_list lists;     /* of struct list_conf */
    struct config_list sets;      /* of struct condition_set_conf */
    struct config_list limits;    /* of struct limit_conf */
    struct config_list bans;      /* of struct ban_conf */
    struct config_list users;     /* of struct users_conf, with its kind's struct around it */
    struct config_list policies;  /* of struct policy_conf */
    struct config_list expects;   /* of struct expect_conf */
    uint64_t held_bytes;          /* of content that filters hold, in all */
    uint64_t trail_bytes;         /* decisions of past exchanges, kept on each worker thread */
    struct resolver_conf resolver;
    struct config_list listeners; /* of struct listener_conf, with its mode's struct around it */
    struct config_list groups;    /* of struct group_conf */
    struct config_list sites;     /* of struct site_conf */
    bool forward_to_sites;        /* forward requests for a site's name go to its group */
    struct host_map *hosts;       /* site by host name (server/host_map.h) */
    struct name_set *group_names; /* for conf_group() */
};

extern const struct option conf_options[];

/* The table of struct upstream_timeouts, for modes that have some of their own. */
extern const struct option upstream_timeout_options[];

/* Checks what needs the whole and turns names into pointers. 0, or -1 with err
 * naming file and line. What the finish hooks of modes and filters complain
 * about gets the place and name of their listener or filter put in front. */
int schema_finish(struct conf *conf, struct arena *arena, struct err *err);

/* The path of the control socket where the configuration says nothing: a place
 * that its user may write to. */
const char *schema_default_control(struct arena *arena);

/* The group of that name, for finish hooks. NULL with err, which names the
 * nearest one. */
struct group_conf *conf_group(const struct conf *conf, const char *name, struct err *err);

#endif
