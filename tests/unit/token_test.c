/* token_test.c - which tokens let a shopper in, which do not, and what they are told. */
#include "base/token.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <stdio.h>
#include <stdlib.h>

enum { NOW_S = 1700000000 };

#define HEADER "{\"alg\":\"HS256\",\"typ\":\"JWT\",\"kid\":\"demo\"}"
#define CLAIMS "{\"sub\":\"s-1\",\"iat\":1700000000,\"exp\":1700003600}"
/* HEADER and CLAIMS under demo-signing-secret, made with Python's hmac and base64. */
#define HEADER_TEXT "eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCIsImtpZCI6ImRlbW8ifQ"
#define CLAIMS_TEXT "eyJzdWIiOiJzLTEiLCJpYXQiOjE3MDAwMDAwMDAsImV4cCI6MTcwMDAwMzYwMH0"
#define MAC_TEXT    "QLukX8TAv5wgJVo9fZhj5YnR0-EH8zOLLjSdpHzhCI8"
#define TOKEN       HEADER_TEXT "." CLAIMS_TEXT "." MAC_TEXT

#define X8(c)  c c c c c c c c
#define X64(c) X8(X8(c))

/* Two storefronts' keys, and the one of RFC 7515 A.1. */
struct ring {
    struct token_key keys[3];
};

static const struct token_key *find_key(void *arg, struct str kid)
{
    struct ring *ring = arg;
    for (size_t i = 0; i < 3; i++)
        if (str_equal(str_from(ring->keys[i].kid), kid))
            return &ring->keys[i];
    return NULL;
}

static int make_ring(void **state)
{
    static struct ring ring;
    uint8_t rfc[64];
    long n = base64url_decode(STR("AyM1SysPpbyDfgZld3umj1qzKObwVMkoqQ-EstJQLr_T-1qS0gZH75aKtMN3Yj0i"
                                  "PS4hcgUuTwjAzZr1Z9CAow"),
                              rfc, sizeof(rfc));
    ring = (struct ring){{{"demo", 7, NULL}, {"other", 8, NULL}, {"rfc7515", 9, NULL}}};
    *state = &ring;
    return n != 64 || hmac_key_create(STR("demo-signing-secret"), &ring.keys[0].secret) != ST_OK ||
           hmac_key_create(STR("other-secret"), &ring.keys[1].secret) != ST_OK ||
           hmac_key_create((struct str){(const char *)rfc, 64}, &ring.keys[2].secret) != ST_OK;
}

static int drop_ring(void **state)
{
    struct ring *ring = *state;
    for (size_t i = 0; i < 3; i++)
        hmac_key_destroy(&ring->keys[i].secret);
    return 0;
}

/* Header and claims, whatever they are, rightly signed. Returns the length. */
static size_t sign(const struct ring *ring, struct str header, struct str claims, char *out)
{
    uint8_t mac[SHA256_LEN];
    size_t n = base64url_encode(header, out);
    out[n++] = '.';
    n += base64url_encode(claims, out + n);
    hmac_sha256(ring->keys[0].secret, (struct str){out, n}, mac);
    out[n++] = '.';
    return n + base64url_encode((struct str){(const char *)mac, SHA256_LEN}, out + n);
}

/* Verifies a copy without room to spare and checks that claims stay untouched when it is refused.
 */
static enum status verify(struct ring *ring, struct str token, struct token_claims *claims,
                          const char **why)
{
    struct token_claims before;
    char *copy = malloc(token.n ? token.n : 1);
    memcpy(copy, token.p, token.n);
    memset(claims, 0xa5, sizeof(*claims));
    before = *claims;
    *why = NULL;
    enum status st = token_verify((struct str){copy, token.n}, NOW_S, find_key, ring, claims, why);
    free(copy);
    assert_int_equal(st == ST_OK, *why == NULL);
    if (st != ST_OK) {
        assert_int_equal(st, ST_UNAUTHENTICATED);
        assert_memory_equal(claims, &before, sizeof(before));
    }
    return st;
}

