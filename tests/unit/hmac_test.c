/* hmac_test.c - RFC 4231 and RFC 7515 vectors, and the strictness of the text forms. */
#include "base/hmac.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

static struct str bytes(const void *p, size_t n)
{
    return (struct str){p, n};
}

static struct str mac_hex(struct str secret, struct str data, char hex[2 * SHA256_LEN])
{
    struct hmac_key *key = NULL;
    uint8_t mac[SHA256_LEN];
    assert_int_equal(hmac_key_create(secret, &key), ST_OK);
    hmac_sha256(key, data, mac);
    hmac_key_destroy(&key);
    assert_null(key);
    return (struct str){hex, hex_encode(bytes(mac, sizeof(mac)), hex)};
}

static void assert_str(struct str got, struct str want)
{
    if (!str_equal(got, want))
        fail_msg("got '%.*s', want '%.*s'", (int)got.n, got.p, (int)want.n, want.p);
}

#define X20(c)  c c c c c c c c c c c c c c c c c c c c
#define X50(c)  X20(c) X20(c) c c c c c c c c c c
#define X131(c) X50(c) X50(c) X20(c) c c c c c c c c c c c

/* RFC 4231 sections 4.2 to 4.8; the fifth is cut to 128 bits there. */
static void test_rfc4231(void **state)
{
    static const struct {
        struct str key, data, mac;
    } cases[] = {
        {STR(X20("\x0b")), STR("Hi There"),
         STR("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7")},
        {STR("Jefe"), STR("what do ya want for nothing?"),
         STR("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843")},
        {STR(X20("\xaa")), STR(X50("\xdd")),
         STR("773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe")},
        {STR("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f\x10\x11\x12\x13\x14\x15"
             "\x16\x17\x18\x19"),
         STR(X50("\xcd")), STR("82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b")},
        {STR(X20("\x0c")), STR("Test With Truncation"), STR("a3b6167473100ee06e0c796c2955552b")},
        {STR(X131("\xaa")), STR("Test Using Larger Than Block-Size Key - Hash Key First"),
         STR("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54")},
        {STR(X131("\xaa")),
         STR("This is a test using a larger than block-size key and a larger than block-size data. "
             "The key needs to be hashed before being used by the HMAC algorithm."),
         STR("9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2")},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char hex[2 * SHA256_LEN];
        struct str got = mac_hex(cases[i].key, cases[i].data, hex);
        got.n = cases[i].mac.n;
        assert_str(got, cases[i].mac);
    }
}

/* RFC 7515 appendix A.1: key, signing input and signature in their text forms. */
static void test_rfc7515(void **state)
{
    struct str key_text = STR(
        "AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0iPS4hcgUuTwjAzZr1Z9CAow");
    struct str input = STR("eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiJ9"
                           ".eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFt"
                           "cGxlLmNvbS9pc19yb290Ijp0cnVlfQ");
    uint8_t secret[64], mac[SHA256_LEN];
    char text[48];
    struct hmac_key *key = NULL;
    assert_int_equal(base64url_decode(key_text, secret, sizeof(secret)), 64);
    assert_int_equal(hmac_key_create(bytes(secret, sizeof(secret)), &key), ST_OK);
    hmac_sha256(key, input, mac);
    size_t n = base64url_encode(bytes(mac, sizeof(mac)), text);
    assert_str(bytes(text, n), STR("dBjftJeZ4CVP-mB92K27uhbUJU1p1r_wW1gFWFOEjXk"));
    hmac_key_destroy(&key);
}

static void test_two_parts_are_one_text(void **state)
{
    char text[200];
    uint8_t whole[SHA256_LEN], parts[SHA256_LEN];
    struct hmac_key *key = NULL;
    memset(text, 'x', sizeof(text));
    assert_int_equal(hmac_key_create(STR("k"), &key), ST_OK);
    hmac_sha256(key, bytes(text, sizeof(text)), whole);
    for (size_t cut = 0; cut <= sizeof(text); cut++) {
        hmac_sha256_2(key, bytes(text, cut), bytes(text + cut, sizeof(text) - cut), parts);
        assert_memory_equal(parts, whole, SHA256_LEN);
    }
    hmac_key_destroy(&key);
}

/* RFC 2104: a key longer than a block stands for its digest, one of a block for itself. */
static void test_length_of_key(void **state)
{
    static const char secret[66] = {'k'};
    uint8_t digest[SHA256_LEN];
    char whole[2 * SHA256_LEN], hashed[2 * SHA256_LEN];
    for (size_t n = 64; n <= 66; n++) {
        sha256(bytes(secret, n), digest);
        mac_hex(bytes(secret, n), STR("data"), whole);
        mac_hex(bytes(digest, sizeof(digest)), STR("data"), hashed);
        assert_int_equal(memcmp(whole, hashed, sizeof(whole)) == 0, n > 64);
    }
}

static void test_empty_secret_is_refused(void **state)
{
    struct hmac_key *key = NULL;
    assert_int_equal(hmac_key_create(STR(""), &key), ST_INVALID_REQUEST);
    assert_null(key);
    hmac_key_destroy(&key);
}

