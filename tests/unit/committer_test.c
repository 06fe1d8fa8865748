#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "commit_fixture.h"

#include "base/buf.h"

#include <glob.h>
#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <signal.h>

#define COUNT(a) (sizeof(a) / sizeof((a)[0]))

enum { GROUP = 64, DEPTH = 1000, WAIT_MS = 20000 };

static struct ledger ledger;

static int setup_group(void **state)
{
    return ledger_setup(&ledger);
}

static int teardown_group(void **state)
{
    return ledger_teardown(&ledger);
}

/* What a test has; teardown ends it also when the test failed half-way. */
struct bench {
    struct committers *c;
    struct queue *replies;
};

/* A mariadbd that must be woken again, whatever becomes of the test; 0: none. */
static volatile sig_atomic_t stopped;

static void wake_server(int sig)
{
    if (stopped)
        kill(stopped, SIGCONT);
    stopped = 0;
}

static int setup(void **state)
{
    static struct bench bench;
    ledger_reset(&ledger);
    bench = (struct bench){0};
    assert_int_equal(queue_create(16, &bench.replies), ST_OK);
    *state = &bench;
    return 0;
}

static int teardown(void **state)
{
    struct bench *b = *state;
    wake_server(0);
    if (b->c)
        committers_stop(b->c, 0);
    committers_destroy(&b->c);
    queue_destroy(&b->replies);
    return 0;
}

static void start(struct bench *b, unsigned threads, const struct sql_conf *conf)
{
    assert_int_equal(committers_create(conf, threads, GROUP, DEPTH, NULL, NULL, &b->c), ST_OK);
}

static void on_reply(struct task *task)
{
}

static struct commit_batch batch_of(struct bench *b, struct commit_row *rows, unsigned n)
{
    return (struct commit_batch){.reply_to = b->replies, .reply = on_reply, .rows = rows, .n = n};
}

static struct commit_batch *next_reply(struct bench *b)
{
    struct task *t = queue_wait(b->replies, WAIT_MS);
    assert_non_null(t);
    assert_ptr_equal(t->run, on_reply);
    return CONTAINER_OF(t, struct commit_batch, task);
}

/* --- batches and room
 * ----------------------------------------------------------------------------- */

/* More batches than a group takes, of 0 to 6 rows: each comes back once, all its rows durable. */
static void test_batches_come_back_exactly_once(void **state)
{
    enum { BATCHES = 150, ROWS = 7 };
    static struct commit_row rows[BATCHES][ROWS];
    static struct commit_batch batch[BATCHES];
    unsigned back[BATCHES] = {0}, orders = 0;
    struct bench *b = *state;
    fixture_exec(ledger.beside, "UPDATE shard_stock SET allocated = 10000");
    start(b, 1, &ledger.db.conf);
    for (unsigned i = 0; i < BATCHES; i++) {
        for (unsigned k = 0; k < i % ROWS; k++)
            rows[i][k] = ledger_row(&ledger, "ann");
        orders += i % ROWS;
        batch[i] = batch_of(b, rows[i], i % ROWS);
        committers_submit(b->c, &batch[i]);
    }
    for (unsigned i = 0; i < BATCHES; i++)
        back[next_reply(b) - batch]++;
    for (unsigned i = 0; i < BATCHES; i++) {
        assert_int_equal(back[i], 1);
        for (unsigned k = 0; k < batch[i].n; k++)
            assert_int_equal(rows[i][k].outcome, ST_OK);
    }
    assert_null(queue_take(b->replies, 1));
    assert_int_equal(ledger_orders(&ledger), orders);
    assert_int_equal(ledger_held(&ledger, 1, 0), orders);
}

static long commits(struct metrics *m)
{
    struct buf text;
    buf_init(&text, 1024 * 1024);
    metrics_render(m, &text);
    buf_char(&text, '\0');
    const char *line = strstr(text.data, "\nsnapup_commits_total ");
    long n = line ? strtol(line + strlen("\nsnapup_commits_total "), NULL, 10) : -1;
    buf_fini(&text);
    return n;
}

