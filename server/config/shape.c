/* SPDX-License-Identifier: BSD-2-Clause */
/* shape.c - sorted indexes of option tables. */
#include "config.h"

#include "server/config/shape.h"

#include <stdlib.h>

#include "server/base/must.h"

static size_t
count_rows(const struct option *options)
{
    size_t count = 0;

    while (options != NULL && options[count].name != NULL)
        count++;
    return count;
}

static int
compare_rows(const void *a, const void *b)
{
    const struct option *const *x = a, *const *y = b;

    return strcmp((*x)->name, (*y)->name);
}

static void
add_rows(struct shape *shape, const struct option *row)
{
    for (; row != NULL && row->name != NULL; row++) {
        if (option_is_visible(row))
            shape->rows[shape->row_count++] = row;
        else
            shape->place = row;
    }
}

struct shape *
shape_new(const struct option *options, const struct option *family_options, size_t bytes)
{
    size_t count = count_rows(options) + count_rows(family_options);
    struct shape *shape = calloc(1, sizeof(*shape));

    must(count <= SHAPE_ROWS_MAX);
    if (shape == NULL)
        return NULL;
    *shape = (struct shape){
        .options = options, .family_options = family_options, .bytes = bytes,
    };
    shape->rows = calloc(count + 1, sizeof(*shape->rows));
    shape->image = calloc(1, bytes + 1);
    if (shape->rows == NULL || shape->image == NULL) {
        shape_free_all(shape);
        return NULL;
    }
    add_rows(shape, options);
    add_rows(shape, family_options);
    qsort(shape->rows, shape->row_count, sizeof(*shape->rows), compare_rows);
    return shape;
}

struct shape *
shape_of(struct shape *shapes, const struct option *options, const struct option *family_options,
         size_t bytes)
{
    while (shapes != NULL &&
           (shapes->options != options || shapes->family_options != family_options ||
            shapes->bytes != bytes))
        shapes = shapes->next;
    return shapes;
}

size_t
shape_find(const struct shape *shape, const char *name)
{
    size_t low = 0, high = shape->row_count;

    while (low < high) {
        size_t middle = (low + high) / 2;
        int order = strcmp(name, shape->rows[middle]->name);

        if (order == 0)
            return middle;
        if (order < 0)
            high = middle;
        else
            low = middle + 1;
    }
    return shape->row_count;
}

void
shape_free_all(struct shape *shapes)
{
    while (shapes != NULL) {
        struct shape *next = shapes->next;

        free(shapes->rows);
        free(shapes->image);
        free(shapes);
        shapes = next;
    }
}
