#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "commit_fixture.h"

#include <pthread.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { ROWS_MAX = 600, PENDING = 1, PAID = 2, CANCELLED = 3, EXPIRED = 4 };

static struct ledger ledger;

static int setup_group(void **state)
{
    return ledger_setup(&ledger);
}

static int teardown_group(void **state)
{
    return ledger_teardown(&ledger);
}

static int setup(void **state)
{
    ledger_reset(&ledger);
    return 0;
}

static enum status commit(struct commit_row *rows, unsigned n, bool careful)
{
    static struct commit_row *of[ROWS_MAX], flat[ROWS_MAX];
    assert_true(n <= ROWS_MAX);
    for (unsigned i = 0; i < n; i++)
        of[i] = &rows[i];
    return commit_rows(ledger.sql, of, n, careful, flat);
}

static void end_order(const struct commit_row *row, int state)
{
    const struct sql_val args[] = {SQL_INT(state), SQL_BYTES(row->id.b, UID_LEN)};
    assert_int_equal(sql_run(ledger.beside, "UPDATE orders SET state = ? WHERE id = ?", args, 2,
                             NULL, NULL, NULL),
                     ST_OK);
}

static void expect_outcomes(const struct commit_row *rows, const enum status *want, unsigned n)
{
    for (unsigned i = 0; i < n; i++)
        if (rows[i].outcome != want[i])
            fail_msg("row %u: %s, not %s", i, status_info(rows[i].outcome)->name,
                     status_info(want[i])->name);
}

/* --- plain
 * ---------------------------------------------------------------------------------------- */

static void test_rows_become_durable(void **state)
{
    struct commit_row rows[] = {ledger_row(&ledger, "ann"), ledger_row(&ledger, "Ann")};
    rows[1].qty = 3;
    rows[1].amount = 29700;
    assert_int_equal(commit(rows, 2, false), ST_OK);
    expect_outcomes(rows, (enum status[]){ST_OK, ST_OK}, 2);
    assert_int_equal(ledger_state(&ledger, &rows[0].id), PENDING);
    assert_int_equal(ledger_held(&ledger, 1, 0), 4);
    assert_int_equal(ledger_ask(&ledger, "SELECT COUNT(*) FROM orders WHERE shopper = 'Ann' AND "
                                         "storefront = 1 AND item = 1 AND shard = 0 AND qty = 3 "
                                         "AND amount = 29700 AND gen = 0 AND changed_ms = 0"),
                     1);
}

static void test_nothing_to_write_is_fine(void **state)
{
    struct commit_row row = ledger_row(&ledger, "ann");
    assert_int_equal(commit(&row, 0, false), ST_OK);
    row.outcome = ST_FENCED;
    assert_int_equal(commit(&row, 1, false), ST_OK);
    assert_int_equal(row.outcome, ST_FENCED);
    assert_int_equal(ledger_orders(&ledger), 0);
}

static void test_deltas_per_item_and_shard(void **state)
{
    static const struct {
        unsigned item, shard, qty;
    } wish[] = {{1, 0, 1}, {2, 1, 2}, {1, 0, 3}, {1, 1, 4}, {2, 1, 5}, {2, 0, 1}, {1, 0, 2}};
    for (int careful = 0; careful < 2; careful++) {
        struct commit_row rows[COUNT(wish)];
        ledger_reset(&ledger);
        for (unsigned i = 0; i < COUNT(wish); i++) {
            rows[i] = ledger_row(&ledger, "ann");
            rows[i].item = wish[i].item;
            rows[i].shard = wish[i].shard;
            rows[i].qty = wish[i].qty;
        }
        assert_int_equal(commit(rows, COUNT(wish), careful), ST_OK);
        assert_int_equal(ledger_held(&ledger, 1, 0), 6);
        assert_int_equal(ledger_held(&ledger, 1, 1), 4);
        assert_int_equal(ledger_held(&ledger, 2, 0), 1);
        assert_int_equal(ledger_held(&ledger, 2, 1), 7);
    }
}

