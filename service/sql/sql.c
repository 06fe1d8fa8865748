#include "sql/sql.h"

#include "sql/sql_priv.h"

#include <assert.h>
#include <errmsg.h>
#include <mysqld_error.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>

enum { SQL_MAGIC = 0x5a1c0de5, HOST_MAX = 256 };

/* One statement, so that connecting costs one round trip more. A stopped instance must not block
 * the others (rule R12): MariaDB ends its idle write transaction, and waiting for a lock is short.
 */
static const char session_setup[] =
    "SET SESSION tx_isolation = 'READ-COMMITTED', autocommit = 1, time_zone = '+00:00',"
    " sql_mode = 'STRICT_ALL_TABLES,ERROR_FOR_DIVISION_BY_ZERO,NO_ENGINE_SUBSTITUTION',"
    " innodb_lock_wait_timeout = 3, idle_write_transaction_timeout = 5";
static const char no_autocommit[] = "SET SESSION autocommit = 0";

/* Where to connect: either a socket path, or host and port. */
struct address {
    const char *path; /* NULL: host and port */
    char host[HOST_MAX];
    unsigned port;
};

/* "unix:/path", "host:port" or "[v6]:port". */
static bool address_parse(const char *text, struct address *a)
{
    if (strncmp(text, "unix:", 5) == 0) {
        a->path = text + 5;
        return a->path[0] == '/';
    }
    a->path = NULL;
    const char *colon = strrchr(text, ':');
    if (!colon || colon == text || !colon[1])
        return false;
    char *end;
    unsigned long port = strtoul(colon + 1, &end, 10);
    size_t n = (size_t)(colon - text);
    if (text[0] == '[' && text[n - 1] == ']') {
        text++;
        n -= 2;
    }
    if (*end || port == 0 || port > 65535 || n == 0 || n >= sizeof(a->host))
        return false;
    memcpy(a->host, text, n);
    a->host[n] = '\0';
    a->port = (unsigned)port;
    return true;
}

static void library_init(void)
{
    /* It fails only without memory, and then mysql_init says so again. */
    (void)mysql_library_init(0, NULL, NULL);
}

enum status sql_create(const struct sql_conf *conf, struct log *log, struct sql **out)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT; /* mysql_init does this itself, but unguarded */
    struct address a;
    if (!address_parse(conf->address, &a) || conf->timeout_ms <= 0)
        return ST_INVALID_REQUEST;
    (void)pthread_once(&once, library_init);
    struct sql *s = calloc(1, sizeof(*s));
    if (!s)
        return ST_INTERNAL;
    s->conf = *conf;
    s->log = log;
    s->magic = SQL_MAGIC;
    *out = s;
    return ST_OK;
}

void sql_begin_unasked(struct sql *s)
{
    assert(!s->my);
    s->unasked = true;
}

void sql_destroy(struct sql **sp)
{
    struct sql *s = *sp;
    if (!s)
        return;
    assert(s->magic == SQL_MAGIC && !s->in_row);
    *sp = NULL;
    s->magic = 0;
    sql_disconnect(s);
    for (unsigned i = 0; i < SQL_COLS_MAX; i++)
        free(s->cells[i].buf);
    free(s->in);
    free(s->bulk);
    free(s);
}

void sql_disconnect(struct sql *s)
{
    if (!s->my)
        return;
    /* Closing first detaches the statements: freeing them then says nothing to a server that may
     * hang. */
    mysql_close(s->my);
    s->my = NULL;
    sql_stmt_forget(s);
}

/* libmariadb counts in whole seconds. */
static unsigned timeout_s(const struct sql *s)
{
    return (unsigned)((s->conf.timeout_ms + 999) / 1000);
}

static void set_options(MYSQL *my, unsigned seconds)
{
    const my_bool no = 0;
    const unsigned off = 0;
    mysql_optionsv(my, MYSQL_OPT_CONNECT_TIMEOUT, &seconds);
    mysql_optionsv(my, MYSQL_OPT_READ_TIMEOUT, &seconds);
    mysql_optionsv(my, MYSQL_OPT_WRITE_TIMEOUT, &seconds);
    mysql_optionsv(my, MYSQL_OPT_RECONNECT, &no);
    mysql_optionsv(my, MYSQL_OPT_LOCAL_INFILE, &off);
    mysql_optionsv(my, MYSQL_SET_CHARSET_NAME, "utf8mb4");
    /* Cut-off values are found by their length; reported ones would stop the fetch half-way. */
    mysql_optionsv(my, MYSQL_REPORT_DATA_TRUNCATION, &no);
}

static enum status connect_failed(struct sql *s, MYSQL *my)
{
    sql_keep_error(s, my ? mysql_errno(my) : CR_OUT_OF_MEMORY, my ? mysql_error(my) : "no memory");
    if (my)
        mysql_close(my);
    if (!s->down_logged)
        LOG(s->log, LOG_WARN, "sql_connect_failed", LF_Z("address", s->conf.address),
            LF_INT("errno", s->error_no), LF_Z("error", s->error));
    s->down_logged = true;
    return ST_UNAVAILABLE;
}

