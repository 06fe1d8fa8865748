#include "scenario.h"

#include "scenario_priv.h"
#include "values.h"

#include "base/ids.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>

enum kind { NUMBER, UNITS, DECIMAL, DURATION, FLAG, TEXT };

struct row {
    struct setting shown;
    enum kind kind;
    size_t offset;     /* of the field in struct scenario */
    uint64_t min, max; /* NUMBER: bounds; TEXT: max bytes */
};

#define AT(field) offsetof(struct scenario, field)

static const struct row rows[] = {
    {{"sale", "items", false, "N", "items of the sale"}, NUMBER, AT(items), 1, SCENARIO_ITEMS_MAX},
    {{"sale", "units", false, "N|enough", "units of each item; enough: nobody is refused"},
     UNITS,
     AT(units),
     1,
     1000000000},
    {{"sale", "qty", false, "N", "units per order"}, NUMBER, AT(qty), 1, 100},
    {{"sale", "limit", false, "N", "units per shopper and item"}, NUMBER, AT(limit), 1, 1000},
    {{"sale", "price", false, "N", "minor units of money"}, NUMBER, AT(price), 1, 100000000},
    {{"sale", "shards", false, "N", "shards of the sale"}, NUMBER, AT(shards), 1, 64},
    {{"sale", "zipf", false, "S", "popularity of items: item k is wanted as 1/k^S; 0: all alike"},
     DECIMAL,
     AT(zipf),
     0,
     10},
    {{"sale", "pay-within", false, "S", "seconds until an unpaid order expires"},
     NUMBER,
     AT(pay_within_s),
     1,
     86400},
    {{"load", "arrivals", false, "PLAN", "when shoppers come: see below"},
     TEXT,
     AT(arrivals),
     0,
     511},
    {{"load", "shoppers", false, "N", "at most so many; 0: as many as PLAN has"},
     NUMBER,
     AT(shoppers),
     0,
     SCENARIO_SHOPPERS_MAX},
    {{"load", "connections", false, "N", "one request at a time on each"},
     NUMBER,
     AT(connections),
     1,
     SCENARIO_CONNECTIONS_MAX},
    {{"load", "threads", false, "N", "threads of the load tool"},
     NUMBER,
     AT(threads),
     1,
     SCENARIO_THREADS_MAX},
    {{"load", "timeout", false, "TIME", "until a request counts as unanswered"},
     DURATION,
     AT(timeout_us),
     0,
     0},
    {{"load", "persist", false, "TIME",
      "how long a shopper asks again who got no answer or \"later\""},
     DURATION,
     AT(persist_us),
     0,
     0},
    {{"load", "impatient", true, "yes|no", "he does so at once, whatever Retry-After says"},
     FLAG,
     AT(impatient),
     0,
     0},
    {{"load", "again", false, "PERCENT", "so many who got an order ask for it once more"},
     NUMBER,
     AT(again_percent),
     0,
     100},
    {{"load", "async", false, "PERCENT", "so many prefer a 202 (respond-async)"},
     NUMBER,
     AT(async_percent),
     0,
     100},
};

enum { ROWS = sizeof(rows) / sizeof(rows[0]) };

const struct setting *scenario_setting(unsigned i)
{
    return i < ROWS ? &rows[i].shown : NULL;
}

void scenario_init(struct scenario *s)
{
    static const char *const names[NAME_KEPT] = {
        [NAME_SALE] = "sale",
        [NAME_SKU] = "sku",
        [NAME_QTY] = "qty",
        [NAME_SHOPPER] = "shopper",
    };
    *s = (struct scenario){
        .items = 1,
        .units = 50000,
        .qty = 1,
        .price = 9900,
        .shards = 1,
        .arrivals = "closed",
        .connections = 256,
        .threads = 1,
        .timeout_us = 30 * INT64_C(1000000),
    };
    s->names.n = NAME_KEPT;
    for (int i = 0; i < NAME_KEPT; i++) {
        snprintf(s->names.name[i], sizeof(s->names.name[i]), "%s", names[i]);
    }
}

