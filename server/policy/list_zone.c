/* SPDX-License-Identifier: BSD-2-Clause */
/* list_zone.c - response policy zones, as files of a name server have them
 * (draft-vixie-dnsop-dns-rpz-00 sections 3 and 4; master files: RFC 1035 section 5.1).
 *
 *     $ORIGIN rpz.example.
 *     @                SOA ...                the zone itself: passed over
 *     bad.example      CNAME .                in the list
 *     *.bad.example    CNAME *.               the same: a domain covers what is below
 *     good.bad.example CNAME rpz-passthru.    not, but what is below it may be
 *     32.1.2.0.192.rpz-ip CNAME .             about addresses: passed over
 */
#include "config.h"

#include "server/policy/list_formats.h"

#include "server/base/log.h"
#include "server/base/must.h"

#include <stdio.h>

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t';
}

/* Without its comment; strings in quotes may have a semicolon. */
static struct slice
without_comment(struct slice line)
{
    bool is_quoted = false;

    for (size_t i = 0; i < line.bytes; i++) {
        if (line.data[i] == '"')
            is_quoted = !is_quoted;
        if (line.data[i] == ';' && !is_quoted)
            return slice_make(line.data, i);
    }
    return line;
}

/* Whether the record goes on in the next line. */
static bool
is_open_after(bool is_open, struct slice line)
{
    bool is_quoted = false;

    for (size_t i = 0; i < line.bytes; i++) {
        if (line.data[i] == '"')
            is_quoted = !is_quoted;
        else if (!is_quoted && (line.data[i] == '(' || line.data[i] == ')'))
            is_open = line.data[i] == '(';
    }
    return is_open;
}

/* ---- names */

/* The name in full, in lower case, without a dot at the end. */
static int
complete(const struct zone_state *zone, struct slice name, char to[ZONE_NAME_BYTES_MAX],
         struct err *err)
{
    bool is_whole = name.bytes > 0 && name.data[name.bytes - 1] == '.';
    int bytes;

    if (is_whole)
        name.bytes--;
    if (name.bytes > DOMAIN_BYTES_MAX)
        return err_set(err, "the name \"%s\" is too long", log_escape(name));
    if (memchr(name.data, '\\', name.bytes) != NULL || memchr(name.data, '\0', name.bytes) != NULL)
        return err_set(err, "the name \"%s\" has an escape, which no host has", log_escape(name));
    if (slice_equal(name, SLICE("@")))
        bytes = snprintf(to, ZONE_NAME_BYTES_MAX, "%s", zone->origin);
    else
        bytes = snprintf(to, ZONE_NAME_BYTES_MAX, "%.*s%s%s", SLICE_ARG(name),
                         is_whole || zone->origin[0] == '\0' ? "" : ".",
                         is_whole ? "" : zone->origin);
    if (bytes >= (int)ZONE_NAME_BYTES_MAX)
        return err_set(err, "the name \"%s\" is too long", log_escape(name));
    for (char *c = to; *c != '\0'; c++)
        *c = ascii_lower(*c);
    return 0;
}

static bool
ends_with(struct slice name, struct slice end)
{
    return name.bytes > end.bytes && name.data[name.bytes - end.bytes - 1] == '.' &&
           memcmp(name.data + name.bytes - end.bytes, end.data, end.bytes) == 0;
}

/* What triggers the record: its owner without the name of the zone. Empty: nothing
 * that is a domain. */
static struct slice
trigger_of(const struct zone_state *zone, struct slice owner)
{
    static const struct slice others[] = { SLICE_INIT("rpz-ip"), SLICE_INIT("rpz-client-ip"),
                                           SLICE_INIT("rpz-nsip"), SLICE_INIT("rpz-nsdname") };
    struct slice apex = slice_of(zone->apex);

    if (slice_equal(owner, apex))
        return SLICE("");
    if (apex.bytes > 0 && ends_with(owner, apex))
        owner.bytes -= apex.bytes + 1;
    for (size_t i = 0; i < ARRAY_COUNT(others); i++)
        if (ends_with(owner, others[i]))
            return SLICE("");
    return owner;
}

