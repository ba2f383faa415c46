/* SPDX-License-Identifier: BSD-2-Clause */
/* digest_fields.h - "Digest" credentials: RFC 7616 section 3.4. */
#ifndef BASCULE_DIGEST_FIELDS_H
#define BASCULE_DIGEST_FIELDS_H

#include "server/users/credentials.h"

struct digest_fields {
    struct slice username; /* also of username*; UTF-8 */
    struct slice realm, nonce, uri, response, cnonce, opaque;
    struct slice algorithm; /* empty: not said, which is MD5 */
    struct slice nc;        /* as it came: eight hexadecimal digits */
    uint32_t count;         /* of nc; never 0 */
};

/* Slices of value, or of arena where there were escapes; *fields is filled when they are GOOD.
 * BAD also for what we did not offer: a quality of protection other than auth, hashed names. */
enum credentials digest_parse(struct slice value, struct arena *arena,
                              struct digest_fields *fields);

#endif
