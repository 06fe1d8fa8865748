/* refresh.h - looks at the gates of sales that are on, several times a second.
 *
 * Brings the live hints up to date (units left; whether refusals may come from memory; the filter
 * of shoppers), and asks for the recovery of a shard whose gate is not what MariaDB says it is.
 */
#pragma once

#include "flow/jobs.h"

enum { REFRESH_MS = 100 };

/* How many gates were looked at, and how many of them are what MariaDB says. */
struct gate_count {
    unsigned seen, open;
};

STATUS_MUSTCHECK
enum status refresh_gates(struct session *s, struct gate_count *count);
