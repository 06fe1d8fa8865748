#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sql/sql.h"

#include "sql_relay.h"

static struct sql_fixture fixture;

/* --- each test: a connection through the relay, and one beside it --- */

struct line {
    struct relay relay;
    char address[128];
    struct sql *sql, *beside;
};

static int setup(void **state)
{
    static struct line line;
    relay_start(&line.relay, fixture.conf.address);
    snprintf(line.address, sizeof(line.address), "unix:%s", line.relay.here.sun_path);
    struct sql_conf conf = fixture.conf;
    conf.address = line.address;
    line.sql = fixture_connect(&conf);
    line.beside = fixture_connect(&fixture.conf);
    fixture_exec(line.beside, "CREATE OR REPLACE TABLE t (id INT UNSIGNED NOT NULL PRIMARY KEY)");
    *state = &line;
    return 0;
}

static int teardown(void **state)
{
    struct line *line = *state;
    sql_destroy(&line->sql);
    sql_destroy(&line->beside);
    relay_stop(&line->relay);
    return 0;
}

static const char insert_t[] = "INSERT INTO t (id) VALUES (?)";

static enum status insert(struct sql *s, int id)
{
    return sql_run(s, insert_t, (struct sql_val[]){SQL_INT(id)}, 1, NULL, NULL, NULL);
}

static int64_t rows(const struct line *line)
{
    return one_int(line->beside, "SELECT COUNT(*) FROM t");
}

/* After `requests` more, an answer is lost. */
static void lose_answer(struct line *line, int requests)
{
    atomic_store(&line->relay.pass_on, requests);
}

/* --- tests --- */

static void test_r13_answer_to_commit_lost(void **state)
{
    struct line *line = *state;
    assert_int_equal(sql_begin(line->sql), ST_OK);
    assert_int_equal(insert(line->sql, 1), ST_OK);
    lose_answer(line, 0);
    assert_int_equal(sql_commit(line->sql), ST_UNKNOWN);
    assert_int_equal(rows(line), 1); /* it did commit */
    assert_int_equal(insert(line->sql, 1), ST_DUPLICATE);
}

static void test_answer_to_statement_lost(void **state)
{
    struct line *line = *state;
    assert_int_equal(insert(line->sql, 1), ST_OK); /* prepared now */
    lose_answer(line, 0);
    assert_int_equal(insert(line->sql, 2), ST_UNKNOWN);
    assert_int_equal(rows(line), 2);
    assert_int_equal(insert(line->sql, 3), ST_OK); /* prepared anew on a new connection */
}

static void test_answer_to_bulk_lost(void **state)
{
    struct line *line = *state;
    static const uint32_t ids[] = {1, 2, 3};
    const struct sql_col col = {SQL_C_U32, ids, sizeof(ids[0]), 0};
    lose_answer(line, 3); /* login, session, prepare */
    assert_int_equal(sql_run_bulk(line->sql, insert_t, &col, 1, 3, NULL, NULL, NULL), ST_UNKNOWN);
    assert_int_equal(rows(line), 3);
}

static void test_nothing_executed_is_not_unknown(void **state)
{
    struct line *line = *state;
    assert_int_equal(sql_connect(line->sql), ST_OK);
    lose_answer(line, 0);
    assert_int_equal(sql_begin(line->sql), ST_UNAVAILABLE);
    assert_int_equal(sql_connect(line->sql), ST_OK);
    lose_answer(line, 1);
    assert_int_equal(sql_begin_snapshot(line->sql), ST_UNAVAILABLE);
    assert_int_equal(sql_connect(line->sql), ST_OK);
    lose_answer(line, 0);
    assert_int_equal(insert(line->sql, 1), ST_UNAVAILABLE); /* while it is prepared */
    lose_answer(line, 1);
    assert_int_equal(sql_connect(line->sql), ST_UNAVAILABLE); /* in the session's set-up */
    assert_int_equal(rows(line), 0);
    assert_int_equal(insert(line->sql, 1), ST_OK);
}

