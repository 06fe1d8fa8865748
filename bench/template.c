#include "template.h"

#include <stdio.h>

int template_name(const struct template_names *names, struct str name)
{
    for (unsigned i = 0; i < names->n; i++) {
        if (str_equal(str_from(names->name[i]), name)) {
            return (int)i;
        }
    }
    return -1;
}

static bool add_piece(struct template *t, int name, size_t at, size_t n)
{
    if (n == 0 && name < 0) {
        return true;
    }
    if (t->n == TEMPLATE_PIECES) {
        return false;
    }
    t->pieces[t->n++] = (struct template_piece){(int16_t)name, (uint16_t)at, (uint16_t)n};
    return true;
}

static void unknown_name(const struct template_names *names, struct str name, char *error,
                         size_t size)
{
    int at = snprintf(error, size, "there is nothing called ${%.*s} here; there are",
                      (int)(name.n < 40 ? name.n : 40), name.p);
    for (unsigned i = 0; i < names->n && at > 0 && (size_t)at < size; i++) {
        at += snprintf(error + at, size - (size_t)at, " ${%s}", names->name[i]);
    }
}

bool template_parse(const char *text, const struct template_names *names, struct template *t,
                    char *error, size_t size)
{
    size_t len = strlen(text);
    *t = (struct template){.n = 0};
    if (len == 0 || len > TEMPLATE_MAX) {
        snprintf(error, size, "want 1 to %d bytes of text", TEMPLATE_MAX);
        return false;
    }
    memcpy(t->text, text, len + 1);
    for (size_t at = 0; at < len;) {
        const char *open = strstr(t->text + at, "${");
        size_t until = open ? (size_t)(open - t->text) : len;
        bool fits = add_piece(t, -1, at, until - at);
        at = until;
        if (open) {
            const char *close = strchr(open, '}');
            if (!close) {
                snprintf(error, size, "a ${ without its }");
                return false;
            }
            struct str name = {open + 2, (size_t)(close - open) - 2};
            int number = template_name(names, name);
            if (number < 0) {
                unknown_name(names, name, error, size);
                return false;
            }
            fits = fits && add_piece(t, number, 0, 0);
            at = (size_t)(close - t->text) + 1;
        }
        if (!fits) {
            snprintf(error, size, "more than %d pieces", TEMPLATE_PIECES);
            return false;
        }
    }
    return true;
}

size_t template_render(const struct template *t, const struct str *values, char *out, size_t cap)
{
    size_t len = 0;
    for (unsigned i = 0; i < t->n; i++) {
        const struct template_piece *p = &t->pieces[i];
        struct str s = p->name < 0 ? (struct str){t->text + p->at, p->n} : values[p->name];
        if (s.n > cap - len) {
            return SIZE_MAX;
        }
        if (s.n > 0) {
            memcpy(out + len, s.p, s.n);
        }
        len += s.n;
    }
    return len;
}
