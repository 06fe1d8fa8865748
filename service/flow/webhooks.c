/* Notifications of channels: recorded once, applied once, many in one transaction.
 *
 * A group locks its orders, then the payments (as payment_record.c does; ids in order, so that
 * groups of several instances wait for each other and do not deadlock), decides in memory, and
 * writes payments, orders and events in bulk. A lost answer is safe to repeat: the events' rows say
 * whether they were applied. */
#include "base/clock.h"
#include "base/crash.h"
#include "flow/engine.h"
#include "flow/group.h"
#include "flow/id_list.h"
#include "flow/payments.h"

#include <stdlib.h>

_Static_assert((int)WEBHOOK_GROUP_MAX <= (int)ID_LIST_MAX, "a group's ids are one list");

/* A payment that the group is about; `now` is what the group makes of it. */
struct attempt {
    struct uid order;
    enum payment_state was, now;
    int64_t amount;
    char currency[4], channel[17], channel_ref[CHANNEL_REF_MAX + 1];
    const char *ref; /* of the event that moved it */
    bool found;
};

struct debt {
    enum order_state was, now;
    bool found;
};

struct event_row {
    struct uid payment, order;
    struct str channel, event, type, currency, ref, outcome;
    int64_t amount, received_ms;
};

struct payment_move {
    struct uid id;
    uint32_t from, to;
    int64_t now_ms;
    struct str ref;
};

struct settle {
    struct session *s;
    struct webhook *w[WEBHOOK_GROUP_MAX];
    unsigned n, payments, orders, locked;
    struct uid payment[WEBHOOK_GROUP_MAX], order[WEBHOOK_GROUP_MAX], lock[WEBHOOK_GROUP_MAX];
    struct attempt attempt[WEBHOOK_GROUP_MAX]; /* of payment[] */
    struct debt debt[WEBHOOK_GROUP_MAX];       /* of order[] */
    struct event_row row[WEBHOOK_GROUP_MAX];
    struct payment_move move[WEBHOOK_GROUP_MAX];
    bool known[WEBHOOK_GROUP_MAX]; /* of w[]: the event was here before */
};

const char *webhook_outcome_text(enum webhook_outcome o)
{
    static const char *const text[] = {"applied",   "repeated", "unmatched",
                                       "unapplied", "mismatch", "ignored"};
    return text[o];
}

/* --- reading ---------------------------------------------------------------------------------- */

static bool on_payment(void *arg, const struct sql_val *c, unsigned n)
{
    struct settle *t = arg;
    unsigned at = id_list_find(t->payment, t->payments, c[0].s.p);
    if (at == t->payments)
        return true;
    struct attempt *a = &t->attempt[at];
    *a = (struct attempt){.was = (enum payment_state)c[2].i, .amount = c[3].i, .found = true};
    a->now = a->was;
    memcpy(a->order.b, c[1].s.p, UID_LEN);
    memcpy(a->currency, c[4].s.p, 3);
    memcpy(a->channel, c[5].s.p, c[5].s.n < sizeof(a->channel) ? c[5].s.n : 0);
    memcpy(a->channel_ref, c[6].s.p, c[6].s.n < sizeof(a->channel_ref) ? c[6].s.n : 0);
    return true;
}

static bool on_order(void *arg, const struct sql_val *c, unsigned n)
{
    struct settle *t = arg;
    unsigned at = id_list_find(t->order, t->orders, c[0].s.p);
    if (at < t->orders)
        t->debt[at] =
            (struct debt){(enum order_state)c[1].i, (enum order_state)c[1].i, .found = true};
    return true;
}

static struct attempt *attempt_of(struct settle *t, const struct webhook *w)
{
    return &t->attempt[id_list_find(t->payment, t->payments, w->event.payment.b)];
}

#define ATTEMPTS                                                                        \
    "SELECT id, order_id, state, amount, currency, channel, channel_ref FROM payments " \
    "FORCE INDEX (PRIMARY) WHERE id IN ("

