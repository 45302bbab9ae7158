/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does the configuration file say, and where is it wrong? */
#include "config_internal.h"

#include <assert.h>
#include <errno.h>
#include <ini.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "lib/cleanup.h"
#include "request.h"
#include "sallyport/paths.h"

#define K(section, name, type, field, min, max)                                                    \
	{                                                                                          \
		section, name, type, offsetof(struct config, field),                               \
			sizeof(((struct config *)0)->field), min, max                              \
	}
#define I(name, type, field, min, max)                                                             \
	{                                                                                          \
		"instance", name, type, offsetof(struct config_instance, field),                   \
			sizeof(((struct config_instance *)0)->field), min, max                     \
	}

static const struct config_key keys[] = {
	K("daemon", "socket", KEY_PATH, socket, 1, 107),
	K("daemon", "admin-group", KEY_GROUP, admin_gid, 0, 0),
	K("daemon", "log-level", KEY_LEVEL, log_level, 0, 0),
	K("daemon", "workers", KEY_UINT, workers, 1, 16),
	K("store", "type", KEY_STORE, store_mysql, 0, 0),
	K("store", "path", KEY_PATH, store_path, 1, 1023),
	K("store", "timeout", KEY_UINT, store_timeout_ms, 100, 60000),
	K("store", "server", KEY_TEXT, store_server, 1, SP_SERVER_MAX - 1),
	K("store", "hosts", KEY_TEXT, store_hosts, 1, 1023),
	K("store", "socket", KEY_PATH, store_socket, 1, 107),
	K("store", "user", KEY_TEXT, store_user, 1, 80),
	K("store", "database", KEY_TEXT, store_database, 1, 64),
	K("store", "password-file", KEY_PATH, store_password_file, 1, 1023),
	K("store", "password-credential", KEY_NAME, store_password_credential, 1, 255),
	K("store", "tls", KEY_BOOL, store_tls, 0, 0),
	K("store", "tls-ca", KEY_PATH, store_tls_ca, 1, 1023),
	K("store", "tls-cert", KEY_PATH, store_tls_cert, 1, 1023),
	K("store", "tls-key", KEY_PATH, store_tls_key, 1, 1023),
	K("store", "user-table", KEY_TEXT, map_table, 1, 127),
	K("store", "user-name-column", KEY_TEXT, map_name, 1, 63),
	K("store", "user-password-column", KEY_TEXT, map_password, 1, 63),
	K("store", "user-disabled-column", KEY_TEXT, map_disabled, 1, 63),
	K("store", "user-address-column", KEY_TEXT, map_address, 1, 63),
	K("store", "user-address6-column", KEY_TEXT, map_address6, 1, 63),
	K("dataplane", "bpffs", KEY_PATH, bpffs, 1, 127),
	K("dataplane", "pin-dir", KEY_NAME, pin_dir, 1, 63),
	K("dataplane", "max-bindings", KEY_UINT, max_bindings, 16, 16777216),
	K("dataplane", "max-ports", KEY_UINT, max_ports, 16, SP_PORTS_MAX),
	K("dataplane", "max-rules", KEY_UINT, max_rules, 16, 16777216),
	K("dataplane", "sampling", KEY_BOOL, sampling, 0, 0),
	K("dataplane", "sample-interval", KEY_UINT, sample_ms, 0, 60000),
	K("session", "max-per-user", KEY_UINT, max_sessions, 1, 32),
	K("session", "macs-per-session", KEY_UINT, max_macs, 1, 32),
	K("session", "rate-bytes", KEY_SIZE, rate_bytes, 0, 10000000000ULL),
	K("session", "burst-bytes", KEY_SIZE, burst_bytes, 0, 10000000000ULL),
	K("session", "rate-frames", KEY_SIZE, rate_frames, 0, 1000000000ULL),
	K("session", "burst-frames", KEY_SIZE, burst_frames, 0, 1000000000ULL),
	K("session", "reserved-macs", KEY_MACS, reserved, 0, 0),
	K("session", "vid-rest", KEY_UINT, vid_rest_s, 0, 86400),
	K("user", "rate-bytes", KEY_SIZE, user_rate_bytes, 0, 10000000000ULL),
	K("user", "burst-bytes", KEY_SIZE, user_burst_bytes, 0, 10000000000ULL),
	K("user", "rate-frames", KEY_SIZE, user_rate_frames, 0, 1000000000ULL),
	K("user", "burst-frames", KEY_SIZE, user_burst_frames, 0, 1000000000ULL),
	K("user", "max-macs", KEY_UINT, user_max_macs, 0, 1024),
	K("machines", "uri", KEY_URI, virt_uri, 1, 1023),
	K("machines", "image-dir", KEY_PATH, image_dir, 1, 1023),
	K("machines", "probe-kernel", KEY_PATH, probe_kernel, 1, 1023),
	K("machines", "accel", KEY_ACCEL, accel, 0, 0),
	K("machines", "calls", KEY_UINT, virt_calls, 1, 16),
	K("machines", "stop", KEY_LADDER, ladder, 0, 0),
	K("machines", "grace", KEY_DURATION, grace_s, 0, 86400),
	K("machines", "idle", KEY_DURATION, idle_s, 0, 30 * 86400),
	K("machines", "min-up", KEY_DURATION, min_up_s, 0, 86400),
	K("machines", "stop-timeout", KEY_DURATION, stop_timeout_s, 1, 3600),
	K("machines", "shrink-memory", KEY_UINT, shrink_memory, 10, 100),
	K("machines", "shrink-cpu", KEY_UINT, shrink_cpu, 1, 100),
	K("machines", "max-machines", KEY_UINT, max_machines, 0, 100000),
	K("machines", "max-memory", KEY_MEMORY, max_memory_mib, 0, UINT32_MAX),
	K("machines", "max-vcpus", KEY_UINT, max_vcpus, 0, 100000),
	K("machines", "max-user-machines", KEY_UINT, user_max_machines, 0, 100000),
	K("machines", "max-user-memory", KEY_MEMORY, user_max_memory_mib, 0, UINT32_MAX),
	K("machines", "max-user-vcpus", KEY_UINT, user_max_vcpus, 0, 100000),
	K("machines", "rate-bytes", KEY_SIZE, machine_rate_bytes, 0, 10000000000ULL),
	K("machines", "burst-bytes", KEY_SIZE, machine_burst_bytes, 0, 10000000000ULL),
	K("machines", "rate-frames", KEY_SIZE, machine_rate_frames, 0, 1000000000ULL),
	K("machines", "burst-frames", KEY_SIZE, machine_burst_frames, 0, 1000000000ULL),
	K("machines", "rate-group-frames", KEY_SIZE, machine_rate_group_frames, 0, 1000000000ULL),
	K("machines", "burst-group-frames", KEY_SIZE, machine_burst_group_frames, 0, 1000000000ULL),
	K("firewall", "default-policy", KEY_PATH, default_policy, 1, 1023),
	K("firewall", "flows", KEY_UINT, flows, SP_FLOWS_MIN, SP_FLOWS_MAX),
	K("firewall", "max-flows", KEY_UINT, max_flows, SP_FLOWS_MIN, SP_FLOWS_MAX),
	K("firewall", "new-flows", KEY_SIZE, new_flows, 0, SP_NEW_FLOWS_MAX),
	K("firewall", "new-flows-burst", KEY_SIZE, new_flows_burst, 1, SP_NEW_FLOWS_MAX),
	K("firewall", "pick-up", KEY_DURATION, pick_up_s, 0, 86400),
	K("firewall", "timeout-tcp-syn-sent", KEY_DURATION, timeout_s[TIMEOUT_TCP_SYN_SENT], 1,
	  SP_TIMEOUT_MAX_S),
	K("firewall", "timeout-tcp-syn-recv", KEY_DURATION, timeout_s[TIMEOUT_TCP_SYN_RECV], 1,
	  SP_TIMEOUT_MAX_S),
	K("firewall", "timeout-tcp-established", KEY_DURATION, timeout_s[TIMEOUT_TCP_ESTABLISHED],
	  1, SP_TIMEOUT_MAX_S),
	K("firewall", "timeout-tcp-fin-wait", KEY_DURATION, timeout_s[TIMEOUT_TCP_FIN_WAIT], 1,
	  SP_TIMEOUT_MAX_S),
	K("firewall", "timeout-tcp-close-wait", KEY_DURATION, timeout_s[TIMEOUT_TCP_CLOSE_WAIT], 1,
	  SP_TIMEOUT_MAX_S),
	K("firewall", "timeout-tcp-last-ack", KEY_DURATION, timeout_s[TIMEOUT_TCP_LAST_ACK], 1,
	  SP_TIMEOUT_MAX_S),
	K("firewall", "timeout-tcp-time-wait", KEY_DURATION, timeout_s[TIMEOUT_TCP_TIME_WAIT], 1,
	  SP_TIMEOUT_MAX_S),
	K("firewall", "timeout-tcp-close", KEY_DURATION, timeout_s[TIMEOUT_TCP_CLOSE], 1,
	  SP_TIMEOUT_MAX_S),
	K("firewall", "timeout-tcp-retransmitted", KEY_DURATION,
	  timeout_s[TIMEOUT_TCP_RETRANSMITTED], 1, SP_TIMEOUT_MAX_S),
	K("firewall", "timeout-tcp-unacknowledged", KEY_DURATION,
	  timeout_s[TIMEOUT_TCP_UNACKNOWLEDGED], 1, SP_TIMEOUT_MAX_S),
	K("firewall", "timeout-udp", KEY_DURATION, timeout_s[TIMEOUT_UDP], 1, SP_TIMEOUT_MAX_S),
	K("firewall", "timeout-udp-stream", KEY_DURATION, timeout_s[TIMEOUT_UDP_STREAM], 1,
	  SP_TIMEOUT_MAX_S),
	K("firewall", "timeout-icmp", KEY_DURATION, timeout_s[TIMEOUT_ICMP], 1, SP_TIMEOUT_MAX_S),
	K("firewall", "timeout-icmpv6", KEY_DURATION, timeout_s[TIMEOUT_ICMPV6], 1,
	  SP_TIMEOUT_MAX_S),
	K("firewall", "timeout-other", KEY_DURATION, timeout_s[TIMEOUT_OTHER], 1, SP_TIMEOUT_MAX_S),
	K("metrics", "listen", KEY_LISTEN, metrics_listen, 0, 0),
	I("tap", KEY_TAP, tap, 1, 15),
	I("mode", KEY_MODE, vlan_mode, 0, 0),
	I("config", KEY_PATH, openvpn_config, 1, 1023),
	I("management", KEY_PATH, management, 1, 107),
	I("user", KEY_USER, uid, 0, 0),
	I("group", KEY_GROUP, gid, 0, 0),
	I("mtu", KEY_UINT, mtu, 576, 9000),
};
_Static_assert(SP_ARRAY_SIZE(keys) <= CONFIG_KEYS_MAX, "room for each key's line");

