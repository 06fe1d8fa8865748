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
void html_charts(struct page *p);
void html_tables(struct page *p);

/* A section's title; or the sentence that stands for what the run does not have. */
void html_title(struct page *p, const char *title);
void html_absent(struct page *p, const char *what);
