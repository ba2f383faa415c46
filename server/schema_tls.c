/* SPDX-License-Identifier: BSD-2-Clause */
/* schema_tls.c - certificates, client certificates, TLS of listeners and groups.
 *
 * Files are only named here: they are read when they are needed, and again when
 * they change (certificates/certificates.h). `bascule check` looks at them, too.
 */
#include "config.h"

#include "server/schema_tls.h"

#include "modes/mode.h"
#include "server/certificates/local_ca.h"
#include "server/config/reader.h"
#include "server/host_map.h"
#include "server/schema_link.h"

#define SECOND 1000
#define MINUTE (60 * SECOND)
#define HOUR (60 * MINUTE)
#define DAY (24 * HOUR)
#define CERTIFICATES_MAX 4 /* one for each kind of key, and then some */
#define YEAR_S (365u * 24 * 3600)

/* ---- files */

/* The supervisor, a command and the worker process need not be in the same folder. */
static int
check_path(const char *option, const char *path, struct err *err)
{
    if (path == NULL || path[0] == '/')
        return 0;
    return err_set(err, "%s: \"%s\" is not an absolute path", option, path);
}

static int
check_certificate_paths(const struct config_list *certificates, struct err *err)
{
    for (size_t i = 0; i < certificates->count; i++) {
        const struct certificate_conf *conf = certificates->items[i];

        if (strcmp(conf->chain, LOCAL_CERTIFICATE) != 0 &&
            check_path("certificates", conf->chain, err) < 0)
            return -1;
        if (check_path("certificates: key", conf->key, err) < 0)
            return -1;
    }
    return 0;
}

static int
check_client_paths(const struct client_certificate_conf *conf, struct err *err)
{
    if (check_path("client_certificates: ca", conf->ca, err) < 0)
        return -1;
    return check_path("client_certificates: crl", conf->crl, err);
}

/* ---- certificates */

const struct option certificate_options[] = {
    OPTION_PLACE(struct certificate_conf, place),
    { .name = "chain", .type = OPTION_STRING, .offset = offsetof(struct certificate_conf, chain),
      .is_required = true,
      .text = "File (PEM) with the certificate, followed by those that vouch for it. local: one "
              "for localhost and names below test, of an authority of this machine (see bascule "
              "ca), with its key." },
    { .name = "key", .type = OPTION_STRING, .offset = offsetof(struct certificate_conf, key),
      .text = "File (PEM) with its private key; when not given, it is in the same file." },
    { .name = "key_command", .type = OPTION_STRING,
      .offset = offsetof(struct certificate_conf, key_command),
      .text = "Program, with its arguments, that prints the passphrase of the key." },
    { .name = NULL },
};

static int
read_certificate(struct config_reader *reader, const struct config_node *node,
                 struct certificate_conf *conf, struct err *err)
{
    char value[CONFIG_VALUE_BYTES];
    struct slice text;

    switch (config_node_kind(node)) {
    case CONFIG_TEXT:
        text = arena_copy(config_reader_arena(reader), config_node_text(node));
        conf->place = config_node_place(reader, node);
        conf->chain = text.data;
        return text.data != NULL ? 0 : err_set(err, "needs more memory than there is");
    case CONFIG_GROUP:
        return config_read_group(reader, node, certificate_options, conf, sizeof(*conf));
    default:
        return config_fail(reader, node, err, "wants %s, found %s", CERTIFICATES_FORM,
                           config_node_value_text(node, value));
    }
}

static int
parse_certificates(struct config_reader *reader, const struct config_node *node,
                   struct config_list *list, struct err *err)
{
    bool is_list = config_node_kind(node) == CONFIG_LIST;
    size_t count = is_list ? config_node_count(node) : 1;
    struct arena *arena = config_reader_arena(reader);

    if (count == 0 || count > CERTIFICATES_MAX)
        return err_set(err, "has %zu elements: 1 to %d would be accepted, one for each kind of key",
                       count, CERTIFICATES_MAX);
    list->items = arena_alloc(arena, count * sizeof(*list->items));
    for (size_t i = 0; i < count; i++) {
        struct certificate_conf *conf = arena_zalloc(arena, sizeof(*conf));

        if (list->items == NULL || conf == NULL)
            return err_set(err, "needs more memory than the configuration may have");
        list->items[i] = conf;
        if (read_certificate(reader, is_list ? config_node_at(node, i) : node, conf, err) < 0)
            return -1;
    }
    list->count = count;
    return 0;
}