/* ---- records */

/* TTLs begin with a digit; classes are rarely said. */
static struct slice
take_type(struct slice *rest)
{
    struct slice word;

    do {
        word = list_word_take(rest);
    } while (word.bytes > 0 &&
             (ascii_is_digit(word.data[0]) || slice_equal_nocase(word, SLICE("IN")) ||
              slice_equal_nocase(word, SLICE("CH")) || slice_equal_nocase(word, SLICE("HS"))));
    return word;
}

static bool
is_about_the_zone(struct slice type)
{
    static const struct slice types[] = { SLICE_INIT("SOA"), SLICE_INIT("NS"),
                                          SLICE_INIT("DNSKEY"), SLICE_INIT("RRSIG"),
                                          SLICE_INIT("NSEC"), SLICE_INIT("NSEC3"),
                                          SLICE_INIT("NSEC3PARAM") };

    for (size_t i = 0; i < ARRAY_COUNT(types); i++)
        if (slice_equal_nocase(type, types[i]))
            return true;
    return false;
}

/* A name that leads to itself is the old way of saying rpz-passthru. */
static bool
is_passed(struct slice type, struct slice target, struct slice trigger)
{
    if (!slice_equal_nocase(type, SLICE("CNAME")))
        return false;
    if (target.bytes > 0 && target.data[target.bytes - 1] == '.')
        target.bytes--;
    return slice_equal_nocase(target, SLICE("rpz-passthru")) ||
           slice_equal_nocase(target, trigger);
}

static int
take_record(struct zone_state *zone, struct list_content *content, struct slice rest,
            struct err *err)
{
    struct slice owner = slice_of(zone->owner), type = take_type(&rest), target, trigger;

    if (type.bytes == 0)
        return err_set(err, "the record has no type");
    if (slice_equal_nocase(type, SLICE("SOA")) && zone->apex[0] == '\0')
        memcpy(zone->apex, zone->owner, sizeof(zone->apex));
    trigger = trigger_of(zone, owner);
    if (is_about_the_zone(type) || trigger.bytes == 0)
        return 0;
    target = list_word_take(&rest);
    if (slice_equal_nocase(target, SLICE("rpz-tcp-only.")))
        return 0; /* to be asked again by TCP: about DNS only */
    return list_content_add_domain(content, trigger,
                                   is_passed(type, target, trigger) ? LIST_SPARE_ABOVE : LIST_PUT,
                                   err);
}

static int
take_directive(struct zone_state *zone, struct slice word, struct slice rest, struct err *err)
{
    char name[ZONE_NAME_BYTES_MAX];

    if (slice_equal_nocase(word, SLICE("$TTL")))
        return 0;
    if (!slice_equal_nocase(word, SLICE("$ORIGIN")))
        return err_set(err, "\"%s\" is not understood: $ORIGIN and $TTL are", log_escape(word));
    if (complete(zone, list_word_take(&rest), name, err) < 0)
        return -1;
    memcpy(zone->origin, name, sizeof(zone->origin));
    return 0;
}

int
zone_line_take(struct zone_state *zone, struct list_content *content, struct slice line,
               struct err *err)
{
    struct slice rest = without_comment(line), word;
    bool was_open = zone->is_in_parentheses;

    zone->is_in_parentheses = is_open_after(was_open, rest);
    if (was_open)
        return 0;
    if (rest.bytes > 0 && rest.data[0] == '$') {
        word = list_word_take(&rest);
        return take_directive(zone, word, rest, err);
    }
    if (rest.bytes > 0 && !is_blank(rest.data[0])) {
        word = list_word_take(&rest);
        zone->has_owner = complete(zone, word, zone->owner, err) == 0;
        if (!zone->has_owner)
            return -1;
    } else if (slice_trim(rest).bytes == 0) {
        return 0;
    }
    if (!zone->has_owner)
        return err_set(err, "the record belongs to no name");
    return take_record(zone, content, rest, err);
}
