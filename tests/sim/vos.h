/* vos.h - the operating system as the service sees it: threads, locks, clocks, eventfds.
 *
 * The linker leads the service's calls here (--wrap); fiber.h does the rest.
 */
#pragma once

#include <stdbool.h>
#include <stdint.h>

/* The wall clock at the schedule's beginning, in milliseconds since 1970. */
#define WALL_START_MS INT64_C(1800000000000)

int64_t vos_wall_ms(void); /* of the stores; instances may be off */
void vos_reset(void);
/* Whether a virtual eventfd is readable, and who is to be woken when it becomes so. */
bool vos_fd_ready(int fd);
void vos_fd_watch(int fd, const void *wake);
