/* SPDX-License-Identifier: BSD-2-Clause */
/* holdings.c - opens, sends and closes what needs privileges or has to outlive
 * a worker process.
 */
#include "config.h"

#include "server/holdings.h"

#include "server/base/log.h"
#include "server/channel.h"
#include "server/config/reader.h"
#include "server/files.h"
#include "server/limits.h"
#include "server/schema.h"
#include "server/sd_notify.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONTROL_BACKLOG 32
#define CONTROL_MODE 0600
#define FOLDER_MODE 0755

void
holdings_init(struct holdings *holdings, const struct socket_owner *owner)
{
    *holdings = (struct holdings){ .control.fd = -1, .next_control.fd = -1, .owner = *owner };
    list_init(&holdings->sockets);
    list_init(&holdings->files);
}

/* ---- listening sockets */

static uint16_t
port_of(const struct address *address)
{
    struct ip ip;

    ip_from_sockaddr(&ip, &address->to.any);
    return ip.port;
}

/* An older address of ours with the same port may overlap: that is no conflict. */
static bool
is_alone(const struct holdings *holdings, const struct address *address)
{
    list_each(link, &holdings->sockets) {
        const struct sockets *sockets = container_of(link, struct sockets, link);

        if (sockets->count > 0 && port_of(&sockets->address) == port_of(address))
            return false;
    }
    return true;
}

/* What systemd has bound for us already. */
static void
take_from_systemd(struct sockets *sockets, const struct address *address)
{
    const int *fds;
    unsigned count = sd_listen_fds(&fds);
    struct err err;

    for (unsigned i = 0; i < count; i++) {
        int copy;

        if (!socket_listens_at(fds[i], address))
            continue;
        copy = fcntl(fds[i], F_DUPFD_CLOEXEC, CHANNEL_FD + 1);
        if (copy >= 0 && sockets_take(sockets, &copy, 1, &err) == 0)
            sockets->is_foreign = true;
    }
}

static struct sockets *
add_sockets(struct holdings *holdings, const char *key, uint64_t generation)
{
    struct sockets *sockets = sockets_new(key);

    if (sockets == NULL)
        return NULL;
    sockets->first_generation = generation;
    list_push_back(&holdings->sockets, &sockets->link);
    return sockets;
}

/* An address that is new must be had; one that is open already serves as it is
 * if it cannot be given more sockets. */
static int
prepare_address(struct holdings *holdings, const struct listener_conf *conf, size_t index,
                unsigned workers, uint64_t generation, struct err *err)
{
    const struct address *address = &conf->listen.items[index];
    char key[SOCKETS_KEY_BYTES];
    struct sockets *sockets = sockets_find(&holdings->sockets, sockets_key(key, conf, index));
    bool is_new = sockets == NULL;

    if (is_new) {
        sockets = add_sockets(holdings, key, generation);
        if (sockets == NULL)
            return err_set(err, "out of memory");
        take_from_systemd(sockets, address);
    }
    sockets->generation = generation;
    if (sockets_open(sockets, address, conf->backlog, workers, is_alone(holdings, address),
                     &holdings->owner, err) == 0)
        return 0;
    if (is_new)
        return config_place_fail(err, &conf->place, "listener \"%s\": %s", conf->name,
                                 strdupa(err->text));
    log_warn("listener \"%s\": %s: staying with %u sockets", conf->name, err->text,
             sockets->count);
    return 0;
}

static int
prepare_listeners(struct holdings *holdings, const struct conf *conf, bool are_new,
                  uint64_t generation, struct err *err)
{
    unsigned workers = limit_workers(conf);
    char key[SOCKETS_KEY_BYTES];

    for (size_t i = 0; i < conf->listeners.count; i++) {
        const struct listener_conf *listener = conf->listeners.items[i];

        for (size_t j = 0; j < listener->listen.count; j++) {
            const struct sockets *known =
                sockets_find(&holdings->sockets, sockets_key(key, listener, j));

            if ((known == NULL) == are_new &&
                prepare_address(holdings, listener, j, workers, generation, err) < 0)
                return -1;
        }
    }
    return 0;
}

