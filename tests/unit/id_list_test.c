#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sql_fixture.h"

#include "flow/id_list.h"

static struct sql_fixture db;
static struct sql *sql;

static int setup(void **state)
{
    if (fixture_setup(&db) != 0)
        return -1;
    sql = fixture_connect(&db.conf);
    fixture_exec(sql, "CREATE TABLE t (id BINARY(16) NOT NULL PRIMARY KEY, n INT NOT NULL)");
    return 0;
}

static int teardown(void **state)
{
    sql_destroy(&sql);
    return fixture_teardown(&db);
}

static struct uid id_of(unsigned n)
{
    return (struct uid){{(uint8_t)(n >> 8), (uint8_t)n, 7}};
}

static bool on_row(void *arg, const struct sql_val *c, unsigned n)
{
    unsigned *rows = arg;
    assert_int_equal(c[1].i, *rows); /* in order, each once */
    ++*rows;
    return true;
}

/* Whatever its length, a list finds each of its ids once and no other. */
static void test_every_length(void **state)
{
    static const struct id_list list =
        ID_LIST("SELECT id, n, ? FROM t WHERE id IN (", ") ORDER BY id");
    struct uid id[ID_LIST_MAX];
    char text[128];
    for (unsigned i = 0; i < ID_LIST_MAX + 10; i++) {
        snprintf(text, sizeof(text), "INSERT INTO t VALUES (X'%04x07%026d', %u)", i, 0, i);
        fixture_exec(sql, text);
    }
    for (unsigned i = 0; i < ID_LIST_MAX; i++)
        id[i] = id_of(i);
    const struct sql_val first[] = {SQL_INT(1)};
    for (unsigned n = 1; n <= ID_LIST_MAX; n++) {
        unsigned rows = 0;
        assert_int_equal(id_list_run(sql, &list, first, 1, id, n, on_row, &rows, NULL), ST_OK);
        assert_int_equal(rows, n);
    }
}

static void test_sorted_and_found(void **state)
{
    struct uid id[] = {id_of(9), id_of(300), id_of(2), id_of(9), id_of(2)}, other = id_of(4);
    assert_int_equal(id_list_sort(id, 5), 3);
    const unsigned order[] = {2, 9, 300};
    for (unsigned i = 0; i < 3; i++) {
        struct uid want = id_of(order[i]);
        assert_true(uid_equal(&id[i], &want));
        assert_int_equal(id_list_find(id, 3, want.b), i);
    }
    assert_int_equal(id_list_find(id, 3, other.b), 3);
    assert_int_equal(id_list_find(id, 0, id[0].b), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_length),
        cmocka_unit_test(test_sorted_and_found),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
