/* load.h - the load itself: threads with connections and shoppers of their own.
 *
 * Shopper i belongs to thread i modulo threads, with its entry of the journal, so nothing on a
 * request's way is shared or locked. Every connection to the service is open before the clock
 * starts; one that fails is counted, opened again and never silently missing. Memory is bounded by
 * shoppers and connections. The functions here belong to the thread that called load_create.
 */
#pragma once

#include "arrivals.h"
#include "crowd.h"
#include "figures.h"
#include "journal.h"

#include "base/status.h"

enum { LOAD_INTERVAL_US = 500000 };

struct load_conf {
    const struct options *options;
    const struct scenario *scenario;
    const struct crowd *crowd;
    const struct arrivals *arrivals;
    struct journal *journal;
};

/* What happened within half a second. */
struct interval {
    uint64_t sent, orders, refusals, errors;
    struct hist latency; /* of answers that arrived in it */
    uint64_t in_flight;  /* when it was taken */
};

/* How it goes, over all threads. */
struct load_now {
    uint64_t counts[COUNTS];
    int64_t moments[MOMENTS];
    uint64_t in_flight;
};

struct load;

/* Borrows all of conf. ST_OK, ST_UNAVAILABLE (a host is not found) or ST_INTERNAL. */
STATUS_MUSTCHECK
enum status load_create(const struct load_conf *conf, struct load **out);
void load_destroy(struct load **l);
/* Starts the threads and opens the connections. ST_UNAVAILABLE: not one could be opened, and the threads
 * have ended. ST_INTERNAL. */
STATUS_MUSTCHECK
enum status load_open(struct load *l);
/* The clock starts; returns when that is (monotonic). */
int64_t load_start(struct load *l);
/* A descriptor that becomes readable when all threads are done. */
int load_done_fd(const struct load *l);
/* No plan any more: all newcomers come at once. */
void load_hurry(struct load *l);
/* Nobody else comes; what is in flight is waited for. */
void load_stop(struct load *l);
void load_now(const struct load *l, struct load_now *now);
/* Interval i (from 0) of all threads; false while one of them is still in it. Each can be taken once, in
 * order. After load_finish all that are left can be. May be called by one other thread. */
bool load_take_interval(struct load *l, uint32_t i, struct interval *out);
/* Waits for the threads; the figures of all. Borrowed. */
const struct figures *load_finish(struct load *l);
/* Processor time of the threads while the clock ran; after load_finish. */
void load_cpu(const struct load *l, int64_t *user_us, int64_t *system_us);
