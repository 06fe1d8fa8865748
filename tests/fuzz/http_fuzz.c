/* http_fuzz.c - libFuzzer target: request heads and chunked bodies.
 *
 * Bytes must mean the same in whatever pieces they arrive, so each input is parsed whole, cut in
 * two at every point, and byte by byte; and a head that is accepted must keep what the parser
 * promises. Seeds: corpus/http. */
#include "net/http_parser.h"

#include <stdlib.h>

enum { CUTS_MAX = 1500, BODY_MAX = 300 };

static const struct http_limits limits = {200, 600, 10};

#define CHECK(condition)  \
    do {                  \
        if (!(condition)) \
            abort();      \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n);

struct outcome {
    enum http_progress progress;
    struct http_head head;
    struct http_chunks chunks;
    size_t used;
    enum status st;
    const char *why;
};

static void check_inside(struct str s, const char *data, size_t used)
{
    CHECK(!s.p || s.n == 0 || (s.p >= data && s.p + s.n <= data + used));
}

static void check_promises(const struct outcome *o, const char *data, size_t n)
{
    const struct http_head *h = &o->head;
    CHECK(o->used <= n && o->used >= 18 && o->used <= limits.head_max + 4);
    CHECK(memcmp(data + o->used - 4, "\r\n\r\n", 4) == 0);
    CHECK(h->path.n > 0 && h->path.p[0] == '/' && !memchr(h->path.p, '?', h->path.n));
    CHECK(h->minor == 0 || h->header[HH_HOST].n > 0);
    CHECK(!(h->chunked && h->header[HH_CONTENT_LENGTH].p));
    CHECK(!h->header[HH_TRANSFER_ENCODING].p || h->chunked);
    CHECK(h->content_length == 0 || h->header[HH_CONTENT_LENGTH].n > 0);
    check_inside(h->method_text, data, o->used);
    check_inside(h->query, data, o->used);
    for (unsigned i = 0; i < HH_COUNT; i++) {
        check_inside(h->header[i], data, o->used);
        for (size_t k = 0; k < h->header[i].n; k++)
            CHECK(!strchr("\r\n", h->header[i].p[k]) && h->header[i].p[k] != '\0');
    }
}

static void parse_head_to(struct outcome *o, const char *data, size_t n, size_t *scanned)
{
    if (o->progress == HTTP_MORE)
        o->progress =
            http_parse_head(data, n, &limits, scanned, &o->head, &o->used, &o->st, &o->why);
}

static void same_head(const struct outcome *a, const struct outcome *b)
{
    CHECK(a->progress == b->progress);
    if (a->progress == HTTP_BAD)
        CHECK(a->st == b->st && a->why == b->why);
    if (a->progress == HTTP_DONE)
        CHECK(a->used == b->used && memcmp(&a->head, &b->head, sizeof(a->head)) == 0);
}

static struct outcome fuzz_head(const char *data, size_t n)
{
    struct outcome whole = {.progress = HTTP_MORE}, slow = whole;
    size_t scanned = 0;
    parse_head_to(&whole, data, n, &scanned);
    if (whole.progress == HTTP_DONE)
        check_promises(&whole, data, n);
    scanned = 0;
    for (size_t i = 0; i <= n; i++)
        parse_head_to(&slow, data, i, &scanned);
    same_head(&whole, &slow);
    for (size_t cut = 0; cut <= n && cut < CUTS_MAX; cut++) {
        struct outcome split = {.progress = HTTP_MORE};
        scanned = 0;
        parse_head_to(&split, data, cut, &scanned);
        parse_head_to(&split, data, n, &scanned);
        same_head(&whole, &split);
    }
    return whole;
}

static void parse_chunks_to(struct outcome *o, char *data, size_t n)
{
    if (o->progress == HTTP_MORE)
        o->progress = http_parse_chunks(data, n, BODY_MAX, &o->chunks, &o->st, &o->why);
    CHECK(o->chunks.in <= n && o->chunks.out <= o->chunks.in && o->chunks.out <= BODY_MAX);
}

/* step 0: byte by byte; otherwise first `step` bytes, then all. */
static struct outcome chunks_in_pieces(char *copy, const char *data, size_t n, size_t step)
{
    struct outcome o = {.progress = HTTP_MORE};
    memcpy(copy, data, n);
    for (size_t i = step; step == 0 && i < n; i++)
        parse_chunks_to(&o, copy, i);
    if (step > 0)
        parse_chunks_to(&o, copy, step);
    parse_chunks_to(&o, copy, n);
    return o;
}

static void fuzz_chunks(const char *data, size_t n)
{
    char *whole_copy = malloc(n + 1), *copy = malloc(n + 1);
    CHECK(whole_copy && copy);
    struct outcome whole = chunks_in_pieces(whole_copy, data, n, n > 0 ? n : 1);
    for (size_t cut = 0; cut < n && cut < CUTS_MAX; cut++) {
        struct outcome split = chunks_in_pieces(copy, data, n, cut);
        CHECK(split.progress == whole.progress && split.why == whole.why);
        CHECK(split.chunks.out == whole.chunks.out && split.chunks.in == whole.chunks.in);
        CHECK(memcmp(copy, whole_copy, whole.chunks.out) == 0);
    }
    free(whole_copy);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t n)
{
    /* Exactly as long as the input, so that the sanitizer sees any byte read past its end. */
    char *data = malloc(n > 0 ? n : 1);
    CHECK(data);
    if (n > 0)
        memcpy(data, bytes, n);
    struct outcome o = fuzz_head(data, n);
    if (o.progress == HTTP_DONE)
        fuzz_chunks(data + o.used, n - o.used);
    else
        fuzz_chunks(data, n);
    free(data);
    return 0;
}
