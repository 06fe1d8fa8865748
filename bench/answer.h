/* answer.h - just enough of HTTP/1.1 to read the answers of a run.
 *
 * Knows status line, Content-Length, Connection and Retry-After; an answer framed in any other way is
 * bad, not guessed at. Looks at the caller's bytes in place, allocates nothing. Any thread.
 */
#pragma once

#include "base/ids.h"
#include "base/str.h"

#include <stdint.h>

enum answer_found { ANSWER_MORE, ANSWER_DONE, ANSWER_BAD };

struct answer {
    unsigned http;    /* status */
    bool close;       /* the peer closes after it */
    uint32_t after_s; /* Retry-After in seconds; 0 when there is none */
    struct str body;  /* points into the bytes given */
    size_t len;       /* bytes of header and body together */
};

/* Reads one answer from the start of `in`. ANSWER_DONE: *a is filled. ANSWER_MORE: bytes are
 * missing. ANSWER_BAD: not an answer that we understand. */
enum answer_found answer_read(struct str in, struct answer *a);
/* The order id in `"id":"ord_…"` of a body; false when there is none. */
bool answer_order_id(struct str body, struct uid *id);
/* The text in `"name":"…"`, the first of that name; empty when there is none. Points into body. */
struct str answer_text(struct str body, const char *name);
/* Reads the head of a stream, whose body ends with its connection: ANSWER_DONE when the head is whole. *a
 * has what came of the body so far. */
enum answer_found answer_read_stream(struct str in, struct answer *a);
