/* SPDX-License-Identifier: BSD-2-Clause */
/* resolve.c - the order of sources, and the joining of look-ups.
 *
 * While a name is asked for, its entry in the cache has a lookup: two queries
 * (a half for each family) and those who wait.
 *
 *   look up --> both halves answered ------------> settle, end
 *           --> A answered, 50 ms more (RFC 8305) -> settle, later end
 *           --> limit reached ---------------------> settle, later end
 *
 * To settle is to store what is known and to answer who waits. c-ares cannot
 * take queries back, so a lookup that settled early lives until its queries
 * end; what they bring then still improves the entry, unless a newer lookup has
 * taken over.
 */
#include "config.h"

#include "server/net/resolve.h"

#include "server/base/log.h"
#include "server/net/dns_cache.h"

#include <stdlib.h>

#define NAME_MAX_BYTES 253 /* in text, without the last dot: RFC 1035 section 3.1 */
#define LABEL_MAX_BYTES 63

/* RFC 8305 section 3: how long to wait for AAAA once A is there. */
#define RESOLUTION_DELAY_MS 50

/* RFC 8767 section 5: how long to wait before a stale answer is given. */
#define STALE_WAIT_MS 1800

/* How often stat() may ask whether hosts file and resolv.conf changed. */
#define FILE_CHECK_MS 2000

/* RFC 8305 section 4 and the operators' ten minutes. */
#define PREFERENCE_MS 600000
#define PREFERENCES 256

/* One family's part of a lookup. */
struct half {
    struct dns_query query;
    struct lookup *lookup;
    struct dns_finding finding;
};

enum { IPV6, IPV4, FAMILIES };

struct lookup {
    struct resolver *resolver;
    struct dns_entry *entry; /* held; NULL: a newer lookup took over */
    struct half halves[FAMILIES];
    struct list waiters; /* empty once settled */
    struct timer timer;
    unsigned open_count; /* halves not answered, and the one who starts them */
    bool is_settled;
};

/* Which family of a name worked lately, by the name's hash: a table that
 * forgets rather than grows. */
struct preference {
    uint64_t hash;
    uint64_t until_ms;
    uint8_t family;
};

struct resolver {
    struct loop *loop;
    struct resolver_conf conf; /* numbers only: strings are of its maker */
    char *resolv_conf;         /* NULL: the name servers were given */
    struct hosts *hosts;
    struct dns *dns;
    struct dns *old_dns; /* asked the servers of before; freed by the task */
    struct task free_old_dns;
    struct file_stamp resolv_stamp;
    uint64_t files_checked_ms;
    struct dns_cache cache;
    bool is_closing;
    struct preference preferences[PREFERENCES];
    struct resolver_counts counts;
};

