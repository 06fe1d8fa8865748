/* sql.h - one blocking MariaDB connection with cached prepared statements.
 *
 * Owns the MYSQL handle; knows no table. One thread at a time. Every call is bounded by the
 * configured time-out. Sessions run READ COMMITTED, autocommit on, strict mode, utf8mb4, time zone
 * UTC, reconnect off, CLIENT_FOUND_ROWS off (affected counts changed rows),
 * innodb_lock_wait_timeout 3 s and idle_write_transaction_timeout 5 s (rule R12). After ST_UNKNOWN
 * the handle is closed; the next call connects again.
 */
#pragma once

#include "base/log.h"
#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

struct sql_conf {
    const char *address; /* "unix:/path" or "host:port" */
    const char *user, *password, *database;
    int64_t timeout_ms; /* to connect, and for each answer; libmariadb rounds up to seconds */
};

struct sql; /* a connection */

struct sql_val {
    enum { SQL_T_NULL, SQL_T_INT, SQL_T_BYTES } type;
    int64_t i;    /* SQL_T_INT */
    struct str s; /* SQL_T_BYTES; in rows: valid until the row callback returns */
};

/* MariaDB's wall clock inside a statement, in milliseconds: leases go by no other. */
#define SQL_NOW_MS "CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS INTEGER)"

#define SQL_NULL            ((struct sql_val){SQL_T_NULL, 0, {0}})
#define SQL_INT(v)          ((struct sql_val){SQL_T_INT, (int64_t)(v), {0}})
#define SQL_STR(v)          ((struct sql_val){SQL_T_BYTES, 0, (v)})
#define SQL_BYTES(ptr, len) ((struct sql_val){SQL_T_BYTES, 0, {(const char *)(ptr), (len)}})
#define SQL_Z(z)            ((struct sql_val){SQL_T_BYTES, 0, str_from(z)})

/* Called once per row; return false to skip the rest. Integer columns arrive as SQL_T_INT (unsigned
 * BIGINT past int64 is not used in our schema), all others as SQL_T_BYTES. */
typedef bool (*sql_row_fn)(void *arg, const struct sql_val *cols, unsigned n);

/* Connection object; connects at first use. conf's strings are borrowed for its life. log may be
 * NULL. ST_OK, ST_INVALID_REQUEST (address or time-out makes no sense), ST_INTERNAL (no memory). */
STATUS_MUSTCHECK
enum status sql_create(const struct sql_conf *conf, struct log *log, struct sql **out);
void sql_destroy(struct sql **s);
/* Autocommit off from the next connecting on: sql_begin then costs no round trip. For a connection
 * that does nothing outside a transaction; before its first use. */
void sql_begin_unasked(struct sql *s);

/* Connects now if not connected. ST_OK or ST_UNAVAILABLE. */
STATUS_MUSTCHECK
enum status sql_connect(struct sql *s);

/* Runs one prepared statement; `text` must be a literal (statements are cached by pointer, at most
 * 128). args fill its ? in order. row may be NULL. affected may be NULL. ST_OK; ST_DUPLICATE
 * (1062); ST_CONFLICT (1205, 1213, 1020: caller must roll back); ST_UNKNOWN (connection lost; a
 * write's outcome is not known); ST_UNAVAILABLE (could not connect: nothing was sent);
 * ST_OVERLOADED (read-only, full, too many connections and the like: nothing was done); ST_INTERNAL
 * (anything else, logged with its error number). Inside a transaction, every failure must be
 * followed by sql_rollback: until then further statements are refused (ST_INTERNAL), and sql_commit
 * rolls back. For a statement that returns rows, affected counts those read. A row callback must
 * not use this connection. Values over 1 MiB, results over 64 columns: ST_INTERNAL. */
STATUS_MUSTCHECK
enum status sql_run(struct sql *s, const char *text, const struct sql_val *args, unsigned n,
                    sql_row_fn row, void *arg, uint64_t *affected);
/* The same for text built at run time (a list of ids): not cached. */
STATUS_MUSTCHECK
enum status sql_run_once(struct sql *s, struct str text, const struct sql_val *args, unsigned n,
                         sql_row_fn row, void *arg, uint64_t *affected);
/* One text-protocol statement without parameters or rows (DDL of migrations). */
STATUS_MUSTCHECK
enum status sql_exec(struct sql *s, struct str text);

STATUS_MUSTCHECK
enum status sql_begin(struct sql *s);
/* START TRANSACTION WITH CONSISTENT SNAPSHOT at REPEATABLE READ, read only. End with sql_rollback.
 */
STATUS_MUSTCHECK
enum status sql_begin_snapshot(struct sql *s);
/* ST_UNKNOWN: the answer was lost (rule R13). Other failures: rolled back. */
STATUS_MUSTCHECK
enum status sql_commit(struct sql *s);
/* Never fails for the caller: a connection that cannot roll back is closed. */
void sql_rollback(struct sql *s);

/* Last error number and text of the server, for logs and messages. */
unsigned sql_errno(const struct sql *s);
const char *sql_error(const struct sql *s);

enum { SQL_BULK_ROWS_MAX = 16384 };

/* Array binding (COM_STMT_BULK_EXECUTE): the statement runs once per row, in one round trip. Column
 * c of row r is at cols[c].base + r * cols[c].stride. */
struct sql_col {
    enum { SQL_C_U32, SQL_C_I64, SQL_C_FIXED, SQL_C_VAR } type;
    const void *base; /* SQL_C_VAR: array of struct str inside the rows; others: the value */
    size_t stride;    /* bytes from one row to the next */
    size_t size;      /* SQL_C_FIXED: bytes of each value */
};
/* rows of RETURNING, if the statement has it, come through row: of the rows that INSERT IGNORE
 * inserted, in their order. 1 <= nrows <= SQL_BULK_ROWS_MAX. Results as sql_run. */
STATUS_MUSTCHECK
enum status sql_run_bulk(struct sql *s, const char *text, const struct sql_col *cols,
                         unsigned ncols, unsigned nrows, sql_row_fn row, void *arg,
                         uint64_t *affected);
