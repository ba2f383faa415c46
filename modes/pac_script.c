/* SPDX-License-Identifier: BSD-2-Clause */
/* pac_script.c - rules in their order, as statements that return.
 *
 *     a rule that says direct         if (surely) return "DIRECT";
 *     one that decides otherwise      if (perhaps) return PROXY;
 *     all that is left                return PROXY;
 *
 * In doubt the way is through the proxy, which judges by all it knows. A decisive rule of
 * which a browser can evaluate nothing would be perhaps true of everything: it is left
 * out, as who may not use the proxy at all finds out there.
 */
#include "config.h"

#include "modes/pac_script.h"

#include "server/schema.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

/* Memory for the expression of one rule. */
#define RULE_BYTES (1024u * 1024)

/* ---- functions of the script */

/* What expressions and other functions call. A script has those that it calls, each one in
 * front of those that it calls itself.
 *
 * address4() gives a number, -1 for what is no IPv4 address; address6() 32 hexadecimal
 * digits, or nothing. Numbers and texts compare alike. */
static const struct {
    const char *call;
    const char *text;
} functions[] = {
    { "is(",
      "function is(text, names) {\n"
      "  for (var i = 0; i < names.length; i++)\n"
      "    if (text == names[i])\n"
      "      return true;\n"
      "  return false;\n"
      "}\n" },
    { "within(",
      "function within(host, names) {\n"
      "  for (var i = 0; i < names.length; i++)\n"
      "    if (host == names[i] || under(host, [\".\" + names[i]]))\n"
      "      return true;\n"
      "  return false;\n"
      "}\n" },
    { "under(",
      "function under(host, ends) {\n"
      "  for (var i = 0; i < ends.length; i++) {\n"
      "    var rest = host.length - ends[i].length;\n"
      "    if (rest > 0 && host.substring(rest) == ends[i])\n"
      "      return true;\n"
      "  }\n"
      "  return false;\n"
      "}\n" },
    { "among(",
      "function among(value, ranges) {\n"
      "  for (var i = 0; i < ranges.length; i += 2)\n"
      "    if (value >= ranges[i] && value <= ranges[i + 1])\n"
      "      return true;\n"
      "  return false;\n"
      "}\n" },
    { "port(",
      "function port(url) {\n"
      "  var authority = /^[^:\\/?#]*:\\/\\/([^\\/?#]*)/.exec(url);\n"
      "  var said = authority ? /:(\\d+)$/.exec(authority[1]) : null;\n"
      "  var name = scheme(url);\n"
      "  return said ? +said[1] : name == \"https\" ? 443 : name == \"ftp\" ? 21 : 80;\n"
      "}\n" },
    { "scheme(",
      "function scheme(url) {\n"
      "  var name = /^([a-z][a-z0-9+.\\-]*):\\/\\//.exec(url.toLowerCase());\n"
      "  if (!name)\n"
      "    return \"\";\n"
      "  return name[1] == \"ws\" ? \"http\" : name[1] == \"wss\" ? \"https\" : name[1];\n"
      "}\n" },
    { "address4(",
      "function address4(host) {\n"
      "  var digits = address6(host);\n"
      "  if (digits.substring(0, 24) == \"00000000000000000000ffff\")\n"
      "    return parseInt(digits.substring(24), 16);\n"
      "  return number4(host);\n"
      "}\n" },
    { "address6(",
      "function address6(host) {\n"
      "  var tail = /^(.*:)(\\d+\\.\\d+\\.\\d+\\.\\d+)$/.exec(host);\n"
      "  var digits = \"\", low, halves, parts, rest;\n"
      "  if (host.indexOf(\":\") < 0)\n"
      "    return \"\";\n"
      "  if (tail) {\n"
      "    low = number4(tail[2]);\n"
      "    if (low < 0)\n"
      "      return \"\";\n"
      "    host = tail[1] + Math.floor(low / 65536).toString(16) + \":\" +\n"
      "      (low % 65536).toString(16);\n"
      "  }\n"
      "  halves = host.split(\"::\");\n"
      "  parts = groups(halves[0]);\n"
      "  if (halves.length == 2) {\n"
      "    rest = groups(halves[1]);\n"
      "    while (parts.length + rest.length < 8)\n"
      "      parts[parts.length] = \"0\";\n"
      "    parts = parts.concat(rest);\n"
      "  }\n"
      "  if (halves.length > 2 || parts.length != 8)\n"
      "    return \"\";\n"
      "  for (var i = 0; i < 8; i++) {\n"
      "    if (!/^[0-9a-f]{1,4}$/.test(parts[i]))\n"
      "      return \"\";\n"
      "    digits += \"0000\".substring(parts[i].length) + parts[i];\n"
      "  }\n"
      "  return digits;\n"
      "}\n" },
    { "groups(",
      "function groups(text) {\n"
      "  return text == \"\" ? [] : text.split(\":\");\n"
      "}\n" },
    { "number4(",
      "function number4(host) {\n"
      "  var part = /^(\\d{1,3})\\.(\\d{1,3})\\.(\\d{1,3})\\.(\\d{1,3})$/.exec(host);\n"
      "  var value = 0;\n"
      "  if (!part)\n"
      "    return -1;\n"
      "  for (var i = 1; i <= 4; i++) {\n"
      "    if (+part[i] > 255)\n"
      "      return -1;\n"
      "    value = value * 256 + +part[i];\n"
      "  }\n"
      "  return value;\n"
      "}\n" },
};