/* What comes while a transaction is held up becomes one group, up to the largest. */
static void test_groups_gather(void **state)
{
    enum { BATCHES = 40, ROWS = 4 };
    static struct commit_row rows[BATCHES][ROWS];
    static struct commit_batch batch[BATCHES];
    struct bench *b = *state;
    struct metrics *m = NULL;
    fixture_exec(ledger.beside, "UPDATE shard_stock SET allocated = 10000");
    assert_int_equal(metrics_create(NULL, 0, &m), ST_OK);
    assert_int_equal(committers_create(&ledger.db.conf, 1, GROUP, DEPTH, NULL, m, &b->c), ST_OK);
    assert_int_equal(sql_begin(ledger.beside), ST_OK);
    fixture_exec(ledger.beside, "UPDATE shard_stock SET added = added + 1");
    for (unsigned i = 0; i < BATCHES; i++) {
        for (unsigned k = 0; k < ROWS; k++)
            rows[i][k] = ledger_row(&ledger, "ann");
        batch[i] = batch_of(b, rows[i], ROWS);
        committers_submit(b->c, &batch[i]);
    }
    sql_rollback(ledger.beside);
    for (unsigned i = 0; i < BATCHES; i++)
        next_reply(b);
    committers_stop(b->c, 0);
    long n = commits(m);
    metrics_destroy(&m);
    /* The first may have gone alone; the rest fills groups of GROUP rows. */
    assert_in_range(n, BATCHES * ROWS / GROUP, BATCHES * ROWS / GROUP + 3);
    assert_int_equal(ledger_held(&ledger, 1, 0), BATCHES * ROWS);
}

/* Plain, then carefully, then without the fenced shard: each row of the group learns its own
 * outcome. */
static void test_a_mixed_group_is_settled_row_by_row(void **state)
{
    struct bench *b = *state;
    struct commit_row first = ledger_row(&ledger, "ann");
    struct commit_batch one = batch_of(b, &first, 1);
    start(b, 1, &ledger.db.conf);
    committers_submit(b->c, &one);
    assert_ptr_equal(next_reply(b), &one);
    struct commit_row rows[] = {ledger_row(&ledger, "bob"), first, first,
                                ledger_row(&ledger, "cid")};
    rows[1].id = uid_make(ledger.ids, clock_wall_ms());
    rows[3].shard = 1;
    rows[3].epoch = EPOCH + 1;
    struct commit_batch batch = batch_of(b, rows, COUNT(rows));
    committers_submit(b->c, &batch);
    assert_ptr_equal(next_reply(b), &batch);
    static const enum status want[] = {ST_OK, ST_DUPLICATE, ST_OK, ST_FENCED};
    for (unsigned i = 0; i < COUNT(rows); i++)
        assert_int_equal(rows[i].outcome, want[i]);
    assert_int_equal(ledger_orders(&ledger), 2);
    assert_int_equal(ledger_held(&ledger, 1, 0), 2);
}

static void test_hopeless_row_is_given_up(void **state)
{
    struct bench *b = *state;
    struct commit_row rows[] = {ledger_row(&ledger, "ann"), ledger_row(&ledger, "bob")};
    rows[0].amount = 0; /* the schema refuses it */
    struct commit_batch bad = batch_of(b, rows, 1), good = batch_of(b, rows + 1, 1);
    start(b, 1, &ledger.db.conf);
    committers_submit(b->c, &bad);
    assert_ptr_equal(next_reply(b), &bad);
    assert_int_equal(rows[0].outcome, ST_INTERNAL);
    committers_submit(b->c, &good); /* the thread goes on */
    assert_ptr_equal(next_reply(b), &good);
    assert_int_equal(rows[1].outcome, ST_OK);
    assert_int_equal(ledger_orders(&ledger), 1);
}

static void test_r9_room_is_bounded(void **state)
{
    struct bench *b = *state;
    start(b, 1, &ledger.db.conf);
    assert_true(committers_take_room(b->c, DEPTH - 1));
    assert_false(committers_take_room(b->c, 2));
    assert_int_equal(committers_depth(b->c), DEPTH - 1); /* a refusal takes nothing */
    assert_true(committers_take_room(b->c, 1));
    assert_false(committers_take_room(b->c, 1));
    committers_give_room(b->c, 10);
    assert_true(committers_take_room(b->c, 10));
    assert_false(committers_take_room(b->c, 1));
    committers_give_room(b->c, DEPTH);
    assert_int_equal(committers_depth(b->c), 0);
    assert_false(committers_take_room(b->c, DEPTH + 1));
}

static void *take_and_give(void *arg)
{
    struct bench *b = arg;
    for (int i = 0; i < 20000; i++)
        if (committers_take_room(b->c, 300)) {
            assert_true(committers_depth(b->c) >= 300);
            committers_give_room(b->c, 300);
        }
    return NULL;
}

static void test_room_of_many_threads_adds_up(void **state)
{
    struct bench *b = *state;
    pthread_t thread[6];
    start(b, 1, &ledger.db.conf);
    for (unsigned i = 0; i < COUNT(thread); i++)
        assert_int_equal(pthread_create(&thread[i], NULL, take_and_give, b), 0);
    for (unsigned i = 0; i < COUNT(thread); i++)
        pthread_join(thread[i], NULL);
    assert_int_equal(committers_depth(b->c), 0);
    assert_true(committers_take_room(b->c, DEPTH));
}

