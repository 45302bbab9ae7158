/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Is the value of an option of sallyportd.conf what it must be? */
#include <errno.h>
#include <grp.h>
#include <pwd.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "config_internal.h"
#include "lib/cleanup.h"
#include "lib/loopback.h"
#include "lib/mac.h"
#include "lib/units.h"
#include "log.h"
#include "machine/ladder.h"
#include "request.h"

void config_mistake(struct config_parser *p, unsigned int line, const char *format, ...)
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
	if (!suffix && s[strspn(s, "0123456789")])
		return false;
	return size_parse(s, ret) == 0;
}

static void set_number(struct config_parser *p, const struct config_key *k, void *field,
		       const char *value)
{
	uint64_t v;

	if (!parse_number(value, k->type == KEY_SIZE, &v) || v < k->min || v > k->max)
		config_mistake(p, p->line, "%s: '%s': expected a number from %llu to %llu%s",
			       k->name, value, (unsigned long long)k->min,
			       (unsigned long long)k->max,
			       k->type == KEY_SIZE ? ", K, M or G may follow" : "");
	else
		put_uint(field, k->size, v);
}

static void set_text(struct config_parser *p, char **field, const char *value)
{
	char *copy = strdup(value);

	if (!copy) {
		p->out_of_memory = true;
		return;
	}
	free(*field);
	*field = copy;
}

/* What cannot be seen does not belong into a name or an address. */
static bool is_printable(const char *s)
{
	for (; *s; s++)
		if ((unsigned char)*s < ' ' || *s == 0x7f)
			return false;
	return true;
}

static void set_string(struct config_parser *p, const struct config_key *k, char **field,
		       const char *value)
{
	size_t n = strlen(value);

	if (n < k->min || n > k->max)
		config_mistake(p, p->line, "%s: %zu bytes: expected %llu to %llu", k->name, n,
			       (unsigned long long)k->min, (unsigned long long)k->max);
	else if (k->type == KEY_PATH && value[0] != '/')
		config_mistake(p, p->line, "%s: '%s': expected a path from / on", k->name, value);
	else if (k->type == KEY_TEXT && !is_printable(value))
		config_mistake(p, p->line, "%s: expected text that can be printed", k->name);
	else if (k->type == KEY_NAME && !request_is_name(value, k->max + 1))
		config_mistake(p, p->line, "%s: '%s': expected a name: letters, digits or _.@-",
			       k->name, value);
	else
		set_text(p, field, value);
}

static void set_bool(struct config_parser *p, const struct config_key *k, bool *field,
		     const char *value, const char *yes, const char *no)
{
	if (strcmp(value, yes) == 0)
		*field = true;
	else if (strcmp(value, no) == 0)
		*field = false;
	else
		config_mistake(p, p->line, "%s: '%s': expected %s or %s", k->name, value, yes, no);
}

/* The re-entrant calls: a reload runs on a worker. */
bool config_find_group(const char *name, uint32_t *ret)
{
	char buf[16384];
	struct group g, *found = NULL;

	if (getgrnam_r(name, &g, buf, sizeof(buf), &found) != 0 || !found)
		return false;
	*ret = found->gr_gid;
	return true;
}

static bool find_user(const char *name, uint32_t *ret)
{
	char buf[16384];
	struct passwd u, *found = NULL;

	if (getpwnam_r(name, &u, buf, sizeof(buf), &found) != 0 || !found)
		return false;
	*ret = found->pw_uid;
	return true;
}

static void set_id(struct config_parser *p, const struct config_key *k, uint32_t *field,
		   const char *value)
{
	bool group = k->type == KEY_GROUP;
	uint64_t v;

	if (group ? config_find_group(value, field) : find_user(value, field))
		return;
	if (parse_number(value, false, &v) && v < UINT32_MAX) {
		*field = (uint32_t)v;
	} else if (strcmp(k->section, "daemon") == 0) {
		/* Root alone may then operate: safe, and worth a word. */
		*field = UINT32_MAX;
		if (p->errors)
			fprintf(p->errors, "%s:%u: warning: %s: '%s': there is no such group\n",
				p->name, p->line, k->name, value);
	} else {
		config_mistake(p, p->line,
			       "%s: '%s': expected the name or number of a %s that exists", k->name,
			       value, group ? "group" : "user");
	}
}

