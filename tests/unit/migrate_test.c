#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sql/migrate.h"

#include "sql/migrate_priv.h"
#include "sql_fixture.h"

#include <dirent.h>
#include <pthread.h>

static struct sql_fixture fixture;

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

/* --- a folder of migrations and a database, new for each test --- */

struct shop {
    struct sql *sql;
    char dir[64];
    char error[512];
    unsigned applied;
};

static void write_file(const struct shop *shop, const char *name, const char *text)
{
    char path[256];
    snprintf(path, sizeof(path), "%s/%s", shop->dir, name);
    FILE *f = fopen(path, "w");
    assert_non_null(f);
    assert_true(fputs(text, f) >= 0);
    assert_int_equal(fclose(f), 0);
}

static void remove_file(const struct shop *shop, const char *name)
{
    char path[512];
    snprintf(path, sizeof(path), "%s/%s", shop->dir, name);
    assert_int_equal(unlink(path), 0);
}

static int setup(void **state)
{
    static struct shop shop;
    shop = (struct shop){.dir = "/tmp/migrate_test.XXXXXX"};
    assert_non_null(mkdtemp(shop.dir));
    char text[256];
    snprintf(text, sizeof(text), "CREATE OR REPLACE DATABASE %s", fixture.database);
    fixture_exec(fixture.admin, text);
    shop.sql = fixture_connect(&fixture.conf);
    *state = &shop;
    return 0;
}

static int teardown(void **state)
{
    struct shop *shop = *state;
    DIR *d = opendir(shop->dir);
    for (struct dirent *e; d && (e = readdir(d));)
        if (e->d_name[0] != '.')
            remove_file(shop, e->d_name);
    closedir(d);
    assert_int_equal(rmdir(shop->dir), 0);
    sql_destroy(&shop->sql);
    return 0;
}

static enum status migrate(struct shop *shop)
{
    shop->applied = 99;
    snprintf(shop->error, sizeof(shop->error), "none");
    return migrate_run(shop->sql, shop->dir, NULL, &shop->applied, shop->error,
                       sizeof(shop->error));
}

static void migrate_ok(struct shop *shop, unsigned applied)
{
    if (migrate(shop) != ST_OK)
        fail_msg("%s", shop->error);
    assert_int_equal(shop->applied, applied);
}

static void migrate_refused(struct shop *shop, enum status want, const char *part)
{
    enum status st = migrate(shop);
    if (st != want || !strstr(shop->error, part))
        fail_msg("%s instead of %s; %s", status_info(st)->name, status_info(want)->name,
                 shop->error);
}

static void write_two(const struct shop *shop)
{
    write_file(shop, "0001_first.sql",
               "-- Why; this is.\n\nCREATE TABLE a (\n    x INT -- a column\n) ENGINE = InnoDB;\n"
               "INSERT INTO a VALUES (1);  \nINSERT INTO a VALUES (2);\r\n-- The end;\n");
    write_file(shop, "0002_second.sql", "ALTER TABLE a ADD COLUMN y INT NOT NULL DEFAULT 7;");
}

/* --- tests --- */

static void test_applies_once(void **state)
{
    struct shop *shop = *state;
    write_two(shop);
    write_file(shop, "README.md", "not a migration");
    migrate_ok(shop, 2);
    assert_int_equal(one_int(shop->sql, "SELECT SUM(x + y) DIV 1 FROM a"), 17);
    assert_int_equal(one_int(shop->sql, "SELECT COUNT(*) FROM schema_migrations"), 2);
    assert_int_equal(one_int(shop->sql,
                             "SELECT COUNT(*) FROM schema_migrations WHERE name ="
                             " '0002_second.sql' AND sha256 = UNHEX(SHA2("
                             "'ALTER TABLE a ADD COLUMN y INT NOT NULL DEFAULT 7;', 256))"),
                     1);
    migrate_ok(shop, 0);
    write_file(shop, "0003_third.sql", "INSERT INTO a VALUES (3, 3);\n");
    migrate_ok(shop, 1);
    migrate_ok(shop, 0);
    assert_int_equal(one_int(shop->sql, "SELECT COUNT(*) FROM a"), 3);
    assert_int_equal(one_int(shop->sql, "SELECT until_ms FROM schema_lease"), 0);
}