static void test_plain_duplicate_writes_nothing(void **state)
{
    struct commit_row rows[] = {ledger_row(&ledger, "ann"), ledger_row(&ledger, "bob")};
    assert_int_equal(commit(rows, 1, false), ST_OK);
    struct commit_row again[] = {ledger_row(&ledger, "cid"), rows[0]};
    again[1].id = uid_make(ledger.ids, clock_wall_ms());
    again[0].outcome = again[1].outcome = ST_UNKNOWN;
    assert_int_equal(commit(again, 2, false), ST_DUPLICATE);
    expect_outcomes(again, (enum status[]){ST_UNKNOWN, ST_UNKNOWN}, 2);
    assert_int_equal(ledger_orders(&ledger), 1);
    assert_int_equal(ledger_held(&ledger, 1, 0), 1);
}

/* --- careful (R3, R11, R13)
 * ----------------------------------------------------------------------- */

static void test_r3_duplicate_with_another_id(void **state)
{
    struct commit_row first = ledger_row(&ledger, "ann");
    assert_int_equal(commit(&first, 1, false), ST_OK);
    struct commit_row rows[] = {ledger_row(&ledger, "bob"), first, ledger_row(&ledger, "cid")};
    rows[1].id = uid_make(ledger.ids, clock_wall_ms());
    assert_int_equal(commit(rows, 3, true), ST_OK);
    expect_outcomes(rows, (enum status[]){ST_OK, ST_DUPLICATE, ST_OK}, 3);
    assert_int_equal(ledger_state(&ledger, &rows[1].id), 0);
    assert_int_equal(ledger_held(&ledger, 1, 0), 3);
}

/* A key belongs to a shopper of a storefront: others may use the same. */
static void test_key_of_others_is_no_duplicate(void **state)
{
    struct commit_row rows[] = {ledger_row(&ledger, "bob"), ledger_row(&ledger, "Bob"),
                                ledger_row(&ledger, "bob")};
    memcpy(rows[1].key, rows[0].key, sizeof(rows[0].key));
    memcpy(rows[2].key, rows[0].key, sizeof(rows[0].key));
    rows[2].storefront = 2;
    assert_int_equal(commit(rows, 3, true), ST_OK);
    expect_outcomes(rows, (enum status[]){ST_OK, ST_OK, ST_OK}, 3);
    assert_int_equal(ledger_held(&ledger, 1, 0), 3);
}

/* R11, R13: run again after an unknown COMMIT; what was counted is not counted again. */
static void test_r3_own_live_row_is_not_counted_twice(void **state)
{
    static const int live[] = {PENDING, PAID};
    for (unsigned i = 0; i < COUNT(live); i++) {
        ledger_reset(&ledger);
        struct commit_row rows[] = {ledger_row(&ledger, "ann"), ledger_row(&ledger, "bob")};
        assert_int_equal(commit(rows, 1, false), ST_OK);
        end_order(&rows[0], live[i]);
        rows[0].outcome = ST_UNKNOWN;
        assert_int_equal(commit(rows, 2, true), ST_OK);
        expect_outcomes(rows, (enum status[]){ST_OK, ST_OK}, 2);
        assert_int_equal(ledger_held(&ledger, 1, 0), 2);
        assert_int_equal(ledger_state(&ledger, &rows[0].id), live[i]);
    }
}

struct careful {
    struct commit_row row;
    enum status st;
};

static void *commit_carefully(void *arg)
{
    struct careful *c = arg;
    c->st = commit(&c->row, 1, true);
    return NULL;
}

/* R13: a COMMIT whose answer was lost may still be on its way. A look at a snapshot would find nothing,
 * and the order would be counted twice or given up. */
static void test_r13_commit_under_way_is_waited_for(void **state)
{
    struct careful c = {.row = ledger_row(&ledger, "ann")};
    const struct sql_val args[] = {SQL_BYTES(c.row.id.b, UID_LEN),
                                   SQL_BYTES(c.row.key, sizeof(c.row.key))};
    pthread_t thread;
    assert_int_equal(sql_begin(ledger.beside), ST_OK);
    assert_int_equal(sql_run(ledger.beside,
                             "INSERT INTO orders (id, storefront, shopper, idem, item, shard, qty, "
                             "amount, state) VALUES (?, 1, 'ann', ?, 1, 0, 1, 9900, 1)",
                             args, 2, NULL, NULL, NULL),
                     ST_OK);
    assert_int_equal(pthread_create(&thread, NULL, commit_carefully, &c), 0);
    int64_t until_us = clock_mono_us() + 10 * 1000 * 1000;
    while (ledger_ask(&ledger, "SELECT CAST(variable_value AS SIGNED) FROM "
                               "information_schema.global_status "
                               "WHERE variable_name = 'INNODB_ROW_LOCK_CURRENT_WAITS'") == 0)
        assert_true(clock_mono_us() < until_us);
    fixture_exec(ledger.beside,
                 "UPDATE shard_stock SET held = held + 1 WHERE item = 1 AND shard = 0");
    assert_int_equal(sql_commit(ledger.beside), ST_OK);
    assert_int_equal(pthread_join(thread, NULL), 0);
    assert_int_equal(c.st, ST_OK);
    assert_int_equal(c.row.outcome, ST_OK);
    assert_int_equal(ledger_orders(&ledger), 1);
    assert_int_equal(ledger_held(&ledger, 1, 0), 1);
}