unsigned int config_line_of(const struct config_parser *p, const char *section, const char *name)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].section, section) == 0 && strcmp(keys[i].name, name) == 0)
			return p->seen[i];
	return 0;
}

/* --- sections --- */

static void check_instance(struct config_parser *p)
{
	struct config_instance *i = p->instance;

	if (!i)
		return;
	if (!i->openvpn_config)
		config_mistake(p, p->instance_line,
			       "[instance %s]: config is missing: expected the path of "
			       "OpenVPN's configuration",
			       i->name);
	for (const struct config_instance *o = p->config->instances; o < i; o++)
		if (strcmp(o->tap, i->tap) == 0)
			config_mistake(p, p->instance_line,
				       "[instance %s]: tap %s is [instance %s]'s already", i->name,
				       i->tap, o->name);
	p->instance = NULL;
}

static void new_instance(struct config_parser *p, const char *name)
{
	struct config *c = p->config;
	struct config_instance *list;

	if (!request_is_name(name, SP_INSTANCE_MAX)) {
		config_mistake(p, p->line,
			       "[instance %s]: expected a name of 1 to %d letters, digits or _.@-",
			       name, SP_INSTANCE_MAX - 1);
		return;
	}
	for (size_t n = 0; n < c->n_instances; n++)
		if (strcmp(c->instances[n].name, name) == 0) {
			config_mistake(p, p->line, "[instance %s]: a second one of this name",
				       name);
			return;
		}
	list = realloc(c->instances, (c->n_instances + 1) * sizeof(*list));
	if (!list) {
		p->out_of_memory = true;
		return;
	}
	c->instances = list;
	p->instance = &list[c->n_instances++];
	p->instance_line = p->line;
	*p->instance = (struct config_instance){
		.vlan_mode = true, .uid = 65534, .gid = 65534, .mtu = 1500};
	snprintf(p->instance->name, sizeof(p->instance->name), "%s", name);
	snprintf(p->instance->tap, sizeof(p->instance->tap), "sp-%.12s", name);
}

