#include "base/seal.h"

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/rand.h>

#include <limits.h>

enum { NONCE_LEN = 12, TAG_LEN = 16 };

_Static_assert(NONCE_LEN + TAG_LEN == SEAL_OVERHEAD, "what sealing adds");

static bool update(EVP_CIPHER_CTX *ctx, uint8_t *out, const void *in, size_t n)
{
    int written;
    return EVP_CipherUpdate(ctx, out, &written, in, (int)n) == 1;
}

/* Context that has taken key, nonce and name; NULL when OpenSSL cannot. */
static EVP_CIPHER_CTX *start(const uint8_t key[SEAL_KEY_LEN], const uint8_t nonce[NONCE_LEN],
                             struct str name, bool encrypt)
{
    EVP_CIPHER_CTX *ctx = EVP_CIPHER_CTX_new();
    if (ctx && EVP_CipherInit_ex(ctx, EVP_aes_256_gcm(), NULL, key, nonce, encrypt) == 1 &&
        update(ctx, NULL, name.p, name.n))
        return ctx;
    EVP_CIPHER_CTX_free(ctx);
    return NULL;
}

/* OpenSSL counts in int. */
static bool too_long(struct str name, size_t n)
{
    return name.n > INT_MAX || n > INT_MAX - SEAL_OVERHEAD;
}

enum status seal(const uint8_t key[SEAL_KEY_LEN], struct str name, struct str secret, uint8_t *out)
{
    uint8_t *text = out + NONCE_LEN, *tag = text + secret.n;
    int written;
    if (too_long(name, secret.n))
        return ST_INVALID_REQUEST;
    if (RAND_bytes(out, NONCE_LEN) != 1)
        return ST_UNAVAILABLE;
    EVP_CIPHER_CTX *ctx = start(key, out, name, true);
    bool good = ctx && update(ctx, text, secret.p, secret.n) &&
                EVP_CipherFinal_ex(ctx, tag, &written) == 1 &&
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_GET_TAG, TAG_LEN, tag) == 1;
    EVP_CIPHER_CTX_free(ctx);
    return good ? ST_OK : ST_UNAVAILABLE;
}

enum status unseal(const uint8_t key[SEAL_KEY_LEN], struct str name, struct str sealed,
                   uint8_t *out)
{
    if (sealed.n < SEAL_OVERHEAD || too_long(name, sealed.n - SEAL_OVERHEAD))
        return ST_BAD_SIGNATURE;
    size_t n = sealed.n - SEAL_OVERHEAD;
    const uint8_t *nonce = (const uint8_t *)sealed.p, *text = nonce + NONCE_LEN;
    uint8_t tag[TAG_LEN], nothing[1];
    int written;
    EVP_CIPHER_CTX *ctx = start(key, nonce, name, false);
    if (!ctx)
        return ST_UNAVAILABLE;
    memcpy(tag, text + n, TAG_LEN);
    bool good = update(ctx, out, text, n) &&
                EVP_CIPHER_CTX_ctrl(ctx, EVP_CTRL_GCM_SET_TAG, TAG_LEN, tag) == 1 &&
                EVP_CipherFinal_ex(ctx, nothing, &written) == 1;
    EVP_CIPHER_CTX_free(ctx);
    if (!good)
        OPENSSL_cleanse(out, n); /* deciphered, but nobody vouches for it */
    return good ? ST_OK : ST_BAD_SIGNATURE;
}
