/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Passwords as yescrypt hashes through libcrypt. Both calls are slow by design: workers only. */
#ifndef SALLYPORT_LOADER_PASSWORD_H
#define SALLYPORT_LOADER_PASSWORD_H

#include <stdbool.h>
#include <stddef.h>

/* HASH: at least STORE_HASH_MAX bytes. -EINVAL: empty or above SP_PASSWORD_MAX. */
int password_hash(const char *password, char *ret_hash, size_t size);

/*
 * 0: right; -EKEYREJECTED: wrong; other negative errno: HASH is not one. Compares in constant
 * time. HASH NULL: does the same work against a hash that nothing matches, and returns
 * -EKEYREJECTED, so that a caller cannot tell an unknown user by the time taken.
 */
int password_verify(const char *password, const char *hash);

#endif