static bool is_section(const char *name)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].section, "instance") != 0 && strcmp(keys[i].section, name) == 0)
			return true;
	return false;
}

static void enter_section(struct config_parser *p, const char *section)
{
	check_instance(p);
	snprintf(p->section, sizeof(p->section), "%s", section);
	for (size_t i = 0; i < SP_ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].section, "instance") == 0)
			p->seen[i] = 0;
	if (strncmp(section, "instance ", 9) == 0)
		new_instance(p, section + 9);
	else if (!is_section(section))
		config_mistake(p, p->line,
			       "[%s]: expected [daemon], [store], [dataplane], [session], [user], "
			       "[machines], [firewall], [metrics] or [instance NAME]",
			       section);
}

static void take(struct config_parser *p, const char *name, const char *value)
{
	bool instance = strncmp(p->section, "instance ", 9) == 0;
	const char *section = instance ? "instance" : p->section;

	if (!section[0])
		config_mistake(p, p->line, "'%s': before any [section]", name);
	if (instance ? !p->instance : !is_section(section))
		return; /* the section was the mistake */
	for (size_t i = 0; i < SP_ARRAY_SIZE(keys); i++) {
		const struct config_key *k = &keys[i];

		if (strcmp(k->section, section) != 0 || strcmp(k->name, name) != 0)
			continue;
		/* A line is short: a list may go on in another. */
		if (p->seen[i] && k->type != KEY_MACS)
			config_mistake(p, p->line, "%s: given twice in [%s]", name, p->section);
		p->seen[i] = p->line;
		config_set(p, k, instance ? (void *)p->instance : p->config, value);
		return;
	}
	config_mistake(p, p->line, "'%s': [%s] has no such option", name, p->section);
}

