#include "text.h"

#include <inttypes.h>
#include <string.h>

const char *text_grouped(uint64_t n, char out[32])
{
    char digits[24];
    int len = snprintf(digits, sizeof(digits), "%" PRIu64, n);
    int at = 0;
    for (int i = 0; i < len; i++) {
        if (i > 0 && (len - i) % 3 == 0) {
            out[at++] = ',';
        }
        out[at++] = digits[i];
    }
    out[at] = '\0';
    return out;
}

enum text_line text_line(FILE *in, char *line, size_t size)
{
    if (!fgets(line, (int)size, in)) {
        return LINE_END;
    }
    size_t n = strlen(line);
    if ((n == 0 || line[n - 1] != '\n') && !feof(in)) {
        return LINE_BAD;
    }
    line[strcspn(line, "\r\n")] = '\0';
    return LINE_READ;
}