enum status sql_connect(struct sql *s)
{
    assert(s->magic == SQL_MAGIC);
    if (s->my)
        return ST_OK;
    struct address a;
    bool ok = address_parse(s->conf.address, &a);
    assert(ok); /* sql_create has seen it */
    MYSQL *my = mysql_init(NULL);
    if (!my)
        return connect_failed(s, NULL);
    set_options(my, timeout_s(s));
    if (!mysql_real_connect(my, a.path ? "localhost" : a.host, s->conf.user, s->conf.password,
                            s->conf.database, a.path ? 0 : a.port, a.path, 0) ||
        mysql_real_query(my, session_setup, sizeof(session_setup) - 1) ||
        (s->unasked && mysql_real_query(my, no_autocommit, sizeof(no_autocommit) - 1)))
        return connect_failed(s, my);
    s->my = my;
    if (s->down_logged)
        LOG(s->log, LOG_INFO, "sql_connected", LF_Z("address", s->conf.address));
    s->down_logged = false;
    return ST_OK;
}

/* Nothing is expected from the server between statements: what can be read then is its farewell.
 * Seeing it before sending turns an unknown outcome into a quiet reconnect. */
static bool stale(struct sql *s)
{
    struct pollfd p = {.fd = mysql_get_socket(s->my), .events = POLLIN};
    return poll(&p, 1, 0) != 0;
}

enum status sql_ready(struct sql *s)
{
    assert(s->magic == SQL_MAGIC && !s->in_row);
    if (s->txn == SQL_TXN_BROKEN)
        return sql_fail_local(s, "statement in a failed transaction", (struct str){0});
    s->error_no = 0;
    s->error[0] = '\0';
    if (s->txn == SQL_TXN_OPEN)
        return ST_OK;
    if (s->my && stale(s))
        sql_disconnect(s);
    return sql_connect(s);
}

/* Sends one text statement and drops its rows, should it have any. */
static enum status send_text(struct sql *s, struct str text)
{
    if (mysql_real_query(s->my, text.p, text.n))
        return sql_fail(s, NULL, text);
    if (mysql_field_count(s->my)) {
        MYSQL_RES *rows = mysql_store_result(s->my);
        if (!rows)
            return sql_fail(s, NULL, text);
        mysql_free_result(rows);
    }
    return ST_OK;
}

enum status sql_exec(struct sql *s, struct str text)
{
    enum status st = sql_ready(s);
    return st == ST_OK ? send_text(s, text) : st;
}

/* Nothing was written yet, so a lost connection is no unknown outcome. */
static enum status begin_with(struct sql *s, struct str text)
{
    enum status st = sql_exec(s, text);
    return st == ST_UNKNOWN ? ST_UNAVAILABLE : st;
}

enum status sql_begin(struct sql *s)
{
    assert(s->txn == SQL_TXN_NONE);
    enum status st = s->unasked ? sql_ready(s) : begin_with(s, STR("START TRANSACTION"));
    if (st == ST_OK)
        s->txn = SQL_TXN_OPEN;
    return st;
}

enum status sql_begin_snapshot(struct sql *s)
{
    assert(s->txn == SQL_TXN_NONE);
    enum status st = begin_with(s, STR("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ"));
    if (st == ST_OK)
        st = begin_with(s, STR("START TRANSACTION WITH CONSISTENT SNAPSHOT, READ ONLY"));
    if (st == ST_OK)
        s->txn = SQL_TXN_OPEN;
    return st;
}

/* Answers to COMMIT that leave no doubt: nothing was committed. */
static bool refused_for_certain(unsigned number)
{
    static const unsigned numbers[] = {
        ER_LOCK_DEADLOCK,
        ER_CHECKREAD,
        ER_DUP_ENTRY, /* a race lost in a cluster */
        ER_OPTION_PREVENTS_STATEMENT,
        ER_READ_ONLY_MODE,
        ER_UNKNOWN_COM_ERROR,
    };
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (numbers[i] == number)
            return true;
    return false;
}

enum status sql_commit(struct sql *s)
{
    assert(s->magic == SQL_MAGIC && !s->in_row && s->txn != SQL_TXN_NONE);
    bool open = s->txn == SQL_TXN_OPEN;
    enum status st = sql_ready(s);
    if (st == ST_OK)
        st = send_text(s, STR("COMMIT"));
    if (st == ST_OK) {
        s->txn = SQL_TXN_NONE;
        return ST_OK;
    }
    if (open && !refused_for_certain(s->error_no)) {
        sql_disconnect(s);
        st = ST_UNKNOWN;
    }
    sql_rollback(s);
    return st;
}

void sql_rollback(struct sql *s)
{
    assert(s->magic == SQL_MAGIC && !s->in_row);
    bool open = s->txn != SQL_TXN_NONE;
    s->txn = SQL_TXN_NONE;
    if (open && s->my && mysql_real_query(s->my, "ROLLBACK", 8))
        sql_disconnect(s);
}

unsigned sql_errno(const struct sql *s)
{
    return s->error_no;
}

const char *sql_error(const struct sql *s)
{
    return s->error;
}
