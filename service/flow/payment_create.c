/* Attempts to pay: many in one transaction, before and after the channel is told.
 *
 *   job ──▶ claim keys, lock orders, find open attempts, INSERT, COMMIT ──▶ channel (pay/)
 *                                                                             │
 *   answer ◀── COMMIT, keep answers under keys, note what the channel said ◀──┘
 *
 * No transaction is open while a channel is asked. An order's lock keeps two wishes for it apart;
 * ids are locked in order, and orders before payments, as webhooks.c does. */
#include "base/clock.h"
#include "base/crash.h"
#include "flow/engine.h"
#include "flow/group.h"
#include "flow/id_list.h"
#include "flow/payments.h"

#include <stdlib.h>

_Static_assert((int)PAYMENT_GROUP_MAX <= (int)ID_LIST_MAX, "a group's ids are one list");

enum step {
    STEP_OPEN,    /* nothing is known yet */
    STEP_ENDED,   /* refused, or an answer from before */
    STEP_KNOWN,   /* out is an attempt that was there */
    STEP_NEW,     /* out is to be inserted */
    STEP_FOLLOWS, /* out is an attempt that another one of the group inserts */
};

/* A payment for a bulk statement; strings point into it. */
struct bulk_row {
    struct uid id, order;
    struct str channel, phase, currency, ref, action_url, return_url;
    uint32_t state;
    int64_t amount, created_ms;
};

struct making {
    struct session *s;
    const struct snapshot *snap;
    struct payment_try *t[PAYMENT_GROUP_MAX];
    enum step step[PAYMENT_GROUP_MAX];
    unsigned n, orders, claims, answers;
    struct uid id[PAYMENT_GROUP_MAX]; /* a list of either, while it is asked for */
    struct order order[PAYMENT_GROUP_MAX];
    struct idem_claim claim[PAYMENT_GROUP_MAX];
    struct payment_try *claimant[PAYMENT_GROUP_MAX];
    struct idem_answer answer[PAYMENT_GROUP_MAX];
    struct bulk_row row[PAYMENT_GROUP_MAX];
};

static struct bulk_row bulk_row(const struct payment *p)
{
    return (struct bulk_row){.id = p->id,
                             .order = p->order,
                             .channel = str_from(p->channel),
                             .phase = str_from(p->phase),
                             .currency = str_from(p->currency),
                             .ref = str_from(p->channel_ref),
                             .action_url = str_from(p->action_url),
                             .return_url = str_from(p->return_url),
                             .state = p->state,
                             .amount = p->amount,
                             .created_ms = p->created_ms};
}

/* Columns in the order of PAYMENT_COLUMNS. */
static enum status run_bulk(struct making *m, const char *text, unsigned n, uint64_t *changed)
{
    const struct bulk_row *r = m->row;
    const size_t stride = sizeof(*r);
    const struct sql_col cols[] = {
        {SQL_C_FIXED, &r->id, stride, UID_LEN}, {SQL_C_FIXED, &r->order, stride, UID_LEN},
        {SQL_C_U32, &r->state, stride, 0},      {SQL_C_I64, &r->amount, stride, 0},
        {SQL_C_I64, &r->created_ms, stride, 0}, {SQL_C_VAR, &r->channel, stride, 0},
        {SQL_C_VAR, &r->phase, stride, 0},      {SQL_C_VAR, &r->currency, stride, 0},
        {SQL_C_VAR, &r->ref, stride, 0},        {SQL_C_VAR, &r->action_url, stride, 0},
        {SQL_C_VAR, &r->return_url, stride, 0}};
    return sql_run_bulk(m->s->sql, text, cols, sizeof(cols) / sizeof(cols[0]), n, NULL, NULL,
                        changed);
}

static bool has_key(const struct payment_try *t)
{
    return t->key && t->key->given;
}

/* --- keys ------------------------------------------------------------------------------------- */

