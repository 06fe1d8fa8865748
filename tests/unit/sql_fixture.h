/* sql_fixture.h - a database of its own on the MariaDB that SNAPUP_TEST_SQL names.
 *
 * For tests: include after <cmocka.h>. The server is private to the tests (root without password);
 * each program creates a database with a name nobody else has and drops it in the end.
 */
#pragma once

#include "sql/sql.h"

#include <stdio.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

struct sql_fixture {
    struct sql_conf conf;
    struct sql *admin; /* no database chosen */
    char database[64];
};

static inline struct sql *fixture_connect(const struct sql_conf *conf)
{
    struct sql *s = NULL;
    assert_int_equal(sql_create(conf, NULL, &s), ST_OK);
    return s;
}

static inline void fixture_exec(struct sql *s, const char *text)
{
    if (sql_exec(s, str_from(text)) != ST_OK)
        fail_msg("%s: %u %s", text, sql_errno(s), sql_error(s));
}

static inline int fixture_setup(struct sql_fixture *f)
{
    const char *address = getenv("SNAPUP_TEST_SQL");
    if (!address) {
        print_error(
            "SNAPUP_TEST_SQL is not set: it must name a private MariaDB, like unix:/path/to.sock "
            "(user root without password). tests/support/with-servers starts one.\n");
        return -1;
    }
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(f->database, sizeof(f->database), "test_%d_%lld", (int)getpid(),
             (long long)now.tv_sec * 1000 + now.tv_nsec / 1000000);
    f->conf = (struct sql_conf){address, "root", "", NULL, 10000};
    f->admin = fixture_connect(&f->conf);
    char text[128];
    snprintf(text, sizeof(text), "CREATE DATABASE %s", f->database);
    if (sql_exec(f->admin, str_from(text)) != ST_OK) {
        print_error("MariaDB at SNAPUP_TEST_SQL=%s: %s\n", address, sql_error(f->admin));
        return -1;
    }
    f->conf.database = f->database;
    return 0;
}

static inline int fixture_teardown(struct sql_fixture *f)
{
    if (!f->admin)
        return 0;
    char text[128];
    snprintf(text, sizeof(text), "DROP DATABASE IF EXISTS %s", f->database);
    enum status st = sql_exec(f->admin, str_from(text));
    sql_destroy(&f->admin);
    return st == ST_OK ? 0 : -1;
}

/* What a result was like. */
struct seen {
    unsigned rows, cols;
    unsigned stop_after; /* rows; 0: take all */
    int64_t i[8];        /* of the last row */
    int type[8];
    size_t len[8];
    char text[8][64]; /* beginning of bytes */
    uint64_t sum;     /* of all bytes in all rows */
};

static inline bool see(void *arg, const struct sql_val *v, unsigned n)
{
    struct seen *s = arg;
    assert_true(n <= sizeof(s->i) / sizeof(s->i[0]));
    s->rows++;
    s->cols = n;
    for (unsigned c = 0; c < n; c++) {
        s->type[c] = v[c].type;
        s->i[c] = v[c].i;
        s->len[c] = v[c].s.n;
        size_t keep = v[c].s.n < sizeof(s->text[c]) ? v[c].s.n : sizeof(s->text[c]) - 1;
        memset(s->text[c], 0, sizeof(s->text[c]));
        if (keep)
            memcpy(s->text[c], v[c].s.p, keep);
        for (size_t k = 0; k < v[c].s.n; k++)
            s->sum += (unsigned char)v[c].s.p[k];
    }
    return s->rows != s->stop_after;
}

static inline int64_t one_int(struct sql *s, const char *text)
{
    struct seen seen = {0};
    if (sql_run_once(s, str_from(text), NULL, 0, see, &seen, NULL) != ST_OK)
        fail_msg("%s: %u %s", text, sql_errno(s), sql_error(s));
    assert_int_equal(seen.rows, 1);
    return seen.i[0];
}

/* Ends s' connection at the server. */
static inline void kill_connection(struct sql *admin, struct sql *s)
{
    char text[64];
    snprintf(text, sizeof(text), "KILL %lld", (long long)one_int(s, "SELECT CONNECTION_ID()"));
    fixture_exec(admin, text);
}
