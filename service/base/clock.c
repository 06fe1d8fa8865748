#include "base/clock.h"

#include <stdatomic.h>
#include <stdlib.h>
#include <time.h>

enum { MS_PER_DAY = 86400000, DAYS_TO_1970 = 719468 /* from 0000-03-01 */ };

static const int64_t ms_max = INT64_C(253402300799999); /* 9999-12-31T23:59:59.999Z */

static _Atomic int64_t correction_ms;

int64_t clock_wall_ms(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_REALTIME, &ts);
    return (int64_t)ts.tv_sec * 1000 + ts.tv_nsec / 1000000 +
           atomic_load_explicit(&correction_ms, memory_order_relaxed);
}

int64_t clock_follow(int64_t shared_ms, int64_t wall_ms, int64_t within_ms)
{
    int64_t off = shared_ms - wall_ms;
    if (llabs(off) <= CLOCK_SLACK_MS + within_ms)
        return 0;
    atomic_fetch_add_explicit(&correction_ms, off, memory_order_relaxed);
    return off;
}

int64_t clock_mono_us(void)
{
    struct timespec ts;
    clock_gettime(CLOCK_MONOTONIC, &ts);
    return (int64_t)ts.tv_sec * 1000000 + ts.tv_nsec / 1000;
}

struct civil {
    unsigned year, month, day; /* month and day from 1 */
    unsigned hour, minute, second, ms;
    unsigned weekday; /* 0 is Sunday */
};

/* gmtime_r costs ten times as much and these texts are in every answer. Counting years from March
 * puts the leap day last, so that months follow from the day by one linear formula (Howard
 * Hinnant's "chrono-compatible low-level date algorithms"). */
static struct civil civil_from_ms(int64_t ms)
{
    if (ms < 0)
        ms = 0;
    if (ms > ms_max)
        ms = ms_max;
    unsigned days = (unsigned)(ms / MS_PER_DAY);
    unsigned in_day = (unsigned)(ms % MS_PER_DAY);
    unsigned z = days + DAYS_TO_1970;
    unsigned era = z / 146097; /* 400 years */
    unsigned doe = z % 146097;
    unsigned yoe = (doe - doe / 1460 + doe / 36524 - doe / 146096) / 365;
    unsigned doy = doe - (365 * yoe + yoe / 4 - yoe / 100);
    unsigned mp = (5 * doy + 2) / 153; /* 0 is March */
    unsigned month = mp < 10 ? mp + 3 : mp - 9;
    return (struct civil){
        .year = yoe + era * 400 + (month <= 2),
        .month = month,
        .day = doy - (153 * mp + 2) / 5 + 1,
        .hour = in_day / 3600000,
        .minute = in_day / 60000 % 60,
        .second = in_day / 1000 % 60,
        .ms = in_day % 1000,
        .weekday = (days + 4) % 7, /* 1970-01-01 was a Thursday */
    };
}

/* The inverse, for a date that exists in years 0..9999. */
static int64_t days_from_civil(unsigned year, unsigned month, unsigned day)
{
    unsigned y = year + 400 - (month <= 2); /* one era on, so that year 0 does not go below 0 */
    unsigned era = y / 400;
    unsigned yoe = y % 400;
    unsigned doy = (153 * (month > 2 ? month - 3 : month + 9) + 2) / 5 + day - 1;
    unsigned doe = yoe * 365 + yoe / 4 - yoe / 100 + doy;
    return ((int64_t)era - 1) * 146097 + doe - DAYS_TO_1970;
}

static char *put_digits(char *to, unsigned v, unsigned n)
{
    for (unsigned i = n; i-- > 0; v /= 10)
        to[i] = (char)('0' + v % 10);
    return to + n;
}

void clock_format(int64_t ms, char out[CLOCK_TEXT_LEN])
{
    struct civil c = civil_from_ms(ms);
    char *to = put_digits(out, c.year, 4);
    *to++ = '-';
    to = put_digits(to, c.month, 2);
    *to++ = '-';
    to = put_digits(to, c.day, 2);
    *to++ = 'T';
    to = put_digits(to, c.hour, 2);
    *to++ = ':';
    to = put_digits(to, c.minute, 2);
    *to++ = ':';
    to = put_digits(to, c.second, 2);
    *to++ = '.';
    to = put_digits(to, c.ms, 3);
    *to = 'Z';
}

