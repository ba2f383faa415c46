/* SPDX-License-Identifier: BSD-2-Clause */
/* waf_options.c - the options of the filter waf, and the rules that they name. */
#include "config.h"

#include "filters/waf_inside.h"
#include "server/log/sink.h"

#include <inttypes.h>

/* ---- options */

static const char *const mode_words[] = {
    [WAF_DETECT] = "detect", [WAF_BLOCK] = "block", NULL,
};
static const char *const over_words[] = {
    [WAF_OVER_REFUSE] = "refuse", [WAF_OVER_PASS] = "pass", NULL,
};

const struct option waf_options[] = {
    { .name = "mode", .type = OPTION_ENUM, .offset = offsetof(struct waf_conf, mode),
      .words = mode_words, .fallback = "block",
      .text = "block refuses what rules disallow; detect lets it pass and tells what would have "
              "been refused. What cannot be judged passes then, too." },
    { .name = "crs", .type = OPTION_BOOL, .offset = offsetof(struct waf_conf, crs),
      .fallback = "false",
      .text = "Use the OWASP core rule set, behind directives and rules." },
    { .name = "crs_path", .type = OPTION_STRING, .offset = offsetof(struct waf_conf, crs_path),
      .fallback = "/usr/share/modsecurity-crs/rules/*.conf",
      .text = "Where its rules are. What its crs-setup.conf would set is set by the options "
              "here, or by directives." },
    { .name = "paranoia", .type = OPTION_INT, .offset = offsetof(struct waf_conf, paranoia),
      .fallback = "1", .min = 1, .max = 4,
      .text = "Level of the core rule set: more finds more, and refuses more that is harmless." },
    { .name = "inbound_threshold", .type = OPTION_INT,
      .offset = offsetof(struct waf_conf, inbound_threshold), .fallback = "5", .min = 1,
      .max = 10000,
      .text = "Anomaly score at which the core rule set refuses a request; a critical rule adds "
              "5." },
    { .name = "outbound_threshold", .type = OPTION_INT,
      .offset = offsetof(struct waf_conf, outbound_threshold), .fallback = "4", .min = 1,
      .max = 10000, .text = "The same for responses." },
    { .name = "methods", .type = OPTION_STRINGS, .offset = offsetof(struct waf_conf, methods),
      .text = "Methods that the core rule set allows; when not given: GET, HEAD, POST, OPTIONS." },
    { .name = "rules", .type = OPTION_STRINGS, .offset = offsetof(struct waf_conf, rules),
      .text = "Files of rules in ModSecurity's language, or patterns of them, in this order. The "
              "user that Bascule runs as must be able to read them." },
    { .name = "directives", .type = OPTION_STRINGS, .offset = offsetof(struct waf_conf, directives),
      .text = "Lines of the same language, before the files." },
    { .name = "exclude", .type = OPTION_STRINGS, .offset = offsetof(struct waf_conf, exclude),
      .text = "Ids of rules that do not apply, or ranges of them: \"942100\", "
              "\"942100-942199\"." },
    { .name = "request_body", .type = OPTION_SIZE,
      .offset = offsetof(struct waf_conf, request_bytes), .fallback = "1M",
      .max = 1024 * 1024 * 1024,
      .text = "Content of requests that is judged, up to this length; it is held until the "
              "verdict. 0: none is, and it passes; heads are judged." },
    { .name = "larger", .type = OPTION_ENUM, .offset = offsetof(struct waf_conf, larger),
      .words = over_words, .fallback = "refuse",
      .text = "What becomes of longer content of requests: it is refused with 413, or passes and "
              "is not judged." },
    { .name = "encoded", .type = OPTION_ENUM, .offset = offsetof(struct waf_conf, encoded),
      .words = over_words, .fallback = "refuse",
      .text = "What becomes of content of requests that has a Content-Encoding, which hides it: "
              "it is refused with 415, or passes and is not judged. A filter decompress in front "
              "takes it off." },
    { .name = "max_arguments", .type = OPTION_INT,
      .offset = offsetof(struct waf_conf, max_arguments), .fallback = "1000", .min = 1,
      .max = 10000,
      .text = "Most arguments of a request, in query and content together: fields of forms, values "
              "of JSON. With more, rule 19000005 refuses it with 400. Each is looked at by "
              "hundreds of rules: 1000 may take a second." },
    { .name = "max_cookies", .type = OPTION_INT, .offset = offsetof(struct waf_conf, max_cookies),
      .fallback = "200", .min = 1, .max = 10000,
      .text = "Most cookies of a request; with more, rule 19000006 refuses it with 400. Browsers "
              "keep fewer than 200 for a site." },
    { .name = "response_body", .type = OPTION_SIZE,
      .offset = offsetof(struct waf_conf, response_bytes), .fallback = "0",
      .max = 1024 * 1024 * 1024,
      .text = "Responses are judged, too, with content up to this length; longer content passes "
              "and is not judged. 0: they are not." },
    { .name = "response_types", .type = OPTION_STRINGS,
      .offset = offsetof(struct waf_conf, response_types),
      .fallback = "text/html, text/plain, text/xml, application/json, application/xml",
      .text = "Types of responses whose content is judged." },
    { .name = "status", .type = OPTION_INT, .offset = offsetof(struct waf_conf, status),
      .fallback = "0", .max = 599,
      .text = "Of refusals, 400 to 599; 0: what the rule says, which is 403 unless it says "
              "otherwise." },
    { .name = "max_wait", .type = OPTION_TIME, .offset = offsetof(struct waf_conf, wait_ms),
      .fallback = "10s", .min = 1,
      .text = "How long a message waits for a thread that judges it; then it is refused with "
              "503." },
    { .name = "tell_rule", .type = OPTION_BOOL, .offset = offsetof(struct waf_conf, tells),
      .fallback = "false", .text = "The page of a refusal names the rule." },
    { .name = "audit", .type = OPTION_STRING, .offset = offsetof(struct waf_conf, audit_name),
      .text = "Name of a log in access_logs, which gets a line of JSON for each request or "
              "response of which a rule was true. Values that clients sent are not in it." },
    { .name = NULL },
};

