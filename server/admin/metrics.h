/* SPDX-License-Identifier: BSD-2-Clause */
/* metrics.h - every counter in Prometheus' text format (version 0.0.4). */
#ifndef BASCULE_METRICS_H
#define BASCULE_METRICS_H

#include <stdio.h>

struct status_facts;

void metrics_text(FILE *out, const struct status_facts *facts);

/* What precedes the samples of one metric. kind: "counter" or "gauge". */
void metrics_family(FILE *out, const char *name, const char *kind, const char *help);

/* A label's value: backslash, quote and line feed are escaped. */
void metrics_label(FILE *out, const char *text);

#endif
