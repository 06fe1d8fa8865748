#include "api/render.h"

#include "base/clock.h"

static void add_id(struct buf *b, const char *prefix, const struct uid *id)
{
    char text[40];
    buf_char(b, '"');
    buf_append(b, text, uid_format(prefix, id, text));
    buf_char(b, '"');
}

/* `,"name":` */
#define KEY(b, name) BUF_LIT(b, ",\"" name "\":")

static void key_str(struct buf *b, const char *name, struct str v)
{
    BUF_LIT(b, ",\"");
    buf_add(b, str_from(name));
    BUF_LIT(b, "\":");
    buf_json(b, v);
}

static void render_action(struct buf *b, const struct payment *p)
{
    const struct str url = str_from(p->action_url);
    if (p->state != PAYMENT_PENDING || url.n == 0) {
        BUF_LIT(b, ",\"action\":{\"type\":\"none\"}");
        return;
    }
    if (p->action == PAYMENT_BY_QR_CODE) {
        BUF_LIT(b, ",\"action\":{\"type\":\"qr_code\"");
        key_str(b, "qr_code", url);
    } else {
        BUF_LIT(b, ",\"action\":{\"type\":\"redirect\"");
        key_str(b, "redirect", url);
        key_str(b, "url", url);
    }
    key_str(b, "sandbox_url", url);
    buf_char(b, '}');
}

void render_payment(struct buf *b, const struct payment *p)
{
    BUF_LIT(b, "{\"object\":\"payment\",\"id\":");
    add_id(b, "pay_", &p->id);
    KEY(b, "order");
    add_id(b, "ord_", &p->order);
    key_str(b, "channel", str_from(p->channel));
    key_str(b, "phase", str_from(p->phase));
    key_str(b, "state", str_from(payment_state_text(p->state)));
    KEY(b, "amount");
    buf_int(b, p->amount);
    key_str(b, "currency", str_from(p->currency));
    render_action(b, p);
    KEY(b, "created_at");
    buf_json_time(b, p->created_ms);
    buf_char(b, '}');
}

void render_order(struct buf *b, const struct order *o, const struct sale *sale,
                  const struct sale_item *item)
{
    BUF_LIT(b, "{\"object\":\"order\",\"id\":");
    add_id(b, "ord_", &o->id);
    key_str(b, "sale", sale->id);
    key_str(b, "sku", item->sku);
    KEY(b, "qty");
    buf_int(b, o->qty);
    key_str(b, "shopper", str_from(o->shopper));
    key_str(b, "state", str_from(order_state_text(o->state)));
    KEY(b, "amount");
    buf_int(b, o->amount);
    key_str(b, "currency", str_from(sale->currency));
    KEY(b, "created_at");
    buf_json_time(b, uid_ms(&o->id));
    KEY(b, "pay_by");
    buf_json_time(b, order_pay_by(o, sale));
    KEY(b, "paid_at");
    buf_json_time(b, o->state == ORDER_PAID ? o->changed_ms : 0);
    BUF_LIT(b, ",\"payments\":[");
    for (unsigned i = 0; i < o->payments; i++) {
        if (i > 0)
            buf_char(b, ',');
        render_payment(b, &o->payment[i]);
    }
    BUF_LIT(b, "]}");
}

int64_t render_left(const struct sale *sale, const struct sale_item *item)
{
    int64_t left = 0;
    for (unsigned i = 0; i < sale->shards; i++) {
        int64_t n = atomic_load_explicit(&item->live[i].left, memory_order_relaxed);
        if (n < 0)
            return -1;
        left += n;
    }
    return left;
}

static void render_item(struct buf *b, const struct sale *sale, const struct sale_item *item)
{
    /* Before the gate has been seen, what the sale was made with is the best answer. */
    int64_t left = render_left(sale, item);
    if (left < 0)
        left = item->stock;
    BUF_LIT(b, "{\"sku\":");
    buf_json(b, item->sku);
    key_str(b, "name", item->name);
    KEY(b, "price");
    buf_int(b, item->price);
    KEY(b, "list_price");
    if (item->list_price < 0)
        BUF_LIT(b, "null");
    else
        buf_int(b, item->list_price);
    KEY(b, "limit");
    buf_int(b, item->limit);
    KEY(b, "left");
    buf_int(b, left);
    if (left == 0)
        BUF_LIT(b, ",\"sold_out\":true}");
    else
        BUF_LIT(b, ",\"sold_out\":false}");
}