/* Times of a proxy that people wait for: glibc's would be five seconds a try. */
const struct option resolver_options[] = {
    { .name = "servers", .type = OPTION_STRINGS, .offset = offsetof(struct resolver_conf, servers),
      .min = 0, .max = NAME_SERVERS_MAX,
      .text = "Name servers (\"192.0.2.53\", \"127.0.0.1:5353\", \"[2001:db8::53]:53\"), asked in "
              "this order; when empty, those of resolv_conf." },
    { .name = "hosts_file", .type = OPTION_STRING,
      .offset = offsetof(struct resolver_conf, hosts_file), .fallback = "/etc/hosts",
      .text = "File of names and addresses that come before any name server; read again when it "
              "changes." },
    { .name = "resolv_conf", .type = OPTION_STRING,
      .offset = offsetof(struct resolver_conf, resolv_conf), .fallback = "/etc/resolv.conf",
      .text = "File that lists the name servers; read again when it changes. Its search domains "
              "are not applied." },
    { .name = "timeout", .type = OPTION_TIME, .offset = offsetof(struct resolver_conf, timeout_ms),
      .fallback = "1s", .min = 50, .max = 60000,
      .text = "Time a name server has for its first try; each further round has twice as much." },
    { .name = "tries", .type = OPTION_INT, .offset = offsetof(struct resolver_conf, tries),
      .fallback = "3", .min = 1, .max = 10,
      .text = "How often each name server is asked." },
    { .name = "limit", .type = OPTION_TIME, .offset = offsetof(struct resolver_conf, limit_ms),
      .fallback = "5s", .min = 50, .max = 300000,
      .text = "Longest time a whole look-up may take, over all servers and tries." },
    { .name = "min_ttl", .type = OPTION_TIME, .offset = offsetof(struct resolver_conf, min_ttl_ms),
      .fallback = "1s", .min = 0, .max = 3600000,
      .text = "Shortest time an answer is kept, whatever its TTL says." },
    { .name = "max_ttl", .type = OPTION_TIME, .offset = offsetof(struct resolver_conf, max_ttl_ms),
      .fallback = "1h", .min = 1, .max = 604800000,
      .text = "Longest time an answer is kept, whatever its TTL says." },
    { .name = "negative_ttl", .type = OPTION_TIME,
      .offset = offsetof(struct resolver_conf, negative_ms), .fallback = "5s", .min = 0,
      .max = 10800000,
      .text = "Longest time \"no such host\" is kept, whatever the name server says." },
    { .name = "stale", .type = OPTION_TIME, .offset = offsetof(struct resolver_conf, stale_ms),
      .fallback = "1h", .min = 0, .max = 604800000,
      .text = "How long past its time an answer may still serve while name servers fail "
              "(RFC 8767); 0: not at all." },
    { .name = "max_entries", .type = OPTION_INT,
      .offset = offsetof(struct resolver_conf, max_entries), .fallback = "10000", .min = 1,
      .max = 10000000,
      .text = "Names each worker thread keeps; the one unused longest makes room." },
    { .name = "max_lookups", .type = OPTION_INT,
      .offset = offsetof(struct resolver_conf, max_lookups), .fallback = "10000", .min = 1,
      .max = 30000,
      .text = "Look-ups each worker thread may have under way; more are refused at once." },
    { .name = NULL },
};

/* ---- names */

/* Letters, digits and hyphens (RFC 1123 section 2.1), and the underscore that
 * people use all the same. Nothing else is worth a question. */
static bool
is_name_char(char c)
{
    return (c >= 'a' && c <= 'z') || ascii_is_digit(c) || c == '-' || c == '_';
}

/* Whether the last label reads as a number: such a name could only be a
 * strange spelling of an IPv4 address ("127.1", "0x7f.1"), which is never a
 * name (no top-level domain is numeric) and must not be taken for one. */
static bool
ends_in_number(struct slice name)
{
    const char *dot = memrchr(name.data, '.', name.bytes);
    struct slice label = dot != NULL ? slice_skip(name, (size_t)(dot - name.data) + 1) : name;

    if (slice_starts_with(label, SLICE("0x")))
        return true;
    for (size_t i = 0; i < label.bytes; i++)
        if (!ascii_is_digit(label.data[i]))
            return false;
    return true;
}

/* Writes host in lower case, without a dot at its end, into text. False when
 * it is not a host name. */
static bool
read_name(struct slice host, char *text, struct slice *name)
{
    size_t label_bytes = 0;

    if (host.bytes > 0 && host.data[host.bytes - 1] == '.')
        host.bytes--;
    if (host.bytes == 0 || host.bytes > NAME_MAX_BYTES)
        return false;
    for (size_t i = 0; i < host.bytes; i++) {
        text[i] = ascii_lower(host.data[i]);
        if (text[i] == '.' && label_bytes > 0)
            label_bytes = 0;
        else if (!is_name_char(text[i]) || ++label_bytes > LABEL_MAX_BYTES)
            return false;
    }
    text[host.bytes] = '\0';
    *name = slice_make(text, host.bytes);
    return label_bytes > 0 && !ends_in_number(*name);
}

/* Whether name is the domain or below it. */
static bool
is_within(struct slice name, struct slice domain)
{
    return name.bytes >= domain.bytes &&
           slice_equal(slice_skip(name, name.bytes - domain.bytes), domain) &&
           (name.bytes == domain.bytes || name.data[name.bytes - domain.bytes - 1] == '.');
}

/* ---- answers that need no question */

static void
set_answer(struct resolve_answer *answer, enum resolve_status status, const char *detail)
{
    answer->status = status;
    answer->count = 0;
    answer->first_family = 0;
    answer->is_stale = false;
    answer->until_ms = UINT64_MAX;
    answer->detail = detail;
}