static void test_good(void **state)
{
    struct token_claims claims;
    const char *why;
    assert_int_equal(verify(*state, STR(TOKEN), &claims, &why), ST_OK);
    assert_string_equal(claims.sub, "s-1");
    assert_int_equal(claims.sub_len, 3);
    assert_int_equal(claims.storefront_no, 7);
    assert_int_equal(claims.exp_s, 1700003600);
}

/* The token of RFC 7515 A.1 with a kid and a sub, under its key: white space and CRLF inside. */
static void test_rfc7515_style(void **state)
{
    static const struct str token = STR(
        "eyJ0eXAiOiJKV1QiLA0KICJhbGciOiJIUzI1NiIsImtpZCI6InJmYzc1MTUifQ."
        "eyJpc3MiOiJqb2UiLA0KICJleHAiOjEzMDA4MTkzODAsDQogImh0dHA6Ly9leGFtcGxlLmNvbS9pc19yb290Ijp0"
        "cnVlLCJzdWIiOiJzaG9wcGVyLTEifQ.a8ORQrVmp794UL9LIXbqSi99Rr9_Ic7aJjd1KgJHyKk");
    struct token_claims claims;
    const char *why = NULL;
    assert_int_equal(token_verify(token, 1300819379, find_key, *state, &claims, &why), ST_OK);
    assert_string_equal(claims.sub, "shopper-1");
    assert_int_equal(claims.storefront_no, 9);
    assert_int_equal(token_verify(token, 1300819380, find_key, *state, &claims, &why),
                     ST_UNAUTHENTICATED);
    assert_string_equal(why, "The token has expired.");
}

static const struct {
    struct str token;
    const char *why;
} mangled[] = {
    {STR(""), "three parts"},
    {STR("."), "three parts"},
    {STR(HEADER_TEXT), "three parts"},
    {STR(HEADER_TEXT "." CLAIMS_TEXT), "three parts"},
    {STR(".."), "header"},
    {STR("..."), "header"},
    {STR("." CLAIMS_TEXT "." MAC_TEXT), "header"},
    {STR(HEADER_TEXT ".." MAC_TEXT), "does not match"},
    {STR(HEADER_TEXT "." CLAIMS_TEXT "."), "32 bytes"},
    {STR(TOKEN "."), "32 bytes"},
    {STR(TOKEN ".x"), "32 bytes"},
    {STR("x." TOKEN), "base64url"},
    {STR(HEADER_TEXT "." CLAIMS_TEXT "." MAC_TEXT "=="), "32 bytes"},
    {STR(HEADER_TEXT "." CLAIMS_TEXT "." MAC_TEXT "A"), "32 bytes"},
    {STR(HEADER_TEXT "." CLAIMS_TEXT ".QLukX8TAv5wgJVo9fZhj5YnR0-EH8zOLLjSdpHzhCI"), "32 bytes"},
    /* the last digit's stray bits set: 8 -> 9 */
    {STR(HEADER_TEXT "." CLAIMS_TEXT ".QLukX8TAv5wgJVo9fZhj5YnR0-EH8zOLLjSdpHzhCI9"), "32 bytes"},
    {STR(HEADER_TEXT "." CLAIMS_TEXT ".QLukX8TAv5wgJVo9fZhj5YnR0+EH8zOLLjSdpHzhCI8"), "32 bytes"},
    {STR(HEADER_TEXT "." CLAIMS_TEXT ".RLukX8TAv5wgJVo9fZhj5YnR0-EH8zOLLjSdpHzhCI8"), "match"},
    {STR(HEADER_TEXT "." CLAIMS_TEXT ".QLukX8TAv5wgJVo9fZhj5YnR0-EH8zOLLjSdpHzhCI4"), "match"},
    {STR(HEADER_TEXT "=." CLAIMS_TEXT "." MAC_TEXT), "base64url"},
    {STR(HEADER_TEXT " ." CLAIMS_TEXT "." MAC_TEXT), "base64url"},
    {STR(" " TOKEN), "base64url"},
    {STR(HEADER_TEXT "." CLAIMS_TEXT "=." MAC_TEXT), "does not match"},
    {STR(HEADER_TEXT "." CLAIMS_TEXT "A." MAC_TEXT), "does not match"},
    {STR(HEADER_TEXT "." HEADER_TEXT "." MAC_TEXT), "does not match"},
    {STR(CLAIMS_TEXT "." CLAIMS_TEXT "." MAC_TEXT), "header"},
};

