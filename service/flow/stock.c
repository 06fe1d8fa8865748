#include "flow/stock.h"

#include "base/clock.h"
#include "base/crash.h"
#include "flow/engine.h"
#include "flow/gate.h"
#include "flow/outbox.h"
#include "flow/recover.h"
#include "flow/sales.h"
#include "flow/sweep.h"

#include <stdlib.h>

enum { TRIES = 5 };

struct units {
    int64_t allocated, held, added, epoch;
    bool found;
};

static bool on_units(void *arg, const struct sql_val *c, unsigned n)
{
    struct units *u = arg;
    *u = (struct units){c[0].i, c[1].i, c[2].i, c[3].i, true};
    return true;
}

static enum status write_movement(struct session *s, const struct uid *id, uint32_t item,
                                  unsigned shard, int64_t delta, struct str reason, int64_t now)
{
    const struct sql_val args[] = {
        SQL_BYTES(id->b, UID_LEN), SQL_INT(item), SQL_INT(shard), SQL_INT(delta),
        SQL_STR(reason),           SQL_INT(now)};
    return sql_run(s->sql,
                   "INSERT INTO stock_movements (id, item, shard, delta, reason, created_ms) "
                   "VALUES (?, ?, ?, ?, ?, ?)",
                   args, 6, NULL, NULL, NULL);
}

/* In a transaction: one shard's ledger goes up; *out tells Redis (rules R4, R5). */
static enum status ledger_add(struct session *s, const struct sale *sale, uint32_t item_no,
                              unsigned shard, int64_t delta, const struct uid *id,
                              struct str reason, struct outbox_row *out)
{
    struct units u = {0};
    const struct sql_val more[] = {SQL_INT(delta), SQL_INT(delta), SQL_INT(item_no),
                                   SQL_INT(shard)};
    const struct sql_val place[] = {SQL_INT(item_no), SQL_INT(shard)};
    enum status st = sql_run(s->sql,
                             "UPDATE shard_stock SET allocated = allocated + ?, added = added + ? "
                             "WHERE item = ? AND shard = ?",
                             more, 4, NULL, NULL, NULL);
    if (st == ST_OK)
        st = sql_run(s->sql,
                     "SELECT allocated, held, added, epoch FROM shard_stock "
                     "WHERE item = ? AND shard = ? FOR UPDATE",
                     place, 2, on_units, &u, NULL);
    if (st == ST_OK && !u.found)
        st = ST_INTERNAL;
    if (st == ST_OK)
        st = write_movement(s, id, item_no, shard, delta, reason, clock_wall_ms());
    *out = (struct outbox_row){.kind = OUTBOX_ADD,
                               .sale = sale->no,
                               .item = item_no,
                               .shard = shard,
                               .epoch = u.epoch,
                               .n = u.added};
    return st == ST_OK ? outbox_write(s, out, 1) : st;
}

/* A movement over several shards has an id per shard, found again from the first. */
static struct uid movement_id(const struct uid *first, unsigned shard)
{
    struct uid id = *first;
    id.b[UID_LEN - 1] ^= (uint8_t)shard; /* shards are fewer than 256 */
    return id;
}

static enum status add_once(struct session *s, const struct sale *sale,
                            const struct sale_item *item, int64_t delta, struct str reason,
                            const struct uid *first, struct outbox_row *out, unsigned *n)
{
    int64_t each = delta / sale->shards, rest = delta % sale->shards;
    *n = 0;
    enum status st = sql_begin(s->sql);
    for (unsigned i = 0; i < sale->shards && st == ST_OK; i++) {
        int64_t units = each + (i < rest);
        const struct uid id = movement_id(first, i);
        if (units > 0)
            st = ledger_add(s, sale, item->no, i, units, &id, reason, &out[(*n)++]);
    }
    if (st == ST_OK)
        return sql_commit(s->sql);
    sql_rollback(s->sql);
    return st;
}

