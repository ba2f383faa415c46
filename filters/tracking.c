/* SPDX-License-Identifier: BSD-2-Clause */
/* tracking.c - takes known parameters out of queries.
 *
 * A first look tells whether there is anything to take out at all and whether the query
 * is signed, so that most URLs are only read. Parameters end at "&", names at "=";
 * nothing is decoded, as what is left has to be what came. Some servers end parameters at
 * ";", too: what has one stays, as it may be more than it seems.
 */
#include "config.h"

#include "filters/tracking.h"

#include "filters/field_set.h"
#include "server/base/log.h"

#define NAME_BYTES_MAX 64 /* no known name is longer */

/* In order (field_set.h). Of campaigns, clicks, mail readers and their like: Google,
 * Meta, Microsoft, HubSpot, Mailchimp, Matomo, Yandex and others. */
static const struct slice known_names[] = {
    SLICE_INIT("__hsfp"), SLICE_INIT("__hssc"), SLICE_INIT("__hstc"), SLICE_INIT("__s"),
    SLICE_INIT("_branch_*"), SLICE_INIT("_bta_*"), SLICE_INIT("_ga"), SLICE_INIT("_gl"),
    SLICE_INIT("_hsenc"), SLICE_INIT("_hsmi"), SLICE_INIT("_ke"), SLICE_INIT("_kx"),
    SLICE_INIT("_openstat"), SLICE_INIT("cndid"), SLICE_INIT("dclid"), SLICE_INIT("ef_id"),
    SLICE_INIT("epik"), SLICE_INIT("fb_action_*"), SLICE_INIT("fb_ref"), SLICE_INIT("fb_source"),
    SLICE_INIT("fbclid"), SLICE_INIT("gad_campaignid"), SLICE_INIT("gad_source"),
    SLICE_INIT("gbraid"), SLICE_INIT("gclid"), SLICE_INIT("gclsrc"), SLICE_INIT("gdffi"),
    SLICE_INIT("gdfms"), SLICE_INIT("gdftrk"), SLICE_INIT("hsa_*"), SLICE_INIT("hsCtaTracking"),
    SLICE_INIT("igsh"), SLICE_INIT("igshid"), SLICE_INIT("irclickid"), SLICE_INIT("li_fat_id"),
    SLICE_INIT("mc_cid"), SLICE_INIT("mc_eid"), SLICE_INIT("mkt_tok"), SLICE_INIT("mkwid"),
    SLICE_INIT("ml_subscriber*"), SLICE_INIT("msclkid"), SLICE_INIT("mtm_*"),
    SLICE_INIT("ns_campaign"), SLICE_INIT("ns_mchannel"), SLICE_INIT("oly_anon_id"),
    SLICE_INIT("oly_enc_id"), SLICE_INIT("pk_campaign"), SLICE_INIT("pk_content"),
    SLICE_INIT("pk_keyword"), SLICE_INIT("pk_kwd"), SLICE_INIT("pk_medium"),
    SLICE_INIT("pk_source"), SLICE_INIT("rb_clickid"), SLICE_INIT("s_cid"),
    SLICE_INIT("s_kwcid"), SLICE_INIT("srsltid"), SLICE_INIT("trk_contact"),
    SLICE_INIT("trk_module"), SLICE_INIT("trk_msg"), SLICE_INIT("trk_sid"),
    SLICE_INIT("ttclid"), SLICE_INIT("twclid"), SLICE_INIT("utm_*"), SLICE_INIT("vero_conv"),
    SLICE_INIT("vero_id"), SLICE_INIT("vgo_ee"), SLICE_INIT("wbraid"), SLICE_INIT("wickedid"),
    SLICE_INIT("yclid"), SLICE_INIT("ysclid"), SLICE_INIT("zanpid"),
};

const struct field_set tracking_known = {
    .others = known_names,
    .count = ARRAY_COUNT(known_names),
};

/* ---- names */

static bool
has_word(struct slice name, struct slice word)
{
    for (; name.bytes >= word.bytes; name = slice_skip(name, 1))
        if (slice_equal_nocase(slice_make(name.data, word.bytes), word))
            return true;
    return false;
}

/* Names of what proves that nobody changed the query: of Amazon, Google and Azure
 * storage, CloudFront, Akamai, OAuth, SAML and many applications. */
