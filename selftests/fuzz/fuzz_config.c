/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does any text harm the parser of sallyportd.conf, or get a value past its bounds? */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "loader/config.h"
#include "loader/store/store.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool ok)
{
	if (!ok)
		abort();
}

/* The store copies these into SQL and into lists of a fixed size. */
static void check_store(const struct config *c)
{
	struct store_options o;
	char host[STORE_HOST_MAX];
	unsigned int port = 0, n = 0;
	const char *cursor;

	config_store_options(c, &o);
	require(c->store_mysql == !o.path);
	if (o.mapping.table) {
		require(store_mapping_is_name(o.mapping.table, true));
		require(store_mapping_is_name(o.mapping.name, false));
		require(store_mapping_is_name(o.mapping.password, false));
		require(!strpbrk(o.mapping.table, "`\"'; "));
	}
	require(!o.mapping.address || store_mapping_is_name(o.mapping.address, false));
	if (!c->store_mysql)
		return;
	require(o.mysql.database && !o.mysql.hosts == !!o.mysql.socket);
	require(!o.mysql.tls || o.mysql.hosts);
	require(!o.mysql.tls_cert == !o.mysql.tls_key);
	for (cursor = o.mysql.hosts; cursor && store_host_next(&cursor, host, &port) > 0; n++)
		require(memchr(host, '\0', sizeof(host)) && host[0] && port > 0 && port < 65536);
	require(o.mysql.socket || (n > 0 && n <= STORE_HOSTS_MAX));
}

/* What was taken is what the rest of the daemon counts on. */
static void check(const struct config *c)
{
	require(c->n_instances > 0);
	require(c->socket[0] == '/' && strlen(c->socket) <= 107);
	require(c->store_path[0] == '/' && c->bpffs[0] == '/' && !strchr(c->pin_dir, '/'));
	check_store(c);
	require(c->workers >= 1 && c->workers <= 16);
	require(c->max_macs >= 1 && c->max_macs <= 32 && c->max_sessions >= 1);
	require(c->max_ports >= 16 && c->max_ports <= 1048576);
	require(c->store_timeout_ms >= 100 && c->store_timeout_ms <= 60000);
	for (size_t i = 0; i < c->n_instances; i++) {
		const struct config_instance *a = &c->instances[i];

		require(memchr(a->name, '\0', sizeof(a->name)) && a->name[0]);
		require(memchr(a->tap, '\0', sizeof(a->tap)) && a->tap[0]);
		require(!strchr(a->tap, '/') && a->openvpn_config[0] == '/');
		require(a->mtu >= 576 && a->mtu <= 9000);
		for (size_t j = 0; j < i; j++)
			require(strcmp(a->name, c->instances[j].name) != 0 &&
				strcmp(a->tap, c->instances[j].tap) != 0);
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct config *c = NULL;
	char *errors = NULL;
	size_t n = 0;
	FILE *f = open_memstream(&errors, &n);
	int r;

	require(f != NULL);
	r = config_parse("fuzz", (const char *)data, size, &c, f);
	fclose(f);
	if (r == 0)
		check(c);
	else
		require(r == -EINVAL && !c && n > 0); /* never a refusal without a word */
	config_free(c);
	free(errors);
	return 0;
}
