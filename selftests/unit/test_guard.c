// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * What becomes of DHCP's messages in the daemon: entries of `addresses`, rows, timers, after a
 * restart too; and of a user's budget: numbers, entries of `police`, MAC addresses, flows.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <bpf/bpf.h>
#include <cmocka.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "loader/budget.h"
#include "loader/machine/slots.h"
#include "selftests/harness/dhcpmsg.h"
#include "selftests/harness/host.h"

#define REQUEST 3
#define ACK 5
#define RELEASE 7
#define SOME_MS 100

/* --- leases --- */

static void tell(struct machine *m, enum sp_notice_kind kind, const struct dhcpmsg *msg)
{
	struct sp_parked p = {.head = {.kind = kind, .len = (uint32_t)msg->len}};

	memcpy(p.data, msg->frame, msg->len);
	machine_on_dhcp(m, &p);
}

static void ask(struct machine *m, uint32_t xid)
{
	struct dhcpmsg msg;

	dhcpmsg_v4(&msg, REQUEST, xid, m->row.mac, NULL, NULL);
	tell(m, SP_NOTICE_DHCP_SENT, &msg);
}

static void answer(struct machine *m, uint32_t xid, const char *addr, uint32_t seconds)
{
	struct dhcpmsg msg;

	dhcpmsg_v4(&msg, ACK, xid, m->row.mac, NULL, addr);
	dhcpmsg_option_u32(&msg, 51, seconds);
	tell(m, SP_NOTICE_DHCP_GOT, &msg);
}

static void lease(struct machine *m, const char *addr, uint32_t seconds)
{
	ask(m, 1);
	answer(m, 1, addr, seconds);
}

static void release(struct machine *m, const char *addr)
{
	struct dhcpmsg msg;

	dhcpmsg_v4(&msg, RELEASE, 9, m->row.mac, addr, NULL);
	tell(m, SP_NOTICE_DHCP_SENT, &msg);
}

/* Whose is it, by the map? 0: nobody's. */
static uint32_t owner(struct host *h, const struct machine *m, const char *text)
{
	struct sp_address value = {.port = 0};
	struct addresses a;

	assert_int_equal(addresses_parse(text, &a, NULL), 0);
	dataplane_address_get(h->d.dp, m->row.segment, a.v[0], &value);
	return value.port;
}

/* One that frames may wake: it has a port. */
static struct machine *machine(struct host *h, const char *user, const char *name,
			       enum store_pinned pinned, const char *addresses)
{
	struct machine *m = host_machine(h, user, name, 64, 1);
	struct store_machine row = m->row;

	row.policy.start = START_TRAFFIC;
	row.pinned = pinned;
	snprintf(row.addresses, sizeof(row.addresses), "%s", addresses);
	m->info.state = VIRT_OFF;
	m->looked = true;
	assert_int_equal(machine_set_row(m, &row), 0);
	host_join(h, m);
	return m;
}

static uint32_t flags(struct host *h, const struct machine *m)
{
	struct sp_machine value;

	assert_int_equal(dataplane_machine_get(h->d.dp, m->member.dst.port, &value), 0);
	return value.flags & (SP_M_PINNED | SP_M_LEASE | SP_M_ROUTER | SP_M_DHCP);
}

static void test_lease(void **state)
{
	struct host *h = *state;
	struct session *s = host_session(h, HOST_VLAN, "a", 1);
	struct machine *m = machine(h, "a", "1", PINNED_DHCP, "10.8.0.5");
	uint32_t port = m->member.dst.port;

	assert_int_equal(flags(h, m), SP_M_PINNED | SP_M_LEASE);
	assert_int_equal(owner(h, m, "10.8.0.5"), port); /* listed as well */
	answer(m, 1, "10.8.0.7", 60);
	assert_int_equal(owner(h, m, "10.8.0.7"), 0); /* it had not asked */
	lease(m, "10.8.0.7", 60);
	assert_int_equal(owner(h, m, "10.8.0.7"), port);
	release(m, "10.8.0.7");
	assert_int_equal(owner(h, m, "10.8.0.7"), 0);
	/* One that is listed too stays. */
	lease(m, "10.8.0.5", 60);
	release(m, "10.8.0.5");
	assert_int_equal(owner(h, m, "10.8.0.5"), port);
	/* It runs out. */
	lease(m, "10.8.0.8", 1);
	assert_int_equal(owner(h, m, "10.8.0.8"), port);
	assert_non_null(m->lease_timer);
	while (owner(h, m, "10.8.0.8"))
		assert_true(sd_event_run(h->d.event, 5000000) > 0);
	assert_null(m->lease_timer);
	/* Off its segment nothing of it stays; back again it has what runs still. */
	lease(m, "10.8.0.7", 60);
	machine_port_drop(m);
	assert_int_equal(owner(h, m, "10.8.0.7"), 0);
	host_join(h, m);
	assert_int_equal(owner(h, m, "10.8.0.7"), m->member.dst.port);
	/* Not learned any more. */
	struct store_machine row = m->row;
	row.pinned = PINNED_LIST;
	assert_int_equal(machine_set_row(m, &row), 0);
	assert_int_equal(owner(h, m, "10.8.0.7"), 0);
	assert_int_equal(flags(h, m), SP_M_PINNED);
	lease(m, "10.8.0.7", 60);
	assert_int_equal(owner(h, m, "10.8.0.7"), 0);
	host_settle(h, SOME_MS);
	machine_remove(m);
	session_end(s, "test");
}

