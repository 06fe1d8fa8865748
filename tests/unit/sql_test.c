#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sql/sql.h"

#include "sql_fixture.h"

#include <sys/socket.h>
#include <sys/un.h>

static struct sql_fixture fixture;

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* --- helpers --- */

static void run_ok(struct sql *s, const char *text, const struct sql_val *args, unsigned n,
                   uint64_t *affected)
{
    if (sql_run(s, text, args, n, NULL, NULL, affected) != ST_OK)
        fail_msg("%s: %u %s", text, sql_errno(s), sql_error(s));
}

static int setup(void **state)
{
    struct sql *s = fixture_connect(&fixture.conf);
    fixture_exec(s,
                 "CREATE OR REPLACE TABLE t (id INT UNSIGNED NOT NULL PRIMARY KEY, n BIGINT NULL,"
                 " b VARBINARY(300) NULL, CONSTRAINT n_small CHECK (n < 1000)) ENGINE = InnoDB");
    *state = s;
    return 0;
}

static int teardown(void **state)
{
    struct sql *s = *state;
    sql_destroy(&s);
    return 0;
}

static const char insert_t[] = "INSERT INTO t (id, n, b) VALUES (?, ?, ?)";

static void insert_row(struct sql *s, int id, int n)
{
    run_ok(s, insert_t, (struct sql_val[]){SQL_INT(id), SQL_INT(n), SQL_NULL}, 3, NULL);
}

/* --- connection --- */

static void test_addresses(void **state)
{
    static const struct {
        const char *address;
        enum status st;
    } cases[] = {
        {"unix:/run/x.sock", ST_OK},    {"db:3306", ST_OK},
        {"[::1]:3306", ST_OK},          {"unix:run/x.sock", ST_INVALID_REQUEST},
        {"unix:", ST_INVALID_REQUEST},  {"db", ST_INVALID_REQUEST},
        {"db:", ST_INVALID_REQUEST},    {":3306", ST_INVALID_REQUEST},
        {"db:0", ST_INVALID_REQUEST},   {"db:65536", ST_INVALID_REQUEST},
        {"db:33x", ST_INVALID_REQUEST}, {"[]:3306", ST_INVALID_REQUEST},
        {"", ST_INVALID_REQUEST},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        struct sql_conf conf = {cases[i].address, "u", "", "d", 1000};
        struct sql *s = NULL;
        enum status st = sql_create(&conf, NULL, &s);
        if (st != cases[i].st)
            fail_msg("%s: %s", cases[i].address, status_info(st)->name);
        sql_destroy(&s);
    }
}

static void test_unreachable(void **state)
{
    struct sql_conf conf = fixture.conf;
    conf.address = "unix:/nonexistent/no.sock";
    struct sql *s = fixture_connect(&conf);
    assert_int_equal(sql_connect(s), ST_UNAVAILABLE);
    assert_int_equal(sql_run(s, "SELECT 1", NULL, 0, NULL, NULL, NULL), ST_UNAVAILABLE);
    assert_int_equal(sql_begin(s), ST_UNAVAILABLE);
    assert_int_equal(sql_begin_snapshot(s), ST_UNAVAILABLE);
    assert_int_equal(sql_errno(s), 2002);
    sql_rollback(s);
    sql_destroy(&s);
}

static void test_wrong_database(void **state)
{
    struct sql_conf conf = fixture.conf;
    conf.database = "no_such_database";
    struct sql *s = fixture_connect(&conf);
    assert_int_equal(sql_connect(s), ST_UNAVAILABLE);
    assert_int_equal(sql_errno(s), 1049);
    sql_destroy(&s);
}

/* A server that accepts and then says nothing. */
static void test_silent_server(void **state)
{
    struct sockaddr_un sun = {.sun_family = AF_UNIX};
    snprintf(sun.sun_path, sizeof(sun.sun_path), "/tmp/sql_test_%d.sock", (int)getpid());
    int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&sun, sizeof(sun)), 0);
    assert_int_equal(listen(fd, 1), 0);
    char address[128];
    snprintf(address, sizeof(address), "unix:%s", sun.sun_path);
    struct sql_conf conf = {address, "u", "", NULL, 300};
    struct sql *s = fixture_connect(&conf);
    time_t before = time(NULL);
    assert_int_equal(sql_connect(s), ST_UNAVAILABLE);
    assert_true(time(NULL) - before <= 3);
    sql_destroy(&s);
    close(fd);
    unlink(sun.sun_path);
}

