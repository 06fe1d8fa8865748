/* channel.h - what every payment channel can do, whatever its wire format.
 *
 * Knows no order and no database. A call is begun by any thread and ends later on the thread of the
 * calls (http_calls.h), which nobody may keep waiting. Outcomes: ST_OK; ST_UNKNOWN the channel may or may not have done it (ask again with the
 * same payment id, never under a new one); ST_UNAVAILABLE definitely not done; ST_INTERNAL refused
 * for a reason that trying again does not mend.
 */
#pragma once

#include "base/config.h"
#include "base/hmac.h"
#include "base/ids.h"
#include "base/status.h"
#include "base/str.h"
#include "pay/http_calls.h"
#include "rules/payment_action.h"

#include <stdint.h>

enum { CHANNEL_URL_MAX = 512, CHANNEL_REF_MAX = 64, EVENT_ID_MAX = 64, EVENT_BODY_MAX = 16384 };

struct channel_trade {
    struct uid payment, order;
    enum payment_action action;
    int64_t amount;
    char currency[4];
    struct str return_url; /* of the caller, until the call has ended */
};

struct channel_answer {
    char url[CHANNEL_URL_MAX + 1]; /* where the shopper pays */
    char ref[CHANNEL_REF_MAX + 1]; /* the channel's own number */
};

/* A trade on its way to the channel. */
struct channel_call {
    struct channel_trade trade;
    /* On the calls' thread, or before create returns. The call is the owner's again. */
    void (*ended)(struct channel_call *call);
    enum status st;               /* outcome, as above */
    struct channel_answer answer; /* when ST_OK */
    /* The channel's own. */
    struct http_call http;
    char header[128];
    struct buf body;
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
    enum status (*open)(const struct config *conf, struct http_calls *calls,
                        struct channel_state **out);
    void (*close)(struct channel_state **state);
    /* Where the shopper pays, signed here without asking anybody (as Alipay's page pay): the channel
     * learns of the trade from whoever opens the page. False: the channel has to be told (create),
     * as for a code, or because the page's address would be too long. Any thread. */
    bool (*page)(const struct channel_state *state, const struct channel_trade *trade,
                 struct channel_answer *out);
    /* Tells the channel of call->trade. call->ended runs exactly once. */
    void (*create)(struct channel_state *state, struct channel_call *call);
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
/* Calls are made from here on. */
STATUS_MUSTCHECK
enum status channel_set_start(struct channel_set *set);
/* Ends the calls that wait, lets those under way end; later ones are refused. */
void channel_set_stop(struct channel_set *set);
/* Calls waiting and under way. */
unsigned channel_set_depth(const struct channel_set *set);
void channel_set_destroy(struct channel_set **set);
/* NULL when it is unknown or off. */
const struct channel *channel_find(const struct channel_set *set, struct str name,
                                   struct channel_state **state);
