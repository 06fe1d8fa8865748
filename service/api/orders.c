/* Orders: POST /v1/orders (the hot path), read, list, cancel. */
#include "api/api_job.h"
#include "api/handlers.h"
#include "api/page.h"
#include "api/problem.h"
#include "api/render.h"
#include "base/clock.h"
#include "base/flatjson.h"
#include "flow/order_reads.h"

#include <stdio.h>
#include <stdlib.h>

enum { QTY_MAX = 1000000 };

/* POST /v1/orders as read. */
struct order_body {
    char sale[ID_MAX + 1], sku[ID_MAX + 1];
    size_t sale_len, sku_len;
    int64_t qty;
};

/* What the answer needs once the purchase is decided; lives in the exchange. */
struct buying {
    struct api *api;
    struct exchange *x;
    uint32_t sale_no;
    struct caller caller;
};

_Static_assert(sizeof(struct buying) <= EXCHANGE_LOCAL, "struct buying lives in exchange.local");

static enum status read_body(struct api *api, struct exchange *x, struct order_body *b)
{
    struct flat_field fields[] = {
        {.name = "sale",
         .type = FLAT_STR,
         .required = true,
         .max = ID_MAX,
         .str = b->sale,
         .len = &b->sale_len},
        {.name = "sku",
         .type = FLAT_STR,
         .required = true,
         .max = ID_MAX,
         .str = b->sku,
         .len = &b->sku_len},
        {.name = "qty", .type = FLAT_INT, .required = true, .num = &b->qty},
    };
    struct flat_error e = {0};
    const char *param = NULL;
    enum status st = flatjson_read(x->body, FLAT_REFUSE_UNKNOWN, fields, 3, &e);
    if (st != ST_OK)
        param = e.param ? e.param : "";
    else if (!id_valid((struct str){b->sale, b->sale_len}))
        param = "sale";
    else if (!id_valid((struct str){b->sku, b->sku_len}))
        param = "sku";
    else if (b->qty < 1 || b->qty > QTY_MAX)
        param = "qty";
    if (!param)
        return ST_OK;
    problem_param(api, x, param,
                  e.why             ? e.why
                  : param[0] == 'q' ? "qty is a whole number from 1 to 1000000."
                                    : "An id is 1 to 64 characters of A-Za-z0-9._:-.");
    return ST_INVALID_REQUEST;
}

/* --- answers ---------------------------------------------------------------------------------- */

static void render_bought(struct buf *b, const struct purchase *p, const struct sale *sale,
                          const struct sale_item *item, enum order_state state)
{
    struct order o = {.id = p->row.id, .qty = p->row.qty, .amount = p->row.amount, .state = state};
    memcpy(o.shopper, p->row.shopper.p, p->row.shopper.n);
    buf_reset(b);
    render_order(b, &o, sale, item);
}

static void answer_bought(struct buying *buy, const struct purchase *p, enum order_state state)
{
    struct api *api = buy->api;
    const struct sale_item *item = NULL;
    const struct snapshot *snap = catalog_read(&api->reader);
    const struct sale *sale = snapshot_item(snap, p->row.item, &item);
    if (!sale) { /* items are never deleted */
        problem_status(api, buy->x, ST_INTERNAL, NULL);
        return;
    }
    char id[40];
    size_t n = uid_format("ord_", &p->row.id, id);
    render_bought(&api->scratch, p, sale, item, state);
    buf_reset(&api->headers);
    BUF_LIT(&api->headers, "Location: /v1/orders/");
    buf_append(&api->headers, id, n);
    BUF_LIT(&api->headers, "\r\nCache-Control: no-store\r\n");
    if (state == ORDER_QUEUED)
        BUF_LIT(&api->headers, "Preference-Applied: respond-async\r\n");
    json_answer(api, buy->x, state == ORDER_QUEUED ? 202 : 201,
                (struct str){api->headers.data, api->headers.len},
                (struct str){api->scratch.data, api->scratch.len});
}

