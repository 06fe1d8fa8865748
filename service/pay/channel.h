/* channel.h - what every payment channel can do, whatever its wire format.
 *
 * Knows no order and no database. Calls block up to their deadline and are made from threads that
 * may wait. Outcomes: ST_OK; ST_UNKNOWN the channel may or may not have done it (ask again with the
 * same payment id, never under a new one); ST_UNAVAILABLE definitely not done; ST_INTERNAL refused
 * for a reason that trying again does not mend.
 */
#pragma once

#include "base/config.h"
#include "base/hmac.h"
#include "base/ids.h"
#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

enum { CHANNEL_URL_MAX = 512, CHANNEL_REF_MAX = 64, EVENT_ID_MAX = 64, EVENT_BODY_MAX = 16384 };

struct channel_trade {
    struct uid payment, order;
    int64_t amount;
    char currency[4];
    struct str return_url;
};

struct channel_answer {
    char url[CHANNEL_URL_MAX + 1]; /* where the shopper pays */
    char ref[CHANNEL_REF_MAX + 1]; /* the channel's own number */
};

enum channel_event_kind { CHANNEL_CAPTURED, CHANNEL_DECLINED, CHANNEL_OTHER };

struct channel_event {
    enum channel_event_kind kind;
    char id[EVENT_ID_MAX + 1], type[65], ref[CHANNEL_REF_MAX + 1], currency[4];
    struct uid payment, order; /* zero when the notification names none of ours */
    int64_t amount;
};

struct channel_state; /* a channel's keys and settings, one per process */

struct channel {
    const char *name; /* as in the API */
    /* Whether the configuration turns it on, and its state. ST_NOT_FOUND: off. */
    enum status (*open)(const struct config *conf, struct channel_state **out);
    void (*close)(struct channel_state **state);
    enum status (*create)(struct channel_state *state, const struct channel_trade *trade,
                          struct channel_answer *out);
    /* Checks the signature over the raw bytes, then reads the event. ST_BAD_SIGNATURE or
     * ST_INVALID_REQUEST with *why. */
    enum status (*verify)(struct channel_state *state, struct str signature, struct str body,
                          int64_t now_s, struct channel_event *out, const char **why);
};

/* All channels, by name. */
extern const struct channel *const channels[];
extern const unsigned channels_n;

struct channel_set; /* those that are on, with their states */
STATUS_MUSTCHECK
enum status channel_set_create(const struct config *conf, struct channel_set **out);
void channel_set_destroy(struct channel_set **set);
/* NULL when it is unknown or off. */
const struct channel *channel_find(const struct channel_set *set, struct str name,
                                   struct channel_state **state);
