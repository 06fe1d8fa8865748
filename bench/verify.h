/* verify.h - the journal against MariaDB, row by row.
 *
 * Reads every order of the run's sale from MariaDB itself, past the service, and holds it against
 * what the shoppers were told. Decides nothing: it counts, and promises_judge turns counts into
 * verdicts. One thread, blocking; run it once the service is quiet.
 */
#pragma once

#include "crowd.h"
#include "journal.h"

#include "base/status.h"

/* What MariaDB has. All counts are of this run's sale. */
struct ledger {
    uint64_t rows;       /* orders, in whatever state */
    uint64_t live;       /* live ones: unpaid or paid */
    uint64_t live_units; /* their units */
    int64_t allocated;   /* units given to the sale */
    int64_t held;        /* units it says are taken */
    uint64_t wrong_qty;  /* live orders with another quantity or item than was asked for */
    uint64_t strangers;  /* live orders of shoppers who are not ours */
    uint64_t doubles;    /* live orders past a shopper's first */
    uint64_t matched;    /* acknowledged orders found: same id, shopper, item, quantity, and live,
                            unless the scenario lets orders lapse */
    uint64_t missing;    /* acknowledged orders not found so */
    uint64_t untold;     /* live orders whose shopper got no answer */
    uint64_t retryable;  /* live orders whose shopper was asked to try again */
    uint64_t refused;    /* live orders whose shopper was refused */
    uint64_t unsent;     /* live orders whose shopper never asked */
    uint64_t denied;     /* live orders whose shopper was refused after he was told of one */
    uint64_t changed;    /* shoppers who were acknowledged twice, with two orders */
    uint64_t queued_found, queued_lost; /* orders promised by a 202: in MariaDB, and not there */
};

struct verify; /* the connection to compare through */

/* Connects, so that a wrong address is found before the rush. ST_OK; otherwise error says why. */
STATUS_MUSTCHECK
enum status verify_create(const struct options *o, const struct scenario *s, struct verify **out,
                          char *error, size_t size);
void verify_destroy(struct verify **v);

/* Fills *ledger and the journal's rows and matched. ST_OK; otherwise error says why. */
STATUS_MUSTCHECK
enum status verify_run(struct verify *v, const struct crowd *crowd, struct journal *journal,
                       struct ledger *ledger, char *error, size_t size);
