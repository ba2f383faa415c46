/* SPDX-License-Identifier: BSD-2-Clause */
/* main.c - where everything meets: the commands of server/, and what modes do
 * in the worker threads and can say of themselves.
 */
#include "config.h"

#include "filters/filter_topic.h"
#include "filters/icap.h"
#include "filters/service.h"
#include "modes/cache_topic.h"
#include "modes/expectations.h"
#include "modes/explain.h"
#include "modes/road.h"
#include "server/commands/command.h"
#include "server/policy/ban_topic.h"
#include "server/policy/list_topic.h"
#include "server/tls/tls_memory.h"
#include "server/worker_thread.h"

static const struct topic *const topics[] = {
    &cache_topic,
    &list_topic,
    &ban_topic,
    &filter_topic,
    &explain_topic,
    NULL,
};

static void
end_filters(struct worker *worker)
{
    icap_on_end(worker);
    service_on_end(worker);
}

static const struct worker_hooks hooks = {
    .on_publish = road_on_publish,
    .on_drain = road_on_drain,
    .is_idle = road_is_idle,
    .on_kill = road_on_kill,
    .on_end = end_filters,
    .topics = topics,
    .expect = expectations_try,
};

int
main(int argc, char **argv)
{
    tls_memory_use();
    return commands_main(argc, argv, &hooks);
}
