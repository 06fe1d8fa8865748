#include "rules/balance.h"

static bool one_epoch(const struct balance *b)
{
    return b->epoch > 0 && b->before.epoch == b->epoch && b->after.epoch == b->epoch;
}

static bool missing(const struct balance_gate *g)
{
    return g->left < 0 || g->added < 0;
}

static int64_t without_added(const struct balance_gate *g)
{
    return g->left - g->added;
}

enum balance_verdict balance_judge(const struct balance *b, int64_t *off)
{
    *off = 0;
    if (!one_epoch(b))
        return BALANCE_UNKNOWN;
    const int64_t ledger = b->allocated - b->held - b->added;
    if (missing(&b->before) || missing(&b->after)) {
        *off = b->allocated - b->held;
        return BALANCE_TOO_FEW; /* nothing can be sold of it */
    }
    const int64_t least = without_added(&b->after) - (b->after.back - b->before.back);
    if (ledger < least) {
        *off = least - ledger;
        return BALANCE_TOO_MANY;
    }
    if (!b->has_settled || b->settled.epoch != b->epoch || missing(&b->settled))
        return BALANCE_FITS;
    const int64_t most = without_added(&b->settled) + (b->after.back - b->settled.back) + b->untold;
    if (ledger <= most)
        return BALANCE_FITS;
    *off = ledger - most;
    return BALANCE_TOO_FEW;
}