void render_sale(struct buf *b, const struct sale *sale, int64_t now_ms, size_t *time_at)
{
    enum sale_phase phase = sale_phase(sale->state, sale->starts_ms, sale->ends_ms, now_ms);
    BUF_LIT(b, "{\"object\":\"sale\",\"id\":");
    buf_json(b, sale->id);
    key_str(b, "name", sale->name);
    BUF_LIT(b, ",\"kind\":\"flash\"");
    key_str(b, "currency", str_from(sale->currency));
    key_str(b, "state", str_from(sale_phase_text(phase)));
    KEY(b, "server_time");
    if (time_at)
        *time_at = b->len + 1;
    buf_json_time(b, now_ms);
    KEY(b, "starts_at");
    buf_json_time(b, sale->starts_ms);
    KEY(b, "ends_at");
    buf_json_time(b, sale->ends_ms);
    KEY(b, "pay_within_s");
    buf_int(b, sale->pay_within_s);
    KEY(b, "shards");
    buf_int(b, sale->shards);
    KEY(b, "created_at");
    buf_json_time(b, sale->created_ms);
    BUF_LIT(b, ",\"items\":[");
    for (unsigned i = 0; i < sale->items; i++) {
        if (i > 0)
            buf_char(b, ',');
        render_item(b, sale, &sale->item[i]);
    }
    BUF_LIT(b, "]}");
}

static void key_int(struct buf *b, const char *name, int64_t v)
{
    BUF_LIT(b, ",\"");
    buf_add(b, str_from(name));
    BUF_LIT(b, "\":");
    buf_int(b, v);
}

static void render_audit_item(struct buf *b, const struct audit_item *item)
{
    BUF_LIT(b, "{\"sku\":");
    buf_json(b, item->sku);
    key_int(b, "allocated", item->allocated);
    key_int(b, "left", item->gate_left);
    key_int(b, "live", item->live);
    key_int(b, "paid", item->paid);
    key_int(b, "released", item->released);
    key_int(b, "ledger_left", item->ledger_left);
    key_int(b, "gate_left", item->gate_left);
    key_int(b, "gate_held", item->gate_held);
    buf_char(b, '}');
}

void render_audit(struct buf *b, const struct sale *sale, const struct audit *a)
{
    BUF_LIT(b, "{\"object\":\"audit\",\"sale\":");
    buf_json(b, sale->id);
    buf_printf(b, ",\"ok\":%s", a->ok ? "true" : "false");
    KEY(b, "checked_at");
    buf_json_time(b, a->checked_ms);
    BUF_LIT(b, ",\"items\":[");
    for (unsigned i = 0; i < a->items; i++) {
        if (i > 0)
            buf_char(b, ',');
        render_audit_item(b, &a->item[i]);
    }
    BUF_LIT(b, "],\"checks\":[");
    for (unsigned i = 0; i < a->checks; i++) {
        const struct audit_check *c = &a->check[i];
        if (i > 0)
            buf_char(b, ',');
        buf_printf(
            b, "{\"name\":\"%s\",\"promise\":\"%s\",\"ok\":%s,\"expected\":%lld,\"found\":%lld}",
            c->name, c->promise, c->ok ? "true" : "false", (long long)c->expected,
            (long long)c->found);
    }
    BUF_LIT(b, "],\"pending\":{\"log\":");
    buf_int(b, a->pending_log);
    key_int(b, "committing", a->pending_committing);
    key_int(b, "releases", a->pending_releases);
    BUF_LIT(b, "},\"money\":{\"unapplied\":");
    buf_int(b, a->unapplied);
    key_int(b, "unmatched", a->odd_notices);
    BUF_LIT(b, "}}");
}
