/* Attempts to pay, recorded; where the channel need not be told, answered by that.
 *
 * Nearly all wishes are new and come true, so a group first takes that for granted and writes its
 * keys last, with their answers. A key that was here before, or a refusal, whose key may have an
 * answer from before, and it is run again carefully: keys first.
 *
 * An order's lock keeps two wishes for it apart; ids are locked in order, and orders before payments,
 * as webhooks.c does. */
#include "base/clock.h"
#include "base/crash.h"
#include "flow/engine.h"
#include "flow/id_list.h"
#include "flow/payment_priv.h"

_Static_assert((int)PAYMENT_GROUP_MAX <= (int)ID_LIST_MAX, "a group's ids are one list");

/* --- keys ------------------------------------------------------------------------------------- */

static void open_tries(struct making *m)
{
    m->keyed = 0;
    for (unsigned i = 0; i < m->n; i++) {
        struct payment_try *t = m->t[i];
        t->id = t->wish.id;
        t->replayed = false;
        t->st = ST_OK;
        m->step[i] = STEP_OPEN;
        m->keyed += making_has_key(t);
    }
}

static enum status claim_keys(struct making *m)
{
    m->claims = 0;
    for (unsigned i = 0; i < m->n; i++) {
        struct payment_try *t = m->t[i];
        if (!making_has_key(t))
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
        t->replayed = t->st == ST_OK && m->claim[i].out.replay;
    }
    for (unsigned i = 0; i < m->n; i++)
        if (m->t[i]->st != ST_OK || m->t[i]->replayed)
            m->step[i] = STEP_ENDED;
    return st;
}

/* Their answers, as far as they are known. */
static enum status write_keys(struct making *m, bool careful)
{
    for (unsigned i = 0; i < m->n; i++) {
        struct payment_try *t = m->t[i];
        if (m->step[i] == STEP_ENDED)
            continue;
        if (t->out.state != PAYMENT_CREATED)
            making_keep_answer(m, t);
        else if (!careful && making_has_key(t))
            m->answer[m->answers++] = (struct idem_answer){t->key, t->id, 0, STR("")};
    }
    if (careful)
        return making_finish_keys(m);
    return m->answers == 0 ? ST_OK : idem_claim_group(m->s, m->answer, m->answers);
}

/* --- what is there ---------------------------------------------------------------------------- */

/* What was recorded of the very same tries. */
static enum status read_earlier(struct making *m)
{
    static const struct id_list list = ID_LIST(
        "SELECT " PAYMENT_COLUMNS " FROM payments FORCE INDEX (PRIMARY) WHERE id IN (", ")");
    unsigned n = 0;
    for (unsigned i = 0; i < m->n; i++)
        if (m->step[i] == STEP_OPEN)
            m->id[n++] = m->t[i]->id;
    if (n == 0)
        return ST_OK;
    n = id_list_sort(m->id, n);
    return id_list_run(m->s->sql, &list, NULL, 0, m->id, n, making_on_same_id, m, NULL);
}

static bool on_order(void *arg, const struct sql_val *c, unsigned n)
{
    struct making *m = arg;
    unsigned at = id_list_find(m->order_id, m->orders, c[0].s.p);
    if (at < m->orders)
        order_from_row(&m->order[at], c);
    return true;
}

