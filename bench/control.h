/* control.h - the storefront's side of a rush: creates the sale, opens it, asks for the audit.
 *
 * Plain blocking calls through libcurl, outside the measured time. One thread.
 */
#pragma once

#include "options.h"

#include "base/status.h"

#include <jansson.h>

struct control;

/* Borrows o. ST_OK or ST_INTERNAL. */
STATUS_MUSTCHECK
enum status control_create(const struct options *o, struct control **out);
void control_destroy(struct control **c);
/* What the last failed call had to say. */
const char *control_error(const struct control *c);

/* Creates and publishes a flash sale of one item with o->units, and waits until it is open.
 * ST_OK or ST_UNAVAILABLE. */
STATUS_MUSTCHECK
enum status control_open_sale(struct control *c, const char *sale);
/* Ends the sale, so that it is nobody's work any more. Failing is not worth a word. */
void control_end_sale(struct control *c, const char *sale);
/* Waits until nothing is pending (at most about a minute) and returns the audit; the caller owns
 * *audit. ST_OK (whatever the audit says) or ST_UNAVAILABLE. */
STATUS_MUSTCHECK
enum status control_audit(struct control *c, const char *sale, json_t **audit);