/*
 * --- lines ---
 *
 * inih cuts an option from its value. It would tell the first line only that it cannot read, no
 * section that is empty, and the handler no number: so lines are counted and classified here.
 */

/* "[NAME]", a comment may follow. LINE is modified. */
static void section_line(struct config_parser *p, char *line)
{
	char *close = strchr(line, ']');
	const char *rest = close ? close + 1 + strspn(close + 1, " \t") : "";

	if (!close || (*rest && *rest != ';' && *rest != '#')) {
		config_mistake(p, p->line, "'%s': expected [section] and nothing after it", line);
		strcpy(p->section, "?"); /* its options are passed over */
		return;
	}
	*close = '\0';
	enter_section(p, line + 1);
}

/* True: an option, which is inih's. What is not one was dealt with. LINE is modified. */
static bool is_option(struct config_parser *p, char *line)
{
	switch (line[0]) {
	case '\0':
	case '#':
	case ';':
		return false;
	case '[':
		section_line(p, line);
		return false;
	}
	if (strpbrk(line, "=:"))
		return true;
	config_mistake(p, p->line,
		       "'%s': expected [section], option = value, or a comment after ; or #", line);
	return false;
}

/* inih's fgets. What it gets never begins with a space, which to it continues the line before. */
static char *read_line(char *buf, int size, void *stream)
{
	struct config_parser *p = stream;
	const char *line = p->text;
	const char *nl = memchr(line, '\n', (size_t)(p->end - line));
	const char *end = nl ? nl : p->end;
	size_t n;

	if (line == p->end)
		return NULL;
	p->line++;
	p->text = nl ? nl + 1 : end;
	while (line < end && strchr(" \t\r\f\v", *line) && *line)
		line++;
	while (end > line && strchr(" \t\r\f\v", end[-1]) && end[-1])
		end--;
	n = (size_t)(end - line);
	buf[0] = '\0';
	if (n >= (size_t)size - 1 || memchr(line, '\0', n)) {
		config_mistake(p, p->line, "a line of %zu bytes: expected text of less than %d", n,
			       size - 1);
	} else {
		memcpy(buf, line, n);
		buf[n] = '\0';
		if (!is_option(p, buf))
			buf[0] = '\0';
	}
	strcat(buf, "\n");
	return buf;
}

static int on_option(void *user, const char *section, const char *name, const char *value)
{
	take(user, name, value ? value : "");
	return 1;
}

