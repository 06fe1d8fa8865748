#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "sql/sql.h"

#include "sql_fixture.h"

#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <sys/un.h>

static struct sql_fixture fixture;

/* --- a relay that loses answers --- */

/* Passes bytes between one client at a time and the server. When pass_on reaches 0, one more
 * request goes out; its answer is awaited, thrown away, and both sides are closed. */
struct relay {
    struct sockaddr_un here, server;
    int listen_fd;
    atomic_int pass_on; /* requests; negative: all */
    pthread_t thread;
};

static bool pass(int from, int to)
{
    char bytes[65536];
    ssize_t n = read(from, bytes, sizeof(bytes));
    return n > 0 && send(to, bytes, (size_t)n, MSG_NOSIGNAL) == n;
}

static void serve(struct relay *r, int client, int server)
{
    for (;;) {
        struct pollfd p[] = {{.fd = client, .events = POLLIN}, {.fd = server, .events = POLLIN}};
        if (poll(p, 2, -1) < 0)
            return;
        if (p[1].revents && !pass(server, client))
            return;
        if (!p[0].revents)
            continue;
        if (!pass(client, server))
            return;
        if (atomic_load(&r->pass_on) < 0)
            continue;
        if (atomic_fetch_sub(&r->pass_on, 1) == 0) {
            char answer[65536];
            (void)!read(server, answer, sizeof(answer));
            return;
        }
    }
}

static void *relay_main(void *arg)
{
    struct relay *r = arg;
    int client;
    while ((client = accept(r->listen_fd, NULL, NULL)) >= 0) {
        int server = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (connect(server, (struct sockaddr *)&r->server, sizeof(r->server)) == 0)
            serve(r, client, server);
        close(client);
        close(server);
    }
    return NULL;
}

static void relay_start(struct relay *r)
{
    const char *address = fixture.conf.address;
    if (strncmp(address, "unix:", 5) != 0)
        fail_msg("SNAPUP_TEST_SQL must be a Unix socket");
    r->here = r->server = (struct sockaddr_un){.sun_family = AF_UNIX};
    snprintf(r->server.sun_path, sizeof(r->server.sun_path), "%s", address + 5);
    snprintf(r->here.sun_path, sizeof(r->here.sun_path), "/tmp/sql_lost_test_%d.sock",
             (int)getpid());
    atomic_store(&r->pass_on, -1);
    r->listen_fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
    unlink(r->here.sun_path);
    assert_int_equal(bind(r->listen_fd, (struct sockaddr *)&r->here, sizeof(r->here)), 0);
    assert_int_equal(listen(r->listen_fd, 4), 0);
    assert_int_equal(pthread_create(&r->thread, NULL, relay_main, r), 0);
}

/* The client has gone. */
static void relay_stop(struct relay *r)
{
    shutdown(r->listen_fd, SHUT_RDWR);
    pthread_join(r->thread, NULL);
    close(r->listen_fd);
    unlink(r->here.sun_path);
}

/* --- each test: a connection through the relay, and one beside it --- */

struct line {
    struct relay relay;
    char address[128];
    struct sql *sql, *beside;
};

static int setup(void **state)
{
    static struct line line;
    relay_start(&line.relay);
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