static void test_sha256(void **state)
{
    uint8_t digest[SHA256_LEN];
    char hex[2 * SHA256_LEN];
    sha256(STR("abc"), digest);
    hex_encode(bytes(digest, sizeof(digest)), hex);
    assert_str(bytes(hex, sizeof(hex)),
               STR("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"));
    sha256((struct str){0}, digest);
    hex_encode(bytes(digest, sizeof(digest)), hex);
    assert_str(bytes(hex, sizeof(hex)),
               STR("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"));
}

static void test_equal(void **state)
{
    assert_true(bytes_equal_ct("same", "same", 4));
    assert_false(bytes_equal_ct("same", "sane", 4));
    assert_true(bytes_equal_ct("a", "b", 0));
}

static void test_base64url(void **state)
{
    static const struct {
        struct str plain, text;
    } good[] = {
        {STR(""), STR("")},
        {STR("f"), STR("Zg")},
        {STR("fo"), STR("Zm8")},
        {STR("foo"), STR("Zm9v")},
        {STR("foob"), STR("Zm9vYg")},
        {STR("fooba"), STR("Zm9vYmE")},
        {STR("\0"), STR("AA")},
        {STR("foobar"), STR("Zm9vYmFy")},
        {STR("\xfb\xff"), STR("-_8")},
        {STR("\xff\xff\xff"), STR("____")},
    };
    for (size_t i = 0; i < sizeof(good) / sizeof(good[0]); i++) {
        char text[16];
        uint8_t plain[16];
        assert_str(bytes(text, base64url_encode(good[i].plain, text)), good[i].text);
        long n = base64url_decode(good[i].text, plain, good[i].plain.n);
        assert_int_equal(n, (long)good[i].plain.n);
        assert_memory_equal(plain, good[i].plain.p, good[i].plain.n);
        if (good[i].plain.n)
            assert_int_equal(base64url_decode(good[i].text, plain, good[i].plain.n - 1), -1);
    }
    static const struct str bad[] = {
        STR("Z"),   STR("Zm9vY"), STR("Zg=="),         STR("Zm8="),  STR("Zh"),
        STR("Zm9"), STR("Zm9v "), STR("Zm 9v"),        STR("Zm9\n"), STR("+_8"),
        STR("-/8"), STR("Zm\0v"), STR("Zm9v\xc3\xa9"), STR("===="),  STR("Zm9v."),
        STR("Z="),  STR("Zm="),   STR("Zg\0"),
    };
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        uint8_t plain[16];
        if (base64url_decode(bad[i], plain, sizeof(plain)) != -1)
            fail_msg("'%s' was taken", bad[i].p);
    }
}

/* What follows the text must not complete it. */
static void test_base64url_ends_with_its_text(void **state)
{
    uint8_t plain[16];
    assert_int_equal(base64url_decode(bytes("Zm9vYA", 6), plain, sizeof(plain)), 4);
    assert_int_equal(base64url_decode(bytes("Zm9vYA", 5), plain, sizeof(plain)), -1);
    assert_int_equal(base64url_decode(bytes("ZmAA", 3), plain, sizeof(plain)), 2);
    assert_int_equal(base64url_decode(bytes("ZmAA", 2), plain, sizeof(plain)), -1);
}

/* Every byte, in every place of a group, stands for itself or for nothing. */
static void test_base64url_alphabet(void **state)
{
    static const char alphabet[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";
    for (int c = 0; c < 256; c++) {
        const char *at = c ? strchr(alphabet, c) : NULL;
        for (unsigned place = 0; place < 4; place++) {
            char text[4] = {'A', 'A', 'A', 'A'};
            uint8_t out[3];
            text[place] = (char)c;
            assert_int_equal(base64url_decode(bytes(text, 4), out, 3), at ? 3 : -1);
            if (!at)
                continue;
            unsigned got = (unsigned)out[0] << 16 | (unsigned)out[1] << 8 | out[2];
            assert_int_equal(got, (unsigned)(at - alphabet) << (18 - 6 * place));
        }
    }
}

static void test_hex(void **state)
{
    char hex[8];
    uint8_t out[4];
    assert_str(bytes(hex, hex_encode(STR("\x00\x9f\xa0\xff"), hex)), STR("009fa0ff"));
    assert_true(hex_decode(STR("009fA0Ff"), out, 4));
    assert_memory_equal(out, "\x00\x9f\xa0\xff", 4);
    assert_true(hex_decode(STR(""), out, 0));
    static const struct str bad[] = {STR("009fA0F"),  STR("009fA0Ff0"), STR("009fA0Fg"),
                                     STR("009fA0FG"), STR("0x9fA0Ff"),  STR(" 09fA0Ff"),
                                     STR("/09fA0Ff"), STR(":09fA0Ff"),  STR("@09fA0Ff"),
                                     STR("`09fA0Ff"), STR("")};
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(hex_decode(bad[i], out, 4));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_rfc4231),
        cmocka_unit_test(test_rfc7515),
        cmocka_unit_test(test_two_parts_are_one_text),
        cmocka_unit_test(test_length_of_key),
        cmocka_unit_test(test_empty_secret_is_refused),
        cmocka_unit_test(test_sha256),
        cmocka_unit_test(test_equal),
        cmocka_unit_test(test_base64url),
        cmocka_unit_test(test_base64url_ends_with_its_text),
        cmocka_unit_test(test_base64url_alphabet),
        cmocka_unit_test(test_hex),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