int
tls_parse_site_certificates(struct config_reader *reader, const struct config_node *node,
                            void *target, struct err *err)
{
    return parse_certificates(reader, node, &((struct site_conf *)target)->certificates, err);
}

static int
parse_listener_certificates(struct config_reader *reader, const struct config_node *node,
                            void *target, struct err *err)
{
    return parse_certificates(reader, node, &((struct tls_conf *)target)->certificates, err);
}

/* ---- certificates of clients */

static const char *const client_certificate_words[] = { "off", "optional", "required", NULL };

const struct option client_certificate_options[] = {
    OPTION_PLACE(struct client_certificate_conf, place),
    { .name = "mode", .type = OPTION_ENUM,
      .offset = offsetof(struct client_certificate_conf, mode), .fallback = "required",
      .words = client_certificate_words,
      .text = "required: without a good one there is no connection; optional: it is asked for, and "
              "a bad one is refused." },
    { .name = "ca", .type = OPTION_STRING, .offset = offsetof(struct client_certificate_conf, ca),
      .text = "File (PEM) with the certificates of those who may vouch for clients." },
    { .name = "crl", .type = OPTION_STRING, .offset = offsetof(struct client_certificate_conf, crl),
      .text = "File (PEM) with lists of revoked certificates: one of each authority in a client's "
              "chain, or the client is refused. It is read again when it changes." },
    { .name = "depth", .type = OPTION_INT,
      .offset = offsetof(struct client_certificate_conf, depth), .fallback = "4", .min = 1,
      .max = 16, .text = "Longest chain from a client's certificate to the ca." },
    { .name = NULL },
};

static int
check_client_certificates(const struct client_certificate_conf *conf, struct err *err)
{
    if (conf->place.line > 0 && conf->mode != CLIENT_CERTIFICATE_OFF && conf->ca == NULL)
        return err_set(err, "client_certificates need ca: who may vouch for clients");
    return 0;
}

/* ---- listeners */

static const char *const preset_words[] = { "modern", "intermediate", NULL };
static const char *const unknown_name_words[] = { "default", "refuse", NULL };

const struct option tls_options[] = {
    OPTION_PLACE(struct tls_conf, place),
    { .name = "preset", .type = OPTION_ENUM, .offset = offsetof(struct tls_conf, preset),
      .fallback = "intermediate", .words = preset_words,
      .text = "modern (TLS 1.3 only) or intermediate (TLS 1.2 too, with forward secrecy and "
              "authenticated encryption only)." },
    { .name = "certificates", .type = OPTION_CUSTOM,
      .offset = offsetof(struct tls_conf, certificates), .parse = parse_listener_certificates,
      .options = certificate_options, .member_bytes = sizeof(struct certificate_conf),
      .form = CERTIFICATES_FORM,
      .text = "Certificates for all that have none of their own, one of each kind of key." },
    { .name = "client_certificates", .type = OPTION_GROUP,
      .offset = offsetof(struct tls_conf, client), .options = client_certificate_options,
      .member_bytes = sizeof(struct client_certificate_conf),
      .text = "Certificates asked of clients; sites may say something else." },
    { .name = "unknown_name", .type = OPTION_ENUM,
      .offset = offsetof(struct tls_conf, unknown_name), .fallback = "default",
      .words = unknown_name_words,
      .text = "Clients that ask for a name that no site has, or for none: default (the default "
              "site or the listener's certificates) or refuse." },
    { .name = "http2", .type = OPTION_BOOL, .offset = offsetof(struct tls_conf, http2),
      .fallback = "true", .text = "Offer HTTP/2." },
    { .name = "handshake", .type = OPTION_TIME, .offset = offsetof(struct tls_conf, handshake_ms),
      .fallback = "10s", .min = 1, .max = HOUR,
      .text = "Time a client has for its TLS handshake." },
    { .name = "max_handshakes", .type = OPTION_INT,
      .offset = offsetof(struct tls_conf, max_handshakes), .fallback = "256", .min = 1,
      .max = 1000000,
      .text = "Handshakes at a time on each worker thread; further clients wait. While they "
              "do, a client that takes more than a tenth of the time handshake does not count." },
    { .name = "tickets", .type = OPTION_BOOL, .offset = offsetof(struct tls_conf, tickets),
      .fallback = "true", .text = "Let clients resume sessions with tickets (RFC 8446, 5077)." },
    { .name = "ticket_keys", .type = OPTION_STRING,
      .offset = offsetof(struct tls_conf, ticket_keys),
      .text = "File with the keys of tickets, for several nodes that share clients: 80 bytes a "
              "key, the first one is used for new tickets; it is read again when it changes. When "
              "not given, keys of our own that change by themselves." },
    { .name = "session", .type = OPTION_TIME, .offset = offsetof(struct tls_conf, session_ms),
      .fallback = "8h", .min = MINUTE, .max = 2 * DAY,
      .text = "How long a session may be resumed." },
    { .name = "session_cache", .type = OPTION_INT,
      .offset = offsetof(struct tls_conf, session_cache), .fallback = "2048", .max = 1000000,
      .text = "Sessions remembered on each worker thread for clients that know no tickets. 0: "
              "none." },
    { .name = "staple", .type = OPTION_BOOL, .offset = offsetof(struct tls_conf, staple),
      .fallback = "true",
      .text = "Ask the certificates' authorities whether they are good, and show clients the "
              "answer (OCSP stapling), where a certificate names whom to ask." },
    { .name = "early_data", .type = OPTION_BOOL, .offset = offsetof(struct tls_conf, early_data),
      .fallback = "false",
      .text = "Take safe requests with the first flight (0-RTT); they may be replayed by others: "
              "RFC 8470." },
    { .name = "ktls", .type = OPTION_BOOL, .offset = offsetof(struct tls_conf, ktls),
      .fallback = "false",
      .text = "Let the kernel encrypt, where it can. Not tested yet." },
    { .name = NULL },
};