static void test_empty_folder(void **state)
{
    migrate_ok(*state, 0);
}

static void test_changed_file(void **state)
{
    struct shop *shop = *state;
    write_two(shop);
    migrate_ok(shop, 2);
    write_file(shop, "0001_first.sql", "SELECT 1;\n");
    write_file(shop, "0003_third.sql", "INSERT INTO a VALUES (3, 3);\n");
    migrate_refused(shop, ST_INVALID_REQUEST,
                    "0001_first.sql (recorded as number 1): was applied, but its");
    assert_int_equal(one_int(shop->sql, "SELECT COUNT(*) FROM a"), 2);
}

static void test_missing_file(void **state)
{
    struct shop *shop = *state;
    write_two(shop);
    migrate_ok(shop, 2);
    remove_file(shop, "0002_second.sql");
    migrate_refused(shop, ST_INVALID_REQUEST, "0002_second.sql (recorded as number 2)");
    remove_file(shop, "0001_first.sql");
    migrate_refused(shop, ST_INVALID_REQUEST, "0001_first.sql (recorded as number 1)");
}

static void test_missing_record(void **state)
{
    struct shop *shop = *state;
    write_two(shop);
    migrate_ok(shop, 2);
    fixture_exec(shop->sql, "DELETE FROM schema_migrations WHERE number = 1");
    migrate_refused(shop, ST_INVALID_REQUEST, "a record before it is missing");
}

static void test_names(void **state)
{
    struct shop *shop = *state;
    static const struct {
        const char *name, *part;
    } cases[] = {
        {"0003_gap.sql", "0003_gap.sql: the number should be 0002"},
        {"0001_double.sql", ": the number should be 0002"},
        {"0000_zero.sql", "0000_zero.sql: migrations are named"},
        {"2_short.sql", "2_short.sql: migrations are named"},
        {"0002-dash.sql", "0002-dash.sql: migrations are named"},
        {"00002_long.sql", "00002_long.sql: migrations are named"},
    };
    write_file(shop, "0001_first.sql", "CREATE TABLE a (x INT);\n");
    for (size_t i = 0; i < COUNT(cases); i++) {
        write_file(shop, cases[i].name, "CREATE TABLE b (x INT);\n");
        migrate_refused(shop, ST_INVALID_REQUEST, cases[i].part);
        remove_file(shop, cases[i].name);
    }
    assert_int_equal(one_int(shop->sql, "SELECT COUNT(*) FROM information_schema.tables"
                                        " WHERE table_schema = DATABASE()"),
                     0);
    migrate_ok(shop, 1);
}

static void test_no_folder(void **state)
{
    struct shop *shop = *state;
    assert_int_equal(
        migrate_run(shop->sql, "/nonexistent", NULL, NULL, shop->error, sizeof(shop->error)),
        ST_INVALID_REQUEST);
    assert_non_null(strstr(shop->error, "/nonexistent: No such file"));
}

static void test_failing_statement(void **state)
{
    struct shop *shop = *state;
    write_file(shop, "0001_first.sql", "CREATE TABLE a (x INT);\n");
    write_file(shop, "0002_bad.sql",
               "-- Why.\nINSERT INTO a VALUES (1);\n\nINSERT INTO a\nVALUES (1, 2);\n"
               "INSERT INTO a VALUES (3);\n");
    migrate_refused(shop, ST_INTERNAL, "0002_bad.sql, line 4: 1136 Column count");
    assert_int_equal(shop->applied, 99); /* only written on success */
    assert_int_equal(one_int(shop->sql, "SELECT COUNT(*) FROM schema_migrations"), 1);
    assert_int_equal(one_int(shop->sql, "SELECT COUNT(*) FROM a"), 1);
    assert_int_equal(one_int(shop->sql, "SELECT until_ms FROM schema_lease"), 0);
    write_file(shop, "0002_bad.sql",
               "INSERT INTO a VALUES (5);\n"); /* mended: it was never recorded */
    migrate_ok(shop, 1);
}

