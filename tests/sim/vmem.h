/* vmem.h - memory of one schedule: everything is forgotten at once at its end, as a crash forgets.
 *
 * The linker leads malloc, calloc, realloc and free of the service here (--wrap), and mmap, munmap
 * and madvise of anonymous memory.
 */
#pragma once

#include <stddef.h>

void vmem_reset(void);
/* Zeroed, aligned to 16, lives until the schedule ends. */
void *vmem_new(size_t n);
void *vmem_copy(const void *p, size_t n);
