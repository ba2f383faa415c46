/* SPDX-License-Identifier: BSD-2-Clause */
/* header.c - recognises well-known names, and keeps lists of fields.
 *
 * A name's hash is made of its length and three of its letters; the multiplier
 * was searched so that no two well-known names share a slot. So recognising
 * takes one look-up and one comparison. The unit test "header" checks this and,
 * when the names have changed, searches again and prints what goes in here.
 */
#include "config.h"

#include "server/http/header.h"

enum { FIRST_ROOM = 24 }; /* fields; most messages have fewer */

/* ---- well-known names */

#define HASH_MULTIPLIER 0x9d7f966du
#define HASH_BITS 9

static const uint8_t slots[1 << HASH_BITS] = {
    [0] = FIELD_FROM, [3] = FIELD_CACHE_CONTROL, [6] = FIELD_ACCESS_CONTROL_ALLOW_HEADERS,
    [13] = FIELD_TRAILER, [14] = FIELD_SET_COOKIE, [19] = FIELD_ACCEPT_ENCODING,
    [21] = FIELD_X_CLUSTER_CLIENT_IP, [23] = FIELD_AUTHENTICATION_INFO,
    [26] = FIELD_PROXY_AUTHORIZATION, [27] = FIELD_X_FORWARDED_HOST, [33] = FIELD_X_FORWARDED_PROTO,
    [35] = FIELD_CONTENT_LANGUAGE, [36] = FIELD_X_GENERATOR, [37] = FIELD_CACHE_TAG,
    [40] = FIELD_PROXY_STATUS, [41] = FIELD_CACHE_STATUS, [51] = FIELD_TRACESTATE,
    [52] = FIELD_VARY, [65] = FIELD_UPGRADE_INSECURE_REQUESTS, [69] = FIELD_X_CONTENT_TYPE_OPTIONS,
    [85] = FIELD_X_FORWARDED, [90] = FIELD_X_FORWARDED_SERVER, [92] = FIELD_CLIENT_CERT_CHAIN,
    [93] = FIELD_ETAG, [94] = FIELD_CONTENT_SECURITY_POLICY, [102] = FIELD_DATE,
    [103] = FIELD_EXPECT, [109] = FIELD_SEC_FETCH_SITE, [112] = FIELD_USER_AGENT,
    [124] = FIELD_SEC_WEBSOCKET_VERSION, [129] = FIELD_ACCESS_CONTROL_REQUEST_HEADERS,
    [130] = FIELD_X_FORWARDED_FOR, [132] = FIELD_DNT, [133] = FIELD_CLIENT_IP,
    [141] = FIELD_FORWARDED, [142] = FIELD_X_FRAME_OPTIONS, [148] = FIELD_PRIORITY,
    [149] = FIELD_X_ASPNET_VERSION, [152] = FIELD_PROXY_AUTHENTICATION_INFO,
    [167] = FIELD_ACCEPT_CHARSET, [173] = FIELD_X_POWERED_BY, [174] = FIELD_IF_MODIFIED_SINCE,
    [179] = FIELD_SERVER_TIMING, [182] = FIELD_TRUE_CLIENT_IP, [186] = FIELD_CDN_LOOP,
    [188] = FIELD_SEC_CH_UA_MOBILE, [193] = FIELD_STRICT_TRANSPORT_SECURITY, [194] = FIELD_ACCEPT,
    [196] = FIELD_ACCESS_CONTROL_MAX_AGE, [200] = FIELD_CLIENT_CERT, [204] = FIELD_SEC_FETCH_USER,
    [207] = FIELD_SEC_WEBSOCKET_ACCEPT, [211] = FIELD_ACCEPT_LANGUAGE,
    [214] = FIELD_SEC_WEBSOCKET_EXTENSIONS, [216] = FIELD_ALT_SVC,
    [224] = FIELD_ACCESS_CONTROL_EXPOSE_HEADERS, [234] = FIELD_CONTENT_LENGTH, [237] = FIELD_SERVER,
    [238] = FIELD_X_FORWARDED_PORT, [249] = FIELD_COOKIE, [258] = FIELD_TRACEPARENT,
    [259] = FIELD_REFRESH, [261] = FIELD_REFERRER_POLICY, [266] = FIELD_IF_MATCH,
    [268] = FIELD_WWW_AUTHENTICATE, [269] = FIELD_X_FORWARDED_PREFIX, [271] = FIELD_X_RUNTIME,
    [275] = FIELD_UPGRADE, [279] = FIELD_X_CLIENT_IP, [281] = FIELD_SURROGATE_CONTROL,
    [282] = FIELD_CONTENT_DISPOSITION, [288] = FIELD_PROXY_AUTHENTICATE, [294] = FIELD_HOST,
    [301] = FIELD_ACCESS_CONTROL_ALLOW_CREDENTIALS, [304] = FIELD_RETRY_AFTER, [310] = FIELD_LINK,
    [312] = FIELD_RANGE, [314] = FIELD_X_REQUESTED_WITH, [320] = FIELD_SEC_FETCH_DEST,
    [328] = FIELD_CONTENT_TYPE, [329] = FIELD_IF_NONE_MATCH, [332] = FIELD_LAST_MODIFIED,
    [333] = FIELD_WARNING, [337] = FIELD_SEC_WEBSOCKET_KEY, [342] = FIELD_TRANSFER_ENCODING,
    [344] = FIELD_SEC_CH_UA, [346] = FIELD_ACCESS_CONTROL_REQUEST_METHOD,
    [347] = FIELD_SEC_WEBSOCKET_PROTOCOL, [355] = FIELD_CONTENT_ENCODING,
    [356] = FIELD_IF_UNMODIFIED_SINCE, [357] = FIELD_ACCESS_CONTROL_ALLOW_ORIGIN,
    [359] = FIELD_X_REAL_IP, [361] = FIELD_CDN_CACHE_CONTROL, [367] = FIELD_TE,
    [373] = FIELD_CONNECTION, [381] = FIELD_MAX_FORWARDS, [388] = FIELD_CF_CONNECTING_IP,
    [391] = FIELD_PROXY_CONNECTION, [392] = FIELD_AUTHORIZATION, [393] = FIELD_KEEP_ALIVE,
    [394] = FIELD_CONTENT_LOCATION, [398] = FIELD_CONTENT_RANGE,
    [402] = FIELD_ACCESS_CONTROL_ALLOW_METHODS, [408] = FIELD_EXPIRES, [410] = FIELD_REFERER,
    [412] = FIELD_HTTP2_SETTINGS, [415] = FIELD_AGE, [416] = FIELD_SEC_FETCH_MODE,
    [424] = FIELD_SEC_CH_UA_PLATFORM, [431] = FIELD_PRAGMA, [438] = FIELD_ALLOW,
    [444] = FIELD_PROXY, [446] = FIELD_IF_RANGE, [449] = FIELD_ORIGIN, [454] = FIELD_LOCATION,
    [462] = FIELD_VIA, [486] = FIELD_X_ASPNETMVC_VERSION, [496] = FIELD_SEC_GPC,
    [497] = FIELD_X_REQUEST_ID, [500] = FIELD_SURROGATE_KEY, [504] = FIELD_EARLY_DATA,
    [505] = FIELD_ACCEPT_RANGES,
};

