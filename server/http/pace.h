/* SPDX-License-Identifier: BSD-2-Clause */
/* pace.h - content that is let through at so many bytes a second. */
#ifndef BASCULE_PACE_H
#define BASCULE_PACE_H

#include <stdint.h>

struct exchange;
struct source;

/* A source over inner, in the exchange's arena, that gives bytes_per_s in the long run and a
 * tenth of a second's worth (at least 16 KB) at once. It keeps the forms of inner, whose
 * pieces it shortens, and ends with the exchange. inner itself when it is NULL, when
 * bytes_per_s is 0 or more than any network has, and when memory is short. */
struct source *pace_wrap(struct exchange *ex, struct source *inner, uint64_t bytes_per_s);

#endif
