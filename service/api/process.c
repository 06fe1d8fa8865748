/* The process itself: liveness, readiness, metrics, the API's document. */
#include "api/handlers.h"
#include "api/problem.h"
#include "pay/channel.h"

static void text_answer(struct exchange *x, uint16_t status, const char *type, struct str body)
{
    const struct answer a = {.status = status,
                             .content_type = type,
                             .headers = STR("Cache-Control: no-store\r\n"),
                             .body = body,
                             .st = status == 200 ? ST_OK : ST_UNAVAILABLE};
    exchange_answer(x, &a);
}

void process_livez(void *ctx, struct exchange *x)
{
    text_answer(x, 200, "application/json", STR("{\"status\":\"ok\"}"));
}

static void put_warnings(struct buf *b, uint32_t found)
{
    const char *comma = "";
    for (enum warning w = 0; w < WARNINGS; w++) {
        if (!(found & UINT32_C(1) << w))
            continue;
        buf_printf(b, "%s{\"code\":\"%s\",\"detail\":\"%s\"}", comma, warning_info(w)->code,
                   warning_info(w)->advice);
        comma = ",";
    }
}

void process_readyz(void *ctx, struct exchange *x)
{
    struct api *api = ctx;
    struct health *h = api->health;
    bool draining = atomic_load(&h->draining), linked = reserve_ready(api->reserve);
    bool redis = atomic_load(&h->stores.redis) && linked, sql = atomic_load(&h->stores.sql);
    bool gates = atomic_load(&h->stores.gates);
    bool ready = redis && sql && gates && !draining;
    struct buf *b = &api->scratch;
    buf_reset(b);
    buf_printf(b,
               "{\"status\":\"%s\",\"checks\":{\"redis\":\"%s\",\"sql\":\"%s\",\"gates\":\"%s\","
               "\"draining\":%s},\"warnings\":[",
               ready ? "ok" : "unavailable", redis ? "ok" : "unavailable",
               sql ? "ok" : "unavailable", gates ? "ok" : "recovering",
               draining ? "true" : "false");
    put_warnings(b, atomic_load(&h->stores.warnings.found));
    BUF_LIT(b, "]}");
    text_answer(x, ready ? 200 : 503, "application/json", (struct str){b->data, b->len});
}

void process_metrics(void *ctx, struct exchange *x)
{
    struct api *api = ctx;
    const struct engine *e = api->engine;
    metrics_gauge_set(e->metrics, MG_COMMIT_DEPTH, committers_depth(e->committers));
    metrics_gauge_set(e->metrics, MG_QUERY_DEPTH, jobs_depth(e->queries));
    metrics_gauge_set(e->metrics, MG_PAYMENT_DEPTH, jobs_depth(e->payments));
    metrics_gauge_set(e->metrics, MG_CHANNEL_DEPTH, channel_set_depth(e->channels));
    metrics_gauge_set(e->metrics, MG_WEBHOOK_DEPTH, jobs_depth(e->webhooks));
    metrics_gauge_set(e->metrics, MG_READ_DEPTH, jobs_depth(e->reads));
    metrics_gauge_set(e->metrics, MG_LOG_DROPPED, (int64_t)log_dropped(e->log));
    buf_reset(&api->scratch);
    metrics_render(e->metrics, &api->scratch);
    text_answer(x, 200, "text/plain; version=0.0.4; charset=utf-8",
                (struct str){api->scratch.data, api->scratch.len});
}

void process_openapi(void *ctx, struct exchange *x)
{
    struct api *api = ctx;
    const struct answer a = {.status = 200,
                             .content_type = "application/yaml",
                             .headers = STR("Cache-Control: public, max-age=300\r\n"),
                             .body = api->health->openapi,
                             .st = ST_OK};
    exchange_answer(x, &a);
}

void process_root(void *ctx, struct exchange *x)
{
    text_answer(x, 200, "application/json",
                STR("{\"object\":\"service\",\"name\":\"snapup\",\"version\":\"" SNAPUP_VERSION
                    "\",\"api\":\"/openapi.yaml\",\"sales\":\"/v1/sales\"}"));
}
