#include "panel.h"

#include "text.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <unistd.h>

enum { EVERY_US = 1000000, EVERY_TERMINAL_US = 500000 };

void panel_init(struct panel *p, const struct options *o, const struct scenario *s,
                int64_t start_us)
{
    *p = (struct panel){.options = o, .scenario = s, .start_us = start_us, .before_us = start_us};
    p->is_terminal = isatty(STDERR_FILENO) == 1;
    p->next_us = start_us + (p->is_terminal ? EVERY_TERMINAL_US : EVERY_US);
}

static uint64_t per_s(uint64_t now, uint64_t before, int64_t span_us)
{
    return span_us > 0 ? (now - before) * 1000000 / (uint64_t)span_us : 0;
}

static void __attribute__((format(printf, 2, 3))) line(struct panel *p, const char *fmt, ...)
{
    va_list args;
    va_start(args, fmt);
    vfprintf(stderr, fmt, args);
    va_end(args);
    fputs(p->is_terminal ? "\x1b[K\n" : "\n", stderr);
    p->lines++;
}

static void show_line(struct panel *p, const struct load_now *now, const struct sample *latest,
                      int64_t now_us)
{
    const uint64_t *n = now->counts;
    const uint64_t *b = p->before.counts;
    int64_t span = now_us - p->before_us;
    fprintf(stderr,
            "%6.1f s  %" PRIu64 " shoppers  %" PRIu64 "/s sent  %" PRIu64
            " in flight  orders %" PRIu64 "  refusals %" PRIu64 "  errors %" PRIu64
            "  unanswered %" PRIu64,
            (double)(now_us - p->start_us) / 1e6, n[COUNT_SHOPPERS],
            per_s(n[COUNT_SENT], b[COUNT_SENT], span), now->in_flight, n[COUNT_ORDERS],
            n[COUNT_REFUSALS], n[COUNT_ERRORS],
            n[COUNT_LOST] + n[COUNT_TIMEOUTS] + n[COUNT_BAD_ANSWERS]);
    if (latest) {
        fprintf(stderr, "  p50 %.2f p99 %.2f ms", (double)latest->p50_us / 1e3,
                (double)latest->p99_us / 1e3);
    }
    if (latest && latest->stock >= 0) {
        fprintf(stderr, "  left %" PRId64, latest->stock);
    }
    fputc('\n', stderr);
}

static void count_line(struct panel *p, const char *name, const struct load_now *now, enum count c,
                       int64_t span)
{
    char all[32];
    char each[32];
    line(p, "  %-11s %13s %11s/s", name, text_grouped(now->counts[c], all),
         text_grouped(per_s(now->counts[c], p->before.counts[c], span), each));
}

static void cpu_line(struct panel *p, const struct sample *s)
{
    char text[256] = "";
    int at = 0;
    for (unsigned i = 0; i <= p->options->watched_n; i++) {
        const char *name = i < p->options->watched_n ? p->options->watched[i].name : "generator";
        if (s->cpu[i] >= 0 && at >= 0 && (size_t)at < sizeof(text)) {
            at += snprintf(text + at, sizeof(text) - (size_t)at, "  %s %.0f %%", name,
                           s->cpu[i] * 100);
        }
    }
    line(p, "  processor %s", text);
}

static void show_panel(struct panel *p, const struct load_now *now, const struct sample *latest,
                       int64_t now_us)
{
    int64_t span = now_us - p->before_us;
    char n[32];
    if (p->lines > 0) {
        fprintf(stderr, "\x1b[%uA", p->lines);
    }
    p->lines = 0;
    line(p, "%s  %.1f s  %s in flight", p->scenario->name, (double)(now_us - p->start_us) / 1e6,
         text_grouped(now->in_flight, n));
    count_line(p, "shoppers", now, COUNT_SHOPPERS, span);
    count_line(p, "sent", now, COUNT_SENT, span);
    count_line(p, "orders", now, COUNT_ORDERS, span);
    count_line(p, "refusals", now, COUNT_REFUSALS, span);
    if (now->counts[COUNT_PAID] > 0) {
        count_line(p, "paid", now, COUNT_PAID, span);
    }
    count_line(p, "errors", now, COUNT_ERRORS, span);
    count_line(p, "lost", now, COUNT_LOST, span);
    count_line(p, "timeouts", now, COUNT_TIMEOUTS, span);
    if (latest) {
        line(p, "  latency     p50 %.2f  p99 %.2f  max %.2f ms", (double)latest->p50_us / 1e3,
             (double)latest->p99_us / 1e3, (double)latest->max_us / 1e3);
        cpu_line(p, latest);
    }
    if (latest && latest->stock >= 0) {
        line(p, "  units left  %13s", text_grouped((uint64_t)latest->stock, n));
    }
    fputs("\x1b[J", stderr);
}

void panel_show(struct panel *p, const struct load_now *now, const struct sample *latest,
                int64_t now_us)
{
    if (p->options->quiet || now_us < p->next_us) {
        return;
    }
    (p->is_terminal ? show_panel : show_line)(p, now, latest, now_us);
    fflush(stderr);
    p->before = *now;
    p->before_us = now_us;
    p->next_us += p->is_terminal ? EVERY_TERMINAL_US : EVERY_US;
}

void panel_end(struct panel *p)
{
    if (p->lines > 0 && p->is_terminal) {
        fprintf(stderr, "\x1b[%uA\x1b[J", p->lines);
        p->lines = 0;
    }
}
