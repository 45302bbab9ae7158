// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Is every DHCP message read as the RFCs have it, or refused? And which addresses has a machine
 * leased after it: what it asked, what it was answered, time.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "loader/machine/leases.h"
#include "selftests/harness/dhcpmsg.h"

enum { DISCOVER = 1, OFFER, REQUEST, DECLINE, ACK, NAK, RELEASE, INFORM };
enum { SOLICIT = 1, ADVERTISE, REQUEST6, CONFIRM, RENEW, REBIND, REPLY, RELEASE6, DECLINE6 };

#define S 1000000ULL
#define BOOTP_AT (14 + 20 + 8)

static const uint8_t mac[6] = {2, 0, 0, 0, 0, 7}, other[6] = {2, 0, 0, 0, 0, 8};

static const char *text_of(const uint8_t addr[16])
{
	static char text[INET6_ADDRSTRLEN];

	return address_format(addr, text);
}

static int parse(const struct dhcpmsg *m, struct dhcp_message *ret)
{
	/* On the heap, to the byte: a read behind the end is found. */
	_cleanup_free_
	uint8_t *copy = malloc(m->len ? m->len : 1);

	memcpy(copy, m->frame, m->len);
	return dhcp_parse(copy, m->len, ret);
}

static void end(struct dhcpmsg *m)
{
	dhcpmsg_option(m, 255, NULL, 0);
}

static struct dhcpmsg ack(uint32_t xid, const char *addr, uint32_t seconds)
{
	struct dhcpmsg m;

	dhcpmsg_v4(&m, ACK, xid, mac, NULL, addr);
	dhcpmsg_option_addr(&m, 54, "10.8.0.1");
	dhcpmsg_option_u32(&m, 51, seconds);
	end(&m);
	return m;
}

static struct dhcpmsg request(uint32_t xid, const char *server, const char *addr)
{
	struct dhcpmsg m;

	dhcpmsg_v4(&m, REQUEST, xid, mac, NULL, NULL);
	if (server)
		dhcpmsg_option_addr(&m, 54, server);
	if (addr)
		dhcpmsg_option_addr(&m, 50, addr);
	end(&m);
	return m;
}

/* --- DHCP --- */

static void test_v4(void **state)
{
	struct dhcp_message got;
	struct dhcpmsg m = ack(0x12345678, "10.8.0.7", 3600);

	assert_int_equal(parse(&m, &got), 0);
	assert_int_equal(got.kind, DHCP_GIVES);
	assert_false(got.v6);
	assert_int_equal(got.xid, 0x12345678);
	assert_memory_equal(got.chaddr, mac, 6);
	assert_memory_equal(got.server, "\x0a\x08\x00\x01", 4);
	assert_int_equal(got.n, 1);
	assert_string_equal(text_of(got.addresses[0].addr), "10.8.0.7");
	assert_int_equal(got.addresses[0].seconds, 3600);

	m = request(1, "10.8.0.1", "10.8.0.7");
	assert_int_equal(parse(&m, &got), 0);
	assert_int_equal(got.kind, DHCP_ASKS);
	assert_string_equal(text_of(got.addresses[0].addr), "10.8.0.7");
	m = request(1, NULL, NULL);
	assert_int_equal(parse(&m, &got), 0);
	assert_int_equal(got.n, 0);

	dhcpmsg_v4(&m, RELEASE, 2, mac, "10.8.0.7", NULL);
	end(&m);
	assert_int_equal(parse(&m, &got), 0);
	assert_int_equal(got.kind, DHCP_RETURNS);
	assert_int_equal(got.n, 1);
	dhcpmsg_v4(&m, DECLINE, 2, mac, NULL, NULL);
	dhcpmsg_option_addr(&m, 50, "10.8.0.9");
	assert_int_equal(parse(&m, &got), 0); /* the end's option may be missing */
	assert_string_equal(text_of(got.addresses[0].addr), "10.8.0.9");
	dhcpmsg_v4(&m, NAK, 2, mac, NULL, NULL);
	end(&m);
	assert_int_equal(parse(&m, &got), 0);
	assert_int_equal(got.kind, DHCP_REFUSES);
	assert_int_equal(got.n, 0);
	dhcpmsg_v4(&m, DISCOVER, 2, mac, NULL, NULL);
	dhcpmsg_option(&m, 80, NULL, 0);
	end(&m);
	assert_int_equal(parse(&m, &got), 0); /* RFC 4039: answered by an ACK */
	assert_int_equal(got.kind, DHCP_ASKS);
}

