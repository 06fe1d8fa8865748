/* hist.h - latency histogram, log-linear, three significant digits.
 *
 * The idea of HdrHistogram: below 2,048 every microsecond has a counter of its own, above that each
 * doubling shares 1,024 counters, so a value is never misplaced by more than 0.1 %. Recording is a
 * few instructions and never allocates. Values past HIST_MAX_US are counted in the last counter,
 * but `max` stays exact. One thread.
 */
#pragma once

#include <stdint.h>

enum {
    HIST_LINEAR_BITS = 11,                   /* exact below 2^11 us */
    HIST_TOP_BITS = 32,                      /* counted apart below 2^32 us, 71 minutes */
    HIST_HALF = 1 << (HIST_LINEAR_BITS - 1), /* counters of one doubling */
    HIST_SLOTS = 2 * HIST_HALF + (HIST_TOP_BITS - HIST_LINEAR_BITS) * HIST_HALF,
};

#define HIST_MAX_US ((INT64_C(1) << HIST_TOP_BITS) - 1)

/* Valid when zeroed. */
struct hist {
    uint64_t counts[HIST_SLOTS]; /* values per counter */
    uint64_t n;                  /* values recorded */
    int64_t max_us;              /* largest, exact */
    double sum_us;               /* of all values */
};

/* Counts one duration; negative ones count as 0. */
void hist_record(struct hist *h, int64_t us);
/* The same one n times. */
void hist_record_n(struct hist *h, int64_t us, uint64_t n);
/* Largest value that shares counter slot < HIST_SLOTS. */
int64_t hist_slot_end(unsigned slot);
/* The duration that `per_100k` of 100,000 values do not exceed (50000 is the median, 99900 p99.9):
 * the upper end of its counter, never above the largest value seen. 0 when nothing was recorded. */
int64_t hist_quantile(const struct hist *h, uint32_t per_100k);
/* Counts all of another's values, too. */
void hist_add(struct hist *to, const struct hist *from);
/* 0 when nothing was recorded. */
double hist_mean(const struct hist *h);
