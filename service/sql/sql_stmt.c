/* Prepared statements: the cache, arguments in, rows out. */
#include "sql/sql_priv.h"

#include <assert.h>
#include <stdlib.h>

/* --- the cache --- */

/* Slot of text, or the free one where it belongs. */
static struct sql_slot *slot_of(struct sql *s, const char *text)
{
    uint64_t hash = (uint64_t)(uintptr_t)text * UINT64_C(0x9e3779b97f4a7c15);
    for (unsigned i = (unsigned)(hash >> 56);; i++) {
        struct sql_slot *slot = &s->slots[i % SQL_SLOTS];
        if (!slot->text || slot->text == text)
            return slot;
    }
}

static enum status prepare(struct sql *s, struct str text, MYSQL_STMT **out)
{
    MYSQL_STMT *stmt = mysql_stmt_init(s->my);
    if (!stmt)
        return sql_fail(s, NULL, text);
    if (mysql_stmt_prepare(stmt, text.p, text.n)) {
        enum status st = sql_fail(s, stmt, text);
        mysql_stmt_close(stmt);
        return st == ST_UNKNOWN ? ST_UNAVAILABLE : st; /* nothing was executed */
    }
    *out = stmt;
    return ST_OK;
}

enum status sql_stmt_get(struct sql *s, const char *text, MYSQL_STMT **stmt, bool *cached)
{
    struct sql_slot *slot = slot_of(s, text);
    if (slot->text) {
        *stmt = slot->stmt;
        *cached = true;
        return ST_OK;
    }
    enum status st = prepare(s, str_from(text), stmt);
    if (st != ST_OK)
        return st;
    *cached = s->nslots < SQL_STATEMENTS_MAX;
    if (*cached) {
        *slot = (struct sql_slot){text, *stmt};
        s->nslots++;
    }
    return ST_OK;
}

void sql_stmt_done(MYSQL_STMT *stmt, bool cached)
{
    if (!cached)
        mysql_stmt_close(stmt);
}

void sql_stmt_forget(struct sql *s)
{
    for (unsigned i = 0; i < SQL_SLOTS; i++)
        if (s->slots[i].text)
            mysql_stmt_close(s->slots[i].stmt);
    memset(s->slots, 0, sizeof(s->slots));
    s->nslots = 0;
}

/* --- rows out --- */

static bool is_integer(enum enum_field_types type)
{
    switch (type) {
    case MYSQL_TYPE_TINY:
    case MYSQL_TYPE_SHORT:
    case MYSQL_TYPE_INT24:
    case MYSQL_TYPE_LONG:
    case MYSQL_TYPE_LONGLONG:
    case MYSQL_TYPE_YEAR: return true;
    default: return false;
    }
}

/* Room for n bytes; content is not kept. */
static bool cell_reserve(struct sql_cell *cell, size_t n)
{
    if (n <= cell->cap)
        return true;
    if (n > SQL_VALUE_MAX)
        return false;
    size_t cap = cell->cap ? cell->cap : 256;
    while (cap < n)
        cap *= 2;
    char *buf = malloc(cap);
    if (!buf)
        return false;
    free(cell->buf);
    cell->buf = buf;
    cell->cap = cap;
    return true;
}

static bool bind_cell(struct sql_cell *cell, MYSQL_BIND *b, enum enum_field_types type)
{
    *b = (MYSQL_BIND){.is_null = &cell->null, .length = &cell->len};
    if (is_integer(type)) {
        b->buffer_type = MYSQL_TYPE_LONGLONG;
        b->buffer = &cell->i;
        return true;
    }
    if (!cell_reserve(cell, 1))
        return false;
    b->buffer_type = MYSQL_TYPE_STRING;
    b->buffer = cell->buf;
    b->buffer_length = cell->cap;
    return true;
}

static bool bind_result(struct sql *s, MYSQL_STMT *stmt, unsigned n)
{
    const MYSQL_FIELD *fields = mariadb_stmt_fetch_fields(stmt);
    if (!fields || n > SQL_COLS_MAX)
        return false;
    for (unsigned c = 0; c < n; c++)
        if (!bind_cell(&s->cells[c], &s->out[c], fields[c].type))
            return false;
    return !mysql_stmt_bind_result(stmt, s->out);
}

/* Fetches again the values that did not fit. Binding anew forgets where the row's columns lie, so
 * that comes last. */
static bool refetch_cut(struct sql *s, MYSQL_STMT *stmt, unsigned n)
{
    bool cut = false;
    for (unsigned c = 0; c < n; c++) {
        struct sql_cell *cell = &s->cells[c];
        MYSQL_BIND *b = &s->out[c];
        if (cell->null || b->buffer_type != MYSQL_TYPE_STRING || cell->len <= cell->cap)
            continue;
        if (!cell_reserve(cell, cell->len))
            return false;
        b->buffer = cell->buf;
        b->buffer_length = cell->cap;
        if (mysql_stmt_fetch_column(stmt, b, c, 0))
            return false;
        cut = true;
    }
    return !cut || !mysql_stmt_bind_result(stmt, s->out);
}

static void row_values(const struct sql *s, unsigned n, struct sql_val *vals)
{
    for (unsigned c = 0; c < n; c++) {
        const struct sql_cell *cell = &s->cells[c];
        if (cell->null)
            vals[c] = SQL_NULL;
        else if (s->out[c].buffer_type == MYSQL_TYPE_LONGLONG)
            vals[c] = SQL_INT(cell->i);
        else
            vals[c] = SQL_BYTES(cell->buf, cell->len);
    }
}

