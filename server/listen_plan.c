/* SPDX-License-Identifier: BSD-2-Clause */
/* listen_plan.c - one item for each address of each listener. */
#include "config.h"

#include "server/listen_plan.h"

#include "server/net/sockets.h"
#include "server/schema.h"

#include <stdlib.h>

static struct listen_plan *
make(size_t items, unsigned peers)
{
    struct listen_plan *plan = calloc(1, sizeof(*plan));

    if (plan == NULL)
        return NULL;
    plan->items = calloc(items + 1, sizeof(*plan->items));
    plan->peers = calloc(peers + 1, sizeof(*plan->peers));
    if (plan->items == NULL || plan->peers == NULL) {
        listen_plan_free(plan);
        return NULL;
    }
    return plan;
}

struct listen_plan *
listen_plan_new_empty(void)
{
    return make(0, 0);
}

static size_t
count_addresses(const struct conf *conf)
{
    size_t count = 0;

    for (size_t i = 0; i < conf->listeners.count; i++)
        count += ((struct listener_conf *)conf->listeners.items[i])->listen.count;
    return count;
}

static int
add_listener(struct listen_plan *plan, struct listener_conf *conf, struct list *all,
             struct err *err)
{
    char key[SOCKETS_KEY_BYTES];

    for (size_t i = 0; i < conf->listen.count; i++) {
        struct sockets *sockets = sockets_find(all, sockets_key(key, conf, i));

        if (sockets == NULL || sockets->count == 0)
            return err_set(err, "listener \"%s\": no socket came for %s", conf->name, key);
        plan->items[plan->count++] = (struct listen_item){ .sockets = sockets, .conf = conf };
    }
    return 0;
}

struct listen_plan *
listen_plan_new(const struct conf *conf, struct list *sockets, const struct crew *crew,
                unsigned workers, struct err *err)
{
    struct listen_plan *plan = make(count_addresses(conf), workers);

    if (plan == NULL) {
        err_set(err, "out of memory");
        return NULL;
    }
    plan->peer_count = workers;
    for (unsigned i = 0; i < workers; i++)
        plan->peers[i] = worker_thread_peer(crew->members[i].thread);
    for (size_t i = 0; i < conf->listeners.count; i++) {
        if (add_listener(plan, conf->listeners.items[i], sockets, err) < 0) {
            listen_plan_free(plan);
            return NULL;
        }
    }
    return plan;
}

void
listen_plan_free(struct listen_plan *plan)
{
    if (plan == NULL)
        return;
    free(plan->items);
    free(plan->peers);
    free(plan);
}
