/* POST /v1/sales/{sale}/items/{sku}/stock: units added and taken back while selling. */
#include "flow/stock.h"

#include "api/api_job.h"
#include "api/handlers.h"
#include "api/problem.h"
#include "api/sale_body.h"
#include "base/clock.h"

#include <stdio.h>

enum { REASON_MAX = 800 };

static void render_movement(struct api_job *job, const struct stock_movement *m)
{
    struct buf *b = &job->body;
    char id[40];
    BUF_LIT(b, "{\"object\":\"stock_movement\",\"id\":\"");
    buf_append(b, id, uid_format("mov_", &m->id, id));
    BUF_LIT(b, "\",\"sale\":");
    buf_json(b, str_from(job->sale));
    BUF_LIT(b, ",\"sku\":");
    buf_json(b, str_from(job->sku));
    BUF_LIT(b, ",\"delta\":");
    buf_int(b, m->delta);
    BUF_LIT(b, ",\"reason\":");
    buf_json(b, str_from(job->text));
    BUF_LIT(b, ",\"allocated\":");
    buf_int(b, m->allocated);
    BUF_LIT(b, ",\"left\":");
    buf_int(b, m->left);
    BUF_LIT(b, ",\"created_at\":");
    buf_json_time(b, m->created_ms);
    buf_char(b, '}');
}

static enum status find_item(struct api_job *job, struct session *s, const struct sale **sale,
                             const struct sale_item **item)
{
    const struct snapshot *snap;
    enum status st = session_catalog(s, &snap);
    if (st != ST_OK)
        return st;
    *sale = snapshot_sale(snap, str_from(job->sale));
    if (!*sale || (job->caller.storefront != 0 && job->caller.storefront != (*sale)->storefront))
        return ST_SALE_NOT_FOUND;
    *item = sale_item(*sale, str_from(job->sku));
    return *item ? ST_OK : ST_ITEM_NOT_FOUND;
}

/* Asked after the key: a replay is answered whatever became of the sale. */
static enum status check_phase(struct api_job *job, const struct sale *sale)
{
    enum sale_phase phase =
        sale_phase(sale->state, sale->starts_ms, sale->ends_ms, clock_wall_ms());
    if (phase == PHASE_ENDED)
        return ST_SALE_ENDED;
    if (phase != PHASE_DRAFT)
        return ST_OK;
    job->detail = "Units are added and taken back once a sale is published.";
    return ST_INVALID_STATE;
}

static void stock_work(struct api_job *job, struct session *s)
{
    const struct sale *sale;
    const struct sale_item *item;
    struct stock_movement m = {0};
    struct idem idem;
    job->st = find_item(job, s, &sale, &item);
    if (job->st != ST_OK)
        return;
    job->st = idem_begin(s, &job->key, &idem, &job->body);
    job->replayed = job->st == ST_OK && idem.replay;
    if (job->st != ST_OK || idem.replay)
        return;
    m.id = idem.resource;
    job->st = check_phase(job, sale);
    if (job->st == ST_OK)
        job->st = stock_change(s, sale, item, job->number, str_from(job->text), idem.resumed, &m);
    if (job->st != ST_OK) {
        idem_abandon(s, &job->key, job->st);
        if (job->st == ST_NOT_ENOUGH_LEFT)
            snprintf(job->extra, sizeof(job->extra), "\"left\":%lld", (long long)m.left);
        return;
    }
    render_movement(job, &m);
    idem_finish(s, &job->key, 200, (struct str){job->body.data, job->body.len});
}

static bool read_body(struct api_job *job, struct str body, struct body_error *e)
{
    static const char *const names[] = {"delta", "reason", NULL};
    struct str reason;
    json_t *root = body_parse(body, false, e);
    bool fits =
        root && body_only(root, "", names, e) &&
        body_int(root, "", "delta", true, -STOCK_DELTA_MAX, STOCK_DELTA_MAX, &job->number, e) &&
        body_text(root, "", "reason", true, 1, REASON_MAX, &reason, e);
    if (fits && job->number == 0) {
        *e = (struct body_error){"delta", "A movement of nothing is no movement."};
        fits = false;
    }
    if (fits)
        memcpy(job->text, reason.p, reason.n);
    json_decref(root);
    return fits;
}

void stock_create(void *ctx, struct exchange *x)
{
    struct api *api = ctx;
    struct caller caller;
    struct body_error e;
    if (caller_resolve(api, x, &caller) != ST_OK)
        return;
    struct str sale = x->match.param[0], sku = x->match.param[1];
    if (!id_valid(sale) || !id_valid(sku)) {
        problem_status(api, x, id_valid(sale) ? ST_ITEM_NOT_FOUND : ST_SALE_NOT_FOUND, NULL);
        return;
    }
    struct api_job *job = api_job_new(api, x, &caller, stock_work);
    if (!job || !api_job_key(job, "stock"))
        return;
    if (!read_body(job, x->body, &e)) {
        job->st = ST_INVALID_REQUEST;
        job->detail = e.why;
        snprintf(job->param, sizeof(job->param), "%s", e.param);
        api_job_answer(job);
        return;
    }
    memcpy(job->sale, sale.p, sale.n);
    memcpy(job->sku, sku.p, sku.n);
    api_job_submit(job, api->engine->queries);
}
