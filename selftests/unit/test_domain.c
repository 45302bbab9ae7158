// SPDX-License-Identifier: GPL-2.0-or-later
/*
 * Is a domain's interface made ours and its own again, to the letter, and is everything refused
 * that cannot be? The descriptions are libvirt's own (virsh dumpxml), from the fuzzer's corpus.
 */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "lib/cleanup.h"
#include "virt/domain_internal.h"

#define CORPUS "selftests/fuzz/corpus/domain/"
#define UUID "<uuid>96b38cab-d533-46c3-bc1f-2614ff68b94a</uuid>"

static char *slurp(const char *name)
{
	_cleanup_free_
	char *path = NULL;
	_cleanup_fclose_ FILE *f = NULL;
	char *text = NULL;
	size_t room = 0;

	assert_true(asprintf(&path, CORPUS "%s.xml", name) > 0);
	f = fopen(path, "re");
	if (!f)
		fail_msg("%s: %s", path, strerror(errno));
	assert_true(getdelim(&text, &room, '\0', f) > 0);
	return text;
}

/* The same document as we would write it. */
static char *canonical(const char *xml)
{
	_cleanup_doc_ xmlDocPtr doc = NULL;
	char *error = NULL;

	assert_int_equal(xml_parse(xml, "domain", &doc, &error), 0);
	return xml_print(xmlDocGetRootElement(doc));
}

static struct domain_spec spec_new(void)
{
	return (struct domain_spec){
		.origin = ORIGIN_DOMAIN,
		.domain = "web",
		.mark = {.server = "gate",
			 .user = "alice",
			 .name = "web",
			 .machine = 7,
			 .origin = ORIGIN_DOMAIN},
		.tap = "sp-m7",
	};
}

/* --- there and back --- */

static const struct {
	const char *name;
	const char *after; /* the interface */
	unsigned int queues;
	uint32_t memory_mib, vcpus;
} good[] = {
	{"network",
	 "<interface type=\"ethernet\">\n"
	 "  <model type=\"virtio\"/>\n"
	 "  <boot order=\"1\"/>\n"
	 "  <address type=\"pci\" domain=\"0x0000\" bus=\"0x01\" slot=\"0x00\" function=\"0x0\"/>\n"
	 "  <mac address=\"52:54:00:aa:00:01\"/>\n"
	 "  <target dev=\"sp-m7\" managed=\"no\"/>\n"
	 "</interface>",
	 1, 128, 1},
	{"bridge",
	 "<interface type=\"ethernet\">\n"
	 "  <model type=\"e1000e\"/>\n"
	 "  <address type=\"pci\" domain=\"0x0000\" bus=\"0x01\" slot=\"0x00\" function=\"0x0\"/>\n"
	 "  <mac address=\"52:54:00:aa:00:02\"/>\n"
	 "  <target dev=\"sp-m7\" managed=\"no\"/>\n"
	 "</interface>",
	 1, 1024, 4},
	{"direct",
	 "<interface type=\"ethernet\">\n"
	 "  <model type=\"virtio\"/>\n"
	 "  <driver txmode=\"iothread\" queues=\"4\" rx_queue_size=\"512\">\n"
	 "    <host gso=\"off\"/>\n"
	 "  </driver>\n"
	 "  <alias name=\"ua-lan\"/>\n"
	 "  <address type=\"pci\" domain=\"0x0000\" bus=\"0x01\" slot=\"0x00\" function=\"0x0\"/>\n"
	 "  <mac address=\"52:54:00:aa:00:03\"/>\n"
	 "  <target dev=\"sp-m7\" managed=\"no\"/>\n"
	 "</interface>",
	 4, 128, 1},
	{"user",
	 "<interface type=\"ethernet\">\n"
	 "  <model type=\"rtl8139\"/>\n"
	 "  <rom bar=\"on\"/>\n"
	 "  <address type=\"pci\" domain=\"0x0000\" bus=\"0x02\" slot=\"0x01\" function=\"0x0\"/>\n"
	 "  <mac address=\"52:54:00:aa:00:04\"/>\n"
	 "  <target dev=\"sp-m7\" managed=\"no\"/>\n"
	 "</interface>",
	 1, 128, 1},
	{"vhostuser",
	 "<interface type=\"ethernet\">\n"
	 "  <model type=\"virtio\"/>\n"
	 "  <driver queues=\"2\" rx_queue_size=\"1024\"/>\n"
	 "  <address type=\"pci\" domain=\"0x0000\" bus=\"0x01\" slot=\"0x00\" function=\"0x0\"/>\n"
	 "  <mac address=\"52:54:00:aa:00:05\"/>\n"
	 "  <target dev=\"sp-m7\" managed=\"no\"/>\n"
	 "</interface>",
	 2, 128, 1},
};

