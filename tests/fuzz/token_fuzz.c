/* token_fuzz.c - the input as a whole token, then as rightly signed claims, then as a signed
 * header.
 *
 * Signing gets the fuzzer past the signature, which it could not guess. Whoever is let in has a
 * valid id and time left; who is not is told why.
 */
#include "base/ids.h"
#include "base/token.h"

#include <stdlib.h>

enum { NOW_S = 1700000000, INPUT_MAX = 4096 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const struct token_key *find_key(void *arg, struct str kid)
{
    const struct token_key *key = arg;
    return str_equal(str_from(key->kid), kid) ? key : NULL;
}

static void check(struct token_key *key, struct str token)
{
    struct token_claims claims = {.sub_len = 0};
    const char *why = NULL;
    enum status st = token_verify(token, NOW_S, find_key, key, &claims, &why);
    if (st != ST_OK && (st != ST_UNAUTHENTICATED || !why))
        abort();
    if (st == ST_OK && (!id_valid((struct str){claims.sub, claims.sub_len}) ||
                        claims.sub[claims.sub_len] != '\0' || claims.exp_s <= NOW_S ||
                        claims.storefront_no != key->storefront_no || token.n > TOKEN_MAX))
        abort();
}

static void check_signed(struct token_key *key, struct str header, struct str claims)
{
    static char token[2 * INPUT_MAX];
    uint8_t mac[SHA256_LEN];
    size_t n = base64url_encode(header, token);
    token[n++] = '.';
    n += base64url_encode(claims, token + n);
    hmac_sha256(key->secret, (struct str){token, n}, mac);
    token[n++] = '.';
    n += base64url_encode((struct str){(const char *)mac, sizeof(mac)}, token + n);
    check(key, (struct str){token, n});
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct token_key key = {"demo", 7, NULL};
    struct str input = {(const char *)data, size};
    if (size > INPUT_MAX)
        return 0;
    if (hmac_key_create(STR("demo-signing-secret"), &key.secret) != ST_OK)
        abort();
    check(&key, input);
    check_signed(&key, STR("{\"alg\":\"HS256\",\"kid\":\"demo\"}"), input);
    check_signed(&key, input, STR("{\"sub\":\"s\",\"exp\":1700000001}"));
    hmac_key_destroy(&key.secret);
    return 0;
}