static bool
answer_literal(struct slice host, struct resolve_answer *answer)
{
    bool has_brackets = host.bytes >= 2 && host.data[0] == '[' && host.data[host.bytes - 1] == ']';

    if (has_brackets)
        host = slice_make(host.data + 1, host.bytes - 2);
    if (!ip_parse(host, &answer->ips[0]) || (has_brackets && slice_find(host, ':') < 0))
        return false;
    set_answer(answer, RESOLVE_OK, "address");
    answer->count = 1;
    return true;
}

static void
add_loopback(struct resolve_answer *answer)
{
    answer->ips[0] = (struct ip){ .family = 6, .bytes = { [15] = 1 } };
    answer->ips[1] = (struct ip){ .family = 4, .bytes = { 127, 0, 0, 1 } };
    answer->count = 2;
}

static bool
answer_special(struct slice name, struct resolve_answer *answer)
{
    if (is_within(name, SLICE("localhost"))) {
        set_answer(answer, RESOLVE_OK, "loopback");
        add_loopback(answer);
        return true;
    }
    if (is_within(name, SLICE("invalid")) || is_within(name, SLICE("onion"))) {
        set_answer(answer, RESOLVE_NO_SUCH_HOST, "a name that is not in the DNS");
        return true;
    }
    return false;
}

static bool
answer_from_hosts(const struct resolver *resolver, struct slice name,
                  struct resolve_answer *answer)
{
    bool is_listed;
    unsigned count = hosts_find(resolver->hosts, name, answer->ips, RESOLVE_ADDRESSES_MAX,
                                &is_listed);

    if (!is_listed)
        return false;
    set_answer(answer, count > 0 ? RESOLVE_OK : RESOLVE_NO_SUCH_HOST, "hosts file");
    answer->count = count;
    return true;
}

static uint8_t
preferred_family(const struct resolver *resolver, uint64_t hash)
{
    const struct preference *p = &resolver->preferences[hash % PREFERENCES];

    return p->hash == hash && p->until_ms > loop_now_ms(resolver->loop) ? p->family : 0;
}

/* ---- answers from the cache */

static enum resolve_status
status_of(enum dns_status status)
{
    switch (status) {
    case DNS_OK:
        return RESOLVE_OK;
    case DNS_NO_DATA:
    case DNS_NO_NAME:
        return RESOLVE_NO_SUCH_HOST;
    case DNS_TIMEOUT:
    case DNS_CLOSED:
        return RESOLVE_TIMEOUT;
    case DNS_FAILED:
        break;
    }
    return RESOLVE_FAILED;
}

static void
answer_from_entry(const struct resolver *resolver, const struct dns_entry *entry,
                  struct resolve_answer *answer)
{
    set_answer(answer, status_of(entry->status), entry->detail);
    answer->count = entry->count;
    if (entry->count > 0)
        memcpy(answer->ips, entry->ips, entry->count * sizeof(*entry->ips));
    answer->is_stale = entry->is_stale;
    answer->until_ms = entry->fresh_until_ms;
    answer->first_family = preferred_family(resolver, entry->hash);
}

/* ---- look-ups */

static void
count_outcome(struct resolver_counts *counts, const struct dns_entry *entry)
{
    counts->stale += entry->is_stale;
    counts->timeouts += entry->status == DNS_TIMEOUT;
    counts->failures += entry->status == DNS_FAILED;
}

/* When the last half is there. */
static void
end(struct lookup *lookup)
{
    struct resolver *resolver = lookup->resolver;

    if (lookup->entry != NULL) {
        lookup->entry->lookup = NULL;
        dns_cache_rest(&resolver->cache, lookup->entry);
    }
    resolver->counts.under_way--;
    free(lookup);
}

/* Stores what is known into the entry and *answer, ends the lookup if nothing
 * is to come, and answers who waits: last of all, as they may do anything but
 * free the resolver. */
static void
settle(struct lookup *lookup, struct resolve_answer *answer)
{
    struct resolver *resolver = lookup->resolver;
    struct list waiters;

    timer_disarm(&lookup->timer);
    list_move_all(&waiters, &lookup->waiters);
    if (lookup->entry != NULL) {
        dns_cache_store(&resolver->cache, lookup->entry, &lookup->halves[IPV6].finding,
                        &lookup->halves[IPV4].finding, loop_now_ms(resolver->loop));
        if (!lookup->is_settled)
            count_outcome(&resolver->counts, lookup->entry);
        answer_from_entry(resolver, lookup->entry, answer);
    }
    lookup->is_settled = true;
    if (lookup->open_count == 0)
        end(lookup);
    while (!list_is_empty(&waiters)) {
        struct resolve *resolve = container_of(waiters.next, struct resolve, link);

        list_remove(&resolve->link);
        resolve->on_done(resolve, answer);
    }
}

