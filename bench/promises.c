#include "promises.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>

static void __attribute__((format(printf, 3, 4)))
judge(struct verdict *v, bool kept, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vsnprintf(v->why, sizeof(v->why), fmt, args);
    va_end(args);
    v->kept = kept;
}

void promises_judge(const struct options *o, const struct scenario *s,
                    const struct journal *journal, const struct ledger *l,
                    struct verdict verdicts[PROMISE_COUNT])
{
    uint64_t units = (uint64_t)s->units * s->items;
    uint64_t acked = journal_count(journal, TOLD_ORDER);
    uint64_t unasked = l->refused + l->unsent + l->strangers;

    judge(&verdicts[PROMISE_P1],
          l->live_units <= units && (scenario_lapses(s) || acked * s->qty <= units),
          "%" PRIu64 " units in live orders, %" PRIu64 " acknowledged, %" PRIu64 " for sale",
          l->live_units, acked * s->qty, units);
    judge(&verdicts[PROMISE_P2], l->missing == 0 && (l->queued_lost == 0 || o->queue_may_vanish),
          "%" PRIu64 " of %" PRIu64 " acknowledged orders in MariaDB with shopper, item and "
          "quantity; %" PRIu64 " of %" PRIu64 " promised ones",
          l->matched, acked, l->queued_found, l->queued_found + l->queued_lost);
    judge(&verdicts[PROMISE_P3],
          l->doubles == 0 && l->wrong_qty == 0 && unasked == 0 && l->changed == 0 && l->denied == 0,
          "%" PRIu64 " second orders, %" PRIu64 " of another quantity or item, %" PRIu64
          " of refused, "
          "%" PRIu64 " of silent, %" PRIu64 " of unknown shoppers; %" PRIu64
          " told of two, %" PRIu64 " refused after they were told of one",
          l->doubles, l->wrong_qty, l->refused, l->unsent, l->strangers, l->changed, l->denied);
    judge(&verdicts[PROMISE_P4],
          l->allocated == (int64_t)units && l->held == (int64_t)l->live_units,
          "allocated %" PRId64 ", held %" PRId64 ", units of live orders %" PRIu64, l->allocated,
          l->held, l->live_units);
}
