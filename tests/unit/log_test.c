#include "base/log.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <jansson.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* A log into a file without a name. */
struct target {
    int fd;
    struct log *lg;
};

static struct target open_log(enum log_level level)
{
    struct target t = {.fd = open("/tmp", O_TMPFILE | O_RDWR, 0600)};
    assert_true(t.fd >= 0);
    assert_int_equal(log_create(t.fd, level, &t.lg), ST_OK);
    return t;
}

/* Ends the log and returns what it wrote, NUL-terminated; the caller frees it. */
static char *close_log(struct target *t)
{
    log_destroy(&t->lg);
    assert_null(t->lg);
    off_t n = lseek(t->fd, 0, SEEK_END);
    assert_true(n >= 0);
    char *text = calloc(1, (size_t)n + 1);
    assert_non_null(text);
    assert_int_equal(pread(t->fd, text, (size_t)n, 0), n);
    close(t->fd);
    return text;
}

/* The next line as an object; moves *at past it. NULL at the end. */
static json_t *next_line(char **at)
{
    if (!**at)
        return NULL;
    char *end = strchr(*at, '\n');
    assert_non_null(end);
    json_t *line = json_loadb(*at, (size_t)(end - *at), JSON_REJECT_DUPLICATES, NULL);
    if (!line)
        fail_msg("no JSON: %.200s", *at);
    *at = end + 1;
    return line;
}

static const char *text_of(const json_t *line, const char *key)
{
    return json_string_value(json_object_get(line, key));
}

static void test_a_line(void **state)
{
    struct target t = open_log(LOG_INFO);
    LOG_RQ(t.lg, LOG_WARN, "order_refused", STR("req_1"), LF_STR("sku", STR("a\"b\n")),
           LF_Z("why", "sold out"), LF_INT("left", -3), LF_Z("none", NULL));
    LOG(t.lg, LOG_INFO, "started");
    char *text = close_log(&t);
    char *at = text;
    json_t *line = next_line(&at);
    assert_int_equal(strlen(text_of(line, "ts")), 24);
    assert_string_equal(text_of(line, "level"), "warn");
    assert_string_equal(text_of(line, "event"), "order_refused");
    assert_string_equal(text_of(line, "request_id"), "req_1");
    assert_string_equal(text_of(line, "sku"), "a\"b\n");
    assert_string_equal(text_of(line, "why"), "sold out");
    assert_string_equal(text_of(line, "none"), "");
    assert_int_equal(json_integer_value(json_object_get(line, "left")), -3);
    assert_int_equal(json_object_size(line), 8);
    json_decref(line);
    line = next_line(&at);
    assert_int_equal(json_object_size(line), 3);
    json_decref(line);
    assert_null(next_line(&at));
    free(text);
}

static void test_levels(void **state)
{
    enum log_level level = LOG_ERROR;
    assert_true(log_level_parse("debug", &level));
    assert_int_equal(level, LOG_DEBUG);
    assert_true(log_level_parse("error", &level));
    assert_int_equal(level, LOG_ERROR);
    assert_false(log_level_parse("Debug", &level));
    assert_false(log_level_parse("", &level));
    assert_int_equal(level, LOG_ERROR);
    struct target t = open_log(LOG_WARN);
    LOG(t.lg, LOG_INFO, "below");
    LOG(t.lg, LOG_WARN, "at");
    LOG(t.lg, LOG_ERROR, "above");
    log_set_level(t.lg, LOG_DEBUG);
    LOG(t.lg, LOG_DEBUG, "lowered");
    char *text = close_log(&t);
    char *at = text;
    static const char *const events[] = {"at", "above", "lowered"};
    for (size_t i = 0; i < 3; i++) {
        json_t *line = next_line(&at);
        assert_string_equal(text_of(line, "event"), events[i]);
        json_decref(line);
    }
    assert_null(next_line(&at));
    free(text);
}

static void test_long_fields_are_left_out(void **state)
{
    static char big[5000];
    memset(big, 'x', sizeof(big));
    struct target t = open_log(LOG_INFO);
    /* Every length around the limit gives a whole line; 2000 quotes grow to 4000 bytes. */
    for (size_t n = 3900; n <= 4100; n++)
        LOG(t.lg, LOG_INFO, "e", LF_STR("big", ((struct str){big, n})), LF_INT("after", 1));
    memset(big, '"', 2100);
    LOG_RQ(t.lg, LOG_INFO, "e", ((struct str){big, 5000}), LF_STR("big", ((struct str){big, 2100})),
           LF_INT("after", 1));
    char *text = close_log(&t);
    char *at = text;
    unsigned whole = 0;
    for (size_t n = 3900; n <= 4100; n++) {
        char *start = at;
        json_t *line = next_line(&at);
        assert_true(at - start <= 4096);
        const char *field = text_of(line, "big");
        long long cut = json_integer_value(json_object_get(line, "cut"));
        whole += field != NULL;
        if (field && strlen(field) != n)
            fail_msg("%zu bytes came out as %zu", n, strlen(field));
        assert_true((field == NULL) + (json_object_get(line, "after") == NULL) == cut);
        json_decref(line);
    }
    assert_true(whole > 50 && whole < 150);
    json_t *line = next_line(&at);
    assert_int_equal(json_integer_value(json_object_get(line, "cut")), 2);
    assert_int_equal(json_integer_value(json_object_get(line, "after")), 1);
    assert_null(text_of(line, "request_id"));
    json_decref(line);
    free(text);
}

