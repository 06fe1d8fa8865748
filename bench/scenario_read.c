/* Reading a scenario's file: libinih cuts lines into keys and values, section lines are looked at
 * here, since one without keys would otherwise go unnoticed. */
#include "scenario_priv.h"
#include "text.h"
#include "values.h"

#include "base/ids.h"

#include <ini.h>

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>

enum { SECTION_MAX = 80 };

struct reading {
    struct scenario *s;
    const char *path;
    FILE *file;
    unsigned line;
    char section[SECTION_MAX];            /* "sale", "load", "scenario", "shopper x", "step x" */
    char seen[64][SCENARIO_NAME_MAX + 1]; /* keys of this section */
    unsigned seen_n;
    struct shopper_kind *kind;
    struct step *step;
    enum status st;
    char *error;
    size_t size;
};

static bool __attribute__((format(printf, 2, 3))) fault(struct reading *r, const char *fmt, ...)
{
    va_list args;
    if (r->st != ST_OK) {
        return false; /* the first fault is the one to tell */
    }
    int at = snprintf(r->error, r->size, "%s:%u: ", r->path, r->line);
    va_start(args, fmt);
    if (at > 0 && (size_t)at < r->size) {
        vsnprintf(r->error + at, r->size - (size_t)at, fmt, args);
    }
    va_end(args);
    r->st = ST_INVALID_REQUEST;
    return false;
}

/* --- keys of a step ---------------------------------------------------------------------------- */

static bool set_template(struct reading *r, struct template *t, const char *value)
{
    char why[256];
    return template_parse(value, &r->s->names, t, why, sizeof(why)) || fault(r, "%s", why);
}

/* "POST /v1/orders" */
static bool set_send(struct reading *r, const char *value)
{
    static const char *const methods[] = {"GET", "POST", "PUT", "DELETE", "PATCH"};
    struct step *step = r->step;
    size_t n = strcspn(value, " ");
    const char *target = value + n + strspn(value + n, " ");
    for (size_t i = 0; i < sizeof(methods) / sizeof(methods[0]); i++) {
        if (strlen(methods[i]) == n && strncmp(methods[i], value, n) == 0) {
            snprintf(step->method, sizeof(step->method), "%s", methods[i]);
        }
    }
    bool is_url = strncmp(target, "http://", 7) == 0 || strncmp(target, "${", 2) == 0;
    if (step->method[0] == '\0' || (target[0] != '/' && !is_url) || strpbrk(target, " \t")) {
        return fault(r, "send: want a method and a path, such as GET /v1/sales/${sale}");
    }
    step->orders = strcmp(value, "POST /v1/orders") == 0;
    return set_template(r, &step->target, target);
}

static bool set_body(struct reading *r, const char *value)
{
    return set_template(r, &r->step->body, value);
}

static bool set_key(struct reading *r, const char *value)
{
    return set_template(r, &r->step->key, value);
}

static bool set_as(struct reading *r, const char *value)
{
    static const char *const words[] = {
        [AS_SHOPPER] = "shopper", [AS_STOREFRONT] = "storefront", [AS_NOBODY] = "nobody"};
    for (int i = AS_SHOPPER; i <= AS_NOBODY; i++) {
        if (strcmp(value, words[i]) == 0) {
            r->step->as = (enum step_as)i;
            return true;
        }
    }
    return fault(r, "as: want shopper, storefront or nobody, got \"%.40s\"", value);
}

/* "200ms", or "200ms to 2s" */
static bool set_think(struct reading *r, const char *value)
{
    char from[64];
    struct step *step = r->step;
    const char *to = strstr(value, " to ");
    size_t n = to ? (size_t)(to - value) : strlen(value);
    snprintf(from, sizeof(from), "%.*s", (int)(n < sizeof(from) ? n : 0), value);
    if (!value_duration(from, &step->think_from_us) ||
        !value_duration(to ? to + 4 : from, &step->think_to_us) ||
        step->think_to_us < step->think_from_us) {
        return fault(r, "think: want a duration, or two as in 200ms to 2s, got \"%.80s\"", value);
    }
    return true;
}

