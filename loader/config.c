/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does the configuration file say, and where is it wrong? */
#include "config.h"

#include <errno.h>
#include <grp.h>
#include <ini.h>
#include <pwd.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <syslog.h>

#include "lib/cleanup.h"
#include "lib/mac.h"
#include "log.h"
#include "request.h"
#include "sallyport/paths.h"

enum key_type {
	KEY_STRING,
	KEY_UINT,
	KEY_SIZE,
	KEY_BOOL,
	KEY_LEVEL,
	KEY_GROUP,
	KEY_USER,
	KEY_MACS,
	KEY_MODE,
	KEY_TAP
};

struct key {
	const char *section, *name;
	enum key_type type;
	size_t offset;
	size_t size; /* of the integer, where it is one */
	uint64_t min, max;
};

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

static const struct key keys[] = {
	K("daemon", "socket", KEY_STRING, socket, 1, 107),
	K("daemon", "admin-group", KEY_GROUP, admin_gid, 0, 0),
	K("daemon", "log-level", KEY_LEVEL, log_level, 0, 0),
	K("daemon", "workers", KEY_UINT, workers, 1, 16),
	K("store", "path", KEY_STRING, store_path, 1, 1023),
	K("store", "timeout", KEY_UINT, store_timeout_ms, 100, 60000),
	K("dataplane", "bpffs", KEY_STRING, bpffs, 1, 127),
	K("dataplane", "pin-dir", KEY_STRING, pin_dir, 1, 63),
	K("dataplane", "max-bindings", KEY_UINT, max_bindings, 16, 16777216),
	K("dataplane", "max-ports", KEY_UINT, max_ports, 16, 1048576),
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
	I("tap", KEY_TAP, tap, 1, 15),
	I("mode", KEY_MODE, vlan_mode, 0, 0),
	I("config", KEY_STRING, openvpn_config, 1, 1023),
	I("management", KEY_STRING, management, 1, 107),
	I("user", KEY_USER, uid, 0, 0),
	I("group", KEY_GROUP, gid, 0, 0),
	I("mtu", KEY_UINT, mtu, 576, 9000),
};

struct parser {
	struct config *config;
	const char *name;
	FILE *errors;
	const char *text, *end; /* what is still to be read */
	unsigned int line, mistakes;
	char section[96]; /* as it was last seen */
	uint64_t seen;	  /* a bit for each key of this section, or of each fixed one */
	struct config_instance *instance;
	unsigned int instance_line;
};

