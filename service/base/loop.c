#include "base/loop.h"

#include <event2/event.h>

#include <stddef.h>

static struct event_base *create(int flags)
{
    struct event_config *config = event_config_new();
    if (!config)
        return NULL;
    event_config_set_flag(config, flags);
    struct event_base *base = event_base_new_with_config(config);
    event_config_free(config);
    return base;
}

struct event_base *loop_create(void)
{
    return create(EVENT_BASE_FLAG_NOLOCK);
}

struct event_base *loop_create_alone(void)
{
    return create(EVENT_BASE_FLAG_NOLOCK | EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST);
}
