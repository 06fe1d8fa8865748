/* world.h - one schedule: instances of the service, shoppers, faults, promises.
 *
 *   instance.c   the parts of a process as app.c builds them, on fibers; crashes and pauses
 *   crowd.c      shoppers, who ask, ask again, cancel and pay
 *   operator.c   who adds stock and takes it back
 *   chaos.c      which faults come when
 *   promises.c   what must be true after every commit and once it is quiet
 */
#pragma once

#include "fiber.h"
#include "flow/engine.h"
#include "flow/keeper.h"
#include "flow/reserve.h"

enum { INSTANCES_MAX = 3 };

struct instance {
    struct fiber_owner owner; /* dead: this life is over */
    unsigned place;           /* 0 .. INSTANCES_MAX - 1 */
    bool serving;             /* its worker takes requests */
    struct engine engine;
    struct keeper_view view;
    struct keeper *keeper;
    struct event_base *base; /* the worker's */
    struct queue *replies;
    struct reserve *reserve;
    struct catalog_reader reader;
    struct uid_source *ids;
};

/* Drawn at the schedule's beginning. */
struct world_conf {
    struct world_sale sale;
    unsigned instances, shoppers, intents;
    unsigned commit_depth, drag;
    bool operator_moves;
};

void instances_reset(const struct world_conf *conf);
void instance_start(unsigned place);
void instance_crash(unsigned place);
void instance_pause(unsigned place, int64_t for_us);
/* Those that are paused go on. */
void instances_resume(void);
/* The life at that place, or NULL while it is dead. */
struct instance *instance_at(unsigned place);
unsigned instances_alive(void);
/* Nothing of theirs is under way. */
bool instances_idle(void);
/* fn runs on the worker's loop, as a request that arrived. False: connection refused. */
bool instance_ask(struct instance *in, void (*fn)(void *), void *arg);

void crowd_reset(const struct world_conf *conf);
bool crowd_done(void);
/* Every promise the crowd was given, against what MariaDB has. Once it is quiet. */
void crowd_check(void);

void operator_reset(const struct world_conf *conf);
bool operator_done(void);
void operator_check(void);

/* What a status is called when it leaves the instance, and whether the same request may succeed later. */
enum status world_outward(enum status st);
bool world_passing(enum status st);

void chaos_reset(const struct world_conf *conf);
/* Injects what is due at this step. */
void chaos_step(void);
/* Whether faults are still to come. */
bool chaos_over(void);
/* No more faults; everything that is down comes back. */
void chaos_heal(void);

/* After every commit: P1, P3. */
void promises_check_ledger(void);
/* NULL once it is quiet and P4 holds, else what is missing. */
const char *promises_missing(void);
/* Units ever given to an item, less those taken back. */
void promises_check_end(void);
