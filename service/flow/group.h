/* group.h - jobs of a grouped pool that share a transaction, and what is tried when it fails.
 *
 * First all together, plainly. A duplicate, or a COMMIT that was not answered: again, carefully,
 * which is to ask for each what was done before. What still fails because of a row (a deadlock, a
 * mistake) is run in halves, at last alone, so that it fails alone. MariaDB away: all fail at once.
 */
#pragma once

#include "flow/jobs.h"

struct group_kind {
    /* One transaction over all of them, whatever was decided in a try before. */
    enum status (*once)(void *ctx, struct job **jobs, unsigned n, bool careful);
    /* How it ended, for jobs that shared their last try: ST_OK, or why nothing is known to be
     * written (ST_UNKNOWN: it may be). */
    void (*ended)(void *ctx, struct job **jobs, unsigned n, enum status st);
};

void group_run(struct session *s, const struct group_kind *kind, void *ctx, struct job **jobs,
               unsigned n);
