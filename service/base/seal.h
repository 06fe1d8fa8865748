/* seal.h - secrets at rest: AES-256-GCM under the configured master key (NIST SP 800-38D).
 *
 * A signing secret must be usable, so it cannot be hashed as API keys are; it is stored sealed
 * instead. Sealed form: 12 bytes random nonce, ciphertext, 16 bytes tag. `name` (the key id) is
 * bound as associated data, so a sealed secret cannot be moved to another row. Any thread.
 */
#pragma once

#include "base/status.h"
#include "base/str.h"

#include <stdint.h>

enum { SEAL_KEY_LEN = 32, SEAL_OVERHEAD = 28 };

/* out needs secret.n + SEAL_OVERHEAD bytes. ST_UNAVAILABLE: no memory or randomness.
 * ST_INVALID_REQUEST: longer than OpenSSL can count. */
STATUS_MUSTCHECK
enum status seal(const uint8_t key[SEAL_KEY_LEN], struct str name, struct str secret, uint8_t *out);
/* ST_BAD_SIGNATURE when key, name or bytes are not those that were sealed. out needs
 * sealed.n - SEAL_OVERHEAD bytes, and is wiped when they are refused. ST_UNAVAILABLE: no
 * memory. */
STATUS_MUSTCHECK
enum status unseal(const uint8_t key[SEAL_KEY_LEN], struct str name, struct str sealed,
                   uint8_t *out);
