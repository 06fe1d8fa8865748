#include "net/listen_set.h"

#include "net/http_server.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static char error[300];

static void test_tcp_has_a_socket_for_each_loop(void **state)
{
    struct listen_set set, second;
    char text[LISTEN_ADDRESS_MAX];
    assert_int_equal(listen_set_open(&set, "127.0.0.1:0", 3, error, sizeof(error)), ST_OK);
    assert_int_equal(set.n, 3);
    for (unsigned i = 0; i < 3; i++) {
        assert_true(http_bound_address(set.fd[i], text, sizeof(text)));
        assert_string_equal(text, set.address);
    }
    /* SO_REUSEPORT would let it in. */
    assert_int_equal(listen_set_open(&second, set.address, 1, error, sizeof(error)),
                     ST_UNAVAILABLE);
    assert_int_equal(second.n, 0);
    listen_set_close(&set);
    assert_int_equal(set.n, 0);
}

static void test_a_unix_path_has_one(void **state)
{
    struct listen_set set;
    char address[] = "unix:/tmp/snapup-listen-set-XXXXXX", text[LISTEN_ADDRESS_MAX];
    int fd = mkstemp(address + 5);
    assert_true(fd >= 0);
    close(fd);
    unlink(address + 5);
    assert_int_equal(listen_set_open(&set, address, 3, error, sizeof(error)), ST_OK);
    assert_int_equal(set.n, 1);
    assert_string_equal(set.address, address);
    assert_true(http_bound_address(set.fd[0], text, sizeof(text)));
    assert_string_equal(text, address);
    listen_set_close(&set);
    unlink(address + 5);
}

/* As systemd passes it: blocking and inheritable. The kernel finds its address. */
static int given_socket(bool listening)
{
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_true(fd >= 0);
    if (listening)
        assert_int_equal(listen(fd, 1), 0);
    return fd;
}

static void test_given_sockets_are_set_up(void **state)
{
    struct listen_set set;
    const int fds[] = {given_socket(true), given_socket(true)};
    assert_int_equal(listen_set_adopt(&set, fds, 2, error, sizeof(error)), ST_OK);
    assert_int_equal(set.n, 2);
    for (unsigned i = 0; i < 2; i++) {
        assert_true(fcntl(fds[i], F_GETFL) & O_NONBLOCK);
        assert_true(fcntl(fds[i], F_GETFD) & FD_CLOEXEC);
    }
    listen_set_close(&set);
}

static void test_others_are_refused(void **state)
{
    enum { TOO_MANY = LISTEN_MAX + 1 };
    struct listen_set set;
    int many[TOO_MANY];
    for (unsigned i = 0; i < TOO_MANY; i++)
        many[i] = given_socket(true);
    const int deaf[] = {given_socket(true), given_socket(false)};
    const int datagram[] = {socket(AF_INET, SOCK_DGRAM, 0)};
    const int no_socket[] = {open("/dev/null", O_RDONLY)};
    const struct {
        const int *fds;
        unsigned n;
    } rows[] = {{many, TOO_MANY}, {deaf, 2}, {datagram, 1}, {no_socket, 1}};
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        assert_int_equal(listen_set_adopt(&set, rows[i].fds, rows[i].n, error, sizeof(error)),
                         ST_INVALID_REQUEST);
        assert_int_equal(set.n, 0);
        for (unsigned k = 0; k < rows[i].n; k++)
            assert_int_equal(fcntl(rows[i].fds[k], F_GETFD), -1); /* closed */
    }
}

/* Whatever the numbers, every loop has a socket and every socket a loop. */
static void test_places_reach_all(void **state)
{
    for (unsigned sockets = 1; sockets <= 9; sockets++) {
        for (unsigned loops = 1; loops <= 9; loops++) {
            struct listen_set set = {.n = sockets};
            unsigned seen_sockets = 0, seen_loops = 0;
            for (unsigned i = 0; i < listen_set_places(&set, loops); i++) {
                seen_loops |= 1u << i % loops;
                seen_sockets |= 1u << i % sockets;
            }
            assert_int_equal(seen_loops, (1u << loops) - 1);
            assert_int_equal(seen_sockets, (1u << sockets) - 1);
        }
    }
}

static void test_duplicates_are_of_the_same_socket(void **state)
{
    struct listen_set set;
    char text[LISTEN_ADDRESS_MAX];
    assert_int_equal(listen_set_open(&set, "127.0.0.1:0", 1, error, sizeof(error)), ST_OK);
    int fd = listen_set_dup(&set, 5);
    assert_true(fd >= 0 && fd != set.fd[0]);
    listen_set_close(&set);
    assert_true(http_bound_address(fd, text, sizeof(text)));
    assert_string_equal(text, set.address);
    close(fd);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_tcp_has_a_socket_for_each_loop),
        cmocka_unit_test(test_a_unix_path_has_one),
        cmocka_unit_test(test_given_sockets_are_set_up),
        cmocka_unit_test(test_others_are_refused),
        cmocka_unit_test(test_places_reach_all),
        cmocka_unit_test(test_duplicates_are_of_the_same_socket),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