/* The members that go with a refusal. */
static void refusal_extra(char *out, size_t size, enum status st, int64_t left,
                          const struct sale *sale)
{
    out[0] = '\0';
    if (st == ST_SOLD_OUT) {
        snprintf(out, size, "\"left\":%lld", (long long)left);
    } else if (st == ST_SALE_NOT_OPEN && sale) {
        char text[CLOCK_TEXT_LEN];
        clock_format(sale->starts_ms, text);
        snprintf(out, size, "\"opens_at\":\"%.*s\"", CLOCK_TEXT_LEN, text);
    }
}

static void answer_refused(struct api *api, struct exchange *x, enum status st, int64_t left,
                           uint32_t sale_no)
{
    char extra[64];
    const struct snapshot *snap = catalog_read(&api->reader);
    refusal_extra(extra, sizeof(extra), st, left,
                  st == ST_SALE_NOT_OPEN ? snapshot_sale_by_no(snap, sale_no) : NULL);
    problem_answer(api, x, &(struct problem){.st = st, .extra = str_from(extra)});
}

/* --- the key may have been used --------------------------------------------------------------- */

/* What the replay is compared with. */
struct replay {
    uint8_t key[KEY_LEN];
    uint32_t item, qty;
    enum status otherwise; /* the answer when MariaDB does not know the key */
};

static void look_up_work(struct api_job *job, struct session *s)
{
    const struct replay *r = job->data;
    struct order o = {0};
    const struct snapshot *snap;
    const struct sale_item *item;
    job->st = order_by_key(s, job->caller.storefront, caller_shopper(&job->caller), r->key, &o);
    if (job->st == ST_ORDER_NOT_FOUND) {
        job->st = r->otherwise;
        if (job->st == ST_SOLD_OUT)
            snprintf(job->extra, sizeof(job->extra), "\"left\":%lld", (long long)job->number);
        return;
    }
    if (job->st == ST_OK && (o.item != r->item || o.qty != r->qty))
        job->st = ST_IDEMPOTENCY_MISMATCH;
    if (job->st == ST_OK)
        job->st = session_catalog(s, &snap);
    if (job->st == ST_OK) {
        const struct sale *sale = snapshot_item(snap, o.item, &item);
        if (sale) {
            render_order(&job->body, &o, sale, item);
            job->status = 201;
            job->replayed = true;
        } else {
            job->st = ST_INTERNAL;
        }
    }
    order_free(&o);
}

static void look_up(struct buying *buy, const struct purchase *p, enum status otherwise)
{
    struct api_job *job = api_job_new(buy->api, buy->x, &buy->caller, look_up_work);
    if (!job)
        return;
    struct replay *r = calloc(1, sizeof(*r));
    if (!r) {
        job->st = ST_OVERLOADED;
        api_job_answer(job);
        return;
    }
    *r = (struct replay){.item = p->row.item, .qty = p->row.qty, .otherwise = otherwise};
    memcpy(r->key, p->row.key, KEY_LEN);
    job->data = r;
    job->number = p->left;
    job->caller.storefront = p->row.storefront;
    api_job_submit(job, buy->api->engine->queries);
}

static void on_bought(struct purchase *p, enum buy outcome, enum status st)
{
    struct buying *buy = p->arg;
    switch (outcome) {
    case BUY_DURABLE: answer_bought(buy, p, ORDER_PENDING); break;
    case BUY_QUEUED: answer_bought(buy, p, ORDER_QUEUED); break;
    case BUY_REFUSED: answer_refused(buy->api, buy->x, st, p->left, buy->sale_no); break;
    case BUY_LOOKUP: look_up(buy, p, st); break;
    }
}

/* --- POST /v1/orders -------------------------------------------------------------------------- */

