/* panel.h - shows people how a run goes: a panel that is redrawn in place on a terminal, one line a
 * second elsewhere.
 *
 * Writes to standard error only. One thread.
 */
#pragma once

#include "observer.h"

struct panel {
    const struct options *options;
    const struct scenario *scenario;
    int64_t start_us;
    int64_t next_us; /* when it is shown again */
    bool is_terminal;
    unsigned lines; /* that are on the terminal */
    struct load_now before;
    int64_t before_us;
};

void panel_init(struct panel *p, const struct options *o, const struct scenario *s,
                int64_t start_us);
/* Shows it when its time has come. latest: NULL before the first sample. */
void panel_show(struct panel *p, const struct load_now *now, const struct sample *latest,
                int64_t now_us);
/* Leaves the terminal as it was. */
void panel_end(struct panel *p);