static void test_there_and_back(void **state)
{
	struct domain_spec spec = spec_new();

	for (size_t i = 0; i < SP_ARRAY_SIZE(good); i++) {
		_cleanup_free_
		char *xml = slurp(good[i].name), *want = canonical(xml);
		_cleanup_free_
		char *out = NULL, *before = NULL, *after = NULL, *error = NULL;
		_cleanup_free_
		char *former = NULL, *back = NULL;
		struct domain_facts f;

		print_message("# %s\n", good[i].name);
		assert_int_equal(domain_interface(xml, &former), 0);
		if (domain_rewrite(xml, &spec, &f, &out, &before, &after, &error) < 0)
			fail_msg("%s: %s", good[i].name, error);
		assert_string_equal(before, former);
		assert_string_equal(after, good[i].after);
		assert_string_equal(f.tap, "sp-m7");
		assert_int_equal(f.queues, good[i].queues);
		assert_int_equal(f.memory_mib, good[i].memory_mib);
		assert_int_equal(f.vcpus, good[i].vcpus);
		assert_true(f.marked);
		assert_string_equal(f.mark.server, "gate");
		assert_string_equal(f.mark.user, "alice");
		assert_string_equal(f.mark.name, "web");
		assert_int_equal(f.mark.machine, 7);
		assert_int_equal(f.mark.origin, ORIGIN_DOMAIN);
		assert_int_equal(domain_restore(out, &back, &error), 0);
		assert_string_equal(back, want);
	}
}

/* Rewritten again it is another machine's, and what it had at first is still what it gets back. */
static void test_twice(void **state)
{
	_cleanup_free_
	char *xml = slurp("bridge"), *want = canonical(xml);
	_cleanup_free_
	char *out = NULL, *before = NULL, *after = NULL, *error = NULL;
	_cleanup_free_
	char *again = NULL, *before2 = NULL, *after2 = NULL, *back = NULL;
	struct domain_spec spec = spec_new();
	struct domain_facts f;

	assert_int_equal(domain_rewrite(xml, &spec, &f, &out, &before, &after, &error), 0);
	strcpy(spec.tap, "sp-m8");
	strcpy(spec.mark.user, "bob");
	spec.mark.machine = 8;
	assert_int_equal(domain_rewrite(out, &spec, &f, &again, &before2, &after2, &error), 0);
	assert_string_equal(before2, after);
	assert_string_equal(f.mark.user, "bob");
	assert_string_equal(f.tap, "sp-m8");
	assert_int_equal(domain_restore(again, &back, &error), 0);
	assert_string_equal(back, want);
}

/* An encoding that is said, namespaces that come from around it: it is given back to the letter. */
static void test_not_alone(void **state)
{
	static const char *const names[] = {"encoding", "prefix"};
	struct domain_spec spec = spec_new();

	for (size_t i = 0; i < SP_ARRAY_SIZE(names); i++) {
		_cleanup_free_
		char *xml = slurp(names[i]), *out = NULL, *before = NULL, *after = NULL;
		_cleanup_free_
		char *error = NULL, *back = NULL, *interface = NULL;
		struct domain_facts f;

		print_message("# %s\n", names[i]);
		assert_int_equal(domain_rewrite(xml, &spec, &f, &out, &before, &after, &error), 0);
		assert_null(strstr(after, "q:"));
		assert_int_equal(domain_restore(out, &back, &error), 0);
		assert_int_equal(domain_interface(back, &interface), 0);
		assert_string_equal(interface, before);
	}
}

