/* loop.h - event loops as ours are: each used by one thread at a time, so libevent needs no locks. */
#pragma once

struct event_base;

/* NULL without memory. event_base_free ends it. */
struct event_base *loop_create(void);
/* The same for a process whose sockets nobody else has: what is watched and no longer watched within
 * a turn of the loop costs no call of the system's. Of a socket that lives on elsewhere (a listening one
 * that was handed over) epoll would not learn in time that it was closed here. */
struct event_base *loop_create_alone(void);
