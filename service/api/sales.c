/* Sales: create, read, list, move from state to state, audit. */
#include "flow/sales.h"

#include "api/api_job.h"
#include "api/handlers.h"
#include "api/page.h"
#include "api/problem.h"
#include "api/render.h"
#include "api/sale_body.h"
#include "api/sale_pages.h"
#include "base/clock.h"
#include "flow/audit.h"

#include <stdio.h>
#include <stdlib.h>

/* --- reading ---------------------------------------------------------------------------------- */

/* Newest first. Shoppers and nobody see what is published; a storefront its own; an operator all.
 */
static bool listed(const struct sale *sale, const struct caller *c)
{
    if (c->role == ROLE_STOREFRONT || c->role == ROLE_SHOPPER)
        return sale->storefront == c->storefront && sale_visible(sale, c);
    return sale_visible(sale, c);
}

static bool etag_known(const struct exchange *x, const char *etag)
{
    struct str known = x->head->header[HH_IF_NONE_MATCH];
    return known.p && (str_equal(known, STR("*")) || http_list_has(known, etag));
}

/* Public pages may be kept for a second by anybody; others by nobody. */
static void page_answer(struct api *api, struct exchange *x, struct str body, const char *etag,
                        bool is_public)
{
    bool same = etag_known(x, etag);
    buf_reset(&api->headers);
    if (is_public)
        BUF_LIT(&api->headers, "Cache-Control: public, max-age=1\r\nETag: ");
    else
        BUF_LIT(&api->headers, "Cache-Control: private, no-store\r\nETag: ");
    buf_add(&api->headers, str_from(etag));
    BUF_LIT(&api->headers, "\r\n");
    const struct answer a = {.status = same ? 304 : 200,
                             .content_type = same ? NULL : "application/json",
                             .headers = {api->headers.data, api->headers.len},
                             .body = same ? (struct str){0} : body,
                             .st = ST_OK};
    exchange_answer(x, &a);
}

void sales_get(void *ctx, struct exchange *x)
{
    struct api *api = ctx;
    struct caller caller;
    struct sale_page page;
    if (caller_resolve(api, x, &caller) != ST_OK)
        return;
    const struct snapshot *snap = catalog_read(&api->reader);
    const struct sale *sale = snap ? snapshot_sale(snap, x->match.param[0]) : NULL;
    enum status st = snap ? ST_SALE_NOT_FOUND : ST_UNAVAILABLE;
    if (sale && sale_visible(sale, &caller))
        st = sale_pages_get(api->pages, snap, sale, clock_wall_ms(), &page);
    if (st == ST_OK)
        page_answer(api, x, page.body, page.etag, sale->state != SALE_DRAFT);
    else
        problem_status(api, x, st, NULL);
}

/* A page of large sales ends early. */
enum { LIST_BYTES = 1024 * 1024 };

/* Fills api->scratch and the list's tag, made of its sales' tags. */
static enum status build_list(struct api *api, const struct snapshot *snap,
                              const struct caller *caller, unsigned from, unsigned limit,
                              char etag[24])
{
    int64_t now = clock_wall_ms();
    unsigned n = 0;
    bool more = false;
    uint64_t h = 14695981039346656037u;
    struct buf *b = &api->scratch;
    buf_reset(b);
    BUF_LIT(b, "{\"object\":\"list\",\"data\":[");
    for (unsigned i = from; i > 0 && !more; i--) {
        const struct sale *sale = snapshot_sale_at(snap, i - 1);
        struct sale_page page;
        if (!listed(sale, caller))
            continue;
        more = n == limit || (n > 0 && b->len > LIST_BYTES);
        if (more)
            break;
        enum status st = sale_pages_get(api->pages, snap, sale, now, &page);
        if (st != ST_OK)
            return st;
        if (n++ > 0)
            buf_char(b, ',');
        buf_add(b, page.body);
        for (const char *p = page.etag; *p; p++)
            h = (h ^ (uint8_t)*p) * 1099511628211u;
    }
    buf_printf(b, "],\"has_more\":%s}", more ? "true" : "false");
    h += more;
    snprintf(etag, 24, "W/\"%016llx\"", (unsigned long long)h);
    return b->overflow ? ST_OVERLOADED : ST_OK;
}

