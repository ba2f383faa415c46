/* SPDX-License-Identifier: BSD-2-Clause */
/* variable_text.c - finds the percent signs that mean something, and names behind them. */
#include "config.h"

#include "server/config/variable_text.h"

#include "server/base/log.h"
#include "server/config/option.h"

/* Fails with the name that may have been meant. */
static int
fail_unknown(struct slice name, const char *const *names, struct err *err)
{
    struct nearest nearest;

    nearest_init(&nearest, name);
    for (; *names != NULL; names++)
        nearest_offer(&nearest, *names);
    err_set(err, "unknown name %%{%s}", log_escape(name));
    return nearest_hint(&nearest, err);
}

/* Length of the text up to the next "%%" or "%{"; all of it where there is none. */
static size_t
plain_bytes(struct slice text)
{
    for (size_t i = 0; i + 1 < text.bytes; i++)
        if (text.data[i] == '%' && (text.data[i + 1] == '%' || text.data[i + 1] == '{'))
            return i;
    return text.bytes;
}

/* Takes "%{name}" off *text. */
static int
take_variable(struct slice *text, const char *const *names, unsigned *variable, struct err *err)
{
    ptrdiff_t end = slice_find(*text, '}');
    struct slice name;

    if (end < 0)
        return err_set(err, "\"%%{\" is not closed by \"}\"; write %%%%{ for the text itself");
    name = slice_make(text->data + 2, (size_t)end - 2);
    for (*variable = 0; names[*variable] != NULL; ++*variable) {
        if (slice_equal(name, slice_of(names[*variable]))) {
            *text = slice_skip(*text, (size_t)end + 1);
            return 0;
        }
    }
    return fail_unknown(name, names, err);
}

int
variable_part_take(struct slice *text, const char *const *names, struct variable_part *part,
                   struct err *err)
{
    part->text = slice_make(text->data, plain_bytes(*text));
    *text = slice_skip(*text, part->text.bytes);
    if (text->bytes > 0 && text->data[1] == '{')
        return take_variable(text, names, &part->variable, err);
    part->text.bytes += text->bytes > 0; /* one of the two */
    *text = slice_skip(*text, 2);
    for (part->variable = 0; names[part->variable] != NULL;)
        part->variable++;
    return 0;
}

size_t
variable_parts_max(struct slice text)
{
    size_t count = 1;

    for (size_t i = 0; i < text.bytes; i++)
        count += text.data[i] == '%';
    return count;
}
