/* patrol_priv.h - what the look and the audit share. */
#pragma once

#include "flow/audit.h"
#include "flow/patrol.h"

struct watch;

/* What the last audits of a sale found; bits are places in audit.check. */
struct round_sale {
    uint32_t no;
    uint32_t broken;     /* known to be, and logged */
    uint32_t suspect;    /* failed, but work under way may explain it */
    uint64_t shards_off; /* likewise: shards whose holds differ */
    int64_t suspect_us;  /* since when */
};

struct patrol {
    const struct engine *engine;
    struct patrol_pace pace;
    /* The look's: by live_shard.index. */
    struct watch **watch;
    unsigned watches;
    /* The audit's. */
    struct round_sale *sale;
    unsigned sales;
    uint32_t last;         /* number of the sale that was audited last */
    bool again;            /* it is to be the next, too */
    int64_t next_us;       /* no audit before */
    int64_t left, left_us; /* units that open sales had left at the last call */
    /* For the gauge: what is wrong now. */
    _Atomic unsigned unbalanced; /* items of shards */
    _Atomic unsigned broken;     /* sales */
};

/* Brings the gauge up to date. */
void patrol_show(const struct patrol *p);
/* Asks for the rebuild, logs and counts it. what: which figures differ; sku may be empty. */
void patrol_heal(struct session *s, const struct sale *sale, unsigned shard, int64_t epoch,
                 const char *what, struct str sku, int64_t expected, int64_t found,
                 int64_t since_us);
/* Logs and counts a broken promise. */
void patrol_broken(struct session *s, const struct sale *sale, const char *promise,
                   const char *check, int64_t expected, int64_t found);
