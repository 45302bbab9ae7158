/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Which addresses may a machine send with, where they are learned from DHCP? What the programs tell
 * of its messages becomes leases (leases.h), those become entries of `addresses`, and rows: after a
 * restart of the daemon or of the host they are what they were.
 *
 * Who answered is the programs' business: a workload, or a machine that may. An address that an
 * operator has listed for another pinned machine is not given away; one that another machine has
 * leased or claimed is: the server knows better.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <time.h>

#include "daemon.h"
#include "log.h"
#include "machine.h"

/* Runs while the host sleeps, as leases do. */
static uint64_t now_us(void)
{
	struct timespec ts;

	clock_gettime(CLOCK_BOOTTIME, &ts);
	return (uint64_t)ts.tv_sec * 1000000 + (uint64_t)ts.tv_nsec / 1000;
}

static bool is_listed(const struct machine *m, const uint8_t addr[16])
{
	struct addresses a;

	return addresses_parse(m->row.addresses, &a, NULL) == 0 && addresses_have(&a, addr);
}

/* --- entries --- */

static int write_one(struct machine *m, const uint8_t addr[16])
{
	struct sp_address value = {.port = m->member.dst.port};

	memcpy(value.mac, m->row.mac, SP_MAC_LEN);
	return dataplane_address_set(m->daemon->dp, m->row.segment, addr, &value);
}

static void clear_one(struct machine *m, const uint8_t addr[16])
{
	struct sp_address value;

	if (dataplane_address_get(m->daemon->dp, m->row.segment, addr, &value) == 0 &&
	    value.port == m->member.dst.port)
		dataplane_address_del(m->daemon->dp, m->row.segment, addr);
}

int machine_write_leases(struct machine *m)
{
	int r = 0;

	for (size_t i = 0; r == 0 && i < m->leases.n; i++)
		r = write_one(m, m->leases.v[i].addr);
	return r;
}

void machine_clear_leases(struct machine *m)
{
	for (size_t i = 0; i < m->leases.n; i++)
		clear_one(m, m->leases.v[i].addr);
}

/* --- the store --- */

struct lease_job {
	struct job job;
	uint32_t id;
	char leases[SP_LEASES_MAX];
	int r;
	char *error;
};

static void lease_run(struct job *job, struct store *store)
{
	struct lease_job *x = (struct lease_job *)job;

	x->r = store_machine_set_leases(store, x->id, x->leases);
	if (x->r < 0)
		x->error = strdup(store_error(store));
}

static void lease_done(struct job *job)
{
	struct lease_job *x = (struct lease_job *)job;

	if (x->r < 0 && x->r != -ENOENT)
		log_event(LOG_WARNING,
			  "a machine's leases are not stored: after a restart of the daemon it has "
			  "to ask for them again",
			  "ERROR", x->error ? x->error : strerror(-x->r), NULL);
	free(x->error);
	free(x);
}

static void format(struct machine *m)
{
	leases_format(&m->leases, now_us(), time(NULL), m->row.leases);
}

static void store_leases(struct machine *m)
{
	struct lease_job *x = calloc(1, sizeof(*x));

	format(m);
	if (!x)
		return;
	*x = (struct lease_job){.job = {lease_run, lease_done, NULL}, .id = m->id};
	memcpy(x->leases, m->row.leases, sizeof(x->leases));
	if (workers_submit(m->daemon->workers, WORKER_STORE, &x->job) < 0)
		free(x);
}

/* --- changes --- */

static void tell(const struct machine *m, const char *what, const uint8_t addr[16])
{
	char text[INET6_ADDRSTRLEN];

	log_event(LOG_INFO, what, "USER", m->row.user, "MACHINE", m->row.name, "ADDRESS",
		  address_format(addr, text), NULL);
}

static void arm(struct machine *m);

/* Another machine of the segment has ADDR: may it be taken? Then it has been. */
static bool take_over(struct machine *m, const uint8_t addr[16])
{
	struct machine *o = NULL;
	struct sp_address value;

	if (dataplane_address_get(m->daemon->dp, m->row.segment, addr, &value) == 0)
		o = machine_find_port(m->daemon, value.port);
	if (!o || o == m)
		return true;
	if (o->row.pinned != PINNED_NO && is_listed(o, addr))
		return false;
	if (leases_remove(&o->leases, addr)) {
		arm(o);
		store_leases(o);
	}
	tell(o, "a server has given the address to another machine", addr);
	return true;
}

