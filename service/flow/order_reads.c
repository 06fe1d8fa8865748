#include "flow/order_reads.h"

#include "flow/engine.h"
#include "flow/id_list.h"
#include "flow/payments.h"

#include <stdlib.h>

enum { GROUP_MAX = 256, ROWS_MAX = GROUP_MAX * ORDER_PAYMENTS_MAX };
_Static_assert((int)GROUP_MAX <= (int)ID_LIST_MAX, "a group's ids are one list");

/* Different orders of a group, sorted by id. */
struct reading {
    struct uid id[GROUP_MAX];
    struct order order[GROUP_MAX]; /* storefront 0: not seen in MariaDB */
    unsigned n, rows;
    bool full; /* of memory */
};

static struct order_read *read_of(struct job *job)
{
    return CONTAINER_OF(job, struct order_read, job);
}

/* --- MariaDB ---------------------------------------------------------------------------------- */

/* One row per attempt to pay, newest first, and one for an order without. */
static bool on_row(void *arg, const struct sql_val *c, unsigned n)
{
    struct reading *r = arg;
    unsigned at = id_list_find(r->id, r->n, c[0].s.p);
    r->rows++;
    if (at == r->n)
        return true;
    struct order *o = &r->order[at];
    if (o->storefront == 0)
        order_from_row(o, c);
    if (c[ORDER_COLUMNS_N].type != SQL_T_NULL)
        r->full = !payment_append(o, c + ORDER_COLUMNS_N);
    return !r->full;
}

static void forget_orders(struct reading *r)
{
    for (unsigned i = 0; i < r->n; i++)
        order_free(&r->order[i]);
    memset(r->order, 0, r->n * sizeof(r->order[0]));
}

static enum status read_all(struct session *s, struct reading *r, struct job **jobs, unsigned n)
{
    static const struct id_list list =
        ID_LIST("SELECT " ORDER_COLUMNS_OF("o.") ", " PAYMENT_COLUMNS_OF(
                    "p.") " FROM orders o "
                          "FORCE INDEX (PRIMARY) LEFT JOIN payments p FORCE INDEX (by_order) "
                          "ON p.order_id = o.id WHERE o.id IN (",
                ") ORDER BY o.id, p.id DESC LIMIT 5120");
    _Static_assert(ROWS_MAX == 5120, "the statement's LIMIT");
    for (unsigned i = 0; i < n; i++)
        r->id[i] = read_of(jobs[i])->id;
    r->n = id_list_sort(r->id, n);
    r->rows = 0;
    r->full = false;
    memset(r->order, 0, r->n * sizeof(r->order[0]));
    enum status st = id_list_run(s->sql, &list, NULL, 0, r->id, r->n, on_row, r, NULL);
    /* With very many attempts to pay the last orders would be missing: each is read alone then. */
    if (r->rows == ROWS_MAX)
        forget_orders(r);
    return r->full ? ST_OVERLOADED : st;
}

/* --- askers ----------------------------------------------------------------------------------- */

static void read_alone(struct job *job, struct session *s)
{
    struct order_read *read = read_of(job);
    read->st = job_late(job) ? ST_OVERLOADED : order_get(s, &read->id, &read->scope, &read->out);
}

static void end(struct order_read *read, enum status st)
{
    read->st = st;
    job_return(&read->job);
}

/* Two may ask for the same order. */
static enum status copy_order(struct order *to, const struct order *from)
{
    size_t size = from->payments * sizeof(*from->payment);
    *to = *from;
    to->payment = size > 0 ? malloc(size) : NULL;
    if (size > 0 && !to->payment)
        return ST_OVERLOADED;
    if (size > 0)
        memcpy(to->payment, from->payment, size);
    return ST_OK;
}

static void answer(struct session *s, const struct reading *r, struct order_read *read)
{
    const struct order *o = &r->order[id_list_find(r->id, r->n, read->id.b)];
    if (o->storefront == 0) {
        read->job.work = read_alone;
        if (jobs_submit(s->engine->queries, &read->job) != ST_OK)
            end(read, ST_OVERLOADED);
    } else {
        end(read, order_in_scope(o, &read->scope) ? copy_order(&read->out, o) : ST_ORDER_NOT_FOUND);
    }
}

static void work(struct session *s, struct job **jobs, unsigned n)
{
    struct job *in_time[GROUP_MAX];
    unsigned many = 0;
    struct reading *r = malloc(sizeof(*r));
    for (unsigned i = 0; i < n; i++) {
        if (r && !job_late(jobs[i]))
            in_time[many++] = jobs[i];
        else
            end(read_of(jobs[i]), ST_OVERLOADED);
    }
    enum status st = many > 0 ? read_all(s, r, in_time, many) : ST_OK;
    for (unsigned i = 0; i < many; i++) {
        if (st == ST_OK)
            answer(s, r, read_of(in_time[i]));
        else
            end(read_of(in_time[i]), st);
    }
    for (unsigned i = 0; many > 0 && i < r->n; i++)
        order_free(&r->order[i]);
    free(r);
}

enum status order_read_submit(const struct engine *engine, struct order_read *read)
{
    return jobs_submit(engine->reads, &read->job);
}

const struct jobs_group order_reads_group = {work, GROUP_MAX, MT_READ_WAIT, MT_READ, MS_READ_GROUP};
