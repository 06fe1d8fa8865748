/* seal_test.c - NIST's vector, and that nothing but what was sealed comes out again. */
#include "base/seal.h"

#include "base/hmac.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdlib.h>

static const uint8_t key[SEAL_KEY_LEN] = {1, 2, 3};

static struct str bytes(const void *p, size_t n)
{
    return (struct str){p, n};
}

/* Test case 16 of the GCM submission to NIST (McGrew and Viega, appendix B): 256-bit key with
 * associated data. */
static void test_nist_vector(void **state)
{
    struct str key_hex = STR("feffe9928665731c6d6a8f9467308308feffe9928665731c6d6a8f9467308308");
    struct str name_hex = STR("feedfacedeadbeeffeedfacedeadbeefabaddad2");
    struct str sealed_hex = STR("cafebabefacedbaddecaf888"
                                "522dc1f099567d07f47f37a32a84427d643a8cdcbfe5c0c97598a2bd2555d1aa"
                                "8cb08e48590dbb3da7b08b1056828838c5f61e6393ba7a0abcc9f662"
                                "76fc6ece0f4e1768cddf8853bb2d551b");
    struct str plain_hex = STR("d9313225f88406e5a55909c5aff5269a86a7a9531534f7da2e4c303d8a318a72"
                               "1c3c0c95956809532fcf0e2449a6b525b16aedf5aa0de657ba637b39");
    uint8_t k[SEAL_KEY_LEN], name[20], sealed[60 + SEAL_OVERHEAD], plain[60], out[60];
    assert_true(hex_decode(key_hex, k, sizeof(k)));
    assert_true(hex_decode(name_hex, name, sizeof(name)));
    assert_true(hex_decode(sealed_hex, sealed, sizeof(sealed)));
    assert_true(hex_decode(plain_hex, plain, sizeof(plain)));
    assert_int_equal(unseal(k, bytes(name, sizeof(name)), bytes(sealed, sizeof(sealed)), out),
                     ST_OK);
    assert_memory_equal(out, plain, sizeof(plain));
}

static void test_round_trip(void **state)
{
    char secret[300];
    memset(secret, 's', sizeof(secret));
    for (size_t n = 0; n <= sizeof(secret); n++) {
        uint8_t *sealed = malloc(n + SEAL_OVERHEAD), *out = malloc(n + 1);
        struct str name = bytes(secret, n % 65);
        assert_int_equal(seal(key, name, bytes(secret, n), sealed), ST_OK);
        assert_int_equal(unseal(key, name, bytes(sealed, n + SEAL_OVERHEAD), out), ST_OK);
        assert_memory_equal(out, secret, n);
        free(sealed);
        free(out);
    }
}

static void test_nothing_to_seal(void **state)
{
    uint8_t sealed[SEAL_OVERHEAD], out[1];
    struct str none = {NULL, 0};
    assert_int_equal(seal(key, none, none, sealed), ST_OK);
    assert_int_equal(unseal(key, none, bytes(sealed, sizeof(sealed)), out), ST_OK);
    assert_int_equal(unseal(key, STR("x"), bytes(sealed, sizeof(sealed)), out), ST_BAD_SIGNATURE);
}

static void test_each_nonce_is_new(void **state)
{
    uint8_t a[3 + SEAL_OVERHEAD] = {0}, b[3 + SEAL_OVERHEAD] = {0};
    assert_int_equal(seal(key, STR("demo"), STR("abc"), a), ST_OK);
    assert_int_equal(seal(key, STR("demo"), STR("abc"), b), ST_OK);
    assert_memory_not_equal(a, b, 12);
    assert_memory_not_equal(a + 12, b + 12, 3);
}

/* Whoever is refused gets no plain text either. */
static void assert_refused(const uint8_t k[SEAL_KEY_LEN], struct str name, struct str sealed)
{
    uint8_t out[64] = {0};
    static const uint8_t zeros[64];
    assert_int_equal(unseal(k, name, sealed, out), ST_BAD_SIGNATURE);
    assert_memory_equal(out, zeros, sizeof(out));
}

static void test_refused(void **state)
{
    static const uint8_t other_key[SEAL_KEY_LEN] = {1, 2, 4};
    uint8_t sealed[19 + SEAL_OVERHEAD + 1] = {0};
    size_t n = sizeof(sealed) - 1;
    assert_int_equal(seal(key, STR("demo"), STR("demo-signing-secret"), sealed), ST_OK);

    assert_refused(other_key, STR("demo"), bytes(sealed, n));
    assert_refused(key, STR("demp"), bytes(sealed, n));
    assert_refused(key, STR("demo2"), bytes(sealed, n));
    assert_refused(key, STR(""), bytes(sealed, n));
    assert_refused(key, STR("demo"), bytes(sealed, n + 1));
    for (size_t cut = 0; cut < n; cut++)
        assert_refused(key, STR("demo"), bytes(sealed, cut));
    for (size_t bit = 0; bit < 8 * n; bit++) {
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
        assert_refused(key, STR("demo"), bytes(sealed, n));
        sealed[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_nist_vector),     cmocka_unit_test(test_round_trip),
        cmocka_unit_test(test_nothing_to_seal), cmocka_unit_test(test_each_nonce_is_new),
        cmocka_unit_test(test_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
