/* SPDX-License-Identifier: BSD-2-Clause */
/* pattern_memory.c - one for each thread that matches. */
#include "config.h"

#include "server/base/pattern_memory.h"

#include <pthread.h>
#include <stdlib.h>

#include "server/base/must.h"
#include "server/base/pattern.h"

#define HEAP_LIMIT_KIB 1024u /* of the interpreter */
#define JIT_STACK_MIN_BYTES (32u * 1024)
#define JIT_STACK_MAX_BYTES (256u * 1024)

static pthread_once_t once = PTHREAD_ONCE_INIT;
static pthread_key_t key;
static _Thread_local struct pattern_memory *of_thread;

static void
release(void *arg)
{
    struct pattern_memory *memory = arg;

    pcre2_match_data_free(memory->data);
    pcre2_match_context_free(memory->context);
    pcre2_jit_stack_free(memory->stack);
    free(memory);
    of_thread = NULL;
}

static void
make_key(void)
{
    must(pthread_key_create(&key, release) == 0);
}

static struct pattern_memory *
make(void)
{
    struct pattern_memory *memory = calloc(1, sizeof(*memory));

    pthread_once(&once, make_key);
    if (memory == NULL)
        return NULL;
    memory->data = pcre2_match_data_create(PATTERN_CAPTURES, NULL);
    memory->context = pcre2_match_context_create(NULL);
    if (memory->data == NULL || memory->context == NULL || pthread_setspecific(key, memory) != 0) {
        release(memory);
        return NULL;
    }
    pcre2_set_heap_limit(memory->context, HEAP_LIMIT_KIB);
    /* NULL where there is no JIT; without one matching still works. */
    memory->stack = pcre2_jit_stack_create(JIT_STACK_MIN_BYTES, JIT_STACK_MAX_BYTES, NULL);
    if (memory->stack != NULL)
        pcre2_jit_stack_assign(memory->context, NULL, memory->stack);
    return memory;
}

struct pattern_memory *
pattern_memory_of_thread(uint32_t match_limit)
{
    if (unlikely(of_thread == NULL))
        of_thread = make();
    if (likely(of_thread != NULL))
        pcre2_set_match_limit(of_thread->context, match_limit);
    return of_thread;
}