/* ---- the control socket */

static bool
is_same_path(const struct control_socket *control, const char *path)
{
    return control->fd >= 0 && strcmp(control->address.to.un.sun_path, path) == 0;
}

/* /run/bascule is not there after a boot unless systemd made it. */
static void
make_folder(const char *path)
{
    char *folder = strdupa(path);
    char *slash = strrchr(folder, '/');

    if (slash == NULL || slash == folder)
        return;
    *slash = '\0';
    mkdir(folder, FOLDER_MODE);
}

static int
prepare_control(struct holdings *holdings, const char *path, struct err *err)
{
    static const struct socket_owner ours = { (uid_t)-1, (gid_t)-1 }; /* not the worker process's */
    struct control_socket *next = &holdings->next_control;
    char text[ADDRESS_TEXT_BYTES];

    if (path == NULL || is_same_path(&holdings->control, path))
        return 0;
    snprintf(text, sizeof(text), "unix:%s", path);
    if (address_parse(&next->address, slice_of(text), 0, err) < 0)
        return err_prefix(err, "control: ");
    make_folder(path);
    next->fd = socket_open_unix(&next->address, CONTROL_BACKLOG, CONTROL_MODE, &ours, err);
    if (next->fd < 0 && errno == EADDRINUSE)
        return err_set(err, "control: %s is in use, perhaps by another bascule", path);
    return next->fd < 0 ? err_prefix(err, "control: ") : 0;
}

static void
close_control(struct control_socket *control)
{
    if (control->fd < 0)
        return;
    close(control->fd);
    unlink(control->address.to.un.sun_path);
    control->fd = -1;
}

void
holdings_send_control(struct holdings *holdings, int channel_fd)
{
    bool has_one = holdings->control.fd >= 0;

    if (channel_send(channel_fd, CHANNEL_CONTROL, geteuid(), NULL, &holdings->control.fd,
                     has_one) < 0)
        log_error("control socket: cannot be passed on: %s", strerrordesc_np(errno));
}

static void
commit_control(struct holdings *holdings, int channel_fd)
{
    if (holdings->next_control.fd < 0 && !(holdings->drops_control && holdings->control.fd >= 0))
        return;
    close_control(&holdings->control);
    holdings->control = holdings->next_control;
    holdings->next_control.fd = -1;
    holdings_send_control(holdings, channel_fd);
}

/* ---- files */

static int
open_files(struct holdings *holdings, struct err *err)
{
    list_each(link, &holdings->files) {
        struct held_file *file = container_of(link, struct held_file, link);

        if (file->is_sent || file->fd >= 0)
            continue;
        file->fd = log_file_open(log_sink_path(file->identity), err);
        if (file->fd < 0)
            return -1;
    }
    return 0;
}

static int
send_file(struct held_file *file, int channel_fd)
{
    int result = channel_send(channel_fd, CHANNEL_FILE, file->generation, file->identity,
                              &file->fd, 1);

    close(file->fd);
    file->fd = -1;
    file->is_sent = result == 0;
    return result;
}

void
holdings_reopen_files(struct holdings *holdings, int channel_fd)
{
    struct err err;

    list_each(link, &holdings->files) {
        struct held_file *file = container_of(link, struct held_file, link);

        if (!file->is_sent)
            continue;
        file->fd = log_file_open(log_sink_path(file->identity), &err);
        if (file->fd < 0)
            log_error("%s: logging goes on in the old file", err.text);
        else if (send_file(file, channel_fd) < 0)
            log_error("log %s: cannot be passed on: %s", file->identity, strerrordesc_np(errno));
    }
}

/* ---- folders of stores */

/* The folder itself, not those above it, is made for whoever the worker process
 * runs as, who may not be able to. */