static void mistake(struct parser *p, unsigned int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static void mistake(struct parser *p, unsigned int line, const char *format, ...)
{
	va_list ap;

	p->mistakes++;
	if (!p->errors)
		return;
	fprintf(p->errors, "%s:%u: ", p->name, line);
	va_start(ap, format);
	vfprintf(p->errors, format, ap);
	va_end(ap);
	fputc('\n', p->errors);
}

/* --- values: each parser takes the text or says what was expected --- */

static void put_uint(void *field, size_t size, uint64_t v)
{
	switch (size) {
	case 2:
		*(uint16_t *)field = (uint16_t)v;
		break;
	case 4:
		*(uint32_t *)field = (uint32_t)v;
		break;
	case 8:
		*(uint64_t *)field = v;
		break;
	}
}

/* Decimal digits, and for sizes one of K, M, G (powers of 1000, as rates are). */
static bool parse_number(const char *s, bool suffix, uint64_t *ret)
{
	uint64_t unit = 1;
	char *end;

	if (s[0] < '0' || s[0] > '9')
		return false;
	errno = 0;
	*ret = strtoull(s, &end, 10);
	if (errno)
		return false;
	if (suffix && *end) {
		unit = *end == 'K' ? 1000 : *end == 'M' ? 1000000 : *end == 'G' ? 1000000000 : 0;
		end++;
	}
	return unit && !*end && !__builtin_mul_overflow(*ret, unit, ret);
}

static void set_number(struct parser *p, const struct key *k, void *field, const char *value)
{
	uint64_t v;

	if (!parse_number(value, k->type == KEY_SIZE, &v) || v < k->min || v > k->max)
		mistake(p, p->line, "%s: '%s': expected a number from %llu to %llu%s", k->name,
			value, (unsigned long long)k->min, (unsigned long long)k->max,
			k->type == KEY_SIZE ? ", K, M or G may follow" : "");
	else
		put_uint(field, k->size, v);
}

static void set_string(struct parser *p, const struct key *k, char **field, const char *value)
{
	size_t n = strlen(value);

	if (n < k->min || n > k->max) {
		mistake(p, p->line, "%s: %zu bytes: expected %llu to %llu", k->name, n,
			(unsigned long long)k->min, (unsigned long long)k->max);
		return;
	}
	free(*field);
	*field = strdup(value);
}

static void set_bool(struct parser *p, const struct key *k, bool *field, const char *value,
		     const char *yes, const char *no)
{
	if (strcmp(value, yes) == 0)
		*field = true;
	else if (strcmp(value, no) == 0)
		*field = false;
	else
		mistake(p, p->line, "%s: '%s': expected %s or %s", k->name, value, yes, no);
}

static void set_id(struct parser *p, const struct key *k, uint32_t *field, const char *value)
{
	const struct group *g = k->type == KEY_GROUP ? getgrnam(value) : NULL;
	const struct passwd *u = k->type == KEY_USER ? getpwnam(value) : NULL;
	uint64_t v;

	if (g)
		*field = g->gr_gid;
	else if (u)
		*field = u->pw_uid;
	else if (parse_number(value, false, &v) && v < UINT32_MAX)
		*field = (uint32_t)v;
	else if (strcmp(k->section, "daemon") == 0 && p->errors)
		/* Root alone may then operate: safe, and worth a word. */
		fprintf(p->errors, "%s:%u: warning: %s: '%s': there is no such group\n", p->name,
			p->line, k->name, value);
	else
		mistake(p, p->line, "%s: '%s': expected the name or number of a %s that exists",
			k->name, value, k->type == KEY_GROUP ? "group" : "user");
}

static void set_macs(struct parser *p, const struct key *k, const char *value)
{
	_cleanup_free_
	char *copy = strdup(value);
	struct config *c = p->config;
	char *save = NULL;

	for (char *s = strtok_r(copy, ", \t", &save); s; s = strtok_r(NULL, ", \t", &save)) {
		uint8_t mac[6];
		uint8_t(*list)[6];

		if (mac_parse(s, mac) < 0) {
			mistake(p, p->line, "%s: '%s': expected MAC addresses as 02:00:00:00:00:01",
				k->name, s);
			continue;
		}
		list = realloc(c->reserved, (c->n_reserved + 1) * sizeof(*list));
		if (!list)
			return;
		c->reserved = list;
		memcpy(list[c->n_reserved++], mac, sizeof(mac));
	}
}

static void set_tap(struct parser *p, const struct key *k, char *field, const char *value)
{
	if (!request_is_name(value, 16))
		mistake(p, p->line, "%s: '%s': expected a device's name of 1 to 15 characters",
			k->name, value);
	else
		strcpy(field, value);
}

static void set_value(struct parser *p, const struct key *k, void *base, const char *value)
{
	void *field = (char *)base + k->offset;
	int level;

	switch (k->type) {
	case KEY_STRING:
		set_string(p, k, field, value);
		break;
	case KEY_UINT:
	case KEY_SIZE:
		set_number(p, k, field, value);
		break;
	case KEY_BOOL:
		set_bool(p, k, field, value, "yes", "no");
		break;
	case KEY_MODE:
		set_bool(p, k, field, value, "vlan", "mac");
		break;
	case KEY_LEVEL:
		level = log_level_from_string(value);
		if (level < 0)
			mistake(p, p->line,
				"%s: '%s': expected debug, info, notice, warning or err", k->name,
				value);
		else
			*(int *)field = level;
		break;
	case KEY_GROUP:
	case KEY_USER:
		set_id(p, k, field, value);
		break;
	case KEY_MACS:
		set_macs(p, k, value);
		break;
	case KEY_TAP:
		set_tap(p, k, field, value);
		break;
	}
}

/* --- sections --- */

static void check_instance(struct parser *p)
{
	struct config_instance *i = p->instance;

	if (!i)
		return;
	if (!i->openvpn_config)
		mistake(p, p->instance_line,
			"[instance %s]: config is missing: expected the path of "
			"OpenVPN's configuration",
			i->name);
	p->instance = NULL;
}

static void new_instance(struct parser *p, const char *name)
{
	struct config *c = p->config;
	struct config_instance *list;

	if (!request_is_name(name, SP_INSTANCE_MAX)) {
		mistake(p, p->line,
			"[instance %s]: expected a name of 1 to %d letters, digits or _.@-", name,
			SP_INSTANCE_MAX - 1);
		return;
	}
	for (size_t n = 0; n < c->n_instances; n++)
		if (strcmp(c->instances[n].name, name) == 0) {
			mistake(p, p->line, "[instance %s]: a second one of this name", name);
			return;
		}
	list = realloc(c->instances, (c->n_instances + 1) * sizeof(*list));
	if (!list)
		return;
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

static void enter_section(struct parser *p, const char *section)
{
	check_instance(p);
	snprintf(p->section, sizeof(p->section), "%s", section);
	for (size_t i = 0; i < SP_ARRAY_SIZE(keys); i++)
		if (strcmp(keys[i].section, "instance") == 0)
			p->seen &= ~(1ULL << i);
	if (strncmp(section, "instance ", 9) == 0)
		new_instance(p, section + 9);
	else if (!is_section(section))
		mistake(p, p->line,
			"[%s]: expected [daemon], [store], [dataplane], [session] or "
			"[instance NAME]",
			section);
}

static void take(struct parser *p, const char *name, const char *value)
{
	bool instance = strncmp(p->section, "instance ", 9) == 0;
	const char *section = instance ? "instance" : p->section;

	if (instance ? !p->instance : !is_section(section))
		return; /* the section was the mistake */
	for (size_t i = 0; i < SP_ARRAY_SIZE(keys); i++) {
		const struct key *k = &keys[i];

		if (strcmp(k->section, section) != 0 || strcmp(k->name, name) != 0)
			continue;
		if (p->seen & (1ULL << i))
			mistake(p, p->line, "%s: given twice in [%s]", name, p->section);
		p->seen |= 1ULL << i;
		set_value(p, k, instance ? (void *)p->instance : p->config, value);
		return;
	}
	mistake(p, p->line, "'%s': [%s] has no such option", name, p->section);
}

/* --- lines: inih splits them; the reader counts, since Debian's inih tells the handler no number
 * --- */

static char *read_line(char *buf, int size, void *stream)
{
	struct parser *p = stream;
	const char *nl = memchr(p->text, '\n', (size_t)(p->end - p->text));
	size_t n = nl ? (size_t)(nl - p->text) : (size_t)(p->end - p->text);

	if (p->text == p->end)
		return NULL;
	p->line++;
	p->text += nl ? n + 1 : n;
	if (n >= (size_t)size - 1 || memchr(p->text - n - (nl ? 1 : 0), '\0', n)) {
		mistake(p, p->line, "a line of %zu bytes: expected text of less than %d", n,
			size - 1);
		n = 0;
	} else {
		memcpy(buf, p->text - n - (nl ? 1 : 0), n);
	}
	buf[n] = '\n';
	buf[n + 1] = '\0';
	return buf;
}

/*
 * A section without options calls no handler, and an empty [instance] is a mistake to tell: so the
 * headers are seen here, and inih's handler is for the options.
 */
static int on_option(void *user, const char *section, const char *name, const char *value)
{
	struct parser *p = user;

	if (strcmp(section, p->section) != 0)
		enter_section(p, section);
	take(p, name, value ? value : "");
	return 1;
}

static void set_defaults(struct config *c)
{
	const struct group *g = getgrnam("sallyport");

	c->socket = strdup(SP_CONTROL_SOCKET);
	c->admin_gid = g ? g->gr_gid : (gid_t)-1;
	c->log_level = LOG_INFO;
	c->workers = 2;
	c->store_path = strdup(SP_STORE_FILE);
	c->store_timeout_ms = 10000;
	c->bpffs = strdup(SP_BPFFS);
	c->pin_dir = strdup(SP_PIN_DIR);
	c->max_bindings = SP_DEF_BINDINGS;
	c->max_ports = SP_DEF_PORTS;
	c->sampling = true;
	c->sample_ms = 10;
	c->max_sessions = SP_DEF_SESSIONS_PER_USER;
	c->max_macs = SP_DEF_MACS_PER_SESSION;
	c->vid_rest_s = SP_VID_REST_S;
}

static void check_whole(struct parser *p)
{
	const struct config *c = p->config;

	check_instance(p);
	if (c->n_instances == 0)
		mistake(p, p->line, "expected at least one [instance NAME]");
	for (size_t a = 0; a < c->n_instances; a++)
		for (size_t b = a + 1; b < c->n_instances; b++)
			if (strcmp(c->instances[a].tap, c->instances[b].tap) == 0)
				mistake(p, p->line,
					"[instance %s] and [instance %s]: both on tap %s",
					c->instances[a].name, c->instances[b].name,
					c->instances[a].tap);
	if (!c->socket || !c->store_path || !c->bpffs || !c->pin_dir)
		mistake(p, p->line, "out of memory");
}

int config_parse(const char *name, const char *text, size_t size, struct config **ret, FILE *errors)
{
	_cleanup_(config_freep) struct config *c = calloc(1, sizeof(*c));
	struct parser p = {
		.config = c, .name = name, .errors = errors, .text = text, .end = text + size};
	int r;

	if (!c)
		return -ENOMEM;
	c->path = strdup(name);
	set_defaults(c);
	r = ini_parse_stream(read_line, &p, on_option, &p);
	if (r > 0)
		mistake(&p, (unsigned int)r,
			"expected [section], option = value, or a comment after ; or #");
	else if (r < 0)
		return -ENOMEM;
	check_whole(&p);
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
		return -EIO;
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
	free(c->store_path);
	free(c->bpffs);
	free(c->pin_dir);
	free(c);
}

void config_freep(struct config **c)
{
	config_free(*c);
}
