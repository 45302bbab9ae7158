/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does a domain's description say, and is its interface as we leave it? */
#include <errno.h>
#include <string.h>

#include "lib/mac.h"
#include "virt/domain_internal.h"

#define KIB 1024ULL
#define MEMORY_MAX_KIB (1ULL << 40) /* a PiB: above is a mistake */
#define VCPUS_MAX 4096

/* --- numbers with units --- */

static const struct {
	const char *name;
	uint64_t bytes;
} units[] = {
	{"b", 1},
	{"bytes", 1},
	{"KB", 1000},
	{"k", KIB},
	{"KiB", KIB},
	{"MB", 1000000},
	{"M", KIB *KIB},
	{"MiB", KIB *KIB},
	{"GB", 1000000000},
	{"G", KIB *KIB *KIB},
	{"GiB", KIB *KIB *KIB},
	{"TB", 1000000000000},
	{"T", KIB *KIB *KIB *KIB},
	{"TiB", KIB *KIB *KIB *KIB},
};

/* <memory unit='MiB'>128</memory>, in KiB, rounded up. */
static int read_memory(xmlNodePtr node, uint64_t *ret_kib, char **ret_error)
{
	char text[32] = "", unit[8] = "KiB";
	uint64_t value, bytes = 0;

	if (xml_text(node, text, sizeof(text)) < 0 || xml_number(text, UINT64_MAX, &value) < 0 ||
	    xml_attribute(node, "unit", unit, sizeof(unit)) == -E2BIG)
		return xml_complain(ret_error, -EINVAL,
				    "<memory> is '%s' '%s', expected a number and a unit", text,
				    unit);
	for (size_t i = 0; i < SP_ARRAY_SIZE(units); i++) {
		if (strcmp(unit, units[i].name) == 0)
			bytes = units[i].bytes;
	}
	if (bytes == 0 || value == 0 || value > MEMORY_MAX_KIB * KIB / bytes)
		return xml_complain(ret_error, -EINVAL,
				    "<memory> is %s '%s', expected 1 KiB to 1 PiB", text, unit);
	*ret_kib = (value * bytes + KIB - 1) / KIB;
	return 0;
}

static int read_vcpus(xmlNodePtr node, uint32_t *ret, char **ret_error)
{
	char text[16] = "";
	uint64_t n;

	if (xml_text(node, text, sizeof(text)) < 0 || xml_number(text, VCPUS_MAX, &n) < 0 || n == 0)
		return xml_complain(ret_error, -EINVAL, "<vcpu> is '%s', expected 1 to %d", text,
				    VCPUS_MAX);
	*ret = (uint32_t)n;
	return 0;
}

/* 8-4-4-4-12 hex digits. */
static int read_uuid(const char *text, uint8_t ret[SP_UUID_LEN])
{
	static const char form[] = "xxxxxxxx-xxxx-xxxx-xxxx-xxxxxxxxxxxx";
	static const char digits[] = "0123456789abcdef";
	size_t n = 0;

	if (strlen(text) != strlen(form))
		return -EINVAL;
	for (size_t i = 0; form[i]; i++) {
		const char *digit = text[i] ? strchr(digits, text[i] | 0x20) : NULL;

		if (form[i] == '-' ? text[i] != '-' : !digit)
			return -EINVAL;
		if (form[i] == '-')
			continue;
		ret[n / 2] = (uint8_t)(ret[n / 2] << 4 | (digit - digits));
		n++;
	}
	return 0;
}

/* --- the interface --- */

bool interface_keeps(const char *name)
{
	static const char *const kept[] = {"mac",   "target",  "model", "driver", "boot",
					   "alias", "address", "rom",	"acpi"};

	for (size_t i = 0; i < SP_ARRAY_SIZE(kept); i++) {
		if (strcmp(name, kept[i]) == 0)
			return true;
	}
	return false;
}

int interface_find(xmlNodePtr domain, xmlNodePtr *ret, char **ret_error)
{
	xmlNodePtr devices = xml_child(domain, "devices"), found = NULL;
	char type[32] = "";
	size_t n = 0;

	for (xmlNodePtr i = xml_child(devices, "interface"); i; i = xml_next(i, "interface")) {
		found = i;
		n++;
	}
	if (n != 1)
		return xml_complain(ret_error, -EINVAL,
				    "it has %zu network interfaces, expected exactly one", n);
	xml_attribute(found, "type", type, sizeof(type));
	if (strcmp(type, "hostdev") == 0)
		return xml_complain(ret_error, -EINVAL,
				    "its network interface is a device of the host "
				    "(type='hostdev'), which no tap can replace");
	*ret = found;
	return 0;
}

static int read_queues(xmlNodePtr interface, unsigned int *ret, char **ret_error)
{
	char text[16] = "1";
	uint64_t n;

	if (xml_attribute(xml_child(interface, "driver"), "queues", text, sizeof(text)) == -E2BIG ||
	    xml_number(text, DOMAIN_QUEUES_MAX, &n) < 0 || n == 0)
		return xml_complain(ret_error, -EINVAL,
				    "its interface has queues='%s', expected 1 to %d", text,
				    DOMAIN_QUEUES_MAX);
	*ret = (unsigned int)n;
	return 0;
}