static void test_session(void **state)
{
    struct seen seen = {0};
    assert_int_equal(
        sql_run(*state,
                "SELECT @@tx_isolation, @@autocommit, @@sql_mode LIKE '%STRICT_ALL_TABLES%',"
                " @@character_set_client, @@time_zone, @@innodb_lock_wait_timeout,"
                " CAST(@@idle_write_transaction_timeout AS SIGNED)",
                NULL, 0, see, &seen, NULL),
        ST_OK);
    assert_string_equal(seen.text[0], "READ-COMMITTED");
    assert_int_equal(seen.i[1], 1);
    assert_int_equal(seen.i[2], 1);
    assert_string_equal(seen.text[3], "utf8mb4");
    assert_string_equal(seen.text[4], "+00:00");
    assert_int_equal(seen.i[5], 3);
    assert_int_equal(seen.i[6], 5);
}

/* --- values --- */

static void test_values_out(void **state)
{
    struct seen seen = {0};
    uint64_t n = 0;
    assert_int_equal(sql_run(*state,
                             "SELECT -9223372036854775808, CAST(4294967295 AS UNSIGNED), NULL, '',"
                             " X'00ff27', 12.50, CAST(-1 AS SIGNED), DATE '2026-11-11'",
                             NULL, 0, see, &seen, &n),
                     ST_OK);
    static const int types[] = {SQL_T_INT,   SQL_T_INT,   SQL_T_NULL, SQL_T_BYTES,
                                SQL_T_BYTES, SQL_T_BYTES, SQL_T_INT,  SQL_T_BYTES};
    for (unsigned c = 0; c < COUNT(types); c++)
        assert_int_equal(seen.type[c], types[c]);
    assert_true(seen.i[0] == INT64_MIN && seen.i[1] == 4294967295 && seen.i[6] == -1);
    assert_int_equal(seen.len[3], 0);
    assert_int_equal(seen.len[4], 3);
    assert_memory_equal(seen.text[4], "\x00\xff\x27", 3);
    assert_string_equal(seen.text[5], "12.50");
    assert_string_equal(seen.text[7], "2026-11-11");
    assert_int_equal(n, 1);
}

static void test_narrow_integers(void **state)
{
    struct sql *s = *state;
    struct seen seen = {0};
    fixture_exec(
        s, "CREATE OR REPLACE TABLE narrow (a TINYINT UNSIGNED, b TINYINT, c SMALLINT UNSIGNED,"
           " d MEDIUMINT, e INT UNSIGNED, f INT) ENGINE = InnoDB");
    fixture_exec(s,
                 "INSERT INTO narrow VALUES (255, -128, 65535, -8388608, 4294967295, -2147483648)");
    assert_int_equal(sql_run(s, "SELECT a, b, c, d, e, f FROM narrow", NULL, 0, see, &seen, NULL),
                     ST_OK);
    static const int64_t want[] = {255, -128, 65535, -8388608, 4294967295, INT32_MIN};
    for (unsigned c = 0; c < COUNT(want); c++)
        assert_true(seen.type[c] == SQL_T_INT && seen.i[c] == want[c]);
}

static void test_arguments(void **state)
{
    struct sql *s = *state;
    struct seen seen = {0};
    uint64_t n = 0;
    char all[256];
    for (unsigned i = 0; i < sizeof(all); i++)
        all[i] = (char)i;
    run_ok(s, insert_t, (struct sql_val[]){SQL_INT(1), SQL_INT(-5), SQL_BYTES(all, 256)}, 3, &n);
    assert_int_equal(n, 1);
    run_ok(s, insert_t, (struct sql_val[]){SQL_INT(2), SQL_NULL, SQL_BYTES(NULL, 0)}, 3, NULL);
    assert_int_equal(sql_run(s, "SELECT id, n, b FROM t WHERE b = ?",
                             (struct sql_val[]){SQL_BYTES(all, 256)}, 1, see, &seen, NULL),
                     ST_OK);
    assert_int_equal(seen.rows, 1);
    assert_true(seen.i[0] == 1 && seen.i[1] == -5 && seen.len[2] == 256 && seen.sum == 255 * 128);
    seen = (struct seen){0};
    assert_int_equal(sql_run(s, "SELECT n, b FROM t WHERE id = ?", (struct sql_val[]){SQL_INT(2)},
                             1, see, &seen, NULL),
                     ST_OK);
    assert_true(seen.type[0] == SQL_T_NULL && seen.type[1] == SQL_T_BYTES && seen.len[1] == 0);
}