/* ---- text of bounded length */

struct script {
    char *data;
    size_t bytes, room;
    bool is_full;
};

static void PRINTF_LIKE(2, 3)
put(struct script *script, const char *format, ...)
{
    size_t room = script->room - script->bytes;
    va_list args;
    int bytes;

    va_start(args, format);
    bytes = vsnprintf(script->data + script->bytes, room, format, args);
    va_end(args);
    if (bytes < 0 || (size_t)bytes >= room)
        script->is_full = true;
    else
        script->bytes += (size_t)bytes;
}

/* ---- rules */

static struct pac_asker
asker_of(const struct pac_reader *reader, struct arena *arena)
{
    return (struct pac_asker){
        .arena = arena,
        .conf = reader->conf,
        .listener = reader->listener,
        .client = reader->client,
    };
}

static bool
is_direct(const struct rule_conf *rule)
{
    return rule->direct && !rule->log_only &&
           (rule->action == RULE_CONTINUE || rule->action == RULE_ALLOW);
}

/* Whether it ends the evaluation otherwise. To authenticate is no answer: who has done so
 * goes on. */
static bool
is_decisive(const struct rule_conf *rule)
{
    if (rule->log_only)
        return false;
    switch ((enum rule_action)rule->action) {
    case RULE_ALLOW:
    case RULE_DENY:
    case RULE_DROP:
    case RULE_REDIRECT:
        return true;
    case RULE_CONTINUE:
    case RULE_AUTHENTICATE:
        break;
    }
    return false;
}

/* When the rule decides, as far as a browser can tell. */
static struct pac_expression
expression_of(struct pac_asker *asker, const struct rule_conf *rule)
{
    struct pac_expression surely = pac_condition(asker, &rule->when, PAC_SURELY), perhaps;

    if (is_direct(rule) || surely.truth == PAC_ALWAYS)
        return surely;
    perhaps = pac_condition(asker, &rule->when, PAC_PERHAPS);
    return perhaps.truth == PAC_ALWAYS ? surely : perhaps;
}

/* Returns whether rules behind this one still matter. */
static bool
put_rule(struct script *script, const struct pac_reader *reader, const struct rule_conf *rule)
{
    const char *answer = is_direct(rule) ? "\"DIRECT\"" : "PROXY";
    struct pac_expression expression;
    struct pac_asker asker;
    struct arena scratch;
    bool goes_on;

    arena_init(&scratch, NULL, RULE_BYTES);
    asker = asker_of(reader, &scratch);
    expression = expression_of(&asker, rule);
    if (expression.truth == PAC_ALWAYS)
        put(script, "  return %s;\n", answer);
    else if (expression.truth == PAC_TESTED)
        put(script, "  if (%.*s)\n    return %s;\n", SLICE_ARG(expression.text), answer);
    goes_on = expression.truth != PAC_ALWAYS && !arena_is_spent(&scratch);
    script->is_full = script->is_full || arena_is_spent(&scratch);
    arena_fini(&scratch);
    return goes_on && !script->is_full;
}

