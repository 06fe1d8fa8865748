/* rebuild_fixture.h - a sale with a history, and how its shard stands in both stores.
 *
 * Include after <cmocka.h>.
 */
#pragma once

#include "flow_fixture.h"

static struct flow flow;

static inline int setup_group(void **state)
{
    return flow_setup(&flow, "");
}

static inline int teardown_group(void **state)
{
    return flow_teardown(&flow);
}

static inline int64_t epoch_of(uint32_t no)
{
    return flow_look(&flow, no)->shard[0].epoch;
}

static inline int64_t redis_epoch(uint32_t no)
{
    struct gate_units units[4];
    struct gate_view view = {.units = units};
    assert_int_equal(gate_peek(flow.s, flow_look(&flow, no), 0, &view), ST_OK);
    return view.epoch;
}

/* Both stores and the catalogue name one epoch, and the shard is open under it. */
static inline void expect_open(uint32_t no, int64_t epoch)
{
    assert_int_equal(epoch_of(no), epoch);
    assert_int_equal(redis_epoch(no), epoch);
    assert_true(flow_look(&flow, no)->shard[0].ready);
    assert_int_equal(flow_ask(&flow, "SELECT opened FROM shards WHERE sale = %u", no), epoch);
    assert_int_equal(flow_ask(&flow,
                              "SELECT MIN(epoch) FROM shard_stock WHERE item IN "
                              "(SELECT no FROM items WHERE sale = %u)",
                              no),
                     epoch);
}

/* ann's idempotency key in that sale; one sale at a time. */
static inline const char *anns_key(uint32_t no)
{
    static char key[32];
    snprintf(key, sizeof(key), "anns-%u", no);
    return key;
}

/* Stock 10; ann holds 2 unpaid, bob 3 paid; cid's were cancelled. */
static inline uint32_t busy_sale(void)
{
    uint32_t no = flow_sell(&flow, &(struct flow_sale){.items = 2, .stock = 10});
    static const struct order_scope cids = {1, {"cid", 3}};
    struct order o;
    flow_buy(&flow, no, &(struct flow_wish){.qty = 2, .key = anns_key(no)});
    struct uid bobs = flow_buy(&flow, no, &(struct flow_wish){.shopper = "bob", .qty = 3});
    flow_tell(&flow, "UPDATE orders SET state = 2 WHERE id = %s", hex_id(&bobs));
    struct uid gone = flow_buy(&flow, no, &(struct flow_wish){.shopper = "cid", .qty = 4});
    assert_int_equal(order_cancel(flow.s, &gone, &cids, &o), ST_OK);
    flow_expect(&flow, no, 0, 10, 5);
    return no;
}