static void test_argument_count(void **state)
{
    struct sql_val one[] = {SQL_INT(1)};
    assert_int_equal(sql_run(*state, insert_t, one, 1, NULL, NULL, NULL), ST_INTERNAL);
    struct sql_val four[] = {SQL_INT(1), SQL_NULL, SQL_NULL, SQL_NULL};
    assert_int_equal(sql_run(*state, insert_t, four, 4, NULL, NULL, NULL), ST_INTERNAL);
    assert_int_equal(one_int(*state, "SELECT COUNT(*) FROM t"), 0);
}

/* Values around the first buffer and the largest allowed, each larger than all before. */
static void test_growing_values(void **state)
{
    static const int64_t sizes[] = {1, 255, 256, 257, 5000, 70000, 1048576};
    for (size_t i = 0; i < COUNT(sizes); i++) {
        struct seen seen = {0};
        assert_int_equal(sql_run(*state, "SELECT REPEAT('x', ?), 7, REPEAT('y', ?)",
                                 (struct sql_val[]){SQL_INT(sizes[i]), SQL_INT(sizes[i])}, 2, see,
                                 &seen, NULL),
                         ST_OK);
        assert_true(seen.len[0] == (size_t)sizes[i] && seen.len[2] == (size_t)sizes[i]);
        assert_int_equal(seen.i[1], 7);
        assert_true(seen.sum == (uint64_t)sizes[i] * ('x' + 'y'));
    }
    struct seen seen = {0};
    assert_int_equal(sql_run(*state, "SELECT REPEAT('x', 1048577), 7", NULL, 0, see, &seen, NULL),
                     ST_INTERNAL);
    assert_int_equal(one_int(*state, "SELECT 42"), 42);
}

static void test_growing_within_a_result(void **state)
{
    struct seen seen = {0};
    uint64_t n = 0;
    assert_int_equal(sql_run(*state, "SELECT REPEAT('a', seq * 100), seq FROM seq_1_to_50", NULL, 0,
                             see, &seen, &n),
                     ST_OK);
    assert_int_equal(n, 50);
    assert_int_equal(seen.i[1], 50);
    assert_true(seen.sum == (uint64_t)100 * (50 * 51 / 2) * 'a');
}

static void test_rows_skipped(void **state)
{
    struct seen seen = {.stop_after = 3};
    assert_int_equal(sql_run(*state, "SELECT seq FROM seq_1_to_100000", NULL, 0, see, &seen, NULL),
                     ST_OK);
    assert_int_equal(seen.rows, 3);
    assert_int_equal(one_int(*state, "SELECT 42"), 42);
    uint64_t n = 0;
    assert_int_equal(sql_run(*state, "SELECT seq FROM seq_1_to_1000", NULL, 0, NULL, NULL, &n),
                     ST_OK);
    assert_int_equal(n, 1000);
}

/* The server finds out half-way through the rows. */
static void test_error_within_result(void **state)
{
    struct seen seen = {0};
    uint64_t n = 99;
    assert_int_equal(sql_run(*state,
                             "SELECT seq, IF(seq = 5000, (SELECT 1 UNION SELECT 2), 0)"
                             " FROM seq_1_to_10000",
                             NULL, 0, see, &seen, &n),
                     ST_INTERNAL);
    assert_int_equal(sql_errno(*state), 1242);
    assert_int_equal(seen.rows, 4999);
    assert_int_equal(n, 99); /* only written on success */
    assert_int_equal(one_int(*state, "SELECT 42"), 42);
}

static void test_affected_counts_changes(void **state)
{
    struct sql *s = *state;
    uint64_t n = 99;
    insert_row(s, 1, 5);
    static const char update[] = "UPDATE t SET n = ? WHERE id = 1";
    run_ok(s, update, (struct sql_val[]){SQL_INT(6)}, 1, &n);
    assert_int_equal(n, 1);
    run_ok(s, update, (struct sql_val[]){SQL_INT(6)}, 1, &n); /* found, not changed */
    assert_int_equal(n, 0);
}

