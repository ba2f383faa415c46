/* SPDX-License-Identifier: BSD-2-Clause */
/* pac_expression.h - conditions of rules as a browser can evaluate them, in JavaScript.
 *
 * A browser knows the URL's scheme, host and port, and nothing else; who it is and which
 * listener it asks is known here. A condition on anything else may be true or false:
 * what is surely true, and what is perhaps true, are two expressions. Names are never
 * resolved, because that would tell the DNS where the browser goes.
 *
 * Expressions use url, host and functions of the script (pac_script.c).
 */
#ifndef BASCULE_PAC_EXPRESSION_H
#define BASCULE_PAC_EXPRESSION_H

#include "server/policy/rule.h"

struct conf;
struct listener_conf;

/* Names, networks or ports that one condition may have in a script; with more it is not
 * evaluated by browsers. */
#define PAC_VALUES_MAX 500

enum pac_certainty { PAC_SURELY, PAC_PERHAPS };

enum pac_truth { PAC_NEVER, PAC_ALWAYS, PAC_TESTED };

struct pac_expression {
    enum pac_truth truth;
    struct slice text; /* of PAC_TESTED; may stand beside && and within || */
};

/* Who asks, and what it is made with. */
struct pac_asker {
    struct arena *arena; /* lends the texts; when it is spent they are wrong */
    const struct conf *conf;
    const struct listener_conf *listener;
    const struct ip *client; /* NULL: any, for reviews: conditions on it are true */
    const char *field;       /* private: the condition under way */
    const char *obscure;     /* the first one met that no browser can evaluate; NULL: none */
};

/* All of the group's conditions together. */
struct pac_expression pac_condition(struct pac_asker *asker, const struct condition_conf *conf,
                                    enum pac_certainty certainty);

/* "www.example.com", "*.example.com", or with is_below each name and all below it. */
struct pac_expression pac_hosts(struct pac_asker *asker, const struct strings *hosts,
                                bool is_below);

/* Hosts that are addresses in these networks. */
struct pac_expression pac_networks(struct pac_asker *asker, const struct prefix_set *networks);

struct pac_expression pac_or(struct pac_asker *asker, struct pac_expression a,
                             struct pac_expression b);

/* The text as a string of JavaScript, in quotes: safe wherever a string may stand. */
struct slice pac_string(struct arena *arena, struct slice text);

#endif
