/* SPDX-License-Identifier: BSD-2-Clause */
/* snapshot.c - the life of one configuration generation.
 *
 *     snapshot_new --> snapshot_adopt --> published --> last snapshot_unref
 *      (checked)       (has its parts       (read        (parts given back,
 *                       of the registry)     only)        arena freed)
 *
 * What is adopted is tied to the arena, so that freeing the arena gives it back.
 */
#include "config.h"

#include "server/snapshot.h"

#include "server/config/reader.h"
#include "server/log/access_log.h"
#include "server/log/sink.h"
#include "server/net/listener.h"
#include "server/upstream/group.h"

/* More than any configuration needs: half a million sites. */
#define ARENA_BYTES ((size_t)1 << 30)

struct snapshot *
snapshot_new(const struct config_source *source, struct err *err)
{
    struct snapshot *snapshot = arena_new_object(NULL, ARENA_BYTES, sizeof(*snapshot),
                                                 offsetof(struct snapshot, arena));
    struct conf *conf;

    if (snapshot == NULL) {
        err_set(err, "out of memory for the configuration");
        return NULL;
    }
    atomic_init(&snapshot->references, 1);
    conf = &snapshot->conf;
    if (config_source_read(source, conf_options, conf, &snapshot->arena, err, NULL) < 0 ||
        schema_finish(conf, &snapshot->arena, err) < 0) {
        snapshot_unref(snapshot);
        return NULL;
    }
    return snapshot;
}

/* ---- adopting */

static int
adopt_access_log(struct access_log_conf *conf, struct arena *arena, struct err *err)
{
    char identity[SINK_IDENTITY_BYTES];
    struct log_sink *sink;

    if (log_sink_identify(identity, conf->to, err) < 0)
        return -1;
    sink = log_sink_open(identity, -1, err);
    if (sink == NULL)
        return -1;
    conf->log = access_log_new(arena, sink, conf->compiled);
    return conf->log != NULL ? 0 : err_set(err, "out of memory");
}

static void
let_go_of_listener(void *listener)
{
    listener_unref(listener);
}

static int
adopt_listener(struct listener_conf *conf, struct arena *arena, struct err *err)
{
    if (listener_adopt(conf, err) < 0)
        return -1;
    if (arena_defer(arena, let_go_of_listener, conf->listener) < 0)
        return err_set(err, "out of memory");
    return 0;
}

int
snapshot_adopt(struct snapshot *snapshot, struct err *err)
{
    static _Atomic uint64_t generations;
    struct conf *conf = &snapshot->conf;
    size_t i;

    snapshot->generation = atomic_fetch_add(&generations, 1) + 1;
    for (i = 0; i < conf->access_logs.count; i++) {
        struct access_log_conf *log = conf->access_logs.items[i];

        if (adopt_access_log(log, &snapshot->arena, err) < 0)
            return err_prefix(err, "%s:%u: access log \"%s\": ", log->place.file, log->place.line,
                              log->name);
    }
    for (i = 0; i < conf->groups.count; i++) {
        if (group_adopt(conf->groups.items[i], &snapshot->arena, snapshot->generation, err) < 0)
            return -1;
    }
    for (i = 0; i < conf->listeners.count; i++) {
        if (adopt_listener(conf->listeners.items[i], &snapshot->arena, err) < 0)
            return -1;
    }
    return 0;
}

struct snapshot *
snapshot_ref(struct snapshot *snapshot)
{
    atomic_fetch_add_explicit(&snapshot->references, 1, memory_order_relaxed);
    return snapshot;
}

void
snapshot_unref(struct snapshot *snapshot)
{
    unsigned before;

    if (snapshot == NULL)
        return;
    before = atomic_fetch_sub_explicit(&snapshot->references, 1, memory_order_acq_rel);
    must(before > 0);
    if (before == 1)
        arena_free_object(snapshot, offsetof(struct snapshot, arena));
}
