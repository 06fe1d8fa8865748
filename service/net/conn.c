#include "net/http_priv.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static void conn_ready(evutil_socket_t fd, short what, void *arg);

static bool conn_watch(struct conn *c, short what)
{
    if (what == c->watching)
        return true;
    if (c->watching && event_del(&c->event) != 0)
        return false;
    c->watching = 0;
    if (!what)
        return true;
    event_assign(&c->event, c->server->base, c->fd, (short)(what | EV_PERSIST), conn_ready, c);
    if (event_add(&c->event, NULL) != 0)
        return false;
    c->watching = what;
    return true;
}

static void count_conns(struct http_server *s, int delta)
{
    s->conn_count += (unsigned)delta;
    if (s->metrics)
        metrics_gauge_add(s->metrics, MG_CONNS, delta);
}

static bool conn_enter(struct conn *c, const struct sockaddr *peer)
{
    struct http_server *s = c->server;
    c->addr_counted = census_key(peer, &c->addr);
    return census_enter(s->census, c->addr_counted ? &c->addr : NULL, s->conf.conns_max,
                        s->conf.conns_per_addr);
}

void conn_open(struct http_server *s, int fd, const struct sockaddr *peer)
{
    struct conn *c = calloc(1, sizeof(*c));
    if (!c)
        goto refused;
    c->server = s;
    c->fd = fd;
    if (!conn_enter(c, peer))
        goto refused;
    buf_init(&c->in, SIZE_MAX / 4);
    buf_init(&c->out, SIZE_MAX / 4);
    c->in_due.conn = c->out_due.conn = c;
    TAILQ_INSERT_TAIL(&s->conns, c, all);
    c->magic = CONN_MAGIC;
    count_conns(s, 1);
    metrics_add(s->block, M_CONNS_ACCEPTED, 1);
    deadline_set(s, &c->in_due, DL_IDLE);
    if (!conn_watch(c, EV_READ))
        conn_free(c);
    return;
refused:
    metrics_add(s->block, M_CONNS_REFUSED, 1);
    free(c);
    close(fd);
}

void conn_free(struct conn *c)
{
    struct http_server *s = c->server;
    assert(c->magic == CONN_MAGIC);
    c->magic = 0;
    conn_watch(c, 0);
    close(c->fd);
    deadline_clear(s, &c->in_due);
    deadline_clear(s, &c->out_due);
    exchanges_detach(c);
    if (c->partial)
        exchange_return(c->partial);
    if (c->touched)
        TAILQ_REMOVE(&s->touched, c, touch);
    TAILQ_REMOVE(&s->conns, c, all);
    buf_fini(&c->in);
    buf_fini(&c->out);
    census_leave(s->census, c->addr_counted ? &c->addr : NULL);
    count_conns(s, -1);
    free(c);
}

void conn_touch(struct conn *c)
{
    if (c->touched)
        return;
    c->touched = true;
    TAILQ_INSERT_TAIL(&c->server->touched, c, touch);
}

void conn_break(struct conn *c)
{
    c->broken = true;
    conn_touch(c);
}

/* Bytes that have arrived and were not read yet, or the peer's end. */
static bool has_unread(const struct conn *c)
{
    char byte;
    return recv(c->fd, &byte, 1, MSG_PEEK | MSG_DONTWAIT) >= 0;
}

void conn_drain(struct conn *c)
{
    conn_touch(c);
    /* A request that has begun may come to its end; it is then told that the connection closes. */
    if (c->in.len > 0 || c->partial || c->stopped || has_unread(c))
        return;
    if (c->asked)
        c->stopped = c->linger = true;
    else
        deadline_set(c->server, &c->in_due, DL_LINGER);
}

/* Bytes behind the last request: read, so that the peer's end is noticed, but only so many. */
static void discard(struct conn *c, size_t n)
{
    c->linger = true;
    c->discarded += n;
    if (c->discarded <= DISCARD_BYTES_MAX)
        return;
    if (c->lingering) {
        conn_free(c);
        return;
    }
    c->deaf = true;
    conn_touch(c);
}

/* The peer sends no more. What it was answered it still gets; what it is owed it does not wait for.
 */
static void conn_eof(struct conn *c)
{
    if (c->lingering || conn_unsent(c) == 0) {
        conn_free(c);
        return;
    }
    exchanges_detach(c);
    c->eof = c->stopped = true;
    conn_touch(c);
}

static void conn_read(struct conn *c)
{
    struct http_server *s = c->server;
    if (c->paused && !c->stopped) {
        c->deaf = true;
        conn_touch(c);
        return;
    }
    ssize_t n = recv(c->fd, s->scratch, SCRATCH_BYTES, 0);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            conn_free(c);
        return;
    }
    if (n == 0) {
        conn_eof(c);
        return;
    }
    if (c->stopped) {
        discard(c, (size_t)n);
        return;
    }
    if (c->in.len == 0) {
        conn_take(c, s->scratch, (size_t)n);
        return;
    }
    buf_append(&c->in, s->scratch, (size_t)n);
    if (c->in.overflow)
        conn_break(c);
    else
        conn_take(c, c->in.data, c->in.len);
}

