/* SPDX-License-Identifier: BSD-2-Clause */
/* metrics.h - every counter in Prometheus' text format (version 0.0.4). */
#ifndef BASCULE_METRICS_H
#define BASCULE_METRICS_H

#include <stdio.h>

struct status_facts;

void metrics_text(FILE *out, const struct status_facts *facts);

#endif