static void add(struct machine *m, const uint8_t addr[16])
{
	int r = 0;

	if (!take_over(m, addr)) {
		leases_remove(&m->leases, addr);
		tell(m, "a leased address is listed for another machine, and refused", addr);
		return;
	}
	if (m->joined)
		r = write_one(m, addr);
	if (r < 0) {
		leases_remove(&m->leases, addr);
		log_event(LOG_ERR, "a leased address could not be entered", "USER", m->row.user,
			  "MACHINE", m->row.name, "ERROR", strerror(-r), NULL);
		return;
	}
	tell(m, "machine has leased an address", addr);
}

static void apply(struct machine *m, const struct leases_change *c)
{
	for (size_t i = 0; i < c->removed.n; i++) {
		if (m->joined && !is_listed(m, c->removed.v[i]))
			clear_one(m, c->removed.v[i]);
		tell(m, "a machine's lease has ended", c->removed.v[i]);
	}
	for (size_t i = 0; i < c->added.n; i++)
		add(m, c->added.v[i]);
	if (c->full)
		log_event(LOG_WARNING, "machine has leased more addresses than it may have", "USER",
			  m->row.user, "MACHINE", m->row.name, NULL);
	if (c->added.n || c->removed.n || c->renewed) {
		arm(m);
		store_leases(m);
	}
}

static int on_end(sd_event_source *source, uint64_t usec, void *arg)
{
	struct machine *m = arg;
	struct leases_change c;

	leases_expire(&m->leases, now_us(), &c);
	apply(m, &c);
	return 0;
}

/* For when the next one ends. */
static void arm(struct machine *m)
{
	uint64_t next = leases_next_us(&m->leases);

	m->lease_timer = sd_event_source_disable_unref(m->lease_timer);
	if (next != LEASE_FOR_EVER)
		sd_event_add_time(m->daemon->event, &m->lease_timer, CLOCK_BOOTTIME, next, 1000,
				  on_end, m);
}

void machine_read_leases(struct machine *m)
{
	struct leases_change gone;

	m->lease_timer = sd_event_source_disable_unref(m->lease_timer);
	m->leases = (struct leases){.n = 0};
	if (m->row.pinned != PINNED_DHCP) {
		m->row.leases[0] = '\0';
		return;
	}
	if (leases_parse(m->row.leases, now_us(), time(NULL), &m->leases) < 0)
		log_event(LOG_WARNING, "a machine's leases cannot be read: it has to ask again",
			  "USER", m->row.user, "MACHINE", m->row.name, "LEASES", m->row.leases,
			  NULL);
	leases_expire(&m->leases, now_us(), &gone);
	format(m);
	arm(m);
}

void machine_on_dhcp(struct machine *m, const struct sp_parked *p)
{
	bool sent = p->head.kind == SP_NOTICE_DHCP_SENT;
	struct leases_change c = {.renewed = false};
	struct dhcp_message msg;
	int r;

	if (m->row.pinned != PINNED_DHCP)
		return; /* not any more */
	r = dhcp_parse(p->data, p->head.len, &msg);
	if (r == 0 && sent)
		leases_sent(&m->leases, &msg, m->row.mac, now_us(), &c);
	else if (r == 0)
		r = leases_got(&m->leases, &msg, m->row.mac, now_us(), &c);
	/* What answers nothing may be forged; the programs have seen to that they are few. */
	if (r < 0 && r != -ENOMSG)
		log_event(LOG_NOTICE, "a DHCP message is not believed", "USER", m->row.user,
			  "MACHINE", m->row.name, "WHICH", sent ? "sent" : "got", "REASON",
			  r == -ENOENT	? "the machine has not asked"
			  : r == -EPERM ? "not of the server that was asked, or not for the machine"
			  : r == -E2BIG ? "too many addresses"
					: "it cannot be read",
			  NULL);
	apply(m, &c);
}

json_t *machine_view_leases(const struct machine *m)
{
	json_t *list = json_array();
	uint64_t now = now_us();
	time_t real = time(NULL);

	for (size_t i = 0; i < m->leases.n; i++) {
		const struct lease_entry *e = &m->leases.v[i];
		char text[INET6_ADDRSTRLEN];
		json_t *one = json_pack("{s:s}", "address", address_format(e->addr, text));

		if (e->until_us != LEASE_FOR_EVER)
			json_object_set_new(
				one, "until",
				json_integer(real +
					     (e->until_us > now
						      ? (json_int_t)((e->until_us - now) / 1000000)
						      : 0)));
		json_array_append_new(list, one);
	}
	return list;
}
