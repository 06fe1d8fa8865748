/* hdr_log.h - histograms as HdrHistogram logs, so that runs of several generators add up.
 *
 * Format 1.3 of the log, with histograms in the compressed V2 encoding: what HdrHistogram's own
 * libraries and plotters read and write. Values are microseconds. hist.h's counters lie exactly as
 * HdrHistogram's with three digits from 1 on, so what we write is exact; logs of others, of up to
 * five digits, are read to hist.h's precision. Nothing read is trusted. One thread.
 */
#pragma once

#include "hist.h"

#include "base/status.h"

#include <stddef.h>
#include <stdio.h>

enum { HDR_TAG_MAX = 31 };

/* The lines that every log begins with. started_ms: of the wall clock. */
void hdr_log_begin(FILE *out, int64_t started_ms);
/* One histogram: those of the interval that began start_s after the log's start. tag: letters, digits
 * and what is neither comma nor blank; at most HDR_TAG_MAX. ST_OK or ST_INTERNAL (no memory). */
STATUS_MUSTCHECK
enum status hdr_log_write(FILE *out, const char *tag, double start_s, double length_s,
                          const struct hist *h);

struct hdr_log_entry {
    char tag[HDR_TAG_MAX + 1]; /* empty: none */
    double start_s, length_s;
    const struct hist *hist; /* the reader's */
};

typedef enum status (*hdr_log_fn)(void *arg, const struct hdr_log_entry *entry);

/* Calls fn for each entry, until it does not return ST_OK. ST_OK; ST_INVALID_REQUEST: not such a log,
 * error has the line; ST_INTERNAL: no memory; else what fn returned. */
STATUS_MUSTCHECK
enum status hdr_log_read(FILE *in, hdr_log_fn fn, void *arg, char *error, size_t size);