/* Options that go on in the fields for names. */
static void test_overload(void **state)
{
	struct dhcp_message got;
	struct dhcpmsg m;
	uint8_t *file, *sname;

	dhcpmsg_v4(&m, ACK, 1, mac, NULL, "10.8.0.7");
	dhcpmsg_option(&m, 52, "\3", 1);
	end(&m);
	file = m.frame + BOOTP_AT + 108;
	sname = m.frame + BOOTP_AT + 44;
	memcpy(file, "\x33\x04\x00\x00\x00\x3c\xff", 7);
	memcpy(sname, "\x36\x04\x0a\x08\x00\x02\xff", 7);
	assert_int_equal(parse(&m, &got), 0);
	assert_int_equal(got.addresses[0].seconds, 60);
	assert_memory_equal(got.server, "\x0a\x08\x00\x02", 4);
	sname[1] = 70; /* past the field */
	assert_int_equal(parse(&m, &got), -EBADMSG);
	memcpy(sname, "\x33\x04\x00\x00\x00\x3d\xff", 7); /* twice */
	assert_int_equal(parse(&m, &got), -EBADMSG);
}

/* Each breaks one thing of a good ACK. */
static void test_v4_bad(void **state)
{
	static const struct {
		size_t at;
		uint8_t value;
		int error;
	} bytes[] = {
		{12, 0x86, -ENOMSG},		    /* another protocol */
		{14, 0x55, -EBADMSG},		    /* IP version */
		{14, 0x44, -EBADMSG},		    /* header length */
		{16, 0x7f, -EBADMSG},		    /* total length */
		{20, 0x20, -ENOMSG},		    /* more fragments */
		{21, 0x01, -ENOMSG},		    /* a later fragment */
		{23, 6, -ENOMSG},		    /* TCP */
		{14 + 20 + 2, 1, -ENOMSG},	    /* port */
		{14 + 20 + 4, 0x7f, -EBADMSG},	    /* UDP length, too long */
		{BOOTP_AT, 1, -ENOMSG},		    /* a request to port 68 */
		{BOOTP_AT + 1, 6, -ENOMSG},	    /* hardware */
		{BOOTP_AT + 2, 7, -ENOMSG},	    /* its addresses' length */
		{BOOTP_AT + 16, 127, -EBADMSG},	    /* loopback */
		{BOOTP_AT + 16, 224, -EBADMSG},	    /* multicast */
		{BOOTP_AT + 236, 0, -ENOMSG},	    /* cookie */
		{BOOTP_AT + 241, 2, -EBADMSG},	    /* the type's length */
		{BOOTP_AT + 242, OFFER, -ENOMSG},   /* type */
		{BOOTP_AT + 242, REQUEST, -ENOMSG}, /* a client's, from a server */
		{BOOTP_AT + 243, 51, -EBADMSG},	    /* the lease time twice */
		{BOOTP_AT + 244, 250, -EBADMSG},    /* past the end */
		{BOOTP_AT + 249, 50, -EBADMSG},	    /* no lease time */
		{BOOTP_AT + 240, 1, -ENOMSG},	    /* no type: BOOTP */
	};
	struct dhcp_message got;
	struct dhcpmsg m;

	for (size_t i = 0; i < SP_ARRAY_SIZE(bytes); i++) {
		m = ack(1, "10.8.0.7", 60);
		assert_int_equal(parse(&m, &got), 0);
		m.frame[bytes[i].at] = bytes[i].value;
		if (parse(&m, &got) != bytes[i].error)
			fail_msg("byte %zu: %d", bytes[i].at, parse(&m, &got));
	}
	for (size_t n = 0; n < BOOTP_AT + 240; n++) {
		m = ack(1, "10.8.0.7", 60);
		m.len = n;
		assert_int_equal(parse(&m, &got), -EBADMSG);
	}
	m = ack(1, NULL, 60); /* to DHCPINFORM */
	assert_int_equal(parse(&m, &got), -ENOMSG);
	dhcpmsg_v4(&m, RELEASE, 1, mac, NULL, NULL);
	assert_int_equal(parse(&m, &got), -EBADMSG);
	dhcpmsg_v4(&m, INFORM, 1, mac, "10.8.0.7", NULL);
	assert_int_equal(parse(&m, &got), -ENOMSG);
	dhcpmsg_v4(&m, DISCOVER, 1, mac, NULL, NULL);
	assert_int_equal(parse(&m, &got), -ENOMSG);
}