/* What the store has is what the next daemon begins with. */
static void test_restart(void **state)
{
	struct host *h = *state;
	struct session *s = host_session(h, HOST_VLAN, "b", 2);
	struct machine *m = machine(h, "b", "1", PINNED_DHCP, ""), *again;
	struct store_machine row = m->row;

	lease(m, "10.8.0.7", 600);
	assert_non_null(strstr(m->row.leases, "10.8.0.7@"));
	row = m->row;
	machine_remove(m);
	assert_int_equal(machine_new(&h->d, &row, &again), 0);
	again->info.state = VIRT_OFF;
	again->looked = true;
	host_join(h, again);
	assert_int_equal(owner(h, again, "10.8.0.7"), again->member.dst.port);
	assert_non_null(again->lease_timer);
	machine_remove(again);
	/* One that ran out meanwhile, and nonsense. */
	strcpy(row.leases, "10.8.0.7@5");
	assert_int_equal(machine_new(&h->d, &row, &again), 0);
	assert_int_equal(again->leases.n, 0);
	machine_remove(again);
	strcpy(row.leases, "nonsense");
	assert_int_equal(machine_new(&h->d, &row, &again), 0);
	assert_int_equal(again->leases.n, 0);
	machine_remove(again);
	host_settle(h, SOME_MS);
	session_end(s, "test");
}

/* Two of a user's have the same address: whose is it? */
static void test_two(void **state)
{
	struct host *h = *state;
	struct session *s = host_session(h, HOST_VLAN, "c", 3);
	struct machine *one = machine(h, "c", "1", PINNED_DHCP, ""),
		       *two = machine(h, "c", "2", PINNED_DHCP, ""),
		       *fixed = machine(h, "c", "3", PINNED_LIST, "10.8.0.9"),
		       *loose = machine(h, "c", "4", PINNED_NO, "10.8.0.10");

	lease(one, "10.8.0.7", 60);
	lease(two, "10.8.0.7", 60); /* the server knows better */
	assert_int_equal(owner(h, one, "10.8.0.7"), two->member.dst.port);
	assert_int_equal(one->leases.n, 0);
	lease(one, "10.8.0.9", 60); /* the operator does */
	assert_int_equal(owner(h, one, "10.8.0.9"), fixed->member.dst.port);
	assert_int_equal(one->leases.n, 0);
	lease(one, "10.8.0.10", 60); /* a claim is not more than a lease */
	assert_int_equal(owner(h, one, "10.8.0.10"), one->member.dst.port);
	release(one, "10.8.0.7"); /* another's */
	assert_int_equal(owner(h, one, "10.8.0.7"), two->member.dst.port);
	host_settle(h, SOME_MS);
	machine_remove(loose);
	machine_remove(fixed);
	assert_int_equal(owner(h, one, "10.8.0.10"), one->member.dst.port);
	machine_remove(one);
	machine_remove(two);
	session_end(s, "test");
}

/* --- budgets --- */

static struct sp_police police(struct host *h, uint32_t port)
{
	struct sp_police p;

	assert_int_equal(bpf_map_lookup_elem(dataplane_map_fd(h->d.dp, "police"), &port, &p), 0);
	return p;
}

