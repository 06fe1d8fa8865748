#include "flow/warnings.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "flow_fixture.h"

static int setup(void **state)
{
    static struct flow f;
    *state = &f;
    return flow_setup(&f, "");
}

static int teardown(void **state)
{
    return flow_teardown(*state);
}

static void tell_redis(struct flow *f, const char *command)
{
    redisReply *r = redisCommand(f->redis, command);
    assert_non_null(r);
    assert_int_equal(r->type, REDIS_REPLY_STATUS);
    freeReplyObject(r);
}

static void tell_sql(struct flow *f, const char *statement)
{
    assert_int_equal(sql_run(f->sql, statement, NULL, 0, NULL, NULL, NULL), ST_OK);
}

static uint32_t look(struct flow *f, struct warnings *w)
{
    w->looked_us = 0;
    warnings_look(f->s, w);
    return atomic_load(&w->found);
}

static void set_all_right(struct flow *f)
{
    tell_sql(f, "SET GLOBAL innodb_flush_log_at_trx_commit = 1");
    tell_sql(f, "SET GLOBAL sync_binlog = 1");
    tell_redis(f, "CONFIG SET appendonly yes");
    tell_redis(f, "CONFIG SET appendfsync everysec");
    tell_redis(f, "CONFIG SET maxmemory-policy noeviction");
}

static void test_each_setting_is_named(void **state)
{
    struct flow *f = *state;
    struct warnings w = {0};
    const struct {
        const char *redis, *sql;
        enum warning warning;
    } rows[] = {
        {NULL, "SET GLOBAL innodb_flush_log_at_trx_commit = 2", WARNING_SQL_FLUSH},
        {NULL, "SET GLOBAL innodb_flush_log_at_trx_commit = 0", WARNING_SQL_FLUSH},
        {"CONFIG SET appendonly no", NULL, WARNING_REDIS_AOF},
        {"CONFIG SET appendfsync no", NULL, WARNING_REDIS_FSYNC},
        {"CONFIG SET maxmemory-policy allkeys-lru", NULL, WARNING_REDIS_EVICTS},
        {"CONFIG SET maxmemory-policy volatile-ttl", NULL, WARNING_REDIS_EVICTS},
    };
    set_all_right(f);
    assert_int_equal(look(f, &w), 0);
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        if (rows[i].sql)
            tell_sql(f, rows[i].sql);
        else
            tell_redis(f, rows[i].redis);
        assert_int_equal(look(f, &w), UINT32_C(1) << rows[i].warning);
        set_all_right(f);
        assert_int_equal(look(f, &w), 0);
    }
}

static void test_binlog_counts_only_when_it_is_on(void **state)
{
    struct flow *f = *state;
    struct warnings w = {0};
    set_all_right(f);
    tell_sql(f, "SET GLOBAL sync_binlog = 0");
    bool on = one_int(f->sql, "SELECT @@log_bin") == 1;
    assert_int_equal(look(f, &w), on ? UINT32_C(1) << WARNING_SQL_BINLOG : 0);
    set_all_right(f);
}

static void test_looks_are_rare(void **state)
{
    struct flow *f = *state;
    struct warnings w = {0};
    set_all_right(f);
    assert_int_equal(look(f, &w), 0);
    tell_redis(f, "CONFIG SET appendfsync no");
    warnings_look(f->s, &w);
    assert_int_equal(atomic_load(&w.found), 0);
    set_all_right(f);
}

static void test_a_redis_that_does_not_say_is_asked_no_more(void **state)
{
    struct flow *f = *state;
    struct warnings w = {0};
    set_all_right(f);
    tell_redis(f, "CONFIG SET appendfsync no");
    tell_redis(f, "ACL SETUSER default -config");
    uint32_t found = look(f, &w);
    tell_redis(f, "ACL SETUSER default +config");
    assert_int_equal(found, 0);
    assert_true(w.config_refused);
    set_all_right(f);
}

static void test_advice_fits_into_json(void **state)
{
    for (enum warning w = 0; w < WARNINGS; w++) {
        assert_null(strpbrk(warning_info(w)->code, "\"\\"));
        assert_null(strpbrk(warning_info(w)->advice, "\"\\"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_setting_is_named),
        cmocka_unit_test(test_binlog_counts_only_when_it_is_on),
        cmocka_unit_test(test_looks_are_rare),
        cmocka_unit_test(test_a_redis_that_does_not_say_is_asked_no_more),
        cmocka_unit_test(test_advice_fits_into_json),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