/* --- the end
 * -------------------------------------------------------------------------------------- */

static void test_stop_finishes_what_was_submitted(void **state)
{
    enum { BATCHES = 40 };
    static struct commit_row rows[BATCHES];
    static struct commit_batch batch[BATCHES];
    struct bench *b = *state;
    fixture_exec(ledger.beside, "UPDATE shard_stock SET allocated = 10000");
    start(b, 2, &ledger.db.conf);
    for (unsigned i = 0; i < BATCHES; i++) {
        rows[i] = ledger_row(&ledger, "ann");
        batch[i] = batch_of(b, &rows[i], 1);
        committers_submit(b->c, &batch[i]);
    }
    committers_stop(b->c, 5000);
    for (unsigned i = 0; i < BATCHES; i++)
        assert_int_equal(next_reply(b)->rows->outcome, ST_OK);
    assert_int_equal(ledger_orders(&ledger), BATCHES);
}

static void test_submit_after_stop_comes_back_unwritten(void **state)
{
    struct bench *b = *state;
    struct commit_row row = ledger_row(&ledger, "ann");
    struct commit_batch batch = batch_of(b, &row, 1);
    start(b, 1, &ledger.db.conf);
    committers_stop(b->c, 0);
    committers_submit(b->c, &batch);
    assert_ptr_equal(next_reply(b), &batch);
    assert_int_equal(row.outcome, ST_UNAVAILABLE);
    assert_int_equal(ledger_orders(&ledger), 0);
}

static bool on_path(void *arg, const struct sql_val *c, unsigned n)
{
    snprintf(arg, PATH_MAX, "%.*s", (int)c[0].s.n, c[0].s.p);
    return true;
}

static pid_t server_pid(void)
{
    char path[PATH_MAX] = "";
    int pid = 0;
    assert_int_equal(
        sql_run_once(ledger.beside, STR("SELECT @@pid_file"), NULL, 0, on_path, path, NULL), ST_OK);
    FILE *f = fopen(path, "re");
    assert_non_null(f);
    assert_int_equal(fscanf(f, "%d", &pid), 1);
    fclose(f);
    return pid;
}

/* All threads of a process have stopped; a signal takes a moment to reach them. */
static bool stands_still(pid_t pid)
{
    char pattern[64], state = 0;
    bool still = true;
    glob_t found;
    snprintf(pattern, sizeof(pattern), "/proc/%d/task/*/stat", (int)pid);
    assert_int_equal(glob(pattern, 0, NULL, &found), 0);
    for (size_t i = 0; i < found.gl_pathc && still; i++) {
        FILE *f = fopen(found.gl_pathv[i], "re");
        still = f && fscanf(f, "%*d %*s %c", &state) == 1 && state == 'T';
        if (f)
            fclose(f);
    }
    globfree(&found);
    return still;
}

/* Also a test that hangs does not keep it still for ever. */
static void stop_server(void)
{
    enum { PATIENCE_S = 15 };
    stopped = server_pid();
    signal(SIGALRM, wake_server);
    alarm(PATIENCE_S);
    assert_int_equal(kill(stopped, SIGSTOP), 0);
    while (!stands_still(stopped))
        sched_yield();
}

/* MariaDB neither answers nor refuses: what is in hand and what waits comes back as not written,
 * soon. */
static void test_stop_gives_up_on_a_silent_server(void **state)
{
    struct bench *b = *state;
    struct commit_row rows[3];
    struct commit_batch batch[3];
    struct sql_conf impatient = ledger.db.conf;
    impatient.timeout_ms = 1000;
    start(b, 1, &impatient);
    for (unsigned i = 0; i < COUNT(rows); i++) {
        rows[i] = ledger_row(&ledger, "ann");
        batch[i] = batch_of(b, &rows[i], 1);
    }
    committers_submit(b->c, &batch[0]); /* so that it is connected */
    assert_ptr_equal(next_reply(b), &batch[0]);
    stop_server();
    int64_t started_us = clock_mono_us();
    committers_submit(b->c, &batch[1]);
    committers_submit(b->c, &batch[2]);
    committers_stop(b->c, 100);
    int64_t took_ms = (clock_mono_us() - started_us) / 1000;
    wake_server(0);
    alarm(0);
    for (int i = 0; i < 2; i++)
        assert_int_equal(next_reply(b)->rows->outcome, ST_UNAVAILABLE);
    if (took_ms > 8000)
        fail_msg("giving up took %lld ms", (long long)took_ms);
    assert_int_equal(ledger_orders(&ledger), 1);
    assert_int_equal(ledger_held(&ledger, 1, 0), 1);
}

