/* SPDX-License-Identifier: BSD-2-Clause */
/* waf_setup.c - the options of the filter, written as rules that come before all others.
 *
 * They say what the library does with content, refuse content that it cannot make sense of
 * (as what it cannot read it cannot judge), and set what the core rule set asks for.
 * Their ids are from a range that no known rule set uses, and may be excluded like others.
 */
#include "config.h"

#include "filters/waf_inside.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define JSON_DEPTH_MAX 100
#define PATTERN_STEPS_MAX 100000 /* of one expression on one value */
#define ID_MAX 999999999u

/* ---- checks */

static bool
take_id(struct slice *text, unsigned *id)
{
    size_t digits = 0;

    *id = 0;
    while (digits < text->bytes && digits < 9 && isdigit((unsigned char)text->data[digits]))
        *id = *id * 10 + (unsigned)(text->data[digits++] - '0');
    *text = slice_skip(*text, digits);
    return digits > 0 && *id > 0;
}

static int
check_exclude(struct slice item, struct err *err)
{
    struct slice rest = item;
    unsigned first, last;

    if (take_id(&rest, &first) &&
        (rest.bytes == 0 || (slice_take_char(&rest, '-') && take_id(&rest, &last) &&
                             rest.bytes == 0 && first <= last)))
        return 0;
    return err_set(err, "exclude: \"%.*s\" is no id of a rule: expected one like \"942100\", or a "
                   "range like \"942100-942199\", up to %u", SLICE_ARG(item), ID_MAX);
}

static int
check_words(const struct strings *strings, const char *option, const char *like, const char *also,
            struct err *err)
{
    for (size_t i = 0; i < strings->count; i++) {
        struct slice item = strings->items[i];
        size_t good = 0;

        while (good < item.bytes && (isalnum((unsigned char)item.data[good]) ||
                                     strchr(also, item.data[good]) != NULL))
            good++;
        if (good < item.bytes || good == 0)
            return err_set(err, "%s: \"%.*s\" is none: expected one like %s", option,
                           SLICE_ARG(item), like);
    }
    return 0;
}

/* ---- rules */

static void
write_strings(FILE *out, const struct strings *strings)
{
    for (size_t i = 0; i < strings->count; i++)
        fprintf(out, "%s%.*s", i > 0 ? " " : "", SLICE_ARG(strings->items[i]));
}

/* The limits of bytes are ours to keep, before the library gets to see anything; it stops adding
 * arguments behind the first that is too many. Access to content is on even if none is shown:
 * without it the library skips all rules of phase 2, and most rules about heads are there. */
static void
write_engine(FILE *out, const struct waf_conf *conf)
{
    fprintf(out,
            "SecRuleEngine On\n"
            "SecAuditEngine Off\n"
            "SecRequestBodyAccess On\n"
            "SecRequestBodyLimit %" PRIu64 "\n"
            "SecRequestBodyNoFilesLimit %" PRIu64 "\n"
            "SecRequestBodyLimitAction Reject\n"
            "SecRequestBodyJsonDepthLimit %d\n"
            "SecArgumentsLimit %" PRId64 "\n"
            "SecArgumentSeparator &\n"
            "SecCookieFormat 0\n"
            "SecPcreMatchLimit %d\n"
            "SecPcreMatchLimitRecursion %d\n"
            "SecResponseBodyAccess %s\n"
            "SecDefaultAction \"phase:1,log,noauditlog,pass\"\n"
            "SecDefaultAction \"phase:2,log,noauditlog,pass\"\n",
            conf->request_bytes + 1, conf->request_bytes + 1, JSON_DEPTH_MAX,
            conf->max_arguments + 1, PATTERN_STEPS_MAX, PATTERN_STEPS_MAX,
            conf->response_bytes > 0 ? "On" : "Off");
    if (conf->response_bytes > 0) {
        fprintf(out, "SecResponseBodyLimit %" PRIu64 "\nSecResponseBodyLimitAction Reject\n"
                     "SecResponseBodyMimeType ", conf->response_bytes + 1);
        write_strings(out, &conf->response_types);
        fputc('\n', out);
    }
}

/* Before all others of phase 2, each of which looks at every argument and cookie. In phase 1 the
 * core rule set has not begun, and the library (3.0.9) would leak some of what its last rules
 * do then. JSON is not read to its end when there are too many: that is told first, not that
 * it is no JSON. */
