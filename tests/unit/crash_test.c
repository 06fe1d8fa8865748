/* crash_test.c - a point ends or stops the process at the pass that was asked for, and no other does. */
#include "base/crash.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

/* What it prints, and how it ended (waitpid's status). */
struct end {
    char text[128];
    int status;
    pid_t pid;
};

/* A child with this wish passes answer_before, then ack_before three times, then exits with 7. */
static struct end pass_points(const char *wish)
{
    struct end end = {.text = ""};
    int out[2];
    assert_int_equal(pipe(out), 0);
    end.pid = fork();
    if (end.pid == 0) {
        dup2(out[1], STDERR_FILENO);
        close(out[0]);
        close(out[1]);
        if (wish)
            setenv("SNAPUP_CRASH_AT", wish, 1);
        else
            unsetenv("SNAPUP_CRASH_AT");
        crash_pass(CRASH_answer_before);
        for (int i = 0; i < 3; i++)
            crash_pass(CRASH_ack_before);
        _exit(7);
    }
    assert_true(end.pid > 0);
    close(out[1]);
    assert_int_equal(waitpid(end.pid, &end.status, WUNTRACED), end.pid);
    /* A stopped child keeps its end open; what it wrote is there by now. */
    if (!WIFEXITED(end.status) || WEXITSTATUS(end.status) != 7) {
        ssize_t n = read(out[0], end.text, sizeof(end.text) - 1);
        end.text[n > 0 ? n : 0] = '\0';
    }
    close(out[0]);
    return end;
}

static void test_nothing_asked_for(void **state)
{
    struct end end = pass_points(NULL);
    assert_true(WIFEXITED(end.status));
    assert_int_equal(WEXITSTATUS(end.status), 7);
}

static void test_killed(void **state)
{
    static const char *const wishes[] = {"ack_before", "ack_before:1", "ack_before:3"};
    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
        struct end end = pass_points(wishes[i]);
        assert_true(WIFSIGNALED(end.status));
        assert_int_equal(WTERMSIG(end.status), SIGKILL);
        assert_string_equal(end.text, "crash point: ack_before\n");
    }
}

static void test_not_passed_that_often(void **state)
{
    static const char *const wishes[] = {"ack_before:4", "ack_after", "answer_before:2"};
    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
        struct end end = pass_points(wishes[i]);
        assert_true(WIFEXITED(end.status));
        assert_int_equal(WEXITSTATUS(end.status), 7);
    }
}

static void test_stopped_then_goes_on(void **state)
{
    struct end end = pass_points("ack_before:2:stop");
    assert_true(WIFSTOPPED(end.status));
    assert_string_equal(end.text, "crash point: ack_before\n");
    assert_int_equal(kill(end.pid, SIGCONT), 0);
    assert_int_equal(waitpid(end.pid, &end.status, 0), end.pid);
    assert_true(WIFEXITED(end.status));
    assert_int_equal(WEXITSTATUS(end.status), 7);
}

static void test_a_wish_nobody_can_fulfil(void **state)
{
    static const char *const wishes[] = {
        "",   "no_such_point", "ack_before:", "ack_before:0", "ack_before:1:", "ack_before:1:halt",
        "ack"};
    for (size_t i = 0; i < sizeof(wishes) / sizeof(wishes[0]); i++) {
        struct end end = pass_points(wishes[i]);
        assert_true(WIFSIGNALED(end.status));
        assert_int_equal(WTERMSIG(end.status), SIGABRT);
        assert_non_null(strstr(end.text, "not name[:n[:stop]]"));
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nothing_asked_for),
        cmocka_unit_test(test_killed),
        cmocka_unit_test(test_not_passed_that_often),
        cmocka_unit_test(test_stopped_then_goes_on),
        cmocka_unit_test(test_a_wish_nobody_can_fulfil),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
