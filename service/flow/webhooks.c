/* Notifications of channels: recorded once, applied once. */
#include "base/clock.h"
#include "base/crash.h"
#include "flow/engine.h"
#include "flow/payments.h"

enum { TRIES = 5 };

struct settle {
    struct session *s;
    const struct channel *channel;
    const struct channel_event *event;
    enum webhook_outcome outcome;
    struct uid order; /* of the payment */
    enum payment_state state;
    int64_t amount;
    char currency[4];
    bool found;
    bool paid; /* the order became paid */
};

const char *webhook_outcome_text(enum webhook_outcome o)
{
    static const char *const text[] = {"applied",   "repeated", "unmatched",
                                       "unapplied", "mismatch", "ignored"};
    return text[o];
}

static bool on_payment(void *arg, const struct sql_val *c, unsigned n)
{
    struct settle *t = arg;
    memcpy(t->order.b, c[0].s.p, UID_LEN);
    t->state = (enum payment_state)c[1].i;
    t->amount = c[2].i;
    memcpy(t->currency, c[3].s.p, 3);
    return t->found = true;
}

static enum status record_event(struct settle *t)
{
    const struct channel_event *e = t->event;
    const struct sql_val row[] = {SQL_Z(t->channel->name),
                                  SQL_Z(e->id),
                                  SQL_BYTES(e->payment.b, UID_LEN),
                                  SQL_BYTES(e->order.b, UID_LEN),
                                  SQL_Z(e->type),
                                  SQL_INT(e->amount),
                                  SQL_Z(e->currency),
                                  SQL_Z(e->ref),
                                  SQL_Z(webhook_outcome_text(t->outcome)),
                                  SQL_INT(clock_wall_ms())};
    return sql_run(t->s->sql,
                   "INSERT INTO webhook_events (channel, event, payment, order_id, type, amount, "
                   "currency, channel_ref, outcome, received_ms) "
                   "VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
                   row, 10, NULL, NULL, NULL);
}

static enum status move_payment(struct settle *t, enum payment_event event)
{
    struct payment_step step = payment_step(t->state, event);
    if (step.st != ST_OK || !step.changes) {
        t->outcome = WEBHOOK_REPEATED;
        return ST_OK;
    }
    const struct sql_val args[] = {SQL_INT(step.to), SQL_INT(clock_wall_ms()), SQL_Z(t->event->ref),
                                   SQL_BYTES(t->event->payment.b, UID_LEN), SQL_INT(t->state)};
    t->outcome = step.to == PAYMENT_UNAPPLIED ? WEBHOOK_UNAPPLIED : WEBHOOK_APPLIED;
    return sql_run(t->s->sql,
                   "UPDATE payments SET state = ?, changed_ms = ?, channel_ref = ? "
                   "WHERE id = ? AND state = ?",
                   args, 5, NULL, NULL, NULL);
}

/* Money arrived: does the (locked) order take it? */
static enum status apply_capture(struct settle *t, struct order *o)
{
    struct order_step step = order_step(o->state, ORDER_PAY);
    bool takes = step.st == ST_OK;
    enum status st = move_payment(t, takes ? PAYMENT_CAPTURED : PAYMENT_CAPTURED_LATE);
    if (st == ST_OK && takes && t->outcome == WEBHOOK_APPLIED) {
        st = order_move(t->s, o, step.to);
        t->paid = st == ST_OK;
    }
    return st;
}

static enum status apply(struct settle *t)
{
    const struct channel_event *e = t->event;
    const struct sql_val key[] = {SQL_BYTES(e->payment.b, UID_LEN), SQL_Z(t->channel->name)};
    static const char text[] = "SELECT order_id, state, amount, currency FROM payments "
                               "WHERE id = ? AND channel = ?";
    static const char locked[] = "SELECT order_id, state, amount, currency FROM payments "
                                 "WHERE id = ? AND channel = ? FOR UPDATE";
    enum status st = sql_run(t->s->sql, text, key, 2, on_payment, t, NULL);
    if (st != ST_OK)
        return st;
    if (!t->found) {
        t->outcome = WEBHOOK_UNMATCHED;
        return ST_OK;
    }
    if (e->kind == CHANNEL_OTHER) {
        t->outcome = WEBHOOK_IGNORED;
        return ST_OK;
    }
    if (e->amount != t->amount || strcmp(e->currency, t->currency) != 0) {
        t->outcome = WEBHOOK_MISMATCH;
        return ST_OK;
    }
    /* Order before payment, as payment_create locks them. */
    struct order o;
    st = order_lock(t->s, &t->order, &o);
    if (st == ST_OK)
        st = sql_run(t->s->sql, locked, key, 2, on_payment, t, NULL);
    if (st != ST_OK)
        return st == ST_ORDER_NOT_FOUND ? ST_INTERNAL : st;
    return e->kind == CHANNEL_CAPTURED ? apply_capture(t, &o) : move_payment(t, PAYMENT_DECLINED);
}

static enum status settle_once(struct settle *t)
{
    t->found = t->paid = false;
    enum status st = sql_begin(t->s->sql);
    if (st == ST_OK)
        st = apply(t);
    if (st == ST_OK)
        st = record_event(t);
    CRASH_POINT(webhook_before_commit);
    if (st == ST_OK)
        return sql_commit(t->s->sql);
    sql_rollback(t->s->sql);
    return st;
}

static void count(struct settle *t)
{
    struct metrics_block *m = t->s->metrics;
    metrics_add(m, M_WEBHOOKS, 1);
    metrics_add(m, M_WEBHOOKS_REPEATED, t->outcome == WEBHOOK_REPEATED);
    metrics_add(m, M_WEBHOOKS_UNMATCHED, t->outcome == WEBHOOK_UNMATCHED);
    metrics_add(m, M_PAYMENTS_UNAPPLIED, t->outcome == WEBHOOK_UNAPPLIED);
    metrics_add(m, M_ORDERS_PAID, t->paid);
}

enum status webhook_apply(struct session *s, const struct channel *channel,
                          const struct channel_event *event, enum webhook_outcome *outcome)
{
    struct settle t = {.s = s, .channel = channel, .event = event};
    enum status st = ST_CONFLICT;
    /* A lost answer is safe to repeat: the event's row says whether it was applied. */
    for (int i = 0; i < TRIES && (st == ST_CONFLICT || st == ST_UNKNOWN); i++)
        st = settle_once(&t);
    CRASH_POINT(webhook_after_commit);
    if (st == ST_DUPLICATE) {
        t.outcome = WEBHOOK_REPEATED;
        t.paid = false;
        st = ST_OK;
    }
    if (st != ST_OK)
        return st == ST_INTERNAL ? st : ST_UNAVAILABLE;
    count(&t);
    if (t.outcome == WEBHOOK_UNMATCHED || t.outcome == WEBHOOK_UNAPPLIED ||
        t.outcome == WEBHOOK_MISMATCH)
        LOG(s->engine->log, LOG_WARN, "webhook_needs_a_look", LF_Z("channel", channel->name),
            LF_Z("channel_event", event->id), LF_Z("outcome", webhook_outcome_text(t.outcome)),
            LF_INT("amount", event->amount));
    *outcome = t.outcome;
    return ST_OK;
}
