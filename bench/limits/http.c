#include "http.h"

#include <event2/event.h>
#include <event2/event_struct.h>

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum { IN_MAX = 8192, BACKLOG = 4096 };

struct listener {
    struct event_base *base;
    struct event event;
    bare_fn handler;
    void *arg;
};

struct bare_conn {
    struct listener *listener;
    struct event event;
    int fd;
    bool asked; /* a request waits for its answer */
    bool gone;  /* the peer left meanwhile */
    size_t in_n;
    char in[IN_MAX];
};

static void conn_close(struct bare_conn *c)
{
    if (!c->gone) {
        event_del(&c->event);
        close(c->fd);
        c->gone = true;
    }
    if (!c->asked) {
        free(c);
    }
}

static enum bare_kind kind_of(struct str request)
{
    static const struct str sale = STR("POST /v1/sales ");
    static const struct str order = STR("POST /v1/orders ");
    return request.n > order.n && memcmp(request.p, order.p, order.n) == 0 ? BARE_ORDER
           : request.n > sale.n && memcmp(request.p, sale.p, sale.n) == 0  ? BARE_SALE
                                                                           : BARE_OTHER;
}

/* Length of the first whole request; 0 when more has to come. */
static size_t request_length(struct str in)
{
    static const struct str field = STR("\r\nContent-Length: ");
    const char *end = memmem(in.p, in.n, "\r\n\r\n", 4);
    if (!end) {
        return 0;
    }
    size_t head = (size_t)(end - in.p) + 4;
    const char *length = memmem(in.p, head, field.p, field.n);
    size_t whole = head + (length ? strtoul(length + field.n, NULL, 10) : 0);
    return in.n >= whole ? whole : 0;
}

static void conn_read(evutil_socket_t fd, short what, void *arg)
{
    struct bare_conn *c = arg;
    ssize_t n = recv(fd, c->in + c->in_n, sizeof(c->in) - c->in_n, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        return;
    }
    if (n <= 0 || c->asked) {
        conn_close(c); /* it left, or does not wait for its answer */
        return;
    }
    c->in_n += (size_t)n;
    struct str in = {c->in, c->in_n};
    if (request_length(in) == c->in_n) {
        c->in_n = 0;
        c->asked = true;
        c->listener->handler(c->listener->arg, c, kind_of(in));
    } else if (c->in_n == sizeof(c->in)) {
        conn_close(c);
    }
}

static void conn_accept(evutil_socket_t fd, short what, void *arg)
{
    struct listener *l = arg;
    static const int on = 1;
    int peer = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
    if (peer < 0) {
        return;
    }
    struct bare_conn *c = calloc(1, sizeof(*c));
    if (!c) {
        close(peer);
        return;
    }
    setsockopt(peer, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    c->listener = l;
    c->fd = peer;
    event_assign(&c->event, l->base, peer, EV_READ | EV_PERSIST, conn_read, c);
    event_add(&c->event, NULL);
}

bool bare_listen(struct event_base *base, uint16_t port, bare_fn handler, void *arg)
{
    static const int on = 1;
    const struct sockaddr_in at = {
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    struct listener *l = calloc(1, sizeof(*l));
    if (fd < 0 || !l || setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &on, sizeof(on)) != 0 ||
        setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on)) != 0 ||
        bind(fd, (const struct sockaddr *)&at, sizeof(at)) != 0 || listen(fd, BACKLOG) != 0) {
        free(l);
        if (fd >= 0) {
            close(fd);
        }
        return false;
    }
    *l = (struct listener){.base = base, .handler = handler, .arg = arg};
    event_assign(&l->event, base, fd, EV_READ | EV_PERSIST, conn_accept, l);
    return event_add(&l->event, NULL) == 0;
}

void bare_answer(struct bare_conn *c, struct str answer)
{
    c->asked = false;
    if (c->gone || send(c->fd, answer.p, answer.n, MSG_NOSIGNAL) != (ssize_t)answer.n) {
        conn_close(c);
    }
}

void bare_answer_sale(struct bare_conn *c, enum bare_kind kind)
{
    static const struct str created =
        STR(BARE_HEAD("201 Created", "json", "17") "\r\n{\"state\":\"draft\"}");
    static const struct str open =
        STR(BARE_HEAD("200 OK", "json", "16") "\r\n{\"state\":\"open\"}");
    bare_answer(c, kind == BARE_SALE ? created : open);
}
