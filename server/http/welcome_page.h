/* SPDX-License-Identifier: BSD-2-Clause */
/* welcome_page.h - the page of the built-in site, which shows that it works
 * and what to try next.
 */
#ifndef BASCULE_WELCOME_PAGE_H
#define BASCULE_WELCOME_PAGE_H

#include "server/base/slice.h"

/* text/html; charset=utf-8. Static. */
struct slice welcome_page(void);

#endif
