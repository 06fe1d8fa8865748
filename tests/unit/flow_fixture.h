/* flow_fixture.h - a small shop without HTTP: a database of its own, an engine, one session, sales.
 *
 * For tests: include after <cmocka.h>. Servers as in sql_fixture.h, Redis by SNAPUP_TEST_REDIS;
 * both are private to the tests, so a test may wipe Redis. Each pool has one thread, which a test
 * can hold up (flow_hold), so that nothing is recovered behind its back.
 */
#pragma once

#include "sql_fixture.h"

#include "base/clock.h"
#include "flow/engine.h"
#include "flow/gate.h"
#include "flow/idempotency.h"
#include "flow/orders.h"
#include "flow/recover.h"
#include "flow/sales.h"
#include "pay/channel.h"
#include "sql/migrate.h"

#include <hiredis/hiredis.h>
#include <semaphore.h>

enum { HOUR_MS = 3600 * 1000, PRICE = 9900 };

struct flow {
    struct sql_fixture db;
    struct config conf;
    struct engine engine;
    struct session *s;
    struct sql *sql;     /* beside the session, for looking and tampering */
    redisContext *redis; /* likewise */
    unsigned sales;      /* made so far */
    struct job holding;  /* of flow_hold */
    sem_t held, go_on;
};

static const uint8_t flow_master_key[SEAL_KEY_LEN] = {1, 2, 3};

/* --- looking and tampering
 * ------------------------------------------------------------------------ */

/* Text with its arguments filled in, for MariaDB. */
__attribute__((format(printf, 2, 3))) static inline void flow_tell(struct flow *f, const char *fmt,
                                                                   ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    fixture_exec(f->sql, text);
}

__attribute__((format(printf, 2, 3))) static inline int64_t flow_ask(struct flow *f,
                                                                     const char *fmt, ...)
{
    char text[1024];
    va_list args;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    return one_int(f->sql, text);
}

/* An id as a literal of SQL; valid until the eighth call after this one. */
static inline const char *hex_id(const struct uid *id)
{
    static char ring[8][2 * UID_LEN + 4];
    static unsigned at;
    char *out = ring[at++ % 8];
    int n = sprintf(out, "X'");
    for (int i = 0; i < UID_LEN; i++)
        n += sprintf(out + n, "%02x", id->b[i]);
    sprintf(out + n, "'");
    return out;
}

/* Runs one Redis command in hiredis' format; integers and numeric strings are returned, else 0. */
static inline int64_t flow_redis(struct flow *f, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    redisReply *r = redisvCommand(f->redis, fmt, args);
    va_end(args);
    if (!r || r->type == REDIS_REPLY_ERROR)
        fail_msg("redis: %s: %s", fmt, r ? r->str : f->redis->errstr);
    int64_t n = r->type == REDIS_REPLY_INTEGER ? r->integer
                : r->str                       ? strtoll(r->str, NULL, 10)
                                               : 0;
    freeReplyObject(r);
    return n;
}

/* --- the shop
 * ------------------------------------------------------------------------------------- */

static inline int flow_start(struct flow *f)
{
    char error[512];
    assert_int_equal(migrate_run(f->s->sql, f->conf.schema_dir, NULL, NULL, error, sizeof(error)),
                     ST_OK);
    assert_int_equal(catalog_reload(f->engine.catalog, f->s->sql), ST_OK);
    assert_int_equal(
        committers_create(&f->engine.sql, 1, 1024, 20000, NULL, NULL, &f->engine.committers),
        ST_OK);
    struct jobs **const pools[] = {&f->engine.queries, &f->engine.chores, &f->engine.rebuilds,
                                   &f->engine.idle_rebuilds, &f->engine.audits};
    for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]); i++)
        assert_int_equal(jobs_create(&f->engine, 1, 1000, pools[i]), ST_OK);
    return 0;
}