/* --- statements --- */

static void test_many_statements(void **state)
{
    static char texts[200][32]; /* outlive the connection, as literals do */
    for (int round = 0; round < 2; round++)
        for (int i = 0; i < (int)COUNT(texts); i++) {
            struct seen seen = {0};
            snprintf(texts[i], sizeof(texts[i]), "SELECT %d", i);
            assert_int_equal(sql_run(*state, texts[i], NULL, 0, see, &seen, NULL), ST_OK);
            assert_int_equal(seen.i[0], i);
        }
    struct seen seen = {0};
    assert_int_equal(
        sql_run(*state, "SHOW SESSION STATUS LIKE 'Com_stmt_prepare'", NULL, 0, see, &seen, NULL),
        ST_OK);
    /* 128 stay cached, 72 are prepared again each time, and so was the question. */
    assert_string_equal(seen.text[1], "273");
}

static void test_errors(void **state)
{
    struct sql *s = *state;
    insert_row(s, 1, 1);
    static const struct {
        const char *text;
        enum status st;
        unsigned number;
    } cases[] = {
        {"INSERT INTO t (id) VALUES (1)", ST_DUPLICATE, 1062},
        {"INSERT INTO t (id, n) VALUES (2, 1000)", ST_INTERNAL, 4025},
        {"INSERT INTO t (id, b) VALUES (2, REPEAT('x', 301))", ST_INTERNAL, 1406},
        {"INSERT INTO t (id) VALUES (-1)", ST_INTERNAL, 1264},
        {"SELECT nonsense FROM t", ST_INTERNAL, 1054},
        {"SELEKT", ST_INTERNAL, 1064},
        {"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1205", ST_CONFLICT, 1205},
        {"SIGNAL SQLSTATE '40001' SET MYSQL_ERRNO = 1213", ST_CONFLICT, 1213},
        {"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1020", ST_CONFLICT, 1020},
        {"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1290", ST_OVERLOADED, 1290},
        {"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1114", ST_OVERLOADED, 1114},
        {"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1040", ST_OVERLOADED, 1040},
        {"SIGNAL SQLSTATE 'HY000' SET MYSQL_ERRNO = 1927", ST_UNKNOWN, 1927},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        enum status st = sql_exec(s, str_from(cases[i].text));
        if (st != cases[i].st || sql_errno(s) != cases[i].number)
            fail_msg("%s: %s %u", cases[i].text, status_info(st)->name, sql_errno(s));
        assert_true(sql_error(s)[0]);
    }
    assert_int_equal(one_int(s, "SELECT COUNT(*) FROM t"), 1);
    assert_int_equal(sql_errno(s), 0);
    struct sql_val again[] = {SQL_INT(1), SQL_NULL, SQL_NULL};
    assert_int_equal(sql_run(s, insert_t, again, 3, NULL, NULL, NULL), ST_DUPLICATE);
    insert_row(s, 2, 2); /* the cached statement still works */
}

/* --- transactions --- */

static void test_commit_and_rollback(void **state)
{
    struct sql *s = *state;
    assert_int_equal(sql_begin(s), ST_OK);
    insert_row(s, 1, 1);
    assert_int_equal(sql_commit(s), ST_OK);
    assert_int_equal(sql_begin(s), ST_OK);
    insert_row(s, 2, 2);
    sql_rollback(s);
    sql_rollback(s); /* harmless without a transaction */
    assert_int_equal(one_int(s, "SELECT SUM(id) DIV 1 FROM t"), 1);
}

static void test_failure_breaks_transaction(void **state)
{
    struct sql *s = *state;
    insert_row(s, 1, 1);
    struct sql_val again[] = {SQL_INT(1), SQL_NULL, SQL_NULL},
                   other[] = {SQL_INT(3), SQL_NULL, SQL_NULL};
    assert_int_equal(sql_begin(s), ST_OK);
    insert_row(s, 2, 2);
    assert_int_equal(sql_run(s, insert_t, again, 3, NULL, NULL, NULL), ST_DUPLICATE);
    assert_int_equal(sql_run(s, insert_t, other, 3, NULL, NULL, NULL), ST_INTERNAL);
    assert_int_equal(sql_commit(s), ST_INTERNAL);
    assert_int_equal(one_int(s, "SELECT COUNT(*) FROM t"), 1);
    insert_row(s, 3, 3);
}