static void test_mangled(void **state)
{
    for (size_t i = 0; i < sizeof(mangled) / sizeof(mangled[0]); i++) {
        struct token_claims claims;
        const char *why;
        if (verify(*state, mangled[i].token, &claims, &why) == ST_OK)
            fail_msg("'%s' was taken", mangled[i].token.p);
        if (!strstr(why, mangled[i].why))
            fail_msg("'%s': %s", mangled[i].token.p, why);
    }
}

static const struct {
    struct str header;
    const char *why; /* NULL: let in */
} headers[] = {
    {STR(HEADER), NULL},
    {STR("{\"kid\":\"demo\",\"alg\":\"HS256\"}"), NULL},
    {STR("{ \"kid\" : \"d\\u0065mo\" , \"alg\" : \"HS256\" }"), NULL},
    {STR(""), "header"},
    {STR("HS256"), "header"},
    {STR("[]"), "header"},
    {STR("{}"), "header"},
    {STR("{\"kid\":\"demo\"}"), "header"},
    {STR("{\"alg\":\"HS256\"}"), "header"},
    {STR("{\"alg\":\"HS256\",\"kid\":\"demo\"} x"), "header"},
    {STR("{\"alg\":\"HS256\",\"kid\":\"demo\",\"alg\":\"HS256\"}"), "header"},
    {STR("{\"alg\":\"HS256\",\"kid\":\"demo\",\"kid\":\"demo\"}"), "header"},
    {STR("{\"alg\":\"HS256\",\"kid\":\"demo\",\"crit\":[]}"), "header"},
    {STR("{\"alg\":\"HS256\",\"kid\":\"demo\",\"crit\":[\"exp\"]}"), "header"},
    {STR("{\"alg\":\"HS256\",\"kid\":\"demo\",\"jku\":\"https://x\"}"), "header"},
    {STR("{\"alg\":\"HS256\",\"kid\":\"demo\",\"jwk\":{}}"), "header"},
    {STR("{\"alg\":\"HS256\",\"kid\":\"demo\",\"cty\":\"JWT\"}"), "header"},
    {STR("{\"alg\":\"HS256\",\"kid\":1}"), "header"},
    {STR("{\"alg\":\"HS256\",\"kid\":null}"), "header"},
    {STR("{\"alg\":\"HS256\",\"kid\":\"demo\\u0000\"}"), "header"},
    {STR("{\"alg\":\"HS256\",\"kid\":\"" X64("k") "k\"}"), "header"},
    {STR("{\"alg\":\"HS256\",\"kid\":\"" X64("k") "\"}"), "kid"},
    {STR("{\"alg\":\"HS256\",\"kid\":\"Demo\"}"), "kid"},
    {STR("{\"alg\":\"HS256\",\"kid\":\"\"}"), "kid"},
    {STR("{\"alg\":\"none\",\"kid\":\"demo\"}"), "alg"},
    {STR("{\"alg\":\"None\",\"kid\":\"demo\"}"), "alg"},
    {STR("{\"alg\":\"\",\"kid\":\"demo\"}"), "alg"},
    {STR("{\"alg\":\"hs256\",\"kid\":\"demo\"}"), "alg"},
    {STR("{\"alg\":\"HS256 \",\"kid\":\"demo\"}"), "alg"},
    {STR("{\"alg\":\"HS384\",\"kid\":\"demo\"}"), "alg"},
    {STR("{\"alg\":\"HS512\",\"kid\":\"demo\"}"), "alg"},
    {STR("{\"alg\":\"RS256\",\"kid\":\"demo\"}"), "alg"},
    {STR("{\"alg\":\"HS256\",\"kid\":\"demo\",\"typ\":\"jwt\"}"), "typ"},
    {STR("{\"alg\":\"HS256\",\"kid\":\"demo\",\"typ\":\"\"}"), "typ"},
    {STR("{\"alg\":\"HS256\",\"kid\":\"demo\",\"typ\":\"at+jwt\"}"), "typ"},
    /* rightly signed, but not with the key that is named */
    {STR("{\"alg\":\"HS256\",\"kid\":\"other\"}"), "does not match"},
};

