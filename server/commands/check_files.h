/* SPDX-License-Identifier: BSD-2-Clause */
/* check_files.h - whether the files that a configuration names are good. */
#ifndef BASCULE_CHECK_FILES_H
#define BASCULE_CHECK_FILES_H

#include "server/schema.h"

/* Looks into all of them and tells on stderr what is wrong, with warnings about what
 * could be served and yet would be refused by clients. How many are no good. */
unsigned check_files(const struct conf *conf);

#endif
