/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Does [store] make sense as a whole, and how is the store that it means opened? */
#include <stdlib.h>
#include <string.h>

#include "config_internal.h"
#include "lib/cleanup.h"
#include "store/store.h"

static unsigned int line_of(const struct config_parser *p, const char *name)
{
	return config_line_of(p, "store", name);
}

/* --- what belongs together --- */

/* Options of one type that were given with the other. */
static void check_type(struct config_parser *p)
{
	static const char *const of_mysql[] = {
		"hosts", "socket", "user",     "database", "password-file", "password-credential",
		"tls",	 "tls-ca", "tls-cert", "tls-key"};

	if (p->config->store_mysql && line_of(p, "path"))
		config_mistake(p, line_of(p, "path"), "path: type = mysql has no file");
	for (size_t i = 0; !p->config->store_mysql && i < SP_ARRAY_SIZE(of_mysql); i++)
		if (line_of(p, of_mysql[i]))
			config_mistake(p, line_of(p, of_mysql[i]),
				       "%s: type = sqlite has no such option; expected with type = "
				       "mysql",
				       of_mysql[i]);
}

static void check_hosts(struct config_parser *p)
{
	const char *cursor = p->config->store_hosts;
	char host[STORE_HOST_MAX];
	unsigned int port, n = 0;
	int r;

	while ((r = store_host_next(&cursor, host, &port)) > 0)
		n++;
	if (r < 0 || n == 0 || n > STORE_HOSTS_MAX)
		config_mistake(p, line_of(p, "hosts"),
			       "hosts: '%s': expected 1 to %d of HOST or HOST:PORT, with commas "
			       "between; an IPv6 address in brackets",
			       p->config->store_hosts, STORE_HOSTS_MAX);
}

static void check_mysql(struct config_parser *p)
{
	const struct config *c = p->config;
	unsigned int at = line_of(p, "type");

	if (!c->store_database)
		config_mistake(p, at, "type: mysql needs a database, and [store] names none");
	if (!c->store_hosts && !c->store_socket)
		config_mistake(p, at,
			       "type: mysql needs hosts or a socket, and [store] has neither");
	if (c->store_hosts && c->store_socket)
		config_mistake(p, line_of(p, "socket"),
			       "socket: hosts are given too; expected one");
	if (c->store_hosts)
		check_hosts(p);
	if (c->store_password_file && c->store_password_credential)
		config_mistake(p, line_of(p, "password-credential"),
			       "password-credential: password-file is given too; expected one");
}

/* Over a network by default; a socket needs none. */
static void check_tls(struct config_parser *p)
{
	static const char *const files[] = {"tls-ca", "tls-cert", "tls-key"};
	struct config *c = p->config;

	if (!line_of(p, "tls"))
		c->store_tls = c->store_hosts != NULL;
	else if (c->store_tls && !c->store_hosts)
		config_mistake(p, line_of(p, "tls"), "tls: a socket has none; expected with hosts");
	for (size_t i = 0; !c->store_tls && i < SP_ARRAY_SIZE(files); i++)
		if (line_of(p, files[i]))
			config_mistake(p, line_of(p, files[i]), "%s: without TLS it has no meaning",
				       files[i]);
	if (!c->store_tls_cert != !c->store_tls_key)
		config_mistake(p, line_of(p, c->store_tls_cert ? "tls-cert" : "tls-key"),
			       "tls-cert, tls-key: expected both or neither");
}

/* --- the users' table --- */

static void check_mapping(struct config_parser *p)
{
	struct config *c = p->config;
	const struct {
		const char *name, *value;
	} columns[] = {{"user-name-column", c->map_name},
		       {"user-password-column", c->map_password},
		       {"user-disabled-column", c->map_disabled},
		       {"user-address-column", c->map_address},
		       {"user-address6-column", c->map_address6}};

	if (c->map_table && !store_mapping_is_name(c->map_table, true))
		config_mistake(
			p, line_of(p, "user-table"),
			"user-table: '%s': expected TABLE or DATABASE.TABLE of letters, digits "
			"and _",
			c->map_table);
	for (size_t i = 0; i < SP_ARRAY_SIZE(columns); i++) {
		if (columns[i].value && !c->map_table)
			config_mistake(p, line_of(p, columns[i].name),
				       "%s: there is no user-table that it could be of",
				       columns[i].name);
		else if (columns[i].value && !store_mapping_is_name(columns[i].value, false))
			config_mistake(p, line_of(p, columns[i].name),
				       "%s: '%s': expected a column of letters, digits and _",
				       columns[i].name, columns[i].value);
		else if (!columns[i].value && c->map_table && i < 2)
			config_mistake(p, line_of(p, "user-table"), "user-table: %s is missing",
				       columns[i].name);
	}
}

void config_check_store(struct config_parser *p)
{
	check_type(p);
	if (p->config->store_mysql) {
		check_mysql(p);
		check_tls(p);
	}
	check_mapping(p);
}

/* --- what is made of it --- */

void config_store_options(const struct config *c, struct store_options *ret)
{
	*ret = (struct store_options){
		.path = c->store_mysql ? NULL : c->store_path,
		.timeout_ms = c->store_timeout_ms,
		.server = c->store_server,
		.mysql = {.hosts = c->store_hosts,
			  .socket = c->store_socket,
			  .user = c->store_user,
			  .database = c->store_database,
			  .password_file = c->store_password_file,
			  .password_credential = c->store_password_credential,
			  .tls_ca = c->store_tls_ca,
			  .tls_cert = c->store_tls_cert,
			  .tls_key = c->store_tls_key,
			  .tls = c->store_tls},
		.mapping = {.table = c->map_table,
			    .name = c->map_name,
			    .password = c->map_password,
			    .disabled = c->map_disabled,
			    .address = c->map_address,
			    .address6 = c->map_address6},
	};
}

void config_free_store(struct config *c)
{
	char *const texts[] = {c->store_path,
			       c->store_server,
			       c->store_hosts,
			       c->store_socket,
			       c->store_user,
			       c->store_database,
			       c->store_password_file,
			       c->store_password_credential,
			       c->store_tls_ca,
			       c->store_tls_cert,
			       c->store_tls_key,
			       c->map_table,
			       c->map_name,
			       c->map_password,
			       c->map_disabled,
			       c->map_address,
			       c->map_address6};

	for (size_t i = 0; i < SP_ARRAY_SIZE(texts); i++)
		free(texts[i]);
}