void clock_http_date(int64_t ms, char out[30])
{
    static const char weekdays[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    struct civil c = civil_from_ms(ms);
    memcpy(out, "Ddd, 00 Mmm 0000 00:00:00 GMT", 30);
    memcpy(out, weekdays[c.weekday], 3);
    put_digits(out + 5, c.day, 2);
    memcpy(out + 8, months[c.month - 1], 3);
    put_digits(out + 12, c.year, 4);
    put_digits(out + 17, c.hour, 2);
    put_digits(out + 20, c.minute, 2);
    put_digits(out + 23, c.second, 2);
}

/* The rest of a text being read; ok turns false at the first fault and stays so. */
struct reader {
    struct str rest;
    bool ok;
};

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* Exactly n digits with a value of lo..hi. */
static unsigned read_number(struct reader *r, unsigned n, unsigned lo, unsigned hi)
{
    unsigned v = 0;
    if (r->rest.n < n)
        r->ok = false;
    for (unsigned i = 0; r->ok && i < n; i++) {
        r->ok = is_digit(r->rest.p[i]);
        v = v * 10 + (unsigned)(r->rest.p[i] - '0');
    }
    if (!r->ok || v < lo || v > hi) {
        r->ok = false;
        return lo;
    }
    r->rest = (struct str){r->rest.p + n, r->rest.n - n};
    return v;
}

/* One of the characters in set: which, or 0. */
static char read_any(struct reader *r, const char *set)
{
    char c = r->ok && r->rest.n ? r->rest.p[0] : 0;
    if (!c || !strchr(set, c)) {
        r->ok = false;
        return 0;
    }
    r->rest = (struct str){r->rest.p + 1, r->rest.n - 1};
    return c;
}

/* An optional point with 1..9 digits, as milliseconds. */
static unsigned read_fraction_ms(struct reader *r)
{
    if (!r->ok || !r->rest.n || r->rest.p[0] != '.')
        return 0;
    read_any(r, ".");
    unsigned ms = 0;
    unsigned digits = 0;
    while (r->rest.n && is_digit(r->rest.p[0])) {
        unsigned digit = read_number(r, 1, 0, 9);
        if (digits++ < 3)
            ms = ms * 10 + digit;
    }
    if (digits < 1 || digits > 9)
        r->ok = false;
    for (; digits < 3; digits++)
        ms *= 10;
    return ms;
}

/* "Z" or "+08:00", as minutes that local time is ahead. */
static int read_offset_min(struct reader *r)
{
    char sign = read_any(r, "Zz+-");
    if (sign != '+' && sign != '-')
        return 0;
    int hour = (int)read_number(r, 2, 0, 23);
    read_any(r, ":");
    int minutes = hour * 60 + (int)read_number(r, 2, 0, 59);
    return sign == '-' ? -minutes : minutes;
}

static unsigned month_days(unsigned year, unsigned month)
{
    static const unsigned char days[12] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

bool clock_parse(struct str text, int64_t *ms)
{
    struct reader r = {text, true};
    unsigned year = read_number(&r, 4, 0, 9999);
    read_any(&r, "-");
    unsigned month = read_number(&r, 2, 1, 12);
    read_any(&r, "-");
    unsigned day = read_number(&r, 2, 1, month_days(year, month));
    read_any(&r, "Tt");
    unsigned hour = read_number(&r, 2, 0, 23);
    read_any(&r, ":");
    unsigned minute = read_number(&r, 2, 0, 59);
    read_any(&r, ":");
    unsigned second = read_number(&r, 2, 0, 59);
    unsigned fraction_ms = read_fraction_ms(&r);
    int offset_min = read_offset_min(&r);
    if (!r.ok || r.rest.n)
        return false;
    int64_t seconds =
        days_from_civil(year, month, day) * 86400 + hour * 3600 + minute * 60 + second;
    *ms = (seconds - offset_min * 60) * 1000 + fraction_ms;
    return true;
}
