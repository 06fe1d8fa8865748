/* A shard that is sold out draws units from the sale's other shards before it says so. */
#include "flow/reserve_priv.h"
#include "flow/stock.h"

#include <stdlib.h>

/* A purchase that drew in vain this often, or waited for so many ticks for what others drew, is told
 * that the item is sold out. */
enum { DRAWS_MAX = 8, WAITS_MAX = 10 };

struct draw {
    struct job job;
    struct lane *lane;
    uint32_t item_no;
    int64_t want;
};

static void draw_work(struct job *job, struct session *s)
{
    const struct draw *d = CONTAINER_OF(job, struct draw, job);
    const struct snapshot *snap;
    const struct sale_item *item;
    if (session_catalog(s, &snap) != ST_OK)
        return;
    const struct sale *sale = snapshot_item(snap, d->item_no, &item);
    enum status st = sale ? stock_draw(s, sale, item, d->lane->live->shard, d->want) : ST_INTERNAL;
    if (st != ST_OK && st != ST_SOLD_OUT)
        LOG(s->engine->log, LOG_INFO, "draw_failed", LF_Z("status", status_info(st)->name));
}

/* Those who waited ask the gate again; it decides. */
static void ask_again(struct lane *lane)
{
    struct purchase *p = list_take(&lane->parked), *next;
    for (; p; p = next) {
        next = p->next;
        lane_push(lane, p);
    }
}

static void on_drawn(struct task *task)
{
    struct draw *d = CONTAINER_OF(task, struct draw, job.task);
    d->lane->drawing = 0;
    ask_again(d->lane);
    free(d);
}

/* What other shards have, for all that is known here. */
enum elsewhere { TOO_FEW, ON_THEIR_WAY, ENOUGH };

static unsigned arriving(const struct sale *sale, const struct sale_item *item)
{
    unsigned n = 0;
    for (unsigned i = 0; i < sale->shards; i++)
        n += atomic_load(&item->live[i].arriving);
    return n;
}

static enum elsewhere others_have(const struct reserve *r, const struct purchase *p)
{
    const struct sale_item *item;
    const struct sale *sale = snapshot_item(catalog_read(r->reader), p->row.item, &item);
    if (!sale || sale->shards == 1)
        return TOO_FEW;
    /* Looked at on either side of the sum: what leaves one shard's number in between is seen. */
    unsigned on_the_way = arriving(sale, item);
    const int64_t sum = live_left(item->live, sale->shards);
    on_the_way += arriving(sale, item);
    return sum >= p->row.qty ? ENOUGH : on_the_way > 0 ? ON_THEIR_WAY : TOO_FEW;
}

/* A shard that is sold out draws units from the others before it says so. */
bool lane_park(struct lane *lane, struct purchase *p)
{
    struct reserve *r = lane->r;
    const enum elsewhere there = others_have(r, p);
    if (p->draws >= DRAWS_MAX || p->waits >= WAITS_MAX || there == TOO_FEW)
        return false;
    if (!lane->drawing && there == ENOUGH) {
        struct draw *d = calloc(1, sizeof(*d));
        if (!d)
            return false;
        *d = (struct draw){.job = {.work = draw_work, .done = on_drawn, .reply_to = r->replies},
                           .lane = lane,
                           .item_no = p->row.item,
                           .want = p->row.qty};
        if (jobs_submit(r->engine->queries, &d->job) != ST_OK) {
            free(d);
            return false;
        }
        lane->drawing = p->row.item;
    }
    /* A draw for another item is no try of this one's. Units on their way are waited for, not drawn
     * on: lanes that want more than there is would hand them round for ever. */
    if (there == ENOUGH)
        p->draws += lane->drawing == p->row.item;
    else
        p->waits++;
    list_push(&lane->parked, p);
    return true;
}

void lane_unpark(struct lane *lane)
{
    if (!lane->drawing)
        ask_again(lane);
}