/* "409 sold_out", or "201" */
static bool read_expected(const char *text, struct expected *e)
{
    char number[4] = "";
    uint64_t http = 0;
    size_t n = strspn(text, "0123456789");
    const char *code = text + n + strspn(text + n, " ");
    size_t code_n = strspn(code, "abcdefghijklmnopqrstuvwxyz_");
    if (n != 3 || code[code_n + strspn(code + code_n, " ")] != '\0' || code_n > SCENARIO_CODE_MAX) {
        return false;
    }
    snprintf(number, sizeof(number), "%.3s", text);
    snprintf(e->code, sizeof(e->code), "%.*s", (int)code_n, code);
    bool good = value_number(number, 200, 599, &http);
    e->http = (unsigned)http;
    return good;
}

/* "201, 409 sold_out" */
static bool set_expect(struct reading *r, const char *value)
{
    struct step *step = r->step;
    step->expected_n = 0;
    for (const char *at = value; *at;) {
        char one[64];
        at += strspn(at, " ");
        size_t n = strcspn(at, ",");
        snprintf(one, sizeof(one), "%.*s", (int)(n < sizeof(one) ? n : 0), at);
        if (step->expected_n == SCENARIO_EXPECTED_MAX ||
            !read_expected(one, &step->expected[step->expected_n])) {
            return fault(
                r, "expect: want statuses, each with or without a code, as in 201, 409 sold_out");
        }
        step->expected_n++;
        at += n;
        at += *at == ',';
    }
    return true;
}

/* "order from id" */
static bool set_keep(struct reading *r, const char *value)
{
    struct template_names *names = &r->s->names;
    struct step *step = r->step;
    char name[SCENARIO_NAME_MAX + 1], field[SCENARIO_NAME_MAX + 1], more;
    if (sscanf(value, "%31[a-z0-9_] from %31[a-z0-9_]%c", name, field, &more) != 2) {
        return fault(r, "keep: want a name and a field of the answer, as in order from id");
    }
    int at = template_name(names, str_from(name));
    if (at >= 0 && at < NAME_KEPT) {
        return fault(r, "keep: ${%s} is something else already", name);
    }
    if (at < 0 && names->n == NAME_KEPT + SCENARIO_KEPT_MAX) {
        return fault(r, "keep: more than %d kept values", SCENARIO_KEPT_MAX);
    }
    if (step->keep_n == SCENARIO_KEEPS_MAX) {
        return fault(r, "keep: more than %d in one step", SCENARIO_KEEPS_MAX);
    }
    if (at < 0) {
        at = (int)names->n++;
        snprintf(names->name[at], sizeof(names->name[at]), "%s", name);
    }
    struct keep *keep = &step->keep[step->keep_n++];
    keep->kept = (uint8_t)(at - NAME_KEPT);
    snprintf(keep->field, sizeof(keep->field), "%s", field);
    return true;
}

/* "state paid" */
static bool set_until(struct reading *r, const char *value)
{
    char more;
    if (sscanf(value, "%31[a-z0-9_] %31[a-z0-9_]%c", r->step->until_field, r->step->until_value,
               &more) != 2) {
        return fault(r, "until: want a field of the answer and its value, as in state paid");
    }
    return true;
}

static bool set_time(struct reading *r, const char *key, const char *value, int64_t *us)
{
    return (value_duration(value, us) && *us > 0) ||
           fault(r, "%s: want a duration such as 50ms or 10s, got \"%.40s\"", key, value);
}

static bool set_every(struct reading *r, const char *value)
{
    return set_time(r, "every", value, &r->step->every_us);
}

static bool set_within(struct reading *r, const char *value)
{
    return set_time(r, "within", value, &r->step->within_us);
}

static bool set_stream(struct reading *r, const char *value)
{
    return set_time(r, "stream", value, &r->step->stream_us);
}

static bool set_repeat(struct reading *r, const char *value)
{
    uint64_t n = 0;
    if (!value_number(value, 1, 60000, &n)) {
        return fault(r, "repeat: want a whole number from 1 to 60000, got \"%.40s\"", value);
    }
    r->step->repeat = (uint32_t)n;
    return true;
}

static const struct {
    const char *key;
    bool (*set)(struct reading *r, const char *value);
} step_keys[] = {
    {"send", set_send},   {"body", set_body},     {"as", set_as},         {"key", set_key},
    {"think", set_think}, {"expect", set_expect}, {"keep", set_keep},     {"until", set_until},
    {"every", set_every}, {"within", set_within}, {"stream", set_stream}, {"repeat", set_repeat},
};

