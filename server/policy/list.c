/* SPDX-License-Identifier: BSD-2-Clause */
/* list.c - lists in the registry, and what they are asked.
 *
 *     list_conf --(identity)--> policy_list --(atomic)--> list_content
 *      snapshot                  registry                 replaced by the loader
 *
 * Who asks loads the pointer once and looks at that content until the call
 * returns; a replaced one is freed when no thread can be in such a call
 * (server/net/grace.h).
 */
#include "config.h"

#include "server/policy/list_house.h"

#include "server/base/must.h"
#include "server/config/reader.h"
#include "server/policy/list_load.h"
#include "server/schema.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#define ARENA_BYTES ((size_t)1 << 30)

struct list_house list_house = {
    .lock = PTHREAD_MUTEX_INITIALIZER,
    .lists = { &list_house.lists, &list_house.lists },
    .retired = { &list_house.retired, &list_house.retired },
};

/* ---- configuration */

static const char *const kind_words[] = {
    [LIST_DOMAINS] = "domains",
    [LIST_NETWORKS] = "networks",
    [LIST_URLS] = "urls",
    [LIST_URLS + 1] = NULL,
};

static const char *const format_words[] = {
    [LIST_AUTO] = "auto",
    [LIST_PLAIN] = "plain",
    [LIST_HOSTS] = "hosts",
    [LIST_ADBLOCK] = "adblock",
    [LIST_SQUIDGUARD] = "squidguard",
    [LIST_RPZ] = "rpz",
    [LIST_RPZ + 1] = NULL,
};

const struct option list_options[] = {
    OPTION_PLACE(struct list_conf, place),
    { .name = "name", .type = OPTION_STRING, .offset = offsetof(struct list_conf, name),
      .is_required = true, .text = "What rules call it." },
    { .name = "kind", .type = OPTION_ENUM, .offset = offsetof(struct list_conf, kind),
      .is_required = true, .words = kind_words,
      .text = "What its entries are: domains (each with all below it, and addresses as hosts of "
              "URLs), networks, or urls (the beginnings of HOST/PATH?QUERY, whole domains, and "
              "expressions between slashes, which are searched for in HOST/PATH?QUERY)." },
    { .name = "format", .type = OPTION_ENUM, .offset = offsetof(struct list_conf, format),
      .fallback = "auto", .words = format_words,
      .text = "How the files are written: plain (an entry on a line, # begins a comment), hosts "
              "(an address and names; they too cover what is below them), adblock (||NAME^ and "
              "@@||NAME^, other rules are passed over), squidguard (folders with files domains, "
              "urls, expressions, as UT1 has them), rpz (response policy zones), or auto: each "
              "as it looks." },
    { .name = "files", .type = OPTION_STRINGS, .offset = offsetof(struct list_conf, files),
      .max = 1000,
      .text = "Absolute paths. A file that changes is read again; when it is no good then, the "
              "last good content stays. Replace files by renaming new ones. Where the system does "
              "not tell of changes, they are looked for every five seconds." },
    { .name = "items", .type = OPTION_STRINGS, .offset = offsetof(struct list_conf, items),
      .text = "Entries besides those of the files, written as in plain ones." },
    { .name = "max_entries", .type = OPTION_INT, .offset = offsetof(struct list_conf, max_entries),
      .fallback = "10000000", .min = 1, .max = 1000000000,
      .text = "Files with more entries are no good. A domain takes 11 to 16 bytes." },
    { .name = "max_bad_lines", .type = OPTION_INT,
      .offset = offsetof(struct list_conf, max_bad_lines), .fallback = "100", .max = 1000000000,
      .text = "Lines of a file that may make no sense; they are passed over, with a warning. A "
              "file with more of them, or with more of them than other lines, is no good." },
    { .name = "max_expressions", .type = OPTION_INT,
      .offset = offsetof(struct list_conf, max_expressions), .fallback = "1000",
      .max = 1000000,
      .text = "Files with more expressions are no good: each of them is tried for each URL." },
    { .name = "settle", .type = OPTION_TIME, .offset = offsetof(struct list_conf, settle_ms),
      .fallback = "400ms", .min = 1, .max = 60000,
      .text = "A file is read again when it has not changed for so long, so that one that is "
              "written slowly is whole by then; one that goes on changing, after 25 times as "
              "long." },
    { .name = NULL },
};

