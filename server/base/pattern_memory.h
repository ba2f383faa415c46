/* SPDX-License-Identifier: BSD-2-Clause */
/* pattern_memory.h - what a thread matches expressions with (PCRE2): offsets, limits, the stack
 * of the compiled code. For who compiles and matches by himself; others use pattern.h.
 */
#ifndef BASCULE_PATTERN_MEMORY_H
#define BASCULE_PATTERN_MEMORY_H

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>

/* Belongs to its thread: made at the first match, released when it ends. */
struct pattern_memory {
    pcre2_match_data *data; /* room for PATTERN_CAPTURES pairs of offsets */
    pcre2_match_context *context;
    pcre2_jit_stack *stack;
};

/* That of the calling thread, for matches of so many steps at most. NULL when memory is
 * short. */
struct pattern_memory *pattern_memory_of_thread(uint32_t match_limit);

#endif
