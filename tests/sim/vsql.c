/* Connections: what sql/sql.h promises, over rows in memory and a network that loses answers. */
#include "vsql.h"

#include "fiber.h"
#include "sim.h"
#include "vmem.h"

#include <assert.h>
#include <stdio.h>
#include <string.h>

enum {
    IDLE_WRITE_US = 5000000, /* idle_write_transaction_timeout */
    LATE_US = 1500000,
    CONNECT_US = 150
};

enum txn { TXN_NONE, TXN_OPEN, TXN_BROKEN };

struct sql {
    struct sql_conf conf;
    struct vconn *conn;
    enum txn txn;
    bool traced; /* something of this transaction */
};

static struct {
    struct store_faults faults;
    int64_t away_until_us, refuse_until_us;
    struct vconn *conns;
} server;

void (*vsql_on_commit)(void);

void vsql_set_faults(const struct store_faults *faults)
{
    server.faults = *faults;
}

/* --- the server's side ------------------------------------------------------------------------- */

static void conn_close(struct vconn *c)
{
    if (c->closed)
        return;
    c->closed = true;
    rows_rollback(c);
}

static void on_close(void *arg)
{
    conn_close(arg);
}

static void conn_forget(struct vconn *c)
{
    for (struct vconn **at = &server.conns; *at; at = &(*at)->next) {
        if (*at == c) {
            *at = c->next;
            return;
        }
    }
}

void vsql_restart(int64_t away_us)
{
    sim_count[SIM_SQL_RESTARTS]++;
    server.away_until_us = sched_now() + away_us;
    for (struct vconn *c = server.conns; c; c = c->next) {
        conn_close(c);
        if (c->waits_for)
            c->waits_for = NULL;
    }
}

void vsql_refuse_writes(int64_t for_us)
{
    server.refuse_until_us = sched_now() + for_us;
}

void vsql_owner_died(struct fiber_owner *owner)
{
    for (struct vconn *c = server.conns; c; c = c->next)
        if (c->owner == owner)
            sched_at(sched_now() + sim_below(3000), on_close, c);
}

struct idle {
    struct vconn *c;
    unsigned statements;
};

static void on_idle(void *arg)
{
    struct idle *i = arg;
    if (i->c->closed || i->c->statements != i->statements || !i->c->locks)
        return;
    sim_count[SIM_SQL_IDLE_CUT]++;
    conn_close(i->c);
}

void vsql_owner_paused(struct fiber_owner *owner)
{
    for (struct vconn *c = server.conns; c; c = c->next) {
        if (c->owner != owner || !c->in_txn)
            continue;
        struct idle *i = vmem_new(sizeof(*i));
        *i = (struct idle){c, c->statements};
        sched_at(sched_now() + IDLE_WRITE_US, on_idle, i);
    }
}

static void conn_commit(struct vconn *c)
{
    bool wrote = c->wrote;
    rows_commit(c);
    c->in_txn = c->snapshot_on = c->wrote = false;
    if (wrote && vsql_on_commit)
        vsql_on_commit();
}

/* A statement on its way: one text, once per row of its arguments; text NULL is COMMIT. */
struct call {
    const struct statement *what;
    const struct sql_val *args; /* [rows * what->args] */
    unsigned rows;
    struct vout out;
};

/* The server runs it, whoever still listens. */
static enum status execute(struct vconn *c, struct call *call)
{
    if (c->closed)
        return ST_UNKNOWN;
    c->statements++;
    if (!call->what) {
        conn_commit(c);
        return ST_OK;
    }
    if (call->what->writes && sched_now() < server.refuse_until_us) {
        sim_count[SIM_SQL_REFUSED]++;
        return ST_OVERLOADED;
    }
    enum status st = ST_OK;
    for (unsigned i = 0; i < call->rows && st == ST_OK; i++)
        st = call->what->run(c, call->args + (size_t)i * call->what->args, &call->out);
    if (c->closed)
        return ST_UNKNOWN;
    c->wrote = c->wrote || call->what->writes;
    if (!c->in_txn) {
        if (st == ST_OK)
            conn_commit(c);
        else
            rows_rollback(c);
    }
    return st;
}

/* --- the client's side ------------------------------------------------------------------------- */

static int64_t latency(void)
{
    if (server.faults.slow && sim_chance(30))
        return 1000 + sim_below(700000);
    return 10 + sim_below(sim_chance(50) ? 8000 : 250);
}

static const char *name_of(const struct call *call)
{
    return call->what ? call->what->text : "COMMIT";
}

struct ghost {
    struct vconn *c;
    struct call call;
    int64_t after_us;
};

/* What the server goes on with after its client has gone. */
static void *ghost_main(void *arg)
{
    struct ghost *g = arg;
    fiber_sleep(g->after_us);
    enum status st = execute(g->c, &g->call);
    TRACE("  mariadb: late %s: %s", name_of(&g->call), status_info(st)->name);
    conn_close(g->c);
    conn_forget(g->c);
    return NULL;
}

