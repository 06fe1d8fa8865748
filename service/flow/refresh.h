/* refresh.h - looks at the gates of sales that are on, several times a second.
 *
 * Brings the live hints up to date (units left; whether refusals may come from memory; the filter
 * of shoppers), and asks for the recovery of a shard whose gate is not what MariaDB says it is.
 *
 * The filter of an ended sale is forgotten once nobody has asked for it for 10 s, whenever the sale
 * ended. Until an hour after the end it is loaded again when somebody asks: he is looked up in
 * MariaDB, a crowd that comes with him is refused from memory.
 */
#pragma once

#include "flow/jobs.h"

struct sale;

enum { REFRESH_MS = 100 };

/* Whether a sale's gates are to be open at this time of the wall clock. */
bool refresh_wants(const struct sale *sale, int64_t now_ms);

/* How many gates of sales that sell, or are about to, were looked at, and how many of them are what
 * MariaDB says. */
struct gate_count {
    unsigned seen, open;
    int64_t filter_bytes; /* of all sales' filters, as the look found them, less what it forgot */
};

/* One look at all of them. One thread at a time: the watch chore's.
 * *count is set whatever comes. ST_OK: all were looked at, whether open or not. Others: Redis could
 * not be asked, or there is no catalogue yet; the rest waits for the next look. */
STATUS_MUSTCHECK
enum status refresh_gates(struct session *s, struct gate_count *count);
