/* SPDX-License-Identifier: BSD-2-Clause */
/* pac.h - the file that tells browsers when to use this proxy (proxy auto-configuration).
 *
 *     pac = { proxy = "proxy.example.com:3128"; direct = [ "plain", "*.internal.example" ]; };
 *
 * A forward listener serves it at /proxy.pac, and at /wpad.dat for browsers that look
 * for it by themselves. It is made of these options and of the rules of the listener's
 * policy that say direct, for the client that asks.
 */
#ifndef BASCULE_PAC_H
#define BASCULE_PAC_H

#include "server/config/option.h"

struct conf;
struct exchange;
struct listener_conf;
struct prefix_set;

enum pac_fallback { PAC_FALLBACK_NONE, PAC_FALLBACK_DIRECT };
enum pac_scheme { PAC_SCHEME_AUTO, PAC_SCHEME_PROXY, PAC_SCHEME_HTTPS };

struct pac_conf {
    struct place place;     /* line 0: there is no such file */
    struct strings proxies; /* "proxy.example.com:3128"; none: where the file was fetched */
    struct strings direct;  /* hosts, networks, "plain" */
    int fallback;           /* enum pac_fallback: when no proxy answers */
    int scheme;             /* enum pac_scheme: how browsers speak to the proxies */

    /* made of direct */
    struct strings hosts;
    struct prefix_set *networks;
    bool has_plain;         /* names without a dot */
};

extern const struct option pac_options[];

/* Checks what is given. 0, or -1 with err, which begins with "pac: ". */
int pac_conf_finish(struct pac_conf *pac, struct arena *arena, struct err *err);

/* Answers a request for the file; false: it is for something else. */
bool pac_answers(struct exchange *ex, const struct pac_conf *pac);

/* What `check` should tell: rules that say direct where no browser can tell when, and those
 * for which the file has no room: "FILE:LINE: warning: ...". */
void pac_review(const struct pac_conf *pac, const struct listener_conf *listener,
                const struct conf *conf, void (*say)(void *arg, const char *sentence), void *arg);

#endif
