/* migrate.h - brings the schema up to date from numbered files.
 *
 * Files are `NNNN_name.sql` in one folder, numbered from 0001 without gaps; statements end in `;`
 * at the end of a line. Each is applied once, in order, and recorded in schema_migrations with its
 * SHA-256. A recorded file whose checksum differs, a gap, or a recorded file that is missing is
 * refused. Several instances may start at once: a lease row (no GET_LOCK, so that distributed
 * databases work) lets one apply and the others wait; the lease is renewed before each file and
 * lapses by MariaDB's clock.
 */
#pragma once

#include "base/status.h"
#include "sql/sql.h"

#include <stddef.h>

/* ST_OK when everything in dir is applied. Otherwise error (size bytes) says what to do. *applied
 * gets the number of files applied now; may be NULL. Waits at most 60 s for another instance. */
STATUS_MUSTCHECK
enum status migrate_run(struct sql *s, const char *dir, struct log *log, unsigned *applied,
                        char *error, size_t size);
