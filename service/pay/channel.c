#include "pay/channel.h"

#include "pay/sandbox.h"

#include <stdlib.h>

const struct channel *const channels[] = {&channel_sandbox};
const unsigned channels_n = sizeof(channels) / sizeof(channels[0]);

struct channel_set {
    struct http_calls *calls;
    struct channel_state *state[sizeof(channels) / sizeof(channels[0])]; /* NULL: off */
};

enum status channel_set_create(const struct config *conf, struct channel_set **out)
{
    struct channel_set *set = calloc(1, sizeof(*set));
    if (!set)
        return ST_UNAVAILABLE;
    if (http_calls_create(&set->calls) != ST_OK) {
        free(set);
        return ST_UNAVAILABLE;
    }
    for (unsigned i = 0; i < channels_n; i++) {
        enum status st = channels[i]->open(conf, set->calls, &set->state[i]);
        if (st != ST_OK && st != ST_NOT_FOUND) {
            channel_set_destroy(&set);
            return st;
        }
    }
    *out = set;
    return ST_OK;
}

enum status channel_set_start(struct channel_set *set)
{
    return http_calls_start(set->calls);
}

void channel_set_stop(struct channel_set *set)
{
    http_calls_stop(set->calls);
}

unsigned channel_set_depth(const struct channel_set *set)
{
    return http_calls_depth(set->calls);
}

void channel_set_destroy(struct channel_set **set)
{
    if (!*set)
        return;
    for (unsigned i = 0; i < channels_n; i++)
        if ((*set)->state[i])
            channels[i]->close(&(*set)->state[i]);
    http_calls_destroy(&(*set)->calls);
    free(*set);
    *set = NULL;
}

const struct channel *channel_find(const struct channel_set *set, struct str name,
                                   struct channel_state **state)
{
    for (unsigned i = 0; i < channels_n; i++) {
        if (set->state[i] && str_equal(name, str_from(channels[i]->name))) {
            *state = set->state[i];
            return channels[i];
        }
    }
    return NULL;
}
