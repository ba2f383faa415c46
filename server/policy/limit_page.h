/* SPDX-License-Identifier: BSD-2-Clause */
/* limit_page.h - limits as `status` and metrics show them. */
#ifndef BASCULE_LIMIT_PAGE_H
#define BASCULE_LIMIT_PAGE_H

#include <stdio.h>

struct config_list;

/* limits: of struct limit_conf, adopted. Nothing is written of none. */
void limit_page_text(FILE *out, const struct config_list *limits);

/* A member of a JSON object, with a comma in front. */
void limit_page_json(FILE *out, const struct config_list *limits);

void limit_page_metrics(FILE *out, const struct config_list *limits);

#endif
