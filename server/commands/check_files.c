/* SPDX-License-Identifier: BSD-2-Clause */
/* check_files.c - reads certificates, keys, pages, users and rules as the daemon will.
 *
 * Nothing is kept. Where the daemon would only find out with the first client,
 * it is told here.
 */
#include "config.h"

#include "server/commands/check_files.h"

#include "filters/filter.h"
#include "server/base/calendar.h"
#include "server/certificates/certificates.h"
#include "server/certificates/local_ca.h"
#include "server/http/page_template.h"
#include "server/tls/client_trust.h"
#include "server/tls/tls_context.h"
#include "server/tls/tls_tickets.h"
#include "server/users/users.h"

#include <errno.h>
#include <openssl/x509v3.h>
#include <stdarg.h>
#include <stdio.h>
#include <time.h>
#include <unistd.h>

#define HOST_BYTES 256
#define ARENA_BYTES ((size_t)1 << 30)

/* Who wants a file. */
struct owner {
    const char *what, *name; /* site "www" */
    const struct strings *hosts; /* that the certificate is shown for; NULL: not known */
};

static unsigned
fail(const struct owner *owner, const struct place *place, const char *option,
     const struct err *err)
{
    fprintf(stderr, "%s:%u: %s \"%s\": %s%s\n", place->file, place->line, owner->what,
            owner->name, option, err->text);
    return 1;
}

