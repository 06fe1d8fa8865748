/* order_reads.h - looks at single orders, many in one statement.
 *
 * Whoever paid looks until his order says so, so looks come as often as orders do. A grouped pool
 * of one thread reads all that wait. What MariaDB does not know goes on to the pool of queries: it
 * is asked in Redis, one at a time, and those who ask for nonsense must not keep the others waiting.
 */
#pragma once

#include "flow/jobs.h"
#include "flow/orders.h"

struct order_read {
    struct job job; /* done, reply_to: the asker's; work: set here */
    struct uid id;
    struct order_scope scope;
    /* Out. */
    enum status st;   /* as order_get's; ST_OVERLOADED: it waited too long */
    struct order out; /* ST_OK: with its payments; the asker frees with order_free */
};

/* Takes the read, which is the pool's until `done`; otherwise ST_OVERLOADED. */
STATUS_MUSTCHECK
enum status order_read_submit(const struct engine *engine, struct order_read *read);
/* How the pool engine->reads runs. */
extern const struct jobs_group order_reads_group;
