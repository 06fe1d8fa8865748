/* text.h - numbers for people. Any thread. */
#pragma once

#include <stdint.h>

/* 1234567 -> "1,234,567"; out holds 32 bytes. Returned for use in printf. */
const char *text_grouped(uint64_t n, char out[32]);
