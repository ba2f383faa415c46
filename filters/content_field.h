/* SPDX-License-Identifier: BSD-2-Clause */
/* content_field.h - what Content-Type and Content-Disposition say (RFC 9110 section 8.3,
 * RFC 6266): the value, and parameters behind it.
 *
 * Bytes in, meaning out. Receivers read malformed ones in their own ways, so that callers
 * who guard something refuse what is PARAMETER_BAD.
 */
#ifndef BASCULE_CONTENT_FIELD_H
#define BASCULE_CONTENT_FIELD_H

#include <stdbool.h>

#include "server/base/arena.h"
#include "server/base/slice.h"

/* What stands before the first ";": "text/html" of "text/html; charset=utf-8". */
struct slice content_field_value(struct slice field);

/* Takes the same off *field; parameters are left. */
struct slice content_field_take_value(struct slice *field);

struct parameter {
    struct slice name, value; /* as written, but for the quotes */
    bool is_quoted;
    bool is_extended; /* name*=charset'language'%41: name is without the asterisk */
};

enum parameter_result { PARAMETER_FOUND, PARAMETER_END, PARAMETER_BAD };

/* Takes the next one off *field: OWS ";" OWS name "=" (token / quoted-string), RFC 9110
 * section 5.6.6; of an extended one, RFC 8187. Empty ones ("; ;") are passed over. */
enum parameter_result parameter_next(struct slice *field, struct parameter *parameter);

/* The value without escapes, written to where there is room for parameter->value.bytes; that
 * may be where the value itself lies. Of a quoted one, backslashes before '"' and '\' go
 * (browsers write others into the names of files and mean them); of an extended one, charset
 * and language, and its escapes are decoded. */
struct slice parameter_decode(const struct parameter *parameter, char *to);

/* Text with its escapes decoded, "%41" or whatever character begins them; written to where
 * there is room for text.bytes, which may be where text lies. */
struct slice content_field_unescape(struct slice text, char escape, char *to);

/* Whether essence ("image/png") is what pattern says: the same, "image/" and an asterisk,
 * an asterisk and "+json", or all. Case does not count. */
bool content_type_is(struct slice essence, struct slice pattern);

/* Whether a pattern is one of these forms. */
bool content_type_pattern_is_valid(struct slice pattern);

/* What follows the last dot of the last segment of a path or file name, behind which there
 * are no dots or spaces (Windows drops them): "exe" of "a/b.tar.exe. ". It ends before what
 * servers do not count to it: ";", ":", NUL ("a.asp;.jpg", "a.asp::$DATA"). Empty: none. */
struct slice file_extension(struct slice name);

#endif
