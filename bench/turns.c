#include "turns.h"

#include <assert.h>
#include <stdlib.h>

enum {
    BACKOFF_FIRST_US = 25000,
    BACKOFF_LAST_US = 1000000,
    IMPATIENT_US = 5000,
    SECOND_US = 1000000,
};

/* When the next newcomer is due. */
static int64_t next_due_us(struct turns *t)
{
    int64_t at_us = 0;
    if (t->next == t->conf.shoppers) {
        return TURNS_NEVER;
    }
    if (arrivals_closed(t->conf.arrivals)) {
        return t->start_us;
    }
    if (!arrivals_next(&t->plan, &at_us)) {
        return TURNS_NEVER;
    }
    int64_t due_us = t->start_us + at_us;
    return due_us < t->hurry_us ? due_us : t->hurry_us;
}

enum status turns_init(struct turns *t, const struct turns_conf *conf)
{
    *t = (struct turns){.conf = *conf, .hurry_us = TURNS_NEVER, .next_us = TURNS_NEVER};
    t->shoppers = calloc(conf->shoppers ? conf->shoppers : 1, sizeof(*t->shoppers));
    t->heap = calloc(conf->shoppers ? conf->shoppers : 1, sizeof(*t->heap));
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

static struct turns_waiting heap_pop(struct turns *t)
{
    struct turns_waiting first = t->heap[0];
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
    return first;
}

/* SplitMix64: the next of a sequence that the seed fixes. */
int64_t turns_chance(struct turns *t, int64_t from, int64_t to)
{
    uint64_t z = t->conf.seed += UINT64_C(0x9E3779B97F4A7C15);
    assert(from <= to);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return from + (int64_t)((z ^ (z >> 31)) % ((uint64_t)(to - from) + 1));
}

void turns_start(struct turns *t, int64_t start_us)
{
    t->start_us = start_us;
    arrivals_begin(t->conf.arrivals, t->conf.first, t->conf.step, &t->plan);
    t->next_us = next_due_us(t);
}

bool turns_take_back(struct turns *t, int64_t now_us, uint32_t *shopper, int64_t *due_us)
{
    if (t->waiting == 0 || t->stopped || t->heap[0].due_us > now_us) {
        return false;
    }
    struct turns_waiting first = heap_pop(t);
    *shopper = first.shopper;
    *due_us = first.due_us;
    t->shoppers[*shopper].tries += t->shoppers[*shopper].tries < UINT8_MAX;
    return true;
}

bool turns_newcomer_due(const struct turns *t, int64_t now_us)
{
    return t->next_us <= now_us && !t->stopped;
}

int64_t turns_take_newcomer(struct turns *t, int64_t now_us)
{
    assert(turns_newcomer_due(t, now_us));
    int64_t due_us = arrivals_closed(t->conf.arrivals) ? now_us : t->next_us;
    t->shoppers[t->next++] = (struct turns_shopper){.since_us = due_us, .tries = 1};
    t->next_us = next_due_us(t);
    return due_us;
}

int64_t turns_back_us(const struct turns *t)
{
    return t->waiting > 0 && !t->stopped ? t->heap[0].due_us : TURNS_NEVER;
}

void turns_plan(struct turns *t, uint32_t shopper, int64_t due_us)
{
    t->shoppers[shopper] = (struct turns_shopper){.since_us = due_us};
    heap_push(t, (struct turns_waiting){due_us, shopper});
}

/* Twice as long after each try, and never the same for two. */
static int64_t backoff_us(struct turns *t, unsigned tries, uint32_t after_s)
{
    if (t->conf.impatient) {
        return turns_chance(t, 1, IMPATIENT_US);
    }
    int64_t longest = BACKOFF_FIRST_US;
    for (unsigned i = 1; i < tries && longest < BACKOFF_LAST_US; i++) {
        longest *= 2;
    }
    int64_t least =
        (int64_t)(after_s < TURNS_AFTER_S_MAX ? after_s : TURNS_AFTER_S_MAX) * SECOND_US;
    return (least > longest / 2 ? least : longest / 2) + turns_chance(t, 0, longest - 1);
}

bool turns_retry(struct turns *t, uint32_t shopper, int64_t now_us, uint32_t after_s)
{
    const struct turns_shopper *who = &t->shoppers[shopper];
    if (t->conf.persist_us == 0) {
        return false;
    }
    int64_t due_us = now_us + backoff_us(t, who->tries, after_s);
    if (due_us > who->since_us + t->conf.persist_us) {
        return false;
    }
    heap_push(t, (struct turns_waiting){due_us, shopper});
    return true;
}

void turns_hurry(struct turns *t, int64_t now_us)
{
    t->hurry_us = now_us;
    if (t->next_us != TURNS_NEVER && t->next_us > now_us) {
        t->next_us = now_us;
    }
}

void turns_stop(struct turns *t)
{
    t->stopped = true;
}

bool turns_over(const struct turns *t)
{
    return t->stopped || (t->waiting == 0 && t->next_us == TURNS_NEVER);
}
