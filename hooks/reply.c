/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What did the daemon decide, and may it be passed on to OpenVPN? */
#include "hooks/reply.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "sallyport/limits.h"

#define BACKOFF_MAX 3600
#define RETRY_MAX_MS 3600000

void reason_copy(char ret[REASON_MAX], const char *text)
{
	/* OpenVPN and its clients read these beginnings as commands. */
	static const char *const commands[] = {"TEMP", "CRV1:", "SESSION:"};
	size_t n = 0;

	for (size_t i = 0; text && i < SP_ARRAY_SIZE(commands); i++)
		if (strncmp(text, commands[i], strlen(commands[i])) == 0)
			text = NULL;
	for (; text && *text != '\0' && n < REASON_MAX - 1; text++)
		ret[n++] = (char)(*text >= ' ' && *text < 0x7f ? *text : '?');
	ret[n] = '\0';
	if (n == 0)
		snprintf(ret, REASON_MAX, "refused");
}

static int get_bool(const json_t *reply, const char *key, bool *ret)
{
	const json_t *value = json_object_get(reply, key);

	if (!json_is_boolean(value))
		return -EBADMSG;
	*ret = json_is_true(value);
	return 0;
}

static void get_reason(const json_t *reply, char ret[REASON_MAX])
{
	reason_copy(ret, json_string_value(json_object_get(reply, "reason")));
}

int reply_auth(const json_t *reply, struct auth_answer *ret)
{
	const char *result = json_string_value(json_object_get(reply, "result"));
	json_int_t backoff = json_integer_value(json_object_get(reply, "backoff"));
	struct auth_answer a = {0};

	if (!result)
		return -EBADMSG;
	if (strcmp(result, "accept") == 0)
		a.result = AUTH_ACCEPT;
	else if (strcmp(result, "reject") == 0)
		a.result = AUTH_REJECT;
	else if (strcmp(result, "retry") == 0)
		a.result = AUTH_RETRY;
	else
		return -EBADMSG;
	if (a.result == AUTH_RETRY && (backoff < 1 || backoff > BACKOFF_MAX))
		return -EBADMSG;
	a.backoff = (int)backoff;
	get_reason(reply, a.reason);
	*ret = a;
	return 0;
}

/* Cut the first word off *LINE, at single spaces. NULL at its end. */
static char *next_word(char **line)
{
	char *word = *line;
	char *end;

	if (!word)
		return NULL;
	end = strchr(word, ' ');
	if (end)
		*end = '\0';
	*line = end ? end + 1 : NULL;
	return *word ? word : NULL;
}

/* Digits only, no leading zero, MIN to MAX. */
static bool is_number(const char *s, int min, int max)
{
	int n = 0;

	if (!s || s[0] == '\0' || (s[0] == '0' && s[1] != '\0'))
		return false;
	for (; *s != '\0'; s++) {
		if (*s < '0' || *s > '9' || n > max)
			return false;
		n = n * 10 + (*s - '0');
	}
	return n >= min && n <= max;
}

static bool is_address(int family, const char *s)
{
	uint8_t raw[sizeof(struct in6_addr)];

	return s && inet_pton(family, s, raw) == 1;
}

/* The arguments of each directive; ARGS is cut up. */
static bool args_vlan_pvid(char *args)
{
	return is_number(next_word(&args), SP_VID_MIN, SP_VID_MAX) && !args;
}

static bool args_ifconfig_push(char *args)
{
	const char *address = next_word(&args);
	const char *netmask = next_word(&args);

	return is_address(AF_INET, address) && is_address(AF_INET, netmask) && !args;
}

static bool args_ifconfig_ipv6_push(char *args)
{
	char *prefix = next_word(&args);
	char *bits = prefix ? strchr(prefix, '/') : NULL;

	if (!bits)
		return false;
	*bits++ = '\0';
	if (!is_address(AF_INET6, prefix) || !is_number(bits, 0, 128))
		return false;
	return !args || (is_address(AF_INET6, next_word(&args)) && !args);
}

/* In quotes, and no quote or backslash inside: nothing for a parser to unfold. */
static bool args_push(char *args)
{
	size_t len = args ? strlen(args) : 0;

	if (len < 3 || args[0] != '"' || args[len - 1] != '"')
		return false;
	args[len - 1] = '\0';
	return strpbrk(args + 1, "\"\\") == NULL;
}

static bool line_ok(char *line, int *vlan_ids)
{
	static const struct {
		const char *name;
		bool (*args)(char *args);
	} directives[] = {{"vlan-pvid", args_vlan_pvid},
			  {"ifconfig-push", args_ifconfig_push},
			  {"ifconfig-ipv6-push", args_ifconfig_ipv6_push},
			  {"push", args_push}};
	const char *word = next_word(&line);

	for (size_t i = 0; word && i < SP_ARRAY_SIZE(directives); i++) {
		if (strcmp(word, directives[i].name) != 0)
			continue;
		*vlan_ids += i == 0;
		return line && directives[i].args(line) && *vlan_ids <= 1;
	}
	return false;
}

int client_config_check(const char *config)
{
	char line[CLIENT_CONFIG_LINE_MAX];
	int vlan_ids = 0;

	for (int lines = 0; *config != '\0'; lines++) {
		size_t len = strcspn(config, "\n");

		if (lines == CLIENT_CONFIG_LINES || len >= sizeof(line))
			return -EBADMSG;
		for (size_t i = 0; i < len; i++)
			if (config[i] < ' ' || config[i] >= 0x7f)
				return -EBADMSG;
		memcpy(line, config, len);
		line[len] = '\0';
		if (!line_ok(line, &vlan_ids))
			return -EBADMSG;
		config += len;
		config += *config == '\n';
	}
	return 0;
}

/* The lines of the answer in one text that ends with a newline, or is empty. */
static int get_config(const json_t *reply, char **ret)
{
	const json_t *value = json_object_get(reply, "config");
	const char *text = json_string_value(value);
	size_t len = json_string_length(value);
	char *config;
	int r;

	if (!text || strlen(text) != len)
		return -EBADMSG;
	r = client_config_check(text);
	if (r < 0)
		return r;
	config = malloc(len + 2);
	if (!config)
		return -ENOMEM;
	memcpy(config, text, len);
	if (len > 0 && text[len - 1] != '\n')
		config[len++] = '\n';
	config[len] = '\0';
	*ret = config;
	return 0;
}

int reply_connect(const json_t *reply, struct connect_answer *ret)
{
	struct connect_answer a = {0};
	int r;

	r = get_bool(reply, "pending", &a.pending);
	if (r == 0 && !a.pending)
		r = get_bool(reply, "accept", &a.accept);
	if (r == 0 && a.accept)
		r = get_config(reply, &a.config);
	if (r < 0)
		return r;
	get_reason(reply, a.reason);
	*ret = a;
	return 0;
}

int reply_learn(const json_t *reply, struct learn_answer *ret)
{
	const char *scope = json_string_value(json_object_get(reply, "scope"));
	json_int_t retry = json_integer_value(json_object_get(reply, "retry_ms"));
	struct learn_answer a = {0};
	int r;

	r = get_bool(reply, "allow", &a.allow);
	if (r < 0)
		return r;
	if (!a.allow) {
		a.session = scope && strcmp(scope, "session") == 0;
		a.retry_ms = (uint32_t)(retry < 0	       ? 0
					: retry > RETRY_MAX_MS ? RETRY_MAX_MS
							       : retry);
		get_reason(reply, a.reason);
	}
	*ret = a;
	return 0;
}
