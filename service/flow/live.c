#include "flow/live.h"

#include <stdlib.h>
#include <sys/mman.h>

uint32_t live_filter_bits(int64_t units_per_shard)
{
    uint32_t bits = 1u << 16;
    while (bits < 1u << 26 && (int64_t)bits < units_per_shard * 32)
        bits <<= 1;
    return bits;
}

static size_t filter_bytes(const struct live_shard *s)
{
    return s->filter_bits / 8;
}

static enum status shard_init(struct live_shard *s, uint32_t sale_no, unsigned shard, int64_t units,
                              unsigned *next_index)
{
    s->sale_no = sale_no;
    s->shard = shard;
    s->index = (*next_index)++;
    s->filter_bits = live_filter_bits(units);
    atomic_init(&s->wins, -1);
    pthread_mutex_init(&s->rebuild, NULL);
    void *pages =
        mmap(NULL, filter_bytes(s), PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (pages == MAP_FAILED)
        return ST_UNAVAILABLE;
    s->filter = pages;
    return ST_OK;
}

enum status live_sale_create(uint32_t no, unsigned shards, unsigned items, int64_t units,
                             unsigned *next_index, struct live_sale **out)
{
    struct live_sale *s = calloc(1, sizeof(*s));
    if (!s)
        return ST_UNAVAILABLE;
    *s = (struct live_sale){.no = no, .shards = shards, .items = items};
    s->shard = calloc(shards, sizeof(*s->shard));
    s->item = calloc(items, sizeof(struct live_item *));
    if (!s->shard || !s->item)
        goto cleanup;
    for (unsigned i = 0; i < shards; i++) {
        if (shard_init(&s->shard[i], no, i, units / shards + 1, next_index) != ST_OK)
            goto cleanup;
    }
    for (unsigned i = 0; i < items; i++) {
        s->item[i] = calloc(shards, sizeof(struct live_item));
        if (!s->item[i])
            goto cleanup;
        for (unsigned k = 0; k < shards; k++)
            atomic_init(&s->item[i][k].left, -1);
    }
    *out = s;
    return ST_OK;
cleanup:
    live_sale_destroy(&s);
    return ST_UNAVAILABLE;
}

void live_sale_destroy(struct live_sale **sale)
{
    struct live_sale *s = *sale;
    if (!s)
        return;
    for (unsigned i = 0; s->shard && i < s->shards; i++) {
        if (!s->shard[i].filter)
            continue;
        pthread_mutex_destroy(&s->shard[i].rebuild);
        munmap((void *)s->shard[i].filter, filter_bytes(&s->shard[i]));
    }
    for (unsigned i = 0; s->item && i < s->items; i++)
        free(s->item[i]);
    free(s->shard);
    free(s->item);
    free(s);
    *sale = NULL;
}

int64_t live_left(const struct live_item *item, unsigned shards)
{
    int64_t left = 0;
    for (unsigned i = 0; i < shards; i++) {
        int64_t n = atomic_load_explicit(&item[i].left, memory_order_relaxed);
        left += n > 0 ? n : 0;
    }
    return left;
}

bool live_filter_has(const struct live_shard *s, uint32_t hash)
{
    uint32_t bit = hash & (s->filter_bits - 1);
    return atomic_load_explicit(&s->filter[bit / 64], memory_order_acquire) >> (bit % 64) & 1;
}

/* The bits are read before the number. Whoever finds none because they were just taken away finds
 * that it has moved on, also if the filter was loaded and complete again in the meantime. */
bool live_filter_lacks(const struct live_shard *s, uint32_t hash, unsigned forgets)
{
    return !live_filter_has(s, hash) && atomic_load(&s->forgets) == forgets;
}

void live_filter_set(struct live_shard *s, uint32_t hash)
{
    uint32_t bit = hash & (s->filter_bits - 1);
    if (live_filter_has(s, hash))
        return;
    /* In this order, so that no bit stays that nobody would forget. */
    atomic_fetch_or(&s->filter[bit / 64], (uint64_t)1 << (bit % 64));
    if (!atomic_load(&s->filter_used))
        atomic_store(&s->filter_used, true);
}

void live_filter_merge(struct live_shard *s, struct str bitmap)
{
    size_t bytes = filter_bytes(s);
    for (size_t i = 0; i < bitmap.n && i < bytes; i++) {
        uint8_t b = (uint8_t)bitmap.p[i];
        for (int k = 0; b != 0; k++, b = (uint8_t)(b << 1)) {
            if (b & 0x80)
                live_filter_set(s, (uint32_t)(i * 8 + (size_t)k));
        }
    }
}

void live_filter_forget(struct live_shard *s)
{
    atomic_store(&s->filter_current, false);
    atomic_store(&s->wins, -1);
    atomic_store(&s->filter_used, false);
    atomic_fetch_add(&s->forgets, 1);
    /* Last: who reads what is left of the bits can see all of the above. Where the system refuses
     * (locked memory) they stay, and that costs looks only. */
    (void)madvise((void *)s->filter, filter_bytes(s), MADV_DONTNEED);
}
