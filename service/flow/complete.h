/* complete.h - batches that their owner will not finish are finished from the intent log.
 *
 * What the owner would have done: write the orders under the entry's own epoch, give back what lost
 * its key (rule R3), delete the entry, these two in one call (R10). All of it is idempotent, so an
 * owner that only seemed dead, and several who complete at once, do no harm. One thread.
 */
#pragma once

#include "flow/intent.h"

struct completion;

/* For one shard. s and sale are borrowed until completion_destroy, so it lives within one job
 * (whose snapshot stays). ST_OK, or ST_UNAVAILABLE without memory. */
STATUS_MUSTCHECK
enum status completion_create(struct session *s, const struct sale *sale, unsigned shard,
                              struct completion **out);
/* Frees; what was taken and not flushed stays in the log, for the next who looks. */
void completion_destroy(struct completion **c);

/* Takes an entry, whose page must stay until completion_flush; may flush on its own when full.
 * Results as completion_flush. */
STATUS_MUSTCHECK
enum status completion_add(struct completion *c, const struct intent_entry *entry);
/* Finishes what was taken. ST_OK: durable, and gone from the log. ST_FENCED: the epoch has moved
 * on, or the ledger has no room for what the gate gave away; ST_INTERNAL: MariaDB refuses a row for
 * good. After either the shard needs a rebuild. Others: try again later; nothing is lost. */
STATUS_MUSTCHECK
enum status completion_flush(struct completion *c);
