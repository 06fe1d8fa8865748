/* patrol_fixture.h - a shop whose counts can be read, and looks and audits of it that wait for the
 * rebuilds they ask for.
 *
 * Include after <cmocka.h>.
 */
#pragma once

#include "flow_fixture.h"

#include "flow/patrol.h"

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { RECORD_BYTES = 37, LOOKS = 5 };

static struct flow flow;
static struct session *s; /* one that counts */

static const struct patrol_pace at_once = {0}, never = {.heal_after_ms = HOUR_MS};

static inline int setup_group(void **state)
{
    if (flow_setup(&flow, "") != 0)
        return -1;
    if (metrics_create(NULL, 0, &flow.engine.metrics) != ST_OK)
        return -1;
    return session_create(&flow.engine, &s) == ST_OK ? 0 : -1;
}

static inline int teardown_group(void **state)
{
    session_destroy(&s);
    int result = flow_teardown(&flow);
    metrics_destroy(&flow.engine.metrics);
    return result;
}

static inline struct patrol *patrol(const struct patrol_pace *pace)
{
    struct patrol *p;
    assert_int_equal(patrol_create(&flow.engine, pace, &p), ST_OK);
    return p;
}

/* Value of a metric without labels. */
static inline int64_t metric(const char *name)
{
    struct buf text;
    char line[64];
    buf_init(&text, 1024 * 1024);
    metrics_render(flow.engine.metrics, &text);
    buf_char(&text, '\0');
    assert_false(text.overflow);
    snprintf(line, sizeof(line), "\nsnapup_%s ", name);
    const char *at = strstr(text.data, line);
    if (!at)
        fail_msg("there is no metric %s", name);
    int64_t v = strtoll(at + strlen(line), NULL, 10);
    buf_fini(&text);
    return v;
}

/* A sale of 10 units each in which ann holds one of sku0; every other sale is over. */
static inline uint32_t the_sale(unsigned shards, unsigned items)
{
    uint32_t no = flow_sell(
        &flow, &(struct flow_sale){.shards = shards, .items = items, .stock = 10 * shards});
    flow_buy(&flow, no, &(struct flow_wish){0});
    flow_tell(&flow, "UPDATE sales SET starts_ms = 1, ends_ms = 2 WHERE no <> %u", no);
    assert_int_equal(catalog_touch(flow.sql), ST_OK);
    return no;
}

static inline int64_t epoch_of(uint32_t no, unsigned shard)
{
    return flow_look(&flow, no)->shard[shard].epoch;
}

static inline const char *key_of(uint32_t no, unsigned shard, unsigned key)
{
    return flow_look(&flow, no)->shard[shard].keys.text[key];
}

/* Returns when every rebuild that was asked for is done. */
static inline void let_rebuild(void)
{
    flow_hold(&flow, flow.engine.rebuilds);
    sem_post(&flow.go_on);
}

static inline void look(struct patrol *p, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        assert_int_equal(patrol_look(p, s), ST_OK);
    let_rebuild();
}

static inline void audit(struct patrol *p, unsigned times)
{
    for (unsigned i = 0; i < times; i++)
        assert_int_equal(patrol_audit(p, s), ST_OK);
    let_rebuild();
}

static inline void reserve_only(uint32_t no)
{
    char log_id[40];
    const struct sale *sale = flow_look(&flow, no);
    struct row row = flow_row(&flow, sale, &(struct flow_wish){.shopper = "bob", .qty = 3});
    assert_int_equal(flow_reserve(&flow, sale, &row, log_id), 'W');
}
