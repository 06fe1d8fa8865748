#include "api/events.h"

#include "api/caller.h"
#include "api/handlers.h"
#include "api/problem.h"
#include "api/render.h"
#include "base/clock.h"

#include <event2/event.h>
#include <stdlib.h>

enum { TICK_MS = 250, HEARTBEAT_TICKS = 60, STREAMS_MAX = 4096, EVENT_MAX = 256 * 1024 };

/* What a watcher was told last. */
struct stream {
    struct api_events *owner;
    struct stream *next, **prev;
    struct exchange *x;
    uint32_t sale_no;
    enum sale_phase phase;
    uint64_t stock; /* hash of the units told */
};

struct api_events {
    struct api *api;
    struct event *tick;
    struct stream *first;
    unsigned n, ticks;
    uint64_t seq; /* event ids */
    struct buf text;
};

static void on_close(void *arg)
{
    struct stream *s = arg;
    *s->prev = s->next;
    if (s->next)
        s->next->prev = s->prev;
    s->owner->n--;
    free(s);
}

static uint64_t stock_hash(const struct sale *sale)
{
    uint64_t h = 1;
    for (unsigned i = 0; i < sale->items; i++)
        h = h * 1099511628211u + (uint64_t)render_left(sale, &sale->item[i]);
    return h;
}

static void begin_event(struct api_events *e, const char *name)
{
    buf_printf(&e->text, "id: %llu\nevent: %s\ndata: ", (unsigned long long)++e->seq, name);
}

static void add_state(struct api_events *e, const struct sale *sale, enum sale_phase phase,
                      int64_t now)
{
    begin_event(e, "state");
    BUF_LIT(&e->text, "{\"sale\":");
    buf_json(&e->text, sale->id);
    buf_printf(&e->text, ",\"state\":\"%s\",\"server_time\":", sale_phase_text(phase));
    buf_json_time(&e->text, now);
    BUF_LIT(&e->text, "}\n\n");
}

static void add_stock(struct api_events *e, const struct sale *sale, int64_t now)
{
    begin_event(e, "stock");
    BUF_LIT(&e->text, "{\"sale\":");
    buf_json(&e->text, sale->id);
    BUF_LIT(&e->text, ",\"items\":[");
    for (unsigned i = 0; i < sale->items; i++) {
        int64_t left = render_left(sale, &sale->item[i]);
        if (left < 0)
            left = sale->item[i].stock;
        if (i > 0)
            buf_char(&e->text, ',');
        BUF_LIT(&e->text, "{\"sku\":");
        buf_json(&e->text, sale->item[i].sku);
        buf_printf(&e->text, ",\"left\":%lld,\"sold_out\":%s}", (long long)left,
                   left == 0 ? "true" : "false");
    }
    BUF_LIT(&e->text, "],\"server_time\":");
    buf_json_time(&e->text, now);
    BUF_LIT(&e->text, "}\n\n");
}

/* Sends what changed; first: everything. */
static void tell(struct api_events *e, struct stream *s, const struct sale *sale, int64_t now,
                 bool first)
{
    enum sale_phase phase = sale_phase(sale->state, sale->starts_ms, sale->ends_ms, now);
    uint64_t stock = stock_hash(sale);
    buf_reset(&e->text);
    if (first || phase != s->phase)
        add_state(e, sale, phase, now);
    if (first || stock != s->stock)
        add_stock(e, sale, now);
    if (!first && e->ticks % HEARTBEAT_TICKS == 0)
        BUF_LIT(&e->text, ": still here\n\n");
    s->phase = phase;
    s->stock = stock;
    if (e->text.len > 0 && !e->text.overflow)
        exchange_stream_send(s->x, (struct str){e->text.data, e->text.len});
}

static void on_tick(evutil_socket_t fd, short what, void *arg)
{
    struct api_events *e = arg;
    const struct snapshot *snap = catalog_read(&e->api->reader);
    struct stream *next;
    e->ticks++;
    for (struct stream *s = e->first; s; s = next) {
        next = s->next; /* sending may close this one */
        const struct sale *sale = snapshot_sale_by_no(snap, s->sale_no);
        if (sale)
            tell(e, s, sale, clock_wall_ms(), false);
    }
}

enum status api_events_create(struct api *api, struct api_events **out)
{
    struct api_events *e = calloc(1, sizeof(*e));
    if (!e)
        return ST_UNAVAILABLE;
    e->api = api;
    buf_init(&e->text, EVENT_MAX);
    e->tick = event_new(api->base, -1, EV_PERSIST, on_tick, e);
    if (!e->tick || event_add(e->tick, &(struct timeval){0, TICK_MS * 1000}) != 0) {
        api_events_destroy(&e);
        return ST_UNAVAILABLE;
    }
    *out = e;
    return ST_OK;
}

void api_events_destroy(struct api_events **events)
{
    struct api_events *e = *events;
    if (!e)
        return;
    if (e->tick)
        event_free(e->tick);
    buf_fini(&e->text);
    free(e);
    *events = NULL;
}

void sales_events(void *ctx, struct exchange *x)
{
    struct api *api = ctx;
    struct api_events *e = api->events;
    struct caller caller;
    if (caller_resolve(api, x, &caller) != ST_OK)
        return;
    const struct snapshot *snap = catalog_read(&api->reader);
    const struct sale *sale = snap ? snapshot_sale(snap, x->match.param[0]) : NULL;
    if (!sale || !sale_visible(sale, &caller)) {
        problem_status(api, x, snap ? ST_SALE_NOT_FOUND : ST_UNAVAILABLE, NULL);
        return;
    }
    if (x->head->method == HTTP_HEAD) {
        exchange_answer(x, &(struct answer){.status = 200,
                                            .content_type = "text/event-stream",
                                            .headers = STR("Cache-Control: no-store\r\n"),
                                            .st = ST_OK});
        return;
    }
    struct stream *s = e->n < STREAMS_MAX ? calloc(1, sizeof(*s)) : NULL;
    if (!s) {
        problem_status(api, x, ST_OVERLOADED, "Too many event streams are open.");
        return;
    }
    *s = (struct stream){
        .owner = e, .next = e->first, .prev = &e->first, .x = x, .sale_no = sale->no};
    if (e->first)
        e->first->prev = &s->next;
    e->first = s;
    e->n++;
    exchange_stream(x,
                    STR("Content-Type: text/event-stream\r\nCache-Control: no-store\r\n"
                        "X-Accel-Buffering: no\r\n"),
                    on_close, s);
    tell(e, s, sale, clock_wall_ms(), true);
}
