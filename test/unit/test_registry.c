/* SPDX-License-Identifier: BSD-2-Clause */
/* test_registry.c - objects that outlive a snapshot (server/registry.h). */
#include "config.h"

#include "server/registry.h"
#include "test/unit/suites.h"

#include <CUnit/CUnit.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>

struct thing {
    struct registered registered;
    int made_from;
};

static _Atomic int alive;

static struct registered *
make(const void *conf, struct err *err)
{
    const int *from = conf;
    struct thing *thing;

    if (*from < 0) {
        err_set(err, "not from %d", *from);
        return NULL;
    }
    thing = calloc(1, sizeof(*thing));
    thing->made_from = *from;
    alive++;
    return &thing->registered;
}

static void
discard(struct registered *object)
{
    alive--;
    free(container_of(object, struct thing, registered));
}

static const struct registry_kind thing_kind = { "thing", make, discard };
static const struct registry_kind other_kind = { "other", make, discard };

static void
adopts_what_has_the_same_kind_and_identity(void)
{
    const int one = 1, two = 2;
    struct err err;
    struct registered *a = registry_adopt(&thing_kind, "x", &one, &err);
    struct registered *b = registry_adopt(&thing_kind, "x", &two, &err);
    struct registered *c = registry_adopt(&thing_kind, "y", &two, &err);
    struct registered *d = registry_adopt(&other_kind, "x", &two, &err);

    CU_ASSERT_PTR_EQUAL(a, b);
    CU_ASSERT_EQUAL(container_of(b, struct thing, registered)->made_from, 1);
    CU_ASSERT_PTR_NOT_EQUAL(a, c);
    CU_ASSERT_PTR_NOT_EQUAL(a, d);
    CU_ASSERT_EQUAL(registry_count(&thing_kind), 2);
    registered_unref(a);
    CU_ASSERT_EQUAL(registry_count(&thing_kind), 2);
    registered_unref(b);
    CU_ASSERT_EQUAL(registry_count(&thing_kind), 1);
    registered_unref(c);
    registered_unref(d);
    CU_ASSERT_EQUAL(alive, 0);
}

static void
the_last_reference_frees_and_the_next_adoption_makes_anew(void)
{
    const int one = 1, two = 2;
    struct err err;
    struct registered *object = registry_adopt(&thing_kind, "x", &one, &err);

    registered_ref(object);
    registered_unref(object);
    CU_ASSERT_EQUAL(alive, 1);
    registered_unref(object);
    CU_ASSERT_EQUAL(alive, 0);
    object = registry_adopt(&thing_kind, "x", &two, &err);
    CU_ASSERT_EQUAL(container_of(object, struct thing, registered)->made_from, 2);
    registered_unref(object);
    registered_unref(NULL);
}

static void
says_why_an_object_could_not_be_made(void)
{
    const int bad = -5;
    struct err err;

    CU_ASSERT_PTR_NULL(registry_adopt(&thing_kind, "x", &bad, &err));
    CU_ASSERT_STRING_EQUAL(err.text, "not from -5");
    CU_ASSERT_EQUAL(registry_count(&thing_kind), 0);
}

static void
holds_many_objects(void)
{
    enum { COUNT = 3000 };
    static struct registered *objects[COUNT];
    char identity[32];
    struct err err;
    int i;

    for (i = 0; i < COUNT; i++) {
        snprintf(identity, sizeof(identity), "group/%d", i);
        objects[i] = registry_adopt(&thing_kind, identity, &i, &err);
    }
    CU_ASSERT_EQUAL(registry_count(&thing_kind), COUNT);
    for (i = 0; i < COUNT; i++) {
        struct registered *again;

        snprintf(identity, sizeof(identity), "group/%d", i);
        again = registry_adopt(&thing_kind, identity, &i, &err);
        CU_ASSERT_PTR_EQUAL(again, objects[i]);
        registered_unref(again);
    }
    for (i = 0; i < COUNT; i++)
        registered_unref(objects[i]);
    CU_ASSERT_EQUAL(alive, 0);
}

static void *
adopt_and_let_go(void *arg)
{
    const int from = 1;
    struct err err;
    int i;

    for (i = 0; i < 3000; i++)
        registered_unref(registry_adopt(&thing_kind, arg, &from, &err));
    return NULL;
}

static void
adoption_and_the_last_reference_may_meet_on_two_threads(void)
{
    static char identity[] = "contended";
    pthread_t thread;

    CU_ASSERT_EQUAL_FATAL(pthread_create(&thread, NULL, adopt_and_let_go, identity), 0);
    adopt_and_let_go(identity);
    pthread_join(thread, NULL);
    CU_ASSERT_EQUAL(alive, 0);
    CU_ASSERT_EQUAL(registry_count(&thing_kind), 0);
}

void
suite_registry(void)
{
    CU_pSuite s = CU_add_suite("registry", NULL, NULL);

    CU_add_test(s, "adopts what has the same kind and identity",
                adopts_what_has_the_same_kind_and_identity);
    CU_add_test(s, "the last reference frees, and the next adoption makes anew",
                the_last_reference_frees_and_the_next_adoption_makes_anew);
    CU_add_test(s, "says why an object could not be made", says_why_an_object_could_not_be_made);
    CU_add_test(s, "holds many objects", holds_many_objects);
    CU_add_test(s, "adoption and the last reference may meet on two threads",
                adoption_and_the_last_reference_may_meet_on_two_threads);
}
