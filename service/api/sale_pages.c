#include "api/sale_pages.h"

#include "api/render.h"
#include "base/clock.h"

#include <stdio.h>
#include <stdlib.h>

enum { PAGE_MAX = 4 * 1024 * 1024 };

struct page {
    uint64_t version; /* of the catalogue it was made from */
    enum sale_phase phase;
    int64_t made_ms;
    size_t time_at;
    char etag[24];
    struct buf body;
};

struct sale_pages {
    struct page **page; /* by the live index of the sale's first shard: dense and unique */
    unsigned n;
};

enum status sale_pages_create(struct sale_pages **out)
{
    *out = calloc(1, sizeof(**out));
    return *out ? ST_OK : ST_UNAVAILABLE;
}

void sale_pages_destroy(struct sale_pages **pages)
{
    struct sale_pages *p = *pages;
    if (!p)
        return;
    for (unsigned i = 0; i < p->n; i++) {
        if (p->page[i])
            buf_fini(&p->page[i]->body);
        free(p->page[i]);
    }
    free(p->page);
    free(p);
    *pages = NULL;
}

static struct page *page_of(struct sale_pages *p, unsigned index)
{
    if (index >= p->n) {
        unsigned n = index + 64;
        void *grown = realloc(p->page, n * sizeof(struct page *));
        if (!grown)
            return NULL;
        p->page = grown;
        memset(p->page + p->n, 0, (n - p->n) * sizeof(struct page *));
        p->n = n;
    }
    if (!p->page[index]) {
        p->page[index] = calloc(1, sizeof(struct page));
        if (p->page[index])
            buf_init(&p->page[index]->body, PAGE_MAX);
    }
    return p->page[index];
}

static void make(struct page *page, const struct snapshot *snap, const struct sale *sale,
                 enum sale_phase phase, int64_t now_ms)
{
    buf_reset(&page->body);
    render_sale(&page->body, sale, now_ms, &page->time_at);
    page->version = snapshot_version(snap);
    page->phase = phase;
    page->made_ms = now_ms;
    uint64_t h = 14695981039346656037u; /* FNV-1a over all but the time */
    for (size_t i = 0; i < page->body.len; i++) {
        if (i == page->time_at)
            i += CLOCK_TEXT_LEN;
        h = (h ^ (uint8_t)page->body.data[i]) * 1099511628211u;
    }
    snprintf(page->etag, sizeof(page->etag), "W/\"%016llx\"", (unsigned long long)h);
}

enum status sale_pages_get(struct sale_pages *p, const struct snapshot *snap,
                           const struct sale *sale, int64_t now_ms, struct sale_page *out)
{
    struct page *page = page_of(p, sale->shard[0].live->index);
    if (!page)
        return ST_OVERLOADED;
    enum sale_phase phase = sale_phase(sale->state, sale->starts_ms, sale->ends_ms, now_ms);
    if (page->version != snapshot_version(snap) || page->phase != phase ||
        now_ms - page->made_ms >= PAGE_MS || now_ms < page->made_ms)
        make(page, snap, sale, phase, now_ms);
    if (page->body.overflow)
        return ST_INTERNAL;
    clock_format(now_ms, page->body.data + page->time_at);
    *out = (struct sale_page){{page->body.data, page->body.len}, page->etag};
    return ST_OK;
}
