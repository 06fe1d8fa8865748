#include "net/http_priv.h"

#include "base/clock.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <unistd.h>

enum { SAY_AGAIN_US = 1000000 };

static void say_shed(struct http_server *s, int error)
{
    int64_t now = clock_mono_us();
    if (s->shed_said_us != 0 && now - s->shed_said_us < SAY_AGAIN_US)
        return;
    s->shed_said_us = now;
    LOG(s->log, LOG_WARN, "accept_failed", LF_Z("error", strerror(error)));
}

/* Out of descriptors, the waiting connection would wake us forever: the spare one makes room to
 * accept it and close it. False when even that fails. */
static bool shed_one(struct http_server *s, int listening)
{
    if (s->spare_fd >= 0)
        close(s->spare_fd);
    int fd = accept4(listening, NULL, NULL, SOCK_CLOEXEC);
    bool shed = fd >= 0 || errno == EAGAIN;
    if (fd >= 0) {
        close(fd);
        metrics_add(s->block, M_CONNS_REFUSED, 1);
    }
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    return shed && s->spare_fd >= 0;
}

/* After a failed accept4: whether to go on with the next connection. */
static bool accept_failed(struct http_server *s, int listening)
{
    int error = errno;
    switch (error) {
    case EAGAIN: return false;
    case EINTR:
    case ECONNABORTED:
    case EPROTO:
    case EPERM: return true;
    default: break;
    }
    say_shed(s, error);
    if ((error == EMFILE || error == ENFILE) && shed_one(s, listening))
        return true;
    listeners_pause(s);
    return false;
}

static void listener_ready(evutil_socket_t listening, short what, void *arg)
{
    struct http_server *s = ((struct listener *)arg)->server;
    server_wake(s);
    for (int i = 0; i < ACCEPTS_PER_WAKE; i++) {
        struct sockaddr_storage peer;
        socklen_t len = sizeof(peer);
        peer.ss_family = AF_UNSPEC;
        int fd = accept4(listening, (struct sockaddr *)&peer, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0)
            conn_open(s, fd, (struct sockaddr *)&peer);
        else if (!accept_failed(s, listening))
            return;
    }
}

enum status http_server_listen(struct http_server *s, int fd)
{
    struct listener *l = calloc(1, sizeof(*l));
    if (!l)
        goto failed;
    l->server = s;
    l->fd = fd;
    l->event = event_new(s->base, fd, EV_READ | EV_PERSIST, listener_ready, l);
    if (!l->event || event_add(l->event, NULL) != 0)
        goto failed;
    /* Accepted sockets inherit it; on a Unix socket it fails and does not matter. */
    int on = 1;
    (void)setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    l->next = s->listeners;
    s->listeners = l;
    return ST_OK;
failed:
    if (l && l->event)
        event_free(l->event);
    free(l);
    close(fd);
    return ST_INTERNAL;
}

void listeners_pause(struct http_server *s)
{
    for (struct listener *l = s->listeners; l; l = l->next)
        event_del(l->event);
    s->accept_paused = true;
}

void listeners_resume(struct http_server *s)
{
    if (!s->accept_paused)
        return;
    if (s->spare_fd < 0)
        s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    s->accept_paused = false;
    for (struct listener *l = s->listeners; l; l = l->next) {
        if (event_add(l->event, NULL) != 0)
            s->accept_paused = true;
    }
}

void listeners_drain(struct http_server *s)
{
    for (struct listener *l = s->listeners; l; l = l->next) {
        struct pollfd waiting = {.fd = l->fd, .events = POLLIN};
        /* As many as the kernel keeps; a crowd that goes on coming must not hold up the end. */
        for (int i = 0; i < BACKLOG && !s->accept_paused && poll(&waiting, 1, 0) == 1;
             i += ACCEPTS_PER_WAKE)
            listener_ready(l->fd, EV_READ, l);
    }
}

void listeners_close(struct http_server *s)
{
    while (s->listeners) {
        struct listener *l = s->listeners;
        s->listeners = l->next;
        event_free(l->event);
        close(l->fd);
        free(l);
    }
}