/* The server's farewell was heard before anything was sent: no outcome is in doubt. */
static void test_killed_while_idle(void **state)
{
    struct line *line = *state;
    assert_int_equal(insert(line->beside, 1), ST_OK);
    char text[128];
    snprintf(text, sizeof(text),
             "SELECT COUNT(*) FROM information_schema.processlist WHERE id = %lld",
             (long long)one_int(line->beside, "SELECT CONNECTION_ID()"));
    kill_connection(fixture.admin, line->beside);
    while (one_int(fixture.admin, text)) /* KILL only asks */
        ;
    assert_int_equal(insert(line->beside, 2), ST_OK);
    assert_int_equal(rows(line), 2);
}

struct killer {
    struct sql *victim_admin;
    int64_t id;
    uint64_t rows;
};

static bool kill_at_first_row(void *arg, const struct sql_val *v, unsigned n)
{
    struct killer *k = arg;
    if (k->rows++ == 0) {
        char text[64];
        snprintf(text, sizeof(text), "KILL %lld", (long long)k->id);
        fixture_exec(k->victim_admin, text);
    }
    return true;
}

static void test_killed_within_result(void **state)
{
    struct line *line = *state;
    struct killer k = {fixture.admin, one_int(line->beside, "SELECT CONNECTION_ID()"), 0};
    uint64_t n = 99;
    assert_int_equal(sql_run(line->beside, "SELECT REPEAT('x', 100), seq FROM seq_1_to_1000000",
                             NULL, 0, kill_at_first_row, &k, &n),
                     ST_UNKNOWN);
    assert_true(k.rows > 0 && k.rows < 1000000);
    assert_int_equal(n, 99); /* only written on success */
    assert_int_equal(rows(line), 0);
}

static void test_killed_in_transaction(void **state)
{
    struct line *line = *state;
    assert_int_equal(sql_begin(line->beside), ST_OK);
    assert_int_equal(insert(line->beside, 1), ST_OK);
    kill_connection(fixture.admin, line->beside);
    assert_int_equal(insert(line->beside, 2), ST_UNKNOWN);
    /* Must not go out on a new connection, where it would commit by itself. */
    assert_int_equal(insert(line->beside, 2), ST_INTERNAL);
    sql_rollback(line->beside);
    assert_int_equal(rows(line), 0);
}

static void test_killed_before_commit(void **state)
{
    struct line *line = *state;
    assert_int_equal(sql_begin(line->beside), ST_OK);
    assert_int_equal(insert(line->beside, 1), ST_OK);
    kill_connection(fixture.admin, line->beside);
    assert_int_equal(sql_commit(line->beside), ST_UNKNOWN);
    assert_int_equal(rows(line), 0);
}

static void test_time_out(void **state)
{
    struct sql_conf conf = fixture.conf;
    conf.timeout_ms = 1000;
    struct sql *s = fixture_connect(&conf);
    time_t before = time(NULL);
    assert_int_equal(sql_run(s, "SELECT SLEEP(8)", NULL, 0, NULL, NULL, NULL), ST_UNKNOWN);
    assert_true(time(NULL) - before <= 3);
    assert_int_equal(one_int(s, "SELECT 42"), 42);
    sql_destroy(&s);
}

static int group_setup(void **state)
{
    return fixture_setup(&fixture);
}

static int group_teardown(void **state)
{
    return fixture_teardown(&fixture);
}

int main(void)
{
#define T(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        T(test_r13_answer_to_commit_lost),
        T(test_answer_to_statement_lost),
        T(test_answer_to_bulk_lost),
        T(test_nothing_executed_is_not_unknown),
        T(test_killed_while_idle),
        T(test_killed_within_result),
        T(test_killed_in_transaction),
        T(test_killed_before_commit),
        T(test_time_out),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