static void test_r3_own_ended_row(void **state)
{
    static const int ended[] = {CANCELLED, EXPIRED, 5, 6};
    for (unsigned i = 0; i < COUNT(ended); i++) {
        ledger_reset(&ledger);
        struct commit_row row = ledger_row(&ledger, "ann");
        assert_int_equal(commit(&row, 1, false), ST_OK);
        end_order(&row, ended[i]);
        row.outcome = ST_UNKNOWN;
        assert_int_equal(commit(&row, 1, true), ST_OK);
        assert_int_equal(row.outcome, ST_INVALID_STATE);
        assert_int_equal(ledger_held(&ledger, 1, 0), 1); /* its release is another's business */
        assert_int_equal(ledger_state(&ledger, &row.id), ended[i]);
    }
}

/* R11: with a delta of 0 the guard is not asked, so that a full or fenced shard is no obstacle. */
static void test_r11_known_rows_need_no_guard(void **state)
{
    struct commit_row row = ledger_row(&ledger, "ann");
    assert_int_equal(commit(&row, 1, false), ST_OK);
    fixture_exec(ledger.beside, "UPDATE shard_stock SET epoch = epoch + 1");
    row.outcome = ST_UNKNOWN;
    assert_int_equal(commit(&row, 1, true), ST_OK);
    assert_int_equal(row.outcome, ST_OK);
}

static void test_r11_one_key_twice_in_a_group(void **state)
{
    struct commit_row rows[] = {ledger_row(&ledger, "ann"), ledger_row(&ledger, "ann"),
                                ledger_row(&ledger, "ann")};
    /* Not in the order of ids: the place in the group decides. */
    struct uid id = rows[0].id;
    rows[0].id = rows[2].id;
    rows[2].id = id;
    memcpy(rows[2].key, rows[0].key, sizeof(rows[0].key));
    assert_int_equal(commit(rows, 3, false), ST_DUPLICATE);
    assert_int_equal(commit(rows, 3, true), ST_OK);
    expect_outcomes(rows, (enum status[]){ST_OK, ST_OK, ST_DUPLICATE}, 3);
    assert_int_equal(ledger_held(&ledger, 1, 0), 2);
}

/* A batch can come twice into one group: by its owner and from the log. */
static void test_r11_one_order_twice_in_a_group(void **state)
{
    struct commit_row rows[] = {ledger_row(&ledger, "ann"), ledger_row(&ledger, "bob")};
    struct commit_row twice[] = {rows[0], rows[1], rows[0]};
    assert_int_equal(commit(twice, 3, true), ST_OK);
    expect_outcomes(twice, (enum status[]){ST_OK, ST_OK, ST_OK}, 3);
    assert_int_equal(ledger_orders(&ledger), 2);
    assert_int_equal(ledger_held(&ledger, 1, 0), 2);
}

/* Every third row was there before, over more rows than one packet of the wire holds at a time. */
static void test_r11_outcomes_find_their_rows(void **state)
{
    enum { N = 600 };
    static struct commit_row rows[N], before[N / 3];
    fixture_exec(ledger.beside, "UPDATE shard_stock SET allocated = 10000");
    for (unsigned i = 0; i < N; i++) {
        rows[i] = ledger_row(&ledger, "ann");
        if (i % 3 == 2) {
            before[i / 3] = rows[i];
            rows[i].id = uid_make(ledger.ids, clock_wall_ms());
        }
    }
    assert_int_equal(commit(before, N / 3, false), ST_OK);
    assert_int_equal(commit(rows, N, true), ST_OK);
    for (unsigned i = 0; i < N; i++)
        assert_int_equal(rows[i].outcome, i % 3 == 2 ? ST_DUPLICATE : ST_OK);
    assert_int_equal(ledger_held(&ledger, 1, 0), N);
}

