/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which operations are there, who may call them, and with what? docs/control.md says the same in
 * words. */
#include "ops.h"

#include <stddef.h>

#include "sallyport/limits.h"

#define R ARG_REQUIRED

#define INSTANCE                                                                                   \
	{                                                                                          \
		"instance", ARG_NAME, R, 1, SP_INSTANCE_MAX - 1                                    \
	}
#define DEADLINE                                                                                   \
	{                                                                                          \
		"deadline_us", ARG_INT, R, 0, INT64_MAX                                            \
	}
#define PID(flags)                                                                                 \
	{                                                                                          \
		"daemon_pid", ARG_INT, flags, 1, INT32_MAX                                         \
	}
#define SESSION_KEY                                                                                \
	{"common_name", ARG_STRING, R, 0, SP_CN_MAX - 1},                                          \
		{"trusted_ip", ARG_STRING, R, 1, SP_ADDR_STRLEN - 1},                              \
		{"trusted_port", ARG_INT, R, 0, UINT16_MAX},                                       \
	{                                                                                          \
		"time_unix", ARG_INT, R, 0, INT64_MAX                                              \
	}
#define VID                                                                                        \
	{                                                                                          \
		"vid", ARG_INT, R, 0, 4095                                                         \
	}
#define MAC(flags)                                                                                 \
	{                                                                                          \
		"mac", ARG_MAC, flags, 0, 0                                                        \
	}
#define NAME(name, flags)                                                                          \
	{                                                                                          \
		name, ARG_NAME, flags, 1, SP_NAME_MAX - 1                                          \
	}
#define PASSWORD(flags)                                                                            \
	{                                                                                          \
		"password", ARG_STRING, (flags) | ARG_SECRET, 1, SP_PASSWORD_MAX - 1               \
	}
#define USER_LIMITS                                                                                \
	{"address", ARG_STRING, 0, 0, SP_ADDR_STRLEN - 1},                                         \
		{"address6", ARG_STRING, 0, 0, SP_ADDR_STRLEN - 1},                                \
		{"max_sessions", ARG_INT, 0, 0, 32}, {"max_macs", ARG_INT, 0, 0, 32},              \
		{"max_machines", ARG_INT, 0, 0, 100000},                                           \
		{"max_memory_mib", ARG_INT, 0, 0, 1 << 30},                                        \
		{"rate_bytes", ARG_INT, 0, 0, 10000000000},                                        \
		{"rate_frames", ARG_INT, 0, 0, 1000000000},                                        \
		{"max_user_macs", ARG_INT, 0, 0, 1024},                                            \
		{"max_flows", ARG_INT, 0, 0, SP_FLOWS_MAX},                                        \
		{"new_flows", ARG_INT, 0, 0, SP_NEW_FLOWS_MAX},                                    \
	{                                                                                          \
		"max_vcpus", ARG_INT, 0, 0, 100000                                                 \
	}
#define MACHINE NAME("user", R), NAME("name", R)
#define POLICY                                                                                     \
	{"start", ARG_STRING, 0, 1, 16}, {"stop", ARG_STRING, 0, 1, SP_LADDER_MAX - 1},            \
		{"grace", ARG_STRING, 0, 1, 16}, {"idle", ARG_STRING, 0, 1, 16},                   \
		{"min_up", ARG_STRING, 0, 1, 16},                                                  \
		{"addresses", ARG_STRING, 0, 0, SP_ADDRESSES_MAX - 1},                             \
		{"pinned", ARG_BOOL, 0, 0, 0}, {"dhcp", ARG_BOOL, 0, 0, 0},                        \
		{"router", ARG_BOOL, 0, 0, 0},                                                     \
	{                                                                                          \
		"dhcp_server", ARG_BOOL, 0, 0, 0                                                   \
	}
#define ADDRESS(name)                                                                              \
	{                                                                                          \
		name, ARG_STRING, 0, 1, SP_ADDR_STRLEN - 1                                         \
	}
#define FLOWS                                                                                      \
	NAME("user", 0), NAME("machine", 0), {"protocol", ARG_STRING, 0, 1, 15},                   \
		{"state", ARG_STRING, 0, 1, 15}, {"family", ARG_INT, 0, 4, 6}, ADDRESS("address"), \
		ADDRESS("source"), ADDRESS("destination"), {"port", ARG_INT, 0, 0, UINT16_MAX},    \
		{"source_port", ARG_INT, 0, 0, UINT16_MAX},                                        \
	{                                                                                          \
		"destination_port", ARG_INT, 0, 0, UINT16_MAX                                      \
	}
