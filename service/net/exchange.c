#include "net/http_priv.h"

#include "base/clock.h"
#include "base/ids.h"

#include <assert.h>
#include <stdlib.h>

static const size_t no_ceiling = SIZE_MAX / 4; /* output_max stops the reading, not the answer */

static bool slab_add(struct http_server *s)
{
    struct slab *slab = aligned_alloc(16, sizeof(*slab) + (16 - sizeof(*slab) % 16) % 16);
    if (!slab)
        return false;
    slab->next = s->slabs;
    s->slabs = slab;
    for (unsigned i = 0; i < EXCHANGES_PER_SLAB; i++) {
        struct exchange *x = &slab->exchanges[i];
        buf_init(&x->out, no_ceiling);
        x->server = s;
        x->answered = true;
        x->next = s->free;
        s->free = x;
    }
    return true;
}

void exchange_slabs_free(struct http_server *s)
{
    struct slab *next;
    for (struct slab *slab = s->slabs; slab; slab = next) {
        next = slab->next;
        for (unsigned i = 0; i < EXCHANGES_PER_SLAB; i++)
            buf_fini(&slab->exchanges[i].out);
        free(slab);
    }
    s->slabs = NULL;
    s->free = NULL;
}

/* All but match.text, out and local, which are large and written before they are read. */
static void exchange_clean(struct exchange *x, struct conn *c)
{
    x->head = NULL;
    x->body = (struct str){0};
    x->match.route = NULL;
    x->match.allowed = 0;
    memset(x->match.param, 0, sizeof(x->match.param));
    x->request_id_len = 0;
    x->request_id[0] = '\0';
    x->replayed = false;
    x->started_us = c->server->now_us;
    x->next = NULL;
    x->conn = c;
    x->answered = x->close_after = x->head_only = x->streaming = x->http10 = false;
    x->on_stream_close = NULL;
    x->stream_arg = NULL;
}

struct exchange *exchange_borrow(struct conn *c)
{
    struct http_server *s = c->server;
    if (!s->free && !slab_add(s))
        return NULL;
    struct exchange *x = s->free;
    s->free = x->next;
    exchange_clean(x, c);
    return x;
}

void exchange_return(struct exchange *x)
{
    struct http_server *s = x->server;
    if (s->current == x)
        s->current = NULL;
    buf_fini(&x->out);
    x->conn = NULL;
    x->answered = true; /* a second answer trips over it */
    x->next = s->free;
    s->free = x;
}

void exchange_enqueue(struct conn *c, struct exchange *x)
{
    if (c->last)
        c->last->next = x;
    else
        c->first = x;
    c->last = x;
    c->queued++;
    c->server->pending++;
    c->stopped |= x->close_after;
}

static struct exchange *dequeue(struct conn *c)
{
    struct exchange *x = c->first;
    c->first = x->next;
    if (!c->first)
        c->last = NULL;
    c->queued--;
    x->next = NULL;
    return x;
}

/* Where the next bytes of x belong: it is its turn, or they wait. */
static struct buf *out_of(struct exchange *x)
{
    return x->conn->first == x ? conn_out(x->conn) : &x->out;
}

static void move_waiting(struct conn *c, struct exchange *x)
{
    c->waiting -= x->out.len;
    if (x->out.len > 0)
        buf_append(conn_out(c), x->out.data, x->out.len);
    c->broken |= c->out.overflow;
    buf_fini(&x->out);
}

/* The first exchange has been answered: lets out what waited behind it. */
static void advance(struct conn *c)
{
    while (c->first && c->first->answered && !c->first->streaming) {
        exchange_return(dequeue(c));
        if (c->first)
            move_waiting(c, c->first);
    }
    conn_continue(c);
}

void conn_continue(struct conn *c)
{
    if (!c->continue_due || c->first)
        return;
    c->continue_due = false;
    BUF_LIT(conn_out(c), "HTTP/1.1 100 Continue\r\n\r\n");
    conn_touch(c);
}

static void queued_bytes(struct exchange *x, size_t before)
{
    struct conn *c = x->conn;
    struct buf *out = out_of(x);
    if (out == &x->out)
        c->waiting += out->len - before;
    if (out->overflow)
        conn_break(c);
}

void exchange_answer(struct exchange *x, const struct answer *a)
{
    struct http_server *s = x->server;
    assert(!x->answered);
    x->answered = true;
    s->pending--;
    struct conn *c = x->conn;
    if (c) {
        struct buf *out = out_of(x);
        size_t before = out->len;
        bool last = c->stopped && s->draining && !x->next;
        answer_write(out, x, a, x->close_after || last);
        queued_bytes(x, before);
        conn_touch(c);
    }
    if (s->app.on_done)
        s->app.on_done(s->app.ctx, x, a->st, clock_mono_us() - x->started_us);
    if (!c)
        exchange_return(x);
    else if (c->first == x)
        advance(c);
}

/* Makes x due for its on_close, which is never run inside a call of the app's. */
static void orphan(struct exchange *x)
{
    struct http_server *s = x->server;
    x->conn = NULL;
    x->next = s->orphans;
    s->orphans = x;
}

void exchange_stream(struct exchange *x, struct str headers, void (*on_close)(void *arg), void *arg)
{
    struct http_server *s = x->server;
    assert(!x->answered);
    x->answered = x->streaming = x->close_after = true;
    x->on_stream_close = on_close;
    x->stream_arg = arg;
    s->pending--;
    if (s->metrics)
        metrics_gauge_add(s->metrics, MG_STREAMS, 1);
    if (!x->conn) {
        orphan(x);
        return;
    }
    x->conn->stopped = true;
    size_t before = out_of(x)->len;
    answer_write_stream(out_of(x), x, headers);
    queued_bytes(x, before);
    conn_touch(x->conn);
}

void exchange_stream_send(struct exchange *x, struct str bytes)
{
    assert(x->streaming);
    struct conn *c = x->conn;
    if (!c || c->broken || x->head_only)
        return;
    size_t before = out_of(x)->len;
    buf_add(out_of(x), bytes);
    queued_bytes(x, before);
    if (conn_unsent(c) + c->waiting > c->server->conf.output_max)
        conn_break(c);
    conn_touch(c);
}

void exchanges_detach(struct conn *c)
{
    while (c->first) {
        struct exchange *x = dequeue(c);
        if (x->streaming)
            orphan(x);
        else if (x->answered)
            exchange_return(x);
        else
            x->conn = NULL;
    }
    c->waiting = 0;
}

void streams_close(struct http_server *s)
{
    while (s->orphans) {
        struct exchange *x = s->orphans;
        s->orphans = x->next;
        if (s->metrics)
            metrics_gauge_add(s->metrics, MG_STREAMS, -1);
        if (x->on_stream_close)
            x->on_stream_close(x->stream_arg);
        if (s->app.on_done)
            s->app.on_done(s->app.ctx, x, ST_OK, clock_mono_us() - x->started_us);
        exchange_return(x);
    }
}
