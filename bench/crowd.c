#include "crowd.h"

#include "base/clock.h"
#include "base/hmac.h"
#include "base/ids.h"
#include "base/token.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

enum { TOKEN_LIFE_S = 24 * 3600 };

static void name_run(struct crowd *c, const char *scenario)
{
    char text[UID_TEXT_LEN + 1];
    struct uid_source *src = uid_source_create();
    struct uid id = uid_make(src, clock_wall_ms());
    uid_source_destroy(&src);
    uid_format("", &id, text);
    /* The end of a ULID is its random part. */
    snprintf(c->tag, sizeof(c->tag), "%s", text + UID_TEXT_LEN - CROWD_TAG_LEN);
    snprintf(c->sale, sizeof(c->sale), "%s-%s", scenario, c->tag);
}

/* SplitMix64 of number and salt: neighbours fall apart, and two salts have nothing in common. */
static uint64_t mix(uint32_t shopper, uint32_t salt)
{
    uint64_t z = ((uint64_t)salt << 32 | shopper) + UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return z ^ (z >> 31);
}

uint32_t crowd_draw(uint32_t shopper, uint32_t salt, uint32_t below)
{
    return (uint32_t)(mix(shopper, salt) % below);
}

bool crowd_share(uint32_t shopper, uint32_t salt, uint32_t percent)
{
    return crowd_draw(shopper, salt, 100) < percent;
}

uint32_t crowd_item(const struct crowd *c, uint32_t shopper)
{
    if (c->items == 1) {
        return 0;
    }
    double at = (double)(mix(shopper, CROWD_ITEM) >> 11) / 9007199254740992.0;
    uint32_t low = 0, high = c->items - 1;
    while (low < high) {
        uint32_t middle = (low + high) / 2;
        if (at < c->popularity[middle]) {
            high = middle;
        } else {
            low = middle + 1;
        }
    }
    return low;
}

void crowd_sku(uint32_t item, char out[CROWD_SKU_LEN + 1])
{
    snprintf(out, CROWD_SKU_LEN + 1, "unit-%04u", (item + 1) % 10000);
}

/* Padded by hand: once for each request, printf would be among the dearest things of the loop. */
void crowd_id(const struct crowd *c, uint32_t shopper, char out[CROWD_SHOPPER_LEN + 1])
{
    memcpy(out, c->tag, CROWD_TAG_LEN);
    out[CROWD_TAG_LEN] = '-';
    out[CROWD_SHOPPER_LEN] = '\0';
    for (int i = CROWD_SHOPPER_LEN - 1; i > CROWD_TAG_LEN; i--) {
        out[i] = (char)('0' + shopper % 10);
        shopper /= 10;
    }
}

/* Zipf's law: item k is wanted as 1 / k^s. */
static enum status weigh_items(struct crowd *c, const struct scenario *s)
{
    double sum = 0;
    c->items = s->items;
    c->popularity = calloc(s->items, sizeof(*c->popularity));
    if (!c->popularity) {
        return ST_INTERNAL;
    }
    for (uint32_t i = 0; i < s->items; i++) {
        sum += pow(i + 1.0, -s->zipf);
        c->popularity[i] = sum;
    }
    for (uint32_t i = 0; i < s->items; i++) {
        c->popularity[i] /= sum;
    }
    return ST_OK;
}

static enum status sign_tokens(struct crowd *c, const struct options *o, const struct hmac_key *key)
{
    char id[CROWD_SHOPPER_LEN + 1];
    char token[TOKEN_MAX + 1];
    int64_t now_s = clock_wall_ms() / 1000 - o->started_ago_us / 1000000;
    for (uint32_t i = 0; i < c->n; i++) {
        crowd_id(c, i, id);
        size_t n = token_mint(key, str_from(o->kid), str_from(id), now_s, now_s + TOKEN_LIFE_S,
                              token, TOKEN_MAX);
        if (n == 0 || (c->tokens && n != c->token_len)) {
            return ST_INVALID_REQUEST;
        }
        if (!c->tokens) {
            c->token_len = n;
            c->tokens = malloc(n * c->n);
            if (!c->tokens) {
                return ST_INTERNAL;
            }
        }
        memcpy(c->tokens + i * n, token, n);
    }
    return ST_OK;
}

enum status crowd_create(struct crowd *c, const struct options *o, const struct scenario *s,
                         uint32_t n)
{
    struct hmac_key *key = NULL;
    *c = (struct crowd){.n = n};
    name_run(c, s->name);
    if (!id_valid(str_from(o->kid))) {
        return ST_INVALID_REQUEST;
    }
    enum status st = hmac_key_create(str_from(o->secret), &key);
    if (st == ST_OK) {
        st = weigh_items(c, s);
    }
    if (st == ST_OK) {
        st = sign_tokens(c, o, key);
    }
    hmac_key_destroy(&key);
    if (st != ST_OK) {
        crowd_fini(c);
    }
    return st;
}

void crowd_fini(struct crowd *c)
{
    free(c->popularity);
    free(c->tokens);
    *c = (struct crowd){.n = 0};
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
