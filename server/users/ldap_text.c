/* SPDX-License-Identifier: BSD-2-Clause */
/* ldap_text.c - fills templates. All but letters, digits and a few harmless signs is
 * written as a backslash and two hexadecimal digits, which filters and names both
 * understand for any byte: so there is no list of dangerous letters to be wrong.
 */
#include "config.h"

#include "server/users/ldap_text.h"

#include "server/base/hex.h"

static bool
is_harmless(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || ascii_is_digit(c) || c == '.' ||
           c == '-' || c == '_' || c == '@';
}

/* A DN in a filter keeps the signs that make it one: they mean nothing there. */
static bool
is_plain(char c, enum ldap_quoting quoting)
{
    return is_harmless(c) || (quoting == LDAP_IN_FILTER && (c == '=' || c == ',' || c == ' '));
}

static size_t
quoted_bytes(struct slice text, enum ldap_quoting quoting)
{
    size_t bytes = text.bytes;

    for (size_t i = 0; i < text.bytes; i++)
        bytes += is_plain(text.data[i], quoting) ? 0 : 2;
    return bytes;
}

static char *
put_quoted(char *at, struct slice text, enum ldap_quoting quoting)
{
    for (size_t i = 0; i < text.bytes; i++) {
        if (is_plain(text.data[i], quoting)) {
            *at++ = text.data[i];
            continue;
        }
        *at++ = '\\';
        at = hex_put(at, (uint8_t)text.data[i]);
    }
    return at;
}

int
ldap_template_check(const char *text, const char *letters, struct err *err)
{
    bool has_first = false;

    for (const char *at = strchr(text, '%'); at != NULL; at = strchr(at + 2, '%')) {
        if (at[1] == '\0' || (at[1] != '%' && strchr(letters, at[1]) == NULL))
            return err_set(err, "\"%s\": after %% one of \"%s\" or another %% would be accepted",
                           text, letters);
        has_first |= at[1] == letters[0];
    }
    if (has_first)
        return 0;
    return err_set(err, "\"%s\" has no %%%c in it: it would be the same for everybody", text,
                   letters[0]);
}

/* What the letter behind "%" stands for. */
static struct slice
value_of(char letter, const struct ldap_values *values)
{
    return letter == 'u' ? values->user : letter == 'd' ? values->dn : slice_make(NULL, 0);
}

static size_t
filled_bytes(const char *text, const struct ldap_values *values, enum ldap_quoting quoting)
{
    size_t bytes = strlen(text);

    for (const char *at = strchr(text, '%'); at != NULL; at = strchr(at + 2, '%'))
        bytes += quoted_bytes(value_of(at[1], values), quoting);
    return bytes;
}

struct slice
ldap_template_fill(const char *text, const struct ldap_values *values, enum ldap_quoting quoting,
                   struct arena *arena)
{
    char *start = arena_alloc(arena, filled_bytes(text, values, quoting) + 1), *at = start;

    if (start == NULL)
        return slice_make("", 0);
    while (*text != '\0') {
        if (text[0] != '%') {
            *at++ = *text++;
            continue;
        }
        if (text[1] == '%')
            *at++ = '%';
        at = put_quoted(at, value_of(text[1], values), quoting);
        text += 2;
    }
    *at = '\0';
    return slice_make(start, (size_t)(at - start));
}
