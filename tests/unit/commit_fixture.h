/* commit_fixture.h - stock of two items in two shards, and orders for it; for the committer's
 * tests.
 *
 * Include after <cmocka.h>. No sale and no Redis: what commit_rows touches, and nothing more.
 */
#pragma once

#include "sql_fixture.h"

#include "base/clock.h"
#include "sql/committer.h"
#include "sql/migrate.h"

enum { EPOCH = 7, ALLOCATED = 10 };

struct ledger {
    struct sql_fixture db;
    struct sql *sql;    /* what commits */
    struct sql *beside; /* what looks */
    struct uid_source *ids;
};

static inline int ledger_setup(struct ledger *l)
{
    char error[512];
    if (fixture_setup(&l->db) != 0)
        return -1;
    l->sql = fixture_connect(&l->db.conf);
    l->beside = fixture_connect(&l->db.conf);
    l->ids = uid_source_create();
    assert_int_equal(migrate_run(l->sql, "schema", NULL, NULL, error, sizeof(error)), ST_OK);
    return 0;
}

static inline int ledger_teardown(struct ledger *l)
{
    sql_destroy(&l->sql);
    sql_destroy(&l->beside);
    uid_source_destroy(&l->ids);
    return fixture_teardown(&l->db);
}

/* No orders; items 1 and 2 in shards 0 and 1 with ALLOCATED units each under EPOCH. */
static inline void ledger_reset(struct ledger *l)
{
    fixture_exec(l->beside, "DELETE FROM orders");
    fixture_exec(l->beside, "DELETE FROM expiry_cursors");
    fixture_exec(l->beside,
                 "REPLACE INTO shard_stock (item, shard, epoch, allocated, held, added) VALUES "
                 "(1, 0, 7, 10, 0, 10), (1, 1, 7, 10, 0, 10), (2, 0, 7, 10, 0, 10), "
                 "(2, 1, 7, 10, 0, 10)");
}

static inline int64_t ledger_ask(struct ledger *l, const char *text)
{
    return one_int(l->beside, text);
}

static inline int64_t ledger_held(struct ledger *l, unsigned item, unsigned shard)
{
    char text[96];
    snprintf(text, sizeof(text), "SELECT held FROM shard_stock WHERE item = %u AND shard = %u",
             item, shard);
    return ledger_ask(l, text);
}

static inline int64_t ledger_orders(struct ledger *l)
{
    return ledger_ask(l, "SELECT COUNT(*) FROM orders");
}

/* An order of one unit of item 1 in shard 0 by its shopper, with a key that nobody else has. */
static inline struct commit_row ledger_row(struct ledger *l, const char *shopper)
{
    struct commit_row row = {.id = uid_make(l->ids, clock_wall_ms()),
                             .shopper = str_from(shopper),
                             .storefront = 1,
                             .item = 1,
                             .qty = 1,
                             .amount = 9900,
                             .epoch = EPOCH,
                             .outcome = ST_UNKNOWN};
    uid_random(l->ids, row.key, sizeof(row.key));
    return row;
}

/* State of the order with this id; 0: there is none. */
static inline int ledger_state(struct ledger *l, const struct uid *id)
{
    struct seen seen = {0};
    const struct sql_val key[] = {SQL_BYTES(id->b, UID_LEN)};
    assert_int_equal(sql_run_once(l->beside, STR("SELECT state FROM orders WHERE id = ?"), key, 1,
                                  see, &seen, NULL),
                     ST_OK);
    return seen.rows ? (int)seen.i[0] : 0;
}