/* --- DHCPv6 --- */

static struct dhcpmsg reply(uint32_t xid, const char *addr, uint32_t seconds)
{
	struct dhcpmsg m;

	dhcpmsg_v6(&m, REPLY, xid);
	dhcpmsg_option6(&m, 1, "client", 6);
	dhcpmsg_option6(&m, 2, "server", 6);
	dhcpmsg_ia(&m, addr, seconds, 0);
	return m;
}

static void test_v6(void **state)
{
	struct dhcp_message got;
	struct dhcpmsg m = reply(0xabcdef, "fd00::7", 600);
	uint8_t ta[4 + 28] = {0, 0, 0, 2, 0, 5, 0, 24, 0xfd, [23] = 9, [31] = 30};

	dhcpmsg_option6(&m, 4, ta, sizeof(ta));
	assert_int_equal(parse(&m, &got), 0);
	assert_int_equal(got.kind, DHCP_GIVES);
	assert_true(got.v6);
	assert_int_equal(got.xid, 0xabcdef);
	assert_int_equal(got.n, 2);
	assert_string_equal(text_of(got.addresses[0].addr), "fd00::7");
	assert_int_equal(got.addresses[0].seconds, 600);
	assert_string_equal(text_of(got.addresses[1].addr), "fd00::9");
	assert_int_equal(got.addresses[1].seconds, 30);

	for (uint8_t type = SOLICIT; type <= DECLINE6; type++) {
		static const int kinds[] = {
			[SOLICIT] = -ENOMSG,  [ADVERTISE] = -ENOMSG,	 [REQUEST6] = DHCP_ASKS,
			[CONFIRM] = -ENOMSG,  [RENEW] = DHCP_ASKS,	 [REBIND] = DHCP_ASKS,
			[REPLY] = DHCP_GIVES, [RELEASE6] = DHCP_RETURNS, [DECLINE6] = DHCP_RETURNS,
		};
		int r;

		dhcpmsg_v6(&m, type, 1);
		dhcpmsg_ia(&m, "fd00::7", 60, 0);
		r = parse(&m, &got);
		assert_int_equal(r ? r : (int)got.kind, kinds[type]);
	}
	dhcpmsg_v6(&m, SOLICIT, 1);
	dhcpmsg_option6(&m, 14, NULL, 0);
	assert_int_equal(parse(&m, &got), 0); /* rapid commit */
	dhcpmsg_v6(&m, REPLY, 1);
	assert_int_equal(parse(&m, &got), -ENOMSG); /* gives none */
	dhcpmsg_v6(&m, RELEASE6, 1);
	assert_int_equal(parse(&m, &got), -ENOMSG);
	dhcpmsg_v6(&m, 13, 1); /* a relay's */
	assert_int_equal(parse(&m, &got), -ENOMSG);
}

