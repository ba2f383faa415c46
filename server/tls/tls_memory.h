/* SPDX-License-Identifier: BSD-2-Clause */
/* tls_memory.h - memory for OpenSSL, which asks for some hundred small pieces with
 * each handshake and gives them back at once.
 *
 * A worker thread keeps what it gets back, by size, and hands it out again: no
 * lock, no search. Other threads, and large pieces, use the heap as ever.
 */
#ifndef BASCULE_TLS_MEMORY_H
#define BASCULE_TLS_MEMORY_H

/* For the whole process, before anything of OpenSSL is used. */
void tls_memory_use(void);

/* The calling thread keeps pieces from now on; until it lets go of them. */
void tls_memory_keep(void);
void tls_memory_let_go(void);

#endif