static int
check_format(const struct list_conf *conf, struct err *err)
{
    if (conf->kind != LIST_NETWORKS || conf->format == LIST_AUTO || conf->format == LIST_PLAIN)
        return 0;
    return err_set(err, "format: networks are read from plain files only, not from \"%s\"",
                   format_words[conf->format]);
}

static int
check_items(const struct list_conf *conf, struct err *err)
{
    struct list_conf items = *conf;
    struct list_content *content;

    items.files.count = 0;
    content = list_load(&items, false, err);
    list_content_free(content);
    return content != NULL ? 0 : err_prefix(err, "items: ");
}

int
list_conf_finish(struct list_conf *conf, struct err *err)
{
    if (conf->files.count == 0 && conf->items.count == 0)
        return err_set(err, "has neither files nor items");
    for (size_t i = 0; i < conf->files.count; i++)
        if (conf->files.items[i].data[0] != '/')
            return err_set(err, "files: \"%s\" is not an absolute path",
                           conf->files.items[i].data);
    return check_format(conf, err) < 0 ? -1 : check_items(conf, err);
}

/* ---- in the registry */

static struct policy_list *
list_of(struct registered *registered)
{
    return container_of(registered, struct policy_list, registered);
}

static void
copy_strings(struct strings *to, const struct strings *from, struct arena *arena)
{
    *to = (struct strings){ arena_zalloc(arena, from->count * sizeof(*from->items) + 1), 0 };
    for (size_t i = 0; to->items != NULL && i < from->count; i++)
        to->items[to->count++] = arena_copy(arena, from->items[i]);
}

static void
copy_conf(struct policy_list *list, const struct list_conf *conf)
{
    list->conf = *conf;
    list->conf.place = (struct place){ .line = 0 };
    list->conf.name = arena_strdup(&list->arena, conf->name);
    list->conf.list = NULL;
    copy_strings(&list->conf.files, &conf->files, &list->arena);
    copy_strings(&list->conf.items, &conf->items, &list->arena);
    list->path_room = (unsigned)conf->files.count * LIST_FILE_PATHS;
    list->paths = arena_zalloc(&list->arena, list->path_room * sizeof(*list->paths) + 1);
    list->stamps = arena_zalloc(&list->arena, list->path_room * sizeof(*list->stamps) + 1);
    list->settling = arena_zalloc(&list->arena, list->path_room * sizeof(*list->stamps) + 1);
}

static void
discard(struct registered *registered)
{
    struct policy_list *list = list_of(registered);

    watched_drop(&list->watched);
    list_house_lock();
    list_remove(&list->link);
    list_house_unlock();
    list_content_retire(atomic_load(&list->content), 0);
    arena_fini(&list->path_arena);
    arena_fini(&list->arena);
    free(list);
}

