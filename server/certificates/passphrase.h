/* SPDX-License-Identifier: BSD-2-Clause */
/* passphrase.h - asks a program for the passphrase of a key. */
#ifndef BASCULE_PASSPHRASE_H
#define BASCULE_PASSPHRASE_H

#include <stdbool.h>

#include "server/base/err.h"

#define PASSPHRASE_MAX 1024

/* Runs command, which is split at blanks and never seen by a shell, and takes the
 * first line that it prints. Waits for it, 10 seconds at most; then it is killed.
 * The length, or -1 with err. The caller wipes text. */
int passphrase_ask(const char *command, char text[PASSPHRASE_MAX], struct err *err) MUST_USE;

/* While on, nobody is waited for: who is asked right now is killed soon. From any
 * thread. */
void passphrase_abort(bool on);

#endif
