#include "arrivals.h"

#include "text.h"
#include "values.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum shape { RAMP, POISSON, SPIKE, REPLAY };

/* A constant rate is a ramp that does not rise, a pause one of no arrivals. */
struct segment {
    enum shape shape;
    double from, to; /* RAMP, POISSON: arrivals a microsecond at its begin and end */
    double length_us;
    double begin_us;    /* from the start of the plan */
    uint64_t first, n;  /* number of its first arrival, and how many */
    uint64_t seed;      /* POISSON */
    double *offsets_us; /* REPLAY */
};

struct arrivals {
    struct segment segments[ARRIVALS_SEGMENTS_MAX];
    unsigned n;
    uint64_t count;
    double length_us;
    uint64_t seed;
    bool closed;
};

/* SplitMix64, as a number above 0 and up to 1. */
static double chance(uint64_t *state)
{
    uint64_t z = *state += UINT64_C(0x9E3779B97F4A7C15);
    z = (z ^ (z >> 30)) * UINT64_C(0xBF58476D1CE4E5B9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94D049BB133111EB);
    return ((double)((z ^ (z >> 31)) >> 11) + 1) / 9007199254740992.0;
}

/* --- reading ----------------------------------------------------------------------------------- */

struct parse {
    struct arrivals *a;
    char *words[512];
    unsigned n, at;
    char *error;
    size_t size;
};

static bool wrong(struct parse *p, const char *want)
{
    snprintf(p->error, p->size, "arrivals: want %s, got \"%.60s\"", want,
             p->at < p->n ? p->words[p->at] : "nothing more");
    return false;
}

static bool word(struct parse *p, const char *text)
{
    if (p->at < p->n && strcmp(p->words[p->at], text) == 0) {
        p->at++;
        return true;
    }
    return wrong(p, text);
}

/* "2000/s"; out per microsecond */
static bool rate(struct parse *p, double *out)
{
    char number[32];
    const char *text = p->at < p->n ? p->words[p->at] : "";
    size_t n = strlen(text);
    double v = 0;
    if (n > 2 && n < sizeof(number) && strcmp(text + n - 2, "/s") == 0) {
        snprintf(number, sizeof(number), "%.*s", (int)n - 2, text);
        if (value_decimal(number, 0, 10e6, &v)) {
            *out = v / 1e6;
            p->at++;
            return true;
        }
    }
    return wrong(p, "a rate such as 2000/s");
}

static bool length(struct parse *p, double *us)
{
    int64_t v = 0;
    if (p->at < p->n && value_duration(p->words[p->at], &v) && v > 0) {
        *us = (double)v;
        p->at++;
        return true;
    }
    return wrong(p, "a duration such as 30s");
}

static bool too_much(struct parse *p)
{
    snprintf(p->error, p->size, "arrivals: more than %d segments or %d arrivals",
             ARRIVALS_SEGMENTS_MAX, ARRIVALS_MAX);
    return false;
}

static bool add(struct parse *p, struct segment s)
{
    struct arrivals *a = p->a;
    if (a->n == ARRIVALS_SEGMENTS_MAX || a->count + s.n > ARRIVALS_MAX) {
        free(s.offsets_us);
        return too_much(p);
    }
    s.begin_us = a->length_us;
    s.first = a->count;
    a->segments[a->n++] = s;
    a->count += s.n;
    a->length_us += s.length_us;
    return true;
}

/* The area under the rate is how many come; rounded, since 2000/s for 30s is 60000 exactly. */
static bool add_ramp(struct parse *p, double from, double to, double us)
{
    double n = floor((from + to) / 2 * us + 1e-6);
    if (n > ARRIVALS_MAX) {
        n = ARRIVALS_MAX + 1.0;
    }
    return add(p, (struct segment){RAMP, from, to, us, 0, 0, (uint64_t)n, 0, NULL});
}

static bool read_constant(struct parse *p)
{
    double r = 0;
    double us = 0;
    return rate(p, &r) && word(p, "for") && length(p, &us) && add_ramp(p, r, r, us);
}

static bool read_ramp(struct parse *p)
{
    double from = 0;
    double to = 0;
    double us = 0;
    return rate(p, &from) && word(p, "to") && rate(p, &to) && word(p, "for") && length(p, &us) &&
           add_ramp(p, from, to, us);
}