static void test_unfinished_files(void **state)
{
    struct shop *shop = *state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"CREATE TABLE a (x INT);\nCREATE TABLE\nb (x INT)\n",
         "0001_first.sql, line 2: the statement"},
        {"CREATE TABLE a (x INT); -- remark\n", "line 1: the statement"},
        {"-- CREATE TABLE a (x INT);\n", "0001_first.sql has no statement"},
        {"", "0001_first.sql has no statement"},
    };
    for (size_t i = 0; i < COUNT(cases); i++) {
        write_file(shop, "0001_first.sql", cases[i].text);
        migrate_refused(shop, ST_INVALID_REQUEST, cases[i].part);
    }
    assert_int_equal(one_int(shop->sql, "SELECT COUNT(*) FROM information_schema.tables"
                                        " WHERE table_schema = DATABASE() AND table_name = 'a'"),
                     0);
}

struct racer {
    struct shop shop;
    pthread_barrier_t *start;
    enum status st;
};

static void *race(void *arg)
{
    struct racer *r = arg;
    pthread_barrier_wait(r->start);
    r->st = migrate(&r->shop);
    return NULL;
}

/* DO SLEEP gives the others time to do wrong; without the lease a second CREATE TABLE fails. */
static void test_many_at_once(void **state)
{
    struct shop *shop = *state;
    struct racer racers[4];
    pthread_t threads[4];
    pthread_barrier_t start;
    pthread_barrier_init(&start, NULL, 4);
    write_file(shop, "0001_first.sql",
               "CREATE TABLE a (x INT);\nDO SLEEP(0.2);\nINSERT INTO a VALUES (1);\n");
    write_file(shop, "0002_second.sql", "CREATE TABLE b (x INT);\nINSERT INTO a VALUES (2);\n");
    for (unsigned i = 0; i < 4; i++) {
        racers[i] = (struct racer){.shop = *shop, .start = &start};
        racers[i].shop.sql = fixture_connect(&fixture.conf);
        assert_int_equal(pthread_create(&threads[i], NULL, race, &racers[i]), 0);
    }
    unsigned applied = 0;
    for (unsigned i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        if (racers[i].st != ST_OK)
            fail_msg("%s", racers[i].shop.error);
        assert_true(racers[i].shop.applied == 0 || racers[i].shop.applied == 2);
        applied += racers[i].shop.applied;
        sql_destroy(&racers[i].shop.sql);
    }
    pthread_barrier_destroy(&start);
    assert_int_equal(applied, 2);
    assert_int_equal(one_int(shop->sql, "SELECT COUNT(*) FROM a"), 2);
}

/* The lease of an instance that will not come back, for so many milliseconds more. */
static void lease_to_the_dead(struct shop *shop, const char *ms)
{
    char text[256];
    snprintf(text, sizeof(text),
             "UPDATE schema_lease SET owner = 'somebody else...', until_ms ="
             " CAST(UNIX_TIMESTAMP(NOW(3)) * 1000 AS SIGNED) + %s",
             ms);
    fixture_exec(shop->sql, text);
}

static void test_lease_of_the_dead_lapses(void **state)
{
    struct shop *shop = *state;
    migrate_ok(shop, 0);
    write_two(shop);
    lease_to_the_dead(shop, "700");
    struct timespec before, after;
    clock_gettime(CLOCK_MONOTONIC, &before);
    migrate_ok(shop, 2);
    clock_gettime(CLOCK_MONOTONIC, &after);
    assert_true(
        (after.tv_sec - before.tv_sec) * 1000 + (after.tv_nsec - before.tv_nsec) / 1000000 >= 500);
}