static void
on_lookup_due(struct timer *timer)
{
    struct resolve_answer answer;

    settle(container_of(timer, struct lookup, timer), &answer);
}

static uint32_t
kept_ms(const struct resolver_conf *conf, const struct dns_answer *answer)
{
    uint64_t ms = (uint64_t)answer->ttl_s * 1000;
    uint32_t most_ms = answer->count > 0 ? conf->max_ttl_ms : conf->negative_ms;

    if (ms < conf->min_ttl_ms)
        ms = conf->min_ttl_ms;
    return ms < most_ms ? (uint32_t)ms : most_ms;
}

static void
on_half(struct dns_query *query, const struct dns_answer *answer)
{
    struct half *half = container_of(query, struct half, query);
    struct lookup *lookup = half->lookup;
    struct resolver *resolver = lookup->resolver;
    struct resolve_answer whole;

    if (answer->status == DNS_CLOSED && !resolver->is_closing && lookup->entry != NULL) {
        dns_ask(resolver->dns, query, lookup->entry->name, query->family); /* the new servers */
        return;
    }
    half->finding.answer = *answer;
    half->finding.until_ms = loop_now_ms(resolver->loop) + kept_ms(&resolver->conf, answer);
    lookup->open_count--;
    if (lookup->open_count == 0)
        settle(lookup, &whole);
    else if (half == &lookup->halves[IPV4] && answer->count > 0 && !lookup->is_settled)
        timer_arm(resolver->loop, &lookup->timer, RESOLUTION_DELAY_MS);
}

static void
start_half(struct lookup *lookup, struct half *half, uint8_t family)
{
    half->lookup = lookup;
    half->query.on_answer = on_half;
    half->finding.answer.status = DNS_TIMEOUT; /* until there is an answer */
    dns_ask(lookup->resolver->dns, &half->query, lookup->entry->name, family);
}

/* An answer when no look-up can be made for our own reasons: one that is past
 * its time is better than none. */
static bool
answer_without_asking(struct resolver *resolver, const struct dns_entry *entry, const char *why,
                      struct resolve_answer *answer)
{
    resolver->counts.refused++;
    if (entry == NULL || !dns_entry_may_be_stale(entry, loop_now_ms(resolver->loop))) {
        set_answer(answer, RESOLVE_TOO_MANY, why);
        return true;
    }
    answer_from_entry(resolver, entry, answer);
    answer->is_stale = true;
    return true;
}

/* A lookup that holds the entry, in place of one that settled early and whose
 * answer has become old since. NULL when memory is short. */
static struct lookup *
new_lookup(struct resolver *resolver, struct dns_entry *entry)
{
    struct lookup *lookup = calloc(1, sizeof(*lookup));

    if (lookup == NULL)
        return NULL;
    if (entry->lookup != NULL)
        entry->lookup->entry = NULL;
    entry->lookup = lookup;
    dns_cache_hold(entry);
    lookup->resolver = resolver;
    lookup->entry = entry;
    list_init(&lookup->waiters);
    timer_init(&lookup->timer, on_lookup_due);
    resolver->counts.lookups++;
    resolver->counts.under_way++;
    return lookup;
}

/* Asks for the entry's name. As resolve_start(): true when there is an answer
 * already, from servers that cannot even be sent to. */
static bool
start_lookup(struct resolver *resolver, struct resolve *resolve, struct dns_entry *entry,
             struct resolve_answer *answer)
{
    struct lookup *lookup = new_lookup(resolver, entry);
    uint32_t limit_ms = resolver->conf.limit_ms;

