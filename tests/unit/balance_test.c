/* balance_test.c - gate against ledger, for what may be on its way between them. */
#include "rules/balance.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* Of 10 units allocated (and so added), `held` are held; epoch 7 everywhere unless said. */
#define GATE(left, back)  \
    {                     \
        7, left, 10, back \
    }

static const struct {
    const char *name;
    struct balance b;
    enum balance_verdict verdict;
    int64_t off;
} table[] = {
    /* Quiet: all three looks alike. */
    {"nothing sold",
     {true, GATE(10, 0), GATE(10, 0), 7, 10, 0, 10, 0, GATE(10, 0)},
     BALANCE_FITS,
     0},
    {"three sold", {true, GATE(7, 0), GATE(7, 0), 7, 10, 3, 10, 0, GATE(7, 0)}, BALANCE_FITS, 0},
    {"one too many",
     {true, GATE(8, 0), GATE(8, 0), 7, 10, 3, 10, 0, GATE(8, 0)},
     BALANCE_TOO_MANY,
     1},
    {"two too few",
     {true, GATE(5, 0), GATE(5, 0), 7, 10, 3, 10, 0, GATE(5, 0)},
     BALANCE_TOO_FEW,
     2},
    {"too few of a sold-out gate",
     {true, GATE(0, 4), GATE(0, 4), 7, 10, 9, 10, 0, GATE(0, 4)},
     BALANCE_TOO_FEW,
     1},
    /* Purchases under way. */
    {"reserved, not committed",
     {false, GATE(0, 0), GATE(4, 0), 7, 10, 3, 10, 0, GATE(4, 0)},
     BALANCE_FITS,
     0},
    {"the same, and the log since settled",
     {true, GATE(7, 0), GATE(4, 0), 7, 10, 3, 10, 0, GATE(4, 0)},
     BALANCE_FITS,
     0},
    {"reserved before, committed between",
     {true, GATE(7, 0), GATE(4, 0), 7, 10, 6, 10, 0, GATE(4, 0)},
     BALANCE_FITS,
     0},
    {"sold after the ledger was read",
     {true, GATE(7, 0), GATE(7, 0), 7, 10, 3, 10, 0, GATE(1, 0)},
     BALANCE_FITS,
     0},
    {"more held than the gate ever gave",
     {true, GATE(7, 0), GATE(7, 0), 7, 10, 4, 10, 0, GATE(7, 0)},
     BALANCE_TOO_MANY,
     1},
    {"too few, while one is sold",
     {true, GATE(5, 0), GATE(5, 0), 7, 10, 3, 10, 0, GATE(4, 0)},
     BALANCE_TOO_FEW,
     2},
    {"too few cannot be told before the log is settled",
     {false, GATE(0, 0), GATE(5, 0), 7, 10, 3, 10, 0, GATE(5, 0)},
     BALANCE_FITS,
     0},
    /* Units given back: the ledger first, then the gate. */
    {"cancelled, gate not told",
     {true, GATE(6, 0), GATE(6, 0), 7, 10, 3, 10, 1, GATE(6, 0)},
     BALANCE_FITS,
     0},
    {"cancelled, told before the outbox row went",
     {true, GATE(6, 0), GATE(7, 1), 7, 10, 3, 10, 1, GATE(7, 1)},
     BALANCE_FITS,
     0},
    {"told after the ledger was read",
     {true, GATE(6, 0), GATE(6, 0), 7, 10, 3, 10, 1, GATE(7, 1)},
     BALANCE_FITS,
     0},
    {"cancelled and told, both after the ledger was read",
     {true, GATE(6, 0), GATE(6, 0), 7, 10, 4, 10, 0, GATE(7, 1)},
     BALANCE_FITS,
     0},
    {"what came back explains no more than that",
     {true, GATE(6, 0), GATE(6, 0), 7, 10, 4, 10, 0, GATE(8, 1)},
     BALANCE_TOO_MANY,
     1},
    {"what waits in the outbox explains no more than that",
     {true, GATE(5, 0), GATE(5, 0), 7, 10, 2, 10, 1, GATE(5, 0)},
     BALANCE_TOO_FEW,
     2},
    /* Stock added: the ledger first; a total on either side. */
    {"added, gate not told",
     {true, GATE(7, 0), GATE(7, 0), 7, 15, 3, 15, 0, GATE(7, 0)},
     BALANCE_FITS,
     0},
    {"added, gate told after",
     {true, GATE(7, 0), GATE(7, 0), 7, 15, 3, 15, 0, {7, 12, 15, 0}},
     BALANCE_FITS,
     0},
    {"added after the ledger was read",
     {true, GATE(7, 0), GATE(7, 0), 7, 10, 3, 10, 0, {7, 12, 15, 0}},
     BALANCE_FITS,
     0},
    {"units without their total",
     {true, GATE(7, 0), GATE(12, 0), 7, 15, 3, 15, 0, GATE(12, 0)},
     BALANCE_TOO_MANY,
     5},
    {"a total without its units",
     {true, {7, 7, 15, 0}, {7, 7, 15, 0}, 7, 15, 3, 15, 0, {7, 7, 15, 0}},
     BALANCE_TOO_FEW,
     5},
    /* Stock taken back: the gate first; no total falls. */
    {"taken from the gate",
     {false, GATE(0, 0), GATE(5, 0), 7, 10, 3, 10, 0, GATE(5, 0)},
     BALANCE_FITS,
     0},
    {"taken from both",
     {true, GATE(5, 0), GATE(5, 0), 7, 8, 3, 10, 0, GATE(5, 0)},
     BALANCE_FITS,
     0},
    {"taken from the ledger alone",
     {true, GATE(7, 0), GATE(7, 0), 7, 8, 3, 10, 0, GATE(7, 0)},
     BALANCE_TOO_MANY,
     2},
    /* Fields that are gone sell nothing. */
    {"no units",
     {true, {7, -1, 10, 0}, {7, -1, 10, 0}, 7, 10, 3, 10, 0, {7, -1, 10, 0}},
     BALANCE_TOO_FEW,
     7},
    {"no total",
     {true, {7, 7, -1, 0}, {7, 7, -1, 0}, 7, 10, 3, 10, 0, {7, 7, -1, 0}},
     BALANCE_TOO_FEW,
     7},
    {"an earlier look without units tells nothing",
     {true, {7, -1, 10, 0}, GATE(5, 0), 7, 10, 3, 10, 0, GATE(5, 0)},
     BALANCE_FITS,
     0},
    /* Epochs. */
    {"closed before",
     {true, GATE(5, 0), {0, 5, 10, 0}, 7, 10, 3, 10, 0, GATE(5, 0)},
     BALANCE_UNKNOWN,
     0},
    {"closed after",
     {true, GATE(5, 0), GATE(5, 0), 7, 10, 3, 10, 0, {0, 5, 10, 0}},
     BALANCE_UNKNOWN,
     0},
    {"rebuilt between",
     {true, GATE(5, 0), GATE(5, 0), 8, 10, 3, 10, 0, {8, 7, 10, 0}},
     BALANCE_UNKNOWN,
     0},
    {"rebuilt after the ledger was read",
     {true, GATE(5, 0), GATE(5, 0), 7, 10, 3, 10, 0, {8, 7, 10, 0}},
     BALANCE_UNKNOWN,
     0},
    {"no epoch at all",
     {true, {0}, {0, 9, 10, 0}, 0, 10, 3, 10, 0, {0, 9, 10, 0}},
     BALANCE_UNKNOWN,
     0},
    {"the settled look is of an earlier epoch",
     {true, {6, 5, 10, 0}, GATE(5, 0), 7, 10, 3, 10, 0, GATE(5, 0)},
     BALANCE_FITS,
     0},
};

