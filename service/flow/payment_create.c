/* Attempts to pay: many in one transaction.
 *
 *   job ──▶ lock orders, find open attempts, INSERT, keep answers under keys, COMMIT ──▶ answer
 *           payment_record.c                                                    │
 *                                                  the channel has to be told: pay/
 *                                                                               │
 *             answer ◀── COMMIT, keep answers, note what the channel said ◀─────┘
 *                        payment_note.c
 *
 * No transaction is open while a channel is asked. */
#include "flow/engine.h"
#include "flow/payment_priv.h"

#include <stdlib.h>

/* --- rows ------------------------------------------------------------------------------------- */

struct bulk_row making_row_of(const struct payment *p)
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
                             .action = p->action,
                             .amount = p->amount,
                             .created_ms = p->created_ms};
}

enum status making_run(struct making *m, const char *text, unsigned n, uint64_t *changed)
{
    const struct bulk_row *r = m->row;
    const size_t stride = sizeof(*r);
    const struct sql_col cols[] = {
        {SQL_C_FIXED, &r->id, stride, UID_LEN}, {SQL_C_FIXED, &r->order, stride, UID_LEN},
        {SQL_C_U32, &r->state, stride, 0},      {SQL_C_I64, &r->amount, stride, 0},
        {SQL_C_I64, &r->created_ms, stride, 0}, {SQL_C_VAR, &r->channel, stride, 0},
        {SQL_C_VAR, &r->phase, stride, 0},      {SQL_C_VAR, &r->currency, stride, 0},
        {SQL_C_VAR, &r->ref, stride, 0},        {SQL_C_VAR, &r->action_url, stride, 0},
        {SQL_C_VAR, &r->return_url, stride, 0}, {SQL_C_U32, &r->action, stride, 0}};
    return sql_run_bulk(m->s->sql, text, cols, sizeof(cols) / sizeof(cols[0]), n, NULL, NULL,
                        changed);
}

bool making_on_same_id(void *arg, const struct sql_val *c, unsigned n)
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

/* --- keys ------------------------------------------------------------------------------------- */

bool making_has_key(const struct payment_try *t)
{
    return t->key && t->key->given;
}

void making_refuse(struct making *m, unsigned i, enum status why)
{
    struct payment_try *t = m->t[i];
    t->st = why;
    m->step[i] = STEP_ENDED;
    if (making_has_key(t))
        idem_abandon(m->s, t->key, why);
}

void making_take_answer(struct payment *p, const struct channel_answer *said)
{
    p->state = PAYMENT_PENDING;
    memcpy(p->action_url, said->url, sizeof(p->action_url));
    memcpy(p->channel_ref, said->ref, sizeof(p->channel_ref));
}

void making_keep_answer(struct making *m, struct payment_try *t)
{
    buf_reset(t->body);
    t->render(t->body, &t->out);
    if (making_has_key(t))
        m->answer[m->answers++] =
            (struct idem_answer){t->key, t->id, 201, {t->body->data, t->body->len}};
}

enum status making_finish_keys(struct making *m)
{
    return m->answers == 0 ? ST_OK : idem_finish_group(m->s, m->answer, m->answers);
}

void making_let_go(struct session *s, struct job **jobs, unsigned n)
{
    bool heard = true;
    for (unsigned i = 0; i < n && heard; i++) {
        const struct payment_try *t = CONTAINER_OF(jobs[i], struct payment_try, job);
        if (making_has_key(t))
            heard = idem_abandon(s, t->key, ST_UNAVAILABLE);
    }
}

/* --- transactions ------------------------------------------------------------------------------ */

void making_take(struct making *m, struct job **jobs, unsigned n)
{
    m->n = n;
    m->answers = 0;
    for (unsigned i = 0; i < n; i++)
        m->t[i] = CONTAINER_OF(jobs[i], struct payment_try, job);
}

enum status making_end(struct making *m, enum status st)
{
    if (st == ST_OK)
        return sql_commit(m->s->sql);
    sql_rollback(m->s->sql);
    return st;
}

enum status making_shown(enum status st)
{
    return st == ST_INTERNAL ? st : ST_UNAVAILABLE;
}

/* --- the pool --------------------------------------------------------------------------------- */

static void work(struct session *s, struct job **jobs, unsigned n)
{
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
    group_run(s, &payment_noting, m, told, tellings);
    group_run(s, &payment_recording, m, wishes, wished);
    free(m);
}

const struct jobs_group payments_group = {work, PAYMENT_GROUP_MAX, MT_PAYMENT_WAIT, MT_PAYMENT,
                                          MS_PAYMENT_GROUP};
