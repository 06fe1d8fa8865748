#include "base/config.h"

#include "base/buf.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define HEX64 "0123456789abcdefABCDEF01234567890123456789abcdef0123456789abcdef"

static const struct config empty;

static void test_defaults_come_from_the_table(void **state)
{
    struct config cfg;
    char error[200];
    assert_int_equal(config_parse(&cfg, STR(""), error, sizeof(error)), ST_OK);
    assert_string_equal(error, "");
#define SAME_STR(field, def)                           assert_string_equal(field, def)
#define SAME_INT(field, def)                           assert_int_equal(field, def)
#define SAME_BOOL(field, def)                          assert_int_equal(field, def)
#define X(kind, key, def, min, max, unit, flags, help) SAME_##kind(cfg.key, def);
    CONFIG_TABLE(X)
#undef X
    config_fini(&cfg);
    assert_memory_equal(&cfg, &empty, sizeof(cfg));
    config_fini(&cfg);
}

static void test_text_sets_values(void **state)
{
    struct config cfg;
    char error[200];
    struct str text = STR("; comment\n"
                          "# another\n"
                          "[http]\r\n"
                          "listen = unix:/run/snapup.sock  \r\n"
                          "workers=3 ; inline\n"
                          "\n"
                          "[sql]\n"
                          "sql_password : a=b;c#d\n"
                          "master_key = " HEX64 "\n"
                          "log_level = debug\n"
                          "access_log = off\n"
                          "production = no");
    assert_int_equal(config_parse(&cfg, text, error, sizeof(error)), ST_OK);
    assert_string_equal(cfg.listen, "unix:/run/snapup.sock");
    assert_int_equal(cfg.workers, 3);
    assert_string_equal(cfg.sql_password, "a=b;c#d");
    assert_string_equal(cfg.master_key, HEX64);
    assert_string_equal(cfg.log_level, "debug");
    assert_string_equal(cfg.access_log, "off");
    assert_false(cfg.production);
    config_fini(&cfg);
}

static void test_bounds_are_inside(void **state)
{
    static const struct {
        const char *text;
        int64_t want;
    } rows[] = {
        {"redis_timeout_ms = 10", 10},
        {"redis_timeout_ms = 60000", 60000},
        {"redis_timeout_ms = 00000010", 10},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config cfg;
        char error[200];
        assert_int_equal(config_parse(&cfg, str_from(rows[i].text), error, sizeof(error)), ST_OK);
        assert_int_equal(cfg.redis_timeout_ms, rows[i].want);
        config_fini(&cfg);
    }
}