static void test_table(void **state)
{
    for (unsigned i = 0; i < COUNT(table); i++) {
        int64_t off = -1;
        enum balance_verdict verdict = balance_judge(&table[i].b, &off);
        if (verdict != table[i].verdict || off != table[i].off)
            fail_msg("%s: verdict %d, off by %lld", table[i].name, verdict, (long long)off);
    }
}

/* --- any order of effects ------------------------------------------------------------------------ */

enum { STEPS = 60, UNITS = 8, ROUNDS = 20000 };

/* One shard, one item: both stores and what is between them. */
struct world {
    int64_t left, gate_added, back;            /* gate */
    int64_t allocated, held, added;            /* ledger */
    int64_t reserved, committed, untold, told; /* in the log; the same, committed; outbox */
    int64_t cleared;                           /* log entries ever gone */
    int64_t logged;                            /* and ever written */
};

static uint32_t next_random(uint32_t *seed)
{
    *seed = *seed * 1664525 + 1013904223;
    return *seed >> 16;
}

/* One effect, in an order that the protocol allows; entries leave the log in the order of writing. */
static void happen(struct world *w, unsigned what)
{
    if (what == 0 && w->left > 0) { /* reserve */
        w->left--;
        w->reserved++;
        w->logged++;
    } else if (what == 1 && w->reserved > w->committed) { /* commit */
        w->held++;
        w->committed++;
    } else if (what == 2 && w->committed > 0) { /* the entry goes */
        w->reserved--;
        w->committed--;
        w->cleared++;
    } else if (what == 3 && w->reserved > 0 && w->committed == 0) { /* a loser gives back */
        w->left++;
        w->back++;
        w->reserved--;
        w->cleared++;
    } else if (what == 4 && w->held > 0) { /* cancel */
        w->held--;
        w->untold++;
    } else if (what == 5 && w->untold > 0) { /* the gate is told */
        w->left++;
        w->back++;
        w->untold--;
        w->told++;
    } else if (what == 6 && w->told > 0) { /* the row goes */
        w->told--;
    } else if (what == 7) { /* stock is added */
        w->allocated++;
        w->added++;
    } else if (what == 8) { /* the gate is told of it */
        w->left += w->added - w->gate_added;
        w->gate_added = w->added;
    }
}

