#include "answer.h"

#include <strings.h>

enum { LENGTH_DIGITS_MAX = 9 };

static bool is_named(struct str line, struct str name)
{
    return line.n > name.n && line.p[name.n] == ':' && strncasecmp(line.p, name.p, name.n) == 0;
}

static struct str value_of(struct str line, struct str name)
{
    size_t at = name.n + 1;
    while (at < line.n && (line.p[at] == ' ' || line.p[at] == '\t')) {
        at++;
    }
    while (line.n > at && (line.p[line.n - 1] == ' ' || line.p[line.n - 1] == '\t')) {
        line.n--;
    }
    return (struct str){line.p + at, line.n - at};
}

static bool read_number(struct str digits, size_t *out)
{
    size_t n = 0;
    if (digits.n == 0 || digits.n > LENGTH_DIGITS_MAX) {
        return false;
    }
    for (size_t i = 0; i < digits.n; i++) {
        if (digits.p[i] < '0' || digits.p[i] > '9') {
            return false;
        }
        n = n * 10 + (size_t)(digits.p[i] - '0');
    }
    *out = n;
    return true;
}

/* "HTTP/1.1 201 Created" */
static bool read_status_line(struct str line, unsigned *http)
{
    size_t n = 0;
    if (line.n < 12 || memcmp(line.p, "HTTP/1.1 ", 9) != 0 ||
        !read_number((struct str){line.p + 9, 3}, &n) || (line.n > 12 && line.p[12] != ' ')) {
        return false;
    }
    *http = (unsigned)n;
    return n >= 200;
}

/* Takes one header line into *a and *length. False when it frames the body in a way we do not read.
 */
static bool read_header(struct str line, struct answer *a, size_t *length, bool *has_length)
{
    /* Two first letters decide for nearly every line. */
    if ((line.p[0] | 0x20) == 'c' && is_named(line, STR("content-length"))) {
        bool first = !*has_length;
        *has_length = true;
        return first && read_number(value_of(line, STR("content-length")), length);
    }
    if ((line.p[0] | 0x20) == 'c' && is_named(line, STR("connection"))) {
        struct str v = value_of(line, STR("connection"));
        a->close = v.n == 5 && strncasecmp(v.p, "close", 5) == 0;
    }
    size_t after_s = 0;
    if ((line.p[0] | 0x20) == 'r' && is_named(line, STR("retry-after")) &&
        read_number(value_of(line, STR("retry-after")), &after_s)) {
        a->after_s = (uint32_t)after_s;
    }
    return !((line.p[0] | 0x20) == 't' && is_named(line, STR("transfer-encoding")));
}

/* Cuts the next CRLF line off; false when it is not complete. */
static bool next_line(struct str *in, struct str *line)
{
    const char *end = in->n > 0 ? memchr(in->p, '\n', in->n) : NULL;
    if (!end) {
        return false;
    }
    *line = (struct str){in->p, (size_t)(end - in->p)};
    in->n -= line->n + 1;
    in->p = end + 1;
    if (line->n > 0 && line->p[line->n - 1] == '\r') {
        line->n--;
    }
    return true;
}

/* What the header says; the body is left to the caller. */
struct head {
    struct answer answer;
    struct str rest; /* behind it */
    size_t length;   /* of the body */
    bool has_length;
};

static enum answer_found read_head(struct str in, struct head *h)
{
    struct str line;
    *h = (struct head){.rest = in};
    if (!next_line(&h->rest, &line)) {
        return ANSWER_MORE;
    }
    if (!read_status_line(line, &h->answer.http)) {
        return ANSWER_BAD;
    }
    for (;;) {
        if (!next_line(&h->rest, &line)) {
            return ANSWER_MORE;
        }
        if (line.n == 0) {
            return ANSWER_DONE;
        }
        if (!read_header(line, &h->answer, &h->length, &h->has_length)) {
            return ANSWER_BAD;
        }
    }
}

enum answer_found answer_read(struct str in, struct answer *a)
{
    struct head h;
    enum answer_found found = read_head(in, &h);
    if (found != ANSWER_DONE) {
        return found;
    }
    if (!h.has_length && h.answer.http != 204) {
        return ANSWER_BAD;
    }
    if (h.rest.n < h.length) {
        return ANSWER_MORE;
    }
    *a = h.answer;
    a->body = (struct str){h.rest.p, h.length};
    a->len = (size_t)(h.rest.p - in.p) + h.length;
    return ANSWER_DONE;
}

enum answer_found answer_read_stream(struct str in, struct answer *a)
{
    struct head h;
    enum answer_found found = read_head(in, &h);
    if (found == ANSWER_DONE) {
        *a = h.answer;
        a->body = h.rest;
        a->len = in.n;
    }
    return found;
}

/* Where the value of `"name":` starts; the end of the body when there is none. Looked for by its
 * quotes, so most of the body is skipped by memchr. */
static size_t value_at(struct str body, struct str name)
{
    size_t at = 0;
    while (at + name.n + 2 < body.n) {
        const char *quote = memchr(body.p + at, '"', body.n - at - name.n - 2);
        if (!quote) {
            break;
        }
        at = (size_t)(quote - body.p) + 1;
        if (memcmp(quote + 1, name.p, name.n) != 0 || quote[name.n + 1] != '"') {
            continue;
        }
        size_t value = at + name.n + 1;
        while (value < body.n && body.p[value] == ' ') {
            value++;
        }
        if (value == body.n || body.p[value] != ':') {
            continue; /* a text that happens to be that word */
        }
        value++;
        while (value < body.n && body.p[value] == ' ') {
            value++;
        }
        return value;
    }
    return body.n;
}

/* The string at `at`; escapes do not occur in what we look for, so the next quote ends it. */
static struct str string_at(struct str body, size_t at)
{
    if (at >= body.n || body.p[at] != '"') {
        return (struct str){0};
    }
    const char *from = body.p + at + 1;
    const char *end = memchr(from, '"', body.n - at - 1);
    return end ? (struct str){from, (size_t)(end - from)} : (struct str){0};
}

struct str answer_text(struct str body, const char *name)
{
    return string_at(body, value_at(body, str_from(name)));
}

bool answer_order_id(struct str body, struct uid *id)
{
    struct str text = answer_text(body, "id");
    return text.n > 0 && uid_parse("ord_", text, id);
}
