/* text.h - numbers as people read them, and text files line by line. Pure but for the file. */
#pragma once

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

/* 1234567 -> "1,234,567" */
const char *text_grouped(uint64_t n, char out[32]);

enum text_line { LINE_READ, LINE_END, LINE_BAD };

/* The next line, without its end. LINE_END: there is none. LINE_BAD: it is longer than size - 2 bytes, or
 * holds a NUL: whatever the file is, no more than that is read of it. */
enum text_line text_line(FILE *in, char *line, size_t size);
