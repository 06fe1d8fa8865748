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

static struct journal_entry *entry_of(const struct journal *j, uint32_t shopper)
{
    assert(shopper < j->n);
    return &j->shoppers[shopper];
}

bool journal_has_order(const struct journal *j, uint32_t shopper)
{
    uint8_t told = entry_of(j, shopper)->told;
    return told == TOLD_ORDER || told == TOLD_QUEUED;
}

void journal_sent(struct journal *j, uint32_t shopper)
{
    struct journal_entry *e = entry_of(j, shopper);
    assert(e->told != TOLD_REFUSAL); /* it was final */
    if (!journal_has_order(j, shopper)) {
        e->told = TOLD_NOTHING;
    }
}

bool journal_ack(struct journal *j, uint32_t shopper, const struct uid *order)
{
    struct journal_entry *e = entry_of(j, shopper);
    assert(e->told != TOLD_UNSENT);
    if (e->told == TOLD_ORDER) {
        e->changed |= !uid_equal(order, &e->order);
        return false;
    }
    e->told = TOLD_ORDER;
    e->order = *order;
    return true;
}

bool journal_queued(struct journal *j, uint32_t shopper, const struct uid *order)
{
    struct journal_entry *e = entry_of(j, shopper);
    bool first = !e->was_queued;
    assert(e->told != TOLD_UNSENT);
    if (e->told == TOLD_ORDER) {
        e->changed |= !uid_equal(order, &e->order);
        return false;
    }
    e->requeued |= e->was_queued && !uid_equal(order, &e->queued);
    e->told = TOLD_QUEUED;
    e->was_queued = true;
    e->queued = *order;
    return first;
}

void journal_refused(struct journal *j, uint32_t shopper, bool retry)
{
    struct journal_entry *e = entry_of(j, shopper);
    if (journal_has_order(j, shopper)) {
        e->denied |= !retry;
        return;
    }
    assert(e->told == TOLD_NOTHING);
    e->told = retry ? TOLD_RETRY : TOLD_REFUSAL;
}

uint64_t journal_count(const struct journal *j, enum told told)
{
    uint64_t n = 0;
    for (uint32_t i = 0; i < j->n; i++) {
        n += j->shoppers[i].told == told;
    }
    return n;
}