static void test_changes(void **state)
{
	_cleanup_free_
	char *xml = slurp("bridge");
	_cleanup_free_
	char *out = NULL, *before = NULL, *after = NULL, *error = NULL;
	struct domain_spec spec = spec_new();
	struct domain_facts f;
	uint64_t kib = 0;

	spec.memory_mib = 2048;
	spec.vcpus = 2;
	memcpy(spec.mac, (uint8_t[]){2, 0, 0, 0, 0, 9}, 6);
	assert_int_equal(domain_rewrite(xml, &spec, &f, &out, &before, &after, &error), 0);
	assert_int_equal(f.memory_mib, 2048);
	assert_int_equal(f.vcpus, 2);
	assert_memory_equal(f.mac, spec.mac, 6);
	assert_int_equal(domain_current_kib(out, &kib), 0);
	assert_int_equal(kib, 2048 * 1024);
	assert_null(strstr(out, "current="));
	/* What is not ours to change is there still. */
	assert_non_null(strstr(out, "<description>Gr\xc3\xbc\xc3\x9f"
				    "e</description>"));
	assert_non_null(strstr(out, "libosinfo"));
	assert_non_null(strstr(out, "<shares>512</shares>"));
}

static void test_secret_kept(void **state)
{
	_cleanup_free_
	char *xml = slurp("network");
	_cleanup_free_
	char *out = NULL, *before = NULL, *after = NULL, *error = NULL;
	struct domain_spec spec = spec_new();
	struct domain_facts f;

	assert_int_equal(domain_rewrite(xml, &spec, &f, &out, &before, &after, &error), 0);
	assert_non_null(strstr(out, "passwd=\"secret\""));
}

/* --- refused --- */

#define HEAD "<domain type='qemu'><name>x</name>" UUID "<memory>65536</memory><vcpu>1</vcpu>"
#define NIC                                                                                        \
	"<interface type='user'><mac address='52:54:00:00:00:01'/><model "                         \
	"type='virtio'/></interface>"
#define DEVICES "<devices>" NIC "</devices>"
#define MARK(attributes) "<metadata><s:machine xmlns:s='" DOMAIN_NS "' " attributes "/></metadata>"