/* A row that the schema refuses is not hidden by IGNORE, and takes nobody's units. */
static void test_r11_refused_row_writes_nothing(void **state)
{
    for (int careful = 0; careful < 2; careful++) {
        struct commit_row rows[] = {ledger_row(&ledger, "ann"), ledger_row(&ledger, "bob")};
        rows[0].amount = 0;
        assert_int_equal(commit(rows, 2, careful), ST_INTERNAL);
        assert_int_equal(ledger_orders(&ledger), 0);
        assert_int_equal(ledger_held(&ledger, 1, 0), 0);
        rows[0].outcome = ST_INTERNAL;
        assert_int_equal(commit(rows, 2, careful), ST_OK); /* the rest commits */
        expect_outcomes(rows, (enum status[]){ST_INTERNAL, ST_OK}, 2);
        ledger_reset(&ledger);
    }
}

/* --- fence and guard
 * ------------------------------------------------------------------------------ */

static void test_r21_fenced_shard_leaves_the_group(void **state)
{
    for (int careful = 0; careful < 2; careful++) {
        ledger_reset(&ledger);
        struct commit_row rows[4];
        for (unsigned i = 0; i < COUNT(rows); i++) {
            rows[i] = ledger_row(&ledger, "ann");
            rows[i].shard = i % 2;
        }
        rows[1].epoch = rows[3].epoch = EPOCH - 1;
        assert_int_equal(commit(rows, COUNT(rows), careful), ST_FENCED);
        assert_int_equal(rows[1].outcome, ST_FENCED);
        assert_int_equal(rows[3].outcome, ST_FENCED);
        assert_int_equal(ledger_orders(&ledger), 0);
        assert_int_equal(ledger_held(&ledger, 1, 0), 0);
        assert_int_equal(commit(rows, COUNT(rows), careful), ST_OK);
        expect_outcomes(rows, (enum status[]){ST_OK, ST_FENCED, ST_OK, ST_FENCED}, COUNT(rows));
        assert_int_equal(ledger_orders(&ledger), 2);
        assert_int_equal(ledger_held(&ledger, 1, 0), 2);
        assert_int_equal(ledger_held(&ledger, 1, 1), 0);
    }
}

/* Rows of one shard under two epochs in a group: only the old ones leave. */
static void test_r2_only_the_old_epoch_is_fenced(void **state)
{
    struct commit_row rows[] = {ledger_row(&ledger, "ann"), ledger_row(&ledger, "bob"),
                                ledger_row(&ledger, "cid")};
    rows[0].epoch = EPOCH - 1;
    rows[2].epoch = EPOCH + 1;
    enum status st = ST_FENCED;
    unsigned tries = 0;
    for (; st == ST_FENCED && tries < 4; tries++)
        st = commit(rows, 3, false);
    assert_int_equal(st, ST_OK);
    assert_int_equal(tries, 2); /* one refusal names both guilty epochs */
    expect_outcomes(rows, (enum status[]){ST_FENCED, ST_OK, ST_FENCED}, 3);
    assert_int_equal(ledger_held(&ledger, 1, 0), 1);
}

/* A rebuilt shard fences all of its items: one refusal names them all, so that the group's others do
 * not wait for a transaction each. */
static void test_r21_all_fenced_leave_at_once(void **state)
{
    static struct commit_row rows[ROWS_MAX];
    for (int careful = 0; careful < 2; careful++) {
        ledger_reset(&ledger);
        for (unsigned i = 0; i < ROWS_MAX; i++) {
            rows[i] = ledger_row(&ledger, "ann");
            rows[i].item = 100 + i; /* without a row in the ledger: no epoch is theirs */
        }
        rows[300].item = 1;
        assert_int_equal(commit(rows, ROWS_MAX, careful), ST_FENCED);
        assert_int_equal(commit(rows, ROWS_MAX, careful), ST_OK);
        for (unsigned i = 0; i < ROWS_MAX; i++)
            assert_int_equal(rows[i].outcome, i == 300 ? ST_OK : ST_FENCED);
        assert_int_equal(ledger_orders(&ledger), 1);
        assert_int_equal(ledger_held(&ledger, 1, 0), 1);
    }
}

