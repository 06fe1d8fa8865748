/* expire.h - orders whose time to pay ran out give their units back, in batches.
 *
 * A deadline is not stored: it is the order's time plus its sale's pay_within_s. The sweep keeps
 * one cursor per distinct pay_within_s in MariaDB and walks the primary key behind now -
 * pay_within_s; an order that commits late pulls the cursor back in its own transaction
 * (commit_rows.c).
 */
#pragma once

#include "flow/jobs.h"

/* One step over every cursor. *full: a batch was filled, so there is more to do at once. */
STATUS_MUSTCHECK
enum status expire_sweep(struct session *s, bool *full);
