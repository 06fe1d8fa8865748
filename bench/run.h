/* run.h - one run from beginning to end: sale, load, proof, report.
 *
 * Blocks until it is over. SIGINT ends it early (and it is reported), SIGUSR1 lifts the plan of
 * arrivals. One at a time in a process.
 */
#pragma once

#include "options.h"

#include <jansson.h>

/* Runs the scenario. *report is the run as JSON (report.schema.json), owned by the caller; NULL when
 * it could not be set up, which is told on standard error. */
enum bench_exit run_once(const struct options *o, const struct scenario *s, json_t **report);
