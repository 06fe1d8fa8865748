/* Any bytes as a configuration file: refused with a sentence or loaded within bounds. */
#include "base/config.h"

#include <stdlib.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void check(bool good)
{
    if (!good)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const struct config empty;
    struct config cfg;
    char error[200];
    enum status st =
        config_parse(&cfg, (struct str){(const char *)data, size}, error, sizeof(error));
    if (st != ST_OK) {
        check(st == ST_INVALID_REQUEST && error[0] && strlen(error) < sizeof(error));
        check(memcmp(&cfg, &empty, sizeof(cfg)) == 0);
        return 0;
    }
#define CHECK_STR(field, min, max)                     check(strlen(field) + 1 > (min) && strlen(field) <= (max))
#define CHECK_INT(field, min, max)                     check((field) >= (min) && (field) <= (max))
#define CHECK_BOOL(field, min, max)                    check((field) == 0 || (field) == 1)
#define X(kind, key, def, min, max, unit, flags, help) CHECK_##kind(cfg.key, min, max);
    CONFIG_TABLE(X)
#undef X
    config_fini(&cfg);
    return 0;
}
