/* The virtual Redis' server: which one answers, what it refuses, and what befalls it. */
#include "vredis_network.h"

#include "fiber.h"
#include "vmem.h"

#include <stdio.h>

struct vredis_server vredis_server;

bool vredis_is_away(void)
{
    return sched_now() < vredis_server.away_until_us;
}

struct redis_identity vredis_identity(void)
{
    struct redis_identity id = {.master = true, .noeviction = true};
    unsigned process = sim_mutated("same-identity") ? 1 : vredis_server.process;
    snprintf(id.run_id, sizeof(id.run_id), "%040x", process);
    snprintf(id.repl_id, sizeof(id.repl_id), "%040x", process + 0x1000);
    return id;
}

static bool writes(const struct call *c)
{
    if (str_equal(c->word[0], STR("FCALL")))
        return vredis_data.functions && vredis_function_writes(c->word[1]);
    return str_equal(c->word[0], STR("FUNCTION"));
}

static void trace_call(const struct call *c, const redisReply *r)
{
    char words[200] = "", answer[120] = "";
    size_t at = 0;
    if (c->n > 1 && str_equal(c->word[1], STR("snapup_peek")) && r->type != REDIS_REPLY_ERROR)
        return; /* all day long */
    for (unsigned i = 0; i < c->n && at + 30 < sizeof(words); i++) {
        if (str_equal(c->word[0], STR("FCALL")) && (i < 1 || i == 2 || (i > 3 && i < 7)))
            continue; /* one key says which shard */
        bool text = c->word[i].n > 0 && c->word[i].n < 24;
        for (size_t k = 0; k < c->word[i].n; k++)
            text = text && c->word[i].p[k] >= ' ' && c->word[i].p[k] < 127;
        at += (size_t)(text ? snprintf(words + at, sizeof(words) - at, " %.*s", (int)c->word[i].n,
                                       c->word[i].p)
                            : snprintf(words + at, sizeof(words) - at, " <%zu>", c->word[i].n));
    }
    at = 0;
    if (r->type == REDIS_REPLY_ERROR)
        snprintf(answer, sizeof(answer), "%s", r->str);
    for (size_t i = 0; i < r->elements && at + 40 < sizeof(answer); i++) {
        const redisReply *e = r->element[i];
        if (e->type == REDIS_REPLY_INTEGER)
            at += (size_t)snprintf(answer + at, sizeof(answer) - at, " %lld", e->integer);
        else if (e->str && e->len < 30)
            at += (size_t)snprintf(answer + at, sizeof(answer) - at, " %s", e->str);
    }
    sim_trace("  redis%s ->%s", words, answer);
}

void vredis_execute(struct call *c)
{
    if (vredis_server.error && sched_now() < vredis_server.refuse_until_us && writes(c)) {
        sim_count[SIM_REDIS_REFUSED]++;
        c->reply = reply_error("%s refused by the simulation", vredis_server.error);
    } else {
        c->reply = vredis_command(c->n, c->word);
    }
    if (sim_tracing)
        trace_call(c, c->reply);
}

void vredis_refuse(const char *error, int64_t for_us)
{
    vredis_server.error = error;
    vredis_server.refuse_until_us = sched_now() + for_us;
}

void vredis_set_faults(const struct store_faults *faults)
{
    vredis_server.faults = *faults;
}

bool vredis_lost_data(void)
{
    return vredis_server.lost_data;
}

int64_t vredis_latency(void)
{
    if (vredis_server.faults.slow && sim_chance(30))
        return 1000 + sim_below(300000);
    return 10 + sim_below(sim_chance(30) ? 5000 : 150);
}

struct call *vredis_call_new(const struct args *args)
{
    struct call *c = vmem_new(sizeof(*c));
    struct str *word = vmem_new((size_t)args->n * sizeof(*word));
    for (int i = 0; i < args->n; i++)
        word[i] = (struct str){vmem_copy(args->word[i], args->len[i]), args->len[i]};
    c->n = (unsigned)args->n;
    c->word = word;
    c->process = vredis_server.process;
    return c;
}

/* --- what befalls it --------------------------------------------------------------------------- */

void vredis_save(void)
{
    vredis_server.saved = vredis_data;
}

void vredis_restart(enum redis_loss loss, int64_t away_us)
{
    static const enum sim_count counts[] = {SIM_REDIS_RESTARTS, SIM_REDIS_EMPTIED, SIM_REDIS_OLD};
    sim_count[counts[loss]]++;
    vredis_server.process++;
    vredis_server.away_until_us = sched_now() + away_us;
    vredis_server.lost_data = vredis_server.lost_data || loss != REDIS_KEPT;
    if (loss == REDIS_EMPTY)
        memset(&vredis_data, 0, sizeof(vredis_data));
    else if (loss == REDIS_OLD)
        vredis_data = vredis_server.saved;
    vredis_cut_links();
}

void vredis_roll_back(void)
{
    sim_count[SIM_REDIS_UNNOTICED]++;
    vredis_data = vredis_server.saved;
    vredis_server.lost_data = true;
}

void vredis_flush(bool functions_only)
{
    sim_count[SIM_REDIS_FLUSHED]++;
    vredis_data.functions = vredis_data.functions && !functions_only;
    if (functions_only)
        return;
    memset(vredis_data.shard, 0, sizeof(vredis_data.shard));
    vredis_server.lost_data = true;
}

void vredis_reset(void)
{
    memset(&vredis_server, 0, sizeof(vredis_server));
    vredis_forget_links();
    memset(&vredis_data, 0, sizeof(vredis_data));
    vredis_server.process = 1;
}
