/* capacity_command.h - `snapup-bench capacity`: how many shoppers a second a service bears.
 *
 * The search of capacity.h with whole runs as probes: each on a sale of its own with enough for
 * everybody, proved like any other run, and begun only when nothing waits in the service. One thread.
 */
#pragma once

#include "options.h"

/* argv[0] is "capacity". BENCH_KEPT: found; BENCH_THRESHOLD: the SLO is not met at any rate;
 * BENCH_INVALID: it could not be told; else what the probe that ended it came to. */
enum bench_exit capacity_main(int argc, char **argv);
