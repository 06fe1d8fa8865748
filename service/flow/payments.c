#include "flow/payments.h"

#include "base/clock.h"
#include "base/crash.h"
#include "flow/engine.h"

#include <stdlib.h>

#define PAYMENT_COLUMNS                                                                            \
    "id, order_id, state, amount, created_ms, channel, phase, currency, channel_ref, action_url, " \
    "return_url"

static void copy_col(char *out, size_t size, struct str v)
{
    size_t n = v.n < size ? v.n : size - 1;
    memcpy(out, v.p, n);
    out[n] = '\0';
}

static void payment_from_row(struct payment *p, const struct sql_val *c)
{
    *p = (struct payment){
        .state = (enum payment_state)c[2].i, .amount = c[3].i, .created_ms = c[4].i};
    memcpy(p->id.b, c[0].s.p, UID_LEN);
    memcpy(p->order.b, c[1].s.p, UID_LEN);
    copy_col(p->channel, sizeof(p->channel), c[5].s);
    copy_col(p->phase, sizeof(p->phase), c[6].s);
    copy_col(p->currency, sizeof(p->currency), c[7].s);
    copy_col(p->channel_ref, sizeof(p->channel_ref), c[8].s);
    copy_col(p->action_url, sizeof(p->action_url), c[9].s);
    copy_col(p->return_url, sizeof(p->return_url), c[10].s);
}

struct collect {
    struct payment *out;
    unsigned n, max;
};

static bool on_payment(void *arg, const struct sql_val *c, unsigned n)
{
    struct collect *k = arg;
    payment_from_row(&k->out[k->n++], c);
    return k->n < k->max;
}

enum status payments_of_order(struct session *s, struct order *o)
{
    struct payment *all = calloc(ORDER_PAYMENTS_MAX, sizeof(*all));
    struct collect k = {all, 0, ORDER_PAYMENTS_MAX};
    const struct sql_val key[] = {SQL_BYTES(o->id.b, UID_LEN)};
    if (!all)
        return ST_UNAVAILABLE;
    enum status st = sql_run(s->sql,
                             "SELECT " PAYMENT_COLUMNS " FROM payments WHERE order_id = ? "
                             "ORDER BY id DESC LIMIT 20",
                             key, 1, on_payment, &k, NULL);
    o->payments = 0;
    o->payment = NULL;
    if (st != ST_OK || k.n == 0) {
        free(all);
        return st;
    }
    o->payment = all;
    o->payments = k.n;
    return ST_OK;
}

static enum status payment_read(struct session *s, const char *text, const struct uid *id,
                                struct payment *out)
{
    struct collect k = {out, 0, 1};
    const struct sql_val key[] = {SQL_BYTES(id->b, UID_LEN)};
    enum status st = sql_run(s->sql, text, key, 1, on_payment, &k, NULL);
    return st == ST_OK && k.n == 0 ? ST_PAYMENT_NOT_FOUND : st;
}

static const char read_plain[] = "SELECT " PAYMENT_COLUMNS " FROM payments WHERE id = ?";
enum status payment_get(struct session *s, const struct uid *id, const struct order_scope *scope,
                        struct payment *out)
{
    struct order o = {0};
    enum status st = payment_read(s, read_plain, id, out);
    if (st != ST_OK)
        return st;
    st = order_get(s, &out->order, scope, &o);
    order_free(&o);
    return st == ST_ORDER_NOT_FOUND ? ST_PAYMENT_NOT_FOUND : st;
}

/* --- making one ------------------------------------------------------------------------------- */

static enum status insert_payment(struct session *s, const struct payment_wish *wish,
                                  const struct order *o, const struct sale *sale,
                                  struct payment *out)
{
    *out = (struct payment){.id = wish->id,
                            .order = o->id,
                            .state = PAYMENT_CREATED,
                            .amount = o->amount,
                            .created_ms = clock_wall_ms(),
                            .phase = "full"};
    copy_col(out->channel, sizeof(out->channel), str_from(wish->channel->name));
    copy_col(out->return_url, sizeof(out->return_url), wish->return_url);
    memcpy(out->currency, sale->currency, sizeof(out->currency));
    const struct sql_val row[] = {SQL_BYTES(out->id.b, UID_LEN), SQL_BYTES(o->id.b, UID_LEN),
                                  SQL_Z(out->channel),           SQL_Z(out->phase),
                                  SQL_INT(out->state),           SQL_INT(out->amount),
                                  SQL_Z(out->currency),          SQL_Z(out->return_url),
                                  SQL_INT(out->created_ms)};
    return sql_run(s->sql,
                   "INSERT INTO payments (id, order_id, channel, phase, state, amount, currency, "
                   "return_url, created_ms) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
                   row, 9, NULL, NULL, NULL);
}

