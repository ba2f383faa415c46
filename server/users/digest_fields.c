/* SPDX-License-Identifier: BSD-2-Clause */
/* digest_fields.c - a table of parameters, each of which may be there once. */
#include "config.h"

#include "server/users/digest_fields.h"

#include "server/base/hex.h"

#define PARAMETERS_MAX 32 /* unknown ones are passed over: RFC 7616 section 3.4 */

/* With what is only looked at here. */
struct reading {
    struct digest_fields fields;
    struct slice qop, userhash, username_ext;
};

static const struct parameter {
    struct slice name;
    size_t offset;
} parameters[] = {
#define FIELD(name_, member_) { SLICE_INIT(name_), offsetof(struct reading, member_) }
    FIELD("username", fields.username), FIELD("realm", fields.realm),
    FIELD("nonce", fields.nonce),       FIELD("uri", fields.uri),
    FIELD("response", fields.response), FIELD("cnonce", fields.cnonce),
    FIELD("opaque", fields.opaque),     FIELD("nc", fields.nc),
    FIELD("algorithm", fields.algorithm),
    FIELD("qop", qop),                  FIELD("userhash", userhash),
    FIELD("username*", username_ext),
#undef FIELD
};

/* False: it was there already. */
static bool
store(struct reading *reading, struct slice name, struct slice value)
{
    for (size_t i = 0; i < ARRAY_COUNT(parameters); i++) {
        struct slice *at = (void *)((char *)reading + parameters[i].offset);

        if (!slice_equal_nocase(name, parameters[i].name))
            continue;
        if (at->data != NULL)
            return false;
        *at = value;
        return true;
    }
    return true;
}

/* ---- names: RFC 8187 section 3.2 */

/* UTF-8''PERCENT-ENCODED, with a language between the quotes that says nothing here. */
static bool
decode_ext(struct slice text, struct arena *arena, struct slice *name)
{
    const struct slice charset = SLICE("UTF-8'");
    ptrdiff_t quote;
    char *out, *at;

    if (text.bytes < charset.bytes ||
        !slice_equal_nocase(slice_make(text.data, charset.bytes), charset))
        return false;
    text = slice_skip(text, charset.bytes);
    quote = slice_find(text, '\'');
    if (quote < 0)
        return false;
    text = slice_skip(text, (size_t)quote + 1);
    out = at = arena_alloc(arena, text.bytes + 1);
    if (out == NULL)
        return false;
    while (text.bytes > 0) {
        bool is_escape = text.data[0] == '%';
        int byte = is_escape ? hex_unescape(text) : text.data[0];

        if (is_escape && byte < 0)
            return false;
        *at++ = (char)byte;
        text = slice_skip(text, is_escape ? 3 : 1);
    }
    *name = slice_make(out, (size_t)(at - out));
    return true;
}

static bool
find_name(struct reading *reading, struct arena *arena)
{
    struct slice *name = &reading->fields.username;

    if ((name->data != NULL) == (reading->username_ext.data != NULL))
        return false;
    if (name->data == NULL && !decode_ext(reading->username_ext, arena, name))
        return false;
    return user_name_is_good(*name);
}

/* ---- the whole */

static bool
find_count(struct digest_fields *fields)
{
    unsigned char bytes[4];

    if (!hex_decode(fields->nc, bytes, sizeof(bytes)))
        return false;
    fields->count = (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 |
                    (uint32_t)bytes[2] << 8 | bytes[3];
    return fields->count != 0;
}

static bool
is_offered(const struct reading *reading)
{
    return slice_equal_nocase(reading->qop, SLICE("auth")) &&
           (reading->userhash.data == NULL ||
            slice_equal_nocase(reading->userhash, SLICE("false")));
}

static bool
is_whole(const struct digest_fields *fields)
{
    return fields->realm.data != NULL && fields->nonce.bytes > 0 && fields->uri.bytes > 0 &&
           fields->response.bytes > 0 && fields->cnonce.bytes > 0;
}

enum credentials
digest_parse(struct slice value, struct arena *arena, struct digest_fields *fields)
{
    struct reading reading = { .qop = { NULL, 0 } };
    struct slice rest, name;
    enum credentials found;

    if (!credentials_are(value, SLICE("Digest"), &rest))
        return CREDENTIALS_NONE;
    for (unsigned i = 0; (found = credentials_next(&rest, arena, &name, &value)) !=
                         CREDENTIALS_NONE; i++) {
        if (found == CREDENTIALS_BAD || i >= PARAMETERS_MAX || !store(&reading, name, value))
            return CREDENTIALS_BAD;
    }
    if (!find_name(&reading, arena) || !find_count(&reading.fields) || !is_offered(&reading) ||
        !is_whole(&reading.fields))
        return CREDENTIALS_BAD;
    *fields = reading.fields;
    return CREDENTIALS_GOOD;
}
