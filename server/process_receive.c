/* SPDX-License-Identifier: BSD-2-Clause */
/* process_receive.c - what the supervisor sends to the worker process: configurations,
 * sockets, files, and when to go on with them.
 */
#include "config.h"

#include "server/process_inside.h"

#include "server/base/log.h"
#include "server/files.h"
#include "server/log/log_thread.h"
#include "server/net/sockets.h"
#include "server/opener.h"

#include <inttypes.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define CONFIG_BYTES_MAX (256u << 20)

static int
read_config(struct process *p, int fd, struct err *err)
{
    struct stat st;
    void *block;
    int result;

    if (fstat(fd, &st) < 0 || st.st_size <= 0 || st.st_size > (off_t)CONFIG_BYTES_MAX)
        return err_set(err, "the configuration that came is empty or too large");
    block = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (block == MAP_FAILED)
        return err_errno(err, "the configuration that came cannot be read");
    result = config_source_unpack(&p->source, block, (size_t)st.st_size, err);
    munmap(block, (size_t)st.st_size);
    return result;
}

static void
on_config(struct process *p, struct channel_message *message)
{
    struct err err;

    if (p->is_stop_wanted) {
        channel_close_fds(message, 0);
        return;
    }
    p->incoming = message->number;
    p->stage = RECEIVING;
    if (p->has_source)
        config_source_fini(&p->source);
    p->has_source = message->fd_count == 1 && read_config(p, message->fds[0], &err) == 0;
    if (!p->has_source && message->fd_count == 1)
        log_error("worker process: %s", err.text);
    channel_close_fds(message, 0);
}

static void
on_sockets(struct process *p, struct channel_message *message)
{
    struct sockets *sockets = sockets_find(&p->sockets, message->text);
    struct err err;

    if (sockets == NULL) {
        sockets = sockets_new(message->text);
        if (sockets == NULL) {
            channel_close_fds(message, 0);
            return;
        }
        list_push_back(&p->sockets, &sockets->link);
    }
    if (sockets_take(sockets, message->fds, message->fd_count, &err) < 0)
        log_error("worker process: %s", err.text);
}

/* A log file: the first time for whoever adopts it, later after rotation. */
static void
on_file(struct process *p, struct channel_message *message)
{
    struct held_file *file;
    struct err err;

    if (message->fd_count != 1) {
        channel_close_fds(message, 0);
        return;
    }
    file = files_get(&p->files, message->text);
    if (file == NULL) {
        channel_close_fds(message, 0);
        return;
    }
    if (message->number > file->generation)
        file->generation = message->number;
    if (file->sink != NULL) {
        if (log_sink_reopen(file->identity, message->fds[0]) < 0)
            log_error("log %s: cannot be opened again", file->identity);
        return;
    }
    file->sink = log_sink_open(file->identity, message->fds[0], &err);
    if (file->sink == NULL)
        log_error("log %s: %s", file->identity, err.text);
}

static void
on_control_socket(struct process *p, struct channel_message *message)
{
    struct control_conf conf = { .loop = p->loop, .owner = (uid_t)message->number,
                                 .on_request = process_on_request, .arg = p };
    int fd = message->fd_count == 1 ? message->fds[0] : -1;

    channel_close_fds(message, fd >= 0 ? 1 : 0);
    if (p->control != NULL)
        control_replace(p->control, fd);
    else if (fd >= 0)
        p->control = control_new(&conf, fd);
}

/* Before the first configuration, which may need files at once. */
static void
on_opener(struct channel_message *message)
{
    channel_close_fds(message, 2);
    if (message->fd_count > 0)
        opener_use(message->fds[0], message->fd_count > 1 ? message->fds[1] : -1);
}

static void
on_reload_answer(struct process *p, const struct channel_message *message)
{
    bool is_ok = message->kind == CHANNEL_RELOADED;
    char *text = NULL;
    int bytes;

    if (p->control == NULL)
        return;
    bytes = is_ok ? asprintf(&text, "generation %" PRIu64 " is served\n%s%s", p->generation,
                             message->text, message->text[0] != '\0' ? "\n" : "")
                  : asprintf(&text, "%s\n", message->text);
    control_answer(p->control, message->number, is_ok, bytes < 0 ? NULL : text, (size_t)bytes);
}

static void
on_message(struct process *p, struct channel_message *message)
{
    switch (message->kind) {
    case CHANNEL_CONFIG:
        on_config(p, message);
        return;
    case CHANNEL_LISTENER:
        on_sockets(p, message);
        return;
    case CHANNEL_FILE:
        on_file(p, message);
        return;
    case CHANNEL_CONTROL:
        on_control_socket(p, message);
        return;
    case CHANNEL_OPENER:
        on_opener(message);
        return;
    case CHANNEL_GO:
        process_go(p, message->number);
        break;
    case CHANNEL_RELOADED:
    case CHANNEL_REFUSED:
        on_reload_answer(p, message);
        break;
    case CHANNEL_STOP:
        process_stop(p, message->number != 0);
        break;
    case CHANNEL_READY:
    case CHANNEL_FAILED:
    case CHANNEL_RELOAD:
    case CHANNEL_OPEN:
    case CHANNEL_WATCH:
    case CHANNEL_OPENED:
    case CHANNEL_KIND_COUNT:
        break; /* ours to send, or not said here */
    }
    channel_close_fds(message, 0);
}

/* Nobody could reload or restart us any more: whoever looks after the
 * supervisor starts it again, and it needs our addresses. */
static void
on_supervisor_gone(const char *how)
{
    log_error("worker process: %s: ending at once", how);
    log_flush();
    _exit(1);
}

void
process_on_channel(struct watch *watch, uint32_t events)
{
    static struct channel_message message;
    struct process *p = container_of(watch, struct process, channel);
    enum channel_result result;

    (void)events;
    while ((result = channel_receive(watch->fd, &message)) == CHANNEL_GOT)
        on_message(p, &message);
    if (result == CHANNEL_ENDED)
        on_supervisor_gone("the supervisor is gone");
    if (result == CHANNEL_BROKEN)
        on_supervisor_gone("the supervisor sent what nobody understands");
}