/* The rest of what was begun. */
static void settle(struct world *w)
{
    while (w->reserved > w->committed)
        happen(w, 1);
    while (w->committed > 0)
        happen(w, 2);
    while (w->untold > 0)
        happen(w, 5);
    while (w->told > 0)
        happen(w, 6);
}

static struct balance_gate gate_of(const struct world *w, int64_t tampered)
{
    return (struct balance_gate){1, w->left + tampered, w->gate_added, w->back};
}

/* Whatever happens between the looks, an order of effects that the protocol allows is never called wrong. */
static void test_no_order_of_effects_looks_wrong(void **state)
{
    uint32_t seed = 3;
    int64_t off;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct world w = {.left = UNITS, .gate_added = UNITS, .allocated = UNITS, .added = UNITS};
        struct balance b = {0};
        unsigned at[4]; /* when: an early look, before, ledger, after */
        int64_t upto = 0;
        for (unsigned i = 0; i < 4; i++)
            at[i] = (i ? at[i - 1] : 0) + next_random(&seed) % (STEPS / 4);
        for (unsigned step = 0; step < STEPS; step++) {
            if (step == at[0]) {
                b.settled = gate_of(&w, 0);
                upto = w.logged;
            }
            if (step == at[1]) {
                b.before = gate_of(&w, 0);
                b.has_settled = w.cleared >= upto;
            }
            if (step == at[2]) {
                b.epoch = 1;
                b.allocated = w.allocated;
                b.held = w.held;
                b.added = w.added;
                b.untold = w.untold + w.told;
            }
            if (step == at[3])
                b.after = gate_of(&w, 0);
            happen(&w, next_random(&seed) % 9);
        }
        enum balance_verdict verdict = balance_judge(&b, &off);
        if (verdict != BALANCE_FITS)
            fail_msg("round %u: verdict %d, off by %lld", round, verdict, (long long)off);
    }
}

/* Once quiet, a single unit is seen, either way, whatever happened before. */
static void test_one_unit_is_seen_once_quiet(void **state)
{
    uint32_t seed = 4;
    for (unsigned round = 0; round < ROUNDS; round++) {
        struct world w = {.left = UNITS, .gate_added = UNITS, .allocated = UNITS, .added = UNITS};
        for (unsigned step = 0; step < STEPS; step++)
            happen(&w, next_random(&seed) % 9);
        settle(&w);
        for (int tampered = -1; tampered <= 1; tampered++) {
            int64_t off;
            const struct balance_gate g = gate_of(&w, tampered);
            const struct balance b = {true, g, g, 1, w.allocated, w.held, w.added, 0, g};
            if (g.left < 0)
                continue;
            assert_int_equal(balance_judge(&b, &off), tampered < 0   ? BALANCE_TOO_FEW
                                                      : tampered > 0 ? BALANCE_TOO_MANY
                                                                     : BALANCE_FITS);
            assert_int_equal(off, tampered != 0);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_table),
        cmocka_unit_test(test_no_order_of_effects_looks_wrong),
        cmocka_unit_test(test_one_unit_is_seen_once_quiet),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