/* Where the page begins: sales are walked from the newest down to the first, so this is one past
 * it. */
static enum status list_start(const struct snapshot *snap, const struct caller *caller,
                              const char *after_id, unsigned *from)
{
    *from = snapshot_sales(snap);
    if (after_id[0] == '\0')
        return ST_OK;
    const struct sale *after = snapshot_sale(snap, str_from(after_id));
    if (!after || !sale_visible(after, caller))
        return ST_SALE_NOT_FOUND;
    while (snapshot_sale_at(snap, *from - 1) != after)
        --*from;
    --*from;
    return ST_OK;
}

void sales_list(void *ctx, struct exchange *x)
{
    struct api *api = ctx;
    struct caller caller;
    struct page page;
    char etag[24];
    unsigned from = 0;
    if (caller_resolve(api, x, &caller) != ST_OK || page_read(api, x, &page) != ST_OK)
        return;
    const struct snapshot *snap = catalog_read(&api->reader);
    if (!snap) {
        problem_status(api, x, ST_UNAVAILABLE, NULL);
        return;
    }
    if (list_start(snap, &caller, page.after, &from) != ST_OK) {
        problem_param(api, x, "starting_after", "There is no such sale.");
        return;
    }
    enum status st = build_list(api, snap, &caller, from, page.limit, etag);
    if (st == ST_OK)
        page_answer(api, x, (struct str){api->scratch.data, api->scratch.len}, etag,
                    caller.role == ROLE_NOBODY);
    else
        problem_status(api, x, st, "Ask for fewer sales at once.");
}

/* --- create ----------------------------------------------------------------------------------- */

/* The sale as MariaDB has it now, into the job's body. */
static void render_current(struct api_job *job, struct session *s, struct str id)
{
    const struct snapshot *snap;
    job->st = session_refresh(s, &snap);
    if (job->st != ST_OK)
        return;
    const struct sale *sale = snapshot_sale(snap, id);
    if (sale)
        render_sale(&job->body, sale, clock_wall_ms(), NULL);
    else
        job->st = ST_SALE_NOT_FOUND;
}

/* data is the raw body: parsed again here, because a parsed tree is not worth handing over. */
static void create_work(struct api_job *job, struct session *s)
{
    struct new_sale sale = {.storefront = job->caller.storefront};
    struct body_error e;
    struct idem idem;
    char id[ID_MAX + 1];
    json_t *root = body_parse((struct str){job->data, (size_t)job->number}, false, &e);
    if (!root || !body_sale(root, &sale, &e)) {
        job->st = ST_INVALID_REQUEST;
        job->detail = e.why;
        snprintf(job->param, sizeof(job->param), "%s", e.param);
        goto cleanup;
    }
    job->st = idem_begin(s, &job->key, &idem, &job->body);
    if (job->st != ST_OK || idem.replay) {
        job->replayed = idem.replay;
        job->status = 201;
        goto cleanup;
    }
    sale.uid = idem.resource;
    sale.resumed = idem.resumed;
    job->st = sale_create(s, &sale, id);
    if (job->st != ST_OK) {
        idem_abandon(s, &job->key, job->st);
        if (job->st == ST_SALE_EXISTS)
            snprintf(job->param, sizeof(job->param), "id");
        goto cleanup;
    }
    job->status = 201;
    snprintf(job->location, sizeof(job->location), "/v1/sales/%s", id);
    render_current(job, s, str_from(id));
    if (job->st == ST_OK)
        idem_finish(s, &job->key, 201, (struct str){job->body.data, job->body.len});
cleanup:
    free((void *)sale.item);
    json_decref(root);
}