/* All shards in one transaction; a try whose answer was lost is noticed by its movements' ids. */
static enum status add_units(struct session *s, const struct sale *sale,
                             const struct sale_item *item, int64_t delta, struct str reason,
                             const struct uid *first)
{
    struct outbox_row out[SALE_SHARDS_MAX];
    unsigned n = 0;
    bool unsure = false;
    enum status st = ST_CONFLICT;
    for (int i = 0; i < TRIES && (st == ST_CONFLICT || st == ST_UNKNOWN); i++) {
        st = add_once(s, sale, item, delta, reason, first, out, &n);
        unsure = unsure || st == ST_UNKNOWN;
    }
    if (st == ST_DUPLICATE && unsure)
        return ST_OK; /* the outbox has what Redis is still to be told */
    if (st != ST_OK)
        return st;
    CRASH_POINT(stock_add_after_commit);
    outbox_deliver(s, out, n);
    for (unsigned i = 0; i < sale->shards; i++)
        atomic_store(&item->live[i].refuse, false);
    return ST_OK;
}

static enum status ledger_take(struct session *s, unsigned shard, int64_t epoch,
                               const struct row *row, struct str reason)
{
    uint64_t changed = 0;
    const struct sql_val args[] = {SQL_INT(row->qty), SQL_INT(row->item), SQL_INT(shard),
                                   SQL_INT(epoch), SQL_INT(row->qty)};
    enum status st =
        write_movement(s, &row->id, row->item, shard, -(int64_t)row->qty, reason, clock_wall_ms());
    if (st == ST_OK)
        st = sql_run(s->sql,
                     "UPDATE shard_stock SET allocated = allocated - ? "
                     "WHERE item = ? AND shard = ? AND epoch = ? AND allocated - ? >= held",
                     args, 5, NULL, NULL, &changed);
    return st == ST_OK && changed == 0 ? ST_FENCED : st;
}

static enum status commit_take(struct session *s, const struct sale *sale, unsigned shard,
                               int64_t epoch, const struct row *row, struct str reason)
{
    const bool draws = row->limit > 0;
    struct outbox_row out;
    enum status st = sql_begin(s->sql);
    if (st == ST_OK)
        st = ledger_take(s, shard, epoch, row, reason);
    if (st == ST_OK && draws) {
        const struct uid id = uid_make(s->ids, clock_wall_ms());
        st = ledger_add(s, sale, row->item, row->limit - 1, row->qty, &id, reason, &out);
    }
    if (st != ST_OK) {
        sql_rollback(s->sql);
        return st;
    }
    st = sql_commit(s->sql);
    if (st == ST_OK && draws)
        outbox_deliver(s, &out, 1);
    return st;
}

/* Repeating is safe: the movement's id is unique. */
enum status stock_take_commit(struct session *s, const struct sale *sale, unsigned shard,
                              int64_t epoch, const struct row *row, struct str reason)
{
    enum status st = ST_CONFLICT;
    for (int i = 0; i < TRIES && (st == ST_CONFLICT || st == ST_UNKNOWN); i++)
        st = commit_take(s, sale, shard, epoch, row, reason);
    return st;
}

/* Takes n units from one shard: gate and log first, then the ledger, then the log entry goes. draw:
 * 0, or 1 + the shard that gets them. */
static enum status take_from_shard(struct session *s, const struct sale *sale,
                                   const struct sale_item *item, unsigned shard, int64_t n,
                                   struct uid id, uint32_t draw, struct str reason, int64_t *left)
{
    const struct row row = {.kind = ROW_TAKE,
                            .id = id,
                            .qty = (uint32_t)n,
                            .limit = draw,
                            .storefront = sale->storefront,
                            .item = item->no,
                            .sku = item->sku};
    char code = 0, log_id[LOG_ID_MAX];
    enum status st = gate_reserve(s, sale, shard, &row, &code, log_id, left);
    struct live_shard *live = sale->shard[shard].live;
    if (st == ST_FENCED)
        recover_request(s->engine, live, 0);
    if (st == ST_UNKNOWN)
        sweep_doubt(live); /* the log knows what was reserved */
    if (st == ST_FENCED || st == ST_UNKNOWN)
        return ST_RECOVERING;
    if (st != ST_OK)
        return st;
    if (code != 'W')
        return ST_NOT_ENOUGH_LEFT;
    CRASH_POINT(stock_take_after_gate);
    st = stock_take_commit(s, sale, shard, sale->shard[shard].epoch, &row, reason);
    if (st == ST_OK || st == ST_DUPLICATE) {
        CRASH_POINT(stock_take_after_commit);
        if (gate_ack(s, sale, shard, log_id) != ST_OK)
            sweep_doubt(live);
        return ST_OK;
    }
    /* The gate has given the units up, and the log says so. */
    if (st == ST_FENCED)
        recover_request(s->engine, live, sale->shard[shard].epoch);
    else
        sweep_doubt(live);
    return ST_RECOVERING;
}