static const struct {
    struct slice name;
    unsigned flags;
} known[FIELD_ID_COUNT] = {
    [FIELD_OTHER] = { SLICE_INIT(""), 0 },
#define X(id, name, flags) [FIELD_##id] = { SLICE_INIT(name), flags },
    HEADER_NAMES(X)
#undef X
};

_Static_assert(FIELD_ID_COUNT <= UINT8_MAX, "slots[] holds bytes");

static inline unsigned
hash(struct slice name)
{
    const unsigned char *s = (const unsigned char *)name.data;
    uint32_t key = (uint32_t)s[0] | (uint32_t)s[name.bytes / 2] << 8 |
                   (uint32_t)s[name.bytes - 2] << 16 | (uint32_t)name.bytes << 24;

    key |= 0x202020; /* whatever their case */
    return (key * HASH_MULTIPLIER) >> (32 - HASH_BITS);
}

static inline uint64_t
load(const char *data, size_t bytes)
{
    uint64_t word = 0;

    memcpy(&word, data, bytes);
    return word;
}

/* Whether eight bytes equal those of a well-known name but for the case of
 * letters. Among letters, digits and hyphens exactly the letters have bit 6,
 * and bit 5 is their case: only there may the two differ. */
static inline bool
is_same_word(uint64_t any, uint64_t name)
{
    return ((any ^ name) & ~((name >> 1) & 0x2020202020202020u)) == 0;
}