void sales_create(void *ctx, struct exchange *x)
{
    struct api *api = ctx;
    struct caller caller;
    if (caller_resolve(api, x, &caller) != ST_OK)
        return;
    if (caller.role == ROLE_OPERATOR) {
        problem_status(api, x, ST_FORBIDDEN, "A sale is created with its storefront's key.");
        return;
    }
    struct api_job *job = api_job_new(api, x, &caller, create_work);
    if (!job || !api_job_key(job, "sales"))
        return;
    job->data = malloc(x->body.n + 1);
    if (!job->data) {
        job->st = ST_OVERLOADED;
        api_job_answer(job);
        return;
    }
    if (x->body.n > 0)
        memcpy(job->data, x->body.p, x->body.n);
    job->number = (int64_t)x->body.n;
    api_job_submit(job, api->engine->queries);
}

/* --- moving ----------------------------------------------------------------------------------- */

static void move_work(struct api_job *job, struct session *s)
{
    struct str id = str_from(job->sale);
    job->st = sale_move(s, job->caller.storefront, id, (enum sale_event)job->number);
    if (job->st == ST_OK)
        render_current(job, s, id);
    else if (job->st == ST_INVALID_STATE)
        job->detail = "The sale's state does not allow this.";
}

/* A sale named by the route, for its storefront; NULL: answered. */
static struct api_job *sale_job(struct api *api, struct exchange *x, api_work_fn work)
{
    struct caller caller;
    if (caller_resolve(api, x, &caller) != ST_OK)
        return NULL;
    if (!id_valid(x->match.param[0])) {
        problem_status(api, x, ST_SALE_NOT_FOUND, NULL);
        return NULL;
    }
    struct api_job *job = api_job_new(api, x, &caller, work);
    if (job)
        memcpy(job->sale, x->match.param[0].p, x->match.param[0].n);
    return job;
}

static void move(struct api *api, struct exchange *x, enum sale_event event)
{
    struct api_job *job = sale_job(api, x, move_work);
    if (!job)
        return;
    if (no_fields(api, x) != ST_OK) {
        api_job_drop(job);
        return;
    }
    job->number = event;
    api_job_submit(job, api->engine->queries);
}

void sales_publish(void *ctx, struct exchange *x)
{
    move(ctx, x, SALE_PUBLISH);
}

void sales_pause(void *ctx, struct exchange *x)
{
    move(ctx, x, SALE_PAUSE);
}

void sales_resume(void *ctx, struct exchange *x)
{
    move(ctx, x, SALE_RESUME);
}

void sales_end(void *ctx, struct exchange *x)
{
    move(ctx, x, SALE_END);
}

/* --- audit ------------------------------------------------------------------------------------ */

static void audit_work(struct api_job *job, struct session *s)
{
    const struct snapshot *snap;
    struct audit a;
    job->st = session_catalog(s, &snap);
    if (job->st != ST_OK)
        return;
    const struct sale *sale = snapshot_sale(snap, str_from(job->sale));
    if (!sale || (job->caller.storefront != 0 && job->caller.storefront != sale->storefront)) {
        job->st = ST_SALE_NOT_FOUND;
        return;
    }
    job->st = audit_sale(s, sale, job->number * 1000, &a);
    if (job->st != ST_OK)
        return;
    render_audit(&job->body, sale, &a);
    audit_free(&a);
}

void sales_audit(void *ctx, struct exchange *x)
{
    static const char *const keys[] = {"wait", NULL};
    struct api *api = ctx;
    int64_t wait_s = 0;
    struct api_job *job = sale_job(api, x, audit_work);
    if (!job)
        return;
    if (query_known(api, x, keys) != ST_OK ||
        query_number(api, x, "wait", 0, 60, &wait_s) != ST_OK) {
        api_job_drop(job);
        return;
    }
    job->number = wait_s;
    api_job_submit(job, api->engine->audits);
}