/* Nobody listens, then somebody does: the group in hand is tried until it is written. */
static void test_group_outlasts_an_outage(void **state)
{
    struct bench *b = *state;
    struct commit_row row = ledger_row(&ledger, "ann");
    struct commit_batch batch = batch_of(b, &row, 1);
    char moved[128], address[160];
    snprintf(moved, sizeof(moved), "/tmp/committer_test_%d.sock", (int)getpid());
    snprintf(address, sizeof(address), "unix:%s", moved);
    struct sql_conf elsewhere = ledger.db.conf;
    elsewhere.address = address;
    start(b, 1, &elsewhere);
    committers_submit(b->c, &batch);
    assert_null(queue_wait(b->replies, 150)); /* at least one try fails: nothing is there yet */
    assert_int_equal(symlink(ledger.db.conf.address + strlen("unix:"), moved), 0);
    struct commit_batch *back = next_reply(b);
    unlink(moved);
    assert_ptr_equal(back, &batch);
    assert_int_equal(row.outcome, ST_OK);
    assert_int_equal(ledger_orders(&ledger), 1);
}

/* --- several committers
 * --------------------------------------------------------------------------- */

/* Many groups over many items in changing order: locks are taken in one order or a deadlock is run
 * again; either way nothing is lost and nothing counted twice. */
static void test_several_committers_lose_no_deadlock(void **state)
{
    enum { ITEMS = 12, BATCHES = 200, ROWS = ITEMS };
    static struct commit_row rows[BATCHES][ROWS];
    static struct commit_batch batch[BATCHES];
    struct bench *b = *state;
    for (unsigned i = 0; i < ITEMS; i++) {
        char text[160];
        snprintf(text, sizeof(text),
                 "REPLACE INTO shard_stock (item, shard, epoch, allocated, held, added) "
                 "VALUES (%u, 0, 7, 100000, 0, 100000)",
                 100 + i);
        fixture_exec(ledger.beside, text);
    }
    start(b, 4, &ledger.db.conf);
    for (unsigned i = 0; i < BATCHES; i++) {
        for (unsigned k = 0; k < ROWS; k++) {
            rows[i][k] = ledger_row(&ledger, "ann");
            rows[i][k].item = 100 + (i * 7 + (i % 2 ? k : ROWS - 1 - k)) % ITEMS;
            if (i % 10 == 9 && k == 0) /* a duplicate makes the group a careful one */
                memcpy(rows[i][k].key, rows[i - 1][k].key, sizeof(rows[i][k].key));
        }
        batch[i] = batch_of(b, rows[i], ROWS);
        committers_submit(b->c, &batch[i]);
    }
    unsigned durable = 0, duplicate = 0;
    for (unsigned i = 0; i < BATCHES; i++) {
        const struct commit_batch *back = next_reply(b);
        for (unsigned k = 0; k < ROWS; k++) {
            durable += back->rows[k].outcome == ST_OK;
            duplicate += back->rows[k].outcome == ST_DUPLICATE;
        }
    }
    assert_int_equal(duplicate, BATCHES / 10);
    assert_int_equal(durable, BATCHES * ROWS - duplicate);
    assert_int_equal(ledger_orders(&ledger), durable);
    assert_int_equal(ledger_ask(&ledger, "SELECT CAST(SUM(held) AS INTEGER) FROM shard_stock"),
                     durable);
    assert_int_equal(ledger_ask(&ledger, "SELECT COUNT(*) FROM shard_stock s WHERE held <> (SELECT "
                                         "COALESCE(CAST(SUM(qty) AS INTEGER), 0) FROM orders o "
                                         "WHERE o.item = s.item AND o.shard = s.shard)"),
                     0);
}

#define TEST(f) cmocka_unit_test_setup_teardown(f, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(test_batches_come_back_exactly_once),
        TEST(test_groups_gather),
        TEST(test_a_mixed_group_is_settled_row_by_row),
        TEST(test_hopeless_row_is_given_up),
        TEST(test_r9_room_is_bounded),
        TEST(test_room_of_many_threads_adds_up),
        TEST(test_stop_finishes_what_was_submitted),
        TEST(test_submit_after_stop_comes_back_unwritten),
        TEST(test_stop_gives_up_on_a_silent_server),
        TEST(test_group_outlasts_an_outage),
        TEST(test_several_committers_lose_no_deadlock),
    };
    return cmocka_run_group_tests(tests, setup_group, teardown_group);
}