static int
prepare_store(const struct holdings *holdings, const struct store_conf *store, struct err *err)
{
    if (store->path == NULL)
        return 0;
    if (mkdir(store->path, 0700) < 0)
        return errno == EEXIST ? 0 : err_errno(err, "%s:%u: store \"%s\": cannot make the folder "
                                                    "\"%s\"", store->place.file,
                                               store->place.line, store->name, store->path);
    if (lchown(store->path, holdings->owner.uid, holdings->owner.gid) < 0)
        return err_errno(err, "store \"%s\": cannot give the folder \"%s\" away", store->name,
                         store->path);
    return 0;
}

static int
prepare_stores(const struct holdings *holdings, const struct conf *conf, struct err *err)
{
    for (size_t i = 0; i < conf->stores.count; i++)
        if (prepare_store(holdings, conf->stores.items[i], err) < 0)
            return -1;
    return 0;
}

/* ---- a generation */

int
holdings_prepare(struct holdings *holdings, const struct conf *conf, uint64_t generation,
                 struct err *err)
{
    /* New addresses first: they are what may fail, and can be closed again. */
    if (prepare_control(holdings, conf->control, err) == 0 &&
        prepare_stores(holdings, conf, err) == 0 &&
        files_want(&holdings->files, conf, generation, err) == 0 &&
        open_files(holdings, err) == 0 &&
        prepare_listeners(holdings, conf, true, generation, err) == 0 &&
        prepare_listeners(holdings, conf, false, generation, err) == 0) {
        holdings->drops_control = conf->control == NULL; /* once it is committed */
        return 0;
    }
    holdings_rollback(holdings, generation);
    return -1;
}

static int
send_sockets(struct sockets *sockets, int channel_fd, uint64_t generation)
{
    while (sockets->sent < sockets->count) {
        unsigned count = sockets->count - sockets->sent;

        if (count > CHANNEL_FDS_MAX)
            count = CHANNEL_FDS_MAX;
        if (channel_send(channel_fd, CHANNEL_LISTENER, generation, sockets->key,
                         sockets->fds + sockets->sent, count) < 0)
            return -1;
        sockets->sent += count;
    }
    return 0;
}

int
holdings_send(struct holdings *holdings, int channel_fd, uint64_t generation)
{
    struct err err;

    if (open_files(holdings, &err) < 0)
        log_error("%s", err.text); /* after a restart: the worker process says what follows */
    list_each(link, &holdings->files) {
        struct held_file *file = container_of(link, struct held_file, link);

        if (file->fd >= 0 && send_file(file, channel_fd) < 0)
            return -1;
    }
    list_each(link, &holdings->sockets) {
        struct sockets *sockets = container_of(link, struct sockets, link);

        if (send_sockets(sockets, channel_fd, generation) < 0)
            return -1;
    }
    return 0;
}

static void
close_sockets(struct sockets *sockets)
{
    sockets_unlink(sockets);
    sockets_free(sockets);
}

void
holdings_commit(struct holdings *holdings, int channel_fd, uint64_t generation)
{
    list_each(link, &holdings->sockets) {
        struct sockets *sockets = container_of(link, struct sockets, link);

        if (sockets->generation != generation)
            close_sockets(sockets);
    }
    files_drop(&holdings->files, generation);
    commit_control(holdings, channel_fd);
}

void
holdings_rollback(struct holdings *holdings, uint64_t generation)
{
    list_each(link, &holdings->sockets) {
        struct sockets *sockets = container_of(link, struct sockets, link);

        if (sockets->first_generation == generation)
            close_sockets(sockets);
    }
    files_drop_new(&holdings->files, generation);
    close_control(&holdings->next_control);
}

void
holdings_forget_sent(struct holdings *holdings)
{
    list_each(link, &holdings->sockets)
        container_of(link, struct sockets, link)->sent = 0;
    list_each(link, &holdings->files)
        container_of(link, struct held_file, link)->is_sent = false;
}

void
holdings_close_sockets(struct holdings *holdings)
{
    list_each(link, &holdings->sockets)
        close_sockets(container_of(link, struct sockets, link));
}

void
holdings_fini(struct holdings *holdings)
{
    holdings_close_sockets(holdings);
    files_drop(&holdings->files, UINT64_MAX);
    close_control(&holdings->control);
    close_control(&holdings->next_control);
}
