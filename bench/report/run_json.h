/* run_json.h - a run as it was written: read from a file, and asked for what may be missing.
 *
 * Trusts nothing. A member is named by its path, with '/' between names ("latency/all/p99.9"); what
 * is missing or of another type is NULL or NAN. Everything returned is borrowed from the run.
 */
#pragma once

#include "base/status.h"

#include <jansson.h>

#include <stddef.h>

/* The run in the file. ST_OK: *run is owned by the caller. Otherwise error says why. */
STATUS_MUSTCHECK
enum status run_read(const char *file, json_t **run, char *error, size_t size);

const json_t *run_at(const json_t *run, const char *path);
double run_number(const json_t *run, const char *path);
/* "" if it is no string. */
const char *run_text(const json_t *run, const char *path);
/* A number, for the element of an array. NAN if it is none. */
double run_value(const json_t *value);