static void test_refusals_name_the_key(void **state)
{
    static const struct {
        const char *text;
        const char *error;
    } rows[] = {
        {"redis_timeout_ms = 9",
         "line 1: redis_timeout_ms must be a whole number from 10 to 60000 ms"},
        {"\nworkers = 65", "line 2: workers must be a whole number from 0 to 64 threads"},
        {"workers = -1", "line 1: workers must be a whole number from 0 to 64 threads"},
        {"workers = ", "line 1: workers must be a whole number from 0 to 64 threads"},
        {"workers = 1.0", "line 1: workers must be a whole number from 0 to 64 threads"},
        {"workers = 2x", "line 1: workers must be a whole number from 0 to 64 threads"},
        {"workers = 99999999999999999999",
         "line 1: workers must be a whole number from 0 to 64 threads"},
        {"listen =", "line 1: listen must be 1 to 255 bytes long, not 0"},
        {"production = maybe", "line 1: production must be true or false"},
        {"log_level = loud", "line 1: log_level must be debug, info, warn or error"},
        {"access_log = some", "line 1: access_log must be off, errors or all"},
        {"master_key = 12", "line 1: master_key must be empty or 64 hex digits"},
        {"master_key = " HEX64 "00", "line 1: master_key must be empty or 64 hex digits"},
        {"master_key = g" HEX64, "line 1: master_key must be empty or 64 hex digits"},
        {"master_key = 012345678901234567890123456789012345678901234567890123456789012g",
         "line 1: master_key must be empty or 64 hex digits"},
        {"wrokers = 2", "line 1: wrokers is no key of ours"},
        {"Workers = 2", "line 1: Workers is no key of ours"},
        {"sql_password hunter2 = 1", "line 1: sql_password is no key of ours"},
        {"workers = 1\nworkers = 1", "line 2: workers is given twice"},
        {"workers = 1\n  2", "line 2: workers is given twice"},
        {"# fine\nhunter2", "line 2: neither key = value nor a section"},
        {"[open\n", "line 1: neither key = value nor a section"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct config cfg;
        char error[200];
        memset(&cfg, 0xee, sizeof(cfg));
        enum status st = config_parse(&cfg, str_from(rows[i].text), error, sizeof(error));
        if (st != ST_INVALID_REQUEST)
            fail_msg("accepted %s", rows[i].text);
        assert_string_equal(error, rows[i].error);
        assert_memory_equal(&cfg, &empty, sizeof(cfg));
    }
}

static void test_odd_bytes(void **state)
{
    struct config cfg;
    char error[200];
    struct str nul = {"workers = 1\0 2\n", 15};
    assert_int_equal(config_parse(&cfg, nul, error, sizeof(error)), ST_INVALID_REQUEST);
    assert_string_equal(error, "line 1: a NUL byte");
    /* A line past inih's buffer must not fall apart into two. */
    char text[5000] = "schema_dir = ";
    size_t n = strlen(text);
    memset(text + n, 'x', sizeof(text) - n);
    struct str line = {text, sizeof(text)};
    assert_int_equal(config_parse(&cfg, line, error, sizeof(error)), ST_INVALID_REQUEST);
    assert_non_null(strstr(error, "line 1: longer than"));
    assert_int_equal(config_parse(&cfg, STR("\xef\xbb\xbfworkers = 1"), error, sizeof(error)),
                     ST_OK);
    config_fini(&cfg);
}

static void test_secrets_stay_out_of_errors(void **state)
{
    char secret[300];
    memset(secret, 'S', sizeof(secret));
    secret[sizeof(secret) - 1] = '\0';
    static const char *const keys[] = {"REDIS_PASSWORD", "SQL_PASSWORD", "MASTER_KEY",
                                       "SANDBOX_SECRET"};
    for (size_t i = 0; i < sizeof(keys) / sizeof(keys[0]); i++) {
        char variable[400];
        snprintf(variable, sizeof(variable), "SNAPUP_%s=%s", keys[i], secret);
        char *env[] = {variable, NULL};
        struct config cfg;
        char error[1000];
        assert_int_equal(config_load(&cfg, NULL, env, error, sizeof(error)), ST_INVALID_REQUEST);
        assert_null(strstr(error, "SSS"));
        assert_true(strlen(error) > 20);
    }
}

static void test_error_fits_its_buffer(void **state)
{
    struct config cfg;
    char error[8] = "#######";
    assert_int_equal(config_parse(&cfg, STR("workers = x"), error, 6), ST_INVALID_REQUEST);
    assert_string_equal(error, "line ");
    assert_int_equal(error[6], '#');
    assert_int_equal(config_parse(&cfg, STR("workers = x"), NULL, 0), ST_INVALID_REQUEST);
}

static void write_file(char *path, const char *text)
{
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, text, strlen(text)), strlen(text));
    close(fd);
}

static void test_environment_beats_file_beats_default(void **state)
{
    char path[] = "/tmp/snapup_config_test_XXXXXX";
    write_file(path, "workers = 2\ncommitters = 3\n");
    char *env[] = {"PATH=/bin",
                   "SNAPUP_WORKERS=5",
                   "SNAPUPWORKERS=9",
                   "SNAPUP_STATE=var",
                   "SNAPUP_CONFIG=x",
                   "SNAPUP_BUILD=y",
                   "SNAPUP_BENCH_SCENARIOS=z",
                   "SNAPUP_LISTEN",
                   "SNAPUP_SQL_PASSWORD=",
                   "SNAPUP_SQL_USER=u",
                   NULL};
    struct config cfg;
    char error[200];
    assert_int_equal(config_load(&cfg, path, env, error, sizeof(error)), ST_OK);
    assert_int_equal(cfg.workers, 5);
    assert_int_equal(cfg.committers, 3);
    assert_int_equal(cfg.query_threads, 4);
    assert_string_equal(cfg.sql_user, "u");
    config_fini(&cfg);
    unlink(path);
}

static void test_environment_refusals(void **state)
{
    static const struct {
        char *variable;
        const char *error;
    } rows[] = {
        {"SNAPUP_WORKERS=many", "workers must be a whole number from 0 to 64 threads"},
        {"SNAPUP_WROKERS=1", "SNAPUP_WROKERS is no setting of ours"},
        {"SNAPUP_workers=1", "SNAPUP_workers is no setting of ours"},
        {"SNAPUP_=1", "SNAPUP_ is no setting of ours"},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char *env[] = {rows[i].variable, NULL};
        struct config cfg;
        char error[200];
        assert_int_equal(config_load(&cfg, NULL, env, error, sizeof(error)), ST_INVALID_REQUEST);
        assert_string_equal(error, rows[i].error);
        assert_memory_equal(&cfg, &empty, sizeof(cfg));
    }
}

