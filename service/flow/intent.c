#include "flow/intent.h"

#include <hiredis/hiredis.h>
#include <stdio.h>
#include <stdlib.h>

/* Fields of an entry: o, owner, e, epoch, then r, row, r, row ... */
enum { OWNER_AT = 1, EPOCH_AT = 3, ROWS_AT = 5 };

void intent_end(struct intent_page *page)
{
    if (page->reply)
        freeReplyObject(page->reply);
    page->reply = NULL;
    page->n = 0;
}

static void note_last(struct intent_page *page)
{
    struct intent_entry e;
    if (page->n > 0 && intent_entry(page, page->n - 1, &e))
        snprintf(page->last, sizeof(page->last), "%s", e.id);
}

enum status intent_next(struct session *s, const struct sale_shard *shard, struct intent_page *page)
{
    char from[LOG_ID_MAX + 1];
    snprintf(from, sizeof(from), "%s%s", page->last[0] ? "(" : "-", page->last);
    intent_end(page);
    args_reset(&s->args);
    args_z(&s->args, "XRANGE");
    args_add(&s->args, shard->keys.text[KEY_LOG], shard->keys.len[KEY_LOG]);
    args_z(&s->args, from);
    args_z(&s->args, "+");
    args_z(&s->args, "COUNT");
    args_int(&s->args, INTENT_ENTRIES);
    enum status st = redis_session_call(s->redis, &s->args, &page->reply);
    if (st != ST_OK)
        return st;
    if (page->reply->type == REDIS_REPLY_ARRAY)
        page->n = (unsigned)page->reply->elements;
    note_last(page);
    return ST_OK;
}

enum status intent_edge(struct session *s, const struct sale_shard *shard, bool newest,
                        struct log_mark *mark)
{
    struct intent_page page = {0};
    struct intent_entry e;
    args_reset(&s->args);
    args_z(&s->args, newest ? "XREVRANGE" : "XRANGE");
    args_add(&s->args, shard->keys.text[KEY_LOG], shard->keys.len[KEY_LOG]);
    args_z(&s->args, newest ? "+" : "-");
    args_z(&s->args, newest ? "-" : "+");
    args_z(&s->args, "COUNT");
    args_z(&s->args, "1");
    *mark = (struct log_mark){0};
    enum status st = redis_session_call(s->redis, &s->args, &page.reply);
    if (st != ST_OK)
        return st;
    if (page.reply->type == REDIS_REPLY_ARRAY && page.reply->elements == 1) {
        st = intent_entry(&page, 0, &e) ? ST_OK : ST_INTERNAL;
        *mark = st == ST_OK ? log_mark_of(e.id) : *mark;
    }
    intent_end(&page);
    return st;
}

struct log_mark log_mark_of(const char *id)
{
    char *dash = NULL;
    uint64_t ms = strtoull(id, &dash, 10);
    return (struct log_mark){ms, *dash == '-' ? strtoull(dash + 1, NULL, 10) : 0};
}

bool log_mark_after(struct log_mark a, struct log_mark b)
{
    return a.ms != b.ms ? a.ms > b.ms : a.seq > b.seq;
}

bool intent_entry(const struct intent_page *page, unsigned i, struct intent_entry *entry)
{
    const redisReply *r = page->reply->element[i];
    if (r->type != REDIS_REPLY_ARRAY || r->elements != 2 ||
        r->element[0]->type != REDIS_REPLY_STRING || r->element[0]->len >= LOG_ID_MAX ||
        r->element[1]->type != REDIS_REPLY_ARRAY || r->element[1]->elements <= EPOCH_AT)
        return false;
    const redisReply *fields = r->element[1], *owner = fields->element[OWNER_AT];
    *entry = (struct intent_entry){.id = r->element[0]->str,
                                   .owner = {owner->str, owner->len},
                                   .epoch = strtoll(fields->element[EPOCH_AT]->str, NULL, 10),
                                   .rows = (unsigned)(fields->elements - EPOCH_AT - 1) / 2,
                                   .fields = fields};
    return true;
}

struct str intent_bytes(const struct intent_entry *entry, unsigned i)
{
    const redisReply *bytes = entry->fields->element[ROWS_AT + 2 * (size_t)i];
    return (struct str){bytes->str, bytes->len};
}

void intent_commit_row(const struct row *row, unsigned shard, int64_t epoch, struct commit_row *out)
{
    *out = (struct commit_row){.id = row->id,
                               .shopper = row->shopper,
                               .storefront = row->storefront,
                               .item = row->item,
                               .shard = shard,
                               .qty = row->qty,
                               .amount = row->amount,
                               .epoch = epoch,
                               .queued = (row->flags & ROW_ASYNC) != 0,
                               .outcome = ST_UNKNOWN};
    memcpy(out->key, row->key, sizeof(out->key));
}
