#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow_fixture.h"

#include <pthread.h>

static struct flow flow;

static int setup_group(void **state)
{
    return flow_setup(&flow, "");
}

static int teardown_group(void **state)
{
    return flow_teardown(&flow);
}

static int setup(void **state)
{
    flow_tell(&flow, "DELETE FROM idempotency");
    return 0;
}

static struct idem_key key_of(const char *key, const char *request)
{
    struct idem_key k = {.storefront = 1, .caller = STR("ann"), .route = "payments", .given = true};
    idem_hash(str_from(key), STR(""), k.idem);
    idem_hash(str_from(request), STR(""), k.fingerprint);
    return k;
}

struct answer_seen {
    struct idem idem;
    char body[64];
};

static enum status begin(const struct idem_key *key, struct answer_seen *a)
{
    struct buf body;
    buf_init(&body, 1024);
    enum status st = idem_begin(flow.s, key, &a->idem, &body);
    snprintf(a->body, sizeof(a->body), "%.*s", (int)body.len, body.data ? body.data : "");
    buf_fini(&body);
    return st;
}

/* As if the first try had begun that long ago. */
static void age(int64_t ms)
{
    flow_tell(&flow, "UPDATE idempotency SET started_ms = started_ms - %lld", (long long)ms);
}

static void test_hash_tells_parts_apart(void **state)
{
    uint8_t a[KEY_LEN], b[KEY_LEN], c[KEY_LEN];
    idem_hash(STR("ab"), STR("c"), a);
    idem_hash(STR("a"), STR("bc"), b);
    idem_hash(STR("ab"), STR("c"), c);
    assert_memory_not_equal(a, b, KEY_LEN);
    assert_memory_equal(a, c, KEY_LEN);
}

static void test_without_a_key(void **state)
{
    struct idem_key k = key_of("", "");
    struct answer_seen a, b;
    k.given = false;
    assert_int_equal(begin(&k, &a), ST_OK);
    assert_int_equal(begin(&k, &b), ST_OK);
    assert_false(uid_equal(&a.idem.resource, &b.idem.resource));
    idem_finish(flow.s, &k, 201, STR("kept"));
    idem_abandon(flow.s, &k, ST_INVALID_STATE);
    assert_int_equal(flow_ask(&flow, "SELECT COUNT(*) FROM idempotency"), 0);
}

static void test_fresh_then_replayed(void **state)
{
    struct idem_key k = key_of("k", "body");
    struct answer_seen first, again;
    assert_int_equal(begin(&k, &first), ST_OK);
    assert_false(first.idem.replay || first.idem.resumed);
    idem_finish(flow.s, &k, 201, STR("{\"id\":1}"));
    for (int i = 0; i < 2; i++) {
        assert_int_equal(begin(&k, &again), ST_OK);
        assert_true(again.idem.replay);
        assert_int_equal(again.idem.status, 201);
        assert_string_equal(again.body, "{\"id\":1}");
        assert_true(uid_equal(&again.idem.resource, &first.idem.resource));
        age(1000000); /* old answers are answers, too */
    }
}

static void test_another_request_under_the_key(void **state)
{
    struct idem_key k = key_of("k", "body"), other = key_of("k", "another body");
    struct answer_seen a;
    assert_int_equal(begin(&k, &a), ST_OK);
    assert_int_equal(begin(&other, &a), ST_IDEMPOTENCY_MISMATCH); /* while it runs */
    idem_finish(flow.s, &k, 201, STR("secret"));
    assert_int_equal(begin(&other, &a), ST_IDEMPOTENCY_MISMATCH);
    assert_string_equal(a.body, "");
    age(1000000);
    assert_int_equal(begin(&other, &a), ST_IDEMPOTENCY_MISMATCH);
}

static void test_keys_are_the_callers(void **state)
{
    struct idem_key k[5];
    struct answer_seen a;
    for (int i = 0; i < 5; i++)
        k[i] = key_of("k", "body");
    k[1].storefront = 2;
    k[2].caller = STR("Ann");
    k[3].caller = STR("");
    k[4].route = "sales";
    for (int i = 0; i < 5; i++) {
        assert_int_equal(begin(&k[i], &a), ST_OK);
        assert_false(a.idem.replay || a.idem.resumed);
    }
}

