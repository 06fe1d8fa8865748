#include "figures.h"

#include <stdio.h>
#include <stdlib.h>

enum status figures_create(unsigned steps, struct figures **out)
{
    struct figures *f = calloc(1, sizeof(*f));
    struct step_figures *rows = calloc(steps ? steps : 1, sizeof(*rows));
    if (!f || !rows) {
        free(f);
        free(rows);
        return ST_INTERNAL;
    }
    f->steps = rows;
    f->steps_n = steps;
    *out = f;
    return ST_OK;
}

void figures_destroy(struct figures **f)
{
    if (*f) {
        free((*f)->steps);
        free(*f);
        *f = NULL;
    }
}

static void tally_add(struct step_figures *s, unsigned http, const char *code, bool expected,
                      uint64_t n)
{
    for (unsigned i = 0; i < s->tallies_n; i++) {
        struct tally *t = &s->tallies[i];
        if (t->http == http && t->expected == expected && strcmp(t->code, code) == 0) {
            t->n += n;
            return;
        }
    }
    bool last = s->tallies_n >= FIGURES_TALLIES - 1;
    struct tally *t = &s->tallies[last ? FIGURES_TALLIES - 1 : s->tallies_n];
    s->tallies_n = last ? FIGURES_TALLIES : s->tallies_n + 1;
    t->http = last ? 0 : http;
    t->expected = !last && expected;
    t->n += n;
    snprintf(t->code, sizeof(t->code), "%s", last ? "others" : code);
}

void figures_tally(struct step_figures *s, unsigned http, struct str code, bool expected)
{
    char text[FIGURES_CODE_MAX];
    size_t n = code.n < sizeof(text) ? code.n : 0;
    if (n > 0) {
        memcpy(text, code.p, n);
    }
    text[n] = '\0';
    tally_add(s, http, text, expected, 1);
}

static void add_moments(struct figures *to, const struct figures *from)
{
    for (int m = 0; m < MOMENTS; m++) {
        int64_t ours = figures_moment(to, (enum moment)m);
        int64_t theirs = figures_moment(from, (enum moment)m);
        bool first = m == AT_FIRST_SEND || m == AT_FIRST_REFUSAL;
        if (theirs != 0 && (ours == 0 || (first ? theirs < ours : theirs > ours))) {
            figures_at(to, (enum moment)m, theirs);
        }
    }
}

void figures_add(struct figures *to, const struct figures *from)
{
    for (int c = 0; c < COUNTS; c++) {
        figures_count(to, (enum count)c, figures_get(from, (enum count)c));
    }
    add_moments(to, from);
    for (int of = 0; of < OFS; of++) {
        hist_add(&to->latency[of], &from->latency[of]);
        hist_add(&to->service[of], &from->service[of]);
    }
    hist_add(&to->late, &from->late);
    to->very_late += from->very_late;
    for (unsigned i = 0; i < to->steps_n; i++) {
        const struct step_figures *s = &from->steps[i];
        to->steps[i].sent += s->sent;
        hist_add(&to->steps[i].latency, &s->latency);
        hist_add(&to->steps[i].service, &s->service);
        for (unsigned k = 0; k < s->tallies_n; k++) {
            const struct tally *t = &s->tallies[k];
            tally_add(&to->steps[i], t->http, t->code, t->expected, t->n);
        }
    }
}
