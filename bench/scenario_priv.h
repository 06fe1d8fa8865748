/* scenario_priv.h - what scenario.c and scenario_read.c share. */
#pragma once

#include "scenario.h"

/* Whether [section] has the key. */
bool scenario_sets(const char *section, const char *key);
