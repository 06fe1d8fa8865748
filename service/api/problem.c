#include "api/problem.h"

/* Retry-After spreads returning clients over this many seconds. */
enum { RETRY_SPREAD_S = 3 };

static void add_headers(struct api *api, const struct problem *p)
{
    buf_reset(&api->headers);
    if (p->headers.n > 0)
        buf_add(&api->headers, p->headers);
    uint16_t http = status_info(p->st)->http;
    if (http == 429 || http == 503) {
        BUF_LIT(&api->headers, "Retry-After: ");
        buf_int(&api->headers, 1 + (int64_t)(api->jitter++ % RETRY_SPREAD_S));
        BUF_LIT(&api->headers, "\r\n");
    }
    if (http == 401)
        BUF_LIT(&api->headers, "WWW-Authenticate: Bearer\r\n");
    BUF_LIT(&api->headers, "Cache-Control: no-store\r\n");
}

void problem_answer(struct api *api, struct exchange *x, const struct problem *p)
{
    const struct status_info *info = status_info(p->st);
    struct buf *b = &api->scratch;
    buf_reset(b);
    BUF_LIT(b, "{\"type\":\"about:blank\",\"title\":\"");
    buf_add(b, str_from(info->title));
    BUF_LIT(b, "\",\"status\":");
    buf_int(b, info->http);
    BUF_LIT(b, ",\"code\":\"");
    buf_add(b, str_from(info->code));
    BUF_LIT(b, "\",\"detail\":");
    buf_json(b, str_from(p->detail ? p->detail : info->title));
    if (p->param.n > 0) {
        BUF_LIT(b, ",\"param\":");
        buf_json(b, p->param);
    }
    if (p->extra.n > 0) {
        buf_char(b, ',');
        buf_add(b, p->extra);
    }
    BUF_LIT(b, ",\"request_id\":\"");
    buf_append(b, x->request_id, x->request_id_len);
    BUF_LIT(b, "\"}");
    add_headers(api, p);
    const struct answer a = {.status = info->http,
                             .content_type = "application/problem+json",
                             .headers = {api->headers.data, api->headers.len},
                             .body = {b->data, b->len},
                             .st = p->st};
    exchange_answer(x, &a);
}

void problem_status(struct api *api, struct exchange *x, enum status st, const char *detail)
{
    problem_answer(api, x, &(struct problem){.st = st, .detail = detail});
}

void problem_param(struct api *api, struct exchange *x, const char *param, const char *detail)
{
    problem_answer(
        api, x,
        &(struct problem){.st = ST_INVALID_REQUEST, .detail = detail, .param = str_from(param)});
}

void json_answer(struct api *api, struct exchange *x, uint16_t status, struct str headers,
                 struct str body)
{
    const struct answer a = {.status = status,
                             .content_type = "application/json",
                             .headers = headers,
                             .body = body,
                             .st = ST_OK};
    exchange_answer(x, &a);
}
