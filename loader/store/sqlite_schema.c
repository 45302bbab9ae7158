/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * What does the store look like on SQLite? Each step makes the next version out of the one before.
 * MySQL's is in mysql_schema.c; what the columns mean is in docs/store.md.
 */
#include "store_internal.h"

/* Of version 3; later ones have more between. */
#define MACHINE_COLUMNS                                                                            \
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"                                                   \
	" server_id INTEGER NOT NULL REFERENCES server (id),"                                      \
	" user_id INTEGER NOT NULL REFERENCES user (user_id),"                                     \
	" name TEXT NOT NULL,"                                                                     \
	" domain TEXT NOT NULL,"                                                                   \
	" uuid BLOB NOT NULL UNIQUE CHECK (length(uuid) = 16),"                                    \
	" mac_addr BLOB NOT NULL UNIQUE CHECK (length(mac_addr) = 6),"                             \
	" origin INTEGER NOT NULL,"                                                                \
	" memory_mib INTEGER NOT NULL,"                                                            \
	" vcpus INTEGER NOT NULL,"                                                                 \
	" start_when INTEGER NOT NULL,"                                                            \
	" ladder TEXT NOT NULL,"                                                                   \
	" grace_s INTEGER NOT NULL,"                                                               \
	" idle_s INTEGER NOT NULL,"                                                                \
	" min_up_s INTEGER NOT NULL,"                                                              \
	" addresses TEXT NOT NULL,"                                                                \
	" pinned INTEGER NOT NULL CHECK (pinned IN (0, 1)),"                                       \
	" want INTEGER NOT NULL,"                                                                  \
	" held INTEGER NOT NULL CHECK (held IN (0, 1)),"
#define MACHINE_KEYS                                                                               \
	" UNIQUE (user_id, name),"                                                                 \
	" UNIQUE (server_id, domain)"

