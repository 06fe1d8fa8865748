#include "crowd.h"

#include "base/clock.h"
#include "base/hmac.h"
#include "base/ids.h"
#include "base/token.h"

#include <stdio.h>
#include <stdlib.h>

enum { REQUEST_MAX = 4096, TOKEN_LIFE_S = 4 * 3600 };

void crowd_name(struct crowd *c)
{
    char text[UID_TEXT_LEN + 1];
    struct uid_source *src = uid_source_create();
    struct uid id = uid_make(src, clock_wall_ms());
    uid_source_destroy(&src);
    uid_format("", &id, text);
    /* The end of a ULID is its random part. */
    snprintf(c->tag, sizeof(c->tag), "%s", text + UID_TEXT_LEN - CROWD_TAG_LEN);
    snprintf(c->sale, sizeof(c->sale), "rush-%s", c->tag);
}

/* SplitMix64 of number and salt: neighbours fall apart, and two salts have nothing in common. */
bool crowd_share(uint32_t shopper, uint32_t salt, uint32_t percent)
{
    uint64_t z = ((uint64_t)salt << 32 | shopper) + UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (z ^ (z >> 31)) % 100 < percent;
}

/* A header line, as long for those who prefer a 202 as for those who do not. */
static const char *preference(const struct options *o, uint32_t shopper)
{
    return o->async_percent == 0                                 ? ""
           : crowd_share(shopper, CROWD_ASYNC, o->async_percent) ? "Prefer: respond-async\r\n"
                                                                 : "Prefer: wait=00000030\r\n";
}

/* Returns the length, 0 when it does not fit or the token could not be made. */
static size_t write_request(const struct crowd *c, const struct options *o,
                            const struct hmac_key *key, uint32_t shopper, int64_t now_s, char *out)
{
    char id[CROWD_SHOPPER_LEN + 1];
    char token[TOKEN_MAX + 1];
    char body[256];
    snprintf(id, sizeof(id), "%s-%08u", c->tag, (unsigned)(shopper % 100000000));
    size_t token_len = token_mint(key, str_from(o->kid), str_from(id), now_s, now_s + TOKEN_LIFE_S,
                                  token, TOKEN_MAX);
    if (token_len == 0) {
        return 0;
    }
    int body_len = snprintf(body, sizeof(body), "{\"sale\":\"%s\",\"sku\":\"%s\",\"qty\":%u}",
                            c->sale, CROWD_SKU, o->qty);
    int n = snprintf(out, REQUEST_MAX,
                     "POST /v1/orders HTTP/1.1\r\n"
                     "Host: %s:%s\r\n"
                     "Authorization: Bearer %.*s\r\n"
                     "Idempotency-Key: %s\r\n"
                     "Content-Type: application/json\r\n"
                     "Content-Length: %d\r\n"
                     "%s\r\n"
                     "%s",
                     o->hosts[0].name, o->hosts[0].port, (int)token_len, token, id, body_len,
                     preference(o, shopper), body);
    return n > 0 && n < REQUEST_MAX ? (size_t)n : 0;
}

static enum status fill_arena(struct crowd *c, const struct options *o, const struct hmac_key *key)
{
    char request[REQUEST_MAX];
    int64_t now_s = clock_wall_ms() / 1000 - o->started_ago_s;
    for (uint32_t i = 0; i < o->shoppers; i++) {
        size_t n = write_request(c, o, key, i, now_s, request);
        if (n == 0 || (c->arena && n != c->stride)) {
            return ST_INVALID_REQUEST;
        }
        if (!c->arena) {
            c->stride = n;
            c->arena = malloc(n * o->shoppers);
            if (!c->arena) {
                return ST_INTERNAL;
            }
        }
        memcpy(c->arena + i * n, request, n);
    }
    c->n = o->shoppers;
    return ST_OK;
}

enum status crowd_fill(struct crowd *c, const struct options *o)
{
    struct hmac_key *key = NULL;
    if (!id_valid(str_from(o->kid))) {
        return ST_INVALID_REQUEST;
    }
    enum status st = hmac_key_create(str_from(o->secret), &key);
    if (st == ST_OK) {
        st = fill_arena(c, o, key);
        hmac_key_destroy(&key);
    }
    if (st != ST_OK) {
        crowd_fini(c);
    }
    return st;
}

void crowd_fini(struct crowd *c)
{
    free(c->arena);
    c->arena = NULL;
    c->n = 0;
}

bool crowd_shopper(const struct crowd *c, struct str id, uint32_t *shopper)
{
    if (id.n != CROWD_SHOPPER_LEN || memcmp(id.p, c->tag, CROWD_TAG_LEN) != 0 ||
        id.p[CROWD_TAG_LEN] != '-') {
        return false;
    }
    uint32_t n = 0;
    for (size_t i = CROWD_TAG_LEN + 1; i < id.n; i++) {
        if (id.p[i] < '0' || id.p[i] > '9') {
            return false;
        }
        n = n * 10 + (uint32_t)(id.p[i] - '0');
    }
    if (n >= c->n) {
        return false;
    }
    *shopper = n;
    return true;
}
