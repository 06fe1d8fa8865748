/* worker.h - one thread, one event loop: listening sockets, their connections, its Redis link.
 *
 * Started deaf: worker_listen gives it what to accept from. What others ask of a running loop
 * reaches it as a message or an atomic; its thread does it.
 */
#pragma once

#include "api/api.h"

struct worker;

/* What may change while it runs. */
struct worker_settings {
    struct http_conf http;
    enum access access;
};

struct worker_conf {
    const struct engine *engine;
    struct health *health;
    const struct worker_settings *settings;
    struct router *router;
    struct conn_census *census;
};

/* How a worker ends. */
struct worker_end {
    int64_t delay_ms; /* for so long it is merely unready and closes what it answers */
    int64_t grace_ms; /* then what is in flight may take so long */
    bool handed_over; /* its sockets are accepted from by another process */
};

STATUS_MUSTCHECK
enum status worker_start(const struct worker_conf *conf, struct worker **out);
/* Accepts from fd, which it takes. Any thread. Without memory the process ends: nothing was
 * promised yet. */
void worker_listen(struct worker *w, int fd);
/* Puts settings (copied) into effect. Any thread. ST_UNAVAILABLE without memory: nothing changes.
 */
STATUS_MUSTCHECK
enum status worker_configure(struct worker *w, const struct worker_settings *settings);
/* Whether its Redis link was there at the last look, some milliseconds ago. Any thread. */
bool worker_ready(const struct worker *w);
/* Accepts no more, finishes what is in flight, then its loop ends. Once. Any thread. */
void worker_drain(struct worker *w, const struct worker_end *end);
/* Waits for the loop's end. Job threads and committers must run until then. */
void worker_join(struct worker *w);
void worker_destroy(struct worker **w);
