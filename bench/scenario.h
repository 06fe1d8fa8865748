/* scenario.h - what a run does: the sale, the load, the shoppers and their steps.
 *
 * Read from a small text file (README.md tells its keys), overridden by the command line: both go
 * through scenario_set, so a setting has one name, one reading and one bound. Read-only while it
 * runs. One thread.
 */
#pragma once

#include "template.h"

#include "base/status.h"

enum {
    SCENARIO_NAME_MAX = 31,
    SCENARIO_KINDS_MAX = 8,
    SCENARIO_STEPS_MAX = 24,
    SCENARIO_EXPECTED_MAX = 8,
    SCENARIO_KEEPS_MAX = 2, /* per step */
    SCENARIO_KEPT_MAX = 4,  /* names of kept values */
    SCENARIO_CODE_MAX = 47,
    SCENARIO_ITEMS_MAX = 1000,
    SCENARIO_SHOPPERS_MAX = 10000000,
    SCENARIO_CONNECTIONS_MAX = 50000,
    SCENARIO_THREADS_MAX = 64,
};

/* What a template may name; kept values follow. */
enum scenario_name { NAME_SALE, NAME_SKU, NAME_QTY, NAME_SHOPPER, NAME_KEPT };

enum step_as { AS_SHOPPER, AS_STOREFRONT, AS_NOBODY };

/* An answer that is right: a status and, unless empty, the code of its problem. */
struct expected {
    unsigned http;
    char code[SCENARIO_CODE_MAX + 1];
};

struct keep {
    uint8_t kept; /* number of the kept value */
    char field[SCENARIO_NAME_MAX + 1];
};

struct step {
    char name[SCENARIO_NAME_MAX + 1];
    char method[8];
    struct template target;    /* a path, or a whole URL */
    struct template body, key; /* not given: none */
    enum step_as as;
    int64_t think_from_us, think_to_us; /* before it */
    struct expected expected[SCENARIO_EXPECTED_MAX];
    unsigned expected_n;
    struct keep keep[SCENARIO_KEEPS_MAX];
    unsigned keep_n;
    char until_field[SCENARIO_NAME_MAX + 1]; /* asked again until it has this value; empty: once */
    char until_value[SCENARIO_NAME_MAX + 1];
    int64_t every_us, within_us; /* of until */
    int64_t stream_us;           /* an event stream, held open so long; 0: an ordinary answer */
    uint32_t repeat;             /* so many times in a row */
    bool orders;                 /* it buys: POST /v1/orders */
};

struct shopper_kind {
    char name[SCENARIO_NAME_MAX + 1];
    uint32_t weight;
    unsigned first, steps; /* in scenario.steps */
};

struct scenario {
    char name[SCENARIO_NAME_MAX + 1];
    char about[128];
    /* the sale */
    uint32_t items;
    uint32_t units; /* of each item; 0 with `enough`, until scenario_check */
    bool enough;    /* as many as all shoppers could want */
    uint32_t qty, limit, price, shards, pay_within_s;
    double zipf; /* exponent of the items' popularity; 0: all alike */
    /* the load */
    char arrivals[512];
    uint32_t shoppers; /* 0: as many as arrive */
    uint32_t connections, threads;
    int64_t timeout_us, persist_us;
    uint32_t again_percent, async_percent;
    bool impatient;

    struct template_names names;
    struct shopper_kind kinds[SCENARIO_KINDS_MAX];
    unsigned kinds_n;
    uint32_t weight; /* of all kinds */
    struct step steps[SCENARIO_STEPS_MAX];
    unsigned steps_n;
};

struct setting {
    const char *section, *key;
    bool is_flag;
    const char *value; /* what it takes, for help */
    const char *help;
};

/* Settings of [sale] and [load], which the command line may override; NULL after the last. */
const struct setting *scenario_setting(unsigned i);

/* Defaults, before a file is read. */
void scenario_init(struct scenario *s);
/* Reads a file. ST_OK; ST_INVALID_REQUEST: error has file, line and what was wanted. */
STATUS_MUSTCHECK
enum status scenario_read(struct scenario *s, const char *path, char *error, size_t size);
/* One setting of [sale] or [load]. */
STATUS_MUSTCHECK
enum status scenario_set(struct scenario *s, const char *key, const char *value, char *error,
                         size_t size);
/* Each setting is sound by itself; now together. */
STATUS_MUSTCHECK
enum status scenario_check(struct scenario *s, char *error, size_t size);

/* Whether some step buys. */
bool scenario_sells(const struct scenario *s);
/* Whether an order may be given back while the run goes on. */
bool scenario_lapses(const struct scenario *s);