static enum status claim_keys(struct making *m)
{
    m->claims = 0;
    for (unsigned i = 0; i < m->n; i++) {
        struct payment_try *t = m->t[i];
        t->id = t->wish.id;
        t->resumed = t->replayed = false;
        t->st = ST_OK;
        m->step[i] = STEP_OPEN;
        if (!has_key(t))
            continue;
        buf_reset(t->body);
        m->claimant[m->claims] = t;
        m->claim[m->claims++] =
            (struct idem_claim){.key = t->key, .out.resource = t->id, .body = t->body};
    }
    enum status st = m->claims == 0 ? ST_OK : idem_begin_group(m->s, m->claim, m->claims);
    for (unsigned i = 0; i < m->claims && st == ST_OK; i++) {
        struct payment_try *t = m->claimant[i];
        t->st = m->claim[i].st;
        t->id = m->claim[i].out.resource;
        t->resumed = m->claim[i].out.resumed;
        t->replayed = t->st == ST_OK && m->claim[i].out.replay;
    }
    for (unsigned i = 0; i < m->n; i++)
        if (m->t[i]->st != ST_OK || m->t[i]->replayed)
            m->step[i] = STEP_ENDED;
    return st;
}

/* Refusals free their keys. */
static void refuse(struct making *m, unsigned i, enum status why)
{
    struct payment_try *t = m->t[i];
    t->st = why;
    m->step[i] = STEP_ENDED;
    if (has_key(t))
        idem_abandon(m->s, t->key, why);
}

static void keep_answer(struct making *m, struct payment_try *t)
{
    buf_reset(t->body);
    t->render(t->body, &t->out);
    if (has_key(t))
        m->answer[m->answers++] = (struct idem_answer){t->key, 201, {t->body->data, t->body->len}};
}

static enum status finish_keys(struct making *m)
{
    return m->answers == 0 ? ST_OK : idem_finish_group(m->s, m->answer, m->answers);
}

/* --- what is there ---------------------------------------------------------------------------- */

static bool on_same_id(void *arg, const struct sql_val *c, unsigned n)
{
    struct making *m = arg;
    for (unsigned i = 0; i < m->n; i++) {
        if (m->step[i] != STEP_OPEN || memcmp(c[0].s.p, m->t[i]->id.b, UID_LEN) != 0)
            continue;
        payment_from_row(&m->t[i]->out, c);
        m->step[i] = STEP_KNOWN;
    }
    return true;
}

/* Tries taken up again, and in a careful run all: what was recorded of them. */
static enum status read_resumed(struct making *m, bool careful)
{
    static const struct id_list list = ID_LIST(
        "SELECT " PAYMENT_COLUMNS " FROM payments FORCE INDEX (PRIMARY) WHERE id IN (", ")");
    unsigned n = 0;
    for (unsigned i = 0; i < m->n; i++)
        if (m->step[i] == STEP_OPEN && (careful || m->t[i]->resumed))
            m->id[n++] = m->t[i]->id;
    if (n == 0)
        return ST_OK;
    n = id_list_sort(m->id, n);
    return id_list_run(m->s->sql, &list, NULL, 0, m->id, n, on_same_id, m, NULL);
}

static bool on_order(void *arg, const struct sql_val *c, unsigned n)
{
    struct making *m = arg;
    unsigned at = id_list_find(m->id, m->orders, c[0].s.p);
    if (at < m->orders)
        order_from_row(&m->order[at], c);
    return true;
}

static enum status lock_orders(struct making *m)
{
    static const struct id_list list =
        ID_LIST("SELECT " ORDER_COLUMNS " FROM orders FORCE INDEX (PRIMARY) WHERE id IN (",
                ") ORDER BY id FOR UPDATE");
    unsigned n = 0;
    for (unsigned i = 0; i < m->n; i++)
        if (m->step[i] == STEP_OPEN)
            m->id[n++] = m->t[i]->wish.order;
    m->orders = id_list_sort(m->id, n);
    memset(m->order, 0, m->orders * sizeof(m->order[0]));
    if (n == 0)
        return ST_OK;
    return id_list_run(m->s->sql, &list, NULL, 0, m->id, m->orders, on_order, m, NULL);
}

