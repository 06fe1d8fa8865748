/* loop.h - event loops as ours are: each used by one thread at a time, so libevent needs no locks. */
#pragma once

struct event_base;

/* NULL without memory. event_base_free ends it. */
struct event_base *loop_create(void);
