#include "net/http_priv.h"

static uint32_t tick_now(const struct http_server *s)
{
    return (uint32_t)(s->now_us >> TICK_SHIFT);
}

static uint32_t ticks_of(uint32_t ms)
{
    return (uint32_t)(((uint64_t)ms * 1000 + (1u << TICK_SHIFT) - 1) >> TICK_SHIFT);
}

static void set_timeouts(struct http_server *s)
{
    s->timeout[DL_IDLE] = ticks_of(s->conf.idle_timeout_ms);
    s->timeout[DL_HEADER] = ticks_of(s->conf.header_timeout_ms);
    s->timeout[DL_BODY] = ticks_of(s->conf.body_timeout_ms);
    s->timeout[DL_LINGER] = ticks_of(LINGER_MS);
    s->timeout[DL_WRITE] = ticks_of(s->conf.write_timeout_ms);
}

void deadlines_init(struct http_server *s)
{
    for (unsigned i = 0; i < DL_COUNT; i++)
        TAILQ_INIT(&s->due[i]);
    set_timeouts(s);
}

void deadlines_configure(struct http_server *s)
{
    uint32_t before[DL_COUNT];
    memcpy(before, s->timeout, sizeof(before));
    set_timeouts(s);
    /* All of a list move equally far, so it stays in order. */
    for (enum deadline_kind kind = DL_IDLE; kind < DL_COUNT; kind++) {
        struct deadline *d;
        TAILQ_FOREACH(d, &s->due[kind], link)
        d->due += s->timeout[kind] - before[kind];
    }
}

void deadline_set(struct http_server *s, struct deadline *d, enum deadline_kind kind)
{
    uint32_t due = tick_now(s) + s->timeout[kind] + 1;
    /* The busy connection's case: nothing moves more than once in a tick. */
    if (d->kind == kind && d->due == due)
        return;
    deadline_clear(s, d);
    d->kind = kind;
    d->due = due;
    TAILQ_INSERT_TAIL(&s->due[kind], d, link);
}

void deadline_clear(struct http_server *s, struct deadline *d)
{
    if (d->kind == DL_NONE)
        return;
    TAILQ_REMOVE(&s->due[d->kind], d, link);
    d->kind = DL_NONE;
}

void deadlines_sweep(struct http_server *s)
{
    for (enum deadline_kind kind = DL_IDLE; kind < DL_COUNT; kind++) {
        struct deadline *d;
        while ((d = TAILQ_FIRST(&s->due[kind])) != NULL && d->due <= tick_now(s)) {
            deadline_clear(s, d);
            conn_expired(d->conn, kind);
        }
    }
}