static bool on_delta(void *arg, const struct sql_val *c, unsigned n)
{
    *(int64_t *)arg = c[0].i;
    return false;
}

/* What an earlier try under this id moved; 0: nothing. */
static enum status moved_before(struct session *s, const struct uid *id, int64_t *delta)
{
    const struct sql_val key[] = {SQL_BYTES(id->b, UID_LEN)};
    *delta = 0;
    return sql_run(s->sql, "SELECT delta FROM stock_movements WHERE id = ?", key, 1, on_delta,
                   delta, NULL);
}

/* An earlier try may have reserved units that no movement tells of yet, or may still do so when
 * Redis gets to its call. A rebuild settles what is in the log, and whatever comes later is of
 * another epoch; then the movements tell all. Rare, and so may be dear. */
static enum status settle_earlier_try(struct session *s, const struct sale **sale,
                                      const struct sale_item **item, const struct uid *first)
{
    const uint32_t sale_no = (*sale)->no, item_no = (*item)->no;
    const unsigned shards = (*sale)->shards;
    const struct snapshot *snap;
    enum status st = ST_OK;
    for (unsigned i = 0; i < shards && st == ST_OK; i++) {
        const struct uid id = movement_id(first, i);
        int64_t before = 0;
        st = moved_before(s, &id, &before);
        if (st == ST_OK && before == 0)
            st = recover_shard(s, sale_no, i, true);
    }
    if (st == ST_OK)
        st = session_refresh(s, &snap);
    if (st != ST_OK)
        return st == ST_BUSY ? ST_RECOVERING : st;
    *sale = snapshot_item(snap, item_no, item);
    return *sale ? ST_OK : ST_INTERNAL;
}

/* Units that an earlier try took, of all shards; moved gets which of them moved any. */
static enum status taken_before(struct session *s, const struct sale *sale, const struct uid *first,
                                bool moved[SALE_SHARDS_MAX], int64_t *taken)
{
    enum status st = ST_OK;
    *taken = 0;
    for (unsigned i = 0; i < sale->shards && st == ST_OK; i++) {
        const struct uid id = movement_id(first, i);
        int64_t delta = 0;
        st = moved_before(s, &id, &delta);
        moved[i] = delta != 0;
        *taken -= delta;
    }
    return st;
}

/* One shard's part of a take-back: up to want units; *taken says how many. */
static enum status take_part(struct session *s, const struct sale *sale,
                             const struct sale_item *item, unsigned shard, int64_t want,
                             struct str reason, const struct uid *first, int64_t *taken)
{
    const struct uid id = movement_id(first, shard);
    int64_t left = 0, here = atomic_load(&item->live[shard].left);
    int64_t take = sale->shards == 1 || here > want ? want : here;
    *taken = 0;
    if (take <= 0)
        return ST_OK;
    enum status st = take_from_shard(s, sale, item, shard, take, id, 0, reason, &left);
    *taken = st == ST_OK ? take : 0;
    return st;
}

/* With several shards, each gives what it has in turn; what was taken stays taken only if the sum
 * was reached, else it is added again. */
