/* SPDX-License-Identifier: BSD-2-Clause */
/* condition_fields.c - what can be asked, by name: the table that compiling,
 * explaining and reviewing share.
 */
#include "config.h"

#include "server/policy/condition.h"

#define ROW(name_, kind_, stage_, form_, member_) \
    { (name_), TEST_##kind_, STAGE_##stage_, FORM_##form_, \
      offsetof(struct condition_conf, member_) }

const struct condition_field condition_fields[] = {
    ROW("listener", LISTENER, CONNECTION, STRINGS, listeners),
    ROW("mode", MODE, CONNECTION, STRINGS, modes),
    ROW("client", CLIENT, CONNECTION, POINTER, clients),
    ROW("client_in", CLIENT_IN, CONNECTION, STRINGS, client_in),
    ROW("country", COUNTRY, CONNECTION, STRINGS, countries),
    ROW("as", AS, CONNECTION, STRINGS, networks_as),
    ROW("client_certificate", CERTIFICATE, CONNECTION, STRINGS, certificate_names),
    ROW("client_certificate_issuer", CERTIFICATE_ISSUER, CONNECTION, STRINGS,
        certificate_issuers),
    ROW("time", TIME, CONNECTION, STRINGS, times),
    ROW("method", METHOD, HEAD, STRINGS, methods),
    ROW("scheme", SCHEME, HEAD, STRINGS, schemes),
    ROW("host", HOST, HEAD, STRINGS, hosts),
    ROW("host_in", HOST_IN, HEAD, STRINGS, host_in),
    ROW("url_in", URL_IN, HEAD, STRINGS, url_in),
    ROW("port", PORT, HEAD, PORTS, ports),
    ROW("path", PATH, HEAD, STRINGS, paths),
    ROW("path_regex", PATH_REGEX, HEAD, POINTER, path_regex),
    ROW("url_regex", URL_REGEX, HEAD, POINTER, url_regex),
    ROW("header", HEADER, HEAD, LIST, headers),
    ROW("cookie", COOKIE, HEAD, LIST, cookies),
    ROW("query", QUERY, HEAD, LIST, queries),
    ROW("user", USER, USER, STRINGS, users),
    ROW("user_group", USER_GROUP, USER, STRINGS, user_groups),
    ROW("destination", DESTINATION, DESTINATION, POINTER, destinations),
    ROW("destination_in", DESTINATION_IN, DESTINATION, STRINGS, destination_in),
    ROW("destination_country", DESTINATION_COUNTRY, DESTINATION, STRINGS, destination_countries),
    ROW("destination_as", DESTINATION_AS, DESTINATION, STRINGS, destination_as),
    ROW("sni", SNI, SNI, STRINGS, server_names),
    ROW("sni_in", SNI_IN, SNI, STRINGS, server_name_in),
    ROW("sni_differs", SNI_DIFFERS, SNI, MAYBE, server_name_differs),
    ROW("status", STATUS, RESPONSE, STRINGS, statuses),
    ROW("content_type", CONTENT_TYPE, RESPONSE, STRINGS, content_types),
    ROW("longer_than", LONGER, RESPONSE, SIZE, longer_than),
    ROW("over", OVER, CONNECTION, STRINGS, over),
    { .name = NULL },
};

const struct condition_field *
condition_field_of(enum test_kind kind)
{
    const struct condition_field *field = condition_fields;

    if (kind == TEST_HOST_IS || kind == TEST_HOST_BELOW)
        kind = TEST_HOST;
    else if (kind == TEST_PATH_IS || kind == TEST_PATH_BEGINS)
        kind = TEST_PATH;
    while (field->name != NULL && field->kind != kind)
        field++;
    return field->name != NULL ? field : NULL;
}

bool
condition_is_said(const struct condition_field *field, const struct condition_conf *conf)
{
    const void *value = condition_value(field, conf);

    switch ((enum field_form)field->form) {
    case FORM_STRINGS:
        return ((const struct strings *)value)->count > 0;
    case FORM_LIST:
        return ((const struct config_list *)value)->count > 0;
    case FORM_POINTER:
        return *(void *const *)value != NULL;
    case FORM_PORTS:
        return ((const struct port_set *)value)->count > 0;
    case FORM_SIZE:
        return *(const uint64_t *)value > 0;
    case FORM_MAYBE:
        return *(const int *)value != MAYBE_UNSAID;
    }
    return false;
}

bool
condition_is_empty(const struct condition_conf *conf)
{
    for (const struct condition_field *field = condition_fields; field->name != NULL; field++)
        if (condition_is_said(field, conf))
            return false;
    return conf->sets.count + conf->all.count + conf->any.count + conf->none.count == 0;
}
