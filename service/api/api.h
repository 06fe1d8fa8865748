/* api.h - the HTTP surface of one worker: what its handlers share.
 *
 * One per worker loop, used only from its thread. Handlers answer at once, or hand an api_job to a
 * job thread and answer in its `done`, or submit a purchase and answer when it is decided.
 */
#pragma once

#include "base/buf.h"
#include "flow/engine.h"
#include "flow/keeper.h"
#include "flow/reserve.h"
#include "net/http_server.h"

struct event_base;
struct api_events;
struct sale_pages;

/* What of the process the API shows, shared by all workers. */
struct health {
    struct keeper_view stores; /* as the housekeeper last saw them */
    _Atomic bool draining;
    struct str openapi; /* the document */
};

/* Which requests are logged. */
enum access { ACCESS_OFF, ACCESS_ERRORS, ACCESS_ALL };

struct api {
    const struct engine *engine;
    enum access access;
    struct health *health;
    struct event_base *base;
    struct queue *replies;
    struct http_server *server;
    struct reserve *reserve;
    struct catalog_reader reader;
    struct uid_source *ids;
    struct metrics_block *metrics;
    struct buf scratch, headers; /* an answer being built */
    struct sale_pages *pages;
    struct api_events *events;
    unsigned jitter; /* counter behind Retry-After's jitter */
};

STATUS_MUSTCHECK
enum status api_init(struct api *api);
void api_fini(struct api *api);
/* struct http_app's functions; ctx is the api. */
void api_on_request(void *ctx, struct exchange *x);
void api_on_refusal(void *ctx, struct exchange *x, enum status st, const char *why,
                    struct str extra);
void api_on_done(void *ctx, struct exchange *x, enum status st, int64_t duration_us);