static void conn_ready(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    assert(c->magic == CONN_MAGIC);
    server_wake(c->server);
    if (what & EV_WRITE)
        conn_touch(c);
    if (what & EV_READ)
        conn_read(c);
}

/* Drops the sent bytes when that moves no more than it frees. */
static void compact(struct conn *c)
{
    if (c->sent < c->out.len / 2)
        return;
    memmove(c->out.data, c->out.data + c->sent, conn_unsent(c));
    c->out.len -= c->sent;
    c->sent = 0;
}

/* What was unsent when the deadline was set must be gone by then; bytes queued since get a new one.
 * So a peer that takes a drop now and then does not live forever. */
static void conn_owe(struct conn *c, size_t gone)
{
    c->owed -= gone < c->owed ? gone : c->owed;
    if (c->owed > 0)
        return;
    c->owed = conn_unsent(c);
    deadline_set(c->server, &c->out_due, DL_WRITE);
}

struct buf *conn_out(struct conn *c)
{
    struct http_server *s = c->server;
    if (!c->out.data && s->spare_count > 0)
        c->out = s->spares[--s->spare_count];
    return &c->out;
}

/* Lending the memory of small answers on is cheaper than malloc's lists are. */
static void out_return(struct conn *c)
{
    struct http_server *s = c->server;
    if (c->out.cap > SPARE_BYTES_MAX || s->spare_count == SPARES_MAX) {
        buf_fini(&c->out);
        return;
    }
    buf_reset(&c->out);
    s->spares[s->spare_count++] = c->out;
    buf_init(&c->out, c->out.max);
}

static bool conn_send(struct conn *c)
{
    ssize_t n = send(c->fd, c->out.data + c->sent, conn_unsent(c), MSG_NOSIGNAL);
    if (n < 0) {
        if (errno != EAGAIN && errno != EINTR)
            return false;
        n = 0;
    }
    c->sent += (size_t)n;
    if (conn_unsent(c) == 0) {
        out_return(c);
        c->sent = c->owed = 0;
        deadline_clear(c->server, &c->out_due);
        if (c->in_due.kind == DL_IDLE)
            deadline_set(c->server, &c->in_due, DL_IDLE);
        return true;
    }
    conn_owe(c, (size_t)n);
    compact(c);
    return true;
}

/* All is answered and sent. Closing a socket with unread bytes resets it, and the peer may lose the
 * answer it has not read; so a peer that may still be sending is heard out for a while. */
static void conn_finish(struct conn *c)
{
    if (c->lingering)
        return;
    if (c->eof || !c->linger || shutdown(c->fd, SHUT_WR) != 0) {
        conn_free(c);
        return;
    }
    c->lingering = true;
    c->deaf = false;
    c->discarded = 0;
    deadline_set(c->server, &c->in_due, DL_LINGER);
    if (!conn_watch(c, EV_READ))
        conn_free(c);
}

static void conn_resume(struct conn *c)
{
    c->paused = c->deaf = false;
    if (c->in.len > 0)
        conn_take(c, c->in.data, c->in.len);
}

void conn_flush(struct conn *c)
{
    assert(c->magic == CONN_MAGIC);
    if (c->broken || (conn_unsent(c) > 0 && !conn_send(c))) {
        conn_free(c);
        return;
    }
    if (c->first && c->first->streaming && c->server->draining)
        exchanges_detach(c);
    if (c->stopped && !c->first && conn_unsent(c) == 0) {
        conn_finish(c);
        return;
    }
    if (c->paused && conn_may_take(c))
        conn_resume(c);
    short reading = c->deaf || c->eof ? 0 : EV_READ;
    short writing = conn_unsent(c) > 0 && !c->touched ? EV_WRITE : 0;
    if (!conn_watch(c, reading | writing))
        conn_break(c);
}

void conn_expired(struct conn *c, enum deadline_kind kind)
{
    struct http_server *s = c->server;
    if (kind == DL_IDLE && (c->first || conn_unsent(c) > 0 || c->paused)) {
        deadline_set(s, &c->in_due, DL_IDLE);
        return;
    }
    if (kind != DL_LINGER)
        metrics_add(s->block, M_CONNS_TIMED_OUT, 1);
    if (kind == DL_HEADER || kind == DL_BODY) {
        struct exchange *x = c->partial;
        c->partial = NULL;
        buf_fini(&c->in);
        conn_refuse(c, x, ST_REQUEST_TIMEOUT,
                    kind == DL_HEADER ? "the header did not arrive in time"
                                      : "the body did not arrive in time");
        return;
    }
    conn_free(c);
}