static int read_interface(xmlNodePtr interface, struct domain_facts *f, char **ret_error)
{
	xmlNodePtr target = xml_child(interface, "target");
	char mac[32] = "";

	xml_attribute(xml_child(interface, "mac"), "address", mac, sizeof(mac));
	if (mac_parse(mac, f->mac) < 0 || !mac_is_unicast(f->mac))
		return xml_complain(ret_error, -EINVAL,
				    "its interface has the MAC '%s', expected one of a host", mac);
	if (xml_attribute(target, "dev", f->tap, sizeof(f->tap)) < 0)
		f->tap[0] = '\0';
	return read_queues(interface, &f->queues, ret_error);
}

int interface_check(xmlNodePtr interface, char **ret_error)
{
	char type[32] = "", tap[32] = "", managed[8] = "";
	xmlNodePtr target = xml_child(interface, "target");

	xml_attribute(interface, "type", type, sizeof(type));
	xml_attribute(target, "dev", tap, sizeof(tap));
	xml_attribute(target, "managed", managed, sizeof(managed));
	if (strcmp(type, "ethernet") != 0)
		return xml_complain(ret_error, -EINVAL,
				    "its interface is of type '%s', expected ethernet", type);
	if (!tap[0] || strlen(tap) >= 16 || strchr(tap, '/') || strchr(tap, '%'))
		return xml_complain(ret_error, -EINVAL,
				    "its interface's target is '%s', expected the name of a tap",
				    tap);
	if (strcmp(managed, "no") != 0)
		return xml_complain(ret_error, -EINVAL,
				    "its interface's target has managed='%s', expected no",
				    managed);
	for (xmlNodePtr n = interface->children; n; n = n->next) {
		if (n->type == XML_ELEMENT_NODE &&
		    (n->ns || !interface_keeps((const char *)n->name)))
			return xml_complain(
				ret_error, -EINVAL,
				"its interface has <%.40s>, which does not belong there",
				(const char *)n->name);
	}
	return 0;
}

/* --- all of it --- */

int facts_read(xmlNodePtr domain, struct domain_facts *ret, char **ret_error)
{
	struct domain_facts f = {};
	char uuid[40] = "";
	xmlNodePtr interface = NULL, mark = NULL;
	uint64_t kib = 0;
	int r;

	if (xml_text(xml_child(domain, "name"), f.name, sizeof(f.name)) < 0 || !f.name[0])
		return xml_complain(ret_error, -EINVAL, "no <name> of 1 to %d bytes",
				    SP_DOMAIN_MAX - 1);
	if (xml_text(xml_child(domain, "uuid"), uuid, sizeof(uuid)) < 0 ||
	    read_uuid(uuid, f.uuid) < 0)
		return xml_complain(ret_error, -EINVAL, "no <uuid>, or not one: '%s'", uuid);
	r = read_memory(xml_child(domain, "memory"), &kib, ret_error);
	if (r == 0)
		r = read_vcpus(xml_child(domain, "vcpu"), &f.vcpus, ret_error);
	if (r == 0)
		r = interface_find(domain, &interface, ret_error);
	if (r == 0)
		r = read_interface(interface, &f, ret_error);
	if (r == 0)
		r = mark_find(domain, &mark, ret_error);
	if (r == 0 && mark)
		r = mark_parse(mark, &f.mark, ret_error);
	if (r < 0)
		return r;
	f.memory_mib = (uint32_t)((kib + KIB - 1) / KIB);
	f.marked = mark != NULL;
	*ret = f;
	return 0;
}

int domain_read(const char *xml, struct domain_facts *ret, char **ret_error)
{
	_cleanup_doc_ xmlDocPtr doc = NULL;
	struct domain_facts facts;
	xmlNodePtr interface = NULL;
	int r = xml_parse(xml, "domain", &doc, ret_error);

	if (r == 0)
		r = facts_read(xmlDocGetRootElement(doc), &facts, ret_error);
	if (r == 0)
		r = interface_find(xmlDocGetRootElement(doc), &interface, ret_error);
	if (r == 0)
		r = interface_check(interface, ret_error);
	if (r == 0)
		*ret = facts;
	return r;
}

int domain_current_kib(const char *xml, uint64_t *ret)
{
	_cleanup_doc_ xmlDocPtr doc = NULL;
	_cleanup_free_
	char *error = NULL;
	int r = xml_parse(xml, "domain", &doc, &error);
	xmlNodePtr root = r == 0 ? xmlDocGetRootElement(doc) : NULL;
	xmlNodePtr current = xml_child(root, "currentMemory");

	return r < 0 ? r : read_memory(current ? current : xml_child(root, "memory"), ret, &error);
}

int domain_interface(const char *xml, char **ret)
{
	_cleanup_doc_ xmlDocPtr doc = NULL;
	_cleanup_free_
	char *error = NULL;
	xmlNodePtr interface = NULL;
	int r = xml_parse(xml, "domain", &doc, &error);

	if (r == 0)
		r = interface_find(xmlDocGetRootElement(doc), &interface, &error);
	if (r < 0)
		return r;
	*ret = xml_print_alone(interface);
	return *ret ? 0 : -ENOMEM;
}