/* For names from width to twice as many bytes: their ends, which may overlap. */
static inline bool
are_same_ends(const char *any, struct slice name, size_t width)
{
    size_t last = name.bytes - width;

    return is_same_word(load(any, width), load(name.data, width)) &&
           is_same_word(load(any + last, width), load(name.data + last, width));
}

/* Eight bytes at a time; the last word overlaps the one before. Kept apart, as
 * few names are that long. */
static __attribute__((noinline)) bool
is_same_long_name(const char *any, struct slice name)
{
    for (size_t at = 0; at + 16 < name.bytes; at += 8)
        if (!is_same_word(load(any + at, 8), load(name.data + at, 8)))
            return false;
    return are_same_ends(any + name.bytes - 16, slice_skip(name, name.bytes - 16), 8);
}

static inline bool
is_same_name(const char *any, struct slice name)
{
    if (unlikely(name.bytes > 16))
        return is_same_long_name(any, name);
    if (name.bytes >= 8)
        return are_same_ends(any, name, 8);
    return name.bytes >= 4 ? are_same_ends(any, name, 4) : are_same_ends(any, name, 2);
}

static inline enum field_id
recognise(struct slice name)
{
    unsigned id;

    if (name.bytes < 2)
        return FIELD_OTHER;
    id = slots[hash(name)];
    if (known[id].name.bytes != name.bytes || !is_same_name(name.data, known[id].name))
        return FIELD_OTHER;
    return id;
}

enum field_id
field_id_of(struct slice name)
{
    return recognise(name);
}

struct slice
field_name(enum field_id id)
{
    return known[id].name;
}

unsigned
field_flags(enum field_id id)
{
    return known[id].flags;
}

/* ---- looking up */

const struct field *
fields_next(const struct fields *fields, enum field_id id, const struct field *previous)
{
    const struct field *field = previous != NULL ? previous + 1 : fields->items;

    if (!fields_has(fields, id))
        return NULL;
    for (; field < fields->items + fields->count; field++)
        if (field->id == id)
            return field;
    return NULL;
}

const struct field *
fields_find(const struct fields *fields, enum field_id id)
{
    return fields_next(fields, id, NULL);
}

struct slice
fields_get(const struct fields *fields, enum field_id id)
{
    const struct field *field = fields_find(fields, id);

    return field != NULL ? field->value : slice_make(NULL, 0);
}

static bool
has_name(const struct field *field, enum field_id id, struct slice name)
{
    return field->id == id && (id != FIELD_OTHER || slice_equal_nocase(field->name, name));
}

static struct field *
find(const struct fields *fields, enum field_id id, struct slice name)
{
    if (!fields_has(fields, id))
        return NULL;
    for (uint32_t i = 0; i < fields->count; i++)
        if (has_name(&fields->items[i], id, name))
            return &fields->items[i];
    return NULL;
}

const struct field *
fields_find_name(const struct fields *fields, struct slice name)
{
    return find(fields, recognise(name), name);
}