static enum status fetch_rows(struct sql *s, MYSQL_STMT *stmt, struct str text, sql_row_fn row,
                              void *arg, uint64_t *count)
{
    unsigned n = mysql_stmt_field_count(stmt);
    struct sql_val vals[SQL_COLS_MAX];
    if (row && !bind_result(s, stmt, n))
        return sql_fail_local(s, "result cannot be bound", text);
    for (;;) {
        int rc = mysql_stmt_fetch(stmt);
        if (rc == MYSQL_NO_DATA)
            return ST_OK;
        if (rc)
            return sql_fail(s, stmt, text);
        ++*count;
        if (!row)
            continue;
        if (!refetch_cut(s, stmt, n))
            return sql_fail_local(s, "value is too large", text);
        row_values(s, n, vals);
        s->in_row = true;
        bool more = row(arg, vals, n);
        s->in_row = false;
        if (!more)
            return ST_OK;
    }
}

enum status sql_stmt_run(struct sql *s, MYSQL_STMT *stmt, struct str text, sql_row_fn row,
                         void *arg, uint64_t *affected)
{
    if (mysql_stmt_execute(stmt))
        return sql_fail(s, stmt, text);
    uint64_t count = 0;
    if (mysql_stmt_field_count(stmt)) {
        enum status st = fetch_rows(s, stmt, text, row, arg, &count);
        /* The rows that nobody wanted are read, so that the connection is in step. */
        if (s->my && mysql_stmt_free_result(stmt) && st == ST_OK)
            st = sql_fail(s, stmt, text);
        if (st != ST_OK)
            return st;
    } else {
        count = mysql_stmt_affected_rows(stmt);
    }
    if (affected)
        *affected = count;
    return ST_OK;
}

/* --- arguments in --- */

static bool reserve_in(struct sql *s, unsigned n)
{
    if (n <= s->in_cap)
        return true;
    if (n > SQL_ARGS_MAX)
        return false;
    size_t cap = s->in_cap ? s->in_cap : 16;
    while (cap < n)
        cap *= 2;
    MYSQL_BIND *in = realloc(s->in, cap * sizeof(*in));
    if (!in)
        return false;
    s->in = in;
    s->in_cap = cap;
    return true;
}

/* Bytes go as BLOB: MariaDB then neither converts nor compares them by a collation. */
static void bind_arg(MYSQL_BIND *b, const struct sql_val *v)
{
    switch (v->type) {
    case SQL_T_INT:
        *b = (MYSQL_BIND){.buffer_type = MYSQL_TYPE_LONGLONG, .buffer = (void *)(uintptr_t)&v->i};
        return;
    case SQL_T_BYTES:
        *b = (MYSQL_BIND){.buffer_type = MYSQL_TYPE_BLOB,
                          .buffer = (void *)(uintptr_t)(v->s.p ? v->s.p : ""),
                          .buffer_length = v->s.n};
        return;
    case SQL_T_NULL: *b = (MYSQL_BIND){.buffer_type = MYSQL_TYPE_NULL}; return;
    }
    assert(!"sql_val type");
}

static bool bind_args(struct sql *s, MYSQL_STMT *stmt, const struct sql_val *args, unsigned n)
{
    const unsigned one_set =
        0; /* not a bulk execution, even if the last one of this statement was */
    if (mysql_stmt_param_count(stmt) != n || !reserve_in(s, n))
        return false;
    for (unsigned i = 0; i < n; i++)
        bind_arg(&s->in[i], &args[i]);
    mysql_stmt_attr_set(stmt, STMT_ATTR_ARRAY_SIZE, &one_set);
    return n == 0 || !mysql_stmt_bind_param(stmt, s->in);
}

static enum status run(struct sql *s, MYSQL_STMT *stmt, struct str text, const struct sql_val *args,
                       unsigned n, sql_row_fn row, void *arg, uint64_t *affected)
{
    if (!bind_args(s, stmt, args, n))
        return sql_fail_local(s, "arguments do not fit the statement", text);
    return sql_stmt_run(s, stmt, text, row, arg, affected);
}

enum status sql_run(struct sql *s, const char *text, const struct sql_val *args, unsigned n,
                    sql_row_fn row, void *arg, uint64_t *affected)
{
    MYSQL_STMT *stmt = NULL;
    bool cached = false;
    enum status st = sql_ready(s);
    if (st == ST_OK)
        st = sql_stmt_get(s, text, &stmt, &cached);
    if (st != ST_OK)
        return st;
    st = run(s, stmt, str_from(text), args, n, row, arg, affected);
    sql_stmt_done(stmt, cached);
    return st;
}

enum status sql_run_once(struct sql *s, struct str text, const struct sql_val *args, unsigned n,
                         sql_row_fn row, void *arg, uint64_t *affected)
{
    MYSQL_STMT *stmt = NULL;
    enum status st = sql_ready(s);
    if (st == ST_OK)
        st = prepare(s, text, &stmt);
    if (st != ST_OK)
        return st;
    st = run(s, stmt, text, args, n, row, arg, affected);
    mysql_stmt_close(stmt);
    return st;
}