/* What a server says that it has not done. */
static void test_v6_status(void **state)
{
	struct dhcp_message got;
	struct dhcpmsg m;

	dhcpmsg_v6(&m, REPLY, 1);
	dhcpmsg_ia(&m, "fd00::7", 60, 2); /* NoAddrsAvail */
	assert_int_equal(parse(&m, &got), -ENOMSG);
	dhcpmsg_ia(&m, "fd00::8", 60, 0);
	assert_int_equal(parse(&m, &got), 0);
	assert_int_equal(got.n, 1);
	assert_string_equal(text_of(got.addresses[0].addr), "fd00::8");
	dhcpmsg_option6(&m, 13, "\0\1", 2); /* UnspecFail, of all of it */
	assert_int_equal(parse(&m, &got), -ENOMSG);
	m = reply(1, "fd00::7", 60);
	dhcpmsg_option6(&m, 13, "\0\0fine", 6);
	assert_int_equal(parse(&m, &got), 0);
}

static void test_v6_bad(void **state)
{
	struct dhcp_message got;
	struct dhcpmsg m = reply(1, "fd00::7", 60);
	size_t len = m.len, ia = len - (4 + 12 + 28);
	static const struct {
		size_t back; /* from the end of the message */
		uint8_t value;
	} bytes[] = {
		{4 + 12 + 28 - 3, 41}, /* the IA is longer than the message */
		{4 + 12 + 28 - 3, 11}, /* shorter than its head */
		{28 - 3, 25},	       /* the address is longer than the IA */
		{28 - 3, 23},	       /* shorter than an address */
		{24, 0xff},	       /* multicast */
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(bytes); i++) {
		m = reply(1, "fd00::7", 60);
		m.frame[len - bytes[i].back] = bytes[i].value;
		assert_int_equal(parse(&m, &got), -EBADMSG);
	}
	m = reply(1, "fd00::7", 60);
	dhcpmsg_ia(&m, "fd00::7", 60, 0); /* twice */
	assert_int_equal(parse(&m, &got), -EBADMSG);
	m = reply(1, "fd00::1", 60);
	for (char a[] = "fd00::2"; a[6] <= '8'; a[6]++)
		dhcpmsg_ia(&m, a, 60, 0);
	assert_int_equal(parse(&m, &got), 0);
	assert_int_equal(got.n, SP_ADDRESSES_N);
	dhcpmsg_ia(&m, "fd00::9", 60, 0);
	assert_int_equal(parse(&m, &got), -E2BIG);
	for (size_t n = 14; n < len; n++) {
		m = reply(1, "fd00::7", 60);
		m.len = n;
		assert_int_equal(parse(&m, &got), -EBADMSG);
	}
	assert_true(ia > 0);
}

/* --- what is leased --- */

static struct leases l;
static struct leases_change change;

static void sent(struct dhcpmsg m, uint64_t now)
{
	struct dhcp_message msg;

	assert_int_equal(parse(&m, &msg), 0);
	leases_sent(&l, &msg, mac, now, &change);
}

static int got(struct dhcpmsg m, uint64_t now)
{
	struct dhcp_message msg;

	assert_int_equal(parse(&m, &msg), 0);
	return leases_got(&l, &msg, mac, now, &change);
}

static void is(const char *text)
{
	char out[SP_LEASES_MAX];

	leases_format(&l, 0, 0, out);
	assert_string_equal(out, text);
}

static int begin(void **state)
{
	l = (struct leases){.n = 0};
	return 0;
}

static void test_lease(void **state)
{
	assert_int_equal(leases_next_us(&l), LEASE_FOR_EVER);
	sent(request(1, "10.8.0.1", "10.8.0.7"), 0);
	is("");
	assert_int_equal(got(ack(1, "10.8.0.7", 60), 10 * S), 0);
	assert_int_equal(change.added.n, 1);
	is("10.8.0.7@70");
	assert_int_equal(leases_next_us(&l), 70 * S);
	/* The same answer again, and a renewal. */
	assert_int_equal(got(ack(1, "10.8.0.7", 60), 11 * S), 0);
	assert_true(change.renewed && !change.added.n);
	sent(request(2, NULL, NULL), 40 * S);
	assert_int_equal(got(ack(2, "10.8.0.7", 120), 40 * S), 0);
	is("10.8.0.7@160");
	leases_expire(&l, 160 * S - 1, &change);
	assert_int_equal(change.removed.n, 0);
	leases_expire(&l, 160 * S, &change);
	assert_int_equal(change.removed.n, 1);
	is("");
}