struct slice
fields_joined(const struct fields *fields, enum field_id id, struct arena *arena)
{
    const struct field *first = fields_find(fields, id), *field;
    size_t bytes = 0;
    char *data, *at;

    if (first == NULL || fields_next(fields, id, first) == NULL)
        return first != NULL ? first->value : slice_make(NULL, 0);
    for (field = first; field != NULL; field = fields_next(fields, id, field))
        bytes += field->value.bytes + 2;
    data = at = arena_alloc(arena, bytes);
    if (data == NULL)
        return slice_make("", 0);
    for (field = first; field != NULL; field = fields_next(fields, id, field)) {
        if (field != first)
            at = mempcpy(at, ", ", 2);
        if (field->value.bytes > 0)
            at = mempcpy(at, field->value.data, field->value.bytes);
    }
    return slice_make(data, (size_t)(at - data));
}

/* ---- changing */

static bool
make_room(struct fields *fields, struct arena *arena)
{
    uint32_t room = fields->room > 0 ? fields->room * 2 : FIRST_ROOM;
    struct field *items;

    if (room <= fields->room)
        return false;
    items = arena_alloc(arena, room * sizeof(*items));
    if (items == NULL)
        return false;
    if (fields->count > 0)
        memcpy(items, fields->items, fields->count * sizeof(*items));
    fields->items = items;
    fields->room = room;
    return true;
}

static inline void
put(struct field *field, enum field_id id, struct slice name, struct slice value)
{
    field->name = name;
    field->value = value;
    field->id = (uint16_t)id;
    field->flags = (uint16_t)known[id].flags;
}

static inline void
add(struct fields *fields, struct arena *arena, enum field_id id, struct slice name,
    struct slice value)
{
    if (unlikely(fields->count == fields->room) && !make_room(fields, arena))
        return;
    put(&fields->items[fields->count++], id, name, value);
    fields->present[id / 64] |= UINT64_C(1) << (id % 64);
}

void
fields_add(struct fields *fields, struct arena *arena, enum field_id id, struct slice value)
{
    must(id != FIELD_OTHER);
    add(fields, arena, id, known[id].name, value);
}

void
fields_add_hop(struct fields *fields, struct arena *arena, enum field_id id, struct slice value)
{
    uint32_t count = fields->count;

    fields_add(fields, arena, id, value);
    if (fields->count > count)
        fields->items[count].flags &= (uint16_t)~FIELD_HOP;
}

void
fields_add_name(struct fields *fields, struct arena *arena, struct slice name, struct slice value)
{
    add(fields, arena, recognise(name), name, value);
}

/* The first line of that name becomes the new one, the others go. */
static void
set(struct fields *fields, struct arena *arena, enum field_id id, struct slice name,
    struct slice value)
{
    struct field *first = find(fields, id, name);
    uint32_t kept;

    if (first == NULL) {
        add(fields, arena, id, name, value);
        return;
    }
    put(first, id, name, value);
    kept = (uint32_t)(first - fields->items) + 1;
    for (uint32_t i = kept; i < fields->count; i++)
        if (!has_name(&fields->items[i], id, name))
            fields->items[kept++] = fields->items[i];
    fields->count = kept;
}

void
fields_set(struct fields *fields, struct arena *arena, enum field_id id, struct slice value)
{
    must(id != FIELD_OTHER);
    set(fields, arena, id, known[id].name, value);
}

void
fields_set_name(struct fields *fields, struct arena *arena, struct slice name, struct slice value)
{
    set(fields, arena, recognise(name), name, value);
}

/* ---- with ids that are known */

static struct slice
name_of(enum field_id id, struct slice name)
{
    return id != FIELD_OTHER ? known[id].name : name;
}

void
fields_add_line(struct fields *fields, struct arena *arena, enum field_id id, struct slice name,
                struct slice value)
{
    add(fields, arena, id, name_of(id, name), value);
}

void
fields_set_line(struct fields *fields, struct arena *arena, enum field_id id, struct slice name,
                struct slice value)
{
    set(fields, arena, id, name_of(id, name), value);
}

