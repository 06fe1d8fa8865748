/* http_calls.h - the POSTs that channels are sent: one thread, one loop, many in flight.
 *
 * A channel may take its time without holding a thread: libcurl's multi interface runs on libevent.
 * At most HTTP_CALLS_IN_FLIGHT at once over connections that are kept, each for HTTP_CALL_MS; the
 * rest wait in a bounded queue, for HTTP_CALL_PATIENCE_MS at most. Knows no payment.
 */
#pragma once

#include "base/buf.h"
#include "base/queue.h"
#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

enum {
    HTTP_CALLS_IN_FLIGHT = 1024,
    HTTP_CALLS_WAITING = 20000,
    HTTP_CALL_MS = 3000,
    HTTP_CALL_PATIENCE_MS = 10000,
    HTTP_CALL_REPLY_MAX = 16384
};

struct http_call {
    struct task task;
    const char *url, *header; /* of the caller, until it ended; header: one line */
    struct str body;          /* likewise */
    /* On the calls' thread, or at once in http_calls_post where it cannot be sent. */
    void (*ended)(struct http_call *call);
    int64_t queued_us;
    /* Out. ST_OK: answered, with any HTTP status. ST_UNAVAILABLE: not sent. ST_UNKNOWN: nobody
     * knows. */
    enum status st;
    long http;
    struct buf reply; /* freed after ended */
};

struct http_calls;

STATUS_MUSTCHECK
enum status http_calls_create(struct http_calls **out);
/* Begins to call what is posted. */
STATUS_MUSTCHECK
enum status http_calls_start(struct http_calls *c);
/* Ends those that wait, lets those in flight end, ends the thread. Later ones are refused. */
void http_calls_stop(struct http_calls *c);
void http_calls_destroy(struct http_calls **c);
/* Any thread. ended runs exactly once. */
void http_calls_post(struct http_calls *c, struct http_call *call);
/* Calls waiting and in flight (a gauge). */
unsigned http_calls_depth(struct http_calls *c);
