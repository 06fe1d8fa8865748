/* refresh.h - looks at the gates of sales that are on, several times a second.
 *
 * Brings the live hints up to date (units left; whether refusals may come from memory; the filter
 * of shoppers), and asks for the recovery of a shard whose gate is not what MariaDB says it is.
 */
#pragma once

#include "flow/jobs.h"

enum { REFRESH_MS = 100 };

/* *all_open: every gate that was looked at is what MariaDB says. */
STATUS_MUSTCHECK
enum status refresh_gates(struct session *s, bool *all_open);