static void test_headers(void **state)
{
    for (size_t i = 0; i < sizeof(headers) / sizeof(headers[0]); i++) {
        char token[TOKEN_MAX];
        struct token_claims claims;
        const char *why;
        struct str text = {token, sign(*state, headers[i].header, STR(CLAIMS), token)};
        enum status st = verify(*state, text, &claims, &why);
        if ((st == ST_OK) != !headers[i].why || (why && !strstr(why, headers[i].why)))
            fail_msg("%s: %s, %s", headers[i].header.p, status_info(st)->name, why ? why : "-");
    }
}

static const struct {
    struct str claims;
    const char *why; /* NULL: let in */
} claim_cases[] = {
    {STR("{\"sub\":\"s\",\"exp\":1700000001}"), NULL},
    {STR("{\"exp\":253402300799,\"sub\":\"" X64("s") "\"}"), NULL},
    {STR("{\"sub\":\"A.b_c:d-9\",\"exp\":1700000001}"), NULL},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"region\":\"\",\"level\":\"" X64(
         "l") "\",\"channel\":\"\xe5\xbe\xae\xe4\xbf\xa1\"}"),
     NULL},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"iss\":\"x\",\"aud\":[\"a\",{\"b\":1.5}],\"ok\":"
         "true}"),
     NULL},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"deep\":[[[[[[[[]]]]]]]]}"), NULL},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"iat\":1700000060,\"nbf\":1700000060}"), NULL},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"iat\":-1,\"nbf\":-9223372036854775808}"), NULL},
    /* the object */
    {STR(""), "JSON object"},
    {STR("null"), "JSON object"},
    {STR("[{\"sub\":\"s\",\"exp\":1700000001}]"), "JSON object"},
    {STR("{\"sub\":\"s\",\"exp\":1700000001}{}"), "JSON object"},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"deep\":[[[[[[[[[]]]]]]]]]}"), "JSON object"},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"x\":" X64(X8("[")) X64(X8("]")) "}"), "JSON object"},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"x\":\"\xff\"}"), "JSON object"},
    {STR("{\"c\":{\"sub\":\"s\",\"exp\":1700000001}}"), "sub"},
    /* sub */
    {STR("{\"exp\":1700000001}"), "sub"},
    {STR("{\"sub\":\"\",\"exp\":1700000001}"), "sub"},
    {STR("{\"sub\":null,\"exp\":1700000001}"), "sub"},
    {STR("{\"sub\":17,\"exp\":1700000001}"), "sub"},
    {STR("{\"sub\":\"s\",\"sub\":\"t\",\"exp\":1700000001}"), "sub"},
    {STR("{\"sub\":\"s\",\"s\\u0075b\":\"t\",\"exp\":1700000001}"), "sub"},
    {STR("{\"sub\":\"" X64("s") "s\",\"exp\":1700000001}"), "sub"},
    {STR("{\"sub\":\"a b\",\"exp\":1700000001}"), "sub"},
    {STR("{\"sub\":\"a\\u0000b\",\"exp\":1700000001}"), "sub"},
    {STR("{\"sub\":\"a\\nb\",\"exp\":1700000001}"), "sub"},
    {STR("{\"sub\":\"a\\u007f\",\"exp\":1700000001}"), "sub"},
    {STR("{\"sub\":\"\xc3\xa9\",\"exp\":1700000001}"), "sub"},
    {STR("{\"sub\":\"a\nb\",\"exp\":1700000001}"), "JSON object"},
    /* exp */
    {STR("{\"sub\":\"s\"}"), "exp"},
    {STR("{\"sub\":\"s\",\"exp\":null}"), "exp"},
    {STR("{\"sub\":\"s\",\"exp\":\"1700000001\"}"), "exp"},
    {STR("{\"sub\":\"s\",\"exp\":1700000001.5}"), "exp"},
    {STR("{\"sub\":\"s\",\"exp\":1700000001.0}"), "exp"},
    {STR("{\"sub\":\"s\",\"exp\":1.7e9}"), "exp"},
    {STR("{\"sub\":\"s\",\"exp\":1e300}"), "exp"},
    {STR("{\"sub\":\"s\",\"exp\":9223372036854775808}"), "exp"},
    {STR("{\"sub\":\"s\",\"exp\":9223372036854775807}"), "year 9999"},
    {STR("{\"sub\":\"s\",\"exp\":253402300800}"), "year 9999"},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"exp\":1700000002}"), "exp"},
    {STR("{\"sub\":\"s\",\"exp\":1700000000}"), "expired"},
    {STR("{\"sub\":\"s\",\"exp\":0}"), "expired"},
    {STR("{\"sub\":\"s\",\"exp\":-1700000001}"), "expired"},
    {STR("{\"sub\":\"s\",\"exp\":-9223372036854775808}"), "expired"},
    /* the rest */
    {STR("{\"sub\":\"s\",\"exp\":1700000099,\"iat\":1700000061}"), "iat is in the future"},
    {STR("{\"sub\":\"s\",\"exp\":1700000099,\"nbf\":1700000061}"), "nbf is in the future"},
    {STR("{\"sub\":\"s\",\"exp\":1700000099,\"nbf\":9223372036854775807}"), "nbf is in the future"},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"iat\":\"1\"}"), "iat"},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"iat\":1.0}"), "iat"},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"nbf\":null}"), "nbf"},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"nbf\":1,\"nbf\":1}"), "nbf"},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"region\":1}"), "region"},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"level\":\"" X64("l") "l\"}"), "level"},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"channel\":[\"x\"]}"), "channel"},
    {STR("{\"sub\":\"s\",\"exp\":1700000001,\"channel\":\"x\",\"channel\":\"x\"}"), "channel"},
};

