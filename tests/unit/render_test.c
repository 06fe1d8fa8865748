/* render_test.c - resources as JSON: whole, with the fields that the contract names and no others.
 */
#include "api/render.h"

#include "base/clock.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <jansson.h>
#include <stdlib.h>
#include <string.h>

static const int64_t T0 = 1794355200000; /* 2026-11-11T00:00:00.000Z */

/* --- a small shop --------------------------------------------------------------------------------
 */

struct shop {
    struct live_sale *live;
    struct sale_item item[2];
    struct sale sale;
    struct buf b;
};

static int setup(void **state)
{
    struct shop *s = calloc(1, sizeof(*s));
    unsigned index = 0;
    assert_int_equal(live_sale_create(1, 2, 2, 100, &index, &s->live), ST_OK);
    s->item[0] = (struct sale_item){.no = 1,
                                    .sku = STR("tea"),
                                    .name = STR("\"Long\" \\ jing\n\xe9\xbe\x99"),
                                    .price = 9900,
                                    .list_price = 12900,
                                    .limit = 2,
                                    .stock = 100,
                                    .live = s->live->item[0]};
    s->item[1] = (struct sale_item){.no = 2,
                                    .sku = STR("jam"),
                                    .name = STR("Jam"),
                                    .price = 1,
                                    .list_price = -1,
                                    .limit = 1,
                                    .stock = 7,
                                    .live = s->live->item[1]};
    s->sale = (struct sale){.no = 1,
                            .id = STR("sale_1"),
                            .name = STR("Singles' day"),
                            .currency = "CNY",
                            .state = SALE_PUBLISHED,
                            .starts_ms = T0,
                            .ends_ms = T0 + 1000,
                            .created_ms = T0 - 5000,
                            .pay_within_s = 900,
                            .shards = 2,
                            .items = 2,
                            .item = s->item};
    buf_init(&s->b, 1 << 16);
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct shop *s = *state;
    live_sale_destroy(&s->live);
    buf_fini(&s->b);
    free(s);
    return 0;
}

/* --- looking at what came out --------------------------------------------------------------------
 */

/* All of the buffer as strict JSON; the caller decrefs. Empties the buffer. */
static json_t *parsed(struct shop *s)
{
    json_error_t e;
    assert_false(s->b.overflow);
    json_t *root = json_loadb(s->b.data, s->b.len, JSON_REJECT_DUPLICATES, &e);
    if (!root)
        fail_msg("%s in %.*s", e.text, (int)s->b.len, s->b.data);
    buf_reset(&s->b);
    return root;
}

/* Exactly the fields listed, separated by spaces. */
static void assert_fields(const json_t *o, const char *names)
{
    char text[512], *rest = text;
    size_t n = 0;
    assert_true(json_is_object(o));
    snprintf(text, sizeof(text), "%s", names);
    for (char *name = strsep(&rest, " "); name; name = strsep(&rest, " "), n++) {
        if (!json_object_get(o, name))
            fail_msg("no field %s", name);
    }
    assert_int_equal(json_object_size(o), n);
}

static void assert_text(const json_t *o, const char *name, const char *want)
{
    const json_t *v = json_object_get(o, name);
    if (!json_is_string(v) || strcmp(json_string_value(v), want) != 0)
        fail_msg("%s is %s, not %s", name, json_string_value(v), want);
}

static void assert_number(const json_t *o, const char *name, int64_t want)
{
    const json_t *v = json_object_get(o, name);
    if (!json_is_integer(v) || json_integer_value(v) != want)
        fail_msg("%s is %lld, not %lld", name, (long long)json_integer_value(v), (long long)want);
}

static void assert_null_field(const json_t *o, const char *name)
{
    assert_true(json_is_null(json_object_get(o, name)));
}

static bool truth(const json_t *o, const char *name)
{
    const json_t *v = json_object_get(o, name);
    assert_true(json_is_boolean(v));
    return json_is_true(v);
}

/* --- payments ------------------------------------------------------------------------------------
 */

static const char payment_fields[] =
    "object id order channel phase state amount currency action created_at";