/* Behind the last rule that says direct everything goes through the proxy anyway. What does
 * not fit is taken back, with all that would follow: returns the first such rule, or NULL. */
static const struct rule_conf *
put_rules(struct script *script, const struct pac_reader *reader)
{
    const struct policy_conf *policy = reader->listener->policy;
    size_t count = policy != NULL ? policy->rules.count : 0, whole = script->bytes;
    const struct rule_conf *left_out = NULL;
    bool goes_on = true;

    while (count > 0 && !is_direct(policy->rules.items[count - 1]))
        count--;
    for (size_t i = 0; goes_on && i < count; i++) {
        const struct rule_conf *rule = policy->rules.items[i];

        whole = script->bytes;
        if (is_direct(rule) || is_decisive(rule))
            goes_on = put_rule(script, reader, rule);
        if (script->is_full)
            left_out = rule;
    }
    if (script->is_full)
        script->bytes = whole;
    script->is_full = false;
    return left_out;
}

/* ---- what is configured for the file itself */

static void
put_configured(struct script *script, const struct pac_reader *reader)
{
    const struct pac_conf *pac = reader->pac;
    struct arena scratch;
    struct pac_asker asker;
    struct pac_expression any = { PAC_NEVER, { NULL, 0 } };

    arena_init(&scratch, NULL, RULE_BYTES);
    asker = asker_of(reader, &scratch);
    if (pac->hosts.count > 0)
        any = pac_hosts(&asker, &pac->hosts, false);
    if (pac->networks != NULL)
        any = pac_or(&asker, any, pac_networks(&asker, pac->networks));
    if (pac->has_plain)
        put(script, "  if (host.indexOf(\".\") < 0 && host.indexOf(\":\") < 0)\n"
                    "    return \"DIRECT\";\n");
    if (any.truth == PAC_TESTED && !arena_is_spent(&scratch))
        put(script, "  if (%.*s)\n    return \"DIRECT\";\n", SLICE_ARG(any.text));
    arena_fini(&scratch);
}

/* ---- all of it */

/* The last lines and the functions have their place kept: of so many bytes. */
#define KEPT_BYTES 4096

static void
put_functions(struct script *script)
{
    for (size_t i = 0; i < ARRAY_COUNT(functions); i++) {
        const char *call = functions[i].call;

        if (memmem(script->data, script->bytes, call, strlen(call)) != NULL)
            put(script, "\n%s", functions[i].text);
    }
}

/* Strings have no parentheses (pac_string()), so that what looks like a call is one. */
static const struct rule_conf *
put_all(struct script *script, const struct pac_reader *reader, struct slice proxy)
{
    const struct rule_conf *left_out;

    script->room = PAC_SCRIPT_BYTES_MAX - KEPT_BYTES;
    put(script, "var PROXY = %.*s;\n\n"
                "function FindProxyForURL(url, host) {\n"
                "  host = host.toLowerCase().replace(/^\\[|\\]$|\\.$/g, \"\");\n",
        SLICE_ARG(proxy));
    put_configured(script, reader);
    left_out = put_rules(script, reader);
    script->room = PAC_SCRIPT_BYTES_MAX;
    put(script, "  return PROXY;\n}\n");
    put_functions(script);
    must(!script->is_full);
    return left_out;
}

struct slice
pac_script(struct arena *arena, const struct pac_reader *reader,
           const struct rule_conf **left_out)
{
    struct script script = { .data = malloc(PAC_SCRIPT_BYTES_MAX) };
    struct slice proxy = pac_string(arena, reader->proxy), text;

    *left_out = NULL;
    if (script.data == NULL || arena_is_spent(arena)) {
        free(script.data);
        return slice_make("", 0);
    }
    *left_out = put_all(&script, reader, proxy);
    text = arena_copy(arena, slice_make(script.data, script.bytes));
    free(script.data);
    return text;
}

bool
pac_rule_is_told(const struct pac_reader *reader, const struct rule_conf *rule,
                 const char **obscure)
{
    struct pac_expression expression;
    struct pac_asker asker;
    struct arena scratch;

    arena_init(&scratch, NULL, RULE_BYTES);
    asker = asker_of(reader, &scratch);
    expression = pac_condition(&asker, &rule->when, PAC_SURELY);
    *obscure = asker.obscure;
    arena_fini(&scratch);
    return expression.truth != PAC_NEVER;
}