static void test_rates(void **state)
{
	struct host *h = *state;
	struct session *s = host_session(h, HOST_VLAN, "d", 4),
		       *s2 = host_session(h, HOST_MAC, "d", 5),
		       *other = host_session(h, HOST_VLAN, "e", 6);
	struct machine *m = machine(h, "d", "1", PINNED_NO, "");
	struct store_user u = {.id = s->user_id, .rate_bytes = 5000, .rate_frames = 70};
	uint32_t n;

	assert_int_equal(police(h, s->member.dst.port).user, 0);
	budget_set(&h->d, &u);
	n = police(h, s->member.dst.port).user;
	assert_int_not_equal(n, 0);
	assert_int_equal(police(h, s2->member.dst.port).user, n);
	assert_int_equal(police(h, m->member.dst.port).user, n);
	assert_int_equal(police(h, other->member.dst.port).user, 0);
	assert_int_equal(police(h, n).bytes_per_s, 5000);
	assert_int_equal(police(h, n).frames_per_s, 70);
	assert_int_equal(police(h, n).frames_burst_ns, 100000000); /* a tenth of a second */
	assert_int_equal(police(h, n).user, 0);
	assert_int_equal(portnum_take(h->d.portnums, n), -EEXIST);

	/* Another rate: the same number. Then none: the number is free. */
	u.rate_frames = 0;
	budget_set(&h->d, &u);
	assert_int_equal(police(h, n).frames_per_s, 0);
	assert_int_equal(police(h, s->member.dst.port).user, n);
	u.rate_bytes = 0;
	budget_set(&h->d, &u);
	assert_int_equal(police(h, s->member.dst.port).user, 0);
	assert_int_equal(portnum_take(h->d.portnums, n), 0);
	portnum_put(h->d.portnums, n);

	/* The configuration's, for everybody; each has its own. */
	h->config.user_rate_frames = 9;
	h->config.user_burst_frames = 18;
	budget_reload(&h->d);
	n = police(h, s->member.dst.port).user;
	assert_int_not_equal(n, 0);
	assert_int_equal(police(h, n).frames_per_s, 9);
	assert_int_equal(police(h, n).frames_burst_ns, 2000000000);
	assert_int_not_equal(police(h, other->member.dst.port).user, 0);
	assert_int_not_equal(police(h, other->member.dst.port).user, n);
	/* With the last port the number goes. */
	session_end(s, "test");
	session_end(s2, "test");
	assert_int_equal(portnum_take(h->d.portnums, n), -EEXIST);
	machine_remove(m);
	assert_int_equal(portnum_take(h->d.portnums, n), 0);
	portnum_put(h->d.portnums, n);
	h->config.user_rate_frames = h->config.user_burst_frames = 0;
	budget_reload(&h->d);
	assert_int_equal(police(h, other->member.dst.port).user, 0);
	session_end(other, "test");
}

static void test_macs(void **state)
{
	struct host *h = *state;
	struct session *a = host_session(h, HOST_VLAN, "f", 7),
		       *b = host_session(h, HOST_MAC, "f", 8);
	struct store_user u = {.id = a->user_id, .max_user_macs = 3};
	uint8_t mac[6] = {2, 0, 0, 0, 7, 0};
	struct binding *from;

	for (mac[5] = 0; mac[5] < 4; mac[5]++)
		assert_int_equal(segment_bind(&h->d, mac[5] % 2 ? &a->member : &b->member, mac, 0),
				 0);
	assert_int_equal(budget_macs(&h->d, a->user_id), 4);
	assert_int_equal(segment_may_learn(&h->d, &a->member, mac, 8, &from), LEARN_OK);
	budget_set(&h->d, &u);
	assert_int_equal(segment_may_learn(&h->d, &a->member, mac, 8, &from), LEARN_USER_LIMIT);
	mac[5] = 2; /* one that moves from the other session is no more than before */
	assert_int_equal(segment_may_learn(&h->d, &a->member, mac, 8, &from), LEARN_TAKEOVER);
	segment_unbind(&h->d, from);
	segment_unbind(&h->d, a->member.bindings);
	assert_int_equal(segment_may_learn(&h->d, &a->member, mac, 8, &from), LEARN_OK);
	h->config.user_max_macs = 1; /* the user's own counts more */
	assert_int_equal(segment_may_learn(&h->d, &a->member, mac, 8, &from), LEARN_OK);
	u.max_user_macs = 0;
	budget_set(&h->d, &u);
	assert_int_equal(segment_may_learn(&h->d, &a->member, mac, 8, &from), LEARN_USER_LIMIT);
	h->config.user_max_macs = 0;
	session_end(a, "test");
	session_end(b, "test");
}

static struct sp_slot slot(struct host *h, const struct machine *m)
{
	const struct slot *s = slot_find(&h->d, m->row.segment);
	struct sp_slot row;

	assert_non_null(s);
	assert_int_equal(dataplane_slot_get(h->d.dp, s->index, &row), 0);
	return row;
}