static struct payment sample_payment(enum payment_state st, const char *url)
{
    struct payment p = {.id = uid_floor(T0 + 7),
                        .order = uid_floor(T0),
                        .state = st,
                        .action = PAYMENT_BY_REDIRECT,
                        .amount = 19800,
                        .created_ms = T0 + 7,
                        .channel = "sandbox",
                        .phase = "full",
                        .currency = "CNY",
                        .channel_ref = "secret-ref",
                        .return_url = "https://shop.example/back"};
    snprintf(p.action_url, sizeof(p.action_url), "%s", url);
    return p;
}

static void test_payment(void **state)
{
    struct shop *s = *state;
    static const char url[] = "https://pay.example/x?a=1&b=\"2\"";
    char id[40];
    struct payment p = sample_payment(PAYMENT_PENDING, url);
    render_payment(&s->b, &p);
    json_t *o = parsed(s);
    assert_fields(o, payment_fields);
    assert_text(o, "object", "payment");
    uid_format("pay_", &p.id, id);
    assert_text(o, "id", id);
    uid_format("ord_", &p.order, id);
    assert_text(o, "order", id);
    assert_text(o, "channel", "sandbox");
    assert_text(o, "phase", "full");
    assert_text(o, "state", "pending");
    assert_number(o, "amount", 19800);
    assert_text(o, "currency", "CNY");
    assert_text(o, "created_at", "2026-11-11T00:00:00.007Z");
    const json_t *action = json_object_get(o, "action");
    assert_text(action, "type", "redirect");
    assert_text(action, "url", url);
    assert_text(action, "sandbox_url", url);
    json_decref(o);
}

static void test_payment_by_a_code(void **state)
{
    struct shop *s = *state;
    struct payment p = sample_payment(PAYMENT_PENDING, "https://pay.example/x");
    p.action = PAYMENT_BY_QR_CODE;
    render_payment(&s->b, &p);
    json_t *o = parsed(s);
    const json_t *action = json_object_get(o, "action");
    assert_text(action, "type", "qr_code");
    assert_text(action, "qr_code", "https://pay.example/x");
    assert_text(action, "sandbox_url", "https://pay.example/x");
    assert_null(json_object_get(action, "url"));
    json_decref(o);
}

/* There is something to do exactly while money is awaited at a known place. */
static void test_payment_actions(void **state)
{
    static const struct {
        enum payment_state st;
        const char *url, *type, *text;
    } cases[] = {
        {PAYMENT_CREATED, "", "none", "pending"},
        {PAYMENT_CREATED, "u", "none", "pending"},
        {PAYMENT_PENDING, "", "none", "pending"},
        {PAYMENT_PENDING, "u", "redirect", "pending"},
        {PAYMENT_SUCCEEDED, "u", "none", "succeeded"},
        {PAYMENT_FAILED, "u", "none", "failed"},
        {PAYMENT_UNAPPLIED, "u", "none", "unapplied"},
    };
    struct shop *s = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct payment p = sample_payment(cases[i].st, cases[i].url);
        render_payment(&s->b, &p);
        json_t *o = parsed(s);
        assert_fields(o, payment_fields);
        assert_text(o, "state", cases[i].text);
        assert_text(json_object_get(o, "action"), "type", cases[i].type);
        json_decref(o);
    }
}

/* --- orders --------------------------------------------------------------------------------------
 */

static const char order_fields[] =
    "object id sale sku qty shopper state amount currency created_at "
    "pay_by paid_at payments";

static struct order sample_order(enum order_state st)
{
    struct order o = {.id = uid_floor(T0 + 123),
                      .storefront = 1,
                      .item = 1,
                      .shopper = "ann",
                      .qty = 2,
                      .amount = INT64_MAX,
                      .state = st,
                      .changed_ms = T0 + 500};
    return o;
}