static struct registered *
make(const void *arg, struct err *err)
{
    struct policy_list *list = calloc(1, sizeof(*list));

    if (list == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    arena_init(&list->arena, NULL, ARENA_BYTES);
    arena_init(&list->path_arena, NULL, 0);
    copy_conf(list, arg);
    watched_init(&list->watched);
    list_init(&list->link);
    if (arena_is_spent(&list->arena)) {
        discard(&list->registered);
        err_set(err, "out of memory");
        return NULL;
    }
    list_house_lock();
    list_push_back(&list_house.lists, &list->link);
    list_house_unlock();
    return &list->registered;
}

static const struct registry_kind kind = {
    .name = "list",
    .make = make,
    .free = discard,
};

/* Two lists are the same when what they hold is, whatever they are called. */
static char *
identity_of(const struct list_conf *conf)
{
    char *text = NULL;
    size_t bytes;
    FILE *out = open_memstream(&text, &bytes);

    if (out == NULL)
        return NULL;
    fprintf(out, "%s %s %" PRId64 " %" PRId64 " %" PRId64 " %u", kind_words[conf->kind],
            format_words[conf->format], conf->max_entries, conf->max_bad_lines,
            conf->max_expressions, conf->settle_ms);
    for (size_t i = 0; i < conf->files.count; i++)
        fprintf(out, "\nfile %zu %s", conf->files.items[i].bytes, conf->files.items[i].data);
    for (size_t i = 0; i < conf->items.count; i++)
        fprintf(out, "\nitem %zu %s", conf->items.items[i].bytes, conf->items.items[i].data);
    if (fclose(out) == 0)
        return text;
    free(text);
    return NULL;
}

/* ---- loading for the first time */

void
policy_list_take_stamps(const struct policy_list *list, struct file_state *stamps)
{
    for (unsigned i = 0; i < list->path_count; i++)
        file_state_take(&stamps[i], list->paths[i]);
}

/* Paths are found anew each time: a folder may have come where a file was. */
void
policy_list_find_paths(struct policy_list *list)
{
    arena_fini(&list->path_arena);
    arena_init(&list->path_arena, NULL, ARENA_BYTES);
    list->path_count = 0;
    for (size_t i = 0; i < list->conf.files.count; i++)
        list->path_count += list_paths(&list->conf, list->conf.files.items[i],
                                       list->paths + list->path_count, &list->path_arena);
}

/* On the main thread: nobody else gives a list its first content. */
static int
require_content(struct policy_list *list, struct err *err)
{
    struct list_content *content;

    if (atomic_load(&list->content) != NULL)
        return 0;
    policy_list_find_paths(list);
    policy_list_take_stamps(list, list->stamps);
    content = list_load(&list->conf, false, err);
    if (content == NULL)
        return -1;
    atomic_store_explicit(&list->content, content, memory_order_release);
    return 0;
}

static int
adopt(struct list_conf *conf, struct err *err)
{
    char *identity = identity_of(conf);
    struct registered *registered;

    if (identity == NULL)
        return err_set(err, "out of memory");
    registered = registry_adopt(&kind, identity, conf, err);
    free(identity);
    if (registered == NULL)
        return -1;
    conf->list = list_of(registered);
    return require_content(conf->list, err);
}

int
lists_adopt(struct conf *conf, struct err *err)
{
    for (size_t i = 0; i < conf->lists.count; i++) {
        struct list_conf *list = conf->lists.items[i];

        if (adopt(list, err) == 0)
            continue;
        lists_release(conf);
        return err_prefix(err, "%s:%u: list \"%s\": ", list->place.file, list->place.line,
                          list->name);
    }
    return 0;
}

void
lists_release(struct conf *conf)
{
    for (size_t i = 0; i < conf->lists.count; i++) {
        struct list_conf *list = conf->lists.items[i];

        if (list->list != NULL)
            registered_unref(&list->list->registered);
        list->list = NULL;
    }
}

/* ---- asking */

static inline const struct list_content *
content_of(const struct policy_list *list)
{
    return atomic_load_explicit(&list->content, memory_order_acquire);
}

bool
list_has_host(const struct policy_list *list, struct slice host, struct slice *entry)
{
    return list_content_has_host(content_of(list), host, entry);
}

bool
list_has_ip(const struct policy_list *list, const struct ip *ip)
{
    return list_content_has_ip(content_of(list), ip);
}

bool
list_has_url(const struct policy_list *list, struct slice host, struct slice path,
             struct slice query)
{
    return list_content_has_url(content_of(list), host, path, query);
}

void
list_facts(const struct policy_list *list, struct list_facts *facts)
{
    const struct list_content *content = content_of(list);

    *facts = (struct list_facts){
        .entries = content->entries,
        .bytes = list_content_bytes(content),
        .loaded_s = content->loaded_s,
        .failures = atomic_load_explicit(&list->failures, memory_order_relaxed),
    };
}
