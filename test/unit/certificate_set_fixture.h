/* SPDX-License-Identifier: BSD-2-Clause */
/* certificate_set_fixture.h - sets of certificates in the files of
 * certificate_folder_fixture.h, and who asks for them.
 */
#ifndef BASCULE_CERTIFICATE_SET_FIXTURE_H
#define BASCULE_CERTIFICATE_SET_FIXTURE_H

#include "server/base/clock.h"
#include "server/certificates/certificates.h"
#include "server/certificates/shared_der.h"
#include "server/file_watch.h"
#include "test/unit/certificate_folder_fixture.h"

#include <poll.h>

#define WAIT_MS 20000 /* for what must happen */

static struct certificate_set *
adopt_files(const char *chain, const char *key, const char *command, bool staple)
{
    struct certificate_conf conf = { .chain = chain, .key = key, .key_command = command };
    void *items[] = { &conf };
    struct config_list list = { items, 1 };
    struct certificate_set *set = certificate_set_adopt(&list, staple, &err);

    CU_ASSERT_PTR_NOT_NULL_FATAL(set);
    return set;
}

struct asker {
    struct certificate_waiter waiter;
    struct bundle *bundle;
    unsigned calls;
};

static void
on_bundle(struct certificate_waiter *waiter, struct bundle *bundle)
{
    struct asker *asker = container_of(waiter, struct asker, waiter);

    asker->bundle = bundle;
    asker->calls++;
}

static void
wait_for(const struct asker *asker)
{
    uint64_t until_ms = clock_monotonic_ms() + WAIT_MS;

    while (asker->calls == 0 && clock_monotonic_ms() < until_ms)
        loop_turn(loop, 50);
    CU_ASSERT_EQUAL_FATAL(asker->calls, 1);
}

/* What the set has; waits for it. The caller's reference. */
static struct bundle *
get(struct certificate_set *set)
{
    struct asker asker = { .waiter = { .loop = loop, .on_bundle = on_bundle } };
    struct bundle *bundle;
    bool is_bad;

    bundle = certificate_set_get(set, &asker.waiter, &is_bad);
    if (bundle != NULL || is_bad)
        return bundle;
    wait_for(&asker);
    return asker.bundle;
}

static bool
shows(struct certificate_set *set, const struct test_certificate *made)
{
    struct bundle *bundle = get(set);
    bool is_it = bundle != NULL && is_leaf(&bundle->certificates[0], made);

    bundle_unref(bundle);
    return is_it;
}

/* How long until the set has another bundle than id, in ms. */
static uint64_t
wait_for_change(const struct certificate_set *set, uint64_t id)
{
    uint64_t start_ms = clock_monotonic_ms();

    while (certificate_set_current(set) == id && clock_monotonic_ms() - start_ms < WAIT_MS)
        poll(NULL, 0, 5);
    CU_ASSERT_NOT_EQUAL(certificate_set_current(set), id);
    return clock_monotonic_ms() - start_ms;
}

static void
start(void)
{
    CU_ASSERT_EQUAL_FATAL(certificates_start(NULL, &err), 0);
}

static void
stop(struct certificate_set *set)
{
    certificates_stop();
    certificate_set_unref(set);
    CU_ASSERT_EQUAL(registry_count(NULL), 0);
    CU_ASSERT_EQUAL(shared_der_counts().count, 0);
    CU_ASSERT_EQUAL(certificates_facts().sets, 0);
    CU_ASSERT_EQUAL(certificates_facts().loaded_bytes, 0);
    CU_ASSERT_EQUAL(file_watch_count(), 0);
}

#endif