static bool on_open_attempt(void *arg, const struct sql_val *c, unsigned n)
{
    struct making *m = arg;
    struct payment p;
    payment_from_row(&p, c);
    for (unsigned i = 0; i < m->n; i++) {
        struct payment_try *t = m->t[i];
        if (m->step[i] != STEP_OPEN || !uid_equal(&t->wish.order, &p.order) ||
            strcmp(t->wish.channel->name, p.channel) != 0)
            continue;
        t->out = p;
        m->step[i] = STEP_KNOWN;
    }
    return true;
}

/* --- what is wanted --------------------------------------------------------------------------- */

static enum status judge(struct making *m, const struct payment_wish *wish)
{
    const struct sale_item *item;
    const struct order *o = &m->order[id_list_find(m->id, m->orders, wish->order.b)];
    bool found = uid_equal(&o->id, &wish->order);
    const struct sale *sale = found ? snapshot_item(m->snap, o->item, &item) : NULL;
    if (!sale || !order_in_scope(o, &wish->scope))
        return ST_ORDER_NOT_FOUND;
    if (order_step(o->state, ORDER_PAY).st != ST_OK || clock_wall_ms() >= order_pay_by(o, sale))
        return ST_INVALID_STATE;
    return ST_OK;
}

static enum status judge_all(struct making *m)
{
    static const struct id_list list =
        ID_LIST("SELECT " PAYMENT_COLUMNS " FROM payments FORCE INDEX (by_order) "
                "WHERE state IN (1, 2) AND order_id IN (",
                ")");
    for (unsigned i = 0; i < m->n; i++) {
        enum status st = m->step[i] == STEP_OPEN ? judge(m, &m->t[i]->wish) : ST_OK;
        if (st != ST_OK)
            refuse(m, i, st);
    }
    if (m->orders == 0)
        return ST_OK;
    return id_list_run(m->s->sql, &list, NULL, 0, m->id, m->orders, on_open_attempt, m, NULL);
}

static void copy_text(char *out, size_t size, struct str v)
{
    size_t n = v.n < size ? v.n : size - 1;
    memcpy(out, v.p, n);
    out[n] = '\0';
}

static void fill_new(struct making *m, struct payment_try *t)
{
    const struct sale_item *item;
    const struct order *o = &m->order[id_list_find(m->id, m->orders, t->wish.order.b)];
    const struct sale *sale = snapshot_item(m->snap, o->item, &item);
    struct payment *p = &t->out;
    *p = (struct payment){.id = t->id,
                          .order = o->id,
                          .state = PAYMENT_CREATED,
                          .amount = o->amount,
                          .created_ms = clock_wall_ms(),
                          .phase = "full"};
    copy_text(p->channel, sizeof(p->channel), str_from(t->wish.channel->name));
    copy_text(p->return_url, sizeof(p->return_url), t->wish.return_url);
    memcpy(p->currency, sale->currency, sizeof(p->currency));
}

/* The first of those that want the same. */
static const struct payment_try *leader_of(const struct making *m, unsigned i)
{
    for (unsigned k = 0; k < i; k++)
        if (m->step[k] == STEP_NEW && m->t[k]->wish.channel == m->t[i]->wish.channel &&
            uid_equal(&m->t[k]->wish.order, &m->t[i]->wish.order))
            return m->t[k];
    return NULL;
}

static unsigned fill_rows(struct making *m)
{
    unsigned n = 0;
    for (unsigned i = 0; i < m->n; i++) {
        struct payment_try *t = m->t[i];
        if (m->step[i] != STEP_OPEN)
            continue;
        const struct payment_try *leader = m->orders < m->n ? leader_of(m, i) : NULL;
        m->step[i] = leader ? STEP_FOLLOWS : STEP_NEW;
        if (leader) {
            t->out = leader->out;
            continue;
        }
        fill_new(m, t);
        m->row[n++] = bulk_row(&t->out);
    }
    return n;
}

