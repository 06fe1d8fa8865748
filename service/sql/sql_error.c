#include "sql/sql_priv.h"

#include <errmsg.h>
#include <mysqld_error.h>
#include <stdio.h>

/* What a number means to a caller. Numbers that are not here: ST_UNKNOWN when libmariadb made them
 * up (the connection's state is anybody's guess), else ST_INTERNAL. */
static const struct {
    unsigned number;
    enum status st;
} meanings[] = {
    {ER_DUP_KEY, ST_DUPLICATE},
    {ER_DUP_ENTRY, ST_DUPLICATE},
    {ER_DUP_ENTRY_WITH_KEY_NAME, ST_DUPLICATE},
    /* Try again from the start of the transaction. */
    {ER_CHECKREAD, ST_CONFLICT},
    {ER_LOCK_WAIT_TIMEOUT, ST_CONFLICT},
    {ER_LOCK_DEADLOCK, ST_CONFLICT},
    {ER_QUERY_INTERRUPTED, ST_CONFLICT},
    {ER_STATEMENT_TIMEOUT, ST_CONFLICT},
    {ER_TABLE_DEF_CHANGED, ST_CONFLICT},
    {ER_NEED_REPREPARE, ST_CONFLICT},
    /* The server cannot now: full, read-only, too many of something, not in its cluster. */
    {ER_DISK_FULL, ST_OVERLOADED},
    {ER_OUTOFMEMORY, ST_OVERLOADED},
    {ER_OUT_OF_SORTMEMORY, ST_OVERLOADED},
    {ER_CON_COUNT_ERROR, ST_OVERLOADED},
    {ER_OUT_OF_RESOURCES, ST_OVERLOADED},
    {ER_UNKNOWN_COM_ERROR, ST_OVERLOADED},
    {ER_RECORD_FILE_FULL, ST_OVERLOADED},
    {ER_CANT_CREATE_THREAD, ST_OVERLOADED},
    {ER_TOO_MANY_USER_CONNECTIONS, ST_OVERLOADED},
    {ER_LOCK_TABLE_FULL, ST_OVERLOADED},
    {ER_USER_LIMIT_REACHED, ST_OVERLOADED},
    {ER_OPTION_PREVENTS_STATEMENT, ST_OVERLOADED},
    {ER_MAX_PREPARED_STMT_COUNT_REACHED, ST_OVERLOADED},
    {ER_READ_ONLY_MODE, ST_OVERLOADED},
    /* The connection is gone or going. */
    {ER_SERVER_SHUTDOWN, ST_UNKNOWN},
    {ER_NEW_ABORTING_CONNECTION, ST_UNKNOWN},
    {ER_NET_PACKET_TOO_LARGE, ST_UNKNOWN},
    {ER_NET_PACKETS_OUT_OF_ORDER, ST_UNKNOWN},
    {ER_NET_UNCOMPRESS_ERROR, ST_UNKNOWN},
    {ER_NET_READ_ERROR, ST_UNKNOWN},
    {ER_NET_READ_INTERRUPTED, ST_UNKNOWN},
    {ER_NET_ERROR_ON_WRITE, ST_UNKNOWN},
    {ER_NET_WRITE_INTERRUPTED, ST_UNKNOWN},
    {ER_CONNECTION_KILLED, ST_UNKNOWN},
    /* Our mistakes, found by libmariadb before it sent anything. */
    {CR_PARAMS_NOT_BOUND, ST_INTERNAL},
    {CR_UNSUPPORTED_PARAM_TYPE, ST_INTERNAL},
    {CR_FUNCTION_NOT_SUPPORTED, ST_INTERNAL},
    {CR_BULK_WITHOUT_PARAMETERS, ST_INTERNAL},
};

static bool from_client(unsigned number)
{
    return (number >= CR_MIN_ERROR && number <= CR_MAX_ERROR) ||
           (number >= CR_EVENT_CREATE_FAILED && number <= CR_MARIADB_LAST_ERROR);
}

static enum status meaning(unsigned number)
{
    for (size_t i = 0; i < sizeof(meanings) / sizeof(meanings[0]); i++)
        if (meanings[i].number == number)
            return meanings[i].st;
    return from_client(number) ? ST_UNKNOWN : ST_INTERNAL;
}

/* Duplicates and conflicts are part of the game; their callers count them. */
static void log_error(struct sql *s, enum status st, struct str text)
{
    enum log_level level = st == ST_INTERNAL                         ? LOG_ERROR
                           : st == ST_DUPLICATE || st == ST_CONFLICT ? LOG_DEBUG
                                                                     : LOG_WARN;
    LOG(s->log, level, "sql_error", LF_Z("status", status_info(st)->name),
        LF_INT("errno", s->error_no), LF_Z("error", s->error),
        LF_STR("statement", ((struct str){text.p, text.n < 120 ? text.n : 120})));
}

void sql_keep_error(struct sql *s, unsigned number, const char *error)
{
    s->error_no = number;
    snprintf(s->error, sizeof(s->error), "%s", error);
}

/* An error while rows are read is known to the connection only, not to its statement; and one that
 * nobody can name is taken for a lost connection. */
static void fetch_error(struct sql *s, MYSQL_STMT *stmt)
{
    if (stmt && mysql_stmt_errno(stmt))
        sql_keep_error(s, mysql_stmt_errno(stmt), mysql_stmt_error(stmt));
    else if (mysql_errno(s->my))
        sql_keep_error(s, mysql_errno(s->my), mysql_error(s->my));
    else
        sql_keep_error(s, CR_SERVER_LOST, "no reason given");
}

enum status sql_fail(struct sql *s, MYSQL_STMT *stmt, struct str text)
{
    fetch_error(s, stmt);
    enum status st = meaning(s->error_no);
    log_error(s, st, text);
    if (s->txn == SQL_TXN_OPEN)
        s->txn = SQL_TXN_BROKEN;
    if (st == ST_UNKNOWN)
        sql_disconnect(s);
    return st;
}

enum status sql_fail_local(struct sql *s, const char *error, struct str text)
{
    sql_keep_error(s, 0, error);
    log_error(s, ST_INTERNAL, text);
    if (s->txn == SQL_TXN_OPEN)
        s->txn = SQL_TXN_BROKEN;
    return ST_INTERNAL;
}