    if (lookup == NULL) {
        if (entry->lookup == NULL)
            dns_cache_rest(&resolver->cache, entry);
        return answer_without_asking(resolver, entry, "no memory", answer);
    }
    if (dns_entry_may_be_stale(entry, loop_now_ms(resolver->loop)) && limit_ms > STALE_WAIT_MS)
        limit_ms = STALE_WAIT_MS;
    timer_arm(resolver->loop, &lookup->timer, limit_ms);
    lookup->open_count = FAMILIES + 1;
    start_half(lookup, &lookup->halves[IPV6], 6); /* first: RFC 8305 section 3 */
    start_half(lookup, &lookup->halves[IPV4], 4);
    if (--lookup->open_count == 0) {
        settle(lookup, answer);
        return true;
    }
    list_push_back(&lookup->waiters, &resolve->link);
    return false;
}

/* ---- files */

/* The name servers that are listed in the configuration. */
static int
read_servers(struct name_servers *servers, const struct strings *texts, struct err *err)
{
    servers->count = 0;
    for (size_t i = 0; i < texts->count; i++) {
        struct address address;

        if (servers->count == NAME_SERVERS_MAX)
            return err_set(err, "resolver: more than %d name servers", NAME_SERVERS_MAX);
        if (address_parse(&address, texts->items[i], 53, err) < 0)
            return err_prefix(err, "resolver: name server \"%.*s\": ",
                              SLICE_ARG(texts->items[i]));
        if (address.to.any.sa_family == AF_UNIX)
            return err_set(err, "resolver: name server \"%.*s\" is not an IP address",
                           SLICE_ARG(texts->items[i]));
        ip_from_sockaddr(&servers->ips[servers->count++], &address.to.any);
    }
    return 0;
}

/* A channel to the name servers listed, or else to those of the file. */
static struct dns *
open_dns(struct loop *loop, const struct resolver_conf *conf, const char *resolv_conf,
         struct err *err)
{
    struct name_servers servers;

    if (resolv_conf != NULL)
        name_servers_read(&servers, resolv_conf);
    else if (read_servers(&servers, &conf->servers, err) < 0)
        return NULL;
    return dns_new(loop, &servers, conf->timeout_ms, (unsigned)conf->tries, err);
}

/* A task, since the change is noticed where c-ares may be calling us. What is
 * still open there is asked again of the new servers. */
static void
free_old_dns(struct task *task)
{
    struct resolver *resolver = container_of(task, struct resolver, free_old_dns);
    struct dns *old = resolver->old_dns;

    resolver->old_dns = NULL;
    dns_free(old);
}

/* Looks whether the files changed, now and then and only when somebody asks
 * for a name, so that an idle worker sleeps. */
static void
check_files(struct resolver *resolver)
{
    uint64_t now_ms = loop_now_ms(resolver->loop);
    struct dns *dns;
    struct err err;

    if (now_ms - resolver->files_checked_ms < FILE_CHECK_MS || resolver->old_dns != NULL)
        return;
    resolver->files_checked_ms = now_ms;
    hosts_refresh(resolver->hosts);
    if (resolver->resolv_conf == NULL ||
        !file_stamp_changed(&resolver->resolv_stamp, resolver->resolv_conf))
        return;
    dns = open_dns(resolver->loop, &resolver->conf, resolver->resolv_conf, &err);
    if (dns == NULL) {
        log_error("%s; going on with the name servers of before", err.text);
        return;
    }
    log_info("%s has changed: its name servers are used from now on", resolver->resolv_conf);
    resolver->old_dns = resolver->dns;
    resolver->dns = dns;
    loop_ready(resolver->loop, &resolver->free_old_dns);
}

/* ---- the resolver */

int
resolver_configure(struct resolver *resolver, const struct resolver_conf *conf, struct err *err)
{
    bool has_servers = conf->servers.count > 0;
    char *resolv_conf = has_servers ? NULL : strdup(conf->resolv_conf);
    struct hosts *hosts = hosts_new(conf->hosts_file);
    struct file_stamp stamp = { 0 };
    struct dns *dns, *old = resolver->dns;

    if (hosts == NULL || (resolv_conf == NULL && !has_servers)) {
        err_set(err, "resolver: no memory");
        goto fail;
    }
    /* The stamp comes first: a change while reading is then seen next time. */
    if (resolv_conf != NULL)
        file_stamp_changed(&stamp, resolv_conf);
    dns = open_dns(resolver->loop, conf, resolv_conf, err);
    if (dns == NULL)
        goto fail;
    resolver->conf = *conf;
    resolver->cache.max_count = (uint64_t)conf->max_entries;
    resolver->cache.stale_ms = conf->stale_ms;
    hosts_free(resolver->hosts);
    resolver->hosts = hosts;
    free(resolver->resolv_conf);
    resolver->resolv_conf = resolv_conf;
    resolver->resolv_stamp = stamp;
    resolver->dns = dns;
    dns_free(old);
    return 0;

fail:
    hosts_free(hosts);
    free(resolv_conf);
    return -1;
}