static void go_on_without_client(struct vconn *c, const struct call *call)
{
    struct ghost *g = vmem_new(sizeof(*g));
    size_t args = call->what ? (size_t)call->rows * call->what->args : 0;
    struct sql_val *copy = vmem_copy(call->args, args * sizeof(*copy));
    for (size_t i = 0; i < args; i++)
        if (copy[i].type == SQL_T_BYTES)
            copy[i].s.p = vmem_copy(copy[i].s.p, copy[i].s.n);
    *g = (struct ghost){c, *call, LATE_US + sim_below(LATE_US)};
    g->call.args = copy;
    g->call.out.last = &g->call.out.first;
    c->owner = NULL;
    (void)fiber_start(NULL, ghost_main, g);
}

static void disconnect(struct sql *s)
{
    if (!s->conn)
        return;
    conn_close(s->conn);
    conn_forget(s->conn);
    s->conn = NULL;
}

static void note_lost(enum sim_count what, const struct call *call)
{
    sim_count[what]++;
    sim_count[SIM_SQL_COMMITS_LOST] += !call->what;
    TRACE("  mariadb: %s: %s",
          what == SIM_SQL_LATE         ? "answer in time lost, done later"
          : what == SIM_SQL_CUT_BEFORE ? "lost before it was done"
                                       : "done, answer lost",
          name_of(call));
}

static enum status lost(struct sql *s)
{
    disconnect(s);
    return ST_UNKNOWN;
}

static enum status ask(struct sql *s, struct call *call)
{
    struct vconn *c = s->conn;
    const struct store_faults *f = &server.faults;
    call->out.last = &call->out.first;
    if (sim_chance(f->late)) {
        note_lost(SIM_SQL_LATE, call);
        s->conn = NULL;
        go_on_without_client(c, call);
        fiber_sleep(s->conf.timeout_ms * 1000);
        return ST_UNKNOWN;
    }
    fiber_enter_server();
    fiber_sleep(latency());
    if (sim_chance(f->cut_before)) {
        note_lost(SIM_SQL_CUT_BEFORE, call);
        conn_close(c);
    }
    enum status st = execute(c, call);
    fiber_leave_server();
    if (st != ST_UNKNOWN && sim_chance(f->cut_after)) {
        note_lost(SIM_SQL_CUT_AFTER, call);
        return lost(s);
    }
    fiber_sleep(latency() / 2);
    return c->closed || st == ST_UNKNOWN ? lost(s) : st;
}

enum status sql_create(const struct sql_conf *conf, struct log *log, struct sql **out)
{
    *out = vmem_new(sizeof(**out));
    (*out)->conf = *conf;
    return ST_OK;
}

void sql_destroy(struct sql **s)
{
    if (*s)
        disconnect(*s);
    *s = NULL;
}

enum status sql_connect(struct sql *s)
{
    if (s->conn)
        return ST_OK;
    fiber_sleep(CONNECT_US + sim_below(CONNECT_US));
    if (sched_now() < server.away_until_us)
        return ST_UNAVAILABLE;
    s->conn = vmem_new(sizeof(*s->conn));
    s->conn->owner = fiber_owner_self();
    s->conn->next = server.conns;
    server.conns = s->conn;
    return ST_OK;
}

static enum status ready(struct sql *s)
{
    if (s->txn == TXN_BROKEN)
        return ST_INTERNAL;
    if (s->txn == TXN_OPEN)
        return ST_OK;
    if (s->conn && s->conn->closed)
        disconnect(s);
    return sql_connect(s);
}

/* What only reads, and does so all day, would drown the rest. */
static void trace_statement(struct sql *s, const struct call *call, enum status st)
{
    const char *text = call->what->text;
    bool daily = !call->what->writes || strstr(text, "leases") || strstr(text, "expiry_cursors");
    if (!sim_tracing || (daily && st == ST_OK))
        return;
    s->traced = true;
    sim_trace("  sql %s%.90s: %s", s->txn == TXN_OPEN ? "  " : "", text, status_info(st)->name);
}

static enum status run(struct sql *s, struct call *call, sql_row_fn row, void *arg,
                       uint64_t *affected)
{
    enum status st = ready(s);
    if (st != ST_OK)
        return st;
    st = s->conn ? ask(s, call) : ST_UNKNOWN;
    trace_statement(s, call, st);
    if (st != ST_OK) {
        if (s->txn == TXN_OPEN)
            s->txn = TXN_BROKEN;
        return st;
    }
    uint64_t n = 0;
    for (const struct vrow *r = call->out.first; r && row; r = r->next) {
        n++;
        if (!row(arg, r->col, r->n))
            break;
    }
    if (affected)
        *affected = call->out.first ? n : call->out.affected;
    return ST_OK;
}

