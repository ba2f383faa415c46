/* SPDX-License-Identifier: BSD-2-Clause */
/* pac_script.h - the script of a PAC file: FindProxyForURL(url, host) says where to go.
 *
 * Plain JavaScript (ECMA-262, third edition): engines for these files are old. It calls
 * none of the functions that the format knows, so no engine's mistakes matter, and no
 * name is looked up in the DNS.
 */
#ifndef BASCULE_PAC_SCRIPT_H
#define BASCULE_PAC_SCRIPT_H

#include "modes/pac.h"
#include "modes/pac_expression.h"

/* The longest one; rules that do not fit, and those behind them, are left out: what they
 * would let go directly goes through the proxy. */
#define PAC_SCRIPT_BYTES_MAX (128u * 1024)

struct pac_reader {
    const struct conf *conf;
    const struct listener_conf *listener; /* its policy counts */
    const struct pac_conf *pac;
    const struct ip *client;              /* NULL: any, for reviews */
    struct slice proxy; /* "PROXY proxy.example.com:3128; DIRECT" */
};

/* The script for who asks, in arena; *left_out is the first rule that does not fit, or NULL.
 * Empty when memory is short. */
struct slice pac_script(struct arena *arena, const struct pac_reader *reader,
                        const struct rule_conf **left_out);

/* Whether the rule can make anything go directly; if not, *obscure is the condition that
 * no browser can evaluate, or NULL. */
bool pac_rule_is_told(const struct pac_reader *reader, const struct rule_conf *rule,
                      const char **obscure);

#endif
