/* SPDX-License-Identifier: BSD-2-Clause */
/* upstream_fixture.h - a group as a configuration would make it, for tests. */
#ifndef BASCULE_UPSTREAM_FIXTURE_H
#define BASCULE_UPSTREAM_FIXTURE_H

#include <CUnit/CUnit.h>
#include <stdio.h>

#include "server/upstream/balance.h"

#define FIXTURE_ENDPOINTS_MAX 100

struct group_fixture {
    struct arena arena;
    struct group_conf conf;
    struct endpoint_conf endpoints[FIXTURE_ENDPOINTS_MAX];
    void *items[FIXTURE_ENDPOINTS_MAX];
    char names[FIXTURE_ENDPOINTS_MAX][40];
};

/* A group with one endpoint for each weight, adopted from the registry. */
static inline void
fixture_init(struct group_fixture *f, int balance, const int *weights, size_t count)
{
    struct err err;
    size_t i;

    memset(f, 0, sizeof(*f));
    arena_init(&f->arena, NULL, 1u << 20);
    f->conf = (struct group_conf){ .name = "test", .balance = balance, .max_fails = 1,
                                   .fail_ms = 10000, .tries = 3, .max_idle = 8,
                                   .endpoints = { f->items, count } };
    for (i = 0; i < count; i++) {
        snprintf(f->names[i], sizeof(f->names[i]), "192.0.2.%zu:80", i + 1);
        f->endpoints[i].to = f->names[i];
        f->endpoints[i].weight = weights[i];
        f->items[i] = &f->endpoints[i];
    }
    CU_ASSERT_EQUAL_FATAL(group_schedule(&f->conf, &f->arena, &err), 0);
    CU_ASSERT_EQUAL_FATAL(group_adopt(&f->conf, &f->arena, 1, &err), 0);
}

static inline void
fixture_fini(struct group_fixture *f)
{
    arena_fini(&f->arena);
}

static inline struct endpoint *
fixture_endpoint(struct group_fixture *f, size_t position)
{
    return f->endpoints[position].endpoint;
}

/* The position of what a fresh pick gets, or -1. It keeps its slot. */
static inline int
fixture_pick(struct group_fixture *f, uint64_t now_ms)
{
    struct endpoint_conf *endpoint;
    enum pick_failure why;
    struct pick pick;

    pick_start(&pick, &f->conf);
    endpoint = group_pick(&pick, now_ms, &why);
    return endpoint != NULL ? (int)(endpoint - f->endpoints) : -1;
}

#endif
