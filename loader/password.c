/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is this the user's password? */
#include "password.h"

#include <crypt.h>
#include <errno.h>
#include <string.h>

#include "lib/cleanup.h"
#include "sallyport/limits.h"

/* yescrypt, at libcrypt's default cost. */
#define METHOD "$y$"

static void crypt_data_freep(struct crypt_data **d)
{
	if (!*d)
		return;
	explicit_bzero(*d, sizeof(**d));
	free(*d);
}

static int check_length(const char *password)
{
	size_t n = strnlen(password, SP_PASSWORD_MAX);

	return n == 0 || n >= SP_PASSWORD_MAX ? -EINVAL : 0;
}

int password_hash(const char *password, char *ret_hash, size_t size)
{
	_cleanup_(crypt_data_freep) struct crypt_data *data = calloc(1, sizeof(*data));
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];
	const char *hash;
	int r = check_length(password);

	if (r < 0 || !data)
		return r ?: -ENOMEM;
	if (!crypt_gensalt_rn(METHOD, 0, NULL, 0, salt, sizeof(salt)))
		return -errno;
	errno = 0;
	hash = crypt_r(password, salt, data);
	if (!hash || hash[0] == '*')
		return errno ? -errno : -EINVAL;
	if (strlen(hash) >= size)
		return -ENOBUFS;
	strcpy(ret_hash, hash);
	return 0;
}

/* Takes the same time wherever the first difference is. */
static bool equal(const char *a, const char *b)
{
	size_t n = strlen(a);
	unsigned char differ = 0;

	if (strlen(b) != n)
		return false;
	for (size_t i = 0; i < n; i++)
		differ |= (unsigned char)(a[i] ^ b[i]);
	return differ == 0;
}

/*
 * The work for a user that does not exist, at the cost of a new hash. The salt's bytes are
 * arbitrary; it must be one that libcrypt takes, or no work is done.
 */
static int work_for_nothing(const char *password, struct crypt_data *data)
{
	static const char bytes[16] = "nobody's salt...";
	char salt[CRYPT_GENSALT_OUTPUT_SIZE];

	if (crypt_gensalt_rn(METHOD, 0, bytes, sizeof(bytes), salt, sizeof(salt)))
		crypt_r(password, salt, data);
	return -EKEYREJECTED;
}

int password_verify(const char *password, const char *hash)
{
	_cleanup_(crypt_data_freep) struct crypt_data *data = calloc(1, sizeof(*data));
	const char *got;

	if (!data)
		return -ENOMEM;
	if (check_length(password) < 0)
		return -EKEYREJECTED;
	if (!hash || !hash[0])
		return work_for_nothing(password, data);
	got = crypt_r(password, hash, data);
	if (!got || got[0] == '*')
		return -EINVAL;
	return equal(got, hash) ? 0 : -EKEYREJECTED;
}
