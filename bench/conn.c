#include "load_priv.h"

#include "base/clock.h"

#include <assert.h>
#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
    REOPEN_TRIES = 100,       /* failures in a row until a connection is given up: about 10 s */
    REOPEN_PAUSE_US = 100000, /* between two of them */
    OPEN_US_MIN = 3000000,    /* so long an opening may take, however impatient the shoppers are */
};

/* The one place where a connection changes state. */
static void conn_set_state(struct conn *c, enum conn_state to)
{
    struct pool *p = c->pool;
    if (c->state == CONN_FREE) {
        TAILQ_REMOVE(&p->free, c, free);
    }
    if (to == CONN_FREE) {
        if (TAILQ_EMPTY(&p->free)) {
            p->free_since_us = clock_mono_us();
        }
        TAILQ_INSERT_TAIL(&p->free, c, free);
    }
    p->opening += (uint32_t)(to == CONN_OPENING) - (uint32_t)(c->state == CONN_OPENING);
    p->gone += (uint32_t)(to == CONN_GONE) - (uint32_t)(c->state == CONN_GONE);
    c->state = to;
}

void conn_close(struct conn *c)
{
    if (c->fd >= 0) {
        event_del(&c->readable);
        event_del(&c->writable);
        close(c->fd);
        c->fd = -1;
    }
    free(c->out);
    c->out = NULL;
    c->out_len = c->in_len = 0;
    conn_set_state(c, CONN_CLOSED);
}

/* The connection is of no more use; the shopper it served has no answer. */
static void conn_drop(struct conn *c, enum count why)
{
    uint32_t shopper = c->shopper;
    conn_close(c);
    visit_failed(c->worker, shopper, why);
}

static void conn_failed_to_open(struct conn *c)
{
    struct worker *w = c->worker;
    struct pool *p = c->pool;
    bool patient =
        p->on_demand ||
        (w->running && (w->conf->scenario->persist_us > 0 || c->failures + 1 < REOPEN_TRIES));
    c->failures++;
    c->host = (c->host + 1) % p->hosts_n;
    p->open_after_us = clock_mono_us() + REOPEN_PAUSE_US;
    figures_count(w->figures, COUNT_CONNECT_FAILURES, 1);
    conn_close(c);
    /* Before the clock starts, one failure is enough to make the run invalid. */
    if (!patient) {
        conn_set_state(c, CONN_GONE);
    }
    worker_check_end(w);
}

/* --- sending ----------------------------------------------------------------------------------- */

/* Sends what it can; the rest waits for room. False: the connection broke. */
static bool conn_push(struct conn *c, struct str bytes, size_t *sent)
{
    ssize_t n = send(c->fd, bytes.p, bytes.n, MSG_NOSIGNAL);
    *sent = n > 0 ? (size_t)n : 0;
    if (n < 0 && errno != EAGAIN && errno != EINTR) {
        return false;
    }
    if (*sent < bytes.n) {
        event_add(&c->writable, NULL);
    }
    return true;
}

static void conn_write_rest(struct conn *c)
{
    size_t sent;
    if (!c->out) {
        return;
    }
    if (!conn_push(c, (struct str){c->out, c->out_len}, &sent)) {
        conn_drop(c, COUNT_LOST);
        return;
    }
    c->out_len -= sent;
    memmove(c->out, c->out + sent, c->out_len);
    if (c->out_len == 0) {
        free(c->out);
        c->out = NULL;
    }
}

void conn_send(struct conn *c, uint32_t shopper, struct str request, int64_t now_us)
{
    size_t sent;
    assert(c->state == CONN_FREE);
    conn_set_state(c, CONN_WAITING);
    c->shopper = shopper;
    c->since_us = now_us;
    if (!conn_push(c, request, &sent)) {
        conn_drop(c, COUNT_LOST);
        return;
    }
    if (sent < request.n) {
        c->out_len = request.n - sent;
        c->out = malloc(c->out_len);
        if (!c->out) {
            conn_drop(c, COUNT_LOST);
            return;
        }
        memcpy(c->out, request.p + sent, c->out_len);
    }
}

