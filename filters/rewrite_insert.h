/* SPDX-License-Identifier: BSD-2-Clause */
/* rewrite_insert.h - texts put into HTML as it passes: a part of the filter rewrite. */
#ifndef BASCULE_REWRITE_INSERT_H
#define BASCULE_REWRITE_INSERT_H

#include "filters/rewrite_inside.h"

struct rewrite_inserter {
    struct html_places html;
    const struct slice *texts; /* HTML_PLACES of them */
    size_t text_at;
    unsigned places;           /* bits: being put */
    unsigned inserted;         /* so far */
    uint8_t held_at;
    bool is_stop, has_begun, is_ended;
};

/* Borrows texts, of which empty ones are not inserted. */
void rewrite_inserter_init(struct rewrite_inserter *inserter, const struct slice *texts);

/* As struct transform_ops has it. */
enum transform_result rewrite_inserter_work(struct rewrite_inserter *inserter,
                                            struct transform_step *step);

#endif