static bool set_step(struct reading *r, const char *key, const char *value)
{
    for (size_t i = 0; i < sizeof(step_keys) / sizeof(step_keys[0]); i++) {
        if (strcmp(step_keys[i].key, key) == 0) {
            return step_keys[i].set(r, value);
        }
    }
    return fault(r,
                 "%.40s: no key of a step; there are send, body, as, key, think, expect, keep, "
                 "until, every, within, stream, repeat",
                 key);
}

/* --- sections ---------------------------------------------------------------------------------- */

/* A step is whole when the next section begins. */
static bool end_step(struct reading *r)
{
    struct step *step = r->step;
    r->step = NULL;
    if (!step) {
        return true;
    }
    if (step->method[0] == '\0') {
        return fault(r, "[step %s] above has no send", step->name);
    }
    if (step->until_field[0] != '\0' && (step->every_us == 0 || step->within_us == 0)) {
        return fault(r, "[step %s] above: until needs every and within", step->name);
    }
    if (step->until_field[0] != '\0' && (step->repeat > 1 || step->stream_us > 0)) {
        return fault(r, "[step %s] above: either until, or repeat or stream", step->name);
    }
    if (step->expected_n == 0) {
        step->expected[step->expected_n++] = (struct expected){200, ""};
    }
    return true;
}

static bool begin_kind(struct reading *r, const char *name)
{
    struct scenario *s = r->s;
    if (s->kinds_n == SCENARIO_KINDS_MAX) {
        return fault(r, "more than %d kinds of shoppers", SCENARIO_KINDS_MAX);
    }
    r->kind = &s->kinds[s->kinds_n++];
    *r->kind = (struct shopper_kind){.weight = 1, .first = s->steps_n};
    snprintf(r->kind->name, sizeof(r->kind->name), "%s", name);
    s->weight++;
    return true;
}

static bool begin_step(struct reading *r, const char *name)
{
    struct scenario *s = r->s;
    if (!r->kind && !begin_kind(r, "shopper")) {
        return false;
    }
    if (s->steps_n == SCENARIO_STEPS_MAX) {
        return fault(r, "more than %d steps", SCENARIO_STEPS_MAX);
    }
    for (unsigned i = 0; i < s->steps_n; i++) {
        if (strcmp(s->steps[i].name, name) == 0) {
            return fault(r, "[step %s] is there twice", name);
        }
    }
    r->step = &s->steps[s->steps_n++];
    r->kind->steps++;
    *r->step = (struct step){.repeat = 1};
    snprintf(r->step->name, sizeof(r->step->name), "%s", name);
    return true;
}

static bool begin_section(struct reading *r, const char *line)
{
    char word[SECTION_MAX] = "", name[SCENARIO_NAME_MAX + 1] = "";
    int end = 0;
    r->seen_n = 0;
    r->section[0] = '\0';
    if (!end_step(r)) {
        return false;
    }
    if (sscanf(line, "[%79[a-z] %31[A-Za-z0-9_-]]%n", word, name, &end) < 2 || end == 0) {
        name[0] = '\0';
        sscanf(line, "[%79[a-z]]%n", word, &end);
    }
    if (end == 0 || line[end] != '\0') {
        word[0] = '\0';
    }
    snprintf(r->section, sizeof(r->section), "%s", word);
    if (strcmp(word, "shopper") == 0 && *name) {
        return begin_kind(r, name);
    }
    if (strcmp(word, "step") == 0 && *name) {
        return begin_step(r, name);
    }
    bool known =
        strcmp(word, "scenario") == 0 || strcmp(word, "sale") == 0 || strcmp(word, "load") == 0;
    return (known && !*name) ||
           fault(r, "want [scenario], [sale], [load], [shopper NAME] or [step NAME]");
}

static bool set_weight(struct reading *r, const char *key, const char *value)
{
    uint64_t n = 0;
    if (strcmp(key, "weight") != 0) {
        return fault(r, "%.40s: no key of a shopper; there is weight", key);
    }
    if (!value_number(value, 0, 1000000, &n)) {
        return fault(r, "weight: want a whole number up to 1000000, got \"%.40s\"", value);
    }
    r->s->weight += (uint32_t)n - r->kind->weight;
    r->kind->weight = (uint32_t)n;
    return true;
}