static enum status take_units(struct session *s, const struct sale *sale,
                              const struct sale_item *item, int64_t n, struct str reason,
                              const struct uid *first, bool resumed)
{
    bool moved[SALE_SHARDS_MAX] = {false};
    int64_t want = n, taken = 0;
    enum status st = resumed ? taken_before(s, sale, first, moved, &taken) : ST_OK;
    want -= taken;
    for (unsigned i = 0; i < sale->shards && want > 0 && st == ST_OK; i++) {
        if (moved[i])
            continue;
        st = take_part(s, sale, item, i, want, reason, first, &taken);
        want -= taken;
    }
    if (want == 0)
        return ST_OK;
    if (st != ST_OK && st != ST_NOT_ENOUGH_LEFT)
        return st; /* what was taken stays for the retry, which goes on under the same ids */
    if (want < n) {
        const struct uid back = uid_make(s->ids, clock_wall_ms());
        enum status given = add_units(s, sale, item, n - want, STR("not enough left"), &back);
        if (given != ST_OK)
            return given;
    }
    return st == ST_OK ? ST_NOT_ENOUGH_LEFT : st;
}

/* The shard with the most of it, other than `to`; `to` itself when none has any. */
static unsigned richest_other(const struct sale *sale, const struct sale_item *item, unsigned to,
                              int64_t *most)
{
    unsigned from = to;
    *most = 0;
    for (unsigned i = 0; i < sale->shards; i++) {
        int64_t n = atomic_load(&item->live[i].left);
        if (i != to && n > *most) {
            *most = n;
            from = i;
        }
    }
    return from;
}

enum status stock_draw(struct session *s, const struct sale *sale, const struct sale_item *item,
                       unsigned to, int64_t want)
{
    if (live_left(item->live, sale->shards) < want)
        return ST_SOLD_OUT;
    /* Each refusal brings the hint of one shard up to date, so two rounds see them all. */
    for (unsigned tries = 0; tries < 2 * sale->shards && want > 0; tries++) {
        int64_t most = 0, left = 0;
        unsigned from = richest_other(sale, item, to, &most);
        if (from == to)
            return ST_SOLD_OUT;
        int64_t n = want > most / 2 ? want : most / 2;
        n = n < most ? n : most;
        struct uid id = uid_make(s->ids, clock_wall_ms());
        atomic_fetch_add(&item->live[to].arriving, 1);
        enum status st = take_from_shard(s, sale, item, from, n, id, to + 1,
                                         STR("drawn by another shard"), &left);
        atomic_fetch_sub(&item->live[to].arriving, 1);
        if (st == ST_OK)
            want -= n;
        else if (st != ST_NOT_ENOUGH_LEFT)
            return st;
    }
    return want > 0 ? ST_SOLD_OUT : ST_OK;
}

static enum status sum_units(struct session *s, const struct sale_item *item,
                             struct stock_movement *m)
{
    struct units sum = {0};
    const struct sql_val of[] = {SQL_INT(item->no)};
    enum status st = sql_run(s->sql,
                             "SELECT CAST(SUM(allocated) AS INTEGER), CAST(SUM(held) AS INTEGER), "
                             "0, 0 FROM shard_stock WHERE item = ?",
                             of, 1, on_units, &sum, NULL);
    m->allocated = sum.allocated;
    m->left = sum.allocated - sum.held;
    return st;
}

enum status stock_change(struct session *s, const struct sale *sale, const struct sale_item *item,
                         int64_t delta, struct str reason, bool resumed, struct stock_movement *out)
{
    int64_t before = 0;
    enum status st = ST_OK;
    out->delta = delta;
    out->created_ms = uid_ms(&out->id);
    if (delta < 0) {
        if (resumed)
            st = settle_earlier_try(s, &sale, &item, &out->id);
        if (st != ST_OK)
            return st; /* sale and item may be gone with the snapshot */
        st = take_units(s, sale, item, -delta, reason, &out->id, resumed);
    } else {
        /* An addition is one transaction: its first movement speaks for all. */
        if (resumed)
            st = moved_before(s, &out->id, &before);
        if (st == ST_OK && before == 0)
            st = add_units(s, sale, item, delta, reason, &out->id);
    }
    if (st == ST_OK)
        return sum_units(s, item, out);
    out->left = live_left(item->live, sale->shards);
    return st;
}