static void test_unreadable_files(void **state)
{
    struct config cfg;
    char error[200];
    assert_int_equal(config_load(&cfg, "/nonexistent/x", NULL, error, sizeof(error)),
                     ST_INVALID_REQUEST);
    assert_string_equal(error, "cannot open /nonexistent/x: No such file or directory");
    assert_int_equal(config_load(&cfg, "/", NULL, error, sizeof(error)), ST_INVALID_REQUEST);
    assert_int_equal(config_load(&cfg, "/dev/zero", NULL, error, sizeof(error)),
                     ST_INVALID_REQUEST);
    assert_string_equal(error, "/dev/zero is larger than 1048576 bytes");
}

static void parse(struct config *cfg, const char *text)
{
    char error[200];
    assert_int_equal(config_parse(cfg, str_from(text), error, sizeof(error)), ST_OK);
}

static void test_adopts_what_may_be_reloaded(void **state)
{
    struct config cfg, next;
    char changed[CONFIG_KEYS_MAX], held_back[CONFIG_KEYS_MAX];
    parse(&cfg, "log_level = info\nworkers = 2\nredis_password = old");
    parse(&next, "log_level = debug\nidle_timeout_ms = 500\nworkers = 3\nredis_password = new\n"
                 "production = no");
    config_adopt(&cfg, &next, changed, held_back);
    assert_string_equal(changed, "idle_timeout_ms log_level");
    assert_string_equal(held_back, "workers redis_password production");
    assert_string_equal(cfg.log_level, "debug");
    assert_int_equal(cfg.idle_timeout_ms, 500);
    assert_int_equal(cfg.workers, 2);
    assert_string_equal(cfg.redis_password, "old");
    assert_true(cfg.production);
    assert_memory_equal(&next, &empty, sizeof(next));
    parse(&next, "log_level = debug\nidle_timeout_ms = 500\nworkers = 2\nredis_password = old");
    config_adopt(&cfg, &next, changed, held_back);
    assert_string_equal(changed, "");
    assert_string_equal(held_back, "");
    config_fini(&cfg);
}

static void test_key_lists_have_room_for_all(void **state)
{
    size_t bytes = 0;
#define X(kind, key, def, min, max, unit, flags, help) bytes += sizeof(#key);
    CONFIG_TABLE(X)
#undef X
    assert_true(bytes < CONFIG_KEYS_MAX);
}

static void test_markdown(void **state)
{
    struct buf out;
    buf_init(&out, 1 << 20);
    config_table_markdown(&out);
    assert_false(out.overflow);
    size_t lines = 0;
    for (size_t i = 0; i < out.len; i++)
        lines += out.data[i] == '\n';
    buf_char(&out, '\0');
#define X(kind, key, def, min, max, unit, flags, help) +1
    assert_int_equal(lines, 2 CONFIG_TABLE(X));
#undef X
    assert_ptr_equal(strstr(out.data, "| key | default | unit | SIGHUP | meaning |\n|---"),
                     out.data);
    assert_non_null(strstr(out.data, "| `redis_timeout_ms` | `2000` | ms |  | Deadline of"));
    assert_non_null(strstr(out.data, "| `production` | `true` |  |  | Refuses"));
    assert_non_null(strstr(out.data, "| `master_key` |  |  |  | 64 hex"));
    buf_fini(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_defaults_come_from_the_table),
        cmocka_unit_test(test_text_sets_values),
        cmocka_unit_test(test_bounds_are_inside),
        cmocka_unit_test(test_refusals_name_the_key),
        cmocka_unit_test(test_odd_bytes),
        cmocka_unit_test(test_secrets_stay_out_of_errors),
        cmocka_unit_test(test_error_fits_its_buffer),
        cmocka_unit_test(test_environment_beats_file_beats_default),
        cmocka_unit_test(test_environment_refusals),
        cmocka_unit_test(test_unreadable_files),
        cmocka_unit_test(test_adopts_what_may_be_reloaded),
        cmocka_unit_test(test_key_lists_have_room_for_all),
        cmocka_unit_test(test_markdown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