/* --- reading ----------------------------------------------------------------------------------- */

static void conn_answered(struct conn *c, const struct answer *a, bool whole, int64_t now_us)
{
    struct worker *w = c->worker;
    int64_t stream_us = a->http == 200 ? visit_streams_us(c) : 0;
    /* Bytes past the answer, or an answer to half a request: the stream means nothing any more. */
    if (!whole || c->out || !visit_answered(c, a, now_us)) {
        conn_drop(c, COUNT_BAD_ANSWERS);
        return;
    }
    c->in_len = 0;
    if (stream_us > 0) {
        conn_set_state(c, CONN_STREAMING);
        c->since_us = now_us;
    } else if (a->close) {
        conn_close(c);
        if (!c->pool->on_demand) {
            conn_open(c);
        }
    } else {
        conn_set_state(c, CONN_FREE);
    }
    worker_dispatch(w, now_us);
}

/* Reads to where the answer is complete. False: the connection ended. */
static bool conn_read(struct conn *c, struct str *bytes)
{
    char *to = c->worker->read;
    size_t room = READ_MAX;
    if (c->in_len > 0) {
        if (c->in_cap - c->in_len < READ_MAX / 4) {
            char *more = realloc(c->in, c->in_cap + READ_MAX);
            if (!more) {
                return false;
            }
            c->in = more;
            c->in_cap += READ_MAX;
        }
        to = c->in + c->in_len;
        room = c->in_cap - c->in_len;
    }
    ssize_t n = recv(c->fd, to, room, 0);
    if (n < 0 && (errno == EAGAIN || errno == EINTR)) {
        *bytes = (struct str){0};
        return true;
    }
    if (n <= 0) {
        return false;
    }
    if (c->in_len > 0) {
        c->in_len += (size_t)n;
        *bytes = (struct str){c->in, c->in_len};
    } else {
        *bytes = (struct str){to, (size_t)n};
    }
    return true;
}

/* Keeps what came for when more comes. */
static bool conn_keep(struct conn *c, struct str bytes)
{
    if (bytes.n >= ANSWER_MAX) {
        return false;
    }
    if (c->in_len > 0) {
        return true;
    }
    if (c->in_cap < bytes.n) {
        char *more = realloc(c->in, bytes.n + 4096);
        if (!more) {
            return false;
        }
        c->in = more;
        c->in_cap = bytes.n + 4096;
    }
    memcpy(c->in, bytes.p, bytes.n);
    c->in_len = bytes.n;
    return true;
}

static void conn_read_answer(struct conn *c)
{
    struct str bytes;
    struct answer a;
    if (!conn_read(c, &bytes)) {
        conn_drop(c, COUNT_LOST);
        return;
    }
    if (bytes.n == 0) {
        return;
    }
    enum answer_found found = ANSWER_BAD;
    if (visit_streams_us(c) > 0) {
        found = answer_read_stream(bytes, &a);
    }
    if (visit_streams_us(c) == 0 || (found == ANSWER_DONE && a.http != 200)) {
        found = answer_read(bytes, &a);
    }
    if (found == ANSWER_DONE) {
        conn_answered(c, &a, a.len == bytes.n, clock_mono_us());
    } else if (found == ANSWER_BAD || !conn_keep(c, bytes)) {
        conn_drop(c, COUNT_BAD_ANSWERS);
    }
}

/* What a stream tells is read and forgotten; nobody asked for its end. */
static void conn_read_stream(struct conn *c)
{
    ssize_t n = recv(c->fd, c->worker->read, READ_MAX, 0);
    if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) {
        conn_drop(c, COUNT_LOST);
    }
}

static void on_readable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    switch (c->state) {
    case CONN_WAITING: conn_read_answer(c); break;
    case CONN_STREAMING: conn_read_stream(c); break;
    default: /* bytes that nobody asked for, or the end of a connection that waits for nothing */
        conn_close(c);
        worker_check_end(c->worker);
    }
}

/* --- opening ----------------------------------------------------------------------------------- */