static bool read_poisson(struct parse *p)
{
    double r = 0;
    double us = 0;
    if (!rate(p, &r) || !word(p, "for") || !length(p, &us)) {
        return false;
    }
    struct segment s = {POISSON, r, r, us, 0, 0, 0, 0, NULL};
    s.seed = p->a->seed + p->a->n * UINT64_C(0xD1342543DE82EF95);
    /* Drawn once to know how many come; each cursor draws the same again. */
    uint64_t state = s.seed;
    double at = 0;
    while (r > 0 && s.n <= ARRIVALS_MAX) {
        at -= log(chance(&state)) / r;
        if (at >= us) {
            break;
        }
        s.n++;
    }
    return add(p, s);
}

static bool read_spike(struct parse *p)
{
    uint64_t n = 0;
    if (p->at == p->n || !value_number(p->words[p->at], 1, ARRIVALS_MAX, &n)) {
        return wrong(p, "how many come at once");
    }
    p->at++;
    return add(p, (struct segment){SPIKE, 0, 0, 0, 0, 0, n, 0, NULL});
}

static bool read_steps(struct parse *p)
{
    double rates[ARRIVALS_SEGMENTS_MAX] = {0};
    double us = 0;
    unsigned n = 0;
    do {
        if (n == ARRIVALS_SEGMENTS_MAX) {
            return too_much(p);
        }
        if (!rate(p, &rates[n])) {
            return false;
        }
        n++;
    } while (p->at < p->n && strcmp(p->words[p->at], "for") != 0);
    if (!word(p, "for") || !length(p, &us) || !word(p, "each")) {
        return false;
    }
    for (unsigned i = 0; i < n; i++) {
        if (!add_ramp(p, rates[i], rates[i], us)) {
            return false;
        }
    }
    return true;
}

static bool read_pause(struct parse *p)
{
    double us = 0;
    return length(p, &us) && add_ramp(p, 0, 0, us);
}

/* The number in a line of a recording; a line without one leaves *found false. */
static bool replay_line(char *line, double *at, bool *found)
{
    line[strcspn(line, "#")] = '\0';
    char *text = line + strspn(line, " \t");
    text[strcspn(text, " \t")] = '\0';
    *found = *text != '\0';
    return !*found || value_decimal(text, 0, 604800, at);
}

static bool replay_add(struct segment *s, size_t *cap, double at_us)
{
    if (s->n == *cap) {
        size_t more_cap = *cap > 0 ? *cap * 2 : 1024;
        double *more = realloc(s->offsets_us, more_cap * sizeof(*more));
        if (!more) {
            return false;
        }
        s->offsets_us = more;
        *cap = more_cap;
    }
    s->offsets_us[s->n++] = at_us;
    s->length_us = at_us;
    return true;
}

static bool replay_file(struct parse *p, const char *path, FILE *file, struct segment *s)
{
    char line[4096];
    size_t cap = 0;
    bool good = true;
    enum text_line read;
    for (unsigned n = 1; good && (read = text_line(file, line, sizeof(line))) != LINE_END; n++) {
        double at = 0;
        bool found = false;
        good = read == LINE_READ && replay_line(line, &at, &found) &&
               (!found || at * 1e6 >= s->length_us);
        if (!good) {
            snprintf(p->error, p->size,
                     "arrivals: %.200s:%u: want seconds, not fewer than in the line before", path,
                     n);
        } else if (found && (s->n == ARRIVALS_MAX || !replay_add(s, &cap, at * 1e6))) {
            good = too_much(p);
        }
    }
    return good;
}

static bool read_replay(struct parse *p)
{
    if (p->at == p->n) {
        return wrong(p, "a file");
    }
    const char *path = p->words[p->at];
    FILE *file = fopen(path, "re");
    if (!file) {
        snprintf(p->error, p->size, "arrivals: replay %.200s: %s", path, strerror(errno));
        return false;
    }
    struct segment s = {.shape = REPLAY};
    bool good = replay_file(p, path, file, &s);
    fclose(file);
    if (!good) {
        free(s.offsets_us);
        return false;
    }
    p->at++;
    return add(p, s);
}

static bool read_segment(struct parse *p)
{
    static const struct {
        const char *name;
        bool (*read)(struct parse *p);
    } shapes[] = {{"constant", read_constant}, {"ramp", read_ramp},   {"poisson", read_poisson},
                  {"spike", read_spike},       {"steps", read_steps}, {"pause", read_pause},
                  {"replay", read_replay}};
    for (size_t i = 0; p->at < p->n && i < sizeof(shapes) / sizeof(shapes[0]); i++) {
        if (strcmp(p->words[p->at], shapes[i].name) == 0) {
            p->at++;
            return shapes[i].read(p);
        }
    }
    return wrong(p, p->n > 1 ? "constant, ramp, poisson, spike, steps, pause or replay"
                             : "closed, constant, ramp, poisson, spike, steps, pause or replay");
}