#define FILE_OF(name)                                                                              \
	{                                                                                          \
		name, ARG_STRING, 0, 1, SP_PATH_MAX - 1                                            \
	}
#define FLAG(name)                                                                                 \
	{                                                                                          \
		name, ARG_BOOL, 0, 0, 0                                                            \
	}
#define LAST                                                                                       \
	{                                                                                          \
		NULL, ARG_STRING, 0, 0, 0                                                          \
	}
#define ARGS(...) ((const struct arg[]){__VA_ARGS__, LAST})
#define NO_ARGS ((const struct arg[]){LAST})

const struct op daemon_ops[] = {
	/* What a client says of itself at login is judged by the handler: a wrong name is a refusal
	 * of the login, not of the message. */
	{"hook-auth", ROLE_HOOK,
	 ARGS(INSTANCE, DEADLINE, PID(R), {"username", ARG_STRING, R, 0, SP_NAME_MAX - 1},
	      {"password", ARG_STRING, R | ARG_SECRET, 0, SP_PASSWORD_MAX - 1},
	      {"common_name", ARG_STRING, R, 0, SP_CN_MAX - 1},
	      {"untrusted_ip", ARG_STRING, 0, 0, SP_ADDR_STRLEN - 1},
	      {"untrusted_port", ARG_INT, 0, 0, UINT16_MAX}),
	 op_hook_auth},
	{"hook-connect", ROLE_HOOK,
	 ARGS(INSTANCE, DEADLINE, PID(R), SESSION_KEY, NAME("username", R)), op_hook_connect},
	{"hook-disconnect", ROLE_HOOK,
	 ARGS(INSTANCE, DEADLINE, PID(R), SESSION_KEY, {"bytes_received", ARG_INT, 0, 0, INT64_MAX},
	      {"bytes_sent", ARG_INT, 0, 0, INT64_MAX}, {"duration", ARG_INT, 0, 0, INT64_MAX}),
	 op_hook_disconnect},
	{"hook-learn", ROLE_HOOK,
	 ARGS(INSTANCE, DEADLINE, PID(R), SESSION_KEY, {"event", ARG_STRING, R, 3, 6}, MAC(R), VID),
	 op_hook_learn},
	{"hook-forget", ROLE_HOOK,
	 ARGS(INSTANCE, DEADLINE, MAC(R), VID, {"time_us", ARG_INT, R, 0, INT64_MAX}),
	 op_hook_forget},

	{"user-add", ROLE_ADMIN, ARGS(NAME("name", R), PASSWORD(0), USER_LIMITS), op_user_add},
	{"user-passwd", ROLE_ADMIN, ARGS(NAME("name", R), PASSWORD(R)), op_user_passwd},
	{"user-set", ROLE_ADMIN, ARGS(NAME("name", R), USER_LIMITS), op_user_set},
	{"user-disable", ROLE_ADMIN, ARGS(NAME("name", R), {"disabled", ARG_BOOL, 0, 0, 0}),
	 op_user_disable},
	{"user-delete", ROLE_ADMIN, ARGS(NAME("name", R)), op_user_delete},
	{"user-list", ROLE_ADMIN, ARGS(NAME("name", 0)), op_user_list},
	{"workload-add", ROLE_ADMIN,
	 ARGS(NAME("user", R), NAME("name", R), NAME("netns", R), {"ifname", ARG_NAME, 0, 1, 15},
	      MAC(0)),
	 op_workload_add},
	{"workload-remove", ROLE_ADMIN, ARGS(NAME("user", R), NAME("name", R)), op_workload_remove},
	{"workload-list", ROLE_ADMIN, ARGS(NAME("user", 0)), op_workload_list},
	{"machine-add", ROLE_ADMIN,
	 ARGS(MACHINE, {"domain", ARG_STRING, 0, 1, SP_DOMAIN_MAX - 1}, FILE_OF("image"),
	      {"format", ARG_NAME, 0, 1, 15}, {"disk_mib", ARG_INT, 0, 1, 1 << 30},
	      FILE_OF("kernel"), FILE_OF("initrd"), {"cmdline", ARG_STRING, 0, 0, SP_PATH_MAX - 1},
	      {"memory_mib", ARG_INT, 0, 16, 1 << 30}, {"vcpus", ARG_INT, 0, 1, 4096},
	      {"mac", ARG_STRING, 0, 1, 17}, POLICY, FLAG("dry_run")),
	 op_machine_add},
	{"machine-remove", ROLE_ADMIN, ARGS(MACHINE, FLAG("delete_disk")), op_machine_remove},
	{"machine-list", ROLE_ADMIN, ARGS(NAME("user", 0)), op_machine_list},
	{"machine-show", ROLE_ADMIN, ARGS(MACHINE), op_machine_show},
	{"machine-policy", ROLE_ADMIN, ARGS(MACHINE, POLICY), op_machine_policy},
	{"machine-start", ROLE_ADMIN, ARGS(MACHINE, FLAG("wait")), op_machine_start},
	{"machine-stop", ROLE_ADMIN,
	 ARGS(MACHINE, {"to", ARG_STRING, 0, 1, 16}, FLAG("now"), FLAG("wait")), op_machine_stop},
	{"machine-discard", ROLE_ADMIN, ARGS(MACHINE), op_machine_discard},
	{"machine-console", ROLE_ADMIN, ARGS(MACHINE, FLAG("force")), op_machine_console},
	{"machine-input", ROLE_ADMIN, ARGS({"data", ARG_STRING, R, 0, 8192}), op_machine_input},
	{"flow-list", ROLE_ADMIN,
	 ARGS(FLOWS, {"slot", ARG_INT, 0, 0, UINT32_MAX}, {"table", ARG_INT, 0, 0, UINT32_MAX}),
	 op_flow_list},
	{"flow-count", ROLE_ADMIN, ARGS(FLOWS), op_flow_count},
	{"flow-kill", ROLE_ADMIN, ARGS(FLOWS, FLAG("all")), op_flow_kill},
	{"policy-show", ROLE_ADMIN, ARGS(NAME("user", 0), NAME("name", 0), FLAG("counters")),
	 op_policy_show},
	{"policy-set", ROLE_ADMIN,
	 ARGS(MACHINE, {"text", ARG_STRING, 0, 0, SP_MSG_MAX},
	      {"bytes", ARG_INT, 0, 0, SP_POLICY_MAX}, FLAG("default"),
	      {"generation", ARG_INT, 0, 0, INT64_MAX}, FLAG("strict"), FLAG("dry_run")),
	 op_policy_set},
	{"policy-put", ROLE_ADMIN, ARGS({"text", ARG_STRING, R, 1, SP_MSG_MAX}), op_policy_put},
	{"session-list", ROLE_ADMIN,
	 ARGS(NAME("user", 0), {"instance", ARG_NAME, 0, 1, SP_INSTANCE_MAX - 1}), op_session_list},
	{"session-kill", ROLE_ADMIN, ARGS({"session", ARG_INT, R, 1, INT64_MAX}), op_session_kill},
	{"status", ROLE_ADMIN, NO_ARGS, op_status},
	{"counters", ROLE_ADMIN, NO_ARGS, op_counters},
	{"metrics", ROLE_ADMIN, NO_ARGS, op_metrics},
	{"explain", ROLE_ADMIN,
	 ARGS({"from", ARG_STRING, R, 1, 2 * SP_NAME_MAX},
	      {"to", ARG_STRING, R, 1, 2 * SP_NAME_MAX},
	      {"src", ARG_STRING, 0, 1, SP_ADDR_STRLEN - 1},
	      {"dst", ARG_STRING, 0, 1, SP_ADDR_STRLEN - 1}, {"proto", ARG_INT, 0, 0, 255},
	      {"sport", ARG_INT, 0, 0, UINT16_MAX}, {"dport", ARG_INT, 0, 0, UINT16_MAX},
	      {"flags", ARG_STRING, 0, 0, 6}, {"type", ARG_INT, 0, 0, 255},
	      {"code", ARG_INT, 0, 0, 255}),
	 op_explain},
	{"trace", ROLE_ADMIN,
	 ARGS({"session", ARG_INT, 0, 1, INT64_MAX}, {"trace", ARG_STRING, 0, 16, 16}), op_trace},
	{"monitor", ROLE_ADMIN, ARGS({"drops", ARG_BOOL, 0, 0, 0}, {"changes", ARG_BOOL, 0, 0, 0}),
	 op_monitor},
	{"audit-list", ROLE_ADMIN, ARGS({"limit", ARG_INT, 0, 1, 10000}), op_audit_list},
	{"reload", ROLE_ADMIN, NO_ARGS, op_reload},
	{"version", ROLE_ADMIN, NO_ARGS, op_version},
	{NULL, ROLE_NONE, NULL, NULL},
};