static void PRINTF_LIKE(3, 4)
warn(const struct owner *owner, const struct place *place, const char *format, ...)
{
    va_list arguments;

    fprintf(stderr, "%s:%u: warning: %s \"%s\": ", place->file, place->line, owner->what,
            owner->name);
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

/* ---- certificates and keys */

static void
judge_time(const struct owner *owner, const struct certificate_conf *conf,
           const struct certificate *certificate)
{
    int64_t now_s = (int64_t)time(NULL);
    char text[CALENDAR_TEXT_BYTES];

    if (certificate->not_after_s <= now_s)
        warn(owner, &conf->place, "certificates: %s: expired on %s: clients will refuse it",
             conf->chain, calendar_text(certificate->not_after_s, text));
    if (certificate->not_before_s > now_s)
        warn(owner, &conf->place, "certificates: %s: is not valid before %s", conf->chain,
             calendar_text(certificate->not_before_s, text));
}

/* "*.example.com" stands for any name below. */
static bool
is_for(X509 *leaf, struct slice host)
{
    char name[HOST_BYTES];

    snprintf(name, sizeof(name), "%.*s", SLICE_ARG(host));
    if (name[0] == '*')
        name[0] = 'x';
    return X509_check_host(leaf, name, 0, 0, NULL) == 1 || X509_check_ip_asc(leaf, name, 0) == 1;
}

static void
judge_names(const struct owner *owner, const struct certificate_conf *conf,
            const struct certificate *certificate)
{
    const unsigned char *at = (const unsigned char *)certificate->leaf.data;
    X509 *leaf = d2i_X509(NULL, &at, (long)certificate->leaf.bytes);

    for (size_t i = 0; leaf != NULL && owner->hosts != NULL && i < owner->hosts->count; i++) {
        struct slice host = owner->hosts->items[i];

        if (!is_for(leaf, host))
            warn(owner, &conf->place, "certificates: %s: is not for the name %.*s", conf->chain,
                 SLICE_ARG(host));
    }
    X509_free(leaf);
}

/* The local CA's may have to be made or made again, at the start. */
static void
judge_local(const struct owner *owner, const struct certificate_conf *conf)
{
    for (size_t i = 0; owner->hosts != NULL && i < owner->hosts->count; i++) {
        struct slice host = owner->hosts->items[i];

        if (!local_ca_may(host) && !slice_equal(host, SLICE("127.0.0.1")) &&
            !slice_equal(host, SLICE("::1")))
            warn(owner, &conf->place, "certificates: the local CA vouches for localhost and names "
                                      "below localhost and test only, not for %.*s",
                 SLICE_ARG(host));
    }
}

static bool
is_local(const struct certificate_conf *conf)
{
    return strcmp(conf->chain, LOCAL_CERTIFICATE) == 0;
}

static bool
is_made_later(const struct certificate_conf *conf)
{
    return is_local(conf) && access(local_ca_path(conf->chain), F_OK) < 0 && errno == ENOENT;
}

static unsigned
check_certificates(const struct owner *owner, const struct config_list *certificates)
{
    const struct certificate_conf *first = certificates->count > 0 ? certificates->items[0] : NULL;
    struct bundle *bundle;
    struct err err;

    if (first == NULL)
        return 0;
    if (is_local(first))
        judge_local(owner, first);
    if (is_made_later(first))
        return 0;
    bundle = bundle_load(certificates, &err);
    if (bundle == NULL)
        return fail(owner, &first->place, "certificates: ", &err);
    for (unsigned i = 0; i < bundle->count; i++) {
        const struct certificate_conf *conf = certificates->items[i];

        if (is_local(conf))
            continue;
        judge_time(owner, conf, &bundle->certificates[i]);
        judge_names(owner, conf, &bundle->certificates[i]);
    }
    bundle_unref(bundle);
    return 0;
}

/* ---- those of others */

static unsigned
check_client_certificates(const struct owner *owner, const struct client_certificate_conf *conf)
{
    struct client_certificate_conf copy = *conf;
    struct err err;

    if (conf->place.line == 0 || conf->mode == CLIENT_CERTIFICATE_OFF)
        return 0;
    if (client_trust_adopt(&copy, &err) < 0)
        return fail(owner, &conf->place, "client_certificates: ", &err);
    client_trust_unref(copy.trust);
    return 0;
}

static unsigned
check_ticket_keys(const struct owner *owner, const struct tls_conf *tls)
{
    struct ticket_keys *keys;
    struct err err;

    if (tls->ticket_keys == NULL)
        return 0;
    keys = ticket_keys_adopt(tls->ticket_keys, tls->session_ms, &err);
    if (keys == NULL)
        return fail(owner, &tls->place, "ticket_keys: ", &err);
    ticket_keys_unref(keys);
    return 0;
}

/* ---- pages and logs */

static unsigned
check_error_page(const struct owner *owner, const struct place *place,
                 const struct error_page_conf *page)
{
    struct arena arena;
    struct err err;
    bool is_good;

    if (page->path == NULL)
        return 0;
    arena_init(&arena, NULL, ARENA_BYTES);
    is_good = page_template_load(&arena, page->path, &err) != NULL;
    arena_fini(&arena);
    return is_good ? 0 : fail(owner, place, "error_page: ", &err);
}

static unsigned
check_access_log(const struct access_log_conf *log)
{
    const struct owner owner = { "access log", log->name, NULL };
    struct log_privacy privacy = log->privacy;
    struct err err;

    return log_privacy_adopt(&privacy, &err) == 0
               ? 0 : fail(&owner, &log->place, "pseudonym_key: ", &err);
}

static unsigned
check_users(struct users_conf *users)
{
    const struct owner owner = { "users", users->name, NULL };
    unsigned bad = 0;
    struct err err;

    if (users->ops->adopt != NULL && users->ops->adopt(users, &err) < 0)
        bad = fail(&owner, &users->place, "", &err);
    if (users->ops->release != NULL)
        users->ops->release(users);
    return bad;
}

/* ---- filters */

static unsigned
check_filters(const struct config_list *list)
{
    unsigned bad = 0;

    for (size_t i = 0; i < list->count; i++) {
        const struct filter_conf *filter = list->items[i];
        const struct owner owner = { "filter", filter->ops->name, NULL };
        struct err err;

        if (filter->ops->check != NULL && filter->ops->check(filter, &err) < 0)
            bad += fail(&owner, &filter->place, "", &err);
    }
    return bad;
}

static unsigned
check_site_filters(const struct site_conf *site)
{
    unsigned bad = check_filters(&site->all.filters);

    for (size_t i = 0; i < site->routes.count; i++)
        bad += check_filters(&((const struct route_conf *)site->routes.items[i])->filters);
    return bad;
}

/* ---- all of them */

static unsigned
check_listener(const struct listener_conf *listener)
{
    const struct owner owner = { "listener", listener->name, NULL };

    return check_filters(&listener->filters) +
           check_certificates(&owner, &listener->tls.certificates) +
           check_client_certificates(&owner, &listener->tls.client) +
           check_ticket_keys(&owner, &listener->tls) +
           check_error_page(&owner, &listener->place, &listener->error_page);
}

static unsigned
check_site(const struct site_conf *site)
{
    const struct owner owner = { "site", site->name, &site->hosts };

    return check_site_filters(site) +
           check_certificates(&owner, &site->certificates) +
           check_client_certificates(&owner, &site->client) +
           check_error_page(&owner, &site->place, &site->error_page);
}

/* like: of another group, to load what they share once; NULL at first. */
static unsigned
check_group(const struct group_conf *group, struct arena *arena, const struct tls_context **like)
{
    const struct owner owner = { "group", group->name, NULL };
    struct certificate_conf client = group->tls.client;
    void *items[] = { &client };
    const struct config_list certificates = { items, client.chain != NULL };
    const struct tls_context *context;
    struct err err;

    if (group->tls.place.line == 0)
        return 0;
    client.place = group->tls.place;
    if (check_certificates(&owner, &certificates) > 0)
        return 1;
    context = tls_context_of_group(arena, group, *like, &err);
    if (context == NULL)
        return fail(&owner, &group->tls.place, "tls: ", &err);
    *like = context;
    return 0;
}

unsigned
check_files(const struct conf *conf)
{
    const struct tls_context *like = NULL;
    struct arena arena;
    unsigned bad = 0;

    arena_init(&arena, NULL, ARENA_BYTES);
    for (size_t i = 0; i < conf->access_logs.count; i++)
        bad += check_access_log(conf->access_logs.items[i]);
    for (size_t i = 0; i < conf->users.count; i++)
        bad += check_users(conf->users.items[i]);
    for (size_t i = 0; i < conf->listeners.count; i++)
        bad += check_listener(conf->listeners.items[i]);
    for (size_t i = 0; i < conf->sites.count; i++)
        bad += check_site(conf->sites.items[i]);
    for (size_t i = 0; i < conf->groups.count; i++)
        bad += check_group(conf->groups.items[i], &arena, &like);
    arena_fini(&arena);
    return bad;
}