static const struct {
	const char *xml;
	const char *error;
} bad[] = {
	{"", "line 1 of its description: Document is empty"},
	{"x", "line 1 of its description: "},
	{"<domain", "line 1 of its description: "},
	{"<network/>", "the outermost element is <network>, expected <domain>"},
	{"<domain/>", "no <name>"},
	{"<domain><name></name></domain>", "no <name>"},
	{"<domain><name>x</name></domain>", "no <uuid>"},
	{"<domain><name>x</name><uuid>96b38cabd53346c3bc1f2614ff68b94a</uuid></domain>",
	 "no <uuid>, or not one: '96b38c"},
	{"<domain><name>x</name><uuid>96b38cab-d533-46c3-bc1f-2614ff68b94g</uuid></domain>",
	 "no <uuid>, or not one"},
	{"<domain><name>x</name>" UUID "</domain>", "<memory> is ''"},
	{"<domain><name>x</name>" UUID "<memory>much</memory></domain>", "<memory> is 'much'"},
	{"<domain><name>x</name>" UUID "<memory>-1</memory></domain>", "<memory> is '-1'"},
	{"<domain><name>x</name>" UUID "<memory>0</memory></domain>", "<memory> is 0"},
	{"<domain><name>x</name>" UUID "<memory unit='parsec'>1</memory></domain>",
	 "<memory> is 1 'parsec'"},
	{"<domain><name>x</name>" UUID "<memory unit='TiB'>18446744073709551615</memory></domain>",
	 "expected 1 KiB to 1 PiB"},
	{"<domain><name>x</name>" UUID "<memory>1024</memory><vcpu>0</vcpu></domain>",
	 "<vcpu> is '0'"},
	{"<domain><name>x</name>" UUID "<memory>1024</memory><vcpu>4097</vcpu></domain>",
	 "<vcpu> is '4097'"},
	{"<domain><name>x</name>" UUID "<memory>1024</memory><vcpu>one</vcpu></domain>",
	 "<vcpu> is 'one'"},
	{HEAD "</domain>", "0 network interfaces, expected exactly one"},
	{HEAD "<devices/></domain>", "0 network interfaces"},
	{HEAD "<devices>" NIC NIC "</devices></domain>", "2 network interfaces"},
	{HEAD "<devices><interface type='hostdev'/></devices></domain>", "a device of the host"},
	{HEAD "<devices><interface type='user'/></devices></domain>", "has the MAC ''"},
	{HEAD "<devices><interface type='user'><mac address='01:00:5e:00:00:01'/></interface>"
	      "</devices></domain>",
	 "has the MAC '01:00:5e:00:00:01', expected one of a host"},
	{HEAD "<devices><interface type='user'><mac address='52:54:00:00:00:01'/>"
	      "<driver queues='9'/></interface></devices></domain>",
	 "queues='9', expected 1 to 8"},
	{HEAD "<devices><interface type='user'><mac address='52:54:00:00:00:01'/>"
	      "<driver queues='0'/></interface></devices></domain>",
	 "queues='0', expected 1 to 8"},
	{HEAD "<devices><interface type='user'><mac address='52:54:00:00:00:01'/>"
	      "<model type='e1000'/><driver queues='2'/></interface></devices></domain>",
	 "2 queues need an interface of model virtio, not 'e1000'"},
	{HEAD "<devices><interface type='user'><mac address='52:54:00:00:00:01'/>"
	      "<model type='netfront'/></interface></devices></domain>",
	 "model 'netfront', expected virtio"},
	{"<domain xmlns:q='http://libvirt.org/schemas/domain/qemu/1.0'><name>x</name>" UUID
	 "<memory>65536</memory><vcpu>1</vcpu>" DEVICES
	 "<q:commandline><q:arg value='-netdev'/><q:arg value='user,id=x'/></q:commandline>"
	 "</domain>",
	 "a network device past libvirt (-netdev"},
	{HEAD MARK("server='other' user='u' name='n' id='1' origin='domain'") DEVICES "</domain>",
	 "it is machine u/n of server 'other'"},
	{HEAD MARK("server='gate' user='u' name='n' id='x' origin='domain'") DEVICES "</domain>",
	 "the mark's id is 'x'"},
	{HEAD MARK("server='gate' user='u' name='n' id='4294967296' origin='domain'") DEVICES
	 "</domain>",
	 "the mark's id is '4294967296'"},
	{HEAD MARK("server='gate' user='u' name='n' id='1' origin='heaven'") DEVICES "</domain>",
	 "the mark's origin is 'heaven'"},
	{HEAD MARK("server='gate' user='u' id='1' origin='domain'") DEVICES "</domain>",
	 "has no name of 1 to 63 bytes"},
	{HEAD "<metadata><s:machine xmlns:s='" DOMAIN_NS "'/><s:x xmlns:s='" DOMAIN_NS
	      "'/></metadata>" DEVICES "</domain>",
	 "two elements of " DOMAIN_NS},
	{HEAD "<metadata><s:cow xmlns:s='" DOMAIN_NS "'/></metadata>" DEVICES "</domain>",
	 "the mark in <metadata> is <cow>"},
	{"<!DOCTYPE domain [<!ENTITY a 'aaaaaaaaaa'><!ENTITY b '&a;&a;&a;&a;&a;&a;&a;&a;'>"
	 "<!ENTITY c '&b;&b;&b;&b;&b;&b;&b;&b;'>]><domain><name>&c;</name></domain>",
	 "it has a document type"},
	{"<!DOCTYPE domain SYSTEM 'file:///etc/passwd'><domain/>", "it has a document type"},
	{"<domain><name>&lol;</name></domain>", "line 1 of its description: "},
	{HEAD "<devices><x><!ENTITY a 'b'></x></devices></domain>", "line 1 of its description: "},
	{"<domain xmlns='urn:other'><name>x</name></domain>", "no <name>"},
	{HEAD "<devices><interface><sallyport:x/></interface></devices></domain>",
	 "line 1 of its description: Namespace prefix sallyport on x is not defined"},
};

static void test_refused(void **state)
{
	struct domain_spec spec = spec_new();

	for (size_t i = 0; i < SP_ARRAY_SIZE(bad); i++) {
		_cleanup_free_
		char *xml = strdup(bad[i].xml); /* of exactly its size */
		char *out = NULL, *before = NULL, *after = NULL;
		_cleanup_free_
		char *error = NULL;
		struct domain_facts f = {.queues = 77};

		print_message("# %.100s\n", bad[i].xml);
		assert_int_equal(domain_rewrite(xml, &spec, &f, &out, &before, &after, &error),
				 -EINVAL);
		assert_null(out);
		assert_null(before);
		assert_null(after);
		assert_int_equal(f.queues, 77);
		assert_non_null(error);
		if (!strstr(error, bad[i].error))
			fail_msg("'%s'; expected '%s'", error, bad[i].error);
	}
}