static void fill_row(struct api *api, struct row *row, const struct buying *buy,
                     const struct sale *sale, const struct sale_item *item, int64_t qty)
{
    *row = (struct row){.kind = ROW_ORDER,
                        .qty = (uint32_t)qty,
                        .limit = item->limit,
                        .storefront = sale->storefront,
                        .item = item->no,
                        .amount = item->price * qty,
                        .sku = item->sku,
                        .shopper = caller_shopper(&buy->caller)};
    row->hash = shopper_hash(row->shopper);
    row->id = uid_make_order(api->ids, clock_wall_ms(), sale->starts_ms, sale->no,
                             (uint8_t)(row->hash % sale->shards));
}

static void fill_key(struct api *api, struct purchase *p, struct str key)
{
    uint8_t full[SHA256_LEN];
    p->explicit_key = key.p != NULL;
    if (key.p) {
        sha256(key, full);
        memcpy(p->row.key, full, KEY_LEN);
    } else {
        uid_random(api->ids, p->row.key, KEY_LEN);
    }
}

static void buy_item(struct buying *buy, const struct sale *sale, const struct sale_item *item,
                     int64_t qty, struct str key)
{
    struct api *api = buy->api;
    struct purchase *p = purchase_new(api->reserve);
    if (!p) {
        problem_status(api, buy->x, ST_OVERLOADED, NULL);
        return;
    }
    p->done = on_bought;
    p->arg = buy;
    p->async = http_list_has(buy->x->head->header[HH_PREFER], "respond-async");
    fill_row(api, &p->row, buy, sale, item, qty);
    fill_key(api, p, key);
    p->row.flags = p->async ? ROW_ASYNC : 0;
    purchase_seal(p);
    enum status st = sale_phase_purchase(
        sale_phase(sale->state, sale->starts_ms, sale->ends_ms, clock_wall_ms()));
    if (st == ST_OK)
        reserve_submit(api->reserve, sale, item, p);
    else
        reserve_refuse(api->reserve, sale, p, st);
}

void orders_create(void *ctx, struct exchange *x)
{
    struct api *api = ctx;
    struct buying *buy = (struct buying *)(void *)x->local;
    struct order_body body;
    struct str key;
    buy->api = api;
    buy->x = x;
    if (read_body(api, x, &body) != ST_OK || idempotency_header(api, x, &key) != ST_OK ||
        caller_resolve(api, x, &buy->caller) != ST_OK ||
        caller_need_shopper(api, x, &buy->caller) != ST_OK)
        return;
    const struct snapshot *snap = catalog_read(&api->reader);
    const struct sale *sale = snapshot_sale(snap, (struct str){body.sale, body.sale_len});
    if (!sale || sale->state == SALE_DRAFT ||
        (buy->caller.storefront != 0 && buy->caller.storefront != sale->storefront)) {
        problem_status(api, x, ST_SALE_NOT_FOUND, NULL);
        return;
    }
    const struct sale_item *item = sale_item(sale, (struct str){body.sku, body.sku_len});
    if (!item) {
        problem_status(api, x, ST_ITEM_NOT_FOUND, NULL);
        return;
    }
    buy->sale_no = sale->no;
    buy_item(buy, sale, item, body.qty, key);
}

/* --- reading ---------------------------------------------------------------------------------- */

static void render_found(struct api_job *job, const struct snapshot *snap, const struct order *o)
{
    const struct sale_item *item;
    const struct sale *sale = snapshot_item(snap, o->item, &item);
    if (sale)
        render_order(&job->body, o, sale, item);
    else
        job->st = ST_INTERNAL;
}

/* The route's order id and the caller; NULL: answered. */
static struct api_job *order_job(struct api *api, struct exchange *x, api_work_fn work)
{
    struct caller caller;
    struct uid id;
    if (caller_resolve(api, x, &caller) != ST_OK)
        return NULL;
    if (!uid_parse("ord_", x->match.param[0], &id)) {
        problem_status(api, x, ST_ORDER_NOT_FOUND, NULL);
        return NULL;
    }
    struct api_job *job = api_job_new(api, x, &caller, work);
    if (job)
        job->id = id;
    return job;
}

/* A look at one order: what the group reads, and who is answered. */
struct look {
    struct order_read read;
    struct api_job *job;
};

