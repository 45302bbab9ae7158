/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which of its bytes are UTF-8? */
#include "lib/utf8.h"

int32_t utf8_decode(const char *text, size_t *ret_len)
{
	static const int32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
	const unsigned char *s = (const unsigned char *)text;
	size_t n = s[0] < 0x80		 ? 1
		   : (s[0] >> 5) == 0x6	 ? 2
		   : (s[0] >> 4) == 0xe	 ? 3
		   : (s[0] >> 3) == 0x1e ? 4
					 : 0;
	int32_t c;

	*ret_len = 1;
	if (n == 1)
		return s[0];
	if (n == 0)
		return -1;
	c = s[0] & (0x7f >> n);
	for (size_t i = 1; i < n; i++) {
		if ((s[i] & 0xc0) != 0x80)
			return -1;
		c = c << 6 | (s[i] & 0x3f);
	}
	if (c < least[n] || c > 0x10ffff || (c >= 0xd800 && c <= 0xdfff))
		return -1;
	*ret_len = n;
	return c;
}