static void test_claims(void **state)
{
    for (size_t i = 0; i < sizeof(claim_cases) / sizeof(claim_cases[0]); i++) {
        char token[TOKEN_MAX];
        struct token_claims claims;
        const char *why;
        struct str text = {token, sign(*state, STR(HEADER), claim_cases[i].claims, token)};
        enum status st = verify(*state, text, &claims, &why);
        if ((st == ST_OK) != !claim_cases[i].why || (why && !strstr(why, claim_cases[i].why)))
            fail_msg("%s: %s, %s", claim_cases[i].claims.p, status_info(st)->name, why ? why : "-");
    }
}

/* A claim that fills the token up to the byte. The header is one with which base64 can do that. */
static void test_length(void **state)
{
    char claims_text[2 * TOKEN_MAX], token[2 * TOKEN_MAX];
    struct token_claims claims;
    const char *why;
    struct str header = STR("{\"alg\":\"HS256\",\"kid\":\"demo\"}  ");
    bool seen_longest = false, seen_longer = false;
    for (int fill = 1380; fill < 1440; fill++) {
        int n = snprintf(claims_text, sizeof(claims_text),
                         "{\"sub\":\"s\",\"exp\":1700000001,\"x\":\"%0*d\"}", fill, 0);
        struct str text = {token, 0};
        text.n = sign(*state, header, (struct str){claims_text, (size_t)n}, token);
        enum status st = verify(*state, text, &claims, &why);
        assert_int_equal(st, text.n <= TOKEN_MAX ? ST_OK : ST_UNAUTHENTICATED);
        assert_true(st == ST_OK || strstr(why, "too long"));
        seen_longest |= text.n == TOKEN_MAX;
        seen_longer |= text.n == TOKEN_MAX + 1;
    }
    assert_true(seen_longest && seen_longer);
}