struct resolver *
resolver_new(struct loop *loop, const struct resolver_conf *conf, struct err *err)
{
    struct resolver *resolver = calloc(1, sizeof(*resolver));

    if (resolver == NULL) {
        err_set(err, "resolver: no memory");
        return NULL;
    }
    resolver->loop = loop;
    task_init(&resolver->free_old_dns, free_old_dns);
    resolver->files_checked_ms = loop_now_ms(loop);
    if (dns_cache_init(&resolver->cache, (uint64_t)conf->max_entries, conf->stale_ms) < 0) {
        err_set(err, "resolver: no memory");
        goto fail;
    }
    if (resolver_configure(resolver, conf, err) < 0)
        goto fail;
    return resolver;

fail:
    resolver_free(resolver);
    return NULL;
}

void
resolver_free(struct resolver *resolver)
{
    if (resolver == NULL)
        return;
    resolver->is_closing = true;
    task_cancel(&resolver->free_old_dns);
    dns_free(resolver->old_dns);
    dns_free(resolver->dns);
    must(resolver->counts.under_way == 0);
    dns_cache_fini(&resolver->cache);
    hosts_free(resolver->hosts);
    free(resolver->resolv_conf);
    free(resolver);
}

/* From the cache or the name servers. As resolve_start(). */
static bool
start_name(struct resolver *resolver, struct resolve *resolve, struct slice name, uint64_t hash,
           struct resolve_answer *answer)
{
    struct dns_entry *entry = dns_cache_find(&resolver->cache, name, hash);

    if (entry != NULL && entry->fresh_until_ms > loop_now_ms(resolver->loop)) {
        resolver->counts.hits++;
        if (entry->lookup == NULL)
            dns_cache_rest(&resolver->cache, entry);
        answer_from_entry(resolver, entry, answer);
        return true;
    }
    if (entry != NULL && entry->lookup != NULL && !entry->lookup->is_settled) {
        resolver->counts.joined++;
        list_push_back(&entry->lookup->waiters, &resolve->link);
        return false;
    }
    if (resolver->counts.under_way >= (uint64_t)resolver->conf.max_lookups)
        return answer_without_asking(resolver, entry, "too many name look-ups under way", answer);
    if (entry == NULL)
        entry = dns_cache_add(&resolver->cache, name, hash);
    if (entry == NULL)
        return answer_without_asking(resolver, NULL, "no memory", answer);
    return start_lookup(resolver, resolve, entry, answer);
}

bool
resolve_start(struct resolver *resolver, struct resolve *resolve, struct slice host,
              struct resolve_answer *answer)
{
    char text[NAME_MAX_BYTES + 1];
    struct slice name;
    uint64_t hash;

    if (answer_literal(host, answer))
        return true;
    if (!read_name(host, text, &name)) {
        set_answer(answer, RESOLVE_NO_SUCH_HOST, "not a host name");
        return true;
    }
    check_files(resolver);
    hash = dns_cache_hash(&resolver->cache, name);
    if (answer_special(name, answer) || answer_from_hosts(resolver, name, answer)) {
        answer->first_family = preferred_family(resolver, hash);
        return true;
    }
    return start_name(resolver, resolve, name, hash, answer);
}

void
resolve_cancel(struct resolve *resolve)
{
    list_remove(&resolve->link);
}

void
resolver_prefer(struct resolver *resolver, struct slice host, uint8_t family)
{
    char text[NAME_MAX_BYTES + 1];
    struct slice name;
    uint64_t hash;

    if (!read_name(host, text, &name))
        return;
    hash = dns_cache_hash(&resolver->cache, name);
    resolver->preferences[hash % PREFERENCES] = (struct preference){
        .hash = hash, .until_ms = loop_now_ms(resolver->loop) + PREFERENCE_MS, .family = family,
    };
}

struct resolver_counts
resolver_counts(const struct resolver *resolver)
{
    struct resolver_counts counts = resolver->counts;

    counts.entries = resolver->cache.count;
    return counts;
}
