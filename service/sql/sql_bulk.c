/* Array binding. libmariadb takes each column as an array of its own, bytes as pointers and
 * lengths; the callers' columns lie inside rows. So they are gathered into one scratch block of the
 * connection: 16 bytes a value at most, nothing allocated per row. (Its row-wise binding wants
 * bytes inside the rows.) */
#include "sql/sql_priv.h"

#include <assert.h>
#include <stdlib.h>

enum { BULK_COLS_MAX = 64 };

/* Gathered column: values of 8 bytes (numbers, or pointers to bytes), then their lengths. */
struct gathered {
    void *values;
    unsigned long *lengths;
};

static size_t column_bytes(unsigned nrows)
{
    return nrows * (sizeof(uint64_t) + sizeof(unsigned long));
}

static bool reserve_bulk(struct sql *s, unsigned ncols, unsigned nrows)
{
    size_t need = ncols * column_bytes(nrows);
    if (need <= s->bulk_cap)
        return true;
    char *bulk = malloc(need); /* old content is not wanted */
    if (!bulk)
        return false;
    free(s->bulk);
    s->bulk = bulk;
    s->bulk_cap = need;
    return true;
}

static void gather_u32(const struct sql_col *col, unsigned nrows, uint32_t *out)
{
    const char *p = col->base;
    for (unsigned r = 0; r < nrows; r++, p += col->stride)
        out[r] = *(const uint32_t *)p;
}

static void gather_i64(const struct sql_col *col, unsigned nrows, int64_t *out)
{
    const char *p = col->base;
    for (unsigned r = 0; r < nrows; r++, p += col->stride)
        out[r] = *(const int64_t *)p;
}

static void gather_fixed(const struct sql_col *col, unsigned nrows, struct gathered *g)
{
    const char *p = col->base;
    const void **values = g->values;
    for (unsigned r = 0; r < nrows; r++, p += col->stride) {
        values[r] = p;
        g->lengths[r] = col->size;
    }
}

static void gather_var(const struct sql_col *col, unsigned nrows, struct gathered *g)
{
    const char *p = col->base;
    const void **values = g->values;
    for (unsigned r = 0; r < nrows; r++, p += col->stride) {
        const struct str *v = (const struct str *)p;
        values[r] = v->n ? v->p : "";
        g->lengths[r] = v->n;
    }
}

static void bind_column(const struct sql_col *col, unsigned nrows, struct gathered g, MYSQL_BIND *b)
{
    *b = (MYSQL_BIND){.buffer = g.values};
    switch (col->type) {
    case SQL_C_U32:
        gather_u32(col, nrows, g.values);
        b->buffer_type = MYSQL_TYPE_LONG;
        b->is_unsigned = 1;
        return;
    case SQL_C_I64:
        gather_i64(col, nrows, g.values);
        b->buffer_type = MYSQL_TYPE_LONGLONG;
        return;
    case SQL_C_FIXED: gather_fixed(col, nrows, &g); break;
    case SQL_C_VAR: gather_var(col, nrows, &g); break;
    }
    b->buffer_type = MYSQL_TYPE_BLOB;
    b->length = g.lengths;
}

static bool bind_columns(struct sql *s, MYSQL_STMT *stmt, const struct sql_col *cols,
                         unsigned ncols, unsigned nrows)
{
    MYSQL_BIND in[BULK_COLS_MAX];
    if (mysql_stmt_param_count(stmt) != ncols || !reserve_bulk(s, ncols, nrows))
        return false;
    for (unsigned c = 0; c < ncols; c++) {
        char *block = s->bulk + c * column_bytes(nrows);
        struct gathered g = {block, (unsigned long *)(block + nrows * sizeof(uint64_t))};
        bind_column(&cols[c], nrows, g, &in[c]);
    }
    mysql_stmt_attr_set(stmt, STMT_ATTR_ARRAY_SIZE, &nrows);
    return !mysql_stmt_bind_param(stmt, in);
}

enum status sql_run_bulk(struct sql *s, const char *text, const struct sql_col *cols,
                         unsigned ncols, unsigned nrows, sql_row_fn row, void *arg,
                         uint64_t *affected)
{
    assert(ncols > 0 && ncols <= BULK_COLS_MAX && nrows > 0 && nrows <= SQL_BULK_ROWS_MAX);
    MYSQL_STMT *stmt = NULL;
    bool cached = false;
    enum status st = sql_ready(s);
    if (st == ST_OK)
        st = sql_stmt_get(s, text, &stmt, &cached);
    if (st != ST_OK)
        return st;
    if (bind_columns(s, stmt, cols, ncols, nrows))
        st = sql_stmt_run(s, stmt, str_from(text), row, arg, affected);
    else
        st = sql_fail_local(s, "columns do not fit the statement", str_from(text));
    sql_stmt_done(stmt, cached);
    return st;
}
