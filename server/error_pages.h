/* SPDX-License-Identifier: BSD-2-Clause */
/* error_pages.h - the operator's error pages of a configuration. */
#ifndef BASCULE_ERROR_PAGES_H
#define BASCULE_ERROR_PAGES_H

#include "server/schema.h"

/* Checks what a listener or site says, without looking at files. 0, or -1 with err. */
int error_page_finish(const struct error_page_conf *page, struct err *err);

/* Reads all templates into arena, each file once. 0, or -1 with err, which names the
 * listener or site, the file and the line in it. */
int error_pages_adopt(struct conf *conf, struct arena *arena, struct err *err);

#endif
