/* api_job.h - a request that a job thread works on.
 *
 * The handler copies what the work needs out of the exchange, submits, and returns. `work` runs on
 * a job thread and leaves status, body and the like in the job; the answer is then given on the
 * worker's loop.
 */
#pragma once

#include "api/api.h"
#include "api/caller.h"
#include "flow/idempotency.h"
#include "flow/orders.h"

struct api_job;
typedef void (*api_work_fn)(struct api_job *job, struct session *s);

enum { API_JOB_TEXT = 1100 };

struct api_job {
    struct job job;
    struct api *api;
    struct exchange *x;
    api_work_fn work; /* NULL: the handler submits something else, and answers with the job */
    struct caller caller;
    struct idem_key key; /* caller inside points into `caller` */
    /* In, by the handler. */
    char sale[ID_MAX + 1], sku[ID_MAX + 1];
    char text[API_JOB_TEXT]; /* a reason or a URL */
    struct uid id, after;    /* of the resource; of the page's start */
    bool has_after;
    unsigned limit;
    int64_t number;
    void *data; /* freed with the job */
    /* Out, by the work. */
    enum status st;  /* not ST_OK: a problem */
    uint16_t status; /* HTTP status when ST_OK; 0: 200 */
    bool replayed;
    const char *detail; /* of a problem */
    char param[64];
    char extra[160];   /* members of a problem */
    char location[96]; /* Location header's value */
    struct buf body;
};

/* A job for x with everything zeroed; NULL: the problem is answered. */
struct api_job *api_job_new(struct api *api, struct exchange *x, const struct caller *caller,
                            api_work_fn work);
/* Submits to a pool of the engine's; refused jobs are answered 503. Takes the job. */
void api_job_submit(struct api_job *job, struct jobs *pool);
/* A job whose exchange was answered otherwise. */
void api_job_drop(struct api_job *job);
/* How work ended, as callers know it: inside names do not leave the process. */
enum status api_job_shown(enum status st);
/* A job that is answered without a thread. Takes the job. */
void api_job_answer(struct api_job *job);

/* Reads Idempotency-Key into job->key, with the fingerprint of path and body. False: answered 400
 * and the job is gone. */
bool api_job_key(struct api_job *job, const char *route);
/* For actions without fields: a body may be absent or `{}`. ST_OK, or the problem is answered. */
STATUS_MUSTCHECK
enum status no_fields(struct api *api, struct exchange *x);
/* Checks the header alone. ST_OK (*key.p NULL when absent), or the problem is answered. */
STATUS_MUSTCHECK
enum status idempotency_header(struct api *api, struct exchange *x, struct str *key);

static inline struct order_scope api_job_scope(const struct api_job *job)
{
    return (struct order_scope){job->caller.storefront, caller_shopper(&job->caller)};
}
