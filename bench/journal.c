#include "journal.h"

#include <assert.h>
#include <stdlib.h>

enum status journal_init(struct journal *j, uint32_t shoppers)
{
    struct journal_entry *entries = calloc(shoppers, sizeof(*entries));
    if (!entries) {
        return ST_INTERNAL;
    }
    *j = (struct journal){entries, shoppers};
    return ST_OK;
}

void journal_fini(struct journal *j)
{
    free(j->shoppers);
    *j = (struct journal){0};
}

/* Nobody's entry changes twice: a shopper has one try. */
static struct journal_entry *entry_told(struct journal *j, uint32_t shopper, enum told now)
{
    assert(shopper < j->n);
    struct journal_entry *e = &j->shoppers[shopper];
    assert(e->told == now);
    return e;
}

void journal_sent(struct journal *j, uint32_t shopper)
{
    entry_told(j, shopper, TOLD_UNSENT)->told = TOLD_NOTHING;
}

void journal_ack(struct journal *j, uint32_t shopper, const struct uid *order)
{
    struct journal_entry *e = entry_told(j, shopper, TOLD_NOTHING);
    e->told = TOLD_ORDER;
    e->order = *order;
}

void journal_refused(struct journal *j, uint32_t shopper, bool retry)
{
    entry_told(j, shopper, TOLD_NOTHING)->told = retry ? TOLD_RETRY : TOLD_REFUSAL;
}

uint64_t journal_count(const struct journal *j, enum told told)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < j->n; i++) {
        n += j->shoppers[i].told == told;
    }
    return n;
}