static void test_order(void **state)
{
    struct shop *s = *state;
    struct order order = sample_order(ORDER_PAID);
    struct payment both[] = {sample_payment(PAYMENT_SUCCEEDED, "u"),
                             sample_payment(PAYMENT_FAILED, "")};
    char id[40];
    order.payment = both;
    order.payments = 2;
    render_order(&s->b, &order, &s->sale, &s->item[0]);
    json_t *o = parsed(s);
    assert_fields(o, order_fields);
    assert_text(o, "object", "order");
    uid_format("ord_", &order.id, id);
    assert_text(o, "id", id);
    assert_text(o, "sale", "sale_1");
    assert_text(o, "sku", "tea");
    assert_number(o, "qty", 2);
    assert_text(o, "shopper", "ann");
    assert_text(o, "state", "paid");
    assert_number(o, "amount", INT64_MAX);
    assert_text(o, "currency", "CNY");
    assert_text(o, "created_at", "2026-11-11T00:00:00.123Z");
    assert_text(o, "pay_by", "2026-11-11T00:15:00.123Z");
    assert_text(o, "paid_at", "2026-11-11T00:00:00.500Z");
    const json_t *payments = json_object_get(o, "payments");
    assert_int_equal(json_array_size(payments), 2);
    assert_fields(json_array_get(payments, 1), payment_fields);
    assert_text(json_array_get(payments, 0), "state", "succeeded");
    assert_text(json_array_get(payments, 1), "state", "failed");
    json_decref(o);
}

static void test_order_states(void **state)
{
    struct shop *s = *state;
    for (int st = 0; st < ORDER_STATES; st++) {
        struct order order = sample_order((enum order_state)st);
        render_order(&s->b, &order, &s->sale, &s->item[0]);
        json_t *o = parsed(s);
        assert_fields(o, order_fields);
        assert_text(o, "state", order_state_text(st));
        if (st != ORDER_PAID)
            assert_null_field(o, "paid_at");
        assert_int_equal(json_array_size(json_object_get(o, "payments")), 0);
        json_decref(o);
    }
}

/* --- sales ---------------------------------------------------------------------------------------
 */

static const char item_fields[] = "sku name price list_price limit left sold_out";

static void test_sale(void **state)
{
    struct shop *s = *state;
    size_t at = 0;
    atomic_store(&s->item[0].live[0].left, 3);
    atomic_store(&s->item[0].live[1].left, 4);
    buf_char(&s->b, ' '); /* the offset counts from the buffer's start */
    render_sale(&s->b, &s->sale, T0 + 1, &at);
    assert_memory_equal(s->b.data + at, "2026-11-11T00:00:00.001Z\"", CLOCK_TEXT_LEN + 1);
    json_t *o = parsed(s);
    assert_fields(o,
                  "object id name kind currency state server_time starts_at ends_at pay_within_s "
                  "shards created_at items");
    assert_text(o, "object", "sale");
    assert_text(o, "id", "sale_1");
    assert_text(o, "name", "Singles' day");
    assert_text(o, "kind", "flash");
    assert_text(o, "currency", "CNY");
    assert_text(o, "state", "open");
    assert_text(o, "server_time", "2026-11-11T00:00:00.001Z");
    assert_text(o, "starts_at", "2026-11-11T00:00:00.000Z");
    assert_text(o, "ends_at", "2026-11-11T00:00:01.000Z");
    assert_text(o, "created_at", "2026-11-10T23:59:55.000Z");
    assert_number(o, "pay_within_s", 900);
    assert_number(o, "shards", 2);
    const json_t *items = json_object_get(o, "items"), *tea = json_array_get(items, 0);
    assert_int_equal(json_array_size(items), 2);
    assert_fields(tea, item_fields);
    assert_text(tea, "sku", "tea");
    assert_text(tea, "name", "\"Long\" \\ jing\n\xe9\xbe\x99");
    assert_number(tea, "price", 9900);
    assert_number(tea, "list_price", 12900);
    assert_number(tea, "limit", 2);
    assert_number(tea, "left", 7);
    assert_false(truth(tea, "sold_out"));
    assert_fields(json_array_get(items, 1), item_fields);
    assert_null_field(json_array_get(items, 1), "list_price");
    assert_number(json_array_get(items, 1), "left", 7); /* not known yet: what it was made with */
    json_decref(o);
}

static void test_sale_phases(void **state)
{
    static const struct {
        enum sale_state st;
        int64_t now_ms;
        const char *text;
    } cases[] = {
        {SALE_DRAFT, 0, "draft"},    {SALE_PUBLISHED, -1, "scheduled"},
        {SALE_PUBLISHED, 0, "open"}, {SALE_PUBLISHED, 1000, "ended"},
        {SALE_PAUSED, 0, "paused"},  {SALE_OVER, 0, "ended"},
    };
    struct shop *s = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        s->sale.state = cases[i].st;
        render_sale(&s->b, &s->sale, T0 + cases[i].now_ms, NULL);
        json_t *o = parsed(s);
        assert_text(o, "state", cases[i].text);
        json_decref(o);
    }
}

