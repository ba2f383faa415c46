/* SPDX-License-Identifier: BSD-2-Clause */
/* list_target.h - any bytes as the file of a list, for the targets of its formats.
 *
 * Limits hold, every mistake has a place, and whatever was loaded can be asked for any
 * host of the file without a step outside it.
 */
#ifndef BASCULE_LIST_TARGET_H
#define BASCULE_LIST_TARGET_H

#include "server/base/must.h"
#include "server/policy/list_load.h"

#include <stdlib.h>

#define ENTRIES_MAX 50
#define BAD_LINES_MAX 5
#define EXPRESSIONS_MAX 20

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t bytes);

/* Hosts, URLs and addresses out of the file itself. */
static inline void
ask_all(const struct list_content *content, struct slice text)
{
    while (text.bytes > 0) {
        size_t bytes = strcspn(text.data, " \t\r\n/|^");
        struct slice host = slice_make(text.data, bytes), entry = { NULL, 0 };
        struct ip ip;

        if (list_content_has_host(content, host, &entry))
            must(entry.bytes > 0 && entry.data >= host.data &&
                 entry.data + entry.bytes <= host.data + host.bytes);
        if (ip_parse(host, &ip))
            (void)list_content_has_ip(content, &ip);
        (void)list_content_has_url(content, host, SLICE("/a/b"), SLICE("c=d&e"));
        text = slice_skip(text, bytes + 1);
    }
}

/* As list_load() does it; name says which of a folder's files it is. */
static inline void
try_list(enum list_kind kind, enum list_format format, const char *name, const uint8_t *data,
         size_t bytes)
{
    const struct list_conf conf = { .name = "fuzz", .kind = kind, .format = format,
                                    .max_entries = ENTRIES_MAX, .max_bad_lines = BAD_LINES_MAX,
                                    .max_expressions = EXPRESSIONS_MAX };
    struct list_content *content = list_content_new(&conf);
    char *text = malloc(bytes + 1);
    struct err err = { .text = "" };

    must(content != NULL && text != NULL);
    memcpy(text, data, bytes);
    text[bytes] = '\0';
    content->may_except_above = format == LIST_RPZ;
    if (list_load_bytes(content, &conf, slice_make(text, bytes), name, &err) < 0)
        must(strncmp(err.text, name, strlen(name)) == 0);
    else
        must(content->entries <= ENTRIES_MAX &&
             content->urls.pattern_count <= EXPRESSIONS_MAX);
    must(list_content_seal(content) == 0);
    ask_all(content, slice_make(text, strlen(text)));
    free(text);
    list_content_free(content);
}

#endif
