/* Payments and the channels' notifications. */
#include "flow/payments.h"

#include "api/api_job.h"
#include "api/handlers.h"
#include "api/problem.h"
#include "api/render.h"
#include "api/sale_body.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { RETURN_URL_MAX = 1024 };

/* --- create ----------------------------------------------------------------------------------- */

static void on_tried(struct task *task)
{
    struct payment_try *t = CONTAINER_OF(task, struct payment_try, job.task);
    struct api_job *job = CONTAINER_OF(t->key, struct api_job, key);
    char id[40];
    job->st = t->st;
    job->replayed = t->replayed;
    if (job->st == ST_INVALID_STATE)
        job->detail = "Only an unpaid order can be paid, and only until its pay_by.";
    if (job->st == ST_OK && !t->replayed) {
        uid_format("pay_", &t->out.id, id);
        snprintf(job->location, sizeof(job->location), "/v1/payments/%s", id);
    }
    api_job_answer(job);
}

static void submit_try(struct api_job *job)
{
    struct api *api = job->api;
    struct payment_try *t = calloc(1, sizeof(*t));
    job->data = t;
    if (!t) {
        job->st = ST_OVERLOADED;
        api_job_answer(job);
        return;
    }
    t->wish = (struct payment_wish){.order = job->id,
                                    .scope = api_job_scope(job),
                                    .action = (enum payment_action)job->number,
                                    .return_url = str_from(job->text),
                                    .id = uid_make(api->ids, clock_wall_ms())};
    t->wish.channel = channel_find(api->engine->channels, str_from(job->sku), &t->wish.state);
    t->key = &job->key;
    t->render = render_payment;
    t->body = &job->body;
    t->job.done = on_tried;
    t->job.reply_to = api->replies;
    if (!t->wish.channel) {
        job->st = ST_CHANNEL_NOT_FOUND;
        snprintf(job->param, sizeof(job->param), "channel");
        api_job_answer(job);
        return;
    }
    /* Once submitted, it is the thread's. */
    enum status st = jobs_submit(api->engine->payments, &t->job);
    if (st != ST_OK) {
        job->st = st;
        api_job_answer(job);
    }
}

static bool return_url_fits(struct str url)
{
    if (url.n == 0)
        return true;
    bool http = (url.n > 7 && memcmp(url.p, "http://", 7) == 0) ||
                (url.n > 8 && memcmp(url.p, "https://", 8) == 0);
    for (size_t i = 0; http && i < url.n; i++)
        http = url.p[i] > 0x20 && (unsigned char)url.p[i] < 0x7f;
    return http;
}

/* The channel's name goes into job->sku, the action into job->number, the URL into job->text. */
static bool read_wish(struct api_job *job, struct str body, struct body_error *e)
{
    static const char *const names[] = {"channel", "action", "return_url", NULL};
    struct str channel, action, url;
    json_t *root = body_parse(body, true, e);
    bool fits = root && body_only(root, "", names, e) &&
                body_text(root, "", "channel", false, 1, 16, &channel, e) &&
                body_text(root, "", "action", false, 1, 16, &action, e) &&
                body_text(root, "", "return_url", false, 1, RETURN_URL_MAX, &url, e);
    if (fits && !return_url_fits(url)) {
        *e = (struct body_error){"return_url", "This is no http or https URL."};
        fits = false;
    }
    if (fits) {
        job->number = action.n > 0 ? payment_action_of(action) : PAYMENT_BY_REDIRECT;
        if (job->number == PAYMENT_ACTION_NONE) {
            *e = (struct body_error){"action", "This is neither redirect nor qr_code."};
            fits = false;
        }
    }
    if (fits) {
        if (channel.n == 0)
            channel = STR("sandbox"); /* the only channel there is */
        memcpy(job->sku, channel.p, channel.n);
        if (url.n > 0)
            memcpy(job->text, url.p, url.n);
    }
    json_decref(root);
    return fits;
}

