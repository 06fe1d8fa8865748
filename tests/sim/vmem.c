#include "vmem.h"

#include "sim.h"

#include <string.h>
#include <sys/mman.h>

enum {
    ARENA_BYTES = 1024 * 1024 * 1024, /* reserved, not taken */
    HEAD = 16,
    SMALL_MAX = 4096, /* freed blocks up to this wait by size; larger ones by exact size */
    SMALLS = SMALL_MAX / 16 + 1,
    LARGES = 64
};

struct block {
    size_t n; /* rounded */
    struct block *next;
};

static struct {
    char *base;
    size_t used;
    struct block *small[SMALLS];
    struct {
        size_t n;
        struct block *first;
    } large[LARGES];
    unsigned larges;
} mem;

void *__real_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);

void vmem_reset(void)
{
    if (!mem.base) {
        mem.base = __real_mmap(NULL, ARENA_BYTES, PROT_READ | PROT_WRITE,
                               MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
        if (mem.base == MAP_FAILED)
            sim_abort("no memory for the arena");
    }
    mem.used = 0;
    memset(mem.small, 0, sizeof(mem.small));
    mem.larges = 0;
}

static struct block **list_of(size_t n)
{
    if (n <= SMALL_MAX)
        return &mem.small[n / 16];
    for (unsigned i = 0; i < mem.larges; i++)
        if (mem.large[i].n == n)
            return &mem.large[i].first;
    if (mem.larges == LARGES)
        sim_abort("too many sizes of large blocks");
    mem.large[mem.larges].n = n;
    mem.large[mem.larges].first = NULL;
    return &mem.large[mem.larges++].first;
}

static void *take(size_t n)
{
    n = n ? (n + 15) & ~(size_t)15 : 16;
    struct block **list = list_of(n), *b = *list;
    if (b) {
        *list = b->next;
    } else {
        if (ARENA_BYTES - mem.used < n + HEAD)
            sim_abort("a schedule took more than %d MiB", ARENA_BYTES >> 20);
        b = (struct block *)(void *)(mem.base + mem.used);
        mem.used += n + HEAD;
        b->n = n;
    }
    return (char *)b + HEAD;
}

static struct block *block_of(void *p)
{
    return (struct block *)(void *)((char *)p - HEAD);
}

static void give(void *p)
{
    struct block *b = block_of(p), **list = list_of(b->n);
    if (sim_tracing) { /* whoever still uses it will be seen */
        memset(p, 0xdd, b->n);
        if (b->n <= SMALL_MAX)
            return;
    }
    b->next = *list;
    *list = b;
}

void *vmem_new(size_t n)
{
    return memset(take(n), 0, n);
}

void *vmem_copy(const void *p, size_t n)
{
    void *copy = take(n);
    if (n > 0)
        memcpy(copy, p, n);
    return copy;
}

/* --- what the service calls -------------------------------------------------------------------- */

void *__wrap_malloc(size_t n);
void *__wrap_calloc(size_t n, size_t size);
void *__wrap_realloc(void *p, size_t n);
void __wrap_free(void *p);
void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset);
int __wrap_munmap(void *p, size_t n);
int __wrap_madvise(void *p, size_t n, int advice);

void *__wrap_malloc(size_t n)
{
    return take(n);
}

void *__wrap_calloc(size_t n, size_t size)
{
    return vmem_new(n * size);
}

void *__wrap_realloc(void *p, size_t n)
{
    if (p && block_of(p)->n >= n)
        return p;
    void *fresh = take(n);
    if (p) {
        memcpy(fresh, p, block_of(p)->n);
        give(p);
    }
    return fresh;
}

void __wrap_free(void *p)
{
    if (p)
        give(p);
}

void *__wrap_mmap(void *at, size_t n, int prot, int flags, int fd, off_t offset)
{
    if (at || !(flags & MAP_ANONYMOUS))
        sim_abort("mmap of something else than memory");
    return vmem_new(n);
}

int __wrap_munmap(void *p, size_t n)
{
    give(p);
    return 0;
}

int __wrap_madvise(void *p, size_t n, int advice)
{
    if (advice != MADV_DONTNEED)
        sim_abort("madvise for something else than forgetting");
    memset(p, 0, n);
    return 0;
}