static void test_cut_and_damaged(void **state)
{
    char token[] = TOKEN;
    struct token_claims claims;
    const char *why;
    for (size_t n = 0; n < sizeof(token) - 1; n++)
        assert_int_equal(verify(*state, (struct str){token, n}, &claims, &why), ST_UNAUTHENTICATED);
    for (size_t i = 0; i < sizeof(token) - 1; i++) {
        for (int bit = 0; bit < 8; bit++) {
            token[i] ^= (char)(1 << bit);
            assert_int_equal(verify(*state, str_from(token), &claims, &why), ST_UNAUTHENTICATED);
            token[i] ^= (char)(1 << bit);
        }
    }
}

static void test_mint(void **state)
{
    struct ring *ring = *state;
    struct token_claims claims;
    const char *why;
    char token[512];
    const struct hmac_key *key = ring->keys[0].secret;
    size_t n = token_mint(key, STR("demo"), STR("s-1"), NOW_S, NOW_S + 3600, token, sizeof(token));
    assert_true(str_equal((struct str){token, n}, STR(TOKEN)));
    assert_int_equal(token_mint(key, STR("demo"), STR("s-1"), NOW_S, NOW_S + 3600, token, n), n);
    assert_int_equal(token_mint(key, STR("demo"), STR("s-1"), NOW_S, NOW_S + 3600, token, n - 1),
                     0);
    /* Every length of sub, so that each remainder of base64 comes by. */
    for (size_t len = 1; len <= ID_MAX; len++) {
        struct str sub = {X64("s"), len};
        n = token_mint(key, STR("demo"), sub, NOW_S, NOW_S + 1, token, sizeof(token));
        assert_int_equal(verify(ring, (struct str){token, n}, &claims, &why), ST_OK);
        assert_int_equal(claims.sub_len, len);
    }
    struct str longest = STR(X64("k"));
    assert_true(token_mint(key, longest, longest, INT64_MIN, INT64_MIN, token, sizeof(token)) > 0);
}

/* The sanitizer's allocator tells when it is asked; other builds cannot know. */
int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void *, size_t),
                                              void (*)(const volatile void *))
    __attribute__((weak));

static volatile unsigned allocations; /* compilers believe that malloc changes no variable */

static void on_malloc(const volatile void *p, size_t n)
{
    allocations++;
}

static void on_free(const volatile void *p)
{
}

static void test_never_allocates(void **state)
{
    struct token_claims claims;
    const char *why;
    if (!__sanitizer_install_malloc_and_free_hooks)
        skip();
    assert_true(__sanitizer_install_malloc_and_free_hooks(on_malloc, on_free) > 0);
    allocations = 0;
    void *volatile probe = malloc(1); /* so that a hook that is never called shows */
    free(probe);
    assert_int_equal(allocations, 1);
    enum status st = token_verify(STR(TOKEN), NOW_S, find_key, *state, &claims, &why);
    enum status bad = token_verify(STR(TOKEN), INT64_C(2) * NOW_S, find_key, *state, &claims, &why);
    unsigned seen = allocations;
    assert_int_equal(st, ST_OK);
    assert_int_equal(bad, ST_UNAUTHENTICATED);
    assert_int_equal(seen, 1);
}

#define WITH_RING(test) cmocka_unit_test_setup_teardown(test, make_ring, drop_ring)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RING(test_good),
        WITH_RING(test_rfc7515_style),
        WITH_RING(test_mangled),
        WITH_RING(test_headers),
        WITH_RING(test_claims),
        WITH_RING(test_length),
        WITH_RING(test_cut_and_damaged),
        WITH_RING(test_mint),
        WITH_RING(test_never_allocates),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
