/* webhook_fixture.h - orders with payments, and what a channel says of them.
 *
 * Include after <cmocka.h>.
 */
#pragma once

#include "flow_fixture.h"

#include "flow/payments.h"
#include "pay/sandbox.h"

#include <pthread.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

static struct flow flow;

static inline int setup_group(void **state)
{
    return flow_setup(&flow, "");
}

static inline int teardown_group(void **state)
{
    return flow_teardown(&flow);
}

static inline struct uid an_order(void)
{
    return flow_buy(&flow, flow_sell(&flow, &(struct flow_sale){.stock = 10}),
                    &(struct flow_wish){0});
}

/* A pending payment of the order's whole amount. */
static inline struct uid a_payment(const struct uid *order)
{
    struct uid id = uid_make(flow.s->ids, clock_wall_ms());
    flow_tell(&flow,
              "INSERT INTO payments (id, order_id, channel, phase, state, amount, currency, "
              "created_ms) VALUES (%s, %s, 'sandbox', 'full', 2, %d, 'CNY', 1)",
              hex_id(&id), hex_id(order), PRICE);
    return id;
}

static inline struct channel_event event_of(const struct uid *order, const struct uid *payment,
                                            enum channel_event_kind kind)
{
    static unsigned number;
    struct channel_event e = {.kind = kind,
                              .type = "payment.x",
                              .ref = "ch_1",
                              .currency = "CNY",
                              .payment = *payment,
                              .order = *order,
                              .amount = PRICE};
    snprintf(e.id, sizeof(e.id), "evt_%u", ++number);
    return e;
}

static inline enum webhook_outcome apply(const struct channel_event *e)
{
    struct webhook w = {.channel = &channel_sandbox, .event = *e};
    struct job *one = &w.job;
    webhooks_apply(flow.s, &one, 1);
    assert_int_equal(w.st, ST_OK);
    return w.outcome;
}

static inline int64_t payment_state(const struct uid *id)
{
    return flow_ask(&flow, "SELECT state FROM payments WHERE id = %s", hex_id(id));
}

static inline int64_t recorded(const struct channel_event *e, const char *outcome)
{
    return flow_ask(&flow,
                    "SELECT COUNT(*) FROM webhook_events WHERE channel = 'sandbox' AND "
                    "event = '%s' AND outcome = '%s'",
                    e->id, outcome);
}
