/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * From spans to a search tree of rows, each with as many keys as fit: bottom up, level by level,
 * until one row is left. A span's key is where it starts; of a node's children all but the first
 * have theirs in it.
 */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "policy_internal.h"

/* Places that are left over: the last key and the last child again (abi.h). */
static void fill32(struct sp_node32 *node, const struct span *children, size_t n)
{
	uint32_t last = n > 1 ? (uint32_t)children[n - 1].start : UINT32_MAX;

	for (size_t i = 0; i < SP_NODE32_KEYS; i++)
		node->key[i] = i + 1 < n ? (uint32_t)children[i + 1].start : last;
	for (size_t i = 0; i <= SP_NODE32_KEYS; i++)
		node->child[i] = children[i < n ? i : n - 1].child;
}

static void fill128(struct sp_node128 *node, const struct span *children, size_t n)
{
	policy_key last = n > 1 ? children[n - 1].start : ~(policy_key)0;

	for (size_t i = 0; i < SP_NODE128_KEYS; i++) {
		policy_key key = i + 1 < n ? children[i + 1].start : last;

		node->key[i] = (struct sp_key128){(uint64_t)(key >> 64), (uint64_t)key};
	}
	for (size_t i = 0; i <= SP_NODE128_KEYS; i++)
		node->child[i] = children[i < n ? i : n - 1].child;
}

/* One level above N spans, in their place: how many they are then. */
static int build_level(struct compiler *c, struct span *spans, size_t *n, bool wide)
{
	size_t fan = (wide ? SP_NODE128_KEYS : SP_NODE32_KEYS) + 1, nodes = 0;

	for (size_t at = 0; at < *n; at += fan) {
		size_t k = *n - at < fan ? *n - at : fan;
		int row = compile_row(c, wide ? SP_ROW_NODE128 : SP_ROW_NODE32);

		if (row < 0)
			return row;
		if (wide)
			fill128(&c->rows.v[row].node128, spans + at, k);
		else
			fill32(&c->rows.v[row].node32, spans + at, k);
		spans[nodes++] = (struct span){spans[at].start, (uint16_t)row};
	}
	*n = nodes;
	return 0;
}

int tree_build(struct compiler *c, struct span *spans, size_t n, bool wide)
{
	unsigned int depth = 0;
	int r = 0;

	for (; r == 0 && n > 1; depth++)
		r = build_level(c, spans, &n, wide);
	if (r == 0 && depth > (wide ? SP_DEPTH128 : SP_DEPTH32))
		return compile_fail(
			c, -E2BIG,
			"the rules have too many ranges of addresses or ports together: "
			"expected fewer; larger prefixes, or smaller sets");
	return r < 0 ? r : spans[0].child;
}