static enum status lock_orders(struct making *m)
{
    static const struct id_list list =
        ID_LIST("SELECT " ORDER_COLUMNS " FROM orders FORCE INDEX (PRIMARY) WHERE id IN (",
                ") ORDER BY id FOR UPDATE");
    for (unsigned i = 0; i < m->n; i++)
        m->order_id[i] = m->t[i]->wish.order;
    m->orders = id_list_sort(m->order_id, m->n);
    memset(m->order, 0, m->orders * sizeof(m->order[0]));
    return id_list_run(m->s->sql, &list, NULL, 0, m->order_id, m->orders, on_order, m, NULL);
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

static const struct order *order_of(const struct making *m, const struct payment_wish *wish)
{
    return &m->order[id_list_find(m->order_id, m->orders, wish->order.b)];
}

static enum status judge(struct making *m, const struct payment_wish *wish)
{
    const struct sale_item *item;
    const struct order *o = order_of(m, wish);
    bool found = uid_equal(&o->id, &wish->order);
    const struct sale *sale = found ? snapshot_item(m->snap, o->item, &item) : NULL;
    if (!sale || !order_in_scope(o, &wish->scope))
        return ST_ORDER_NOT_FOUND;
    if (order_step(o->state, ORDER_PAY).st != ST_OK || clock_wall_ms() >= order_pay_by(o, sale))
        return ST_INVALID_STATE;
    return ST_OK;
}

static enum status judge_all(struct making *m, bool careful)
{
    static const struct id_list list =
        ID_LIST("SELECT " PAYMENT_COLUMNS " FROM payments FORCE INDEX (by_order) "
                "WHERE state IN (1, 2) AND order_id IN (",
                ")");
    for (unsigned i = 0; i < m->n; i++) {
        enum status st = m->step[i] == STEP_OPEN ? judge(m, &m->t[i]->wish) : ST_OK;
        if (st != ST_OK && !careful && making_has_key(m->t[i]))
            return ST_DUPLICATE; /* if it is */
        if (st != ST_OK)
            making_refuse(m, i, st);
    }
    return id_list_run(m->s->sql, &list, NULL, 0, m->order_id, m->orders, on_open_attempt, m, NULL);
}

static void copy_text(char *out, size_t size, struct str v)
{
    size_t n = v.n < size ? v.n : size - 1;
    memcpy(out, v.p, n);
    out[n] = '\0';
}

static struct channel_trade trade_of(const struct payment *p)
{
    struct channel_trade trade = {.payment = p->id,
                                  .order = p->order,
                                  .action = p->action,
                                  .amount = p->amount,
                                  .return_url = str_from(p->return_url)};
    memcpy(trade.currency, p->currency, sizeof(p->currency));
    return trade;
}

static void fill_new(struct making *m, struct payment_try *t)
{
    const struct sale_item *item;
    const struct order *o = order_of(m, &t->wish);
    const struct sale *sale = snapshot_item(m->snap, o->item, &item);
    struct payment *p = &t->out;
    *p = (struct payment){.id = t->id,
                          .order = o->id,
                          .state = PAYMENT_CREATED,
                          .action = t->wish.action,
                          .amount = o->amount,
                          .created_ms = clock_wall_ms(),
                          .phase = "full"};
    copy_text(p->channel, sizeof(p->channel), str_from(t->wish.channel->name));
    copy_text(p->return_url, sizeof(p->return_url), t->wish.return_url);
    memcpy(p->currency, sale->currency, sizeof(p->currency));
    const struct channel_trade trade = trade_of(p);
    struct channel_answer page;
    if (t->wish.channel->page(t->wish.state, &trade, &page))
        making_take_answer(p, &page);
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
        m->row[n++] = making_row_of(&t->out);
    }
    return n;
}

static enum status insert_new(struct making *m)
{
    unsigned n = fill_rows(m);
    if (n == 0)
        return ST_OK;
    return making_run(m,
                      "INSERT INTO payments (" PAYMENT_COLUMNS ") "
                      "VALUES " MAKING_VALUES,
                      n, NULL);
}

/* --- recording -------------------------------------------------------------------------------- */

static enum status record_once(void *ctx, struct job **jobs, unsigned n, bool careful)
{
    struct making *m = ctx;
    making_take(m, jobs, n);
    enum status st = session_catalog(m->s, &m->snap);
    if (st == ST_OK)
        st = sql_begin(m->s->sql);
    if (st != ST_OK)
        return st;
    open_tries(m);
    st = lock_orders(m);
    if (st == ST_OK && careful)
        st = claim_keys(m);
    if (st == ST_OK && careful)
        st = read_earlier(m);
    if (st == ST_OK)
        st = judge_all(m, careful);
    if (st == ST_OK)
        st = insert_new(m);
    if (st == ST_OK)
        st = write_keys(m, careful);
    return making_end(m, st);
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
    t->call = (struct channel_call){.trade = trade_of(p), .ended = on_told};
    CRASH_POINT(payment_before_call);
    t->wish.channel->create(t->wish.state, &t->call);
}

static void recorded(void *ctx, struct job **jobs, unsigned n, enum status st)
{
    struct making *m = ctx;
    if (st == ST_OK && m->keyed > 0)
        CRASH_POINT(idem_after_claim);
    if (st == ST_UNKNOWN)
        making_let_go(m->s, jobs, n);
    for (unsigned i = 0; i < n; i++) {
        struct payment_try *t = CONTAINER_OF(jobs[i], struct payment_try, job);
        if (st == ST_OK && t->st == ST_OK && !t->replayed && t->out.state == PAYMENT_CREATED) {
            tell(m->s, t);
            continue;
        }
        if (st != ST_OK)
            t->st = making_shown(st);
        job_return(&t->job);
    }
}

const struct group_kind payment_recording = {record_once, recorded};
