/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files of the configuration share; nobody else includes it. */
#ifndef SALLYPORT_LOADER_CONFIG_INTERNAL_H
#define SALLYPORT_LOADER_CONFIG_INTERNAL_H

#include "config.h"

#define CONFIG_KEYS_MAX 160

enum config_key_type {
	KEY_PATH, /* absolute: what the daemon's directory is depends on who started it */
	KEY_NAME,
	KEY_TEXT, /* anything that can be printed */
	KEY_UINT,
	KEY_SIZE,
	KEY_BOOL,
	KEY_LEVEL,
	KEY_GROUP,
	KEY_USER,
	KEY_MACS,
	KEY_MODE,
	KEY_TAP,
	KEY_URI,
	KEY_ACCEL,
	KEY_LADDER,
	KEY_DURATION,
	KEY_MEMORY, /* MiB; M, G or T may follow */
	KEY_LISTEN, /* a loopback address with a port, or none */
	KEY_STORE,
};

struct config_key {
	const char *section, *name;
	enum config_key_type type;
	size_t offset;
	size_t size; /* of the integer, where it is one */
	uint64_t min, max;
};

struct config_parser {
	struct config *config;
	const char *name;
	FILE *errors;
	const char *text, *end; /* what is still to be read */
	unsigned int line, mistakes;
	bool out_of_memory;
	char section[96]; /* as it was last seen */
	/* Where each key of this section, or each fixed one, was given; 0: it was not. */
	unsigned int seen[CONFIG_KEYS_MAX];
	struct config_instance *instance;
	unsigned int instance_line;
};

/* One line to the errors, which makes the whole file unfit. */
void config_mistake(struct config_parser *p, unsigned int line, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

/* Put VALUE where K says below BASE (a struct config or config_instance), or tell what is wrong. */
void config_set(struct config_parser *p, const struct config_key *k, void *base, const char *value);

/* The line of [SECTION] NAME; 0: it was not given. */
unsigned int config_line_of(const struct config_parser *p, const char *section, const char *name);

/* What is wrong with [store] as a whole; defaults that depend on what was given. */
void config_check_store(struct config_parser *p);
void config_free_store(struct config *c);

/* Read the host's policy; each mistake in it is one of the configuration. */
void config_check_policy(struct config_parser *p);

/* [firewall]: flows, max-flows, timeout-*. */
void config_flows_defaults(struct config *c);
void config_flows_check(struct config_parser *p);

bool config_find_group(const char *name, uint32_t *ret);

#endif
