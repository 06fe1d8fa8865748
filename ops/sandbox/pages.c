#include "pages.h"

#include <inttypes.h>
#include <stdio.h>

static const char style[] =
    ":root{color-scheme:light dark;--bg:#f4f5f7;--card:#fff;--text:#1b1f24;--soft:#57606a;"
    "--line:#d0d7de;--go:#0b6b45;--go-text:#fff;--bad:#b42318}"
    "@media(prefers-color-scheme:dark){:root{--bg:#0f1317;--card:#181d23;--text:#e8ebee;"
    "--soft:#a3adb8;--line:#333c46;--go:#58c996;--go-text:#06281a;--bad:#ff9c92}}"
    "*{box-sizing:border-box}"
    "body{margin:0;min-height:100vh;display:grid;place-items:center;padding:1rem;"
    "background:var(--bg);color:var(--text);font:1rem/1.5 system-ui,sans-serif}"
    "main{width:100%;max-width:26rem;padding:1.5rem;background:var(--card);"
    "border:1px solid var(--line);border-radius:.75rem}"
    "main.wide{max-width:56rem;overflow-x:auto}"
    "h1{margin:.25rem 0 1rem;font-size:2rem;line-height:1.2}"
    "h1.paid{color:var(--go)}h1.declined{color:var(--bad)}"
    ".soft{margin:0;color:var(--soft);font-size:.875rem}"
    "dl{margin:0 0 1.5rem;font-size:.875rem}dt{color:var(--soft)}"
    "dd{margin:0 0 .5rem;overflow-wrap:anywhere;font-family:ui-monospace,monospace}"
    "form{display:grid;gap:.75rem}"
    "button{min-height:3rem;border:1px solid var(--go);border-radius:.5rem;background:var(--go);"
    "color:var(--go-text);font:inherit;font-weight:600;cursor:pointer}"
    "button.quiet{border-color:var(--line);background:none;color:var(--text)}"
    "a{color:var(--go)}:focus-visible{outline:3px solid var(--go);outline-offset:2px}"
    "table{width:100%;border-collapse:collapse;font-size:.875rem}"
    "th,td{padding:.4rem .6rem .4rem 0;border-bottom:1px solid var(--line);text-align:left;"
    "white-space:nowrap}td.n,th.n{text-align:right;font-variant-numeric:tabular-nums}";

static void escape(struct buf *b, const char *text)
{
    for (const char *p = text; *p; p++) {
        switch (*p) {
        case '&': BUF_LIT(b, "&amp;"); break;
        case '<': BUF_LIT(b, "&lt;"); break;
        case '>': BUF_LIT(b, "&gt;"); break;
        case '"': BUF_LIT(b, "&quot;"); break;
        case '\'': BUF_LIT(b, "&#39;"); break;
        default: buf_char(b, *p); break;
        }
    }
}

static void head(struct buf *b, const char *title, const char *main_class)
{
    BUF_LIT(b, "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">"
               "<meta name=\"viewport\" content=\"width=device-width,initial-scale=1\"><title>");
    escape(b, title);
    BUF_LIT(b, "</title><style>");
    buf_append(b, style, sizeof(style) - 1);
    buf_printf(b, "</style></head><body><main class=\"%s\">", main_class);
    BUF_LIT(b, "<p class=\"soft\">Sandbox channel. No real money.</p>");
}

static void foot(struct buf *b)
{
    BUF_LIT(b, "</main></body></html>\n");
}

/* "99.00 CNY"; currencies without minor units as they are. */
static void money(const struct trade *t, char out[48])
{
    static const char whole[][4] = {"JPY", "KRW", "VND", "CLP", "ISK"};
    for (size_t i = 0; i < sizeof(whole) / sizeof(whole[0]); i++) {
        if (strcmp(t->currency, whole[i]) == 0) {
            snprintf(out, 48, "%" PRId64 " %s", t->amount, t->currency);
            return;
        }
    }
    snprintf(out, 48, "%" PRId64 ".%02d %s", t->amount / 100, (int)(t->amount % 100), t->currency);
}

static void row(struct buf *b, const char *name, const char *value)
{
    BUF_LIT(b, "<dt>");
    escape(b, name);
    BUF_LIT(b, "</dt><dd>");
    escape(b, value);
    BUF_LIT(b, "</dd>");
}

static void buttons(struct buf *b, const char *amount)
{
    BUF_LIT(b, "<form method=\"post\"><button name=\"result\" value=\"pay\">Pay ");
    escape(b, amount);
    BUF_LIT(b, "</button><button class=\"quiet\" name=\"result\" value=\"decline\">Decline</button>"
               "</form>");
}

void page_trade(struct buf *b, const struct trade *t)
{
    char amount[48];
    char title[80];
    money(t, amount);
    snprintf(title, sizeof(title), "%s: %s",
             t->state == TRADE_OPEN ? "Pay" : trade_state_text(t->state), amount);
    head(b, title, "");
    buf_printf(b, "<h1 class=\"%s\">", trade_state_text(t->state));
    if (t->state != TRADE_OPEN) {
        BUF_LIT(b, "<span role=\"status\">");
        escape(b, t->state == TRADE_PAID ? "Paid " : "Declined ");
        BUF_LIT(b, "</span>");
    }
    escape(b, amount);
    BUF_LIT(b, "</h1><dl>");
    row(b, "Order", t->order);
    row(b, "Payment", t->payment);
    row(b, "Trade", t->reference);
    BUF_LIT(b, "</dl>");
    if (t->state == TRADE_OPEN) {
        buttons(b, amount);
    } else if (t->return_url) {
        BUF_LIT(b, "<p><a href=\"");
        escape(b, t->return_url);
        BUF_LIT(b, "\">Back to the shop</a></p>");
    }
    foot(b);
}

static void list_row(struct buf *b, const struct trade *t)
{
    char amount[48];
    money(t, amount);
    BUF_LIT(b, "<tr><td><a href=\"/pay/");
    escape(b, t->payment);
    BUF_LIT(b, "\">");
    escape(b, t->payment);
    BUF_LIT(b, "</a></td><td>");
    escape(b, t->order);
    BUF_LIT(b, "</td><td class=\"n\">");
    escape(b, amount);
    buf_printf(b, "</td><td>%s</td><td>%s</td><td class=\"n\">%u</td></tr>",
               trade_state_text(t->state),
               t->delivered             ? "yes"
               : t->over                ? "given up"
               : t->state == TRADE_OPEN ? ""
                                        : "trying",
               t->tries);
}

void page_list(struct buf *b, const struct trades *trades)
{
    unsigned shown = 0;
    head(b, "Sandbox trades", "wide");
    buf_printf(b, "<h1>Trades</h1><p class=\"soft\">%zu in all, newest first</p>", trades->n);
    BUF_LIT(b, "<table><thead><tr><th>Payment</th><th>Order</th><th class=\"n\">Amount</th>"
               "<th>State</th><th>Notified</th><th class=\"n\">Tries</th></tr></thead><tbody>");
    for (const struct trade *t = TAILQ_FIRST(&trades->all); t && shown < PAGE_TRADES;
         t = TAILQ_NEXT(t, by_age), shown++) {
        list_row(b, t);
    }
    BUF_LIT(b, "</tbody></table>");
    foot(b);
}

void page_problem(struct buf *b, const char *title)
{
    head(b, title, "");
    BUF_LIT(b, "<h1>");
    escape(b, title);
    BUF_LIT(b, "</h1>");
    foot(b);
}
