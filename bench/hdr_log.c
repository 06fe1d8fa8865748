#include "hdr_log.h"

#include "hdr_code.h"
#include "text.h"

#include "base/clock.h"

#include <openssl/evp.h>

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

enum { LINE_MAX_BYTES = 4 * 1024 * 1024 };

void hdr_log_begin(FILE *out, int64_t started_ms)
{
    char text[CLOCK_TEXT_LEN + 1] = "";
    clock_format(started_ms, text);
    fprintf(out,
            "#[Histogram log format version 1.3]\n"
            "#[StartTime: %" PRId64 ".%03d (seconds since epoch), %s]\n"
            "#[Values are microseconds]\n"
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_"
            "Histogram\"\n",
            started_ms / 1000, (int)(started_ms % 1000), text);
}

enum status hdr_log_write(FILE *out, const char *tag, double start_s, double length_s,
                          const struct hist *h)
{
    uint8_t *bytes = NULL;
    size_t n = 0;
    enum status st = hdr_encode(h, &bytes, &n);
    if (st != ST_OK) {
        return st;
    }
    char *text = malloc(4 * ((n + 2) / 3) + 1);
    if (text) {
        EVP_EncodeBlock((unsigned char *)text, bytes, (int)n);
        fprintf(out, "%s%s%s%.3f,%.3f,%.3f,%s\n", tag[0] ? "Tag=" : "", tag, tag[0] ? "," : "",
                start_s, length_s, (double)h->max_us / 1e3, text);
    }
    free(text);
    free(bytes);
    return text ? ST_OK : ST_INTERNAL;
}

/* --- reading ---------------------------------------------------------------------------------- */

struct reader {
    struct hist *hist;
    uint8_t *bytes;
    char *line; /* LINE_MAX_BYTES, as bytes */
    unsigned number;
};

/* Cuts off what stands before the next comma; NULL: there is none. */
static char *field(char **rest)
{
    char *from = *rest;
    char *comma = strchr(from, ',');
    if (!comma) {
        return NULL;
    }
    *comma = '\0';
    *rest = comma + 1;
    return from;
}

static bool seconds_of(const char *text, double *out)
{
    char *end = NULL;
    *out = text ? strtod(text, &end) : 0;
    return text && end != text && *end == '\0' && *out >= 0 && *out < 1e12;
}

/* EVP_DecodeBlock counts padding as bytes, and takes no line ends. */
static bool decode_base64(const char *text, uint8_t *out, size_t *n)
{
    size_t len = strlen(text);
    int got = EVP_DecodeBlock(out, (const unsigned char *)text, (int)len);
    if (got < 0 || len < 4) {
        return false;
    }
    *n = (size_t)got - (text[len - 1] == '=') - (text[len - 2] == '=');
    return true;
}

static const char *read_entry(struct reader *r, struct hdr_log_entry *e)
{
    char *rest = r->line;
    size_t n = 0;
    *e = (struct hdr_log_entry){.hist = r->hist};
    if (strncmp(rest, "Tag=", 4) == 0) {
        const char *tag = field(&rest);
        if (!tag || strlen(tag + 4) > HDR_TAG_MAX) {
            return "the tag is too long, or nothing follows it";
        }
        snprintf(e->tag, sizeof(e->tag), "%s", tag + 4);
    }
    double max = 0;
    if (!seconds_of(field(&rest), &e->start_s) || !seconds_of(field(&rest), &e->length_s) ||
        !seconds_of(field(&rest), &max)) {
        return "want start, length and maximum, with commas";
    }
    if (!decode_base64(rest, r->bytes, &n)) {
        return "the histogram is not base64";
    }
    memset(r->hist, 0, sizeof(*r->hist));
    return hdr_decode(r->bytes, n, r->hist);
}

static bool is_entry(const char *line)
{
    return line[0] != '#' && line[0] != '"' && line[0] != '\0';
}

static enum status read_lines(struct reader *r, FILE *in, hdr_log_fn fn, void *arg, char *error,
                              size_t size)
{
    enum status st = ST_OK;
    enum text_line found;
    while (st == ST_OK && (found = text_line(in, r->line, LINE_MAX_BYTES)) != LINE_END) {
        struct hdr_log_entry e;
        r->number++;
        const char *why = found == LINE_BAD ? "is too long, or no text" : NULL;
        if (!why && is_entry(r->line)) {
            why = read_entry(r, &e);
            st = why ? st : fn(arg, &e);
        }
        if (why) {
            snprintf(error, size, "line %u: %s", r->number, why);
            st = ST_INVALID_REQUEST;
        }
    }
    return st;
}

enum status hdr_log_read(FILE *in, hdr_log_fn fn, void *arg, char *error, size_t size)
{
    struct reader r = {.hist = malloc(sizeof(struct hist)),
                       .bytes = malloc(LINE_MAX_BYTES),
                       .line = malloc(LINE_MAX_BYTES)};
    bool room = r.hist && r.bytes && r.line;
    enum status st = room ? read_lines(&r, in, fn, arg, error, size) : ST_INTERNAL;
    free(r.hist);
    free(r.bytes);
    free(r.line);
    return st;
}