static void test_for_ever(void **state)
{
	sent(request(1, NULL, NULL), 0);
	assert_int_equal(got(ack(1, "10.8.0.7", DHCP_FOR_EVER), 0), 0);
	is("10.8.0.7@0");
	leases_expire(&l, UINT64_MAX - 1, &change);
	is("10.8.0.7@0");
}

/* What was not asked, not of that server, not for that machine, or too long ago. */
static void test_forged(void **state)
{
	struct dhcpmsg m;

	assert_int_equal(got(ack(1, "10.8.0.7", 60), 0), -ENOENT);
	sent(request(1, "10.8.0.1", NULL), 0);
	assert_int_equal(got(ack(2, "10.8.0.7", 60), 0), -ENOENT);
	dhcpmsg_v4(&m, ACK, 1, other, NULL, "10.8.0.7");
	dhcpmsg_option_addr(&m, 54, "10.8.0.1");
	dhcpmsg_option_u32(&m, 51, 60);
	assert_int_equal(got(m, 0), -EPERM);
	dhcpmsg_v4(&m, ACK, 1, mac, NULL, "10.8.0.7");
	dhcpmsg_option_addr(&m, 54, "10.8.0.66");
	dhcpmsg_option_u32(&m, 51, 60);
	assert_int_equal(got(m, 0), -EPERM);
	assert_int_equal(got(reply(1, "fd00::7", 60), 0), -ENOENT); /* DHCPv6's number */
	assert_int_equal(got(request(1, NULL, NULL), 0), -EPERM);
	assert_int_equal(got(ack(1, "10.8.0.7", 60), LEASES_ASKED_US + 1), -ENOENT);
	is("");
	assert_int_equal(got(ack(1, "10.8.0.7", 60), LEASES_ASKED_US), 0);
	/* What it sends in another's name opens nothing. */
	begin(NULL);
	dhcpmsg_v4(&m, REQUEST, 1, other, NULL, NULL);
	sent(m, 0);
	assert_int_equal(got(ack(1, "10.8.0.7", 60), 0), -ENOENT);
}

static void test_given_back(void **state)
{
	struct dhcpmsg m;

	sent(request(1, NULL, NULL), 0);
	got(ack(1, "10.8.0.7", 60), 0);
	dhcpmsg_v4(&m, RELEASE, 9, mac, "10.8.0.8", NULL);
	sent(m, 0);
	is("10.8.0.7@60");
	dhcpmsg_v4(&m, RELEASE, 9, mac, "10.8.0.7", NULL);
	sent(m, 0);
	assert_int_equal(change.removed.n, 1);
	is("");
	/* Refused: what it asked for. */
	got(ack(1, "10.8.0.7", 60), 0);
	sent(request(3, NULL, "10.8.0.7"), 0);
	dhcpmsg_v4(&m, NAK, 3, mac, NULL, NULL);
	assert_int_equal(got(m, 0), 0);
	assert_int_equal(change.removed.n, 1);
	is("");
	/* DHCPv6: released; and a lifetime of nothing. */
	dhcpmsg_v6(&m, REQUEST6, 5);
	sent(m, 0);
	assert_int_equal(got(reply(5, "fd00::7", 60), 0), 0);
	is("fd00::7@60");
	dhcpmsg_v6(&m, RENEW, 6);
	sent(m, 0);
	assert_int_equal(got(reply(6, "fd00::7", 0), 0), 0);
	assert_int_equal(change.removed.n, 1);
	assert_int_equal(got(reply(5, "fd00::7", 60), 0), 0);
	dhcpmsg_v6(&m, RELEASE6, 7);
	dhcpmsg_ia(&m, "fd00::7", 0, 0);
	sent(m, 0);
	is("");
}

