/* What channels said of attempts to pay: noted and answered, many in one transaction. */
#include "base/crash.h"
#include "flow/engine.h"
#include "flow/id_list.h"
#include "flow/payment_priv.h"

#include <stdlib.h>

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
    enum status st = making_run(m,
                                "INSERT INTO payments (" PAYMENT_COLUMNS ") "
                                "VALUES " MAKING_VALUES " ON DUPLICATE KEY UPDATE "
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
    return id_list_run(m->s->sql, &list, NULL, 0, m->id, n, making_on_same_id, m, NULL);
}

static enum status note_once(void *ctx, struct job **jobs, unsigned n, bool careful)
{
    struct making *m = ctx;
    unsigned noted = 0;
    making_take(m, jobs, n);
    enum status st = sql_begin(m->s->sql);
    if (st != ST_OK)
        return st;
    for (unsigned i = 0; i < n; i++) {
        struct payment_try *t = m->t[i];
        m->step[i] = STEP_OPEN;
        t->id = t->out.id;
        if (t->call.st != ST_OK) {
            making_refuse(m, i, ST_UNAVAILABLE);
            continue;
        }
        /* The answer unless making_on_same_id finds another. */
        making_take_answer(&t->out, &t->call.answer);
        m->row[noted++] = making_row_of(&t->out);
    }
    if (noted > 0)
        st = note_all(m, noted);
    for (unsigned i = 0; i < n && st == ST_OK; i++)
        if (m->t[i]->st == ST_OK)
            making_keep_answer(m, m->t[i]);
    if (st == ST_OK)
        st = making_finish_keys(m);
    return making_end(m, st);
}

static void noted(void *ctx, struct job **jobs, unsigned n, enum status st)
{
    struct making *m = ctx;
    if (st != ST_OK)
        making_let_go(m->s, jobs, n);
    for (unsigned i = 0; i < n; i++) {
        struct payment_try *t = CONTAINER_OF(jobs[i], struct payment_try, job);
        metrics_time(m->s->metrics, MT_CHANNEL, t->call_us);
        if (st != ST_OK)
            t->st = making_shown(st);
        job_return(&t->job);
    }
}

const struct group_kind payment_noting = {note_once, noted};
