/* hdr_code.h - a histogram in HdrHistogram's compressed V2 encoding.
 *
 * Header (cookie, length, offset, digits, lowest and highest value, ratio; big-endian), then counters
 * as ZigZag LEB128 where a negative one stands for so many zeros; all of it deflated behind a header
 * of its own. The encoding is that of HdrHistogram's AbstractHistogram (encodeIntoByteBuffer and
 * encodeIntoCompressedByteBuffer). Pure; any thread.
 */
#pragma once

#include "hist.h"

#include "base/status.h"

#include <stddef.h>

/* *out is the caller's to free. ST_OK or ST_INTERNAL (no memory). */
STATUS_MUSTCHECK
enum status hdr_encode(const struct hist *h, uint8_t **out, size_t *n);
/* Adds to *h. NULL, or what is wrong with the bytes. */
const char *hdr_decode(const uint8_t *bytes, size_t n, struct hist *h);
