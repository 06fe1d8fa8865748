/* promises.h - the verdict on each promise (README.md) from what was counted.
 *
 * Pure arithmetic over the journal's and MariaDB's figures; P5 to P7 are for other tools. Any
 * thread.
 */
#pragma once

#include "verify.h"

/* X(name, text) */
#define PROMISES(X)                          \
    X(P1, "never oversold")                  \
    X(P2, "acknowledged is durable")         \
    X(P3, "one key, one effect, one answer") \
    X(P4, "stock is conserved")

enum promise {
#define X(name, text) PROMISE_##name,
    PROMISES(X)
#undef X
        PROMISE_COUNT
};

struct verdict {
    bool kept;
    char why[320]; /* the figures behind it, for people */
};

/* Pure: the verdict on each promise. */
void promises_judge(const struct options *o, const struct scenario *s,
                    const struct journal *journal, const struct ledger *ledger,
                    struct verdict verdicts[PROMISE_COUNT]);
