#include "net/http_priv.h"

#include "base/clock.h"

#include <assert.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/random.h>
#include <unistd.h>

static void date_refresh(struct http_server *s)
{
    int64_t ms = clock_wall_ms();
    if (ms / 1000 == s->date_s)
        return;
    s->date_s = ms / 1000;
    char date[30];
    clock_http_date(ms, date);
    memcpy(s->date_line, "Date: ", 6);
    memcpy(s->date_line + 6, date, 29);
    memcpy(s->date_line + 35, "\r\n", 3);
}

void server_wake(struct http_server *s)
{
    if (s->now_read)
        return;
    s->now_us = clock_mono_us();
    s->now_read = true;
}

static void tick(evutil_socket_t fd, short what, void *arg)
{
    struct http_server *s = arg;
    server_wake(s);
    date_refresh(s);
    listeners_resume(s);
    deadlines_sweep(s);
}

/* Request ids of two servers, or of two lives of one, must not meet. */
static bool id_prefix_make(struct http_server *s)
{
    static const char base32[] = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
    uint8_t random[ID_PREFIX_LEN - 4];
    if (getrandom(random, sizeof(random), 0) != sizeof(random))
        return false;
    memcpy(s->id_prefix, "req_", 4);
    for (unsigned i = 0; i < sizeof(random); i++)
        s->id_prefix[4 + i] = base32[random[i] & 31];
    return true;
}

static bool tick_start(struct http_server *s)
{
    const struct timeval period = {.tv_usec = 1 << TICK_SHIFT};
    s->tick = event_new(s->base, -1, EV_PERSIST, tick, s);
    return s->tick && event_add(s->tick, &period) == 0;
}

enum status http_server_create(struct event_base *base, const struct http_conf *conf,
                               const struct http_app *app, struct router *router,
                               struct conn_census *census, struct log *log, struct metrics *metrics,
                               struct metrics_block *block, struct http_server **out)
{
    struct http_server *s = calloc(1, sizeof(*s));
    if (!s)
        return ST_INTERNAL;
    s->base = base;
    s->conf = *conf;
    s->app = *app;
    s->router = router;
    s->census = census;
    s->log = log;
    s->metrics = metrics;
    s->block = block;
    TAILQ_INIT(&s->conns);
    TAILQ_INIT(&s->touched);
    deadlines_init(s);
    s->now_us = clock_mono_us();
    date_refresh(s);
    s->spare_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    s->magic = SERVER_MAGIC;
    if (s->spare_fd < 0 || !id_prefix_make(s) || !tick_start(s)) {
        http_server_destroy(&s);
        return ST_INTERNAL;
    }
    *out = s;
    return ST_OK;
}

void http_server_destroy(struct http_server **server)
{
    struct http_server *s = *server;
    if (!s)
        return;
    assert(s->magic == SERVER_MAGIC);
    s->magic = 0;
    listeners_close(s);
    while (!TAILQ_EMPTY(&s->conns))
        conn_free(TAILQ_FIRST(&s->conns));
    streams_close(s);
    if (s->tick)
        event_free(s->tick);
    if (s->spare_fd >= 0)
        close(s->spare_fd);
    exchange_slabs_free(s);
    while (s->spare_count > 0)
        buf_fini(&s->spares[--s->spare_count]);
    free(s);
    *server = NULL;
}

void http_server_configure(struct http_server *s, const struct http_conf *conf)
{
    s->conf = *conf;
    deadlines_configure(s);
}

void http_server_retire(struct http_server *s, bool handed_over)
{
    s->retired = true;
    if (handed_over)
        listeners_close(s);
}

void http_server_drain(struct http_server *s)
{
    server_wake(s);
    s->retired = s->draining = true;
    listeners_drain(s);
    listeners_close(s);
    struct conn *c;
    TAILQ_FOREACH(c, &s->conns, all)
    conn_drain(c);
}

unsigned http_server_busy(const struct http_server *s)
{
    unsigned busy = s->pending;
    if (!s->draining)
        return busy;
    const struct conn *c;
    TAILQ_FOREACH(c, &s->conns, all)
    busy += !c->lingering;
    return busy;
}

unsigned http_server_conns(const struct http_server *s)
{
    return s->conn_count;
}

void http_server_flush(struct http_server *s)
{
    assert(s->magic == SERVER_MAGIC);
    /* Writing may let a connection take its next request, and a stream's end may touch another:
     * both come back here, and both are finite. */
    do {
        struct conn *c;
        while ((c = TAILQ_FIRST(&s->touched)) != NULL) {
            TAILQ_REMOVE(&s->touched, c, touch);
            c->touched = false;
            conn_flush(c);
        }
        streams_close(s);
    } while (!TAILQ_EMPTY(&s->touched));
    s->now_read = false;
}
