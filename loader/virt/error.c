/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What is an error of libvirt's about? It has numbers of its own; what the kernel or QEMU said is
 * often in the words only.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/cleanup.h"
#include "virt/virt_internal.h"

static const struct {
	int code;
	int error;
} by_code[] = {
	{VIR_ERR_NO_DOMAIN, -ENODEV},
	{VIR_ERR_NO_MEMORY, -ENOMEM},
	{VIR_ERR_DOM_EXIST, -EEXIST},
	{VIR_ERR_STORAGE_VOL_EXIST, -EEXIST},
	{VIR_ERR_OPERATION_ABORTED, -ECANCELED},
	{VIR_ERR_OPERATION_TIMEOUT, -ETIMEDOUT},
	{VIR_ERR_OPERATION_INVALID, -ESRCH},
	{VIR_ERR_RESOURCE_BUSY, -EBUSY},
	{VIR_ERR_NO_CONNECT, -ENOTCONN},
	{VIR_ERR_AUTH_FAILED, -EACCES},
	{VIR_ERR_AUTH_CANCELLED, -EACCES},
	{VIR_ERR_AUTH_UNAVAILABLE, -EACCES},
	{VIR_ERR_ACCESS_DENIED, -EACCES},
	{VIR_ERR_OPERATION_DENIED, -EACCES},
	{VIR_ERR_NO_SUPPORT, -EOPNOTSUPP},
	{VIR_ERR_CONFIG_UNSUPPORTED, -EOPNOTSUPP},
	{VIR_ERR_OPERATION_UNSUPPORTED, -EOPNOTSUPP},
	{VIR_ERR_ARGUMENT_UNSUPPORTED, -EOPNOTSUPP},
	{VIR_ERR_NO_STORAGE_VOL, -ENOENT},
	{VIR_ERR_NO_STORAGE_POOL, -ENOENT},
	{VIR_ERR_INVALID_ARG, -EINVAL},
	{VIR_ERR_XML_ERROR, -EINVAL},
	{VIR_ERR_XML_DETAIL, -EINVAL},
};

/* In the order in which they are looked for: QEMU quotes several. */
static const struct {
	const char *words;
	int error;
} by_words[] = {
	{"No space left on device", -ENOSPC},
	{"Disk quota exceeded", -ENOSPC},
	{"Image is not in qcow2 format", -EUCLEAN},
	{"Image is not in ", -EUCLEAN},
	{"image is corrupt", -EUCLEAN},
	{"Image is corrupt", -EUCLEAN},
	{"Image is too small", -EUCLEAN},
	{"qcow2: Marking image as corrupt", -EUCLEAN},
	{"No such file or directory", -ENOENT},
	{"Cannot allocate memory", -ENOMEM},
	{"cannot set up guest memory", -ENOMEM},
	{"Device or resource busy", -EBUSY},
	{"Active console session exists", -EBUSY},
	{"Failed to get \"write\" lock", -EBUSY},
	{"Permission denied", -EACCES},
	{"Read-only file system", -EROFS},
};

/* Errors of the kernel that a caller can tell apart. */
static int of_errno(int e)
{
	switch (e) {
	case ENOSPC:
	case ENOENT:
	case ENOMEM:
	case EBUSY:
	case EACCES:
	case EROFS:
		return -e;
	case EDQUOT:
		return -ENOSPC;
	default:
		return -EIO;
	}
}

int virt_errno(const virError *e)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(by_code); i++) {
		if (by_code[i].code == e->code)
			return by_code[i].error;
	}
	for (size_t i = 0; e->message && i < SP_ARRAY_SIZE(by_words); i++) {
		if (strstr(e->message, by_words[i].words))
			return by_words[i].error;
	}
	return e->code == VIR_ERR_SYSTEM_ERROR ? of_errno(e->int1) : -EIO;
}

/* QEMU's own times of day, which libvirt quotes: "2026-11-26T13:27:04.391622Z ". */
static size_t timestamp(const char *text)
{
	static const char form[] = "0000-00-00T00:00:00.000000Z ";
	size_t i = 0;

	for (; form[i]; i++) {
		bool digit = text[i] >= '0' && text[i] <= '9';

		if (form[i] == '0' ? !digit : text[i] != form[i])
			return 0;
	}
	return i;
}

/* {"driver":...}: an argument of QEMU's, longer than what is said about it. */
static size_t braces(const char *text)
{
	size_t i = 0;
	int depth = 0;

	if (text[0] != '{' || text[1] != '"')
		return 0;
	do {
		depth += text[i] == '{' ? 1 : text[i] == '}' ? -1 : 0;
		i++;
	} while (depth > 0 && text[i]);
	return depth == 0 ? i : 0;
}

/* Not within a character: 10xxxxxx goes on with one. */
static void cut(char *text, size_t n)
{
	while (n > 0 && ((unsigned char)text[n] & 0xc0) == 0x80)
		n--;
	text[n] = '\0';
}

void virt_words(const char *text, char *ret, size_t size)
{
	size_t n = 0;

	while (*text && n < size) {
		size_t skip = timestamp(text);

		if (skip == 0)
			skip = braces(text);
		text += skip;
		if (skip == 0) {
			ret[n++] = (unsigned char)*text < ' ' || *text == 0x7f ? ' ' : *text;
			text++;
		}
	}
	if (n == size)
		cut(ret, size - 1);
	else
		ret[n] = '\0';
	for (n = strlen(ret); n > 0 && ret[n - 1] == ' '; n--)
		ret[n - 1] = '\0';
}
