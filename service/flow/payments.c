#include "flow/payments.h"

#include "flow/engine.h"

#include <stdlib.h>

static void copy_col(char *out, size_t size, struct str v)
{
    size_t n = v.n < size ? v.n : size - 1;
    memcpy(out, v.p, n);
    out[n] = '\0';
}

void payment_from_row(struct payment *p, const struct sql_val *c)
{
    *p = (struct payment){.state = (enum payment_state)c[2].i,
                          .action = (enum payment_action)c[11].i,
                          .amount = c[3].i,
                          .created_ms = c[4].i};
    memcpy(p->id.b, c[0].s.p, UID_LEN);
    memcpy(p->order.b, c[1].s.p, UID_LEN);
    copy_col(p->channel, sizeof(p->channel), c[5].s);
    copy_col(p->phase, sizeof(p->phase), c[6].s);
    copy_col(p->currency, sizeof(p->currency), c[7].s);
    copy_col(p->channel_ref, sizeof(p->channel_ref), c[8].s);
    copy_col(p->action_url, sizeof(p->action_url), c[9].s);
    copy_col(p->return_url, sizeof(p->return_url), c[10].s);
}

bool payment_append(struct order *o, const struct sql_val *c)
{
    if (o->payments == ORDER_PAYMENTS_MAX)
        return true;
    struct payment *more = realloc(o->payment, (o->payments + 1) * sizeof(*more));
    if (!more)
        return false;
    o->payment = more;
    payment_from_row(&o->payment[o->payments++], c);
    return true;
}

struct collect {
    struct order *o;
    bool full; /* of memory */
};

static bool on_payment_of_order(void *arg, const struct sql_val *c, unsigned n)
{
    struct collect *k = arg;
    k->full = !payment_append(k->o, c);
    return !k->full;
}

enum status payments_of_order(struct session *s, struct order *o)
{
    struct collect k = {o, false};
    const struct sql_val key[] = {SQL_BYTES(o->id.b, UID_LEN)};
    o->payments = 0;
    o->payment = NULL;
    enum status st = sql_run(s->sql,
                             "SELECT " PAYMENT_COLUMNS " FROM payments WHERE order_id = ? "
                             "ORDER BY id DESC LIMIT 20",
                             key, 1, on_payment_of_order, &k, NULL);
    if (st == ST_OK && k.full)
        st = ST_OVERLOADED;
    if (st != ST_OK)
        order_free(o);
    return st;
}

struct found {
    struct payment *out;
    bool yes;
};

static bool on_payment(void *arg, const struct sql_val *c, unsigned n)
{
    struct found *f = arg;
    payment_from_row(f->out, c);
    return f->yes = true;
}

enum status payment_get(struct session *s, const struct uid *id, const struct order_scope *scope,
                        struct payment *out)
{
    struct order o = {0};
    struct found f = {out, false};
    const struct sql_val key[] = {SQL_BYTES(id->b, UID_LEN)};
    enum status st = sql_run(s->sql, "SELECT " PAYMENT_COLUMNS " FROM payments WHERE id = ?", key,
                             1, on_payment, &f, NULL);
    if (st != ST_OK || !f.yes)
        return st == ST_OK ? ST_PAYMENT_NOT_FOUND : st;
    st = order_get(s, &out->order, scope, &o);
    order_free(&o);
    return st == ST_ORDER_NOT_FOUND ? ST_PAYMENT_NOT_FOUND : st;
}
