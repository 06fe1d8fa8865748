#include "base/loop.h"

#include <event2/event.h>

#include <stddef.h>

struct event_base *loop_create(void)
{
    struct event_config *config = event_config_new();
    if (!config)
        return NULL;
    /* What is watched and no longer watched within a turn of the loop costs no call of the system's.
     * For descriptors that are not dup()ed, and ours are not. */
    event_config_set_flag(config, EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}
