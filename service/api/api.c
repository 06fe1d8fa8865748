#include "api/api.h"

#include "api/events.h"
#include "api/problem.h"
#include "api/routes.h"
#include "api/sale_pages.h"

#include <stdio.h>

enum { ANSWER_MAX = 4 * 1024 * 1024, HEADERS_MAX = 4096 };

enum status api_init(struct api *api)
{
    buf_init(&api->scratch, ANSWER_MAX);
    buf_init(&api->headers, HEADERS_MAX);
    enum status st = sale_pages_create(&api->pages);
    return st == ST_OK ? api_events_create(api, &api->events) : st;
}

void api_fini(struct api *api)
{
    api_events_destroy(&api->events);
    sale_pages_destroy(&api->pages);
    buf_fini(&api->scratch);
    buf_fini(&api->headers);
}

void api_on_request(void *ctx, struct exchange *x)
{
    x->match.route->handler(ctx, x);
}

void api_on_refusal(void *ctx, struct exchange *x, enum status st, const char *why,
                    struct str extra)
{
    problem_answer(ctx, x, &(struct problem){.st = st, .detail = why, .headers = extra});
}

void api_on_done(void *ctx, struct exchange *x, enum status st, int64_t duration_us)
{
    struct api *api = ctx;
    const struct engine *engine = api->engine;
    metrics_route(api->metrics, route_index(x->match.route), st, duration_us);
    uint16_t http = status_info(st)->http;
    if (api->access == ACCESS_OFF || (api->access == ACCESS_ERRORS && http < 500))
        return;
    LOG_RQ(engine->log, http >= 500 ? LOG_WARN : LOG_INFO, "request",
           ((struct str){x->request_id, x->request_id_len}),
           LF_Z("route", x->match.route ? x->match.route->name : "none"), LF_INT("status", http),
           LF_Z("code", status_info(st)->code), LF_INT("duration_us", duration_us));
}
