/* SPDX-License-Identifier: BSD-2-Clause */
/* icap_options.c - a short list of answers, the latest first. */
#include "config.h"

#include "filters/icap_options.h"

#include <stdlib.h>

#define TTL_DEFAULT_S 3600u
#define TTL_MAX_S 86400u
#define TTL_UNTOLD_S 60u
#define TEXT_BYTES_MAX 4096u /* of one list of extensions */

enum { PREVIEW, COMPLETE, IGNORE, LISTS };

struct entry {
    struct icap_options options;
    struct list link;
    uint64_t until_ms;
    char *uri, *address, *tag;
    char *transfer[LISTS]; /* "html, exe, *"; NULL: none */
};

static _Thread_local struct {
    struct list entries;
    unsigned count;
    bool is_ready;
} known;

static void
free_entry(struct entry *entry)
{
    for (unsigned i = 0; i < LISTS; i++)
        free(entry->transfer[i]);
    free(entry->uri);
    free(entry->address);
    free(entry->tag);
    free(entry);
}

static void
drop(struct entry *entry)
{
    list_remove(&entry->link);
    known.count--;
    free_entry(entry);
}

static struct entry *
find(const char *uri, const char *address)
{
    if (!known.is_ready) {
        list_init(&known.entries);
        known.is_ready = true;
    }
    list_each(link, &known.entries) {
        struct entry *entry = container_of(link, struct entry, link);

        if (strcmp(entry->uri, uri) == 0 && strcmp(entry->address, address) == 0)
            return entry;
    }
    return NULL;
}

const struct icap_options *
icap_options_find(const char *uri, const char *address, uint64_t now_ms)
{
    struct entry *entry = find(uri, address);

    return entry != NULL && now_ms < entry->until_ms ? &entry->options : NULL;
}

/* ---- an answer */

static struct slice
value_of(const struct icap_reply *reply, struct slice name)
{
    const struct field *field = fields_find_name(&reply->fields, name);

    return field != NULL ? field->value : slice_make(NULL, 0);
}

/* fallback: there is none, or it makes no sense. */
static uint64_t
number_of(const struct icap_reply *reply, struct slice name, uint64_t fallback)
{
    uint64_t number;

    return slice_to_u64(value_of(reply, name), UINT32_MAX, &number) ? number : fallback;
}

/* NULL when it is empty, too long, or memory is short: as if it were not there. */
static char *
text_of(const struct icap_reply *reply, struct slice name)
{
    struct slice value = value_of(reply, name);

    return value.bytes > 0 && value.bytes <= TEXT_BYTES_MAX ? strndup(value.data, value.bytes)
                                                            : NULL;
}

static void
read_reply(struct entry *entry, const struct icap_reply *reply, uint64_t now_ms)
{
    static const struct slice lists[] = {
        [PREVIEW] = SLICE_INIT("Transfer-Preview"),
        [COMPLETE] = SLICE_INIT("Transfer-Complete"),
        [IGNORE] = SLICE_INIT("Transfer-Ignore"),
    };
    struct slice methods = value_of(reply, SLICE("Methods"));
    struct slice allow = value_of(reply, SLICE("Allow"));
    uint64_t ttl_s = number_of(reply, SLICE("Options-TTL"), TTL_DEFAULT_S);

    entry->options = (struct icap_options){
        .preview_bytes = number_of(reply, SLICE("Preview"), ICAP_NO_PREVIEW),
        .max_connections = number_of(reply, SLICE("Max-Connections"), 0),
        .does_request = methods.bytes == 0 || slice_list_has(methods, SLICE("REQMOD")),
        .does_response = methods.bytes == 0 || slice_list_has(methods, SLICE("RESPMOD")),
        .allows_204 = slice_list_has(allow, SLICE("204")),
        .allows_206 = slice_list_has(allow, SLICE("206")),
    };
    entry->until_ms = now_ms + (ttl_s < TTL_MAX_S ? ttl_s : TTL_MAX_S) * 1000;
    entry->tag = text_of(reply, SLICE("ISTag"));
    for (unsigned i = 0; i < LISTS; i++)
        entry->transfer[i] = text_of(reply, lists[i]);
}

const struct icap_options *
icap_options_learn(const char *uri, const char *address, const struct icap_reply *reply,
                   uint64_t now_ms)
{
    struct entry *entry = find(uri, address);

    if (entry != NULL)
        drop(entry);
    entry = calloc(1, sizeof(*entry));
    if (entry == NULL)
        return NULL;
    entry->uri = strdup(uri);
    entry->address = strdup(address);
    if (entry->uri == NULL || entry->address == NULL) {
        free_entry(entry);
        return NULL;
    }
    if (reply->status == 200) {
        read_reply(entry, reply, now_ms);
    } else {
        entry->options = (struct icap_options){ .preview_bytes = ICAP_NO_PREVIEW,
                                                .does_request = true, .does_response = true };
        entry->until_ms = now_ms + TTL_UNTOLD_S * 1000;
    }
    if (known.count >= ICAP_OPTIONS_MAX)
        drop(container_of(known.entries.prev, struct entry, link));
    list_push_front(&known.entries, &entry->link);
    known.count++;
    return &entry->options;
}

/* ---- name extensions */

static bool
has(const char *text, struct slice extension)
{
    return text != NULL && extension.bytes > 0 && slice_list_has(slice_of(text), extension);
}

enum icap_transfer
icap_options_transfer(const struct icap_options *options, struct slice extension)
{
    static const enum icap_transfer meanings[] = {
        [PREVIEW] = ICAP_TRANSFER_PREVIEW,
        [COMPLETE] = ICAP_TRANSFER_COMPLETE,
        [IGNORE] = ICAP_TRANSFER_IGNORE,
    };
    const struct entry *entry = container_of(options, struct entry, options);

    for (unsigned i = 0; i < LISTS; i++)
        if (has(entry->transfer[i], extension))
            return meanings[i];
    for (unsigned i = 0; i < LISTS; i++)
        if (has(entry->transfer[i], SLICE("*")))
            return meanings[i];
    return ICAP_TRANSFER_PREVIEW;
}

/* ---- the end */

void
icap_options_check_tag(const char *uri, const char *address, struct slice tag)
{
    struct entry *entry = find(uri, address);

    if (entry != NULL && tag.bytes > 0 && entry->tag != NULL &&
        !slice_equal(tag, slice_of(entry->tag)))
        drop(entry);
}

void
icap_options_forget(void)
{
    while (known.is_ready && !list_is_empty(&known.entries))
        drop(container_of(known.entries.next, struct entry, link));
}