const char *const store_schema[STORE_SCHEMA_VERSION] = {
	/* 1: AUTOINCREMENT, so that a segment or a generation is never handed out twice. */
	"CREATE TABLE user ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (id BETWEEN 1 AND 4294967295),"
	" name TEXT NOT NULL UNIQUE CHECK (length(name) > 0),"
	" hash TEXT NOT NULL,"
	" disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),"
	" max_sessions INTEGER NOT NULL DEFAULT 0 CHECK (max_sessions >= 0),"
	" max_macs INTEGER NOT NULL DEFAULT 0 CHECK (max_macs >= 0),"
	" address TEXT NOT NULL DEFAULT '',"
	" address6 TEXT NOT NULL DEFAULT '',"
	" created INTEGER NOT NULL"
	") STRICT;"
	"CREATE TABLE workload ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" user_id INTEGER NOT NULL REFERENCES user (id) ON DELETE CASCADE,"
	" name TEXT NOT NULL,"
	" netns TEXT NOT NULL,"
	" ifname TEXT NOT NULL,"
	" mac BLOB NOT NULL CHECK (length(mac) = 6),"
	" UNIQUE (user_id, name),"
	" UNIQUE (user_id, mac),"
	" UNIQUE (netns, ifname)"
	") STRICT;"
	"CREATE TABLE session ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" user_id INTEGER NOT NULL,"
	" instance TEXT NOT NULL,"
	" common_name TEXT NOT NULL,"
	" trusted_ip TEXT NOT NULL,"
	" trusted_port INTEGER NOT NULL CHECK (trusted_port BETWEEN 0 AND 65535),"
	" time_unix INTEGER NOT NULL,"
	" daemon_pid INTEGER NOT NULL,"
	" vid INTEGER NOT NULL CHECK (vid BETWEEN 0 AND 4094),"
	" address_index INTEGER NOT NULL,"
	" started INTEGER NOT NULL,"
	" ended INTEGER NOT NULL DEFAULT 0"
	") STRICT;"
	"CREATE TABLE audit ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" time INTEGER NOT NULL,"
	" who TEXT NOT NULL,"
	" what TEXT NOT NULL,"
	" object TEXT NOT NULL,"
	" detail TEXT"
	") STRICT;",

	/* 2: a login looks for the user's live sessions, whatever the history's length. */
	"CREATE INDEX session_live ON session (user_id) WHERE ended = 0;"
	"CREATE INDEX session_ended ON session (ended);"
	"CREATE UNIQUE INDEX session_vid ON session (instance, vid) WHERE ended = 0 AND vid > 0;",

	/*
	 * 3: several servers, machines, claims of MACs, the columns' names of the paper's Table I.
	 * Tables are made anew: what ALTER TABLE would write depends on SQLite's version, and the
	 * schema is compared word for word. What ids were given is not forgotten.
	 */
	"ALTER TABLE user RENAME TO old_user;"
	"ALTER TABLE workload RENAME TO old_workload;"
	"ALTER TABLE session RENAME TO old_session;"
	"CREATE TABLE server ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" name TEXT NOT NULL UNIQUE,"
	" seen INTEGER NOT NULL"
	") STRICT;"
	"CREATE TABLE user ("
	" user_id INTEGER PRIMARY KEY AUTOINCREMENT CHECK (user_id BETWEEN 1 AND 4294967295),"
	" username TEXT NOT NULL UNIQUE CHECK (length(username) > 0),"
	" password TEXT NOT NULL,"
	" ip_addr TEXT NOT NULL DEFAULT '',"
	" ip6_addr TEXT NOT NULL DEFAULT '',"
	" disabled INTEGER NOT NULL DEFAULT 0 CHECK (disabled IN (0, 1)),"
	" max_sessions INTEGER NOT NULL DEFAULT 0 CHECK (max_sessions >= 0),"
	" max_macs INTEGER NOT NULL DEFAULT 0 CHECK (max_macs >= 0),"
	" max_machines INTEGER NOT NULL DEFAULT 0 CHECK (max_machines >= 0),"
	" max_memory_mib INTEGER NOT NULL DEFAULT 0 CHECK (max_memory_mib >= 0),"
	" max_vcpus INTEGER NOT NULL DEFAULT 0 CHECK (max_vcpus >= 0),"
	" created INTEGER NOT NULL"
	") STRICT;"
	"CREATE TABLE workload ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" server_id INTEGER NOT NULL REFERENCES server (id),"
	" user_id INTEGER NOT NULL REFERENCES user (user_id),"
	" name TEXT NOT NULL,"
	" netns TEXT NOT NULL,"
	" ifname TEXT NOT NULL,"
	" mac_addr BLOB NOT NULL CHECK (length(mac_addr) = 6),"
	" UNIQUE (user_id, name),"
	" UNIQUE (user_id, mac_addr),"
	" UNIQUE (server_id, netns, ifname)"
	") STRICT;"
	"CREATE TABLE machine (" MACHINE_COLUMNS MACHINE_KEYS ") STRICT;"
	"CREATE TABLE session ("
	" id INTEGER PRIMARY KEY AUTOINCREMENT,"
	" server_id INTEGER NOT NULL REFERENCES server (id),"
	" user_id INTEGER NOT NULL,"
	" instance TEXT NOT NULL,"
	" common_name TEXT NOT NULL,"
	" trusted_ip TEXT NOT NULL,"
	" trusted_port INTEGER NOT NULL CHECK (trusted_port BETWEEN 0 AND 65535),"
	" time_unix INTEGER NOT NULL,"
	" daemon_pid INTEGER NOT NULL,"
	" vid INTEGER NOT NULL CHECK (vid BETWEEN 0 AND 4094),"
	" address_index INTEGER NOT NULL,"
	" started INTEGER NOT NULL,"
	" ended INTEGER NOT NULL DEFAULT 0"
	") STRICT;"
	"CREATE TABLE mac ("
	" scope INTEGER NOT NULL CHECK (scope BETWEEN 0 AND 4294967295),"
	" mac_addr BLOB NOT NULL CHECK (length(mac_addr) = 6),"
	" user_id INTEGER REFERENCES user (user_id),"
	" session_id INTEGER REFERENCES session (id) ON DELETE CASCADE,"
	" workload_id INTEGER REFERENCES workload (id) ON DELETE CASCADE,"
	" machine_id INTEGER REFERENCES machine (id) ON DELETE CASCADE,"
	" holders INTEGER NOT NULL DEFAULT 1 CHECK (holders > 0),"
	" since INTEGER NOT NULL,"
	" PRIMARY KEY (scope, mac_addr),"
	" CHECK (scope = 0 OR user_id IS NOT NULL),"
	" CHECK ((user_id IS NOT NULL) ="
	" (session_id IS NOT NULL) + (workload_id IS NOT NULL) + (machine_id IS NOT NULL))"
	") STRICT, WITHOUT ROWID;"
	"INSERT INTO server (id, name, seen) SELECT 1, '', 0"
	" WHERE EXISTS (SELECT 1 FROM old_workload) OR EXISTS (SELECT 1 FROM old_session);"
	"INSERT INTO user (user_id, username, password, ip_addr, ip6_addr, disabled, max_sessions,"
	" max_macs, created) SELECT id, name, hash, address, address6, disabled, max_sessions,"
	" max_macs, created FROM old_user;"
	"INSERT INTO workload SELECT id, 1, user_id, name, netns, ifname, mac FROM old_workload;"
	"INSERT INTO session SELECT id, 1, user_id, instance, common_name, trusted_ip,"
	" trusted_port, time_unix, daemon_pid, vid, address_index, started, ended FROM old_session;"
	"INSERT INTO mac (scope, mac_addr, user_id, workload_id, since)"
	" SELECT user_id, mac_addr, user_id, id, strftime('%s', 'now') + 0 FROM workload;"
	"INSERT INTO mac (scope, mac_addr, holders, since)"
	" SELECT 0, mac_addr, count(*), strftime('%s', 'now') + 0 FROM workload GROUP BY mac_addr;"
	"DELETE FROM sqlite_sequence WHERE name IN ('user', 'workload', 'session');"
	"UPDATE sqlite_sequence SET name = substr(name, 5) WHERE name LIKE 'old\\_%' ESCAPE '\\';"
	"DROP TABLE old_workload;"
	"DROP TABLE old_user;"
	"DROP TABLE old_session;"
	"CREATE INDEX session_live ON session (user_id) WHERE ended = 0;"
	"CREATE INDEX session_ended ON session (server_id, ended);"
	"CREATE UNIQUE INDEX session_vid ON session (server_id, instance, vid)"
	" WHERE ended = 0 AND vid > 0;"
	"CREATE INDEX mac_user ON mac (user_id);"
	"CREATE INDEX mac_session ON mac (session_id);"
	"CREATE INDEX mac_workload ON mac (workload_id);"
	"CREATE INDEX mac_machine ON mac (machine_id);"
	"CREATE VIEW users AS SELECT u.user_id, u.username, u.password,"
	" (SELECT group_concat(text, ' ') FROM"
	" (SELECT DISTINCT lower(substr(h, 1, 2) || ':' || substr(h, 3, 2) || ':' ||"
	" substr(h, 5, 2) || ':' || substr(h, 7, 2) || ':' || substr(h, 9, 2) || ':' ||"
	" substr(h, 11, 2)) AS text FROM (SELECT hex(m.mac_addr) AS h FROM mac m"
	" WHERE m.user_id = u.user_id AND m.session_id IS NOT NULL) ORDER BY text)) AS mac_addr,"
	" u.ip_addr FROM user u;",

	/*
	 * 4: the firewall of each machine; what all of a user's ports may together; what machines
	 * have leased; which are routers or DHCP servers. Machines' claims are set aside while the
	 * table is made anew: they would go with it.
	 */
	"CREATE TABLE old_machine AS SELECT * FROM machine;"
	"CREATE TABLE old_mac AS SELECT * FROM mac WHERE machine_id IS NOT NULL;"
	"CREATE TABLE old_sequence AS SELECT * FROM sqlite_sequence WHERE name = 'machine';"
	"DELETE FROM mac WHERE machine_id IS NOT NULL;"
	"DROP TABLE machine;"
	"CREATE TABLE machine (" MACHINE_COLUMNS
	" router INTEGER NOT NULL DEFAULT 0 CHECK (router IN (0, 1)),"
	" dhcp_server INTEGER NOT NULL DEFAULT 0 CHECK (dhcp_server IN (0, 1))," MACHINE_KEYS
	") STRICT;"
	"INSERT INTO machine SELECT *, 0, 0 FROM old_machine;"
	"INSERT INTO mac SELECT * FROM old_mac;"
	"DELETE FROM sqlite_sequence WHERE name = 'machine';"
	"INSERT INTO sqlite_sequence SELECT * FROM old_sequence;"
	"DROP TABLE old_machine;"
	"DROP TABLE old_mac;"
	"DROP TABLE old_sequence;"
	"CREATE TABLE policy ("
	" machine_id INTEGER PRIMARY KEY REFERENCES machine (id) ON DELETE CASCADE,"
	" generation INTEGER NOT NULL CHECK (generation > 0),"
	" text TEXT"
	") STRICT;"
	"CREATE TABLE budget ("
	" user_id INTEGER PRIMARY KEY REFERENCES user (user_id),"
	" rate_bytes INTEGER NOT NULL CHECK (rate_bytes >= 0),"
	" rate_frames INTEGER NOT NULL CHECK (rate_frames >= 0),"
	" max_macs INTEGER NOT NULL CHECK (max_macs >= 0),"
	" max_flows INTEGER NOT NULL CHECK (max_flows >= 0),"
	" new_flows INTEGER NOT NULL CHECK (new_flows >= 0)"
	") STRICT;"
	"CREATE TABLE lease ("
	" machine_id INTEGER PRIMARY KEY REFERENCES machine (id),"
	" leases TEXT NOT NULL"
	") STRICT;",
};
