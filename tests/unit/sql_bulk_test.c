#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sql/sql.h"

#include "sql_fixture.h"

static struct sql_fixture fixture;

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

struct bulk_row {
    char pad;
    uint32_t id;
    int64_t n;
    struct str b;
    char fixed[5];
};

static const char insert_bulk[] = "INSERT INTO u (id, n, b, f) VALUES (?, ?, ?, ?)";
static const char insert_new[] =
    "INSERT IGNORE INTO u (id, n, b, f) VALUES (?, ?, ?, ?) RETURNING id, b";

static enum status bulk(struct sql *s, const char *text, const struct bulk_row *rows, unsigned n,
                        sql_row_fn row, void *arg, uint64_t *affected)
{
    const size_t stride = sizeof(*rows);
    const struct sql_col cols[] = {
        {SQL_C_U32, &rows->id, stride, 0},
        {SQL_C_I64, &rows->n, stride, 0},
        {SQL_C_VAR, &rows->b, stride, 0},
        {SQL_C_FIXED, rows->fixed, stride, sizeof(rows->fixed)},
    };
    return sql_run_bulk(s, text, cols, COUNT(cols), n, row, arg, affected);
}

static void fill(struct bulk_row *rows, unsigned n, unsigned first)
{
    static const char bytes[] = "\0abcdefghijklmnopqrstuvwxyz";
    for (unsigned i = 0; i < n; i++) {
        rows[i] =
            (struct bulk_row){'!', first + i, -(int64_t)i, {bytes, i % sizeof(bytes)}, "12345"};
        if (i % sizeof(bytes) == 0)
            rows[i].b.p = NULL;
    }
}

static int setup(void **state)
{
    *state = fixture_connect(&fixture.conf);
    fixture_exec(*state,
                 "CREATE OR REPLACE TABLE u (id INT UNSIGNED NOT NULL PRIMARY KEY, n BIGINT NOT"
                 " NULL, b VARBINARY(64) NOT NULL, f BINARY(5) NOT NULL, UNIQUE (n)) ENGINE ="
                 " InnoDB");
    return 0;
}

static int teardown(void **state)
{
    struct sql *s = *state;
    sql_destroy(&s);
    return 0;
}

static void test_bulk_insert(void **state)
{
    struct sql *s = *state;
    static struct bulk_row rows[3000];
    uint64_t n = 0;
    fill(rows, 3000, 4000000000u);
    for (unsigned size = 1, at = 0; at + size <= 3000; at += size, size *= 2) {
        assert_int_equal(bulk(s, insert_bulk, rows + at, size, NULL, NULL, &n), ST_OK);
        assert_int_equal(n, size);
    }
    assert_int_equal(one_int(s, "SELECT COUNT(*) FROM u"), 2047);
    struct seen seen = {0};
    assert_int_equal(
        sql_run(s, "SELECT id, n, b, f FROM u ORDER BY id DESC LIMIT 1", NULL, 0, see, &seen, NULL),
        ST_OK);
    assert_true(seen.i[0] == 4000002046 && seen.i[1] == -2046 && seen.len[2] == 2046 % 28);
    assert_memory_equal(seen.text[3], "12345", 5);
    assert_int_equal(one_int(s, "SELECT COUNT(*) FROM u WHERE LENGTH(b) = (id - 4000000000) % 28"),
                     2047);
}

static void test_bulk_duplicate_is_reported(void **state)
{
    struct sql *s = *state;
    struct bulk_row rows[8];
    fill(rows, 8, 1);
    assert_int_equal(bulk(s, insert_bulk, rows + 4, 1, NULL, NULL, NULL), ST_OK);
    assert_int_equal(sql_begin(s), ST_OK);
    assert_int_equal(bulk(s, insert_bulk, rows, 8, NULL, NULL, NULL), ST_DUPLICATE);
    sql_rollback(s);
    assert_int_equal(one_int(s, "SELECT COUNT(*) FROM u"), 1);
}

struct ids {
    unsigned n;
    uint32_t id[2048];
};

static bool take_id(void *arg, const struct sql_val *v, unsigned n)
{
    struct ids *ids = arg;
    assert_int_equal(n, 2);
    assert_true(ids->n < COUNT(ids->id));
    ids->id[ids->n++] = (uint32_t)v[0].i;
    return true;
}

/* Existing by primary key, existing by the other key, twice within the group; in the middle and at
 * both ends. The answer names exactly the rows that were inserted. */