static void test_p1_never_more_than_allocated(void **state)
{
    struct commit_row rows[] = {ledger_row(&ledger, "ann"), ledger_row(&ledger, "bob")};
    rows[0].qty = ALLOCATED;
    assert_int_equal(commit(rows, 1, false), ST_OK);
    assert_int_equal(commit(&rows[1], 1, false), ST_FENCED);
    assert_int_equal(rows[1].outcome, ST_FENCED);
    assert_int_equal(ledger_orders(&ledger), 1);
    assert_int_equal(ledger_held(&ledger, 1, 0), ALLOCATED);
}

static void test_p1_a_group_is_guarded_as_a_whole(void **state)
{
    struct commit_row rows[ALLOCATED + 1];
    for (unsigned i = 0; i < COUNT(rows); i++)
        rows[i] = ledger_row(&ledger, "ann");
    assert_int_equal(commit(rows, COUNT(rows), false), ST_FENCED);
    assert_int_equal(ledger_orders(&ledger), 0);
    assert_int_equal(commit(rows, COUNT(rows), false), ST_OK); /* nothing is left in it */
    assert_int_equal(ledger_orders(&ledger), 0);
}

/* Orders of several items: who has no room leaves, and who has no ledger at all gets none. */
static void test_p1_each_item_is_guarded(void **state)
{
    struct commit_row rows[5];
    for (unsigned i = 0; i < COUNT(rows); i++)
        rows[i] = ledger_row(&ledger, "ann");
    rows[1].item = 2;
    rows[1].qty = ALLOCATED;
    rows[2].item = 2;
    rows[3].item = 99;
    rows[4].shard = 1;
    rows[4].qty = ALLOCATED;
    for (int careful = 0; careful < 2; careful++) {
        ledger_reset(&ledger);
        enum status st = ST_FENCED;
        for (unsigned i = 0; i < COUNT(rows); i++)
            rows[i].outcome = ST_UNKNOWN;
        for (unsigned tries = 0; st == ST_FENCED && tries < COUNT(rows); tries++)
            st = commit(rows, COUNT(rows), careful);
        assert_int_equal(st, ST_OK);
        expect_outcomes(rows, (enum status[]){ST_OK, ST_FENCED, ST_FENCED, ST_FENCED, ST_OK}, 5);
        assert_int_equal(ledger_orders(&ledger), 2);
        assert_int_equal(ledger_held(&ledger, 1, 0), 1);
        assert_int_equal(ledger_held(&ledger, 1, 1), ALLOCATED);
        assert_int_equal(ledger_held(&ledger, 2, 0), 0);
        assert_int_equal(ledger_ask(&ledger, "SELECT COUNT(*) FROM shard_stock"), 4);
        assert_int_equal(
            ledger_ask(&ledger, "SELECT CAST(SUM(allocated + added) AS INTEGER) FROM shard_stock"),
            8 * ALLOCATED);
    }
}

/* R11: a lock that is not given (1205) rolls the whole group back. */
static void test_r11_lock_time_out_writes_nothing(void **state)
{
    struct commit_row row = ledger_row(&ledger, "ann");
    fixture_exec(ledger.sql, "SET innodb_lock_wait_timeout = 1");
    assert_int_equal(sql_begin(ledger.beside), ST_OK);
    fixture_exec(ledger.beside, "UPDATE shard_stock SET added = added + 1");
    assert_int_equal(commit(&row, 1, false), ST_CONFLICT);
    sql_rollback(ledger.beside);
    assert_int_equal(row.outcome, ST_UNKNOWN);
    assert_int_equal(ledger_orders(&ledger), 0);
    assert_int_equal(commit(&row, 1, true), ST_OK);
    assert_int_equal(ledger_held(&ledger, 1, 0), 1);
}

/* --- told 202 (R22)
 * ------------------------------------------------------------------------------- */