static void test_refused_files(void **state)
{
	static const struct {
		const char *name, *error;
	} table[] = {
		{"hostdev", "a device of the host"},
		{"two", "it has 2 network interfaces"},
		{"none", "it has 0 network interfaces"},
	};
	struct domain_spec spec = spec_new();

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		_cleanup_free_
		char *xml = slurp(table[i].name), *error = NULL;
		char *out, *before, *after;
		struct domain_facts f;

		assert_int_equal(domain_rewrite(xml, &spec, &f, &out, &before, &after, &error),
				 -EINVAL);
		assert_non_null(strstr(error, table[i].error));
	}
}

static char *filled(size_t size)
{
	static const char head[] = "<domain><name>x</name><description>";
	static const char tail[] = "</description></domain>";
	char *text = malloc(size + 1);

	assert_non_null(text);
	memset(text, 'x', size);
	memcpy(text, head, strlen(head));
	memcpy(text + size - strlen(tail), tail, strlen(tail) + 1);
	return text;
}

static void test_size(void **state)
{
	static const struct {
		size_t size;
		int r;
	} table[] = {
		{SP_XML_MAX, -EINVAL}, /* read, and found wanting */
		{SP_XML_MAX + 1, -E2BIG},
		{10 << 20, -E2BIG},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		_cleanup_free_
		char *text = filled(table[i].size), *error = NULL;
		struct domain_facts f;

		assert_int_equal(domain_read(text, &f, &error), table[i].r);
		assert_non_null(error);
	}
}

static void test_depth(void **state)
{
	_cleanup_free_
	char *text = NULL, *error = NULL;
	struct domain_facts f;
	size_t n = 0;
	FILE *out = open_memstream(&text, &n);

	fputs("<domain>", out);
	for (int i = 0; i < 50000; i++)
		fputs("<a>", out);
	fclose(out);
	assert_int_equal(domain_read(text, &f, &error), -EINVAL);
	assert_non_null(strstr(error, "depth"));
}

/* --- read --- */

#define OURS(inside)                                                                               \
	HEAD MARK("server='gate' user='u' name='n' id='9' origin='kernel'") "<devices>" inside     \
									    "</devices></domain>"
#define IF(type, target, more)                                                                     \
	"<interface type='" type "'><mac address='52:54:00:00:00:01'/>" target more "</interface>"

static void test_read(void **state)
{
	static const struct {
		const char *xml, *error; /* NULL: good */
	} table[] = {
		{OURS(IF("ethernet", "<target dev='sp-m1' managed='no'/>", "")), NULL},
		{OURS(IF("ethernet", "<target dev='sp-m1' managed='no'/>",
			 "<model type='virtio'/><driver queues='8'/><rom enabled='no'/>")),
		 NULL},
		{OURS(IF("user", "<target dev='sp-m1' managed='no'/>", "")),
		 "type 'user', expected ethernet"},
		{OURS(IF("ethernet", "", "")), "target is '', expected the name of a tap"},
		{OURS(IF("ethernet", "<target dev='sp-m1'/>", "")), "managed='', expected no"},
		{OURS(IF("ethernet", "<target dev='sp-m1' managed='yes'/>", "")),
		 "managed='yes', expected no"},
		{OURS(IF("ethernet", "<target dev='a-name-of-sixteen' managed='no'/>", "")),
		 "expected the name of a tap"},
		{OURS(IF("ethernet", "<target dev='sp-m%d' managed='no'/>", "")),
		 "expected the name of a tap"},
		{OURS(IF("ethernet", "<target dev='sp-m1' managed='no'/>",
			 "<script path='/bin/sh'/>")),
		 "has <script>, which does not belong there"},
		{OURS(IF("ethernet", "<target dev='sp-m1' managed='no'/>",
			 "<filterref filter='x'/>")),
		 "has <filterref>"},
		{OURS(IF("ethernet", "<target dev='sp-m1' managed='no'/>",
			 "<ip address='1.2.3.4'/>")),
		 "has <ip>"},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		_cleanup_free_
		char *error = NULL;
		struct domain_facts f = {};
		int r = domain_read(table[i].xml, &f, &error);

		if (table[i].error && (r != -EINVAL || !strstr(error, table[i].error)))
			fail_msg("%d '%s'; expected '%s'", r, error, table[i].error);
		if (!table[i].error && r < 0)
			fail_msg("%s: %s", table[i].xml, error);
		if (r == 0) {
			assert_string_equal(f.tap, "sp-m1");
			assert_int_equal(f.mark.machine, 9);
			assert_int_equal(f.mark.origin, ORIGIN_KERNEL);
			assert_int_equal(f.uuid[0], 0x96);
			assert_int_equal(f.uuid[15], 0x4a);
		}
	}
}

