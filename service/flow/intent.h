/* intent.h - a shard's intent log, read page by page: what was reserved and is perhaps not durable.
 *
 * An entry is what functions.lua's reserve wrote for one batch: owner, epoch, and the rows of its
 * winners. For those who finish what others began (sweep.h, rebuild.h). One thread.
 */
#pragma once

#include "flow/gate.h"
#include "flow/jobs.h"
#include "redis/row.h"
#include "sql/committer.h"

struct intent_page {
    struct redisReply *reply; /* entries and rows point into it */
    unsigned n;               /* entries; 0: the log's end */
    char last[LOG_ID_MAX];    /* id of the last entry read so far */
};

struct intent_entry {
    const char *id;
    struct str owner;
    int64_t epoch;
    unsigned rows;
    const struct redisReply *fields;
};

enum { INTENT_ENTRIES = 64 }; /* of a page, at most */

/* The page after the one that *page holds, which is freed; starts at the log's beginning with a
 * zeroed *page. Statuses as redis_session_call. End with intent_end, whatever came of it. */
STATUS_MUSTCHECK
enum status intent_next(struct session *s, const struct sale_shard *shard,
                        struct intent_page *page);
void intent_end(struct intent_page *page);

/* The oldest or newest entry's mark; zeroed when the log is empty. Statuses as
 * redis_session_call. */
STATUS_MUSTCHECK
enum status intent_edge(struct session *s, const struct sale_shard *shard, bool newest,
                        struct log_mark *mark);

/* An entry's id is `milliseconds-sequence`. */
struct log_mark log_mark_of(const char *id);
bool log_mark_after(struct log_mark a, struct log_mark b);

/* False: not an entry of ours. Valid while the page is. */
bool intent_entry(const struct intent_page *page, unsigned i, struct intent_entry *entry);
/* Bytes of row i < rows. */
struct str intent_bytes(const struct intent_entry *entry, unsigned i);
/* Row i as the committer wants it, under epoch; row as row_decode. */
void intent_commit_row(const struct row *row, unsigned shard, int64_t epoch,
                       struct commit_row *out);
