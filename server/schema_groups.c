/* SPDX-License-Identifier: BSD-2-Clause */
/* schema_groups.c - groups and where their endpoints are. */
#include "config.h"

#include "server/schema_link.h"

#include "server/config/reader.h"
#include "server/host_map.h"
#include "server/name_set.h"
#include "server/schema_tls.h"
#include "server/upstream/group.h"

struct group_conf *
conf_group(const struct conf *conf, const char *name, struct err *err)
{
    const struct name *found = name_set_find(conf->group_names, name);
    struct nearest nearest;
    size_t i;

    if (found->text != NULL) {
        ((struct group_conf *)found->object)->is_used = true;
        return found->object;
    }
    nearest_init(&nearest, slice_of(name));
    for (i = 0; i < conf->groups.count; i++)
        nearest_offer(&nearest, ((struct group_conf *)conf->groups.items[i])->name);
    err_set(err, "there is no group \"%s\"", name);
    nearest_hint(&nearest, err);
    return NULL;
}

/* ---- endpoints */

/* The name to resolve, in lower case. */
static int
parse_host(struct endpoint_conf *endpoint, struct slice host, struct arena *arena,
           struct err *err)
{
    struct slice lower = arena_copy(arena, host);
    size_t i;

    for (i = 0; i < lower.bytes; i++)
        ((char *)lower.data)[i] = ascii_lower(lower.data[i]);
    if (lower.bytes > 1 && lower.data[lower.bytes - 1] == '.')
        lower.bytes--;
    endpoint->host = lower;
    if (host_is_name(lower))
        return 0;
    if (slice_find(host, ':') >= 0)
        return err_set(err, "an IPv6 address stands in brackets: \"[::1]:80\"");
    if (host.bytes == 0)
        return err_set(err, "the host is missing: expected HOST:PORT");
    return err_set(err, "\"%.*s\" is neither a host name nor an IP address", SLICE_ARG(host));
}

/* Splits "HOST:PORT". */
static int
parse_host_port(struct endpoint_conf *endpoint, struct arena *arena, struct err *err)
{
    const char *colon = strrchr(endpoint->to, ':');
    uint64_t port;

    if (strstr(endpoint->to, "://") != NULL)
        return err_set(err, "expected HOST:PORT, without a scheme and a path");
    if (colon == NULL)
        return err_set(err, "the port is missing: expected HOST:PORT");
    if (!slice_to_u64(slice_of(colon + 1), 65535, &port) || port == 0)
        return err_set(err, "port \"%s\" is outside 1..65535", colon + 1);
    endpoint->port = (uint16_t)port;
    return parse_host(endpoint, slice_make(endpoint->to, (size_t)(colon - endpoint->to)), arena,
                      err);
}

/* Where a literal address or a unix socket is. False: it is neither. */
static bool
parse_literal(struct endpoint_conf *endpoint, struct err *err)
{
    struct slice to = slice_of(endpoint->to);
    struct ip ip;

    if (address_parse(&endpoint->address, to, -1, err) < 0)
        return false;
    endpoint->is_literal = true;
    if (slice_starts_with(to, SLICE("unix:")))
        return true;
    endpoint->host = slice_make(to.data, (size_t)(strrchr(to.data, ':') - to.data));
    if (endpoint->host.bytes > 2 && endpoint->host.data[0] == '[')
        endpoint->host = slice_make(endpoint->host.data + 1, endpoint->host.bytes - 2);
    ip_from_sockaddr(&ip, &endpoint->address.to.any);
    endpoint->port = ip.port;
    return true;
}

static bool
looks_literal(const char *to)
{
    size_t digits = strspn(to, "0123456789.");

    return to[0] == '[' || strncmp(to, "unix:", 5) == 0 ||
           (to[digits] == ':' && (digits > 0 || to[1] == ':'));
}

static int
finish_endpoint(struct endpoint_conf *endpoint, struct arena *arena, struct err *err)
{
    if (!looks_literal(endpoint->to))
        return parse_host_port(endpoint, arena, err);
    if (!parse_literal(endpoint, err))
        return -1;
    if (endpoint->address.to.any.sa_family != AF_UNIX && endpoint->port == 0)
        return err_set(err, "port 0 cannot be connected to");
    return 0;
}

/* ---- groups */

static int
finish_endpoints(struct linker *linker, struct group_conf *group)
{
    struct name_set *names = name_set_new(&linker->scratch, group->endpoints.count);
    size_t i;

    if (names == NULL)
        return err_set(linker->err, "out of memory");
    for (i = 0; i < group->endpoints.count; i++) {
        struct endpoint_conf *endpoint = group->endpoints.items[i];
        struct name *name = name_set_find(names, endpoint->to);
        bool is_twice = name->text != NULL;

        *name = (struct name){ .text = endpoint->to };
        if (is_twice)
            err_set(linker->err, "is in group \"%s\" already: give it a weight instead",
                    group->name);
        if (is_twice || finish_endpoint(endpoint, linker->arena, linker->err) < 0)
            return link_fail(linker->err, &endpoint->place, "endpoint", endpoint->to);
    }
    return 0;
}

static int
finish_group(struct linker *linker, struct group_conf *group)
{
    if (link_check_name("group", group->name, &group->place, linker->err) < 0 ||
        finish_endpoints(linker, group) < 0)
        return -1;
    if (link_group_tls(linker, group) < 0 ||
        group_schedule(group, linker->arena, linker->err) < 0)
        return link_fail(linker->err, &group->place, "group", group->name);
    return 0;
}

int
link_groups(struct linker *linker)
{
    struct conf *conf = linker->conf;
    size_t i;

    conf->group_names = name_set_new(linker->arena, conf->groups.count);
    if (conf->group_names == NULL)
        return err_set(linker->err, "out of memory");
    for (i = 0; i < conf->groups.count; i++) {
        struct group_conf *group = conf->groups.items[i];

        if (finish_group(linker, group) < 0)
            return -1;
        *name_set_find(conf->group_names, group->name) = (struct name){ group->name, group };
    }
    return 0;
}