static void test_memory(void **state)
{
	static const struct {
		const char *element;
		uint64_t kib;
	} table[] = {
		{"<memory>1024</memory>", 1024},
		{"<memory unit='KiB'>1024</memory>", 1024},
		{"<memory unit='k'>1024</memory>", 1024},
		{"<memory unit='b'>1025</memory>", 2},
		{"<memory unit='KB'>1024</memory>", 1000},
		{"<memory unit='MiB'>3</memory>", 3072},
		{"<memory unit='G'>2</memory>", 2097152},
		{"<memory unit='TiB'>1</memory>", 1073741824},
		{"<memory unit='MiB'>4</memory><currentMemory unit='MiB'>3</currentMemory>", 3072},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		_cleanup_free_
		char *xml = NULL;
		uint64_t kib = 0;

		assert_true(asprintf(&xml, "<domain>%s</domain>", table[i].element) > 0);
		assert_int_equal(domain_current_kib(xml, &kib), 0);
		assert_int_equal(kib, table[i].kib);
	}
}

static void test_restore_refused(void **state)
{
	static const struct {
		const char *xml;
		int r;
	} table[] = {
		{HEAD DEVICES "</domain>", -ENODATA},
		{OURS(IF("ethernet", "<target dev='sp-m1' managed='no'/>", "")), -ENODATA},
		{"<domain", -EINVAL},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(table); i++) {
		_cleanup_free_
		char *error = NULL;
		char *out = NULL;

		assert_int_equal(domain_restore(table[i].xml, &out, &error), table[i].r);
		assert_null(out);
		assert_non_null(error);
	}
}

/* Somebody took our interface out, or put another beside it. */
static void test_restore_changed(void **state)
{
	_cleanup_free_
	char *xml = slurp("user");
	_cleanup_free_
	char *out = NULL, *before = NULL, *after = NULL, *error = NULL;
	_cleanup_free_
	char *gone = NULL, *back = NULL, *interface = NULL;
	struct domain_spec spec = spec_new();
	struct domain_facts f;
	char *from, *to;

	assert_int_equal(domain_rewrite(xml, &spec, &f, &out, &before, &after, &error), 0);
	gone = strdup(out);
	from = strstr(gone, "<interface type=\"ethernet\"");
	to = strstr(from, "</interface>") + strlen("</interface>");
	memmove(from, to, strlen(to) + 1);
	assert_int_equal(domain_restore(gone, &back, &error), 0);
	assert_int_equal(domain_interface(back, &interface), 0);
	assert_string_equal(interface, before);
}

/* --- build --- */

static struct domain_spec built(enum store_origin origin)
{
	struct domain_spec s = spec_new();

	s.origin = s.mark.origin = origin;
	s.memory_mib = 256;
	s.vcpus = 2;
	memcpy(s.mac, (uint8_t[]){0x52, 0x54, 0, 0, 0, 7}, 6);
	strcpy(s.kernel, "/boot/vmlinuz");
	strcpy(s.initrd, "/boot/initrd");
	strcpy(s.cmdline, "console=ttyS0 a=\"b\" <&>");
	return s;
}

