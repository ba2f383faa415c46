/* SPDX-License-Identifier: BSD-2-Clause */
/* policy_parts.c - lists and databases without a daemon, and what `check` makes of them. */
#include "config.h"

#include "server/commands/policy_parts.h"

#include "modes/mode.h"
#include "server/policy/geo.h"
#include "server/policy/list.h"
#include "server/policy/policy.h"
#include "server/policy/policy_unused.h"
#include "server/snapshot.h"
#include "server/worker_thread.h"

#include <stdio.h>

int
policy_parts_adopt(struct conf *conf, struct err *err)
{
    return geo_adopt(&conf->geo, err) < 0 ? -1 : lists_adopt(conf, err);
}

void
policy_parts_release(struct conf *conf)
{
    lists_release(conf);
    geo_release(&conf->geo);
}

static void
print(void *arg, const char *sentence)
{
    (void)arg;
    fprintf(stderr, "%s\n", sentence);
}

static void
review_listeners(const struct conf *conf)
{
    for (size_t i = 0; i < conf->listeners.count; i++) {
        const struct listener_conf *listener = conf->listeners.items[i];

        if (listener->mode->review != NULL)
            listener->mode->review(listener, conf, print, NULL);
    }
}

unsigned
policy_parts_check(struct snapshot *snapshot, const struct worker_hooks *hooks)
{
    struct conf *conf = &snapshot->conf;
    unsigned bad = 0;
    struct err err;

    if (policy_parts_adopt(conf, &err) < 0) {
        print(NULL, err.text);
        bad = 1;
    } else {
        policies_review(conf, print, NULL);
        policy_unused_review(conf, print, NULL);
        review_listeners(conf);
        if (hooks->expect != NULL)
            bad = hooks->expect(snapshot, print, NULL);
    }
    policy_parts_release(conf);
    return bad;
}