static void set_macs(struct config_parser *p, const struct config_key *k, const char *value)
{
	_cleanup_free_
	char *copy = strdup(value);
	struct config *c = p->config;
	char *save = NULL;

	p->out_of_memory |= !copy;
	for (char *s = copy ? strtok_r(copy, ", \t", &save) : NULL; s;
	     s = strtok_r(NULL, ", \t", &save)) {
		uint8_t mac[6];
		uint8_t(*list)[6];

		if (mac_parse(s, mac) < 0) {
			config_mistake(p, p->line,
				       "%s: '%s': expected MAC addresses as 02:00:00:00:00:01",
				       k->name, s);
			continue;
		}
		list = realloc(c->reserved, (c->n_reserved + 1) * sizeof(*list));
		if (!list) {
			p->out_of_memory = true;
			return;
		}
		c->reserved = list;
		memcpy(list[c->n_reserved++], mac, sizeof(mac));
	}
}

static void set_tap(struct config_parser *p, const struct config_key *k, char *field,
		    const char *value)
{
	if (!request_is_name(value, 16))
		config_mistake(p, p->line,
			       "%s: '%s': expected a device's name of 1 to 15 characters", k->name,
			       value);
	else
		strcpy(field, value);
}

static void set_accel(struct config_parser *p, const struct config_key *k, char **field,
		      const char *value)
{
	if (strcmp(value, "auto") != 0 && strcmp(value, "kvm") != 0 && strcmp(value, "tcg") != 0)
		config_mistake(p, p->line, "%s: '%s': expected auto, kvm or tcg", k->name, value);
	else
		set_text(p, field, value);
}

static void set_ladder(struct config_parser *p, const struct config_key *k, char **field,
		       const char *value)
{
	struct ladder l;
	char error[128];
	size_t at;

	if (ladder_parse(value, &l, &at, error) < 0)
		config_mistake(p, p->line, "%s: '%s': at character %zu: %s", k->name, value, at + 1,
			       error);
	else
		set_text(p, field, value);
}

static void set_duration(struct config_parser *p, const struct config_key *k, uint32_t *field,
			 const char *value)
{
	uint32_t v = 0;

	if (strcmp(value, "never") == 0 && k->min == 0)
		*field = 0;
	else if (duration_parse(value, &v) < 0 || v < k->min || v > k->max)
		config_mistake(
			p, p->line,
			"%s: '%s': expected a time of %llu s to %llu s, as 90s, 10m, 2h or 1d",
			k->name, value, (unsigned long long)k->min, (unsigned long long)k->max);
	else
		*field = v;
}

static void set_memory(struct config_parser *p, const struct config_key *k, uint32_t *field,
		       const char *value)
{
	uint64_t mib;

	if (memory_parse(value, &mib) < 0 || mib > k->max)
		config_mistake(p, p->line,
			       "%s: '%s': expected memory in MiB, or with M, G or T: 512M, 16G",
			       k->name, value);
	else
		*field = (uint32_t)mib;
}

static void set_listen(struct config_parser *p, const struct config_key *k, char **field,
		       const char *value)
{
	struct sockaddr_storage address;
	socklen_t len;

	if (strcmp(value, "none") == 0) {
		free(TAKE_PTR(*field));
		return;
	}
	if (loopback_parse(value, &address, &len))
		set_text(p, field, value);
	else
		config_mistake(p, p->line,
			       "%s: '%s': expected none, or a loopback address and a port as "
			       "127.0.0.1:9469 or [::1]:9469",
			       k->name, value);
}

void config_set(struct config_parser *p, const struct config_key *k, void *base, const char *value)
{
	void *field = (char *)base + k->offset;
	int level;

	switch (k->type) {
	case KEY_PATH:
	case KEY_NAME:
	case KEY_TEXT:
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
	case KEY_STORE:
		set_bool(p, k, field, value, "mysql", "sqlite");
		break;
	case KEY_LEVEL:
		level = log_level_from_string(value);
		if (level < 0)
			config_mistake(p, p->line,
				       "%s: '%s': expected debug, info, notice, warning or err",
				       k->name, value);
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
	case KEY_URI:
		set_string(p, k, field, value);
		break;
	case KEY_ACCEL:
		set_accel(p, k, field, value);
		break;
	case KEY_LADDER:
		set_ladder(p, k, field, value);
		break;
	case KEY_DURATION:
		set_duration(p, k, field, value);
		break;
	case KEY_MEMORY:
		set_memory(p, k, field, value);
		break;
	case KEY_LISTEN:
		set_listen(p, k, field, value);
		break;
	}
}