/* sandbox_url may be "": no channel. */
static inline int flow_setup(struct flow *f, const char *sandbox_url)
{
    const char *redis = getenv("SNAPUP_TEST_REDIS");
    if (!redis || strncmp(redis, "unix:", 5) != 0) {
        print_error("SNAPUP_TEST_REDIS must name a private Redis, like unix:/path/to.sock\n");
        return -1;
    }
    if (fixture_setup(&f->db) != 0)
        return -1;
    char line[4][400], error[256];
    snprintf(line[0], sizeof(line[0]), "SNAPUP_REDIS=%s", redis);
    snprintf(line[1], sizeof(line[1]), "SNAPUP_SQL=%s", f->db.conf.address);
    snprintf(line[2], sizeof(line[2]), "SNAPUP_SQL_DATABASE=%s", f->db.database);
    snprintf(line[3], sizeof(line[3]), "SNAPUP_SANDBOX_URL=%s", sandbox_url);
    char *const env[] = {line[0],
                         line[1],
                         line[2],
                         line[3],
                         "SNAPUP_SQL_USER=root",
                         "SNAPUP_SANDBOX_SECRET=of the test",
                         "SNAPUP_PRODUCTION=0",
                         NULL};
    assert_int_equal(config_load(&f->conf, NULL, env, error, sizeof(error)), ST_OK);
    struct engine *e = &f->engine;
    e->conf = &f->conf;
    e->sql = f->db.conf;
    e->redis = (struct redis_conf){f->conf.redis, "", f->conf.redis_timeout_ms};
    assert_int_equal(channel_set_create(&f->conf, &e->channels), ST_OK);
    assert_int_equal(catalog_create(flow_master_key, false, NULL, &e->catalog), ST_OK);
    assert_int_equal(session_create(e, &f->s), ST_OK);
    e->instance = uid_make(f->s->ids, clock_wall_ms());
    f->sql = fixture_connect(&f->db.conf);
    f->redis = redisConnectUnix(redis + 5);
    assert_true(f->redis && !f->redis->err);
    sem_init(&f->held, 0, 0);
    sem_init(&f->go_on, 0, 0);
    return flow_start(f);
}

static inline int flow_teardown(struct flow *f)
{
    struct engine *e = &f->engine;
    struct jobs **const pools[] = {&e->audits, &e->rebuilds, &e->idle_rebuilds, &e->chores,
                                   &e->queries};
    for (size_t i = 0; i < sizeof(pools) / sizeof(pools[0]); i++) {
        jobs_stop(*pools[i]);
        jobs_destroy(pools[i]);
    }
    committers_stop(e->committers, 0);
    committers_destroy(&e->committers);
    session_destroy(&f->s);
    catalog_destroy(&e->catalog);
    channel_set_destroy(&e->channels);
    redisFree(f->redis);
    sql_destroy(&f->sql);
    config_fini(&f->conf);
    sem_destroy(&f->held);
    sem_destroy(&f->go_on);
    return fixture_teardown(&f->db);
}

static inline void flow_wait_here(struct job *job, struct session *s)
{
    struct flow *f = CONTAINER_OF(job, struct flow, holding);
    sem_post(&f->held);
    sem_wait(&f->go_on);
}

/* The pool's thread does nothing from here on; what is asked of it waits. One pool at a time. */
static inline void flow_hold(struct flow *f, struct jobs *pool)
{
    f->holding = (struct job){.work = flow_wait_here};
    assert_int_equal(jobs_submit(pool, &f->holding), ST_OK);
    sem_wait(&f->held);
}

/* Lets it go on; returns when what waited is done. */
static inline void flow_let_go(struct flow *f, struct jobs *pool)
{
    sem_post(&f->go_on);
    flow_hold(f, pool);
    sem_post(&f->go_on);
}

/* --- sales
 * ---------------------------------------------------------------------------------------- */