static void test_r22_queued_duplicate_is_written_as_cancelled(void **state)
{
    struct commit_row first = ledger_row(&ledger, "ann"), row = first;
    assert_int_equal(commit(&first, 1, false), ST_OK);
    row.id = uid_make(ledger.ids, clock_wall_ms());
    row.queued = true;
    for (int i = 0; i < 2; i++) { /* the second time because an answer was lost */
        row.outcome = ST_UNKNOWN;
        assert_int_equal(commit(&row, 1, true), ST_OK);
        assert_int_equal(row.outcome, ST_DUPLICATE);
        assert_int_equal(ledger_state(&ledger, &row.id), CANCELLED);
        assert_int_equal(ledger_held(&ledger, 1, 0), 1);
    }
    assert_int_equal(ledger_orders(&ledger), 2);
    assert_int_equal(ledger_ask(&ledger, "SELECT COUNT(*) FROM orders WHERE idem = id AND "
                                         "shopper = 'ann' AND qty = 1 AND amount = 9900"),
                     1);
}

/* --- late orders
 * ---------------------------------------------------------------------------------- */

static int64_t cursor_ms(int pay_within_s)
{
    char text[128];
    snprintf(text, sizeof(text),
             "SELECT CONV(HEX(LEFT(upto, 6)), 16, 10) + 0 FROM expiry_cursors "
             "WHERE pay_within_s = %d",
             pay_within_s);
    struct seen seen = {0};
    assert_int_equal(sql_run_once(ledger.beside, str_from(text), NULL, 0, see, &seen, NULL), ST_OK);
    return strtoll(seen.text[0], NULL, 10);
}

static void set_cursor(int pay_within_s, int64_t ms)
{
    struct uid upto = uid_floor(ms);
    const struct sql_val row[] = {SQL_INT(pay_within_s), SQL_BYTES(upto.b, UID_LEN)};
    assert_int_equal(sql_run(ledger.beside,
                             "REPLACE INTO expiry_cursors (pay_within_s, upto) VALUES (?, ?)", row,
                             2, NULL, NULL, NULL),
                     ST_OK);
}

static void test_late_orders_pull_cursors_back(void **state)
{
    int64_t now = clock_wall_ms();
    set_cursor(1, now - 11000);
    set_cursor(60, now - 61000);
    struct commit_row rows[] = {ledger_row(&ledger, "ann"), ledger_row(&ledger, "bob")};
    assert_int_equal(commit(rows, 1, false), ST_OK); /* in time: nothing to pull */
    assert_int_equal(cursor_ms(1), now - 11000);
    rows[0] = ledger_row(&ledger, "cid");
    rows[1].id = uid_make(ledger.ids, now - 20000);
    assert_int_equal(commit(rows, 2, false), ST_OK);
    assert_int_equal(cursor_ms(1), now - 20000);
    assert_int_equal(cursor_ms(60), now - 61000); /* has not come so far yet */
}

static void test_rolled_back_group_pulls_nothing(void **state)
{
    int64_t now = clock_wall_ms();
    set_cursor(1, now - 11000);
    struct commit_row row = ledger_row(&ledger, "ann");
    row.id = uid_make(ledger.ids, now - 20000);
    row.epoch = EPOCH - 1;
    assert_int_equal(commit(&row, 1, false), ST_FENCED);
    assert_int_equal(cursor_ms(1), now - 11000);
}

#define TEST(f) cmocka_unit_test_setup(f, setup)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_rows_become_durable),
        TEST(test_nothing_to_write_is_fine),
        TEST(test_deltas_per_item_and_shard),
        TEST(test_plain_duplicate_writes_nothing),
        TEST(test_r3_duplicate_with_another_id),
        TEST(test_key_of_others_is_no_duplicate),
        TEST(test_r3_own_live_row_is_not_counted_twice),
        TEST(test_r13_commit_under_way_is_waited_for),
        TEST(test_r3_own_ended_row),
        TEST(test_r11_known_rows_need_no_guard),
        TEST(test_r11_one_key_twice_in_a_group),
        TEST(test_r11_one_order_twice_in_a_group),
        TEST(test_r11_outcomes_find_their_rows),
        TEST(test_r11_refused_row_writes_nothing),
        TEST(test_r21_fenced_shard_leaves_the_group),
        TEST(test_r2_only_the_old_epoch_is_fenced),
        TEST(test_r21_all_fenced_leave_at_once),
        TEST(test_p1_each_item_is_guarded),
        TEST(test_p1_never_more_than_allocated),
        TEST(test_p1_a_group_is_guarded_as_a_whole),
        TEST(test_r11_lock_time_out_writes_nothing),
        TEST(test_r22_queued_duplicate_is_written_as_cancelled),
        TEST(test_late_orders_pull_cursors_back),
        TEST(test_rolled_back_group_pulls_nothing),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