static void test_flows(void **state)
{
	struct host *h = *state;
	struct machine *a = machine(h, "g", "1", PINNED_NO, ""),
		       *other = machine(h, "h", "1", PINNED_NO, "");
	struct store_user u = {.id = a->row.user_id, .name = "g", .max_flows = 100};
	struct config was = h->config;

	assert_int_equal(slot(h, a).flows_max, was.flows);
	budget_set(&h->d, &u);
	assert_int_equal(slot(h, a).flows_max, 100);
	assert_int_equal(slot(h, a).new_cost_ns, 0); /* as the configuration has it */
	assert_int_equal(slot(h, other).flows_max, was.flows);
	/* A rate alone; without one of the configuration's two seconds' worth come at once. */
	u.max_flows = 0;
	u.new_flows = 50;
	budget_set(&h->d, &u);
	assert_int_equal(slot(h, a).flows_max, was.flows);
	assert_int_equal(slot(h, a).new_cost_ns, 20000000);
	assert_int_equal(slot(h, a).new_burst_ns, 2000000000);
	/* Another configuration: it holds for others, and its burst in proportion. */
	h->config.flows = 32;
	h->config.new_flows = 1000;
	h->config.new_flows_burst = 500;
	u.max_flows = 200;
	budget_set(&h->d, &u);
	slots_set_budgets(&h->d);
	assert_int_equal(slot(h, a).flows_max, 200);
	assert_int_equal(slot(h, a).new_cost_ns, 20000000);
	assert_int_equal(slot(h, a).new_burst_ns, 500000000);
	assert_int_equal(slot(h, other).flows_max, 32);
	assert_int_equal(slot(h, other).new_cost_ns, 1000000);
	assert_int_equal(slot(h, other).new_burst_ns, 500000000);
	/* No more than the tables can be made for. */
	u.max_flows = SP_FLOWS_MAX;
	budget_set(&h->d, &u);
	assert_int_equal(slot(h, a).flows_max, dataplane_flows_max(h->d.dp));
	/* Nobody is there; who comes up gets the user's own. */
	u.max_flows = 100;
	budget_set(&h->d, &u);
	host_settle(h, SOME_MS);
	machine_remove(a);
	while (slot_find(&h->d, u.id))
		assert_true(sd_event_run(h->d.event, 5000000) > 0);
	a = machine(h, "g", "2", PINNED_NO, "");
	assert_int_equal(slot(h, a).flows_max, 100);
	u.max_flows = u.new_flows = 0;
	budget_set(&h->d, &u);
	assert_int_equal(slot(h, a).flows_max, 32);
	h->config = was;
	host_settle(h, SOME_MS);
	machine_remove(a);
	machine_remove(other);
}

/* A router, a DHCP server: at once where it has a port, and with the next one that it gets. */
static void test_roles(void **state)
{
	struct host *h = *state;
	struct session *s = host_session(h, HOST_VLAN, "i", 9);
	struct machine *m = machine(h, "i", "1", PINNED_LIST, "10.8.0.5");
	struct store_machine row = m->row;
	uint32_t epoch = slot(h, m).epoch;

	assert_int_equal(flags(h, m), SP_M_PINNED);
	row.router = true;
	assert_int_equal(machine_set_row(m, &row), 0);
	assert_int_equal(flags(h, m), SP_M_PINNED | SP_M_ROUTER);
	assert_int_not_equal(slot(h, m).epoch, epoch); /* what was proven is not any more */
	row.router = false;
	row.dhcp_server = true;
	assert_int_equal(machine_set_row(m, &row), 0);
	assert_int_equal(flags(h, m), SP_M_PINNED | SP_M_DHCP);
	/* While it has no port. */
	machine_port_drop(m);
	row.router = true;
	assert_int_equal(machine_set_row(m, &row), 0);
	host_join(h, m);
	assert_int_equal(flags(h, m), SP_M_PINNED | SP_M_ROUTER | SP_M_DHCP);
	host_settle(h, SOME_MS);
	machine_remove(m);
	session_end(s, "test");
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_lease), cmocka_unit_test(test_restart),
		cmocka_unit_test(test_two),   cmocka_unit_test(test_rates),
		cmocka_unit_test(test_macs),  cmocka_unit_test(test_flows),
		cmocka_unit_test(test_roles),
	};

	if (geteuid() != 0) {
		puts("1..0 # SKIP needs root");
		return 0;
	}
	return cmocka_run_group_tests_name("guard", tests, host_setup, host_teardown);
}
