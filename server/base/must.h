/* SPDX-License-Identifier: BSD-2-Clause */
/* must.h - what has to be true, or the program is wrong.
 *
 * must() is on in every build: it logs where and aborts. No bytes from a peer
 * may ever be able to trip it.
 */
#ifndef BASCULE_MUST_H
#define BASCULE_MUST_H

#define must(condition) \
    ((condition) ? (void)0 : must_failed(#condition, __FILE__, __LINE__))

_Noreturn void must_failed(const char *condition, const char *file, int line);

#define MUST_USE __attribute__((warn_unused_result))
#define PRINTF_LIKE(text, first) __attribute__((format(printf, text, first)))
#define likely(x) __builtin_expect(!!(x), 1)
#define unlikely(x) __builtin_expect(!!(x), 0)

/* The object of the given type that holds member at address p. */
#define container_of(p, type, member) ((type *)(void *)((char *)(p) - offsetof(type, member)))

#define ARRAY_COUNT(a) (sizeof(a) / sizeof((a)[0]))

#endif
