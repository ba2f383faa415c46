/* SPDX-License-Identifier: BSD-2-Clause */
/* true_type.h - what content is by its first bytes, whatever it is said to be.
 *
 * A table of signatures; where browsers sniff, what the MIME Sniffing standard of the WHATWG
 * says. 512 bytes tell most types, 4 KB what is in a zip file, 36 KB ISO images.
 */
#ifndef BASCULE_TRUE_TYPE_H
#define BASCULE_TRUE_TYPE_H

#include <stdbool.h>
#include <stdint.h>

#include "server/base/err.h"
#include "server/base/slice.h"

/* Classes of types; a type may be in more than one. */
enum {
    CLASS_EXECUTABLE = 1, /* programs and packages of them, scripts too */
    CLASS_ARCHIVE = 2,
    CLASS_DOCUMENT = 4,
    CLASS_IMAGE = 8,
    CLASS_AUDIO = 16,
    CLASS_VIDEO = 32,
    CLASS_FONT = 64,
    CLASS_TEXT = 128,
    CLASS_ANY = 255,
};

struct true_type {
    const char *name; /* "pe" */
    uint8_t classes;  /* none: text or bytes of which nothing else is known */
};

#define TRUE_TYPES_MAX 128

/* The type of content that begins with start; never NULL: "text" and "binary" are what is
 * not known. */
const struct true_type *true_type_find(struct slice start);

/* Whether PHP would run something in there, whatever it begins with. */
bool true_type_has_php(struct slice start);

/* A set of types. */
struct true_types {
    uint64_t bits[TRUE_TYPES_MAX / 64];
};

/* Adds a type ("pe") or a class ("executable"). -1 with err: what would be accepted. */
int true_types_add(struct true_types *set, struct slice word, struct err *err);
bool true_types_has(const struct true_types *set, const struct true_type *type);

/* The type of the set that content that begins with start is; or that it is as well, whatever
 * it begins with, for readers who look elsewhere (PDF, tar, ISO 9660). NULL: none. */
const struct true_type *true_types_find(const struct true_types *set, struct slice start);

/* The classes that a media type, or a file extension, promises; 0: any. */
unsigned true_type_classes_of_media(struct slice essence);
unsigned true_type_classes_of_extension(struct slice extension);

#endif
