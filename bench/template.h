/* template.h - text with ${names} in it, read once and filled in for each request.
 *
 * A template is a list of pieces: text as it stands, and numbers of names. Filling in copies bytes
 * and allocates nothing. Any thread, once parsed.
 */
#pragma once

#include "base/str.h"

#include <stdbool.h>
#include <stdint.h>

enum {
    TEMPLATE_MAX = 480, /* bytes of text */
    TEMPLATE_PIECES = 24,
    TEMPLATE_NAMES = 16,
    TEMPLATE_NAME_MAX = 31,
};

/* What may stand in ${…}: names[i] is filled in with values[i]. */
struct template_names {
    char name[TEMPLATE_NAMES][TEMPLATE_NAME_MAX + 1];
    unsigned n;
};

struct template_piece {
    int16_t name;   /* -1: text */
    uint16_t at, n; /* of text */
};

struct template
{
    char text[TEMPLATE_MAX + 1]; /* as written; empty: there is none */
    struct template_piece pieces[TEMPLATE_PIECES];
    unsigned n;
};

/* The number of a name, or -1. */
int template_name(const struct template_names *names, struct str name);
/* False: error says what is wrong with the text. */
bool template_parse(const char *text, const struct template_names *names, struct template *t,
                    char *error, size_t size);
/* Fills in; returns the length, or SIZE_MAX when out is too small. */
size_t template_render(const struct template *t, const struct str *values, char *out, size_t cap);

static inline bool template_given(const struct template *t)
{
    return t->n > 0;
}