static void test_patience_ends(void **state)
{
    struct shop *shop = *state;
    migrate_ok(shop, 0);
    write_two(shop);
    lease_to_the_dead(shop, "60000");
    assert_int_equal(
        migrate_run_within(shop->sql, shop->dir, NULL, NULL, shop->error, sizeof(shop->error), 200),
        ST_BUSY);
    assert_non_null(strstr(shop->error, "another instance"));
    assert_int_equal(one_int(shop->sql, "SELECT COUNT(*) FROM schema_migrations"), 0);
}

/* Somebody takes the lease over while a file is applied: not one statement more. */
static void test_lost_lease_stops(void **state)
{
    struct shop *shop = *state;
    write_file(shop, "0001_first.sql",
               "CREATE TABLE a (x INT);\nUPDATE schema_lease SET owner = 'somebody else...';\n"
               "INSERT INTO a VALUES (1);\n");
    migrate_refused(shop, ST_CONFLICT, "took the schema lease over");
    assert_int_equal(one_int(shop->sql, "SELECT COUNT(*) FROM a"), 0);
    assert_int_equal(one_int(shop->sql, "SELECT COUNT(*) FROM schema_migrations"), 0);
    assert_true(one_int(shop->sql, "SELECT until_ms FROM schema_lease") >
                0); /* not ours to give up */
}

static void test_no_server(void **state)
{
    struct shop *shop = *state;
    struct sql_conf conf = fixture.conf;
    conf.address = "unix:/nonexistent/no.sock";
    struct sql *s = fixture_connect(&conf);
    assert_int_equal(migrate_run(s, shop->dir, NULL, NULL, shop->error, sizeof(shop->error)),
                     ST_UNAVAILABLE);
    sql_destroy(&s);
}

/* The real schema: it applies, may be begun again from its first line, and its CHECKs bite. */
static void test_our_schema(void **state)
{
    struct shop *shop = *state;
    char error[512];
    unsigned applied = 0;
    enum status st = migrate_run(shop->sql, "schema", NULL, &applied, error, sizeof(error));
    if (st != ST_OK)
        fail_msg("%s (tests run in the repository's root)", error);
    assert_true(applied >= 1);
    fixture_exec(shop->sql, "UPDATE counters SET n = 5 WHERE name = 'sale'");
    fixture_exec(shop->sql, "DELETE FROM schema_migrations");
    if (migrate_run(shop->sql, "schema", NULL, &applied, error, sizeof(error)) != ST_OK)
        fail_msg("a second time: %s", error);
    assert_int_equal(one_int(shop->sql, "SELECT n FROM counters WHERE name = 'sale'"), 5);
}