/* Left is the sum over shards; while one is not known, none is. */
static void test_left(void **state)
{
    static const struct {
        int64_t first, second, left;
    } cases[] = {{-1, -1, -1}, {5, -1, -1}, {-1, 0, -1}, {0, 0, 0}, {0, 1, 1}, {5, 7, 12}};
    struct shop *s = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        atomic_store(&s->item[1].live[0].left, cases[i].first);
        atomic_store(&s->item[1].live[1].left, cases[i].second);
        assert_int_equal(render_left(&s->sale, &s->item[1]), cases[i].left);
        render_sale(&s->b, &s->sale, T0, NULL);
        json_t *o = parsed(s);
        const json_t *jam = json_array_get(json_object_get(o, "items"), 1);
        assert_number(jam, "left", cases[i].left < 0 ? s->item[1].stock : cases[i].left);
        assert_int_equal(truth(jam, "sold_out"), cases[i].left == 0);
        json_decref(o);
    }
}

/* --- the audit -----------------------------------------------------------------------------------
 */

static void test_audit(void **state)
{
    static struct audit_item items[] = {{STR("tea"), 100, 60, 20, 5, 40, 39, 61, 60},
                                        {STR("jam"), 7, 0, 0, 0, 7, 7, 0, 0}};
    struct shop *s = *state;
    struct audit a = {.ok = false,
                      .checked_ms = T0,
                      .pending_log = 1,
                      .pending_committing = 2,
                      .pending_releases = 3,
                      .unapplied = 4,
                      .odd_notices = 5,
                      .items = 2,
                      .checks = 2,
                      .item = items,
                      .check = {{"never_oversold", "P1", true, 0, 0},
                                {"stock_conserved", "P4", false, 100, -99}}};
    render_audit(&s->b, &s->sale, &a);
    json_t *o = parsed(s);
    assert_text(o, "object", "audit");
    assert_text(o, "sale", "sale_1");
    assert_false(truth(o, "ok"));
    assert_text(o, "checked_at", "2026-11-11T00:00:00.000Z");
    const json_t *tea = json_array_get(json_object_get(o, "items"), 0);
    assert_int_equal(json_array_size(json_object_get(o, "items")), 2);
    assert_fields(tea, "sku allocated left live paid released ledger_left gate_left gate_held");
    static const struct {
        const char *name;
        int64_t n;
    } numbers[] = {{"allocated", 100}, {"left", 39},        {"live", 60},      {"paid", 20},
                   {"released", 5},    {"ledger_left", 40}, {"gate_left", 39}, {"gate_held", 61}};
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        assert_number(tea, numbers[i].name, numbers[i].n);
    const json_t *checks = json_object_get(o, "checks"), *second = json_array_get(checks, 1);
    assert_int_equal(json_array_size(checks), 2);
    assert_true(truth(json_array_get(checks, 0), "ok"));
    assert_fields(second, "name promise ok expected found");
    assert_text(second, "name", "stock_conserved");
    assert_text(second, "promise", "P4");
    assert_false(truth(second, "ok"));
    assert_number(second, "expected", 100);
    assert_number(second, "found", -99);
    const json_t *pending = json_object_get(o, "pending"), *money = json_object_get(o, "money");
    assert_fields(pending, "log committing releases");
    assert_number(pending, "log", 1);
    assert_number(pending, "committing", 2);
    assert_number(pending, "releases", 3);
    assert_number(money, "unapplied", 4);
    assert_number(money, "unmatched", 5);
    json_decref(o);
}

static void test_audit_of_nothing(void **state)
{
    struct shop *s = *state;
    struct audit a = {.ok = true, .checked_ms = T0};
    render_audit(&s->b, &s->sale, &a);
    json_t *o = parsed(s);
    assert_true(truth(o, "ok"));
    assert_int_equal(json_array_size(json_object_get(o, "items")), 0);
    assert_int_equal(json_array_size(json_object_get(o, "checks")), 0);
    json_decref(o);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_payment),         T(test_payment_by_a_code),
        T(test_payment_actions), T(test_order),
        T(test_order_states),    T(test_sale),
        T(test_sale_phases),     T(test_left),
        T(test_audit),           T(test_audit_of_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
