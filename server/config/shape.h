/* SPDX-License-Identifier: BSD-2-Clause */
/* shape.h - an option table made ready for reading many members by it.
 *
 * Its rows are found by name through a sorted index, and its defaults wait in
 * an image that every member starts as a copy of.
 */
#ifndef BASCULE_CONFIG_SHAPE_H
#define BASCULE_CONFIG_SHAPE_H

#include "server/config/option.h"

/* Rows of a table together with those of a family, at most. */
#define SHAPE_ROWS_MAX 256

struct shape {
    struct shape *next;
    const struct option *options;
    const struct option *family_options; /* NULL: none */
    const struct option **rows;          /* of both, sorted by name */
    size_t row_count;
    const struct option *place;          /* the OPTION_PLACE row, or NULL */
    void *image;                         /* of a member, zeroed at first */
    size_t bytes;
};

/* Borrows the tables. NULL when memory is short. */
struct shape *shape_new(const struct option *options, const struct option *family_options,
                        size_t bytes);

/* The shape of these tables in a list of shapes, or NULL. */
struct shape *shape_of(struct shape *shapes, const struct option *options,
                       const struct option *family_options, size_t bytes);

/* The position of the row of this name; row_count when there is none. */
size_t shape_find(const struct shape *shape, const char *name);

/* Frees a whole list. NULL is fine. */
void shape_free_all(struct shape *shapes);

#endif
