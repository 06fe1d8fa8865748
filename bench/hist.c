#include "hist.h"

#include <assert.h>

_Static_assert(HIST_LINEAR_BITS < HIST_TOP_BITS, "there is something above the linear part");

static unsigned slot_of(uint64_t us)
{
    if (us < 2 * HIST_HALF) {
        return (unsigned)us;
    }
    unsigned shift = (unsigned)(63 - __builtin_clzll(us)) - (HIST_LINEAR_BITS - 1);
    return shift * HIST_HALF + (unsigned)(us >> shift);
}

int64_t hist_slot_end(unsigned slot)
{
    if (slot < 2 * HIST_HALF) {
        return slot;
    }
    unsigned shift = slot / HIST_HALF - 1;
    uint64_t top = slot - shift * HIST_HALF;
    return (int64_t)(((top + 1) << shift) - 1);
}

void hist_record_n(struct hist *h, int64_t us, uint64_t n)
{
    if (n == 0) {
        return;
    }
    if (us < 0) {
        us = 0;
    }
    if (us > h->max_us) {
        h->max_us = us;
    }
    unsigned slot = slot_of((uint64_t)(us > HIST_MAX_US ? HIST_MAX_US : us));
    assert(slot < HIST_SLOTS);
    h->counts[slot] += n;
    h->n += n;
    h->sum_us += (double)us * (double)n;
}

void hist_record(struct hist *h, int64_t us)
{
    hist_record_n(h, us, 1);
}

int64_t hist_quantile(const struct hist *h, uint32_t per_100k)
{
    assert(per_100k <= 100000);
    /* The rank is rounded up: p99 of 10 values is the tenth. Split so that it cannot overflow. */
    uint64_t whole = h->n / 100000 * per_100k;
    uint64_t rest = h->n % 100000 * per_100k;
    uint64_t rank = whole + (rest + 99999) / 100000;
    uint64_t seen = 0;
    for (unsigned slot = 0; h->n > 0 && slot < HIST_SLOTS; slot++) {
        seen += h->counts[slot];
        if (seen > 0 && seen >= rank) {
            int64_t end = slot == HIST_SLOTS - 1 ? h->max_us : hist_slot_end(slot);
            return end < h->max_us ? end : h->max_us;
        }
    }
    return h->max_us;
}

void hist_add(struct hist *to, const struct hist *from)
{
    for (unsigned slot = 0; from->n > 0 && slot < HIST_SLOTS; slot++) {
        to->counts[slot] += from->counts[slot];
    }
    to->n += from->n;
    to->sum_us += from->sum_us;
    to->max_us = from->max_us > to->max_us ? from->max_us : to->max_us;
}

double hist_mean(const struct hist *h)
{
    return h->n > 0 ? h->sum_us / (double)h->n : 0;
}
