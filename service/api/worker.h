/* worker.h - one thread, one event loop: a listening socket, its connections, its Redis link.
 */
#pragma once

#include "api/api.h"

struct worker;

struct worker_conf {
    const struct engine *engine;
    struct health *health;
    const struct http_conf *http;
    struct router *router;
    struct conn_census *census;
    int fd; /* listening; the worker's from worker_start on */
};

STATUS_MUSTCHECK
enum status worker_start(const struct worker_conf *conf, struct worker **out);
/* Accepts no more, finishes what is in flight within grace_ms, then its loop ends. Any thread. */
void worker_drain(struct worker *w, int64_t grace_ms);
/* Waits for the loop's end. Job threads and committers must run until then. */
void worker_join(struct worker *w);
void worker_destroy(struct worker **w);
