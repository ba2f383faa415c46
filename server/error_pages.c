/* SPDX-License-Identifier: BSD-2-Clause */
/* error_pages.c - many sites name one file: it is read and kept once. */
#include "config.h"

#include "server/error_pages.h"

#include "server/http/page_template.h"
#include "server/name_set.h"

int
error_page_finish(const struct error_page_conf *page, struct err *err)
{
    if (page->path != NULL && page->path[0] != '/')
        return err_set(err, "error_page: \"%s\" is not an absolute path", page->path);
    if (page->contact != NULL && error_page_check_contact(page->contact, err) < 0)
        return err_prefix(err, "contact: ");
    return 0;
}

struct reading {
    struct arena *arena;
    struct name_set *read; /* templates by path */
    struct err *err;
};

static int
adopt(const struct reading *reading, struct error_page_conf *page)
{
    struct name *name;

    if (page->path == NULL)
        return 0;
    name = name_set_find(reading->read, page->path);
    if (name->text == NULL) {
        name->object = page_template_load(reading->arena, page->path, reading->err);
        if (name->object == NULL)
            return err_prefix(reading->err, "error_page: ");
        name->text = page->path;
    }
    page->template = name->object;
    return 0;
}

static int
adopt_all(const struct reading *reading, struct conf *conf)
{
    for (size_t i = 0; i < conf->listeners.count; i++) {
        struct listener_conf *listener = conf->listeners.items[i];

        if (adopt(reading, &listener->error_page) < 0)
            return err_prefix(reading->err, "%s:%u: listener \"%s\": ", listener->place.file,
                              listener->place.line, listener->name);
    }
    for (size_t i = 0; i < conf->sites.count; i++) {
        struct site_conf *site = conf->sites.items[i];

        if (adopt(reading, &site->error_page) < 0)
            return err_prefix(reading->err, "%s:%u: site \"%s\": ", site->place.file,
                              site->place.line, site->name);
    }
    return 0;
}

int
error_pages_adopt(struct conf *conf, struct arena *arena, struct err *err)
{
    struct reading reading = { .arena = arena, .err = err };
    struct arena scratch;
    int result;

    arena_init(&scratch, NULL, (size_t)1 << 30);
    reading.read = name_set_new(&scratch, conf->listeners.count + conf->sites.count);
    result = reading.read != NULL ? adopt_all(&reading, conf) : err_set(err, "out of memory");
    arena_fini(&scratch);
    return result;
}