static bool set_row(struct scenario *s, const struct row *row, const char *value)
{
    char *field = (char *)s + row->offset;
    uint64_t n = 0;
    bool good = false;
    switch (row->kind) {
    case UNITS:
        s->enough = strcmp(value, "enough") == 0;
        if (s->enough) {
            return true;
        }
        good = value_number(value, row->min, row->max, &n);
        *(uint32_t *)(void *)field = (uint32_t)n;
        return good;
    case NUMBER:
        good = value_number(value, row->min, row->max, &n);
        *(uint32_t *)(void *)field = (uint32_t)n;
        return good;
    case DECIMAL:
        return value_decimal(value, (double)row->min, (double)row->max, (double *)(void *)field);
    case DURATION: return value_duration(value, (int64_t *)(void *)field);
    case FLAG: return value_flag(value, (bool *)field);
    case TEXT: break;
    }
    if (*value == '\0' || strlen(value) > row->max) {
        return false;
    }
    snprintf(field, row->max + 1, "%s", value);
    return true;
}

static void want(const struct row *row, const char *value, char *error, size_t size)
{
    static const char *const kinds[] = {
        [DECIMAL] = "a decimal",     [DURATION] = "a duration such as 200ms, 30s, 2min",
        [FLAG] = "yes or no",        [TEXT] = "a text",
        [NUMBER] = "a whole number", [UNITS] = "\"enough\" or a whole number"};
    int at = snprintf(error, size, "%s: want %s", row->shown.key, kinds[row->kind]);
    if (at > 0 && (size_t)at < size && row->kind <= DECIMAL) {
        at += snprintf(error + at, size - (size_t)at, " from %llu to %llu",
                       (unsigned long long)row->min, (unsigned long long)row->max);
    }
    if (at > 0 && (size_t)at < size) {
        snprintf(error + at, size - (size_t)at, ", got \"%.80s\"", value);
    }
}

enum status scenario_set(struct scenario *s, const char *key, const char *value, char *error,
                         size_t size)
{
    for (unsigned i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].shown.key, key) != 0) {
            continue;
        }
        if (set_row(s, &rows[i], value)) {
            return ST_OK;
        }
        want(&rows[i], value, error, size);
        return ST_INVALID_REQUEST;
    }
    snprintf(error, size, "%.40s: no setting of a scenario", key);
    return ST_INVALID_REQUEST;
}

bool scenario_sets(const char *section, const char *key)
{
    for (unsigned i = 0; i < ROWS; i++) {
        if (strcmp(rows[i].shown.section, section) == 0 && strcmp(rows[i].shown.key, key) == 0) {
            return true;
        }
    }
    return false;
}

bool scenario_sells(const struct scenario *s)
{
    for (unsigned i = 0; i < s->steps_n; i++) {
        if (s->steps[i].orders) {
            return true;
        }
    }
    return false;
}

bool scenario_lapses(const struct scenario *s)
{
    for (unsigned i = 0; i < s->steps_n; i++) {
        const char *path = s->steps[i].target.text;
        size_t n = strlen(path);
        if (n > 7 && strcmp(path + n - 7, "/cancel") == 0) {
            return true;
        }
    }
    return s->pay_within_s > 0;
}

/* --- together --------------------------------------------------------------------------------- */

static const char *check_kind(const struct scenario *s, const struct shopper_kind *k)
{
    unsigned orders = 0;
    for (unsigned i = 0; i < k->steps; i++) {
        const struct step *step = &s->steps[k->first + i];
        orders += step->orders;
        if (step->orders && (step->repeat > 1 || step->until_field[0] != '\0')) {
            return "a step that buys cannot be repeated: each shopper has one order";
        }
        if (step->orders && i + 1 < k->steps && s->again_percent > 0) {
            return "again: works where buying is the last step";
        }
    }
    return k->steps == 0 ? "a shopper without a step"
           : orders > 1  ? "a shopper who buys twice: each has one order"
                         : NULL;
}

static const char *check_all(const struct scenario *s)
{
    if (s->steps_n == 0) {
        return "no [step NAME] at all";
    }
    for (unsigned i = 0; i < s->kinds_n; i++) {
        const char *why = check_kind(s, &s->kinds[i]);
        if (why) {
            return why;
        }
    }
    if (s->weight == 0) {
        return "the weights of all shoppers are 0";
    }
    if (s->timeout_us == 0) {
        return "timeout: 0 leaves no time for an answer";
    }
    if (!s->enough && s->units < s->qty) {
        return "units: fewer than qty, so that nobody could buy";
    }
    if (s->limit < s->qty) {
        return "limit: fewer than qty, so that nobody could buy";
    }
    if (s->connections < s->threads) {
        return "connections: fewer than threads";
    }
    return NULL;
}

enum status scenario_check(struct scenario *s, char *error, size_t size)
{
    s->limit = s->limit ? s->limit : s->qty;
    const char *why = check_all(s);
    if (why) {
        snprintf(error, size, "%s", why);
        return ST_INVALID_REQUEST;
    }
    return ST_OK;
}