static void set_machine_defaults(struct config *c)
{
	c->virt_uri = strdup(SP_VIRT_URI);
	c->image_dir = strdup(SP_IMAGE_DIR);
	c->probe_kernel = strdup(SP_PROBE_KERNEL);
	c->accel = strdup("auto");
	c->virt_calls = 8;
	c->ladder = strdup("pause 10m then save");
	c->grace_s = 60;
	c->min_up_s = 30;
	c->stop_timeout_s = 60;
	c->machine_rate_group_frames = SP_DEF_GROUP_FRAMES;
	c->machine_burst_group_frames = SP_DEF_GROUP_FRAMES;
	c->shrink_memory = 50;
	c->shrink_cpu = 10;
}

static void set_defaults(struct config *c)
{
	uint32_t gid;

	c->socket = strdup(SP_CONTROL_SOCKET);
	c->admin_gid = config_find_group("sallyport", &gid) ? gid : (gid_t)-1;
	c->log_level = LOG_INFO;
	c->workers = 2;
	c->store_path = strdup(SP_STORE_FILE);
	c->store_timeout_ms = 10000;
	c->bpffs = strdup(SP_BPFFS);
	c->pin_dir = strdup(SP_PIN_DIR);
	c->max_bindings = SP_DEF_BINDINGS;
	c->max_ports = SP_DEF_PORTS;
	c->max_rules = SP_DEF_RULES;
	c->sampling = true;
	c->sample_ms = 10;
	c->max_sessions = SP_DEF_SESSIONS_PER_USER;
	c->max_macs = SP_DEF_MACS_PER_SESSION;
	c->vid_rest_s = SP_VID_REST_S;
	set_machine_defaults(c);
	config_flows_defaults(c);
}

static void check_whole(struct config_parser *p)
{
	const struct config *c = p->config;

	check_instance(p);
	config_check_store(p);
	config_check_policy(p);
	config_flows_check(p);
	if (c->n_instances == 0)
		config_mistake(p, p->line, "expected at least one [instance NAME]");
	if (!c->path || !c->socket || !c->store_path || !c->bpffs || !c->pin_dir || !c->virt_uri ||
	    !c->image_dir || !c->probe_kernel || !c->accel || !c->ladder)
		p->out_of_memory = true;
}

int config_parse(const char *name, const char *text, size_t size, struct config **ret, FILE *errors)
{
	static const char bom[] = {'\xef', '\xbb', '\xbf'};
	_cleanup_(config_freep) struct config *c = calloc(1, sizeof(*c));
	struct config_parser p = {
		.config = c, .name = name, .errors = errors, .text = text, .end = text + size};
	int r;

	if (!c)
		return -ENOMEM;
	if (size >= sizeof(bom) && memcmp(text, bom, sizeof(bom)) == 0)
		p.text += sizeof(bom);
	c->path = strdup(name);
	set_defaults(c);
	r = ini_parse_stream(read_line, &p, on_option, &p);
	if (r > 0 && !p.mistakes)
		config_mistake(&p, (unsigned int)r, "expected option = value");
	check_whole(&p);
	if (r < 0 || p.out_of_memory)
		return -ENOMEM;
	if (p.mistakes)
		return -EINVAL;
	*ret = TAKE_PTR(c);
	return 0;
}

/* Longer than any configuration of ours would be. */
#define FILE_MAX (1 << 20)

int config_load(const char *path, struct config **ret, FILE *errors)
{
	_cleanup_fclose_ FILE *f = fopen(path, "re");
	_cleanup_free_
	char *text = malloc(FILE_MAX);
	size_t n;

	if (!f)
		return -errno;
	if (!text)
		return -ENOMEM;
	n = fread(text, 1, FILE_MAX, f);
	if (ferror(f))
		return errno ? -errno : -EIO;
	if (n == FILE_MAX)
		return -EFBIG;
	return config_parse(path, text, n, ret, errors);
}

void config_free(struct config *c)
{
	if (!c)
		return;
	for (size_t n = 0; n < c->n_instances; n++) {
		free(c->instances[n].openvpn_config);
		free(c->instances[n].management);
	}
	free(c->instances);
	free(c->reserved);
	free(c->path);
	free(c->socket);
	config_free_store(c);
	free(c->bpffs);
	free(c->pin_dir);
	free(c->virt_uri);
	free(c->image_dir);
	free(c->probe_kernel);
	free(c->accel);
	free(c->ladder);
	free(c->metrics_listen);
	free(c->default_policy);
	free(c->default_rules);
	free(c);
}

void config_freep(struct config **c)
{
	config_free(*c);
}
