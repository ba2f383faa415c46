/* SPDX-License-Identifier: BSD-2-Clause */
/* control.c - a few clients at a time, one line in, one text out.
 *
 *     READING --(line)--> ASKED --(answer)--> WRITING --> closed
 *
 * Reading and writing have a deadline; being answered has not: a stop is
 * answered when the last exchange is over.
 */
#include "config.h"

#include "server/admin/control.h"

#include "server/base/log.h"
#include "server/net/conn.h"

#include <errno.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#define CLIENTS_MAX 32
#define PATIENCE_MS 10000

enum client_state { READING, ASKED, WRITING };

struct client_connection {
    struct conn conn;
    struct list link;
    struct control *control;
    uint64_t ticket;
    enum client_state state;
    char request[CONTROL_REQUEST_MAX];
    size_t request_bytes;
    const char *status; /* the first line */
    char *text;
    size_t text_bytes, sent_bytes;
};

struct control {
    struct control_conf conf;
    struct watch watch;
    int fd;
    struct list clients;
    unsigned client_count;
    uint64_t next_ticket;
};

/* ---- one client */

static void
free_client(void *object)
{
    struct client_connection *client = object;

    free(client->text);
    free(client);
}

static void
close_client(struct client_connection *client)
{
    if (!conn_is_open(&client->conn))
        return;
    list_remove(&client->link);
    client->control->client_count--;
    conn_close(&client->conn);
    conn_free_later(&client->conn, free_client, client);
}

static void
write_answer(struct client_connection *client)
{
    size_t status_bytes = strlen(client->status);
    size_t all_bytes = status_bytes + client->text_bytes;

    while (client->sent_bytes < all_bytes) {
        size_t at = client->sent_bytes > status_bytes ? client->sent_bytes - status_bytes : 0;
        size_t status_at = client->sent_bytes < status_bytes ? client->sent_bytes : status_bytes;
        struct iovec iov[2] = {
            { (void *)(client->status + status_at), status_bytes - status_at },
            { client->text + at, client->text_bytes - at },
        };
        ssize_t sent = conn_send(&client->conn, iov, 2, false);

        if (sent == CONN_WAIT)
            return;
        if (sent < 0)
            break;
        client->sent_bytes += (size_t)sent;
    }
    close_client(client);
}

/* A client that ends its stream still wants its answer; one that is gone does not. */
static void
on_request_bytes(struct client_connection *client)
{
    char *end;
    ssize_t got = conn_recv(&client->conn, client->request + client->request_bytes,
                            sizeof(client->request) - client->request_bytes);

    if (got == CONN_WAIT)
        return;
    if (got <= 0) {
        close_client(client);
        return;
    }
    client->request_bytes += (size_t)got;
    end = memchr(client->request, '\n', client->request_bytes);
    if (end != NULL) {
        client->state = ASKED;
        timer_disarm(&client->conn.timer);
        client->control->conf.on_request(
            client->control->conf.arg, client->ticket,
            slice_make(client->request, (size_t)(end - client->request)));
    } else if (client->request_bytes == sizeof(client->request)) {
        close_client(client);
    }
}

static void
on_ready(struct conn *conn)
{
    struct client_connection *client = container_of(conn, struct client_connection, conn);

    switch (client->state) {
    case READING:
        on_request_bytes(client);
        break;
    case ASKED:
        if (conn->is_broken)
            close_client(client);
        break;
    case WRITING:
        write_answer(client);
        break;
    }
}

static void
on_timeout(struct timer *timer)
{
    close_client(container_of(timer, struct client_connection, conn.timer));
}

/* ---- new clients */

static bool
may_ask(const struct control *control, int fd)
{
    struct ucred peer;
    socklen_t bytes = sizeof(peer);

    if (getsockopt(fd, SOL_SOCKET, SO_PEERCRED, &peer, &bytes) < 0)
        return false;
    if (peer.uid == 0 || peer.uid == control->conf.owner)
        return true;
    log_warn("control socket: user %u is neither root nor ours: refused", (unsigned)peer.uid);
    return false;
}

static void
serve(struct control *control, int fd)
{
    struct client_connection *client = NULL;

    if (control->client_count < CLIENTS_MAX && may_ask(control, fd))
        client = calloc(1, sizeof(*client));
    if (client == NULL ||
        conn_open(&client->conn, control->conf.loop, fd, on_ready, on_timeout) < 0) {
        free(client);
        close(fd);
        return;
    }
    client->control = control;
    client->ticket = ++control->next_ticket;
    list_push_back(&control->clients, &client->link);
    control->client_count++;
    timer_arm(control->conf.loop, &client->conn.timer, PATIENCE_MS);
}

static void
on_connection(struct watch *watch, uint32_t events)
{
    struct control *control = container_of(watch, struct control, watch);
    int fd = accept4(watch->fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

    (void)events;
    if (fd >= 0)
        serve(control, fd);
}

/* ---- the socket */

static void
stop_listening(struct control *control)
{
    loop_unwatch(control->conf.loop, &control->watch);
    if (control->fd >= 0)
        close(control->fd);
    control->fd = -1;
}

void
control_replace(struct control *control, int fd)
{
    stop_listening(control);
    control->fd = fd;
    control->watch.fd = fd;
    if (fd >= 0 && loop_watch(control->conf.loop, &control->watch, EPOLLIN) < 0) {
        log_error("control socket: cannot be watched: %s", strerrordesc_np(errno));
        control->watch.fd = -1;
    }
}

struct control *
control_new(const struct control_conf *conf, int fd)
{
    struct control *control = calloc(1, sizeof(*control));

    if (control == NULL) {
        close(fd);
        return NULL;
    }
    control->conf = *conf;
    control->fd = -1;
    control->watch = (struct watch){ .fd = -1, .on_event = on_connection };
    list_init(&control->clients);
    control_replace(control, fd);
    return control;
}

static struct client_connection *
find(struct control *control, uint64_t ticket)
{
    list_each(link, &control->clients) {
        struct client_connection *client = container_of(link, struct client_connection, link);

        if (client->ticket == ticket && client->state == ASKED)
            return client;
    }
    return NULL;
}

void
control_answer(struct control *control, uint64_t ticket, bool is_ok, char *text, size_t bytes)
{
    struct client_connection *client = find(control, ticket);

    if (client == NULL) {
        free(text);
        return;
    }
    client->state = WRITING;
    client->status = is_ok ? "ok\n" : "failed\n";
    client->text = text;
    client->text_bytes = text != NULL ? bytes : 0;
    timer_arm(control->conf.loop, &client->conn.timer, PATIENCE_MS);
    write_answer(client);
}

void
control_free(struct control *control)
{
    if (control == NULL)
        return;
    stop_listening(control);
    list_each(link, &control->clients)
        close_client(container_of(link, struct client_connection, link));
    free(control);
}
