/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_load.h - from PEM files to a bundle whose parts are checked and
 * belong together.
 *
 * Everything here may wait: for the disk, the supervisor, a program that prints
 * a passphrase.
 */
#ifndef BASCULE_CERTIFICATE_LOAD_H
#define BASCULE_CERTIFICATE_LOAD_H

#include "server/base/err.h"
#include "server/certificates/certificates.h"
#include "server/file_watch.h"
#include "server/schema.h"

/* Reads and checks the files of count certificates. key_command runs with a time
 * limit. Paths are as they are: "local" was resolved already. NULL with err,
 * which names the file. */
struct bundle *bundle_read(const struct certificate_conf *certificates, unsigned count,
                           struct err *err) MUST_USE;

/* When the first certificate in a file ends, without a look at its key. 0, or -1 with
 * err. */
int certificate_read_end(const char *path, int64_t *not_after_s, struct err *err);

struct bundle *bundle_ref(struct bundle *bundle);

/* Whether both would show clients the same. */
bool bundle_equal(const struct bundle *a, const struct bundle *b);

#endif
