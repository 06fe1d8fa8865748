/* merge_command.h - `snapup-bench merge A.hlog B.hlog [-o FILE]`: several generators' runs as one.
 *
 * Adds up the histograms of each tag over all files and intervals, which percentiles cannot be.
 */
#pragma once

#include "options.h"

/* argv[0] is the subcommand's name. */
enum bench_exit merge_main(int argc, char **argv);