enum status sql_run(struct sql *s, const char *text, const struct sql_val *args, unsigned n,
                    sql_row_fn row, void *arg, uint64_t *affected)
{
    struct call call = {.what = statement_find(text), .args = args, .rows = 1};
    assert(n == call.what->args);
    return run(s, &call, row, arg, affected);
}

enum status sql_run_once(struct sql *s, struct str text, const struct sql_val *args, unsigned n,
                         sql_row_fn row, void *arg, uint64_t *affected)
{
    struct call call = {.what = statement_match(text), .args = args, .rows = 1};
    assert(n == call.what->args);
    return run(s, &call, row, arg, affected);
}

static struct sql_val column(const struct sql_col *c, unsigned r)
{
    const char *at = (const char *)c->base + r * c->stride;
    switch (c->type) {
    case SQL_C_U32: return SQL_INT(*(const uint32_t *)(const void *)at);
    case SQL_C_I64: return SQL_INT(*(const int64_t *)(const void *)at);
    case SQL_C_FIXED: return SQL_BYTES(at, c->size);
    case SQL_C_VAR: return SQL_STR(*(const struct str *)(const void *)at);
    }
    return SQL_NULL;
}

enum status sql_run_bulk(struct sql *s, const char *text, const struct sql_col *cols,
                         unsigned ncols, unsigned nrows, sql_row_fn row, void *arg,
                         uint64_t *affected)
{
    struct call call = {.what = statement_find(text), .rows = nrows};
    struct sql_val *args = vmem_new((size_t)nrows * ncols * sizeof(*args));
    assert(ncols == call.what->args);
    for (unsigned r = 0; r < nrows; r++)
        for (unsigned i = 0; i < ncols; i++)
            args[(size_t)r * ncols + i] = column(&cols[i], r);
    call.args = args;
    return run(s, &call, row, arg, affected);
}

enum status sql_exec(struct sql *s, struct str text)
{
    sim_abort("text statement: %.*s", (int)text.n, text.p);
}

/* Nobody's sql_begin asks this server. */
void sql_begin_unasked(struct sql *s)
{
}

enum status sql_begin(struct sql *s)
{
    assert(s->txn == TXN_NONE);
    enum status st = ready(s);
    if (st != ST_OK)
        return st;
    s->conn->in_txn = true;
    s->txn = TXN_OPEN;
    s->traced = false;
    if (sim_mutated("stale-snapshot"))
        s->conn->before = vmem_copy(&vsql_db, sizeof(vsql_db));
    return ST_OK;
}

enum status sql_begin_snapshot(struct sql *s)
{
    assert(s->txn == TXN_NONE);
    enum status st = ready(s);
    if (st != ST_OK)
        return st;
    fiber_sleep(latency());
    if (s->conn->closed) {
        disconnect(s);
        return ST_UNAVAILABLE;
    }
    s->conn->in_txn = s->conn->snapshot_on = true;
    s->conn->snapshot = vsql_db;
    if (s->conn->before) {
        memcpy(s->conn->snapshot.order, s->conn->before->order, sizeof(vsql_db.order));
        memcpy(s->conn->snapshot.stock, s->conn->before->stock, sizeof(vsql_db.stock));
    }
    s->txn = TXN_OPEN;
    return ST_OK;
}

enum status sql_commit(struct sql *s)
{
    struct call call = {0};
    assert(s->txn != TXN_NONE);
    enum status st = ready(s);
    if (st == ST_OK)
        st = s->conn ? ask(s, &call) : ST_UNKNOWN;
    if (s->traced || st != ST_OK)
        TRACE("  sql COMMIT: %s", status_info(st)->name);
    if (st == ST_UNKNOWN && sim_mutated("lost-commit-is-done"))
        st = ST_OK;
    if (st == ST_OK)
        s->txn = TXN_NONE;
    else
        sql_rollback(s);
    return st;
}

void sql_rollback(struct sql *s)
{
    bool open = s->txn != TXN_NONE;
    s->txn = TXN_NONE;
    if (!open || !s->conn)
        return;
    rows_rollback(s->conn);
    s->conn->in_txn = s->conn->snapshot_on = s->conn->wrote = false;
    if (s->conn->closed)
        disconnect(s);
}

unsigned sql_errno(const struct sql *s)
{
    return 0;
}

const char *sql_error(const struct sql *s)
{
    return "";
}

void vsql_reset(const struct world_sale *sale)
{
    memset(&server, 0, sizeof(server));
    rows_reset();
    vsql_sale = *sale;
    vsql_db.counter[0] = (struct counter_row){true, 1};
    for (unsigned k = 0; k < sale->shards; k++) {
        vsql_db.shard[k].on = true;
        for (unsigned i = 0; i < sale->items; i++) {
            int64_t units = sale->stock[i] / sale->shards + (k < sale->stock[i] % sale->shards);
            vsql_db.stock[i * SHARDS_MAX + k] =
                (struct stock_row){.on = true, .allocated = units, .added = units};
        }
    }
}