static void
write_limits(FILE *out, const struct waf_conf *conf)
{
    fprintf(out,
            "SecRule &ARGS \"@gt %" PRId64 "\" \"id:19000005,phase:2,deny,status:400,log,t:none,"
            "msg:'There are too many arguments'\"\n"
            "SecRule &REQUEST_COOKIES \"@gt %" PRId64 "\" \"id:19000006,phase:2,deny,status:400,"
            "log,t:none,msg:'There are too many cookies'\"\n",
            conf->max_arguments, conf->max_cookies);
}

static void
write_content_rules(FILE *out)
{
    fprintf(out,
            "SecRule REQUEST_HEADERS:Content-Type "
            "\"@rx (?i)^\\s*application/(?:[\\w.+-]+\\+)?json\" "
            "\"id:19000001,phase:1,pass,nolog,t:none,ctl:requestBodyProcessor=JSON\"\n"
            "SecRule REQUEST_HEADERS:Content-Type "
            "\"@rx (?i)^\\s*(?:application|text)/(?:[\\w.+-]+\\+)?xml\" "
            "\"id:19000002,phase:1,pass,nolog,t:none,ctl:requestBodyProcessor=XML\"\n"
            "SecRule REQBODY_ERROR \"!@eq 0\" \"id:19000003,phase:2,deny,status:400,log,t:none,"
            "msg:'The content is not what its type says'\"\n"
            "SecRule MULTIPART_STRICT_ERROR \"!@eq 0\" \"id:19000004,phase:2,deny,status:400,log,"
            "t:none,msg:'The multipart content can be understood in more than one way'\"\n");
}

/* Under the names of its releases 3 and 4. */
static void
write_core_settings(FILE *out, const struct waf_conf *conf)
{
    fprintf(out,
            "SecAction \"id:19000010,phase:1,pass,nolog,t:none,setvar:tx.crs_setup_version=400,"
            "setvar:tx.paranoia_level=%" PRId64 ",setvar:tx.blocking_paranoia_level=%" PRId64 ","
            "setvar:tx.inbound_anomaly_score_threshold=%" PRId64 ","
            "setvar:tx.outbound_anomaly_score_threshold=%" PRId64 "\"\n",
            conf->paranoia, conf->paranoia, conf->inbound_threshold, conf->outbound_threshold);
    if (conf->methods.count > 0) {
        fprintf(out, "SecAction \"id:19000011,phase:1,pass,nolog,t:none,"
                     "setvar:'tx.allowed_methods=");
        write_strings(out, &conf->methods);
        fprintf(out, "'\"\n");
    }
}

static void
write_setup(FILE *out, const struct waf_conf *conf)
{
    write_engine(out, conf);
    write_limits(out, conf);
    write_content_rules(out);
    if (conf->crs)
        write_core_settings(out, conf);
    if (conf->exclude.count > 0) {
        fprintf(out, "SecRuleRemoveById ");
        write_strings(out, &conf->exclude);
        fputc('\n', out);
    }
}

static void
write_directives(FILE *out, const struct waf_conf *conf)
{
    for (size_t i = 0; i < conf->directives.count; i++)
        fprintf(out, "%.*s\n", SLICE_ARG(conf->directives.items[i]));
}

/* NULL: there is no memory. */
static const char *
written(void (*write)(FILE *out, const struct waf_conf *conf), const struct waf_conf *conf,
        struct arena *arena)
{
    char *text = NULL;
    size_t bytes = 0;
    FILE *out = open_memstream(&text, &bytes);
    struct slice copy = { NULL, 0 };

    if (out == NULL)
        return NULL;
    write(out, conf);
    if (fclose(out) == 0)
        copy = arena_copy(arena, slice_make(text, bytes + 1)); /* with its NUL */
    free(text);
    return copy.data;
}

int
waf_setup_finish(struct waf_conf *conf, struct arena *arena, struct err *err)
{
    for (size_t i = 0; i < conf->exclude.count; i++)
        if (check_exclude(conf->exclude.items[i], err) < 0)
            return -1;
    if (check_words(&conf->methods, "methods", "\"PUT\"", "-_", err) < 0 ||
        check_words(&conf->response_types, "response_types", "\"text/html\"", "/.+-", err) < 0)
        return -1;
    conf->setup = written(write_setup, conf, arena);
    if (conf->directives.count > 0)
        conf->joined = written(write_directives, conf, arena);
    if (conf->setup == NULL || (conf->directives.count > 0 && conf->joined == NULL))
        return err_set(err, "no memory");
    return 0;
}
