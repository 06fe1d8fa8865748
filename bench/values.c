#include "values.h"

#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#define WEEK_US (7 * 24 * INT64_C(3600) * 1000000)

bool value_decimal(const char *text, double min, double max, double *out)
{
    char *end = NULL;
    /* strtod also reads signs, "inf", "nan" and hexadecimals. */
    if (!isdigit((unsigned char)text[0]) || strspn(text, "0123456789.") != strlen(text)) {
        return false;
    }
    double v = strtod(text, &end);
    if (*end != '\0' || v < min || v > max) {
        return false;
    }
    *out = v;
    return true;
}

bool value_number(const char *text, uint64_t min, uint64_t max, uint64_t *out)
{
    char *end = NULL;
    errno = 0;
    if (!isdigit((unsigned char)text[0])) {
        return false;
    }
    unsigned long long n = strtoull(text, &end, 10);
    if (errno != 0 || *end != '\0' || n < min || n > max) {
        return false;
    }
    *out = n;
    return true;
}

bool value_duration(const char *text, int64_t *us)
{
    static const struct {
        const char *name;
        double us;
    } units[] = {{"us", 1}, {"ms", 1e3}, {"s", 1e6}, {"min", 60e6}, {"h", 3600e6}};
    char number[32];
    double v = 0;
    size_t n = strspn(text, "0123456789.");
    const char *unit = text + n + strspn(text + n, " ");
    if (n == 0 || n >= sizeof(number)) {
        return false;
    }
    memcpy(number, text, n);
    number[n] = '\0';
    if (!value_decimal(number, 0, 1e15, &v)) {
        return false;
    }
    if (*unit == '\0' && v == 0) {
        *us = 0;
        return true;
    }
    for (size_t i = 0; i < sizeof(units) / sizeof(units[0]); i++) {
        if (strcmp(unit, units[i].name) == 0 && v * units[i].us <= (double)WEEK_US) {
            *us = llround(v * units[i].us);
            return true;
        }
    }
    return false;
}

bool value_flag(const char *text, bool *out)
{
    bool yes = strcmp(text, "yes") == 0;
    if (!yes && strcmp(text, "no") != 0) {
        return false;
    }
    *out = yes;
    return true;
}
