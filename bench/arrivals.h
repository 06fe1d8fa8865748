/* arrivals.h - when shoppers come, planned before the clock starts.
 *
 * A plan is a row of segments joined by `then`:
 *
 *   closed                                  no plan: whoever's connection is free takes the next
 *   constant 2000/s for 30s                 evenly spaced
 *   ramp 0/s to 5000/s for 30s              a rate that grows or falls evenly
 *   poisson 2000/s for 30s                  by chance, as independent people come
 *   spike 50000                             so many at once
 *   steps 1000/s 2000/s 4000/s for 10s each
 *   pause 5s
 *   replay FILE                             one offset in seconds a line, ascending; # comments
 *
 * The n-th arrival of a segment follows from a formula, so that nothing drifts, however long it is;
 * chance follows from the seed. Immutable once parsed; cursors are of one thread each.
 */
#pragma once

#include "base/status.h"

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { ARRIVALS_MAX = 100000000, ARRIVALS_SEGMENTS_MAX = 64 };

struct arrivals;

/* Where one taker of arrivals stands. Filled by arrivals_begin. */
struct arrivals_cursor {
    const struct arrivals *arrivals;
    uint64_t at, step; /* the next arrival of this taker, and how many takers there are */
    uint64_t seen;     /* poisson: arrivals drawn so far in this segment */
    uint64_t chance;   /* poisson: state of the generator */
    double drawn_us;   /* poisson: when the last one drawn comes, within its segment */
    unsigned segment;
};

/* ST_OK; ST_INVALID_REQUEST or ST_INTERNAL: error says why. */
STATUS_MUSTCHECK
enum status arrivals_parse(const char *text, uint64_t seed, struct arrivals **out, char *error,
                           size_t size);
void arrivals_destroy(struct arrivals **a);
/* Closed load: there is no plan. */
bool arrivals_closed(const struct arrivals *a);
uint64_t arrivals_count(const struct arrivals *a);
/* From the start to the end of the last segment. */
int64_t arrivals_length_us(const struct arrivals *a);
/* A thread takes arrivals first, first + step, first + 2 step and so on. */
void arrivals_begin(const struct arrivals *a, uint64_t first, uint64_t step,
                    struct arrivals_cursor *c);
/* The offset of the next arrival from the start; false at the end. */
bool arrivals_next(struct arrivals_cursor *c, int64_t *at_us);