static bool names_order(const struct webhook *w)
{
    static const struct uid none;
    return !uid_equal(&w->event.order, &none);
}

/* Of events that name no order, it is the payment's that is theirs. */
static enum status read_payments(struct settle *t)
{
    static const struct id_list list = ID_LIST(ATTEMPTS, ")");
    bool asks = false;
    for (unsigned i = 0; i < t->n; i++) {
        t->payment[i] = t->w[i]->event.payment;
        asks = asks || !names_order(t->w[i]);
    }
    t->payments = id_list_sort(t->payment, t->n);
    memset(t->attempt, 0, sizeof(t->attempt[0]) * t->payments);
    if (!asks)
        return ST_OK;
    return id_list_run(t->s->sql, &list, NULL, 0, t->payment, t->payments, on_payment, t, NULL);
}

/* The order that the event is about, or NULL. */
static const struct uid *order_of(struct settle *t, const struct webhook *w)
{
    const struct attempt *a = attempt_of(t, w);
    if (names_order(w))
        return &w->event.order;
    return a->found ? &a->order : NULL;
}

/* Orders before payments, as payment_record.c locks them. */
static enum status lock_rows(struct settle *t)
{
    static const struct id_list orders =
        ID_LIST("SELECT id, state FROM orders FORCE INDEX (PRIMARY) WHERE id IN (",
                ") ORDER BY id FOR UPDATE");
    static const struct id_list payments = ID_LIST(ATTEMPTS, ") ORDER BY id FOR UPDATE");
    unsigned n = 0;
    for (unsigned i = 0; i < t->n; i++) {
        const struct uid *order = t->known[i] ? NULL : order_of(t, t->w[i]);
        if (!order)
            continue;
        t->order[n] = *order;
        t->lock[n++] = t->w[i]->event.payment;
    }
    t->orders = id_list_sort(t->order, n);
    t->locked = id_list_sort(t->lock, n);
    memset(t->debt, 0, sizeof(t->debt[0]) * t->orders);
    if (n == 0)
        return ST_OK;
    enum status st =
        id_list_run(t->s->sql, &orders, NULL, 0, t->order, t->orders, on_order, t, NULL);
    if (st != ST_OK)
        return st;
    return id_list_run(t->s->sql, &payments, NULL, 0, t->lock, t->locked, on_payment, t, NULL);
}

/* --- deciding --------------------------------------------------------------------------------- */

/* WEBHOOK_APPLIED where the states decide. */
static enum webhook_outcome first_look(struct settle *t, const struct webhook *w)
{
    const struct attempt *a = attempt_of(t, w);
    const struct channel_event *e = &w->event;
    if (!a->found || strcmp(a->channel, w->channel->name) != 0)
        return WEBHOOK_UNMATCHED;
    if (e->kind == CHANNEL_OTHER)
        return WEBHOOK_IGNORED;
    if (e->amount != a->amount || strcmp(e->currency, a->currency) != 0 ||
        !uid_equal(order_of(t, w), &a->order))
        return WEBHOOK_MISMATCH;
    return WEBHOOK_APPLIED;
}

static enum webhook_outcome move_attempt(struct attempt *a, const char *ref,
                                         enum payment_event event)
{
    struct payment_step step = payment_step(a->now, event);
    if (step.st != ST_OK || !step.changes)
        return WEBHOOK_REPEATED;
    a->now = step.to;
    a->ref = ref;
    return step.to == PAYMENT_UNAPPLIED ? WEBHOOK_UNAPPLIED : WEBHOOK_APPLIED;
}

