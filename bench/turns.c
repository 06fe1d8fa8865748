#include "turns.h"

#include <assert.h>
#include <stdlib.h>

enum {
    BACKOFF_FIRST_US = 25000,
    BACKOFF_LAST_US = 1000000,
    IMPATIENT_US = 5000,
    REPEAT_WITHIN_US = 2000000,
    SECOND_US = 1000000,
};

enum status turns_init(struct turns *t, const struct turns_conf *conf)
{
    *t = (struct turns){.conf = *conf};
    t->shoppers = calloc(conf->shoppers, sizeof(*t->shoppers));
    t->heap = calloc(conf->shoppers, sizeof(*t->heap));
    if (!t->shoppers || !t->heap) {
        turns_fini(t);
        return ST_INTERNAL;
    }
    return ST_OK;
}

void turns_fini(struct turns *t)
{
    free(t->shoppers);
    free(t->heap);
    *t = (struct turns){0};
}

/* SplitMix64: the next of a sequence that the seed fixes, below `below`. */
static int64_t chance(struct turns *t, int64_t below)
{
    uint64_t z = t->conf.seed += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return (int64_t)((z ^ (z >> 31)) % (uint64_t)below);
}

static void heap_push(struct turns *t, struct turns_waiting entry)
{
    assert(t->waiting < t->conf.shoppers);
    uint32_t at = t->waiting++;
    while (at > 0 && t->heap[(at - 1) / 2].due_us > entry.due_us) {
        t->heap[at] = t->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    t->heap[at] = entry;
}

static uint32_t heap_pop(struct turns *t)
{
    uint32_t shopper = t->heap[0].shopper;
    struct turns_waiting last = t->heap[--t->waiting];
    uint32_t at = 0;
    for (;;) {
        uint32_t child = 2 * at + 1;
        if (child + 1 < t->waiting && t->heap[child + 1].due_us < t->heap[child].due_us) {
            child++;
        }
        if (child >= t->waiting || t->heap[child].due_us >= last.due_us) {
            break;
        }
        t->heap[at] = t->heap[child];
        at = child;
    }
    t->heap[at] = last;
    return shopper;
}

void turns_start(struct turns *t, int64_t now_us)
{
    t->start_us = now_us;
}

static bool newcomer_is_due(const struct turns *t, int64_t now_us)
{
    if (t->next == t->conf.shoppers) {
        return false;
    }
    return t->conf.rate == 0 || now_us >= t->start_us + (int64_t)t->next * SECOND_US / t->conf.rate;
}

bool turns_take(struct turns *t, int64_t now_us, uint32_t *shopper)
{
    if (t->stopped) {
        return false;
    }
    if (t->waiting > 0 && t->heap[0].due_us <= now_us) {
        *shopper = heap_pop(t);
    } else if (newcomer_is_due(t, now_us)) {
        *shopper = t->next++;
        t->shoppers[*shopper].since_us = now_us;
    } else {
        return false;
    }
    t->shoppers[*shopper].tries += t->shoppers[*shopper].tries < UINT8_MAX;
    return true;
}

/* Twice as long after each try, and never the same for two. */
static int64_t backoff_us(struct turns *t, unsigned tries, uint32_t after_s)
{
    if (t->conf.impatient) {
        return 1 + chance(t, IMPATIENT_US);
    }
    int64_t longest = BACKOFF_FIRST_US;
    for (unsigned i = 1; i < tries && longest < BACKOFF_LAST_US; i++) {
        longest *= 2;
    }
    int64_t least =
        (int64_t)(after_s < TURNS_AFTER_S_MAX ? after_s : TURNS_AFTER_S_MAX) * SECOND_US;
    return (least > longest / 2 ? least : longest / 2) + chance(t, longest);
}

bool turns_retry(struct turns *t, uint32_t shopper, int64_t now_us, uint32_t after_s)
{
    const struct turns_shopper *who = &t->shoppers[shopper];
    if (t->conf.persist_s == 0) {
        return false;
    }
    int64_t due_us = now_us + backoff_us(t, who->tries, after_s);
    if (due_us > who->since_us + (int64_t)t->conf.persist_s * SECOND_US) {
        return false;
    }
    heap_push(t, (struct turns_waiting){due_us, shopper});
    return true;
}

void turns_repeat(struct turns *t, uint32_t shopper, int64_t now_us)
{
    int64_t due_us = now_us + chance(t, REPEAT_WITHIN_US);
    t->shoppers[shopper] = (struct turns_shopper){.since_us = due_us};
    heap_push(t, (struct turns_waiting){due_us, shopper});
}

void turns_hurry(struct turns *t)
{
    t->conf.rate = 0;
}

void turns_stop(struct turns *t)
{
    t->stopped = true;
}

bool turns_over(const struct turns *t)
{
    return t->stopped || (t->waiting == 0 && t->next == t->conf.shoppers);
}
