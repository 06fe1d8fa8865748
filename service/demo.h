/* demo.h - the demo data of `make run`: a storefront, its keys, an open sale (API.md, Running).
 */
#pragma once

#include "flow/jobs.h"

/* Creates what is not there and opens the sale. error gets a sentence. */
STATUS_MUSTCHECK
enum status demo_load(struct session *s, const uint8_t master_key[SEAL_KEY_LEN], char *error,
                      size_t size);