static enum status decide(struct settle *t, struct webhook *w)
{
    struct attempt *a = attempt_of(t, w);
    unsigned at = id_list_find(t->order, t->orders, a->order.b);
    if (at == t->orders || !t->debt[at].found)
        return ST_INTERNAL;
    struct debt *d = &t->debt[at];
    if (w->event.kind == CHANNEL_DECLINED) {
        w->outcome = move_attempt(a, w->event.ref, PAYMENT_DECLINED);
        return ST_OK;
    }
    /* Money arrived: does the order take it? */
    struct order_step step = order_step(d->now, ORDER_PAY);
    bool takes = step.st == ST_OK;
    w->outcome = move_attempt(a, w->event.ref, takes ? PAYMENT_CAPTURED : PAYMENT_CAPTURED_LATE);
    w->paid = takes && w->outcome == WEBHOOK_APPLIED;
    if (w->paid)
        d->now = step.to;
    return ST_OK;
}

static enum status decide_all(struct settle *t)
{
    enum status st = ST_OK;
    for (unsigned i = 0; i < t->n && st == ST_OK; i++) {
        struct webhook *w = t->w[i];
        if (!t->known[i] && (w->outcome = first_look(t, w)) == WEBHOOK_APPLIED)
            st = decide(t, w);
    }
    return st;
}

/* --- writing ---------------------------------------------------------------------------------- */

static enum status all_of(enum status st, uint64_t changed, unsigned n)
{
    return st == ST_OK && changed != n ? ST_CONFLICT : st;
}

/* A payment as nearly all are: pending, captured, and named by the channel as it was before. */
static bool is_usual(const struct attempt *a)
{
    return a->was == PAYMENT_PENDING && a->now == PAYMENT_SUCCEEDED &&
           strcmp(a->ref, a->channel_ref) == 0;
}

/* One statement for all of them: of an array of UPDATEs MariaDB runs one after the other. */
static enum status write_usual(struct settle *t)
{
    static const struct id_list list =
        ID_LIST("UPDATE payments SET state = ?, changed_ms = ? WHERE state = ? AND id IN (", ")");
    uint64_t changed = 0;
    unsigned n = 0;
    for (unsigned i = 0; i < t->payments; i++)
        if (t->attempt[i].now != t->attempt[i].was && is_usual(&t->attempt[i]))
            t->lock[n++] = t->payment[i];
    if (n == 0)
        return ST_OK;
    const struct sql_val first[] = {SQL_INT(PAYMENT_SUCCEEDED), SQL_INT(clock_wall_ms()),
                                    SQL_INT(PAYMENT_PENDING)};
    enum status st = id_list_run(t->s->sql, &list, first, 3, t->lock, n, NULL, NULL, &changed);
    return all_of(st, changed, n);
}

static enum status write_unusual(struct settle *t)
{
    const size_t stride = sizeof(t->move[0]);
    const struct sql_col cols[] = {{SQL_C_U32, &t->move[0].to, stride, 0},
                                   {SQL_C_I64, &t->move[0].now_ms, stride, 0},
                                   {SQL_C_VAR, &t->move[0].ref, stride, 0},
                                   {SQL_C_FIXED, &t->move[0].id, stride, UID_LEN},
                                   {SQL_C_U32, &t->move[0].from, stride, 0}};
    uint64_t changed = 0;
    unsigned n = 0;
    for (unsigned i = 0; i < t->payments; i++) {
        const struct attempt *a = &t->attempt[i];
        if (a->now != a->was && !is_usual(a))
            t->move[n++] = (struct payment_move){t->payment[i], a->was, a->now, clock_wall_ms(),
                                                 str_from(a->ref)};
    }
    if (n == 0)
        return ST_OK;
    enum status st = sql_run_bulk(t->s->sql,
                                  "UPDATE payments SET state = ?, changed_ms = ?, channel_ref = ? "
                                  "WHERE id = ? AND state = ?",
                                  cols, 5, n, NULL, NULL, &changed);
    return all_of(st, changed, n);
}