/* COMMIT refused with a number that does not say whether anything was committed. */
static void test_odd_answer_to_commit(void **state)
{
    struct sql *s = *state;
    int64_t before = one_int(s, "SELECT CONNECTION_ID()");
    assert_int_equal(sql_begin(s), ST_OK);
    fixture_exec(s, "COMMIT");
    fixture_exec(s, "XA START 'odd'");
    assert_int_equal(sql_commit(s), ST_UNKNOWN);
    assert_int_equal(sql_errno(s), 1399);
    assert_true(one_int(s, "SELECT CONNECTION_ID()") != before);
}

static void test_lock_wait_is_conflict(void **state)
{
    struct sql *s = *state, *other = fixture_connect(&fixture.conf);
    insert_row(s, 1, 1);
    fixture_exec(other, "SET SESSION innodb_lock_wait_timeout = 0");
    assert_int_equal(sql_begin(s), ST_OK);
    run_ok(s, "UPDATE t SET n = 2 WHERE id = 1", NULL, 0, NULL);
    assert_int_equal(sql_begin(other), ST_OK);
    assert_int_equal(sql_run(other, "UPDATE t SET n = 3 WHERE id = 1", NULL, 0, NULL, NULL, NULL),
                     ST_CONFLICT);
    assert_int_equal(sql_errno(other), 1205);
    sql_rollback(other);
    assert_int_equal(sql_errno(other), 1205); /* still there to be logged */
    assert_int_equal(sql_commit(s), ST_OK);
    sql_destroy(&other);
}

/* With autocommit off a transaction begins by itself, and nothing outlives a rollback. */
static void test_begin_unasked(void **state)
{
    struct sql *s = *state, *other = fixture_connect(&fixture.conf);
    sql_begin_unasked(other);
    assert_int_equal(sql_begin(other), ST_OK);
    insert_row(other, 1, 1);
    assert_int_equal(one_int(s, "SELECT COUNT(*) FROM t"), 0);
    sql_rollback(other);
    assert_int_equal(sql_begin(other), ST_OK);
    insert_row(other, 2, 2);
    assert_int_equal(sql_commit(other), ST_OK);
    assert_int_equal(one_int(s, "SELECT MIN(id) FROM t"), 2);
    sql_destroy(&other);
}

static void test_snapshot(void **state)
{
    struct sql *s = *state, *other = fixture_connect(&fixture.conf);
    insert_row(s, 1, 1);
    assert_int_equal(sql_begin_snapshot(s), ST_OK);
    insert_row(other, 2, 2);
    assert_int_equal(one_int(s, "SELECT COUNT(*) FROM t"), 1);
    assert_int_equal(sql_exec(s, STR("DELETE FROM t")), ST_INTERNAL); /* 1792: read only */
    assert_int_equal(sql_errno(s), 1792);
    sql_rollback(s);
    assert_int_equal(one_int(s, "SELECT COUNT(*) FROM t"), 2);
    /* The next transaction is READ COMMITTED again. */
    assert_int_equal(sql_begin(s), ST_OK);
    assert_int_equal(one_int(s, "SELECT COUNT(*) FROM t"), 2);
    insert_row(other, 3, 3);
    assert_int_equal(one_int(s, "SELECT COUNT(*) FROM t"), 3);
    sql_rollback(s);
    sql_destroy(&other);
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
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_unreachable),
        cmocka_unit_test(test_wrong_database),
        cmocka_unit_test(test_silent_server),
        T(test_session),
        T(test_values_out),
        T(test_narrow_integers),
        T(test_arguments),
        T(test_argument_count),
        T(test_growing_values),
        T(test_growing_within_a_result),
        T(test_rows_skipped),
        T(test_error_within_result),
        T(test_affected_counts_changes),
        T(test_many_statements),
        T(test_errors),
        T(test_commit_and_rollback),
        T(test_failure_breaks_transaction),
        T(test_odd_answer_to_commit),
        T(test_lock_wait_is_conflict),
        T(test_begin_unasked),
        T(test_snapshot),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
