// SPDX-License-Identifier: GPL-2.0-or-later
/* Are libvirt's errors taken for what they are about, and its words made fit for one line? */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "virt/virt_internal.h"

static void test_errno(void **state)
{
	static const struct {
		int code, int1;
		const char *message;
		int error;
	} table[] = {
		{VIR_ERR_NO_DOMAIN, 0, "Domain not found", -ENODEV},
		{VIR_ERR_OPERATION_INVALID, 0, "domain is not running", -ESRCH},
		{VIR_ERR_OPERATION_ABORTED, 0, "canceled by client", -ECANCELED},
		{VIR_ERR_OPERATION_FAILED, 0,
		 "libvirt_iohelper: failure with x: Unable to write x: No space left on device",
		 -ENOSPC},
		{VIR_ERR_INTERNAL_ERROR, 0, "-blockdev {}: Image is not in qcow2 format", -EUCLEAN},
		{VIR_ERR_INTERNAL_ERROR, 0, "Could not open 'x': No such file or directory",
		 -ENOENT},
		{VIR_ERR_OPERATION_FAILED, 0, "Active console session exists for this domain",
		 -EBUSY},
		{VIR_ERR_SYSTEM_ERROR, ENOENT, "in another language", -ENOENT},
		{VIR_ERR_SYSTEM_ERROR, EDQUOT, "in another language", -ENOSPC},
		{VIR_ERR_SYSTEM_ERROR, ECONNRESET, "Cannot recv data", -EIO},
		{VIR_ERR_STORAGE_VOL_EXIST, 0, "x", -EEXIST},
		{VIR_ERR_NO_SUPPORT, 0, "x", -EOPNOTSUPP},
		{VIR_ERR_INTERNAL_ERROR, 0, NULL, -EIO},
		{9999, 0, "a number of next year's", -EIO},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		virError e = {.code = table[i].code,
			      .int1 = table[i].int1,
			      .message = (char *)(uintptr_t)table[i].message};

		if (virt_errno(&e) != table[i].error)
			fail_msg("%d '%s': %d, expected %d", table[i].code, table[i].message,
				 virt_errno(&e), table[i].error);
	}
}

static void test_words(void **state)
{
	static const struct {
		const char *in;
		size_t size;
		const char *out;
	} table[] = {
		{"short", 16, "short"},
		{"two\nlines\n", 16, "two lines"},
		{"tab\tand \x7f", 16, "tab and"},
		{"", 16, ""},
		{"12345678", 8, "1234567"},
		{"1234567", 8, "1234567"},
		{"12345\xc3\xa4x", 8, "12345\xc3\xa4"}, /* whole */
		{"123456\xc3\xa4x", 8, "123456"},	/* cut: not within it */
		{"12345\xe2\x82\xac", 8, "12345"},
		{"qemu: 2026-11-26T13:27:04.391622Z says: -x {\"a\":{\"b\":1}}: no", 40,
		 "qemu: says: -x : no"},
		{"2026-11-26T13:27:04.391622", 40, "2026-11-26T13:27:04.391622"},
		{"{\"never closed\":{", 40, "{\"never closed\":{"},
		{"{not JSON}", 40, "{not JSON}"},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		char out[40];

		memset(out, 'x', sizeof(out));
		virt_words(table[i].in, out, table[i].size);
		assert_string_equal(out, table[i].out);
	}
}

static void test_names(void **state)
{
	for (int i = 0; i < _VIRT_STATES; i++)
		assert_non_null(virt_state_name((enum virt_state)i));
	for (int i = 0; i < _VIRT_VERBS; i++)
		assert_non_null(virt_verb_name((enum virt_verb)i));
	assert_string_equal(virt_state_name(_VIRT_STATES), "unknown");
	assert_string_equal(virt_event_name(VIRT_EV_UNDEFINED), "undefined");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_errno),
		cmocka_unit_test(test_words),
		cmocka_unit_test(test_names),
	};

	return cmocka_run_group_tests_name("virt", tests, NULL, NULL);
}