struct field
field_line(enum field_id id, struct slice name, struct slice value)
{
    struct field line;

    put(&line, id, name_of(id, name), value);
    return line;
}

void
fields_add_lines(struct fields *fields, struct arena *arena, const struct field *lines,
                 uint32_t count)
{
    while (unlikely(fields->room - fields->count < count))
        if (!make_room(fields, arena))
            return;
    if (count > 0)
        memcpy(fields->items + fields->count, lines, count * sizeof(*lines));
    fields->count += count;
    for (uint32_t i = 0; i < count; i++)
        fields->present[lines[i].id / 64] |= UINT64_C(1) << (lines[i].id % 64);
}

/* ---- removing */

void
fields_mark(struct fields *fields)
{
    uint64_t present[ARRAY_COUNT(fields->present)] = { 0 };

    for (uint32_t i = 0; i < fields->count; i++)
        present[fields->items[i].id / 64] |= UINT64_C(1) << (fields->items[i].id % 64);
    memcpy(fields->present, present, sizeof(present));
}

unsigned
fields_remove_if(struct fields *fields, bool (*drop)(const struct field *, void *), void *arg)
{
    uint32_t kept = 0, count = fields->count;

    for (uint32_t i = 0; i < count; i++)
        if (!drop(&fields->items[i], arg))
            fields->items[kept++] = fields->items[i];
    fields->count = kept;
    if (kept < count)
        fields_mark(fields);
    return count - kept;
}

static bool
is_of_name(const struct field *field, void *arg)
{
    const struct slice *name = arg;

    return slice_equal_nocase(field->name, *name);
}

unsigned
fields_remove_name(struct fields *fields, struct slice name)
{
    enum field_id id = recognise(name);

    if (id != FIELD_OTHER)
        return fields_remove(fields, id);
    return fields_has(fields, id) ? fields_remove_if(fields, is_of_name, &name) : 0;
}

static bool
is_of_id(const struct field *field, void *arg)
{
    const enum field_id *id = arg;

    return field->id == *id;
}

unsigned
fields_remove(struct fields *fields, enum field_id id)
{
    must(id != FIELD_OTHER);
    return fields_has(fields, id) ? fields_remove_if(fields, is_of_id, &id) : 0;
}

/* ---- hop by hop */

/* Marks the fields of a nominated name as hop-by-hop, unless nobody may
 * nominate it. */
static void
nominate(struct fields *fields, struct slice name)
{
    enum field_id id = recognise(name);

    if (!fields_has(fields, id) || known[id].flags & (FIELD_FRAMING | FIELD_KEEP_NOMINATED))
        return;
    for (uint32_t i = 0; i < fields->count; i++)
        if (has_name(&fields->items[i], id, name))
            fields->items[i].flags |= FIELD_HOP;
}

static bool
is_hop_by_hop(const struct field *field, void *arg)
{
    (void)arg;
    return (field->flags & FIELD_HOP) != 0;
}

void
fields_remove_hop_by_hop(struct fields *fields)
{
    const struct field *field = fields_find(fields, FIELD_CONNECTION);

    for (; field != NULL; field = fields_next(fields, FIELD_CONNECTION, field)) {
        struct slice list = field->value, name;

        while (slice_next_element(&list, &name))
            nominate(fields, name);
    }
    fields_remove_if(fields, is_hop_by_hop, NULL);
}

/* ---- copying */

struct fields *
fields_copy(const struct fields *fields, struct arena *arena)
{
    struct fields *copy = arena_alloc(arena, sizeof(*copy));

    if (copy == NULL)
        return NULL;
    *copy = *fields;
    copy->room = copy->count;
    copy->items = arena_alloc(arena, copy->count * sizeof(*copy->items));
    if (copy->items == NULL)
        return NULL;
    if (copy->count > 0)
        memcpy(copy->items, fields->items, copy->count * sizeof(*copy->items));
    return copy;
}
