/* vevent.h - as much of libevent as the service uses, in virtual time.
 *
 * Declared by <event2/event.h> itself; a loop is a fiber. Timers may come late, as those of a busy
 * process do: the instance's `drag` says how much.
 */
#pragma once

#include <stdint.h>

struct event_base;

typedef void (*post_fn)(void *arg);

/* Loops made from now on have timers up to `drag` times as long. */
void vevent_drag(unsigned drag);
/* fn runs on the loop at that time or later; equal times in order. Anybody may call it. */
void vevent_post(struct event_base *base, int64_t at_us, post_fn fn, void *arg);
