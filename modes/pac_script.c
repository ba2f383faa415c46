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

/* address4 is a number, -1 for what is no IPv4 address; address6 is 32 hexadecimal digits,
 * or empty. Numbers and texts compare alike. */
static const char functions[] =
    "function is(text, names) {\n"
    "  for (var i = 0; i < names.length; i++)\n"
    "    if (text == names[i])\n"
    "      return true;\n"
    "  return false;\n"
    "}\n"
    "\n"
    "function under(host, ends) {\n"
    "  for (var i = 0; i < ends.length; i++) {\n"
    "    var rest = host.length - ends[i].length;\n"
    "    if (rest > 0 && host.substring(rest) == ends[i])\n"
    "      return true;\n"
    "  }\n"
    "  return false;\n"
    "}\n"
    "\n"
    "function within(host, names) {\n"
    "  for (var i = 0; i < names.length; i++)\n"
    "    if (host == names[i] || under(host, [\".\" + names[i]]))\n"
    "      return true;\n"
    "  return false;\n"
    "}\n"
    "\n"
    "function among(value, ranges) {\n"
    "  for (var i = 0; i < ranges.length; i += 2)\n"
    "    if (value >= ranges[i] && value <= ranges[i + 1])\n"
    "      return true;\n"
    "  return false;\n"
    "}\n"
    "\n"
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
    "}\n"
    "\n"
    "function groups(text) {\n"
    "  return text == \"\" ? [] : text.split(\":\");\n"
    "}\n"
    "\n"
    "function digits6(host) {\n"
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
    "}\n"
    "\n"
    "function FindProxyForURL(url, host) {\n"
    "  var place = /^([a-z][a-z0-9+.\\-]*):\\/\\/([^\\/?#]*)/.exec(url.toLowerCase());\n"
    "  var scheme = place ? place[1] : \"\";\n"
    "  var port = place ? /:(\\d+)$/.exec(place[2]) : null;\n"
    "  var address4, address6;\n"
    "  if (scheme == \"ws\" || scheme == \"wss\")\n"
    "    scheme = scheme == \"ws\" ? \"http\" : \"https\";\n"
    "  port = port ? +port[1] : scheme == \"https\" ? 443 : scheme == \"ftp\" ? 21 : 80;\n"
    "  host = host.toLowerCase().replace(/^\\[/, \"\").replace(/\\]$/, \"\");\n"
    "  host = host.replace(/\\.$/, \"\");\n"
    "  address4 = number4(host);\n"
    "  address6 = digits6(host);\n"
    "  if (address6.substring(0, 24) == \"00000000000000000000ffff\")\n"
    "    address4 = parseInt(address6.substring(24), 16);\n";

/* ---- text of bounded length */

struct script {
    char *data;
    size_t bytes;
    bool is_full;
};

static void PRINTF_LIKE(2, 3)
put(struct script *script, const char *format, ...)
{
    size_t room = PAC_SCRIPT_BYTES_MAX - script->bytes;
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
 * not fit is taken back, with all that would follow. */
static void
put_rules(struct script *script, const struct pac_reader *reader)
{
    const struct policy_conf *policy = reader->listener->policy;
    size_t count = policy != NULL ? policy->rules.count : 0, whole = script->bytes;
    bool goes_on = true;

    while (count > 0 && !is_direct(policy->rules.items[count - 1]))
        count--;
    for (size_t i = 0; goes_on && i < count; i++) {
        const struct rule_conf *rule = policy->rules.items[i];

        whole = script->bytes;
        if (is_direct(rule) || is_decisive(rule))
            goes_on = put_rule(script, reader, rule);
    }
    if (script->is_full)
        script->bytes = whole;
    script->is_full = false;
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

/* The last lines have their place kept. */
static const char last_lines[] = "  return PROXY;\n}\n";

struct slice
pac_script(struct arena *arena, const struct pac_reader *reader)
{
    struct script script = { .data = malloc(PAC_SCRIPT_BYTES_MAX + sizeof(last_lines)) };
    struct slice proxy = pac_string(arena, reader->proxy), text;

    if (script.data == NULL || arena_is_spent(arena)) {
        free(script.data);
        return slice_make("", 0);
    }
    put(&script, "var PROXY = %.*s;\n\n%s", SLICE_ARG(proxy), functions);
    put_configured(&script, reader);
    put_rules(&script, reader);
    memcpy(script.data + script.bytes, last_lines, sizeof(last_lines) - 1);
    text = arena_copy(arena, slice_make(script.data, script.bytes + sizeof(last_lines) - 1));
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
