/* handlers.h - one function per route; ctx is the worker's struct api. routes.c is the table. */
#pragma once

#include "api/api.h"

void orders_create(void *ctx, struct exchange *x);
void orders_get(void *ctx, struct exchange *x);
void orders_list(void *ctx, struct exchange *x);
void orders_cancel(void *ctx, struct exchange *x);
void payments_create(void *ctx, struct exchange *x);
void payments_get(void *ctx, struct exchange *x);
void webhooks_receive(void *ctx, struct exchange *x);
void sales_create(void *ctx, struct exchange *x);
void sales_list(void *ctx, struct exchange *x);
void sales_get(void *ctx, struct exchange *x);
void sales_publish(void *ctx, struct exchange *x);
void sales_pause(void *ctx, struct exchange *x);
void sales_resume(void *ctx, struct exchange *x);
void sales_end(void *ctx, struct exchange *x);
void sales_audit(void *ctx, struct exchange *x);
void sales_events(void *ctx, struct exchange *x);
void stock_create(void *ctx, struct exchange *x);
void process_livez(void *ctx, struct exchange *x);
void process_readyz(void *ctx, struct exchange *x);
void process_metrics(void *ctx, struct exchange *x);
void process_openapi(void *ctx, struct exchange *x);
void process_root(void *ctx, struct exchange *x);