/* All of them go the same way: from pending to paid. */
static enum status write_orders(struct settle *t)
{
    static const struct id_list list =
        ID_LIST("UPDATE orders SET state = ?, changed_ms = ? WHERE state = ? AND id IN (", ")");
    struct uid moved[WEBHOOK_GROUP_MAX];
    uint64_t changed = 0;
    unsigned n = 0;
    for (unsigned i = 0; i < t->orders; i++)
        if (t->debt[i].now != t->debt[i].was)
            moved[n++] = t->order[i];
    if (n == 0)
        return ST_OK;
    const struct sql_val first[] = {SQL_INT(ORDER_PAID), SQL_INT(clock_wall_ms()),
                                    SQL_INT(ORDER_PENDING)};
    enum status st = id_list_run(t->s->sql, &list, first, 3, moved, n, NULL, NULL, &changed);
    return all_of(st, changed, n);
}

static struct event_row event_row(const struct webhook *w)
{
    const struct channel_event *e = &w->event;
    return (struct event_row){.payment = e->payment,
                              .order = e->order,
                              .channel = str_from(w->channel->name),
                              .event = str_from(e->id),
                              .type = str_from(e->type),
                              .currency = str_from(e->currency),
                              .ref = str_from(e->ref),
                              .outcome = str_from(webhook_outcome_text(w->outcome)),
                              .amount = e->amount,
                              .received_ms = clock_wall_ms()};
}

