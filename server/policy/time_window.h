/* SPDX-License-Identifier: BSD-2-Clause */
/* time_window.h - "Mon-Fri 08:00-18:00" in a time zone. */
#ifndef BASCULE_TIME_WINDOW_H
#define BASCULE_TIME_WINDOW_H

#include "server/base/arena.h"
#include "server/base/err.h"
#include "server/config/option.h"

struct time_windows;

/* Any of the texts: days ("Mon-Fri", "Sat,Sun", "2026-12-24", "12-24"), times
 * ("08:00-18:00"; past midnight when the end is before the beginning, belonging to the
 * day it began on), or both, days first. time_zone: a name of the system's database, "UTC", or
 * NULL for the system's own; its rules are read now, daylight saving included, and kept in
 * arena. NULL with err. */
struct time_windows *time_windows_new(struct arena *arena, const struct strings *texts,
                                      const char *time_zone, struct err *err);

/* Whether now (since 1970) is in any of them. No locks, no libc time zones. */
bool time_windows_has(const struct time_windows *windows, int64_t now_s);

/* "Tue 14:03 CET", for explain. Returns text. */
#define TIME_WINDOW_TEXT_BYTES 48
const char *time_windows_say(const struct time_windows *windows, int64_t now_s, char *text);

#endif