static void test_bad_utf8_does_not_spoil_the_line(void **state)
{
    struct target t = open_log(LOG_INFO);
    LOG(t.lg, LOG_INFO, "e", LF_Z("good", "\xe6\x8a\xa2"), LF_Z("bad", "a\xff\xc0z"));
    char *text = close_log(&t);
    char *at = text;
    json_t *line = next_line(&at);
    assert_string_equal(text_of(line, "good"), "\xe6\x8a\xa2");
    assert_string_equal(text_of(line, "bad"), "a??z");
    json_decref(line);
    free(text);
}

static void test_null_log(void **state)
{
    struct log *lg = NULL;
    LOG(lg, LOG_ERROR, "nothing", LF_INT("x", 1));
    log_set_level(lg, LOG_INFO);
    assert_true(log_dropped(lg) == 0);
    log_destroy(&lg);
}

static void *drain(void *arg)
{
    char piece[65536];
    long long lines = 0;
    ssize_t n;
    while ((n = read(*(int *)arg, piece, sizeof(piece))) > 0) {
        for (ssize_t i = 0; i < n; i++)
            lines += piece[i] == '\n';
    }
    return (void *)(intptr_t)lines;
}

/* A reader that does not read must not hold up whoever logs: past the ring, lines are dropped and
 * counted, and none is lost without being counted. */
static void test_full_ring_drops_and_counts(void **state)
{
    enum { LINES = 3000 };
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    struct log *lg = NULL;
    assert_int_equal(log_create(ends[1], LOG_INFO, &lg), ST_OK);
    static char filler[1000];
    memset(filler, 'f', sizeof(filler));
    for (int i = 0; i < LINES; i++)
        LOG(lg, LOG_INFO, "flood", LF_STR("f", ((struct str){filler, sizeof(filler)})));
    uint64_t dropped = log_dropped(lg);
    assert_true(dropped > LINES / 2 && dropped < LINES);
    pthread_t reader;
    assert_int_equal(pthread_create(&reader, NULL, drain, &ends[0]), 0);
    log_destroy(&lg);
    close(ends[1]);
    void *lines = NULL;
    pthread_join(reader, &lines);
    close(ends[0]);
    assert_int_equal((intptr_t)lines + (intptr_t)dropped, LINES);
}

/* A stalled descriptor that does not block cannot hold up the end. */
static void test_end_does_not_wait_for_ever(void **state)
{
    int ends[2];
    assert_int_equal(pipe2(ends, O_NONBLOCK), 0);
    struct log *lg = NULL;
    assert_int_equal(log_create(ends[1], LOG_INFO, &lg), ST_OK);
    static char filler[4000];
    memset(filler, 'f', sizeof(filler));
    for (int i = 0; i < 100; i++)
        LOG(lg, LOG_INFO, "flood", LF_STR("f", ((struct str){filler, sizeof(filler)})));
    log_destroy(&lg);
    close(ends[0]);
    close(ends[1]);
}

static void test_broken_descriptor_drops_and_counts(void **state)
{
    int fd = open("/dev/full", O_WRONLY);
    assert_true(fd >= 0);
    struct log *lg = NULL;
    assert_int_equal(log_create(fd, LOG_INFO, &lg), ST_OK);
    for (int i = 0; i < 100; i++)
        LOG(lg, LOG_INFO, "lost");
    while (log_dropped(lg) < 100)
        sched_yield();
    assert_true(log_dropped(lg) == 100);
    log_destroy(&lg);
    close(fd);
}

enum { WRITERS = 3, PER_WRITER = 1500 };

static void *write_many(void *arg)
{
    for (int i = 0; i < PER_WRITER; i++)
        LOG((struct log *)arg, LOG_INFO, "many", LF_INT("i", i),
            LF_Z("text", "some text to carry"));
    return NULL;
}

/* Lines of several threads stay whole, also where the ring wraps. */
static void test_threads(void **state)
{
    struct target t = open_log(LOG_INFO);
    for (int round = 0; round < 4; round++) {
        pthread_t threads[WRITERS];
        for (int i = 0; i < WRITERS; i++)
            assert_int_equal(pthread_create(&threads[i], NULL, write_many, t.lg), 0);
        for (int i = 0; i < WRITERS; i++)
            pthread_join(threads[i], NULL);
    }
    uint64_t lines = log_dropped(t.lg);
    char *text = close_log(&t);
    char *at = text;
    for (json_t *line; (line = next_line(&at)); lines++) {
        assert_int_equal(json_object_size(line), 5);
        json_decref(line);
    }
    assert_true(at - text > 1 << 20);
    assert_true(lines == 4 * WRITERS * PER_WRITER);
    free(text);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_a_line),
        cmocka_unit_test(test_levels),
        cmocka_unit_test(test_long_fields_are_left_out),
        cmocka_unit_test(test_bad_utf8_does_not_spoil_the_line),
        cmocka_unit_test(test_null_log),
        cmocka_unit_test(test_full_ring_drops_and_counts),
        cmocka_unit_test(test_end_does_not_wait_for_ever),
        cmocka_unit_test(test_broken_descriptor_drops_and_counts),
        cmocka_unit_test(test_threads),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
