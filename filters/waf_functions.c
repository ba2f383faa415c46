/* SPDX-License-Identifier: BSD-2-Clause */
/* waf_functions.c - finds libmodsecurity's functions by their names.
 *
 * Who compiles rules loads it: `check`, and the worker process as it starts or reloads, with
 * the identity it serves with. The supervisor has no rules. All names are looked up at once, so
 * what is missing is found before anything is served.
 *
 * It is never unloaded: what rules remember of clients lives in it for ever, and some of the
 * libraries that it brings leave pointers to themselves behind (at threads' and the process's
 * ends). So one that is no good stays, too, until the process is started again. A reload that
 * drops the last firewall frees the rules, which is most of the memory.
 */
#include "config.h"

#include "filters/waf_functions.h"

#include <dlfcn.h>
#include <stdbool.h>
#include <string.h>

/* The interface that the headers are of; releases with another one have another number. */
#define LIBRARY "libmodsecurity.so.3"

static struct waf_functions functions;
static bool is_loaded;

static int
find(void *library, const char *name, void *function, struct err *err)
{
    void *found = dlsym(library, name);

    if (found == NULL)
        return err_set(err, "%s has no %s, which the firewall needs: install libmodsecurity 3.0.5 "
                       "or later (Debian: libmodsecurity3), and start again", LIBRARY, name);
    memcpy(function, &found, sizeof(found)); /* C knows no other way to a function */
    return 0;
}

static int
find_all(void *library, struct err *err)
{
#define FIND(name) \
    if (find(library, #name, &functions.name, err) < 0) \
        return -1;
    WAF_FUNCTIONS(FIND)
#undef FIND
    return 0;
}

const struct waf_functions *
waf_functions_load(struct err *err)
{
    void *library;

    if (is_loaded)
        return &functions;
    library = dlopen(LIBRARY, RTLD_NOW | RTLD_LOCAL);
    if (library == NULL) {
        err_set(err, "the firewall needs libmodsecurity, which cannot be loaded (%s): install it "
                "(Debian: libmodsecurity3)", dlerror());
        return NULL;
    }
    if (find_all(library, err) < 0)
        return NULL;
    is_loaded = true;
    return &functions;
}