/* Whether some site that the listener may serve has what has_it looks for. */
static const struct site_conf *
site_that(const struct conf *conf, bool (*has_it)(const struct site_conf *))
{
    for (size_t i = 0; i < conf->sites.count; i++) {
        const struct site_conf *site = conf->sites.items[i];

        if (has_it(site))
            return site;
    }
    return NULL;
}

static bool
has_certificates(const struct site_conf *site)
{
    return site->certificates.count > 0;
}

static bool
is_passed_through(const struct site_conf *site)
{
    return site->pass_through != NULL;
}

int
link_listener_tls(struct linker *linker, struct listener_conf *listener)
{
    struct tls_conf *tls = &listener->tls;

    if (tls->place.line == 0)
        return 0;
    tls->passes_through = listener->sites != NULL && listener->mode->on_pass_through != NULL &&
                          site_that(linker->conf, is_passed_through) != NULL;
    if (check_client_certificates(&tls->client, linker->err) < 0 ||
        check_client_paths(&tls->client, linker->err) < 0 ||
        check_certificate_paths(&tls->certificates, linker->err) < 0 ||
        check_path("ticket_keys", tls->ticket_keys, linker->err) < 0)
        return -1;
    if (tls->certificates.count > 0)
        return 0;
    if (listener->sites == NULL)
        return err_set(linker->err, "tls: needs certificates");
    if (site_that(linker->conf, has_certificates) == NULL &&
        site_that(linker->conf, is_passed_through) == NULL)
        return err_set(linker->err, "tls: needs certificates, here or in the sites");
    return 0;
}

const struct site_conf *
tls_passes_through(const struct listener_conf *listener, struct slice name)
{
    const struct site_conf *site;

    if (!listener->tls.passes_through)
        return NULL;
    site = listener->tls.unknown_name == TLS_UNKNOWN_DEFAULT
               ? host_map_find(listener->sites, name)
               : host_map_find_named(listener->sites, name);
    return site != NULL && site->pass_through != NULL ? site : NULL;
}

/* ---- sites */

int
tls_parse_hsts(struct config_reader *reader, const struct config_node *node, void *target,
               struct err *err)
{
    struct site_conf *site = target;
    char value[CONFIG_VALUE_BYTES];
    uint32_t ms;

    (void)reader;
    site->says_hsts = true;
    switch (config_node_kind(node)) {
    case CONFIG_BOOL:
        site->hsts_s = config_node_bool(node) ? YEAR_S : 0;
        return 0;
    case CONFIG_TEXT:
        if (option_parse_time(config_node_text(node), &ms, err) < 0)
            return -1;
        site->hsts_s = ms / 1000;
        return 0;
    default:
        return err_set(err, "wants true, false or a time such as \"30d\", found %s",
                       config_node_value_text(node, value));
    }
}

