/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Which commands are there, with which options? Help, manual and completion follow this table. */
#include "ctl/ctl.h"

#define OPTIONS(...) ((const struct ctl_option[]){__VA_ARGS__, {.name = NULL}})

const struct ctl_option ctl_globals[] = {
	{"json", 0, NULL, "print what the daemon said, as JSON"},
	{"socket", 0, "PATH", "the daemon's control socket"},
	{"timeout", 0, "SECONDS", "how long to wait for an answer (15)"},
	{"quiet", 'q', NULL, "print nothing but errors where something was done"},
	{"help", 'h', NULL, "explain this command"},
	{.name = NULL},
};

#define LIMITS                                                                                     \
	{"address", 0, "A/B", "IPv4 address on the segment, with its prefix length"},              \
		{"address6", 0, "A/B", "IPv6 address on the segment, with its prefix length"},     \
		{"max-sessions", 0, "N", "sessions at once (0: the daemon's default)"},            \
		{"max-macs", 0, "N", "MAC addresses of one session (0: the daemon's default)"},    \
		{"max-machines", 0, "N", "machines up at once (0: the daemon's default)"},         \
		{"max-memory", 0, "SIZE", "their memory together (0: the daemon's default)"},      \
		{"max-vcpus", 0, "N", "their vCPUs together (0: the daemon's default)"},           \
		{"max-user-macs", 0, "N",                                                          \
		 "MAC addresses of all sessions (0: the daemon's default)"},                       \
		{"rate-bytes", 0, "SIZE",                                                          \
		 "bytes a second that all its sessions and machines send (0: the default)"},       \
		{"rate-frames", 0, "N", "frames a second, likewise (0: the daemon's default)"},    \
		{"max-flows", 0, "N", "connections tracked at once (0: the daemon's default)"},    \
	{                                                                                          \
		"new-flows", 0, "N", "connections begun in a second (0: the daemon's default)"     \
	}

#define POLICY                                                                                     \
	{"start", 0, "WHEN", "connect, traffic or manual (connect)"},                              \
		{"stop", 0, "LADDER", "as \"pause 10m then save\", or default"},                   \
		{"grace", 0, "TIME", "after the last session's end, as 60s, or default"},          \
		{"idle", 0, "TIME", "without traffic, as 30m; never, or default"},                 \
		{"min-up", 0, "TIME", "it is up at the least, as 30s, or default"},                \
		{"address", 0, "LIST", "its IP addresses, commas between; none"},                  \
		{"pinned", 0, "YES",                                                               \
		 "yes: it may send with these addresses only; dhcp: and leased ones (no)"},        \
		{"router", 0, "YES",                                                               \
		 "yes: it may advertise itself as a router, and forward (no)"},                    \
	{                                                                                          \
		"dhcp-server", 0, "YES", "yes: it may answer DHCP (no)"                            \
	}

#define FLOWS                                                                                      \
	{"user", 0, "USER", "only those of this user's machines"},                                 \
		{"machine", 0, "MACHINE", "only those of this machine of the user"},               \
		{"protocol", 'p', "PROTOCOL", "tcp, udp, icmp, icmpv6, ..., or its number"},       \
		{"state", 's', "STATE", "as established, syn-sent, replied"},                      \
		{"ipv4", '4', NULL, "only IPv4"}, {"ipv6", '6', NULL, "only IPv6"},                \
		{"address", 'a', "ADDRESS", "of one of its ends; or a prefix, as 10.0.0.0/24"},    \
		{"from", 0, "ADDRESS", "of who began it"},                                         \
		{"to", 0, "ADDRESS", "of whom it was to"},                                         \
		{"port", 0, "PORT", "of one of its ends"},                                         \
		{"from-port", 0, "PORT", "of who began it"},                                       \
	{                                                                                          \
		"to-port", 0, "PORT", "of whom it was to"                                          \
	}

#define PASSWORD                                                                                   \
	{"password-file", 0, "FILE", "take the password from FILE"},                               \
	{                                                                                          \
		"password-stdin", 0, NULL, "take the password from standard input"                 \
	}

#define STRICT                                                                                     \
	{"strict", 0, NULL, "end flows that it does not allow, in any case"},                      \
	{                                                                                          \
		"no-strict", 0, NULL, "end none (those it does not allow, if it takes away)"       \
	}

#define CONFIG                                                                                     \
	{                                                                                          \
		"config", 'c', "FILE", "the daemon's configuration file"                           \
	}