static void test_in_progress_then_taken_over(void **state)
{
    struct idem_key k = key_of("k", "body");
    struct answer_seen first, a;
    assert_int_equal(begin(&k, &first), ST_OK);
    assert_int_equal(begin(&k, &a), ST_IDEMPOTENCY_IN_PROGRESS);
    age(25000);
    assert_int_equal(begin(&k, &a), ST_IDEMPOTENCY_IN_PROGRESS);
    age(6000);
    assert_int_equal(begin(&k, &a), ST_OK);
    assert_true(a.idem.resumed);
    assert_false(a.idem.replay);
    assert_true(uid_equal(&a.idem.resource, &first.idem.resource));
    assert_int_equal(begin(&k, &a), ST_IDEMPOTENCY_IN_PROGRESS); /* one of them, for a while */
    age(31000);
    assert_int_equal(begin(&k, &a), ST_OK); /* and again */
    idem_finish(flow.s, &k, 202, STR("done"));
    assert_int_equal(begin(&k, &a), ST_OK);
    assert_true(a.idem.replay);
    assert_int_equal(a.idem.status, 202);
}

static void test_abandoned_is_forgotten(void **state)
{
    struct idem_key k = key_of("k", "body"), other = key_of("k", "another body");
    struct answer_seen first, a;
    assert_int_equal(begin(&k, &first), ST_OK);
    idem_abandon(flow.s, &k, ST_INVALID_STATE);
    assert_int_equal(begin(&other, &a), ST_OK); /* the key is free for anything */
    assert_false(a.idem.replay || a.idem.resumed);
    assert_false(uid_equal(&a.idem.resource, &first.idem.resource));
    idem_finish(flow.s, &other, 201, STR("kept"));
    idem_abandon(flow.s, &other, ST_INVALID_STATE); /* an answer that is kept stays */
    assert_int_equal(begin(&other, &a), ST_OK);
    assert_true(a.idem.replay);
    assert_string_equal(a.body, "kept");
}

struct race {
    pthread_t thread;
    enum status st;
    struct idem idem;
};

static void *begin_beside(void *arg)
{
    struct race *r = arg;
    struct session *s = NULL;
    struct buf body;
    const struct idem_key k = key_of("k", "body");
    if (session_create(&flow.engine, &s) != ST_OK)
        abort();
    buf_init(&body, 1024);
    r->st = idem_begin(s, &k, &r->idem, &body);
    buf_fini(&body);
    session_destroy(&s);
    return NULL;
}

/* Whether the key is new or left behind, one of many goes on. */
static void test_one_of_many(void **state)
{
    enum { MANY = 6 };
    for (int round = 0; round < 2; round++) {
        struct race r[MANY];
        unsigned winners = 0;
        for (int i = 0; i < MANY; i++)
            assert_int_equal(pthread_create(&r[i].thread, NULL, begin_beside, &r[i]), 0);
        for (int i = 0; i < MANY; i++) {
            pthread_join(r[i].thread, NULL);
            winners += r[i].st == ST_OK;
            assert_true(r[i].st == ST_OK || r[i].st == ST_IDEMPOTENCY_IN_PROGRESS);
            assert_true(r[i].st != ST_OK || r[i].idem.resumed == (round == 1));
        }
        assert_int_equal(winners, 1);
        age(31000);
    }
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

/* A failure that may have left something behind: the next try goes on at once, under the same id. */
static void test_taken_up_after_a_failure(void **state)
{
    struct idem_key k = key_of("failed", "body");
    struct answer_seen first, again;
    assert_int_equal(begin(&k, &first), ST_OK);
    idem_abandon(flow.s, &k, ST_RECOVERING);
    assert_int_equal(begin(&k, &again), ST_OK);
    assert_true(again.idem.resumed);
    assert_true(uid_equal(&again.idem.resource, &first.idem.resource));
    idem_abandon(flow.s, &k, ST_NOT_ENOUGH_LEFT);
    assert_int_equal(begin(&k, &first), ST_OK);
    assert_false(first.idem.resumed);
    assert_false(uid_equal(&again.idem.resource, &first.idem.resource));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_hash_tells_parts_apart),
        TEST(test_without_a_key),
        TEST(test_fresh_then_replayed),
        TEST(test_another_request_under_the_key),
        TEST(test_keys_are_the_callers),
        TEST(test_in_progress_then_taken_over),
        TEST(test_abandoned_is_forgotten),
        TEST(test_one_of_many),
        cmocka_unit_test(test_taken_up_after_a_failure),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
