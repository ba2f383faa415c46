/* SPDX-License-Identifier: BSD-2-Clause */
/* schema_link.c - helpers of schema_finish() and its parts. */
#include "config.h"

#include "server/schema_link.h"

#include "filters/filter.h"
#include "server/config/reader.h"
#include "server/policy/policy.h"

#define NAME_BYTES_MAX 64

int
link_fail(struct err *err, const struct place *place, const char *what, const char *name)
{
    struct err found = *err;

    return config_place_fail(err, place, "%s \"%s\": %s", what, name, found.text);
}

static bool
is_name(const char *text)
{
    size_t bytes = strspn(text, "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
                                "0123456789_.-");

    return bytes > 0 && bytes <= NAME_BYTES_MAX && text[bytes] == '\0';
}

int
link_check_name(const char *what, const char *name, const struct place *place, struct err *err)
{
    if (is_name(name))
        return 0;
    return config_place_fail(err, place,
                             "%s \"%s\": a name has 1 to %d letters, digits, \"-\", "
                             "\"_\" and \".\"", what, name, NAME_BYTES_MAX);
}

int
link_filters(struct linker *linker, const struct config_list *list)
{
    size_t i;

    for (i = 0; i < list->count; i++) {
        struct filter_conf *filter = list->items[i];

        if (filter->ops->finish != NULL &&
            filter->ops->finish(filter, linker->conf, linker->arena, linker->err) < 0)
            return link_fail(linker->err, &filter->place, "filter", filter->ops->name);
    }
    return 0;
}

int
link_policy(struct linker *linker, const char *name, struct policy_conf **policy)
{
    *policy = NULL;
    if (name == NULL)
        return 0;
    *policy = policy_named(linker->conf, name, linker->err);
    return *policy != NULL ? 0 : -1;
}
