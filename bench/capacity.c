#include "capacity.h"

#include <assert.h>
#include <stddef.h>

/* From a seed that is met the way up is long only if closed load could not show what is possible. */
static const double growth = 1.25;

/* What one step of the search is to do next. */
struct next {
    enum capacity_phase phase;
    double rate;
};

/* The highest rate met, or the lowest missed, among the probes that stand; NULL: none. */
static const struct capacity_probe *border(const struct capacity *c, bool met)
{
    const struct capacity_probe *best = NULL;
    for (unsigned i = 0; i < c->n; i++) {
        const struct capacity_probe *p = &c->probes[i];
        if (p->phase == CAPACITY_SEED || !p->stands || p->met != met) {
            continue;
        }
        bool better = !best || (met ? p->rate > best->rate : p->rate < best->rate);
        /* Of two at one rate the confirming one says more. */
        if (better || (p->rate == best->rate && p->phase == CAPACITY_CONFIRM)) {
            best = p;
        }
    }
    return best;
}

/* A rate that was met speaks against earlier misses at or below it, and one that was missed against
 * earlier successes at or above: load is what decides, so the later and longer look is believed. */
static void record(struct capacity *c, enum capacity_phase phase, double rate, bool met)
{
    for (unsigned i = 0; i < c->n; i++) {
        struct capacity_probe *p = &c->probes[i];
        if (phase != CAPACITY_SEED && p->met != met && (met ? p->rate <= rate : p->rate >= rate)) {
            p->stands = false;
        }
    }
    c->probes[c->n++] = (struct capacity_probe){phase, rate, met, true};
}

static void look_at_ends(struct capacity *c)
{
    const struct capacity_probe *low = border(c, true);
    const struct capacity_probe *high = border(c, false);
    c->met = low ? low->rate : 0;
    c->missed = high ? high->rate : 0;
}

/* False: it is over, and c->end says how. */
static bool plan_next(const struct capacity_conf *conf, struct capacity *c, struct next *next)
{
    const struct capacity_probe *low = border(c, true);
    const struct capacity_probe *high = border(c, false);
    if (!high && low && low->rate >= conf->rate_max) {
        c->end = CAPACITY_ALWAYS_MET;
        return false;
    }
    if (!low && high && high->rate <= conf->rate_min) {
        c->end = CAPACITY_NEVER_MET;
        return false;
    }
    next->phase = CAPACITY_SEARCH;
    if (!low && !high) {
        next->rate = c->probes[0].rate;
    } else if (!high) {
        next->rate = low->rate * growth;
    } else if (!low) {
        next->rate = high->rate / 2;
    } else if (high->rate - low->rate > conf->tolerance * high->rate) {
        next->rate = (low->rate + high->rate) / 2;
    } else if (low->phase != CAPACITY_CONFIRM || high->phase != CAPACITY_CONFIRM) {
        next->phase = CAPACITY_CONFIRM;
        next->rate = low->phase != CAPACITY_CONFIRM ? low->rate : high->rate;
    } else {
        c->end = CAPACITY_KNEE;
        return false;
    }
    next->rate = next->rate < conf->rate_min   ? conf->rate_min
                 : next->rate > conf->rate_max ? conf->rate_max
                                               : next->rate;
    return true;
}

void capacity_search(const struct capacity_conf *conf, struct capacity *out)
{
    struct capacity *c = out;
    struct next next = {CAPACITY_SEED, 0};
    assert(conf->probes_max > 0 && conf->probes_max <= CAPACITY_PROBES_MAX);
    assert(conf->rate_min > 0 && conf->rate_min <= conf->rate_max && conf->tolerance > 0);
    *c = (struct capacity){.end = CAPACITY_UNSETTLED};
    do {
        double rate = next.rate;
        enum capacity_found found = conf->probe(conf->arg, next.phase, &rate);
        if (found == CAPACITY_GAVE_UP) {
            c->end = CAPACITY_ENDED;
            break;
        }
        record(c, next.phase, rate, found == CAPACITY_MET);
    } while (plan_next(conf, c, &next) && c->n < conf->probes_max);
    look_at_ends(c);
}