static void test_our_checks(void **state)
{
    struct shop *shop = *state;
    static const struct {
        unsigned number; /* 0: accepted */
        const char *text;
    } cases[] = {
        {0, "INSERT INTO api_keys VALUES ('1', 0, 'operator', 0, 0)"},
        {4025, "INSERT INTO api_keys VALUES ('2', 0, 'Operator', 0, 0)"},
        {0, "INSERT INTO sales VALUES (1, 'a', 1, 'n', 'flash', 'CNY', 'draft', 1, 2, 900, 64, 0)"},
        {0, "INSERT INTO sales VALUES (2, 'A', 1, 'n', 'flash', 'CNY', 'ended', 1, 2, 900, 1, 0)"},
        {1062,
         "INSERT INTO sales VALUES (3, 'A', 1, 'n', 'flash', 'CNY', 'ended', 1, 2, 900, 1, 0)"},
        {4025,
         "INSERT INTO sales VALUES (3, 'c', 1, 'n', 'dutch', 'CNY', 'draft', 1, 2, 900, 1, 0)"},
        {4025,
         "INSERT INTO sales VALUES (3, 'c', 1, 'n', 'flash', 'CNY', 'open', 1, 2, 900, 1, 0)"},
        {4025,
         "INSERT INTO sales VALUES (3, 'c', 1, 'n', 'flash', 'CNY', 'draft', 2, 2, 900, 1, 0)"},
        {4025,
         "INSERT INTO sales VALUES (3, 'c', 1, 'n', 'flash', 'CNY', 'draft', 1, 2, 900, 0, 0)"},
        {4025,
         "INSERT INTO sales VALUES (3, 'c', 1, 'n', 'flash', 'CNY', 'draft', 1, 2, 900, 65, 0)"},
        {0, "INSERT INTO items VALUES (1, 1, 'sku', 'n', 1, NULL, 2, 0)"},
        {4025, "INSERT INTO items VALUES (2, 1, 's', 'n', 0, NULL, 2, 0)"},
        {4025, "INSERT INTO items VALUES (2, 1, 's', 'n', 1, NULL, 2, -1)"},
        {0, "INSERT INTO shard_stock VALUES (1, 0, 1, 10, 10, 10)"},
        {4025, "UPDATE shard_stock SET held = held + 1"},
        {4025, "UPDATE shard_stock SET allocated = allocated - 1"},
        {4025, "UPDATE shard_stock SET held = -1"},
        {0, "INSERT INTO orders VALUES ('1', 1, 'Bob', 'i', 1, 0, 1, 100, 1, 0, NULL)"},
        {0, "INSERT INTO orders VALUES ('2', 1, 'bob', 'i', 1, 0, 1, 100, 6, 0, NULL)"},
        {1062, "INSERT INTO orders VALUES ('3', 1, 'bob', 'i', 1, 0, 1, 100, 1, 0, NULL)"},
        {4025, "INSERT INTO orders VALUES ('3', 1, 'x', 'i', 1, 0, 1, 100, 0, 0, NULL)"},
        {4025, "INSERT INTO orders VALUES ('3', 1, 'x', 'i', 1, 0, 1, 100, 7, 0, NULL)"},
        {4025, "INSERT INTO orders VALUES ('3', 1, 'x', 'i', 1, 0, 0, 100, 1, 0, NULL)"},
        {4025, "INSERT INTO orders VALUES ('3', 1, 'x', 'i', 1, 0, 1, 0, 1, 0, NULL)"},
        {0, "INSERT INTO payments VALUES ('1', '1', 'c', 'full', 5, 1, 'CNY', '', '', '', 0, NULL, "
            "1)"},
        {4025, "INSERT INTO payments VALUES ('2', '1', 'c', 'full', 6, 1, 'CNY', '', '', '', 0, "
               "NULL, 1)"},
        {4025, "INSERT INTO payments VALUES ('2', '1', 'c', 'full', 0, 1, 'CNY', '', '', '', 0, "
               "NULL, 1)"},
    };
    char error[512];
    if (migrate_run(shop->sql, "schema", NULL, NULL, error, sizeof(error)) != ST_OK)
        fail_msg("%s", error);
    for (size_t i = 0; i < COUNT(cases); i++) {
        (void)!sql_exec(shop->sql, str_from(cases[i].text));
        if (sql_errno(shop->sql) != cases[i].number)
            fail_msg("%s: %u %s", cases[i].text, sql_errno(shop->sql), sql_error(shop->sql));
    }
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
        T(test_applies_once),
        T(test_empty_folder),
        T(test_changed_file),
        T(test_missing_file),
        T(test_missing_record),
        T(test_names),
        T(test_no_folder),
        T(test_failing_statement),
        T(test_unfinished_files),
        T(test_many_at_once),
        T(test_lease_of_the_dead_lapses),
        T(test_patience_ends),
        T(test_lost_lease_stops),
        T(test_no_server),
        T(test_our_schema),
        T(test_our_checks),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
