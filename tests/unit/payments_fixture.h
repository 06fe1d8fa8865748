/* payments_fixture.h - a shop with a pool for attempts to pay, and a till as its channel.
 *
 * Include after <cmocka.h>.
 */
#pragma once

#include "flow_fixture.h"
#include "till_fixture.h"

#include "api/render.h"
#include "flow/payments.h"

#include <curl/curl.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct flow flow;
static struct till till;
static struct queue *replies;

static inline int setup_group(void **state)
{
    curl_global_init(CURL_GLOBAL_DEFAULT);
    till_open(&till);
    int rc = flow_setup(&flow, till.url);
    assert_int_equal(queue_create(1000, &replies), ST_OK);
    assert_int_equal(
        jobs_create_grouped(&flow.engine, &payments_group, 1000, &flow.engine.payments), ST_OK);
    assert_int_equal(channel_set_start(flow.engine.channels), ST_OK);
    return rc;
}

static inline int teardown_group(void **state)
{
    channel_set_stop(flow.engine.channels);
    jobs_stop(flow.engine.payments);
    jobs_destroy(&flow.engine.payments);
    queue_destroy(&replies);
    int rc = flow_teardown(&flow);
    till_close(&till);
    curl_global_cleanup();
    return rc;
}

static inline int setup(void **state)
{
    atomic_store(&till.status, 200);
    atomic_store(&till.body, till_trade);
    atomic_store(&till.calls, 0);
    return 0;
}

static const struct order_scope anns = {1, {"ann", 3}};

/* By a code: the channel is told, and answers. */
static inline struct payment_wish wish_for(const struct uid *order)
{
    struct channel_state *state = NULL;
    const struct channel *channel = channel_find(flow.engine.channels, STR("sandbox"), &state);
    return (struct payment_wish){.order = *order,
                                 .scope = anns,
                                 .channel = channel,
                                 .state = state,
                                 .action = PAYMENT_BY_QR_CODE,
                                 .return_url = STR("https://shop.example/back"),
                                 .id = uid_make(flow.s->ids, clock_wall_ms())};
}

static inline void on_back(struct task *task)
{
}

static inline void submit(struct payment_try *t)
{
    buf_init(t->body, 8192);
    t->job.done = on_back;
    t->job.reply_to = replies;
    t->render = render_payment;
    assert_int_equal(jobs_submit(flow.engine.payments, &t->job), ST_OK);
}

static inline enum status payment_create(struct session *s, const struct payment_wish *wish,
                                         struct payment *out)
{
    struct buf body;
    struct payment_try t = {.wish = *wish, .body = &body};
    submit(&t);
    assert_ptr_equal(queue_wait(replies, 20000), &t.job.task);
    if (t.st == ST_OK)
        *out = t.out;
    buf_fini(&body);
    return t.st;
}

static inline struct uid an_order(void)
{
    return flow_buy(&flow, flow_sell(&flow, &(struct flow_sale){.stock = 10}),
                    &(struct flow_wish){.qty = 2});
}

static inline int64_t payments(const struct uid *order)
{
    return flow_ask(&flow, "SELECT COUNT(*) FROM payments WHERE order_id = %s", hex_id(order));
}