static enum status insert_new(struct making *m)
{
    unsigned n = fill_rows(m);
    if (n == 0)
        return ST_OK;
    return run_bulk(m,
                    "INSERT INTO payments (" PAYMENT_COLUMNS ") "
                    "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                    n, NULL);
}

/* --- recording -------------------------------------------------------------------------------- */

static void take_jobs(struct making *m, struct job **jobs, unsigned n)
{
    m->n = n;
    m->answers = 0;
    for (unsigned i = 0; i < n; i++)
        m->t[i] = CONTAINER_OF(jobs[i], struct payment_try, job);
}

static enum status end_transaction(struct making *m, enum status st)
{
    if (st == ST_OK)
        return sql_commit(m->s->sql);
    sql_rollback(m->s->sql);
    return st;
}

static enum status record_once(void *ctx, struct job **jobs, unsigned n, bool careful)
{
    struct making *m = ctx;
    take_jobs(m, jobs, n);
    enum status st = session_catalog(m->s, &m->snap);
    if (st == ST_OK)
        st = sql_begin(m->s->sql);
    if (st != ST_OK)
        return st;
    st = claim_keys(m);
    if (st == ST_OK)
        st = read_resumed(m, careful);
    if (st == ST_OK)
        st = lock_orders(m);
    if (st == ST_OK)
        st = judge_all(m);
    if (st == ST_OK)
        st = insert_new(m);
    for (unsigned i = 0; i < n && st == ST_OK; i++)
        if (m->step[i] == STEP_KNOWN && m->t[i]->out.state != PAYMENT_CREATED)
            keep_answer(m, m->t[i]);
    if (st == ST_OK)
        st = finish_keys(m);
    return end_transaction(m, st);
}

static void on_told(struct channel_call *call)
{
    struct payment_try *t = CONTAINER_OF(call, struct payment_try, call);
    CRASH_POINT(payment_after_call);
    t->call_us = clock_mono_us() - t->call_us;
    t->told = true;
    if (call->st != ST_OK)
        LOG(t->engine->log, LOG_WARN, "channel_refused", LF_Z("channel", t->wish.channel->name),
            LF_Z("status", status_info(call->st)->name));
    jobs_resubmit(t->engine->payments, &t->job);
}

static void tell(struct session *s, struct payment_try *t)
{
    const struct payment *p = &t->out;
    t->engine = s->engine;
    t->call_us = clock_mono_us();
    t->call = (struct channel_call){.trade = {.payment = p->id,
                                              .order = p->order,
                                              .amount = p->amount,
                                              .return_url = str_from(p->return_url)},
                                    .ended = on_told};
    memcpy(t->call.trade.currency, p->currency, sizeof(p->currency));
    CRASH_POINT(payment_before_call);
    t->wish.channel->create(t->wish.state, &t->call);
}

static enum status shown(enum status st)
{
    return st == ST_INTERNAL ? st : ST_UNAVAILABLE;
}

/* Their keys are to be taken up at once, unless MariaDB is away: asking it for each would keep all
 * of them waiting, each for a time-out more than the one before. */
static void let_go(struct session *s, struct job **jobs, unsigned n)
{
    bool heard = true;
    for (unsigned i = 0; i < n && heard; i++) {
        const struct payment_try *t = CONTAINER_OF(jobs[i], struct payment_try, job);
        if (has_key(t))
            heard = idem_abandon(s, t->key, ST_UNAVAILABLE);
    }
}

static void recorded(void *ctx, struct job **jobs, unsigned n, enum status st)
{
    struct making *m = ctx;
    if (st == ST_OK && m->claims > 0)
        CRASH_POINT(idem_after_claim);
    if (st == ST_UNKNOWN)
        let_go(m->s, jobs, n);
    for (unsigned i = 0; i < n; i++) {
        struct payment_try *t = CONTAINER_OF(jobs[i], struct payment_try, job);
        if (st == ST_OK && t->st == ST_OK && !t->replayed && t->out.state == PAYMENT_CREATED) {
            tell(m->s, t);
            continue;
        }
        if (st != ST_OK)
            t->st = shown(st);
        job_return(&t->job);
    }
}

/* --- noting ----------------------------------------------------------------------------------- */

static int by_id(const void *a, const void *b)
{
    return memcmp(a, b, UID_LEN);
}

static enum status note_all(struct making *m, unsigned n)
{
    static const struct id_list list = ID_LIST(
        "SELECT " PAYMENT_COLUMNS " FROM payments FORCE INDEX (PRIMARY) WHERE id IN (", ")");
    uint64_t changed = 0;
    qsort(m->row, n, sizeof(m->row[0]), by_id);
    /* An UPDATE in fact, for the rows are there: MariaDB takes an array of INSERTs as one statement
     * and runs one of UPDATEs one after the other. Each changed row counts twice. */
    enum status st = run_bulk(m,
                              "INSERT INTO payments (" PAYMENT_COLUMNS ") "
                              "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON DUPLICATE KEY UPDATE "
                              "action_url = IF(state = 1, VALUES(action_url), action_url), "
                              "channel_ref = IF(state = 1, VALUES(channel_ref), channel_ref), "
                              "state = IF(state = 1, 2, state)",
                              n, &changed);
    if (st != ST_OK || changed == 2 * (uint64_t)n)
        return st;
    /* A notification may have been quicker, or another try: they know better. */
    for (unsigned i = 0; i < n; i++)
        m->id[i] = m->row[i].id;
    n = id_list_sort(m->id, n);
    return id_list_run(m->s->sql, &list, NULL, 0, m->id, n, on_same_id, m, NULL);
}

/* What the answer will be unless on_same_id finds another. */
static void take_answer(struct payment_try *t)
{
    struct payment *p = &t->out;
    p->state = PAYMENT_PENDING;
    memcpy(p->action_url, t->call.answer.url, sizeof(p->action_url));
    memcpy(p->channel_ref, t->call.answer.ref, sizeof(p->channel_ref));
}

static enum status note_once(void *ctx, struct job **jobs, unsigned n, bool careful)
{
    struct making *m = ctx;
    unsigned noted = 0;
    take_jobs(m, jobs, n);
    enum status st = sql_begin(m->s->sql);
    if (st != ST_OK)
        return st;
    for (unsigned i = 0; i < n; i++) {
        struct payment_try *t = m->t[i];
        m->step[i] = STEP_OPEN;
        t->id = t->out.id;
        if (t->call.st != ST_OK) {
            refuse(m, i, ST_UNAVAILABLE);
            continue;
        }
        take_answer(t);
        m->row[noted++] = bulk_row(&t->out);
    }
    if (noted > 0)
        st = note_all(m, noted);
    for (unsigned i = 0; i < n && st == ST_OK; i++)
        if (m->t[i]->st == ST_OK)
            keep_answer(m, m->t[i]);
    if (st == ST_OK)
        st = finish_keys(m);
    return end_transaction(m, st);
}

static void noted(void *ctx, struct job **jobs, unsigned n, enum status st)
{
    struct making *m = ctx;
    if (st != ST_OK)
        let_go(m->s, jobs, n);
    for (unsigned i = 0; i < n; i++) {
        struct payment_try *t = CONTAINER_OF(jobs[i], struct payment_try, job);
        metrics_time(m->s->metrics, MT_CHANNEL, t->call_us);
        if (st != ST_OK)
            t->st = shown(st);
        job_return(&t->job);
    }
}

/* --- the pool --------------------------------------------------------------------------------- */

static void work(struct session *s, struct job **jobs, unsigned n)
{
    static const struct group_kind recording = {record_once, recorded};
    static const struct group_kind noting = {note_once, noted};
    struct job *wishes[PAYMENT_GROUP_MAX], *told[PAYMENT_GROUP_MAX];
    unsigned wished = 0, tellings = 0;
    struct making *m = malloc(sizeof(*m));
    for (unsigned i = 0; i < n; i++) {
        struct payment_try *t = CONTAINER_OF(jobs[i], struct payment_try, job);
        if (!m || (!t->told && job_late(jobs[i]))) {
            t->st = ST_OVERLOADED;
            job_return(jobs[i]);
        } else if (t->told) {
            told[tellings++] = jobs[i];
        } else {
            wishes[wished++] = jobs[i];
        }
    }
    if (!m)
        return;
    m->s = s;
    group_run(s, &noting, m, told, tellings);
    group_run(s, &recording, m, wishes, wished);
    free(m);
}

const struct jobs_group payments_group = {work, PAYMENT_GROUP_MAX, MT_PAYMENT_WAIT, MT_PAYMENT,
                                          MS_PAYMENT_GROUP};
