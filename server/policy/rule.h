/* SPDX-License-Identifier: BSD-2-Clause */
/* rule.h - rules as they are configured.
 *
 *     rules = (
 *         { name = "no-gambling";
 *           when = { host_in = "gambling"; not = ( { user_group = "audit"; } ); };
 *           action = "deny"; why = "Gambling is not for the office."; },
 *     );
 *
 * All conditions given in one group must be true; of several values of one
 * condition any will do.
 */
#ifndef BASCULE_RULE_H
#define BASCULE_RULE_H

#include "server/config/option.h"
#include "server/policy/prefix_set.h"

struct condition_set_conf;
struct limit_conf;
struct list_conf;
struct pattern;
struct policy;
struct users_conf;

/* NAME [= VALUE]: a header field, a cookie, a parameter of the query. */
struct named_match {
    struct place place;
    const char *name;
    const char *value;       /* exact; NULL: any */
    struct pattern *pattern; /* instead of value */
};

/* What a group of conditions says. Absent ones are empty, NULL, or 0. */
struct condition_conf {
    struct place place;
    struct strings sets;              /* names of reusable groups: "office-hours" */
    struct config_list all, any, none; /* of struct condition_conf; written all, any, not */

    /* connection */
    struct strings listeners, modes;
    struct prefix_set *clients;
    struct strings client_in;         /* lists of networks */
    struct strings countries;         /* of the client: "DE", by libmaxminddb */
    struct strings networks_as;       /* numbers of autonomous systems: "AS64500", "64500" */
    struct strings certificate_names; /* of the client: CN, or an alternative name; "*": any */
    struct strings certificate_issuers; /* RFC 4514, whole */
    struct strings times;             /* "Mon-Fri 08:00-18:00", "Sat,Sun", "22:00-06:00" */
    const char *time_zone;            /* "Europe/Berlin"; NULL: the system's */

    /* request */
    struct strings methods, schemes;
    struct strings hosts;             /* "www.example.com", "*.example.com" */
    struct strings host_in;           /* lists of domains */
    struct strings url_in;            /* lists of URLs */
    struct port_set ports;
    struct strings paths;             /* exact, or with "*" at its end what begins so */
    struct pattern *path_regex;       /* of the normal form */
    struct pattern *url_regex;        /* scheme://host[:port]/path[?query], normal form */
    struct config_list headers, cookies, queries; /* of struct named_match */

    /* user */
    struct strings users;             /* names; "*": anyone who has proved who it is */
    struct strings user_groups;

    /* destination */
    struct prefix_set *destinations;
    struct strings destination_in;    /* lists of networks */
    struct strings destination_countries, destination_as;

    /* SNI */
    struct strings server_names;      /* "www.example.com", "*.example.com", "" for none */
    struct strings server_name_in;    /* lists of domains */
    int server_name_differs;          /* enum maybe: from the host that CONNECT asked for */

    /* response */
    struct strings statuses;          /* "404", "500-599" */
    struct strings content_types;     /* "text/html", "image/" with a star */
    uint64_t longer_than;             /* Content-Length; unknown lengths are not */

    /* state */
    struct strings over;              /* names of limits: this request is one too many */
};

enum maybe { MAYBE_UNSAID, MAYBE_YES, MAYBE_NO };

enum rule_action {
    RULE_CONTINUE,     /* its effects, and on to the next rule */
    RULE_ALLOW,        /* decisive, as are all of the following */
    RULE_DENY,         /* by status, with a page that says why */
    RULE_DROP,         /* the connection is closed without a word */
    RULE_REDIRECT,     /* to redirect, by status */
    RULE_AUTHENTICATE, /* decisive for who has no user; others continue */
};

enum rule_cache { RULE_CACHE_AS_IS, RULE_CACHE_BYPASS, RULE_CACHE_FORCE };

/* Of content, for malware. */
enum rule_scan { RULE_SCAN_AS_IS, RULE_SCAN_ALWAYS, RULE_SCAN_NEVER };

struct rule_conf {
    struct place place;
    const char *name;           /* NULL: file:line is its id */
    struct condition_conf when; /* nothing in it: always true */
    int action;                 /* enum rule_action */
    int64_t status;             /* of deny, redirect; 0: 403, 302 */
    const char *why;            /* plain words for the page */
    const char *redirect;       /* a template: "https://intranet/blocked?u=%{host}" */
    bool log_only;              /* says in the log what it would have done */

    /* effects */
    struct strings tags;        /* %{tags} of the log */
    struct strings set_request, set_response; /* "Name: value", a template; "Name:" takes it away */
    const char *group_name;     /* its endpoints serve the request */
    const char *parent_url;     /* this parent proxy, or "direct" */
    struct address source;      /* connect from here; family 0: any */
    struct strings limit_names; /* one request more on each; over one of them: 429 */
    uint64_t bandwidth;         /* bytes a second, for the content of this response; 0: any */
    int cache;                  /* enum rule_cache */
    uint32_t cache_ms;          /* with force: how long it is fresh */
    int scan;                   /* enum rule_scan */
    bool direct;                /* browsers go there themselves: for the PAC file */

    /* linked by policy_finish() */
    unsigned number;            /* in its policy, from 0 */
    const struct limit_conf **limits; /* of limit_names; NULL-terminated */
    void *effects;              /* what modes/ compiled of the effects */
};

/* A reusable group of conditions: sets = ( { name = "office-hours"; when = { ... }; } ). */
struct condition_set_conf {
    struct place place;
    const char *name;
    struct condition_conf when;
    size_t number; /* in conf->sets, from 0 */
};

enum policy_default { POLICY_ALLOWS, POLICY_DENIES };

struct policy_conf {
    struct place place;
    const char *name;
    const char *users_name;      /* who asks for users' names; NULL: nobody */
    struct users_conf *users;
    struct config_list rules;    /* of struct rule_conf */
    int otherwise;               /* enum policy_default, when no rule decides; written "default" */
    uint32_t sni_wait_ms;        /* for the first bytes of a tunnel */
    struct policy *policy;       /* compiled, in the snapshot */
};

extern const struct option policy_options[];        /* of struct policy_conf */
extern const struct option condition_set_options[]; /* of struct condition_set_conf */

#endif
