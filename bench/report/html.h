/* html.h - a run as one page to look at: no other file, no network, no script needed.
 *
 * html_page.c: the page and its headline; html_head.c: style sheet and read-outs; html_charts.c and
 * html_tables.c: what is in it; svg.c draws. Whatever the run lacks is left out, and the page says so.
 */
#pragma once

#include "base/status.h"

#include <jansson.h>

#include <stdio.h>

/* run and other (to lay over it, or NULL) as bench/report.schema.json has them; neither is trusted.
 * ST_OK; ST_INTERNAL: no memory, or the stream failed. */
STATUS_MUSTCHECK
enum status html_write(const json_t *run, const json_t *other, FILE *out);