struct flow_sale {
    unsigned shards, items; /* 0: one; items are sku0, sku1 ... */
    int64_t stock;          /* of each item */
    uint32_t limit;         /* 0: 5 */
    uint32_t pay_within_s;  /* 0: 900 */
    bool draft;
};

/* The sale as it is now; valid until the next call. */
static inline const struct sale *flow_look(struct flow *f, uint32_t no)
{
    const struct snapshot *snap;
    assert_int_equal(catalog_reload(f->engine.catalog, f->s->sql), ST_OK);
    assert_int_equal(session_catalog(f->s, &snap), ST_OK);
    const struct sale *sale = snapshot_sale_by_no(snap, no);
    assert_non_null(sale);
    return sale;
}

/* Makes and publishes a sale of storefront 1 that opened an hour ago; returns its number. */
static inline uint32_t flow_sell(struct flow *f, const struct flow_sale *wish)
{
    enum { ITEMS = 4 };
    static const char *const skus[ITEMS] = {"sku0", "sku1", "sku2", "sku3"};
    struct new_item item[ITEMS];
    char name[64], id[65];
    const struct snapshot *snap;
    /* Redis outlives this program's database: the database's name keeps the keys apart. */
    snprintf(name, sizeof(name), "%.40s-%u", f->db.database, ++f->sales);
    struct new_sale sale = {.id = str_from(name),
                            .storefront = 1,
                            .name = STR("a sale"),
                            .currency = STR("CNY"),
                            .starts_ms = clock_wall_ms() - HOUR_MS,
                            .ends_ms = clock_wall_ms() + HOUR_MS,
                            .pay_within_s = wish->pay_within_s ? wish->pay_within_s : 900,
                            .shards = wish->shards ? wish->shards : 1,
                            .items = wish->items ? wish->items : 1,
                            .item = item};
    for (unsigned i = 0; i < sale.items; i++)
        item[i] = (struct new_item){str_from(skus[i]),
                                    STR("a thing"),
                                    PRICE,
                                    -1,
                                    wish->stock,
                                    wish->limit ? wish->limit : 5};
    assert_int_equal(sale_create(f->s, &sale, id), ST_OK);
    if (!wish->draft)
        assert_int_equal(sale_move(f->s, 1, str_from(id), SALE_PUBLISH), ST_OK);
    assert_int_equal(session_catalog(f->s, &snap), ST_OK);
    return snapshot_sale(snap, str_from(id))->no;
}

/* --- orders
 * --------------------------------------------------------------------------------------- */

struct flow_wish {
    const char *shopper; /* NULL: ann */
    const char *key;     /* idempotency key; NULL: made up */
    unsigned item, qty;  /* qty 0: one */
    int64_t ms;          /* when; 0: now */
    bool async;
};

/* The row of a purchase; strings point into the wish and the sale. */
static inline struct row flow_row(struct flow *f, const struct sale *sale,
                                  const struct flow_wish *wish)
{
    const struct sale_item *item = &sale->item[wish->item];
    struct str shopper = str_from(wish->shopper ? wish->shopper : "ann");
    struct row row = {.kind = ROW_ORDER,
                      .qty = wish->qty ? wish->qty : 1,
                      .limit = item->limit,
                      .hash = shopper_hash(shopper),
                      .storefront = sale->storefront,
                      .item = item->no,
                      .flags = wish->async ? ROW_ASYNC : 0,
                      .sku = item->sku,
                      .shopper = shopper};
    row.amount = item->price * row.qty;
    row.id = uid_make_routed(f->s->ids, wish->ms ? wish->ms : clock_wall_ms(), sale->no,
                             (uint8_t)(row.hash % sale->shards));
    if (wish->key)
        idem_hash(str_from(wish->key), STR(""), row.key);
    else
        uid_random(f->s->ids, row.key, sizeof(row.key));
    return row;
}

static inline unsigned flow_shard(const struct sale *sale, const struct row *row)
{
    return row->hash % sale->shards;
}