const struct ctl_command ctl_commands[] = {
	{"user", "add", "NAME", "make a user with a segment of its own",
	 OPTIONS(PASSWORD, {"no-password", 0, NULL, "no password: the certificate alone"}, LIMITS),
	 cmd_user_add},
	{"user", "passwd", "USER", "set a user's password", OPTIONS(PASSWORD), cmd_user_passwd},
	{"user", "set", "USER", "change a user's addresses (none: take away) and limits",
	 OPTIONS(LIMITS), cmd_user_set},
	{"user", "disable", "USER", "end the user's sessions and admit no more", NULL,
	 cmd_user_disable},
	{"user", "enable", "USER", "admit a disabled user again", NULL, cmd_user_enable},
	{"user", "delete", "USER", "remove a user and its workloads", NULL, cmd_user_delete},
	{"user", "list", "[USER]", "list users", NULL, cmd_user_list},
	{"workload", "add", "USER NAME", "attach a network namespace to a user's segment",
	 OPTIONS({"netns", 0, "NETNS", "the namespace's name (ip netns); required"},
		 {"ifname", 0, "DEVICE", "what the device is called inside (eth0)"},
		 {"mac", 0, "MAC", "its MAC address (chosen by the daemon)"}),
	 cmd_workload_add},
	{"workload", "remove", "USER WORKLOAD", "take it off the segment", NULL,
	 cmd_workload_remove},
	{"workload", "list", "", "list workloads",
	 OPTIONS({"user", 0, "USER", "only those of this user"}), cmd_workload_list},
	{"machine", "add", "USER NAME", "give a user a virtual machine",
	 OPTIONS({"domain", 0, "DOMAIN", "a domain that libvirt has; its interface is rewritten"},
		 {"image", 0, "FILE",
		  "a disk image that many share; this one writes to an overlay"},
		 {"format", 0, "FORMAT", "of the image: qcow2 (default) or raw"},
		 {"disk", 0, "SIZE", "of the overlay (the image's)"},
		 {"kernel", 0, "FILE", "a kernel to boot, without a disk"},
		 {"initrd", 0, "FILE", "the kernel's initial RAM disk"},
		 {"cmdline", 0, "TEXT", "the kernel's command line"},
		 {"memory", 0, "SIZE", "memory, as 512M or 2G (the domain's; 512M)"},
		 {"vcpus", 0, "N", "virtual CPUs (the domain's; 1)"},
		 {"mac", 0, "MAC", "its MAC address, or new (the domain's; new)"}, POLICY,
		 {"dry-run", 'n', NULL, "show what would be done"}),
	 cmd_machine_add},
	{"machine", "list", "", "list machines",
	 OPTIONS({"user", 0, "USER", "only those of this user"}), cmd_machine_list},
	{"machine", "show", "USER MACHINE", "everything about one", NULL, cmd_machine_show},
	{"machine", "start", "USER MACHINE", "start, restore or resume it, and keep it so",
	 OPTIONS({"wait", 'w', NULL, "until it runs, or cannot"}), cmd_machine_start},
	{"machine", "stop", "USER MACHINE", "shut it down, until it is started or its user comes",
	 OPTIONS({"pause", 0, NULL, "pause it instead"}, {"save", 0, NULL, "save it instead"},
		 {"now", 0, NULL, "pull the plug: its guest is not asked"},
		 {"wait", 'w', NULL, "until that is done, or cannot be"}),
	 cmd_machine_stop},
	{"machine", "console", "USER MACHINE", "its serial console; Ctrl-] ends it",
	 OPTIONS({"force", 0, NULL, "take it from whoever has it"}), cmd_machine_console},
	{"machine", "policy", "USER MACHINE", "show or change when it runs", OPTIONS(POLICY),
	 cmd_machine_policy},
	{"machine", "discard", "USER MACHINE", "throw its saved state away: it boots next time",
	 NULL, cmd_machine_discard},
	{"machine", "remove", "USER MACHINE",
	 "take it from the user; a domain that was there stays",
	 OPTIONS({"delete-disk", 0, NULL, "delete its overlay too"}), cmd_machine_remove},
	{"flow", "list", "", "list the connections that pass machines' ports", OPTIONS(FLOWS),
	 cmd_flow_list},
	{"flow", "count", "", "count them, by state and protocol", OPTIONS(FLOWS), cmd_flow_count},
	{"flow", "kill", "", "end them: the next packet is judged as a new one",
	 OPTIONS(FLOWS, {"all", 0, NULL, "every one of every user"}), cmd_flow_kill},
	{"policy", "show", "[USER] [MACHINE]", "a machine's firewall, or the host's default",
	 OPTIONS({"counters", 0, NULL, "each rule with what it has counted"}), cmd_policy_show},
	{"policy", "set", "USER MACHINE [FILE]", "put a policy in force (-: standard input)",
	 OPTIONS({"default", 0, NULL, "none of its own: the host's default"}, STRICT,
		 {"generation", 0, "N", "only if it is the N-th that is replaced"},
		 {"dry-run", 'n', NULL, "check it, and change nothing"}),
	 cmd_policy_set},
	{"policy", "edit", "USER MACHINE", "change it in $VISUAL or $EDITOR", OPTIONS(STRICT),
	 cmd_policy_edit},
	{"policy", "check", "FILE", "is it a policy? What is wrong, by line and column",
	 OPTIONS({"print", 0, NULL, "print it in the one way to write it"}), cmd_policy_check},
	{"policy", "diff", "USER MACHINE FILE", "what FILE would change", NULL, cmd_policy_diff},
	{"policy", "test", "FILE", "are the expectations in it met?", NULL, cmd_policy_test},
	{"session", "list", "", "list sessions",
	 OPTIONS({"user", 0, "USER", "only those of this user"},
		 {"instance", 0, "INSTANCE", "only those on this instance"}),
	 cmd_session_list},
	{"session", "kill", "SESSION", "end a session, by its id", NULL, cmd_session_kill},
	{NULL, "status", "", "how the daemon and its instances are", NULL, cmd_status},
	{NULL, "top", "", "sessions, ports and drops by rate, live",
	 OPTIONS({"delay", 'd', "SECONDS", "time between two pictures (1)"},
		 {"batch", 'b', NULL, "plain text, one picture after the other"},
		 {"count", 'n', "N", "end after N pictures"}),
	 cmd_top},
	{NULL, "monitor", "", "sampled drops and changes as they happen",
	 OPTIONS({"drops", 0, NULL, "only drops, unless --changes too"},
		 {"changes", 0, NULL, "only sessions, MAC addresses and instances"},
		 {"pcap", 0, "FILE", "write dropped frames to FILE (-: standard output)"}),
	 cmd_monitor},
	{NULL, "counters", "", "frames and bytes since the dataplane was made",
	 OPTIONS({"reasons", 0, NULL, "only drops by reason"},
		 {"ports", 0, NULL, "only traffic by port"}, {"all", 0, NULL, "zeros too"}),
	 cmd_counters},
	{NULL, "trace", "SESSION|ID", "where the time went between a login and the first answer",
	 NULL, cmd_trace},
	{NULL, "explain", "FROM TO",
	 "what would become of a frame; USER, USER/MACHINE, USER/WORKLOAD, or to an address",
	 OPTIONS({"tcp", 0, NULL, "TCP (this is the default)"}, {"udp", 0, NULL, "UDP"},
		 {"icmp", 0, NULL, "ICMP or ICMPv6, an echo request"},
		 {"proto", 0, "N", "another IP protocol, by its number"},
		 {"sport", 0, "PORT", "source port; of an echo request its identifier (40000)"},
		 {"dport", 0, "PORT", "destination port (80)"},
		 {"flags", 0, "FLAGS", "TCP: letters of FSRPAU (S)"},
		 {"type", 0, "N", "ICMP: type"}, {"code", 0, "N", "ICMP: code"},
		 {"src", 0, "ADDRESS", "source address (the first that is known)"},
		 {"dst", 0, "ADDRESS", "destination address (the first that is known)"}),
	 cmd_explain},
	{NULL, "metrics", "", "all numbers, as Prometheus reads them", NULL, cmd_metrics},
	{NULL, "doctor", "", "what is in order on this host, and what to do about the rest",
	 OPTIONS(CONFIG), cmd_doctor},
	{NULL, "audit", "", "who did what, the latest last",
	 OPTIONS({"limit", 0, "N", "how many entries (100)"}), cmd_audit},
	{NULL, "reload", "", "make the daemon read its configuration again", NULL, cmd_reload},
	{"store", "init", "", "make the store that the configuration names; no daemon is asked",
	 OPTIONS(CONFIG), cmd_store_init},
	{"store", "check", "", "whether every row is in order, each reference and each claim",
	 OPTIONS(CONFIG), cmd_store_check},
	{"store", "migrate", "", "bring an older store up to date; stop sallyportd first",
	 OPTIONS(CONFIG), cmd_store_migrate},
	{"store", "copy", "", "copy a store into an empty one; stop sallyportd first",
	 OPTIONS({"from", 0, "FILE", "the configuration that names the one (the daemon's)"},
		 {"to", 0, "FILE", "the configuration that names the other; required"},
		 {"force", 0, NULL, "although servers use it"}),
	 cmd_store_copy},
	{NULL, "version", "", "versions of this program and of the daemon", NULL, cmd_version},
	{NULL, "help", "[COMMAND] [SUBCOMMAND]", "explain a command",
	 OPTIONS({"list", 0, NULL, "everything that can be typed, for programs"}), cmd_help},
	{.name = NULL},
};
