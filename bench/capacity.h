/* capacity.h - finds the highest rate of arrivals at which a service keeps what it owes.
 *
 * Closed load first: what it completes, its own slowness holding the crowd back, is where the search
 * starts. Then open load, upwards until a rate is missed or downwards until one is met, and by
 * halves between the two until they are within the tolerance. Last both ends are tried for twice as
 * long: the met one, since a short run flatters, and the missed one, since a hiccup of the machine is
 * no limit. An end that turns out to be wrong is given up, and the search goes on from what is left.
 *
 * Knows no service: the caller runs a probe at a rate and says what came of it, drained before the
 * next. Pure but for that; one thread.
 */
#pragma once

#include <stdbool.h>

enum { CAPACITY_PROBES_MAX = 40 };

enum capacity_phase { CAPACITY_SEED, CAPACITY_SEARCH, CAPACITY_CONFIRM };

enum capacity_found { CAPACITY_MET, CAPACITY_MISSED, CAPACITY_GAVE_UP };

struct capacity_probe {
    enum capacity_phase phase;
    double rate; /* arrivals a second; CAPACITY_SEED: those that were completed */
    bool met;
    bool stands; /* no later probe contradicted it */
};

/* Runs one probe. CAPACITY_SEED: closed, and *rate is to be set to what was completed a second; else
 * open, at *rate, and twice as long if it is CAPACITY_CONFIRM. CAPACITY_GAVE_UP ends the search. */
typedef enum capacity_found (*capacity_probe_fn)(void *arg, enum capacity_phase phase,
                                                 double *rate);

struct capacity_conf {
    double tolerance; /* share by which the ends may differ */
    double rate_min, rate_max;
    unsigned probes_max; /* up to CAPACITY_PROBES_MAX, the seed included */
    capacity_probe_fn probe;
    void *arg;
};

enum capacity_end {
    CAPACITY_KNEE,      /* both ends confirmed */
    CAPACITY_NEVER_MET, /* not even at rate_min */
    CAPACITY_ALWAYS_MET /* even at rate_max */,
    CAPACITY_UNSETTLED, /* probes_max were not enough: the machine is too noisy, or the limit too wide */
    CAPACITY_ENDED, /* a probe gave up */
};

struct capacity {
    enum capacity_end end;
    double met, missed; /* highest rate met and lowest missed above it; 0: none */
    struct capacity_probe probes[CAPACITY_PROBES_MAX];
    unsigned n;
};

void capacity_search(const struct capacity_conf *conf, struct capacity *out);
