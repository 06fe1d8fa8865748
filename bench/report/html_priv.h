/* html_priv.h - what the parts of a page share. */
#pragma once

#include "figure.h"
#include "html.h"

#include <stdbool.h>

struct page {
    const json_t *run;
    const json_t *other; /* NULL: nothing to compare with */
    FILE *out;
    bool failed; /* no memory */
};

/* One figure of a run: for the headline, and for the ratio of two runs. */
struct measure {
    const char *name;
    const char *path;
    enum unit unit;
    bool per_order; /* divided by the orders */
    bool less_is_better;
    bool headline;
};

/* Ended by a row without a name. */
extern const struct measure html_measures[];
/* NAN if the run does not have it. */
double html_measure(const json_t *run, const struct measure *m);

void html_head(struct page *p);
void html_foot(struct page *p);
/* Promises, thresholds, and the ratios to the other run. */
void html_verdicts(struct page *p);
/* The service's own audit. */
void html_audit(struct page *p);
void html_charts(struct page *p);
void html_tables(struct page *p);

/* A section's title; or the sentence that stands for what the run does not have. */
void html_title(struct page *p, const char *title);
void html_absent(struct page *p, const char *what);

/* A table whose rows say of which run they are, in a column behind the first, if there are two. */
void html_table(struct page *p, const char *caption, const char *const *heads);
void html_row(struct page *p, const json_t *run, const char *head);

/* What stands for the same thing in both runs; NULL where a run does not have it. */
typedef void (*html_pair_fn)(struct page *p, const json_t *mine, const json_t *others,
                             const void *arg);
/* One of them, in its run. */
typedef void (*html_item_fn)(struct page *p, const json_t *run, const json_t *item,
                             const void *arg);

/* The items of two lists: two are the same whose members named by keys (ended by NULL) are equal. */
void html_pairs(struct page *p, const json_t *items, const json_t *others, const char *const *keys,
                html_pair_fn pair, const void *arg);
/* Likewise, one after the other. */
void html_each(struct page *p, const json_t *items, const json_t *others, const char *const *keys,
               html_item_fn each, const void *arg);
/* The members of an object of both runs; arg is their name. */
void html_members(struct page *p, const char *path, html_pair_fn pair);