static enum status write_events(struct settle *t)
{
    const struct event_row *r = t->row;
    const size_t stride = sizeof(*r);
    const struct sql_col cols[] = {{SQL_C_VAR, &r->channel, stride, 0},
                                   {SQL_C_VAR, &r->event, stride, 0},
                                   {SQL_C_FIXED, &r->payment, stride, UID_LEN},
                                   {SQL_C_FIXED, &r->order, stride, UID_LEN},
                                   {SQL_C_VAR, &r->type, stride, 0},
                                   {SQL_C_I64, &r->amount, stride, 0},
                                   {SQL_C_VAR, &r->currency, stride, 0},
                                   {SQL_C_VAR, &r->ref, stride, 0},
                                   {SQL_C_VAR, &r->outcome, stride, 0},
                                   {SQL_C_I64, &r->received_ms, stride, 0}};
    unsigned n = 0;
    for (unsigned i = 0; i < t->n; i++)
        if (!t->known[i])
            t->row[n++] = event_row(t->w[i]);
    if (n == 0)
        return ST_OK;
    return sql_run_bulk(t->s->sql,
                        "INSERT INTO webhook_events (channel, event, payment, order_id, type, "
                        "amount, currency, channel_ref, outcome, received_ms) "
                        "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                        cols, 10, n, NULL, NULL, NULL);
}

/* --- the transaction -------------------------------------------------------------------------- */

static bool on_known(void *arg, const struct sql_val *c, unsigned n)
{
    return *(bool *)arg = true;
}

/* Marks events that are recorded, or earlier in this very group. */
static enum status find_known(struct settle *t)
{
    enum status st = ST_OK;
    for (unsigned i = 0; i < t->n && st == ST_OK; i++) {
        struct webhook *w = t->w[i];
        for (unsigned k = 0; k < i && !t->known[i]; k++)
            t->known[i] =
                t->w[k]->channel == w->channel && strcmp(t->w[k]->event.id, w->event.id) == 0;
        const struct sql_val key[] = {SQL_Z(w->channel->name), SQL_Z(w->event.id)};
        if (!t->known[i])
            st = sql_run(t->s->sql, "SELECT 1 FROM webhook_events WHERE channel = ? AND event = ?",
                         key, 2, on_known, &t->known[i], NULL);
        if (t->known[i])
            w->outcome = WEBHOOK_REPEATED;
    }
    return st;
}

static enum status settle_once(struct settle *t, bool careful)
{
    memset(t->known, 0, sizeof(t->known));
    for (unsigned i = 0; i < t->n; i++)
        t->w[i]->paid = false;
    enum status st = sql_begin(t->s->sql);
    if (st != ST_OK)
        return st;
    if (careful)
        st = find_known(t);
    if (st == ST_OK)
        st = read_payments(t);
    if (st == ST_OK)
        st = lock_rows(t);
    if (st == ST_OK)
        st = decide_all(t);
    if (st == ST_OK)
        st = write_usual(t);
    if (st == ST_OK)
        st = write_unusual(t);
    if (st == ST_OK)
        st = write_orders(t);
    if (st == ST_OK)
        st = write_events(t);
    CRASH_POINT(webhook_before_commit);
    if (st == ST_OK)
        return sql_commit(t->s->sql);
    sql_rollback(t->s->sql);
    return st;
}

/* --- groups ----------------------------------------------------------------------------------- */

static void settled(struct session *s, struct webhook *w)
{
    struct metrics_block *m = s->metrics;
    w->st = ST_OK;
    metrics_add(m, M_WEBHOOKS, 1);
    metrics_add(m, M_WEBHOOKS_REPEATED, w->outcome == WEBHOOK_REPEATED);
    metrics_add(m, M_WEBHOOKS_UNMATCHED, w->outcome == WEBHOOK_UNMATCHED);
    metrics_add(m, M_PAYMENTS_UNAPPLIED, w->outcome == WEBHOOK_UNAPPLIED);
    metrics_add(m, M_ORDERS_PAID, w->paid);
    if (w->outcome == WEBHOOK_UNMATCHED || w->outcome == WEBHOOK_UNAPPLIED ||
        w->outcome == WEBHOOK_MISMATCH)
        LOG(s->engine->log, LOG_WARN, "webhook_needs_a_look", LF_Z("channel", w->channel->name),
            LF_Z("channel_event", w->event.id), LF_Z("outcome", webhook_outcome_text(w->outcome)),
            LF_INT("amount", w->event.amount));
}

static enum status once(void *ctx, struct job **jobs, unsigned n, bool careful)
{
    struct settle *t = ctx;
    t->n = n;
    for (unsigned i = 0; i < n; i++)
        t->w[i] = CONTAINER_OF(jobs[i], struct webhook, job);
    return settle_once(t, careful);
}

static void ended(void *ctx, struct job **jobs, unsigned n, enum status st)
{
    struct settle *t = ctx;
    CRASH_POINT(webhook_after_commit);
    for (unsigned i = 0; i < n; i++) {
        struct webhook *w = CONTAINER_OF(jobs[i], struct webhook, job);
        if (st == ST_OK)
            settled(t->s, w);
        else
            w->st = st == ST_INTERNAL ? st : ST_UNAVAILABLE;
    }
}

void webhooks_apply(struct session *s, struct job **jobs, unsigned n)
{
    static const struct group_kind kind = {once, ended};
    struct settle *t = malloc(sizeof(*t));
    for (unsigned i = 0; i < n; i++)
        CONTAINER_OF(jobs[i], struct webhook, job)->st = ST_OVERLOADED;
    if (!t)
        return;
    t->s = s;
    group_run(s, &kind, t, jobs, n);
    free(t);
}

static void work(struct session *s, struct job **jobs, unsigned n)
{
    struct job *in_time[WEBHOOK_GROUP_MAX];
    unsigned many = 0;
    for (unsigned i = 0; i < n; i++) {
        CONTAINER_OF(jobs[i], struct webhook, job)->st = ST_OVERLOADED;
        if (!job_late(jobs[i]))
            in_time[many++] = jobs[i];
    }
    webhooks_apply(s, in_time, many);
    for (unsigned i = 0; i < n; i++)
        job_return(jobs[i]);
}

const struct jobs_group webhooks_group = {work, WEBHOOK_GROUP_MAX, MT_WEBHOOK_WAIT, MT_WEBHOOK,
                                          MS_WEBHOOK_GROUP};
