/* audit.h - are the promises kept? Counts of one sale in both stores, and a check per promise.
 */
#pragma once

#include "flow/jobs.h"

enum { AUDIT_CHECKS_MAX = 24 };

struct audit_item {
    struct str sku; /* borrowed from the sale */
    int64_t allocated, live, paid, released, ledger_left, gate_left, gate_held;
    int64_t ledger_held; /* shard_stock.held; live comes from the orders themselves */
};

/* When a check that failed proves something. */
enum audit_when {
    AUDIT_ALWAYS,
    AUDIT_SETTLED, /* work under way may explain it for a while */
    AUDIT_QUIET    /* only when nothing moved during the audit */
};

struct audit_check {
    const char *name, *promise;
    bool ok;
    int64_t expected, found;
    enum audit_when when;
};

/* Holds of one shard, all items. */
struct audit_shard {
    int64_t epoch; /* of the gate; 0: closed */
    int64_t live, gate_held;
    bool
        holds_off; /* they differ in some item that the ledger counts right: a rebuild would help */
};

struct audit {
    bool ok;
    bool quiet; /* nothing was under way, and nothing moved while both stores were read */
    int64_t checked_ms;
    int64_t pending_log, pending_committing, pending_releases;
    int64_t unapplied;   /* payments: money captured that no order could take, to be refunded */
    int64_t odd_notices; /* notifications that matched no payment, or not its amount */
    unsigned items, checks;
    struct audit_item *item; /* [items]; freed with audit_free */
    unsigned shards;
    struct audit_shard *shard; /* [shards]; likewise */
    struct audit_check check[AUDIT_CHECKS_MAX];
};

/* Reads one consistent snapshot of MariaDB between two looks at Redis. Waits up to wait_ms for
 * pending work to drain and for the stores to agree; sale must stay valid (the session's
 * snapshot). */
STATUS_MUSTCHECK
enum status audit_sale(struct session *s, const struct sale *sale, int64_t wait_ms,
                       struct audit *out);
void audit_free(struct audit *a);