static int
find_audit(struct waf_conf *conf, const struct conf *all, struct err *err)
{
    struct nearest nearest;

    if (conf->audit_name == NULL)
        return 0;
    nearest_init(&nearest, slice_of(conf->audit_name));
    for (size_t i = 0; i < all->access_logs.count; i++) {
        struct access_log_conf *log = all->access_logs.items[i];

        if (strcmp(log->name, conf->audit_name) == 0) {
            log->is_used = true;
            conf->audit = log;
            return 0;
        }
        nearest_offer(&nearest, log->name);
    }
    err_set(err, "audit: there is no \"%s\" in access_logs", conf->audit_name);
    return nearest_hint(&nearest, err);
}

static int
check_paths(const struct waf_conf *conf, struct err *err)
{
    for (size_t i = 0; i < conf->rules.count; i++)
        if (conf->rules.items[i].bytes == 0 || conf->rules.items[i].data[0] != '/')
            return err_set(err, "rules: \"%.*s\" is not an absolute path",
                           SLICE_ARG(conf->rules.items[i]));
    return conf->crs_path[0] == '/'
               ? 0 : err_set(err, "crs_path: \"%s\" is not an absolute path", conf->crs_path);
}

int
waf_finish(void *arg, struct conf *all, struct arena *arena, struct err *err)
{
    struct waf_conf *conf = arg;

    if (!conf->crs && conf->rules.count == 0 && conf->directives.count == 0)
        return err_set(err, "there are no rules: expected crs = true, rules or directives");
    if (conf->status != 0 && conf->status < 400)
        return err_set(err, "status: %" PRId64 " is neither 0 nor 400 to 599", conf->status);
    if (check_paths(conf, err) < 0 || find_audit(conf, all, err) < 0)
        return -1;
    if (waf_setup_finish(conf, arena, err) < 0)
        return -1;
    if (conf->mode == WAF_DETECT)
        conf->larger = conf->encoded = WAF_OVER_PASS;
    if (!waf_is_built_in)
        return err_set(err, "this Bascule was built without libmodsecurity, so there is no "
                       "firewall: install it (Debian: libmodsecurity-dev), then "
                       "configure --with-modsecurity and make");
    return 0;
}

static struct waf_rules *
compile(const struct waf_conf *conf, struct err *err)
{
    const struct waf_plan plan = {
        .setup = conf->setup,
        .directives = conf->joined,
        .files = &conf->rules,
        .core = conf->crs ? conf->crs_path : NULL,
    };

    return waf_rules_adopt(&plan, err);
}

static void
let_go(void *arg)
{
    struct waf_conf *conf = arg;

    waf_rules_unref(conf->compiled);
    log_sink_unref(conf->audit_sink);
    waf_threads_leave();
}

/* The log's sink is there already: its access log has it. */
static int
adopt_audit(struct waf_conf *conf, struct err *err)
{
    char identity[SINK_IDENTITY_BYTES];

    if (conf->audit == NULL)
        return 0;
    if (log_sink_identify(identity, conf->audit->to, err) < 0)
        return -1;
    conf->audit_sink = log_sink_open(identity, -1, err);
    return conf->audit_sink != NULL ? 0 : -1;
}

int
waf_adopt(void *arg, struct arena *arena, struct err *err)
{
    struct waf_conf *conf = arg;

    if (arena_defer(arena, let_go, conf) < 0)
        return err_set(err, "no memory");
    waf_threads_use();
    conf->compiled = compile(conf, err);
    return conf->compiled != NULL ? adopt_audit(conf, err) : -1;
}

/* In a process of its own: nothing is kept. */
int
waf_check(const void *arg, struct err *err)
{
    const struct waf_conf *conf = arg;
    struct waf_rules *rules = compile(conf, err);

    waf_rules_unref(rules);
    return rules != NULL ? 0 : -1;
}
