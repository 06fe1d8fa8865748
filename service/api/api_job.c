#include "api/api_job.h"

#include "api/problem.h"
#include "api/sale_body.h"
#include "base/clock.h"

#include <stdlib.h>

enum { BODY_MAX = 4 * 1024 * 1024, IDEMPOTENCY_KEY_MAX = 255 };

void api_job_drop(struct api_job *job)
{
    buf_fini(&job->body);
    free(job->data);
    free(job);
}

struct api_job *api_job_new(struct api *api, struct exchange *x, const struct caller *caller,
                            api_work_fn work)
{
    struct api_job *job = calloc(1, sizeof(*job));
    if (!job) {
        problem_status(api, x, ST_OVERLOADED, NULL);
        return NULL;
    }
    job->api = api;
    job->x = x;
    job->work = work;
    job->caller = *caller;
    job->status = 200;
    buf_init(&job->body, BODY_MAX);
    return job;
}

void api_job_answer(struct api_job *job)
{
    struct api *api = job->api;
    struct exchange *x = job->x;
    if (job->st == ST_OK && job->body.overflow)
        job->st = ST_INTERNAL;
    if (job->st == ST_OK) {
        buf_reset(&api->headers);
        if (job->location[0] != '\0') {
            BUF_LIT(&api->headers, "Location: ");
            buf_add(&api->headers, str_from(job->location));
            BUF_LIT(&api->headers, "\r\n");
        }
        BUF_LIT(&api->headers, "Cache-Control: no-store\r\n");
        x->replayed = job->replayed;
        json_answer(api, x, job->status, (struct str){api->headers.data, api->headers.len},
                    (struct str){job->body.data, job->body.len});
    } else {
        problem_answer(api, x,
                       &(struct problem){.st = job->st,
                                         .detail = job->detail,
                                         .param = str_from(job->param),
                                         .extra = str_from(job->extra)});
    }
    api_job_drop(job);
}

static void on_done(struct task *task)
{
    api_job_answer(CONTAINER_OF(task, struct api_job, job.task));
}

/* A lost answer is the caller's to repeat. */
enum status api_job_shown(enum status st)
{
    switch (st) {
    case ST_UNKNOWN:
    case ST_CONFLICT:
    case ST_BUSY: return ST_UNAVAILABLE;
    case ST_FENCED: return ST_RECOVERING;
    case ST_DUPLICATE: return ST_INTERNAL;
    default: return st;
    }
}

static void on_work(struct job *job, struct session *s)
{
    struct api_job *a = CONTAINER_OF(job, struct api_job, job);
    if (job_late(job)) {
        a->st = ST_OVERLOADED;
        return;
    }
    a->work(a, s);
    a->st = api_job_shown(a->st);
}

void api_job_submit(struct api_job *job, struct jobs *pool)
{
    job->job.work = on_work;
    job->job.done = on_done;
    job->job.reply_to = job->api->replies;
    /* Once submitted, the job is the thread's. */
    enum status st = jobs_submit(pool, &job->job);
    if (st == ST_OK)
        return;
    job->st = st;
    api_job_answer(job);
}

enum status no_fields(struct api *api, struct exchange *x)
{
    static const char *const none[] = {NULL};
    struct body_error e;
    json_t *root = body_parse(x->body, true, &e);
    bool fits = root && body_only(root, "", none, &e);
    json_decref(root);
    if (fits)
        return ST_OK;
    problem_param(api, x, e.param, e.why);
    return ST_INVALID_REQUEST;
}

enum status idempotency_header(struct api *api, struct exchange *x, struct str *key)
{
    *key = x->head->header[HH_IDEMPOTENCY_KEY];
    if (!key->p)
        return ST_OK;
    bool fits = key->n >= 1 && key->n <= IDEMPOTENCY_KEY_MAX;
    for (size_t i = 0; fits && i < key->n; i++)
        fits = key->p[i] >= 0x20 && key->p[i] < 0x7f;
    if (fits)
        return ST_OK;
    problem_param(api, x, "Idempotency-Key", "The key is 1 to 255 printable ASCII characters.");
    return ST_INVALID_REQUEST;
}

bool api_job_key(struct api_job *job, const char *route)
{
    struct exchange *x = job->x;
    struct str key;
    if (idempotency_header(job->api, x, &key) != ST_OK) {
        api_job_drop(job);
        return false;
    }
    job->key = (struct idem_key){.storefront = job->caller.storefront,
                                 .caller = caller_shopper(&job->caller),
                                 .route = route,
                                 .given = key.p != NULL};
    if (key.p) {
        idem_hash(key, STR(""), job->key.idem);
        idem_hash(x->head->path, x->body, job->key.fingerprint);
    }
    return true;
}
