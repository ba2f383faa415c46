/* SPDX-License-Identifier: BSD-2-Clause */
/* supervisor_prepare.c - reads a configuration and opens what it names, with the rights of
 * the supervisor, before the worker process hears of it.
 */
#include "config.h"

#include "server/supervisor_inside.h"

#include "server/base/log.h"
#include "server/certificates/local_ca.h"
#include "server/files.h"
#include "server/snapshot.h"

#include <malloc.h>
#include <stdlib.h>
#include <unistd.h>

static int
read_source(const struct supervisor_conf *conf, struct config_source *source, struct err *err)
{
    if (conf->path != NULL)
        return config_load(conf->path, source, err);
    return config_source_from_text(conf->name, conf->text, source, err);
}

/* Once, before the first worker process: a process cannot become another user. */
static int
choose_identity(struct supervisor *s, const struct conf *conf, struct err *err)
{
    struct socket_owner owner = { (uid_t)-1, (gid_t)-1 };

    if (identity_find(&s->identity, conf->user, conf->user_group, err) < 0)
        return -1;
    if (s->identity.is_other)
        owner = (struct socket_owner){ s->identity.uid, s->identity.gid };
    else if (geteuid() == 0)
        log_warn("the worker process runs as root, as the configuration wants");
    else if (conf->user != NULL)
        log_info("user \"%s\" is left aside: only root can change users", conf->user);
    holdings_init(&s->holdings, &owner);
    return 0;
}

static void
check_identity(struct supervisor *s, const struct conf *conf)
{
    struct identity now;

    if (identity_find(&now, conf->user, conf->user_group, NULL) == 0 &&
        now.uid == s->identity.uid && now.gid == s->identity.gid)
        return;
    s->warning = "another user takes effect when bascule is started again";
    log_warn("%s", s->warning);
}

static int
make_local(const struct conf *conf, struct err *err)
{
    struct strings hosts = { NULL, 0 };
    int result = 0;

    if (files_want_local(conf, &hosts))
        result = local_ca_ensure(&hosts, err);
    free(hosts.items);
    return result;
}

/* Opens what the checked configuration names, and keeps its text. */
static int
declare(struct supervisor *s, const struct config_source *source, const struct conf *conf,
        struct err *err)
{
    uint64_t generation = ++s->last_generation;

    if (s->current.generation != 0)
        check_identity(s, conf);
    else if (choose_identity(s, conf, err) < 0)
        return -1;
    if (make_local(conf, err) < 0 || declared_set(&s->next, generation, source, conf, err) < 0)
        return -1;
    return holdings_prepare(&s->holdings, conf, generation, err);
}

int
supervisor_prepare(struct supervisor *s, struct err *err)
{
    struct config_source source;
    struct snapshot *snapshot;
    int result = -1;

    declared_forget(&s->next);
    s->warning = NULL;
    if (read_source(s->conf, &source, err) < 0)
        return -1;
    snapshot = snapshot_new(&source, err);
    if (snapshot != NULL)
        result = declare(s, &source, &snapshot->conf, err);
    if (result == 0)
        log_level = (enum log_level)snapshot->conf.log.level;
    snapshot_unref(snapshot);
    config_source_fini(&source);
    malloc_trim(0); /* it was only looked at: the worker process has its own */
    if (result < 0)
        declared_forget(&s->next);
    return result;
}
