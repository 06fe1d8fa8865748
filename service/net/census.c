#include "net/http_priv.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <sys/random.h>

enum { SLOTS_FIRST = 256 };

struct slot {
    uint64_t key;
    uint32_t conns; /* 0: the slot is free */
};

/* Open addressing with linear probing, at most half full; the seed keeps an attacker with many
 * addresses from choosing where they fall. */
struct conn_census {
    pthread_mutex_t lock; /* guards all below */
    uint64_t seed;
    uint32_t total;
    struct slot *slots;
    size_t count, used; /* count is a power of two */
};

enum status conn_census_create(struct conn_census **out)
{
    struct conn_census *c = calloc(1, sizeof(*c));
    if (!c)
        return ST_INTERNAL;
    c->slots = calloc(SLOTS_FIRST, sizeof(*c->slots));
    if (!c->slots || getrandom(&c->seed, sizeof(c->seed), 0) != sizeof(c->seed) ||
        pthread_mutex_init(&c->lock, NULL) != 0) {
        free(c->slots);
        free(c);
        return ST_INTERNAL;
    }
    c->count = SLOTS_FIRST;
    *out = c;
    return ST_OK;
}

void conn_census_destroy(struct conn_census **c)
{
    if (!*c)
        return;
    pthread_mutex_destroy(&(*c)->lock);
    free((*c)->slots);
    free(*c);
    *c = NULL;
}

static size_t home(const struct conn_census *c, uint64_t key)
{
    uint64_t h = (key ^ c->seed) * UINT64_C(0x9e3779b97f4a7c15);
    h = (h ^ h >> 29) * UINT64_C(0xbf58476d1ce4e5b9);
    return (size_t)(h ^ h >> 32) & (c->count - 1);
}

static struct slot *find(const struct conn_census *c, uint64_t key)
{
    size_t i = home(c, key);
    while (c->slots[i].conns > 0 && c->slots[i].key != key)
        i = (i + 1) & (c->count - 1);
    return &c->slots[i];
}

static bool grow(struct conn_census *c)
{
    struct slot *old = c->slots;
    size_t old_count = c->count;
    struct slot *slots = calloc(old_count * 2, sizeof(*slots));
    if (!slots)
        return false;
    c->slots = slots;
    c->count = old_count * 2;
    for (size_t i = 0; i < old_count; i++) {
        if (old[i].conns > 0)
            *find(c, old[i].key) = old[i];
    }
    free(old);
    return true;
}

static bool count_addr(struct conn_census *c, uint64_t key, uint32_t max)
{
    struct slot *slot = find(c, key);
    if (slot->conns >= max)
        return false;
    if (slot->conns == 0) {
        if (c->used * 2 >= c->count) {
            if (!grow(c))
                return false;
            slot = find(c, key);
        }
        slot->key = key;
        c->used++;
    }
    slot->conns++;
    return true;
}

/* Empties slot i and moves back those that had to step over it. */
static void vacate(struct conn_census *c, size_t i)
{
    size_t mask = c->count - 1;
    c->slots[i].conns = 0;
    for (size_t k = (i + 1) & mask; c->slots[k].conns > 0; k = (k + 1) & mask) {
        size_t distance = (k - home(c, c->slots[k].key)) & mask;
        if (distance < ((k - i) & mask))
            continue;
        c->slots[i] = c->slots[k];
        c->slots[k].conns = 0;
        i = k;
    }
    c->used--;
}

bool census_enter(struct conn_census *c, const uint64_t *addr, uint32_t conns_max,
                  uint32_t per_addr_max)
{
    pthread_mutex_lock(&c->lock);
    bool ok = c->total < conns_max && (!addr || count_addr(c, *addr, per_addr_max));
    c->total += ok;
    pthread_mutex_unlock(&c->lock);
    return ok;
}

void census_leave(struct conn_census *c, const uint64_t *addr)
{
    pthread_mutex_lock(&c->lock);
    assert(c->total > 0);
    c->total--;
    if (addr) {
        struct slot *slot = find(c, *addr);
        assert(slot->conns > 0);
        if (--slot->conns == 0)
            vacate(c, (size_t)(slot - c->slots));
    }
    pthread_mutex_unlock(&c->lock);
}

bool census_key(const struct sockaddr *sa, uint64_t *key)
{
    /* 0:ffff::/64 is never routed, so IPv4 has it. */
    const uint64_t v4 = UINT64_C(0xffff) << 32;
    if (sa->sa_family == AF_INET) {
        const struct sockaddr_in *in = (const struct sockaddr_in *)sa;
        *key = v4 | ntohl(in->sin_addr.s_addr);
        return true;
    }
    if (sa->sa_family != AF_INET6)
        return false;
    const uint8_t *b = ((const struct sockaddr_in6 *)sa)->sin6_addr.s6_addr;
    bool mapped = IN6_IS_ADDR_V4MAPPED(&((const struct sockaddr_in6 *)sa)->sin6_addr);
    uint64_t bits = 0;
    for (unsigned i = mapped ? 12 : 0; i < (mapped ? 16u : 8u); i++)
        bits = bits << 8 | b[i];
    *key = mapped ? v4 | bits : bits;
    return true;
}