static enum status find_open(struct session *s, const struct payment_wish *wish, bool *found,
                             struct payment *out)
{
    struct collect k = {out, 0, 1};
    const struct sql_val key[] = {SQL_BYTES(wish->order.b, UID_LEN), SQL_Z(wish->channel->name)};
    enum status st = sql_run(s->sql,
                             "SELECT " PAYMENT_COLUMNS " FROM payments WHERE order_id = ? AND "
                             "channel = ? AND state IN (1, 2) LIMIT 1",
                             key, 2, on_payment, &k, NULL);
    *found = k.n > 0;
    return st;
}

/* The order's lock keeps two wishes for one order apart. */
static enum status record_payment(struct session *s, const struct payment_wish *wish,
                                  struct payment *out)
{
    struct order o;
    const struct snapshot *snap;
    const struct sale_item *item;
    bool open = false;
    enum status st = session_catalog(s, &snap);
    if (st == ST_OK)
        st = sql_begin(s->sql);
    if (st != ST_OK)
        return st;
    st = order_lock(s, &wish->order, &o);
    const struct sale *sale = st == ST_OK ? snapshot_item(snap, o.item, &item) : NULL;
    if (st == ST_OK && (!order_in_scope(&o, &wish->scope) || !sale))
        st = ST_ORDER_NOT_FOUND;
    if (st == ST_OK &&
        (order_step(o.state, ORDER_PAY).st != ST_OK || clock_wall_ms() >= order_pay_by(&o, sale)))
        st = ST_INVALID_STATE;
    if (st == ST_OK)
        st = find_open(s, wish, &open, out);
    if (st == ST_OK && !open)
        st = insert_payment(s, wish, &o, sale, out);
    if (st == ST_OK)
        return sql_commit(s->sql);
    sql_rollback(s->sql);
    return st;
}

static enum status note_sent(struct session *s, struct payment *p,
                             const struct channel_answer *answer)
{
    const struct sql_val args[] = {SQL_Z(answer->url), SQL_Z(answer->ref),
                                   SQL_BYTES(p->id.b, UID_LEN)};
    enum status st = sql_run(s->sql,
                             "UPDATE payments SET state = 2, action_url = ?, channel_ref = ? "
                             "WHERE id = ? AND state = 1",
                             args, 3, NULL, NULL, NULL);
    /* A notification may have been quicker; it knows better. */
    return st == ST_OK ? payment_read(s, read_plain, &p->id, p) : st;
}

enum status payment_create(struct session *s, const struct payment_wish *wish, struct payment *out)
{
    struct channel_state *state;
    struct channel_answer answer;
    enum status st = payment_read(s, read_plain, &wish->id, out); /* a try taken up again */
    if (st == ST_PAYMENT_NOT_FOUND)
        st = record_payment(s, wish, out);
    if (st != ST_OK || out->state != PAYMENT_CREATED)
        return st;
    const struct channel *channel =
        channel_find(s->engine->channels, str_from(out->channel), &state);
    if (!channel)
        return ST_CHANNEL_NOT_FOUND;
    struct channel_trade trade = {.payment = out->id,
                                  .order = out->order,
                                  .amount = out->amount,
                                  .return_url = str_from(out->return_url)};
    memcpy(trade.currency, out->currency, sizeof(trade.currency));
    CRASH_POINT(payment_before_call);
    st = channel->create(state, &trade, &answer);
    CRASH_POINT(payment_after_call);
    if (st != ST_OK) {
        LOG(s->engine->log, LOG_WARN, "channel_refused", LF_Z("channel", channel->name),
            LF_Z("status", status_info(st)->name));
        return ST_UNAVAILABLE;
    }
    return note_sent(s, out, &answer);
}