static void test_build(void **state)
{
	for (int kind = ORIGIN_IMAGE; kind <= ORIGIN_KERNEL; kind++) {
		_cleanup_free_
		char *xml = NULL, *error = NULL;
		struct domain_spec s = built((enum store_origin)kind);
		char disk[SP_PATH_MAX] = "?";
		struct domain_facts f;

		s.queues = 2;
		s.kvm = kind == ORIGIN_KERNEL;
		/* Names that would be markup, were they pasted. */
		strcpy(s.mark.user, "\"><evil/>'&amp;");
		assert_int_equal(domain_build(&s, "/pool/a&b.qcow2", &xml, &error), 0);
		assert_int_equal(domain_read(xml, &f, &error), 0);
		assert_string_equal(f.name, "web");
		assert_string_equal(f.mark.user, s.mark.user);
		assert_int_equal(f.mark.origin, kind);
		assert_int_equal(f.memory_mib, 256);
		assert_int_equal(f.vcpus, 2);
		assert_int_equal(f.queues, 2);
		assert_memory_equal(f.mac, s.mac, 6);
		assert_int_equal(f.uuid[6] >> 4, 4); /* version */
		assert_int_equal(f.uuid[8] >> 6, 2); /* variant */
		assert_int_equal(domain_disk(xml, disk), 0);
		assert_string_equal(disk, kind == ORIGIN_IMAGE ? "/pool/a&b.qcow2" : "");
		assert_null(strstr(xml, "<evil/>"));
		assert_non_null(strstr(xml, s.kvm ? "type=\"kvm\"" : "type=\"qemu\""));
		assert_non_null(strstr(xml, s.kvm ? "host-passthrough" : "maximum"));
		assert_int_equal(strstr(xml, "<kernel>") != NULL, kind == ORIGIN_KERNEL);
		assert_int_equal(strstr(xml, "<disk ") != NULL, kind == ORIGIN_IMAGE);
	}
}

static void test_build_refused(void **state)
{
	for (int i = 0; i < 10; i++) {
		struct domain_spec s = built(i == 9 ? ORIGIN_IMAGE : ORIGIN_KERNEL);
		_cleanup_free_
		char *error = NULL;
		char *xml = NULL;
		const char *expected[] = {
			"the domain's name is ''",
			"expected one without '/'",
			"the domain's name",
			"the user's name is",
			"the machine's name is",
			"the kernel's path is ''",
			"the kernel's command line",
			"MAC of a host",
			"9 queues",
			"the disk's path is ''",
		};

		if (i == 0)
			s.domain[0] = '\0';
		if (i == 1)
			strcpy(s.domain, "a/b");
		if (i == 2)
			strcpy(s.domain, "\xff\xfe");
		if (i == 3)
			strcpy(s.mark.user, "a\x01");
		if (i == 4)
			strcpy(s.mark.name, "\xed\xa0\x80"); /* half of a surrogate pair */
		if (i == 5)
			s.kernel[0] = '\0';
		if (i == 6)
			strcpy(s.cmdline, "a\nb");
		if (i == 7)
			memset(s.mac, 0xff, 6);
		if (i == 8)
			s.queues = 9;
		assert_int_equal(domain_build(&s, NULL, &xml, &error), -EINVAL);
		assert_null(xml);
		if (!strstr(error, expected[i]))
			fail_msg("'%s'; expected '%s'", error, expected[i]);
	}
}

static void test_mark_alone(void **state)
{
	/* As virDomainGetMetadata gives it: without its namespace. */
	struct domain_mark m;

	assert_int_equal(domain_mark_read("<machine server=\"gate\" user=\"u\" name=\"n\" "
					  "id=\"3\" origin=\"image\"/>\n",
					  &m),
			 0);
	assert_string_equal(m.server, "gate");
	assert_int_equal(m.machine, 3);
	assert_int_equal(domain_mark_read("<machine/>", &m), -EINVAL);
	assert_int_equal(domain_mark_read("<x/>", &m), -EINVAL);
	assert_int_equal(m.machine, 3);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_there_and_back),	cmocka_unit_test(test_twice),
		cmocka_unit_test(test_not_alone),	cmocka_unit_test(test_changes),
		cmocka_unit_test(test_secret_kept),	cmocka_unit_test(test_refused),
		cmocka_unit_test(test_refused_files),	cmocka_unit_test(test_size),
		cmocka_unit_test(test_depth),		cmocka_unit_test(test_read),
		cmocka_unit_test(test_memory),		cmocka_unit_test(test_restore_refused),
		cmocka_unit_test(test_restore_changed), cmocka_unit_test(test_build),
		cmocka_unit_test(test_build_refused),	cmocka_unit_test(test_mark_alone),
	};

	return cmocka_run_group_tests_name("domain", tests, NULL, NULL);
}
