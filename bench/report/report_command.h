/* report_command.h - `snapup-bench report`: the page of a run that was written before. */
#pragma once

#include "../options.h"

/* argv[0] is the subcommand's name. BENCH_KEPT: written; BENCH_USAGE; BENCH_SETUP: a file could not
 * be read or written. Says why on standard error. */
enum bench_exit report_command(int argc, char **argv);