void payments_create(void *ctx, struct exchange *x)
{
    struct api *api = ctx;
    struct caller caller;
    struct body_error e;
    struct uid order;
    if (caller_resolve(api, x, &caller) != ST_OK)
        return;
    if (!uid_parse("ord_", x->match.param[0], &order)) {
        problem_status(api, x, ST_ORDER_NOT_FOUND, NULL);
        return;
    }
    struct api_job *job = api_job_new(api, x, &caller, NULL);
    if (!job || !api_job_key(job, "payments"))
        return;
    job->id = order;
    job->status = 201;
    if (!read_wish(job, x->body, &e)) {
        job->st = ST_INVALID_REQUEST;
        job->detail = e.why;
        snprintf(job->param, sizeof(job->param), "%s", e.param);
        api_job_answer(job);
        return;
    }
    submit_try(job);
}

/* --- read ------------------------------------------------------------------------------------- */

static void get_work(struct api_job *job, struct session *s)
{
    struct payment p;
    const struct order_scope scope = api_job_scope(job);
    job->st = payment_get(s, &job->id, &scope, &p);
    if (job->st == ST_OK)
        render_payment(&job->body, &p);
}

void payments_get(void *ctx, struct exchange *x)
{
    struct api *api = ctx;
    struct caller caller;
    struct uid id;
    if (caller_resolve(api, x, &caller) != ST_OK)
        return;
    if (!uid_parse("pay_", x->match.param[0], &id)) {
        problem_status(api, x, ST_PAYMENT_NOT_FOUND, NULL);
        return;
    }
    struct api_job *job = api_job_new(api, x, &caller, get_work);
    if (!job)
        return;
    job->id = id;
    api_job_submit(job, api->engine->queries);
}

/* --- notifications ---------------------------------------------------------------------------- */

struct notice {
    struct webhook hook;
    struct api *api;
    struct exchange *x;
};

static void on_noticed(struct task *task)
{
    struct notice *n = CONTAINER_OF(task, struct notice, hook.job.task);
    struct api *api = n->api;
    if (n->hook.st != ST_OK) {
        problem_status(api, n->x, n->hook.st, NULL);
    } else {
        buf_reset(&api->scratch);
        buf_printf(&api->scratch,
                   "{\"object\":\"webhook_receipt\",\"received\":true,\"outcome\":\"%s\"}",
                   webhook_outcome_text(n->hook.outcome));
        json_answer(api, n->x, 200, STR("Cache-Control: no-store\r\n"),
                    (struct str){api->scratch.data, api->scratch.len});
    }
    free(n);
}

void webhooks_receive(void *ctx, struct exchange *x)
{
    struct api *api = ctx;
    struct channel_state *state;
    const char *why = NULL;
    const struct channel *channel = channel_find(api->engine->channels, x->match.param[0], &state);
    if (!channel) {
        problem_status(api, x, ST_CHANNEL_NOT_FOUND, NULL);
        return;
    }
    struct notice *n = calloc(1, sizeof(*n));
    if (!n) {
        problem_status(api, x, ST_OVERLOADED, NULL);
        return;
    }
    n->api = api;
    n->x = x;
    n->hook.channel = channel;
    n->hook.job.done = on_noticed;
    n->hook.job.reply_to = api->replies;
    struct str signature = x->head->header[HH_SIGNATURE];
    enum status st = signature.p ? channel->verify(state, signature, x->body,
                                                   clock_wall_ms() / 1000, &n->hook.event, &why)
                                 : ST_BAD_SIGNATURE;
    if (st != ST_OK) {
        problem_status(api, x, st, why ? why : "The notification is not signed.");
        free(n);
        return;
    }
    /* Once submitted, it is the thread's. */
    st = jobs_submit(api->engine->webhooks, &n->hook.job);
    if (st != ST_OK) {
        n->hook.st = st;
        on_noticed(&n->hook.job.task);
    }
}