static void on_read(struct task *task)
{
    struct look *look = CONTAINER_OF(task, struct look, read.job.task);
    struct api_job *job = look->job;
    job->st = api_job_shown(look->read.st);
    if (job->st == ST_OK)
        render_found(job, catalog_read(&job->api->reader), &look->read.out);
    order_free(&look->read.out);
    api_job_answer(job);
}

void orders_get(void *ctx, struct exchange *x)
{
    struct api *api = ctx;
    struct api_job *job = order_job(api, x, NULL);
    if (!job)
        return;
    struct look *look = calloc(1, sizeof(*look));
    enum status st = ST_OVERLOADED;
    job->data = look;
    if (look) {
        *look = (struct look){.read = {.job = {.done = on_read, .reply_to = api->replies},
                                       .id = job->id,
                                       .scope = api_job_scope(job)},
                              .job = job};
        st = order_read_submit(api->engine, &look->read);
    }
    if (st == ST_OK)
        return; /* the pool's now */
    job->st = st;
    api_job_answer(job);
}

static void cancel_work(struct api_job *job, struct session *s)
{
    struct order o = {0};
    const struct snapshot *snap = NULL;
    const struct order_scope scope = api_job_scope(job);
    job->st = order_cancel(s, &job->id, &scope, &o);
    if (job->st == ST_OK)
        job->st = session_catalog(s, &snap);
    if (job->st == ST_OK)
        render_found(job, snap, &o);
    else if (job->st == ST_INVALID_STATE)
        job->detail = "Only an unpaid order that is no longer queued can be cancelled.";
    order_free(&o);
}

void orders_cancel(void *ctx, struct exchange *x)
{
    struct api *api = ctx;
    struct api_job *job = order_job(api, x, cancel_work);
    if (!job)
        return;
    if (no_fields(api, x) == ST_OK)
        api_job_submit(job, api->engine->queries);
    else
        api_job_drop(job);
}

static void list_work(struct api_job *job, struct session *s)
{
    struct order *orders = calloc(job->limit, sizeof(*orders));
    const struct order_scope scope = api_job_scope(job);
    const struct snapshot *snap = NULL;
    unsigned n = 0;
    bool more = false;
    if (!orders) {
        job->st = ST_OVERLOADED;
        return;
    }
    job->st =
        order_list(s, &scope, job->has_after ? &job->after : NULL, job->limit, orders, &n, &more);
    if (job->st == ST_OK)
        job->st = session_catalog(s, &snap);
    BUF_LIT(&job->body, "{\"object\":\"list\",\"data\":[");
    for (unsigned i = 0; i < n && job->st == ST_OK; i++) {
        if (i > 0)
            buf_char(&job->body, ',');
        render_found(job, snap, &orders[i]);
    }
    buf_printf(&job->body, "],\"has_more\":%s}", more ? "true" : "false");
    for (unsigned i = 0; i < n; i++)
        order_free(&orders[i]);
    free(orders);
}

void orders_list(void *ctx, struct exchange *x)
{
    struct api *api = ctx;
    struct caller caller;
    struct page page;
    if (caller_resolve(api, x, &caller) != ST_OK || caller_need_shopper(api, x, &caller) != ST_OK ||
        page_read(api, x, &page) != ST_OK)
        return;
    if (caller.role == ROLE_OPERATOR) {
        problem_status(api, x, ST_FORBIDDEN, "Orders are listed with the storefront's own key.");
        return;
    }
    struct uid after;
    bool has_after = page.after[0] != '\0';
    if (has_after && !uid_parse("ord_", str_from(page.after), &after)) {
        problem_param(api, x, "starting_after", "This is no order's id.");
        return;
    }
    struct api_job *job = api_job_new(api, x, &caller, list_work);
    if (!job)
        return;
    job->limit = page.limit;
    job->has_after = has_after;
    if (has_after)
        job->after = after;
    api_job_submit(job, api->engine->queries);
}
