/* Rules that can be taken out, to see that the simulation notices: make sim-mutants. */
#include "sim.h"

#include <stdio.h>
#include <string.h>

static const struct {
    const char *name, *what;
    bool unnoticed; /* needs a Redis whose losses go unnoticed */
} mutants[] = {
    {"no-fence", "R2: an order is counted under an epoch that has ended", false},
    {"no-guard", "P1: held may pass allocated", true},
    {"no-unique-key", "R3: MariaDB takes a key twice", false},
    {"same-identity", "R1: a restarted Redis looks like the one before", false},
    {"stale-snapshot", "R8: a load reads what was committed before its epoch", false},
    {"forgotten-opened", "R7: a rebuild does not know whose log it finds", false},
    {"bump-without-seen", "R6: an epoch is taken twice", false},
    {"lost-commit-is-done", "R13: a COMMIT without an answer counts as done", false},
    {"no-epoch-in-reserve", "R2: a gate reserves under any epoch", false},
    {"release-without-name", "R19: a release gives back any hold", false},
    {"no-limit", "P3: a gate does not look at the limit", false},
    {"no-key-in-held", "R14: a gate does not know a key again", false},
    {"load-without-epoch", "R6: the steps of a load do not name its epoch", false},
    {"no-log", "R10: a reservation is not logged", false},
    {"ack-without-name", "R10: acknowledging one entry empties the log", false},
    {"added-twice", "R5: added units are added again", false},
};

enum { MUTANTS = sizeof(mutants) / sizeof(mutants[0]) };

static int find(const char *name)
{
    for (int i = 0; i < MUTANTS; i++)
        if (strcmp(mutants[i].name, name) == 0)
            return i;
    return -1;
}

bool sim_mutant_known(const char *name)
{
    return find(name) >= 0;
}

bool sim_mutant_unnoticed(const char *name)
{
    int i = find(name);
    return i >= 0 && mutants[i].unnoticed;
}

void sim_mutants_list(void)
{
    for (int i = 0; i < MUTANTS; i++)
        printf("%s\t%s\n", mutants[i].name, mutants[i].what);
}

bool sim_mutated(const char *name)
{
    if (sim_mutant[0] == '\0')
        return false;
    if (find(name) < 0)
        sim_abort("mutants.c does not list %s", name);
    return strcmp(sim_mutant, name) == 0;
}