static bool set_about(struct reading *r, const char *key, const char *value)
{
    if (strcmp(key, "about") != 0) {
        return fault(r, "%.40s: no key of [scenario]; there is about", key);
    }
    snprintf(r->s->about, sizeof(r->s->about), "%s", value);
    return true;
}

/* keep may be there several times; anything else twice is a slip. */
static bool first_time(struct reading *r, const char *key)
{
    for (unsigned i = 0; i < r->seen_n; i++) {
        if (strcmp(r->seen[i], key) == 0 && strcmp(key, "keep") != 0) {
            return fault(r, "%.40s is given twice; a value has to stand on one line", key);
        }
    }
    if (r->seen_n < sizeof(r->seen) / sizeof(r->seen[0])) {
        snprintf(r->seen[r->seen_n++], sizeof(r->seen[0]), "%s", key);
    }
    return true;
}

static int on_pair(void *user, const char *section, const char *key, const char *value)
{
    struct reading *r = user;
    char why[256];
    if (r->st != ST_OK || !first_time(r, key)) {
        return 0;
    }
    if (strcmp(r->section, "step") == 0) {
        return set_step(r, key, value);
    }
    if (strcmp(r->section, "shopper") == 0) {
        return set_weight(r, key, value);
    }
    if (strcmp(r->section, "scenario") == 0) {
        return set_about(r, key, value);
    }
    if (r->section[0] == '\0') {
        return fault(r, "a key before the first [section]");
    }
    if (!scenario_sets(r->section, key)) {
        return fault(r, "%.40s: no key of [%s]", key, r->section);
    }
    return scenario_set(r->s, key, value, why, sizeof(why)) == ST_OK || fault(r, "%s", why);
}

/* For inih, which would take the rest of a long line for a line of its own. */
static char *read_line(char *to, int size, void *user)
{
    struct reading *r = user;
    char line[SECTION_MAX + 2];
    enum text_line found = r->st == ST_OK ? text_line(r->file, to, (size_t)size) : LINE_END;
    if (found == LINE_END) {
        return NULL;
    }
    r->line++;
    if (found == LINE_BAD) {
        fault(r, "longer than %d bytes, or no text", size - 2);
        return NULL;
    }
    if (to[0] == '[') {
        size_t end = strcspn(to, ";#");
        while (end > 0 && (to[end - 1] == ' ' || to[end - 1] == '\t')) {
            end--;
        }
        snprintf(line, sizeof(line), "%.*s", (int)end, to);
        if (!begin_section(r, line)) {
            return NULL;
        }
    }
    return to;
}

/* "bench/scenarios/rush.ini" is called rush. */
static bool name_scenario(struct scenario *s, const char *path)
{
    const char *base = strrchr(path, '/') ? strrchr(path, '/') + 1 : path;
    const char *dot = strrchr(base, '.');
    size_t n = dot && dot > base ? (size_t)(dot - base) : strlen(base);
    snprintf(s->name, sizeof(s->name), "%.*s", (int)n, base);
    return n <= SCENARIO_NAME_MAX && id_valid(str_from(s->name));
}

enum status scenario_read(struct scenario *s, const char *path, char *error, size_t size)
{
    struct reading r = {.s = s, .path = path, .error = error, .size = size};
    if (!name_scenario(s, path)) {
        snprintf(error, size, "%s: a scenario's name has up to %d of A-Za-z0-9._:-", path,
                 SCENARIO_NAME_MAX);
        return ST_INVALID_REQUEST;
    }
    r.file = fopen(path, "re");
    if (!r.file) {
        snprintf(error, size, "%s: %s", path, strerror(errno));
        return ST_INVALID_REQUEST;
    }
    int bad_line = ini_parse_stream(read_line, &r, on_pair, &r);
    if (bad_line > 0 && r.st == ST_OK) {
        r.line = (unsigned)bad_line;
        fault(&r, "neither key = value nor a [section]");
    }
    if (r.st == ST_OK && bad_line >= 0) {
        end_step(&r);
    }
    fclose(r.file);
    return bad_line < 0 ? ST_INTERNAL : r.st;
}