static bool read_plan(struct parse *p)
{
    if (p->n == 1 && strcmp(p->words[0], "closed") == 0) {
        p->a->closed = true;
        return true;
    }
    do {
        if (!read_segment(p)) {
            return false;
        }
    } while (p->at < p->n && word(p, "then"));
    if (p->at < p->n) {
        return false;
    }
    if (p->a->count == 0) {
        snprintf(p->error, p->size, "arrivals: nobody comes");
        return false;
    }
    return true;
}

enum status arrivals_parse(const char *text, uint64_t seed, struct arrivals **out, char *error,
                           size_t size)
{
    struct parse p = {.error = error, .size = size};
    char *copy = strdup(text);
    char *rest = NULL;
    p.a = calloc(1, sizeof(*p.a));
    if (!copy || !p.a) {
        free(copy);
        free(p.a);
        snprintf(error, size, "no memory");
        return ST_INTERNAL;
    }
    p.a->seed = seed;
    char *w = strtok_r(copy, " \t", &rest);
    while (w && p.n < sizeof(p.words) / sizeof(p.words[0])) {
        p.words[p.n++] = w;
        w = strtok_r(NULL, " \t", &rest);
    }
    bool good = w ? too_much(&p) : read_plan(&p);
    free(copy);
    if (!good) {
        arrivals_destroy(&p.a);
        return ST_INVALID_REQUEST;
    }
    *out = p.a;
    return ST_OK;
}

void arrivals_destroy(struct arrivals **a)
{
    for (unsigned i = 0; *a && i < (*a)->n; i++) {
        free((*a)->segments[i].offsets_us);
    }
    free(*a);
    *a = NULL;
}

bool arrivals_closed(const struct arrivals *a)
{
    return a->closed;
}

uint64_t arrivals_count(const struct arrivals *a)
{
    return a->count;
}

int64_t arrivals_length_us(const struct arrivals *a)
{
    return llround(a->length_us);
}

/* --- taking ------------------------------------------------------------------------------------ */

static void enter_segment(struct arrivals_cursor *c, unsigned segment)
{
    c->segment = segment;
    c->seen = 0;
    c->drawn_us = 0;
    c->chance = segment < c->arrivals->n ? c->arrivals->segments[segment].seed : 0;
}

void arrivals_begin(const struct arrivals *a, uint64_t first, uint64_t step,
                    struct arrivals_cursor *c)
{
    *c = (struct arrivals_cursor){.arrivals = a, .at = first, .step = step};
    enter_segment(c, 0);
}

/* When the k-th (from 0) of a ramp comes: k = from t + (to - from) t^2 / 2 length, solved for t in the
 * form that is exact for small slopes, too (Numerical Recipes 5.6). */
static double ramp_us(const struct segment *s, uint64_t k)
{
    double slope = (s->to - s->from) / s->length_us;
    double root = s->from * s->from + 2 * slope * (double)k;
    double below = s->from + sqrt(root > 0 ? root : 0);
    return below > 0 ? 2 * (double)k / below : 0;
}

static double poisson_us(struct arrivals_cursor *c, const struct segment *s, uint64_t k)
{
    while (c->seen <= k) {
        c->drawn_us -= log(chance(&c->chance)) / s->from;
        c->seen++;
    }
    return c->drawn_us;
}

bool arrivals_next(struct arrivals_cursor *c, int64_t *at_us)
{
    const struct arrivals *a = c->arrivals;
    if (c->at >= a->count) {
        return false;
    }
    while (c->at >= a->segments[c->segment].first + a->segments[c->segment].n) {
        enter_segment(c, c->segment + 1);
    }
    const struct segment *s = &a->segments[c->segment];
    uint64_t k = c->at - s->first;
    double within = 0;
    switch (s->shape) {
    case RAMP: within = ramp_us(s, k); break;
    case POISSON: within = poisson_us(c, s, k); break;
    case REPLAY: within = s->offsets_us[k]; break;
    case SPIKE: break;
    }
    c->at += c->step;
    *at_us = llround(s->begin_us + within);
    return true;
}