static void test_bulk_returning_names_inserted(void **state)
{
    struct sql *s = *state;
    static struct bulk_row rows[1500];
    static struct ids got, want;
    got.n = want.n = 0;
    fill(rows, 1500, 1);
    static const unsigned there[] = {0, 3, 4, 5, 700, 1024, 1499};
    for (size_t i = 0; i < COUNT(there); i++) {
        struct bulk_row row = rows[there[i]];
        row.n = i % 2 ? row.n : 5000 + (int64_t)i; /* clash by id and n, or by id alone */
        assert_int_equal(bulk(s, insert_bulk, &row, 1, NULL, NULL, NULL), ST_OK);
    }
    rows[900].n = rows[800].n;   /* within the group, by the unique key */
    rows[1000].id = rows[10].id; /* within the group, by the primary key */
    for (unsigned i = 0, t = 0; i < 1500; i++)
        if (t < COUNT(there) && there[t] == i)
            t++;
        else if (i != 900 && i != 1000)
            want.id[want.n++] = rows[i].id;
    uint64_t n = 0;
    assert_int_equal(bulk(s, insert_new, rows, 1500, take_id, &got, &n), ST_OK);
    assert_int_equal(got.n, want.n);
    assert_memory_equal(got.id, want.id, want.n * sizeof(want.id[0]));
    assert_int_equal(n, want.n);
    /* The rows of the first try stand; all again: none is new, and the connection is in step. */
    got.n = 0;
    assert_int_equal(bulk(s, insert_new, rows, 1500, take_id, &got, &n), ST_OK);
    assert_true(got.n == 0 && n == 0);
    assert_int_equal(one_int(s, "SELECT COUNT(*) FROM u"), 1498);
}

static void test_bulk_update_counts_changes(void **state)
{
    struct sql *s = *state;
    struct bulk_row rows[10];
    fill(rows, 10, 1);
    assert_int_equal(bulk(s, insert_bulk, rows, 10, NULL, NULL, NULL), ST_OK);
    rows[3].id = 999; /* not there */
    const struct sql_col cols[] = {{SQL_C_U32, &rows->id, sizeof(rows[0]), 0}};
    uint64_t n = 0;
    assert_int_equal(
        sql_run_bulk(s, "UPDATE u SET n = n + 100 WHERE id = ?", cols, 1, 10, NULL, NULL, &n),
        ST_OK);
    assert_int_equal(n, 9);
}

/* One literal, one row at a time and in bulk. */
static void test_bulk_and_single_share_a_statement(void **state)
{
    struct sql *s = *state;
    struct bulk_row rows[4];
    fill(rows, 4, 1);
    assert_int_equal(bulk(s, insert_bulk, rows, 4, NULL, NULL, NULL), ST_OK);
    assert_int_equal(
        sql_run(s, insert_bulk,
                (struct sql_val[]){SQL_INT(77), SQL_INT(77), SQL_Z("x"), SQL_Z("abcde")}, 4, NULL,
                NULL, NULL),
        ST_OK);
    fill(rows, 4, 100);
    rows[0].n = 1000, rows[1].n = 1001, rows[2].n = 1002, rows[3].n = 1003;
    assert_int_equal(bulk(s, insert_bulk, rows, 4, NULL, NULL, NULL), ST_OK);
    assert_int_equal(one_int(s, "SELECT COUNT(*) FROM u"), 9);
}

static void test_bulk_column_count(void **state)
{
    struct bulk_row row;
    fill(&row, 1, 1);
    const struct sql_col cols[] = {{SQL_C_U32, &row.id, sizeof(row), 0}};
    assert_int_equal(sql_run_bulk(*state, insert_bulk, cols, 1, 1, NULL, NULL, NULL), ST_INTERNAL);
    const struct sql_col col = cols[0], two[] = {col, col};
    static const char one[] = "DELETE FROM u WHERE id = ?";
    assert_int_equal(sql_run_bulk(*state, one, two, 2, 1, NULL, NULL, NULL), ST_INTERNAL);
}

static void test_bulk_killed(void **state)
{
    struct sql *s = *state;
    struct bulk_row rows[4];
    fill(rows, 4, 1);
    assert_int_equal(sql_begin(s), ST_OK);
    assert_int_equal(bulk(s, insert_bulk, rows, 2, NULL, NULL, NULL), ST_OK);
    kill_connection(fixture.admin, s);
    assert_int_equal(bulk(s, insert_bulk, rows + 2, 2, NULL, NULL, NULL), ST_UNKNOWN);
    sql_rollback(s);
    assert_int_equal(one_int(s, "SELECT COUNT(*) FROM u"), 0);
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
        T(test_bulk_insert),
        T(test_bulk_duplicate_is_reported),
        T(test_bulk_returning_names_inserted),
        T(test_bulk_update_counts_changes),
        T(test_bulk_and_single_share_a_statement),
        T(test_bulk_column_count),
        T(test_bulk_killed),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