static bool
is_signature(struct slice name)
{
    static const struct slice whole[] = {
        SLICE_INIT("sig"), SLICE_INIT("sign"), SLICE_INIT("sg"), SLICE_INIT("mac"),
        SLICE_INIT("md5"), SLICE_INIT("hash"), SLICE_INIT("checksum"), SLICE_INIT("digest"),
        SLICE_INIT("verify"), SLICE_INIT("jwt"), SLICE_INIT("auth_key"), SLICE_INIT("policy"),
        SLICE_INIT("key-pair-id"), SLICE_INIT("hdnea"), SLICE_INIT("hdnts"), SLICE_INIT("hdntl"),
        SLICE_INIT("wssecret"), SLICE_INIT("oh"),
    };
    static const struct slice parts[] = {
        SLICE_INIT("signature"), SLICE_INIT("token"), SLICE_INIT("hmac"), SLICE_INIT("x-amz-"),
    };

    if (name.bytes > NAME_BYTES_MAX)
        return true; /* nobody knows */
    for (size_t i = 0; i < ARRAY_COUNT(whole); i++)
        if (slice_equal_nocase(name, whole[i]))
            return true;
    for (size_t i = 0; i < ARRAY_COUNT(parts); i++)
        if (has_word(name, parts[i]))
            return true;
    return false;
}

static bool
is_named(struct slice name, const struct strings *more)
{
    for (size_t i = 0; more != NULL && i < more->count; i++) {
        struct slice pattern = more->items[i], start = name;

        if (pattern.data[pattern.bytes - 1] == '*') {
            pattern.bytes--;
            if (start.bytes > pattern.bytes)
                start.bytes = pattern.bytes;
        }
        if (slice_equal_nocase(start, pattern))
            return true;
    }
    return false;
}

static bool
is_tracking_name(struct slice name, const struct strings *more)
{
    return field_set_has_other(&tracking_known, name) || is_named(name, more);
}

static bool
is_tracking(struct slice parameter, struct slice name, const struct strings *more)
{
    return is_tracking_name(name, more) && slice_find(parameter, ';') < 0;
}

int
tracking_check_name(struct slice name, struct err *err)
{
    ptrdiff_t star = slice_find(name, '*');

    for (size_t i = 0; i < name.bytes; i++)
        if (name.data[i] <= ' ' || name.data[i] > '~' || strchr("&=#?", name.data[i]) != NULL)
            return err_set(err, "\"%s\" is no name of a parameter", log_escape(name));
    if (name.bytes == 0 || star == 0 || (star > 0 && (size_t)star + 1 != name.bytes))
        return err_set(err, "\"%s\": expected a name, or its beginning followed by \"*\"",
                       log_escape(name));
    return 0;
}

/* ---- queries */

/* Takes the next parameter off *query; false: there is none. */
static bool
next_parameter(struct slice *query, struct slice *parameter, struct slice *name)
{
    const char *end;

    if (query->data == NULL)
        return false;
    end = memchr(query->data, '&', query->bytes);
    *parameter = slice_make(query->data, end != NULL ? (size_t)(end - query->data) : query->bytes);
    *query = end != NULL ? slice_skip(*query, parameter->bytes + 1) : slice_make(NULL, 0);
    end = memchr(parameter->data, '=', parameter->bytes);
    *name = slice_make(parameter->data,
                       end != NULL ? (size_t)(end - parameter->data) : parameter->bytes);
    return true;
}

static bool
is_to_be_stripped(struct slice query, const struct strings *more)
{
    struct slice parameter, name;
    bool is_tracked = false;

    for (struct slice rest = query; !is_tracked && next_parameter(&rest, &parameter, &name);)
        is_tracked = is_tracking(parameter, name, more);
    if (!is_tracked)
        return false;
    while (next_parameter(&query, &parameter, &name))
        if (is_signature(name) && !is_tracking(parameter, name, more))
            return false;
    return true;
}

struct slice
tracking_strip(struct slice url, const struct strings *more, struct arena *arena)
{
    const char *mark = url.bytes > 0 ? memchr(url.data, '?', url.bytes) : NULL;
    struct slice query, parameter, name;
    char *start, *at;

    if (mark == NULL)
        return url;
    query = slice_skip(url, (size_t)(mark - url.data) + 1);
    if (!is_to_be_stripped(query, more))
        return url;
    start = arena_alloc(arena, url.bytes);
    if (start == NULL)
        return slice_make("", 0);
    at = mempcpy(start, url.data, (size_t)(mark - url.data));
    for (char joint = '?'; next_parameter(&query, &parameter, &name);) {
        if (is_tracking(parameter, name, more))
            continue;
        *at++ = joint;
        at = mempcpy(at, parameter.data, parameter.bytes);
        joint = '&';
    }
    return slice_make(start, (size_t)(at - start));
}