static void conn_opened(struct conn *c)
{
    int error = 0;
    socklen_t size = sizeof(error);
    if (getsockopt(c->fd, SOL_SOCKET, SO_ERROR, &error, &size) != 0 || error != 0) {
        conn_failed_to_open(c);
        return;
    }
    c->failures = 0;
    event_add(&c->readable, NULL);
    conn_set_state(c, CONN_FREE);
    if (c->worker->running) {
        worker_dispatch(c->worker, clock_mono_us());
    } else {
        worker_check_end(c->worker);
    }
}

static void on_writable(evutil_socket_t fd, short what, void *arg)
{
    struct conn *c = arg;
    if (c->state == CONN_OPENING) {
        conn_opened(c);
    } else if (c->state == CONN_WAITING) {
        conn_write_rest(c);
    }
}

void conn_open(struct conn *c)
{
    const struct addrinfo *to = c->pool->addresses[c->host];
    int one = 1;
    assert(c->state == CONN_CLOSED);
    conn_set_state(c, CONN_OPENING);
    c->since_us = clock_mono_us();
    c->fd = socket(to->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (c->fd < 0) {
        conn_failed_to_open(c);
        return;
    }
    setsockopt(c->fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof(one));
    event_assign(&c->readable, c->worker->base, c->fd, EV_READ | EV_PERSIST, on_readable, c);
    event_assign(&c->writable, c->worker->base, c->fd, EV_WRITE, on_writable, c);
    if (connect(c->fd, to->ai_addr, to->ai_addrlen) != 0 && errno != EINPROGRESS) {
        conn_failed_to_open(c);
        return;
    }
    event_add(&c->writable, NULL);
}

/* --- the pool ---------------------------------------------------------------------------------- */

enum status pool_init(struct pool *p, struct worker *w, uint32_t conns, bool on_demand)
{
    p->on_demand = on_demand;
    p->first = p->last = NOBODY;
    TAILQ_INIT(&p->free);
    p->conns = calloc(conns, sizeof(*p->conns));
    if (!p->conns) {
        return ST_INTERNAL;
    }
    p->n = p->seen = conns;
    for (uint32_t i = 0; i < conns; i++) {
        struct conn *c = &p->conns[i];
        c->worker = w;
        c->pool = p;
        c->fd = -1;
        c->host = (i * w->threads + w->index) % p->hosts_n;
    }
    return ST_OK;
}

void pool_fini(struct pool *p)
{
    for (uint32_t i = 0; i < p->n; i++) {
        conn_close(&p->conns[i]);
        free(p->conns[i].in);
    }
    free(p->conns);
    p->conns = NULL;
    p->n = 0;
    for (uint32_t i = 0; i < p->hosts_n; i++) {
        if (p->addresses[i]) {
            freeaddrinfo(p->addresses[i]);
        }
    }
}

/* Whether it had a deadline that is over, or was to be opened again. */
static bool conn_look(struct conn *c, int64_t now_us)
{
    const struct pool *p = c->pool;
    const struct worker *w = c->worker;
    int64_t waited_us = now_us - c->since_us;
    int64_t timeout_us = w->conf->scenario->timeout_us;
    if (c->state == CONN_WAITING && waited_us > timeout_us) {
        conn_drop(c, COUNT_TIMEOUTS);
    } else if (c->state == CONN_OPENING && waited_us > timeout_us && waited_us > OPEN_US_MIN) {
        conn_failed_to_open(c);
    } else if (c->state == CONN_STREAMING && (waited_us > visit_streams_us(c) || w->stopped)) {
        uint32_t shopper = c->shopper;
        conn_close(c);
        visit_stream_ended(c->worker, shopper, now_us);
    } else if (c->state == CONN_CLOSED && !p->on_demand && w->running &&
               now_us >= p->open_after_us && !turns_over(&w->turns)) {
        conn_open(c);
    } else {
        return false;
    }
    return true;
}

void pool_look(struct pool *p, int64_t now_us, uint32_t deeds_max)
{
    for (uint32_t deeds = 0; p->seen < p->n && deeds < deeds_max;) {
        deeds += conn_look(&p->conns[p->seen++], now_us);
    }
}
