#include "markup.h"

#include <string.h>

/* U+FFFE and U+FFFF are no characters, and XML refuses them. */
static bool is_noncharacter(const char *at)
{
    return strncmp(at, "\xef\xbf\xbe", 3) == 0 || strncmp(at, "\xef\xbf\xbf", 3) == 0;
}

void markup_text(FILE *out, const char *text)
{
    for (const char *at = text; at && *at; at++) {
        switch (*at) {
        case '&': fputs("&amp;", out); break;
        case '<': fputs("&lt;", out); break;
        case '>': fputs("&gt;", out); break;
        case '"': fputs("&quot;", out); break;
        case '\'': fputs("&#39;", out); break;
        default:
            if (is_noncharacter(at)) {
                fputs("\xef\xbf\xbd", out);
                at += 2;
            } else if (((unsigned char)*at < ' ' && *at != '\n' && *at != '\t') || *at == 0x7f) {
                fputs("\xef\xbf\xbd", out);
            } else {
                fputc(*at, out);
            }
        }
    }
}

void markup_table(FILE *out, const char *caption, const char *const *heads)
{
    fputs("<div class=\"wide\" tabindex=\"0\"><table>\n<caption>", out);
    markup_text(out, caption);
    fputs("</caption>\n<thead><tr>", out);
    for (; *heads; heads++) {
        bool number = **heads == '#';
        fprintf(out, "<th scope=\"col\"%s>", number ? " class=\"n\"" : "");
        markup_text(out, *heads + number);
        fputs("</th>", out);
    }
    fputs("</tr></thead>\n<tbody>\n", out);
}

void markup_table_end(FILE *out)
{
    fputs("</tbody></table></div>\n", out);
}

void markup_row(FILE *out, const char *head)
{
    fputs("<tr><th scope=\"row\">", out);
    markup_text(out, head);
    fputs("</th>", out);
}

void markup_cell(FILE *out, const char *text)
{
    fputs("<td>", out);
    markup_text(out, text);
    fputs("</td>", out);
}

void markup_number(FILE *out, enum unit unit, double v)
{
    char text[FIGURE_MAX];
    fprintf(out, "<td class=\"n\">%s</td>", figure(unit, v, text));
}

void markup_verdict(FILE *out, bool good, const char *word)
{
    fprintf(out, "<td class=\"%s\">", good ? "good" : "bad");
    markup_text(out, word);
    fputs("</td>", out);
}

void markup_row_end(FILE *out)
{
    fputs("</tr>\n", out);
}
