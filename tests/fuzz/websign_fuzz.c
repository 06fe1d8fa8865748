/* websign_fuzz.c - signature headers of channels: first line of the input, its body the rest.
 *
 * Whatever the header, verification answers; it holds for the header we make ourselves, and for no
 * input under a key that nobody has.
 */
#include "base/websign.h"

#include <stdlib.h>

enum { NOW_S = 1492774577 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct hmac_key *make_key(struct str secret)
{
    struct hmac_key *key = NULL;
    if (hmac_key_create(secret, &key) != ST_OK)
        abort();
    return key;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct str input = {(const char *)data, size};
    const char *line_end = size ? memchr(data, '\n', size) : NULL;
    struct str header = {input.p, line_end ? (size_t)(line_end - input.p) : size};
    struct str body = line_end ? (struct str){line_end + 1, size - header.n - 1} : (struct str){0};

    struct hmac_key *known = make_key(STR("whsec_test_secret"));
    struct hmac_key *unknown = make_key(STR("9b1d7c0d4f8e5a62, which no seed is signed with"));
    const char *why = NULL;
    char made[96];
    enum status st = websign_verify(known, header, body, NOW_S, &why);
    if ((st == ST_OK) == (why != NULL))
        abort();
    if (websign_verify(unknown, header, body, NOW_S, &why) == ST_OK)
        abort();
    struct str own = {made, websign_make(known, body, NOW_S, made)};
    if (websign_verify(known, own, body, NOW_S, &why) != ST_OK)
        abort();
    hmac_key_destroy(&known);
    hmac_key_destroy(&unknown);
    return 0;
}
