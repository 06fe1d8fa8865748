/* The intent log's part of a rebuild: orders reserved and perhaps not written (rules R2, R7). */
#include "flow/engine.h"
#include "flow/gate.h"
#include "flow/rebuild.h"
#include "flow/stock.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

enum { ENTRIES = 64, ROWS = 4096 };

struct log_page {
    struct commit_row row[ROWS];
    struct commit_row *of[ROWS];
    struct commit_row flat[ROWS];
    unsigned n;
    char last[40]; /* id of the last entry read */
};

static enum status read_entries(struct session *s, const struct shard_keys *keys, const char *last,
                                redisReply **reply)
{
    char from[48];
    snprintf(from, sizeof(from), "%s%s", last[0] ? "(" : "", last[0] ? last : "-");
    args_reset(&s->args);
    args_z(&s->args, "XRANGE");
    args_add(&s->args, keys->text[2], keys->len[2]);
    args_z(&s->args, from);
    args_z(&s->args, "+");
    args_z(&s->args, "COUNT");
    args_int(&s->args, ENTRIES);
    return redis_session_call(s->redis, &s->args, reply);
}

static void add_order(struct log_page *page, const struct row *row, unsigned shard, int64_t epoch)
{
    struct commit_row *c = &page->row[page->n];
    *c = (struct commit_row){.id = row->id,
                             .shopper = row->shopper,
                             .storefront = row->storefront,
                             .item = row->item,
                             .shard = shard,
                             .qty = row->qty,
                             .amount = row->amount,
                             .epoch = epoch,
                             .queued = (row->flags & ROW_ASYNC) != 0,
                             .outcome = ST_UNKNOWN};
    memcpy(c->key, row->key, sizeof(c->key));
    page->of[page->n++] = c;
}

/* Fenced rows are skipped: here they mean that the units are not there any more, and nobody was
 * told of them. Had the epoch itself moved on, note_opened would stop the rebuild. */
static enum status write_page(struct session *s, struct log_page *page)
{
    enum status st = ST_FENCED;
    for (unsigned i = 0; i <= page->n; i++) { /* each refusal marks at least one row */
        st = commit_rows(s->sql, page->of, page->n, true, page->flat);
        if (st != ST_FENCED && st != ST_INTERNAL && st != ST_CONFLICT)
            break;
    }
    page->n = 0;
    return st;
}

/* Entry: [id, [o, owner, e, epoch, r, row, r, row, ...]]. */
static enum status read_entry(struct session *s, const struct sale *sale, unsigned shard,
                              const redisReply *entry, int64_t opened, int64_t epoch,
                              struct log_page *page)
{
    const redisReply *fields = entry->element[1];
    snprintf(page->last, sizeof(page->last), "%s", entry->element[0]->str);
    if (fields->elements < 4 || strtoll(fields->element[3]->str, NULL, 10) != opened)
        return ST_OK;
    for (size_t i = 5; i < fields->elements; i += 2) {
        struct row row;
        if (row_decode((struct str){fields->element[i]->str, fields->element[i]->len}, &row) !=
            ST_OK)
            continue;
        enum status st = ST_OK;
        if (row.kind == ROW_TAKE)
            st = stock_take_commit(s, sale, shard, epoch, &row, STR("completed by recovery"));
        else if (page->n < ROWS)
            add_order(page, &row, shard, epoch);
        if (st != ST_OK && st != ST_DUPLICATE && st != ST_FENCED)
            return st;
        if (page->n == ROWS && (st = write_page(s, page)) != ST_OK)
            return st;
    }
    return ST_OK;
}

enum status rebuild_from_log(struct session *s, const struct sale *sale, unsigned shard,
                             int64_t opened, int64_t epoch)
{
    struct log_page *page = calloc(1, sizeof(*page));
    if (!page)
        return ST_UNAVAILABLE;
    enum status st;
    size_t entries;
    do {
        redisReply *reply = NULL;
        st = read_entries(s, &sale->shard[shard].keys, page->last, &reply);
        if (st != ST_OK)
            break;
        entries = reply->type == REDIS_REPLY_ARRAY ? reply->elements : 0;
        for (size_t i = 0; i < entries && st == ST_OK; i++)
            st = read_entry(s, sale, shard, reply->element[i], opened, epoch, page);
        /* Rows point into the reply: written before it is freed. */
        if (st == ST_OK && page->n > 0)
            st = write_page(s, page);
        freeReplyObject(reply);
    } while (st == ST_OK && entries == ENTRIES);
    free(page);
    return st;
}
