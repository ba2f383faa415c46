/* SPDX-License-Identifier: BSD-2-Clause */
/* thread.h - starts threads that leave signals to the main thread.
 *
 * What a thread's own mistake raises (SIGSEGV and its like) it still gets, so that a
 * debugger or a sanitizer sees where it was.
 */
#ifndef BASCULE_THREAD_H
#define BASCULE_THREAD_H

#include <pthread.h>

#include "server/base/must.h"

/* Starts run(arg) in a thread of this name, of which the kernel shows 15 bytes. Returns 0
 * with *thread, to be joined or detached; otherwise the error number, as pthread_create(). */
MUST_USE int thread_start(pthread_t *thread, const char *name, void *(*run)(void *arg), void *arg);

#endif
