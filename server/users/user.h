/* SPDX-License-Identifier: BSD-2-Clause */
/* user.h - somebody who has proved who it is. */
#ifndef BASCULE_USER_H
#define BASCULE_USER_H

#include "server/base/arena.h"
#include "server/base/slice.h"

struct user {
    struct slice name;
    const struct slice *groups;
    unsigned group_count;
    const char *by;      /* how: "basic", "digest", "certificate" ... static */
    /* Header fields for upstream that came with the proof (forward_auth, claims of a token). */
    const struct user_field {
        struct slice name, value;
    } *fields;
    unsigned field_count;
};

#define USER_NAME_BYTES_MAX 255

/* Whether a name may be one, of a user or of a group: UTF-8 of 1 to USER_NAME_BYTES_MAX
 * bytes without control characters, nor spaces at its ends, which header fields lose on the
 * way. It can then be logged, told to origins, matched. */
bool user_name_is_good(struct slice name);

/* Whether text is UTF-8 (RFC 3629) without control characters (RFC 7617 section 2). */
bool user_text_is_good(struct slice text);

/* Copies all of it into arena. False when that is spent. */
MUST_USE bool user_copy(struct user *to, const struct user *from, struct arena *arena);

/* A copy in one block of the heap, of user_bytes() bytes, to be ended with free(). NULL
 * when memory is short. */
struct user *user_keep(const struct user *user);
size_t user_bytes(const struct user *user);

#endif