static void test_bounds(void **state)
{
	char addr[32];

	for (uint32_t i = 0; i < SP_ADDRESSES_N; i++) {
		snprintf(addr, sizeof(addr), "10.8.0.%u", 10 + i);
		sent(request(i, NULL, NULL), 0);
		assert_int_equal(got(ack(i, addr, 60 + i), 0), 0);
		assert_false(change.full);
	}
	assert_int_equal(got(ack(SP_ADDRESSES_N - 1, "10.8.0.99", 60), 0), 0);
	assert_true(change.full);
	assert_int_equal(l.n, SP_ADDRESSES_N);
	/* The last questions are remembered. */
	assert_int_equal(got(ack(SP_ADDRESSES_N - LEASES_ASKED, "10.8.0.10", 60), 0), 0);
	assert_int_equal(got(ack(0, "10.8.0.10", 60), 0), -ENOENT);
	/* One that is asked again and again is one. */
	for (int i = 0; i < 10; i++)
		sent(request(77, NULL, NULL), 0);
	assert_int_equal(got(ack(SP_ADDRESSES_N - 1, "10.8.0.10", 60), 0), 0);
	leases_expire(&l, 62 * S, &change);
	assert_int_equal(change.removed.n, 3);
	assert_int_equal(l.n, SP_ADDRESSES_N - 3);
}

static void test_text(void **state)
{
	static const char *const bad[] = {"10.8.0.7",
					  "@5",
					  "10.8.0.7@",
					  "10.8.0.7@x",
					  "10.8.0.7@5x",
					  "10.8.0.7@-5",
					  "127.0.0.1@5",
					  "10.8.0.7@5 10.8.0.7@6",
					  "10.8.0.7,10.8.0.8@5",
					  "10.8.0.7@99999999999999999999",
					  "1.1.1.1@0 1.1.1.2@0 1.1.1.3@0 1.1.1.4@0 1.1.1.5@0 "
					  "1.1.1.6@0 1.1.1.7@0 1.1.1.8@0 1.1.1.9@0"};
	char out[SP_LEASES_MAX];

	assert_int_equal(leases_parse("10.8.0.7@1100 fd00::7@0 10.8.0.8@900", 5 * S, 1000, &l), 0);
	assert_int_equal(l.n, 3);
	assert_int_equal(l.v[0].until_us, 105 * S);
	assert_int_equal(l.v[1].until_us, LEASE_FOR_EVER);
	leases_expire(&l, 5 * S, &change); /* ran out while nobody looked */
	assert_int_equal(change.removed.n, 1);
	leases_format(&l, 15 * S, 2000, out); /* the clock was set meanwhile */
	assert_string_equal(out, "10.8.0.7@2090 fd00::7@0");
	assert_int_equal(leases_parse("", 0, 0, &l), 0);
	assert_int_equal(l.n, 0);
	for (size_t i = 0; i < SP_ARRAY_SIZE(bad); i++)
		if (leases_parse(bad[i], 0, 1000, &l) != -EINVAL)
			fail_msg("'%s' was taken", bad[i]);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_v4),
		cmocka_unit_test(test_overload),
		cmocka_unit_test(test_v4_bad),
		cmocka_unit_test(test_v6),
		cmocka_unit_test(test_v6_status),
		cmocka_unit_test(test_v6_bad),
		cmocka_unit_test_setup(test_lease, begin),
		cmocka_unit_test_setup(test_for_ever, begin),
		cmocka_unit_test_setup(test_forged, begin),
		cmocka_unit_test_setup(test_given_back, begin),
		cmocka_unit_test_setup(test_bounds, begin),
		cmocka_unit_test_setup(test_text, begin),
	};

	return cmocka_run_group_tests_name("dhcp", tests, NULL, NULL);
}
