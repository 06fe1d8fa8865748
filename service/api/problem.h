/* problem.h - every error as RFC 9457 problem+json, from the status table.
 */
#pragma once

#include "api/api.h"

struct problem {
    enum status st;
    const char *detail; /* a sentence, or NULL for the title */
    struct str param;   /* the field to blame; may be empty */
    struct str extra;   /* further members: `"left":0`; may be empty */
    struct str headers; /* further complete header lines; may be empty */
};

/* Answers x. Retry-After, with jitter, goes with every 429 and 503. */
void problem_answer(struct api *api, struct exchange *x, const struct problem *p);
/* The common cases. */
void problem_status(struct api *api, struct exchange *x, enum status st, const char *detail);
void problem_param(struct api *api, struct exchange *x, const char *param, const char *detail);
/* Answers with JSON. */
void json_answer(struct api *api, struct exchange *x, uint16_t status, struct str headers,
                 struct str body);
