/* SPDX-License-Identifier: BSD-2-Clause */
/* condition_job.h - what the files that compile the values of conditions share. */
#ifndef BASCULE_CONDITION_JOB_H
#define BASCULE_CONDITION_JOB_H

#include "server/policy/condition.h"

/* One condition, while its test is made. */
struct job {
    struct compiler *compiler;
    const struct condition_field *field;
    const struct condition_conf *conf;
    struct test *test;
};

static inline struct arena *
job_arena(struct job *job)
{
    return job->compiler->arena;
}

static inline const struct strings *
job_strings(struct job *job)
{
    return condition_value(job->field, job->conf);
}

/* Each of the following sets err, without a place, when it fails. */

/* Returns -1. */
int job_out_of_memory(struct job *job);

/* Room for a pattern of each value, zeroed, in the scratch arena; NULL when that is spent. */
struct text_pattern *job_patterns(struct job *job);

/* Makes them the set of texts of the test. */
int job_keep_patterns(struct job *job, const struct text_pattern *patterns, size_t count,
                      bool from_end);

/* condition_geo.c */
int compile_countries(struct job *job);
int compile_networks_as(struct job *job);

/* condition_request.c. has_none: "" stands for no host, which sets test->mask. */
int compile_methods(struct job *job);
int compile_schemes(struct job *job);
int compile_hosts(struct job *job, bool has_none);
int compile_paths(struct job *job);
int compile_matches(struct job *job);

#endif
