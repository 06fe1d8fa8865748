/* control.h - the storefront's side of a run: creates the sale, opens it, asks for the audit.
 *
 * Plain blocking calls through libcurl, outside the measured time. One thread.
 */
#pragma once

#include "options.h"

#include "base/status.h"
#include "base/str.h"

#include <jansson.h>

struct control;

/* Borrows o. ST_OK or ST_INTERNAL. */
STATUS_MUSTCHECK
enum status control_create(const struct options *o, struct control **out);
void control_destroy(struct control **c);
/* What the last failed call had to say. */
const char *control_error(const struct control *c);

/* Creates and publishes the scenario's flash sale, and waits until it is open. ST_OK or
 * ST_UNAVAILABLE. */
STATUS_MUSTCHECK
enum status control_open_sale(struct control *c, const struct scenario *s, const char *sale);
/* Ends the sale, so that it is nobody's work any more. Failing is not worth a word. */
void control_end_sale(struct control *c, const char *sale);
/* GETs a path within so many milliseconds. *body lives until the next call. False: no answer of 200. */
bool control_get(struct control *c, const char *path, long timeout_ms, struct str *body);
/* Waits until nothing is pending (at most about a minute) and returns the audit; the caller owns
 * *audit. ST_OK (whatever the audit says) or ST_UNAVAILABLE. */
STATUS_MUSTCHECK
enum status control_audit(struct control *c, const char *sale, json_t **audit);