/* What Redis said; log_id names the entry. */
static inline char flow_reserve(struct flow *f, const struct sale *sale, const struct row *row,
                                char log_id[40])
{
    char code = 0;
    int64_t left;
    assert_int_equal(gate_reserve(f->s, sale, flow_shard(sale, row), row, &code, log_id, &left),
                     ST_OK);
    return code;
}

static inline struct commit_row flow_commit_row(const struct sale *sale, const struct row *row)
{
    unsigned shard = flow_shard(sale, row);
    struct commit_row c = {.id = row->id,
                           .shopper = row->shopper,
                           .storefront = row->storefront,
                           .item = row->item,
                           .shard = shard,
                           .qty = row->qty,
                           .amount = row->amount,
                           .epoch = sale->shard[shard].epoch,
                           .queued = (row->flags & ROW_ASYNC) != 0,
                           .outcome = ST_UNKNOWN};
    memcpy(c.key, row->key, sizeof(c.key));
    return c;
}

static inline void flow_commit(struct flow *f, const struct sale *sale, const struct row *row)
{
    struct commit_row c = flow_commit_row(sale, row), flat, *one = &c;
    assert_int_equal(commit_rows(f->s->sql, &one, 1, false, &flat), ST_OK);
    assert_int_equal(c.outcome, ST_OK);
}

/* A purchase from gate to ledger. */
static inline struct uid flow_buy(struct flow *f, uint32_t sale_no, const struct flow_wish *wish)
{
    char log_id[40];
    const struct sale *sale = flow_look(f, sale_no);
    struct row row = flow_row(f, sale, wish);
    assert_int_equal(flow_reserve(f, sale, &row, log_id), 'W');
    flow_commit(f, sale, &row);
    assert_int_equal(gate_ack(f->s, sale, flow_shard(sale, &row), log_id), ST_OK);
    return row.id;
}

static inline enum order_state flow_state(struct flow *f, const struct uid *id)
{
    return (enum order_state)flow_ask(f, "SELECT state FROM orders WHERE id = %s", hex_id(id));
}

/* --- both stores at once
 * -------------------------------------------------------------------------- */

struct flow_units {
    int64_t allocated, ledger_held; /* MariaDB's */
    int64_t left, held;             /* Redis' */
    int64_t log;                    /* entries of the intent log */
};

/* An item's units, summed over its shards. */
static inline struct flow_units flow_units(struct flow *f, uint32_t sale_no, unsigned item)
{
    struct flow_units u = {0};
    struct gate_units units[4];
    int64_t held[4];
    struct gate_view view = {.units = units};
    const struct sale *sale = flow_look(f, sale_no);
    for (unsigned i = 0; i < sale->shards; i++) {
        assert_int_equal(gate_peek(f->s, sale, i, &view), ST_OK);
        assert_int_equal(gate_held(f->s, sale, i, held), ST_OK);
        u.left += units[item].left;
        u.held += held[item];
        u.log += view.log;
    }
    u.allocated = flow_ask(f,
                           "SELECT CAST(SUM(allocated) AS INTEGER) FROM shard_stock "
                           "WHERE item = %u",
                           sale->item[item].no);
    u.ledger_held = flow_ask(f,
                             "SELECT CAST(SUM(held) AS INTEGER) FROM shard_stock "
                             "WHERE item = %u",
                             sale->item[item].no);
    return u;
}

/* Both stores say: so many are held, the rest is left, and nothing is under way. */
static inline void flow_expect(struct flow *f, uint32_t sale_no, unsigned item, int64_t allocated,
                               int64_t held)
{
    struct flow_units u = flow_units(f, sale_no, item);
    assert_int_equal(u.allocated, allocated);
    assert_int_equal(u.ledger_held, held);
    assert_int_equal(u.held, held);
    assert_int_equal(u.left, allocated - held);
    assert_int_equal(u.log, 0);
}
