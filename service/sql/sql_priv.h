/* sql_priv.h - what the files of a MariaDB connection share; nobody else includes it.
 *
 *   sql.c        connection, session, transactions
 *   sql_error.c  error numbers and what they mean to a caller
 *   sql_stmt.c   prepared statements, arguments, rows
 *   sql_bulk.c   array binding
 */
#pragma once

#include "sql/sql.h"

#include <mysql.h>

enum {
    SQL_STATEMENTS_MAX = 128,    /* cached per connection; more run uncached */
    SQL_SLOTS = 256,             /* power of two, so that the table is at most half full */
    SQL_COLS_MAX = 64,           /* columns of a result */
    SQL_ARGS_MAX = 16384,        /* parameters of a statement */
    SQL_VALUE_MAX = 1024 * 1024, /* bytes of one result value */
    SQL_ERROR_MAX = 256,         /* bytes of an error text that are kept */
};
_Static_assert(SQL_SLOTS >= 2 * SQL_STATEMENTS_MAX, "probing must end");

/* Where libmariadb puts one column of the current row. */
struct sql_cell {
    int64_t i;
    char *buf;
    size_t cap; /* bytes at buf */
    unsigned long len;
    my_bool null;
};

struct sql_slot {
    const char *text; /* the literal; NULL: free */
    MYSQL_STMT *stmt;
};

/* A transaction in which something failed is broken until sql_rollback: the server may have ended
 * it already, and a further statement would commit by itself. */
enum sql_txn { SQL_TXN_NONE, SQL_TXN_OPEN, SQL_TXN_BROKEN };

struct sql {
    uint32_t magic;
    struct sql_conf conf; /* strings borrowed */
    struct log *log;
    MYSQL *my; /* NULL: not connected */
    enum sql_txn txn;
    bool unasked;     /* autocommit is off */
    bool in_row;      /* a row callback runs; it must not use this connection */
    bool down_logged; /* one line per outage, not per try */
    unsigned error_no;
    char error[SQL_ERROR_MAX];
    unsigned nslots; /* in use */
    struct sql_slot slots[SQL_SLOTS];
    struct sql_cell cells[SQL_COLS_MAX];
    MYSQL_BIND out[SQL_COLS_MAX];
    MYSQL_BIND *in;  /* parameters; grows to the longest list */
    size_t in_cap;   /* elements */
    char *bulk;      /* gathered columns; grows to the largest group */
    size_t bulk_cap; /* bytes */
};

/* sql.c. Start of every call: forgets the last error, refuses inside a broken transaction,
 * connects. */
STATUS_MUSTCHECK
enum status sql_ready(struct sql *s);
/* Closes without a word to the server about open work: it rolls that back. */
void sql_disconnect(struct sql *s);

/* sql_error.c. Keeps and logs the last error of stmt, or of the connection when stmt is NULL, and
 * says what it means: never ST_OK. Breaks the transaction; closes the handle when the connection is
 * lost, and with it every cached statement. text names the statement in the log. */
STATUS_MUSTCHECK
enum status sql_fail(struct sql *s, MYSQL_STMT *stmt, struct str text);
/* The same for a mistake found on this side; error is a literal. Always ST_INTERNAL. */
STATUS_MUSTCHECK
enum status sql_fail_local(struct sql *s, const char *error, struct str text);
void sql_keep_error(struct sql *s, unsigned number, const char *error);

/* sql_stmt.c. Prepares text or finds it prepared. *stmt belongs to the cache, unless *cached is
 * false: then the caller gives it to sql_stmt_done. */
STATUS_MUSTCHECK
enum status sql_stmt_get(struct sql *s, const char *text, MYSQL_STMT **stmt, bool *cached);
void sql_stmt_done(MYSQL_STMT *stmt, bool cached);
/* Executes stmt, whose parameters are bound, and hands out its rows. */
STATUS_MUSTCHECK
enum status sql_stmt_run(struct sql *s, MYSQL_STMT *stmt, struct str text, sql_row_fn row,
                         void *arg, uint64_t *affected);
/* Frees all cached statements. The connection is closed already. */
void sql_stmt_forget(struct sql *s);
