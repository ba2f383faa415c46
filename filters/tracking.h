/* SPDX-License-Identifier: BSD-2-Clause */
/* tracking.h - parameters of URLs that follow people and say nothing to servers. */
#ifndef BASCULE_TRACKING_H
#define BASCULE_TRACKING_H

#include "server/base/arena.h"
#include "server/base/err.h"
#include "server/config/option.h"

struct field_set;

/* The URL without parameters that only track: those that are known to, and more (names,
 * or beginnings followed by "*"; case does not matter). All else is left byte for byte.
 * The url itself when there is none, and when its query seems to be signed: then every
 * byte of it counts. Empty, the arena remembering, when that is spent. */
struct slice tracking_strip(struct slice url, const struct strings *more, struct arena *arena);

/* 0, or -1 with err when name, as in more, is none. */
MUST_USE int tracking_check_name(struct slice name, struct err *err);

/* The known names; shown for their test. */
extern const struct field_set tracking_known;

#endif
