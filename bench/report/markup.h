/* markup.h - text and tables of a page, safe whatever the text.
 *
 * Writes to a stream; errors stay in the stream (ferror). Strings are UTF-8 and borrowed.
 */
#pragma once

#include "figure.h"

#include <stdbool.h>
#include <stdio.h>

/* text with everything escaped that means something in HTML, XML or an attribute; bytes that XML
 * does not have become U+FFFD. NULL writes nothing. */
void markup_text(FILE *out, const char *text);

/* A table with a caption. heads: columns, ended by NULL; '#' before a head says that
 * numbers stand under it. */
void markup_table(FILE *out, const char *caption, const char *const *heads);
void markup_table_end(FILE *out);
/* The head of a row, then its cells. */
void markup_row(FILE *out, const char *head);
void markup_cell(FILE *out, const char *text);
void markup_number(FILE *out, enum unit unit, double v);
/* A cell that says good or bad in a word, and with colour. */
void markup_verdict(FILE *out, bool good, const char *word);
void markup_row_end(FILE *out);