int
link_site_tls(struct linker *linker, struct site_conf *site)
{
    if (check_client_certificates(&site->client, linker->err) < 0 ||
        check_client_paths(&site->client, linker->err) < 0)
        return -1;
    if (site->pass_through_name == NULL)
        return check_certificate_paths(&site->certificates, linker->err);
    if (site->certificates.count > 0)
        return err_set(linker->err, "pass_through and certificates exclude each other: who passes "
                                    "TLS on does not end it");
    site->pass_through = conf_group(linker->conf, site->pass_through_name, linker->err);
    return site->pass_through != NULL ? 0 : err_prefix(linker->err, "pass_through: ");
}

/* The listener's port; 0: it has none. */
static uint16_t
port_of(const struct listener_conf *listener)
{
    struct ip ip;

    for (size_t i = 0; i < listener->listen.count; i++) {
        if (listener->listen.items[i].to.any.sa_family == AF_UNIX)
            continue;
        ip_from_sockaddr(&ip, &listener->listen.items[i].to.any);
        if (ip.port != 0)
            return ip.port;
    }
    return 0;
}

static bool
serves(const struct listener_conf *listener, const struct site_conf *site)
{
    struct slice name = site->hosts.count > 0 ? site->hosts.items[0] : SLICE("");

    return listener->tls.place.line > 0 && listener->sites != NULL &&
           host_map_find(listener->sites, name) == site;
}

/* The usual port if it is served there, or else the first that will do. */
static uint16_t
https_port(const struct conf *conf, const struct site_conf *site)
{
    uint16_t found = 0;

    for (size_t i = 0; i < conf->listeners.count; i++) {
        const struct listener_conf *listener = conf->listeners.items[i];
        uint16_t port = serves(listener, site) ? port_of(listener) : 0;

        if (port == 443)
            return port;
        if (found == 0)
            found = port;
    }
    return found;
}

/* Where a proxy in front ends TLS for us, none of our listeners does: then it is
 * the usual port. */
void
link_https_ports(struct conf *conf)
{
    for (size_t i = 0; i < conf->sites.count; i++) {
        struct site_conf *site = conf->sites.items[i];

        if (!site->https)
            continue;
        site->https_port = https_port(conf, site);
        if (site->https_port == 0)
            site->https_port = 443;
    }
}

/* ---- groups */

const struct option upstream_tls_options[] = {
    OPTION_PLACE(struct upstream_tls_conf, place),
    { .name = "verify", .type = OPTION_BOOL, .offset = offsetof(struct upstream_tls_conf, verify),
      .fallback = "true",
      .text = "Refuse servers whose certificate is not good, or not for the name. Without it "
              "anyone in between can read and change everything." },
    { .name = "ca", .type = OPTION_STRING, .offset = offsetof(struct upstream_tls_conf, ca),
      .text = "File (PEM) with the certificates of those who may vouch for servers; when not "
              "given, the system's." },
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct upstream_tls_conf, name),
      .text = "Name that is asked for (SNI) and that the certificate must be for; when not given, "
              "the host of the endpoint." },
    { .name = "chain", .type = OPTION_STRING,
      .offset = offsetof(struct upstream_tls_conf, client.chain),
      .text = "File (PEM) with a certificate to show to servers that ask, and its chain." },
    { .name = "key", .type = OPTION_STRING,
      .offset = offsetof(struct upstream_tls_conf, client.key),
      .text = "File (PEM) with its key; when not given, it is in the same file." },
    { .name = "key_command", .type = OPTION_STRING,
      .offset = offsetof(struct upstream_tls_conf, client.key_command),
      .text = "Program, with its arguments, that prints the passphrase of the key." },
    { .name = NULL },
};

int
link_group_tls(struct linker *linker, struct group_conf *group)
{
    bool is_tls = group->tls.place.line > 0;

    if (group->protocol == UPSTREAM_H2 && !is_tls)
        return err_set(linker->err, "protocol h2 needs tls; without TLS it is called h2c");
    if (group->protocol == UPSTREAM_H2C && is_tls)
        return err_set(linker->err, "protocol h2c is without TLS; with it, it is called h2");
    if (group->tls.client.chain == NULL && group->tls.client.key != NULL)
        return err_set(linker->err, "tls: key without chain means nothing");
    if (check_path("tls: ca", group->tls.ca, linker->err) < 0 ||
        check_path("tls: chain", group->tls.client.chain, linker->err) < 0)
        return -1;
    return check_path("tls: key", group->tls.client.key, linker->err);
}
