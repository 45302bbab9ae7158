/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A domain that was there before: its interface made ours, and made its own again. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "lib/mac.h"
#include "virt/domain_internal.h"

#define QEMU_NS "http://libvirt.org/schemas/domain/qemu/1.0"

/* --- what cannot be taken over --- */

/* A network device that goes past libvirt goes past us. */
static int check_command_line(xmlNodePtr domain, char **ret_error)
{
	static const char *const bad[] = {"-netdev", "-nic", "-net"};
	char value[64];

	for (xmlNodePtr n = domain->children; n; n = n->next) {
		if (n->type != XML_ELEMENT_NODE || !n->ns ||
		    strcmp((const char *)n->ns->href, QEMU_NS) != 0)
			continue;
		for (xmlNodePtr a = n->children; a; a = a->next) {
			if (a->type != XML_ELEMENT_NODE ||
			    xml_attribute(a, "value", value, sizeof(value)) < 0)
				continue;
			for (size_t i = 0; i < SP_ARRAY_SIZE(bad); i++) {
				if (strcmp(value, bad[i]) == 0)
					return xml_complain(ret_error, -EINVAL,
							    "it gives QEMU a network device past "
							    "libvirt (%s in <commandline>)",
							    value);
			}
		}
	}
	return 0;
}

static int check_mark(xmlNodePtr domain, const struct domain_mark *wanted, char **ret_error)
{
	struct domain_mark found;
	xmlNodePtr mark = NULL;
	int r = mark_find(domain, &mark, ret_error);

	if (r < 0 || !mark)
		return r;
	r = mark_parse(mark, &found, ret_error);
	if (r < 0 || strcmp(found.server, wanted->server) == 0)
		return r;
	return xml_complain(ret_error, -EINVAL,
			    "it is machine %s/%s of server '%s' (see its <metadata>); this is '%s'",
			    found.user, found.name, found.server, wanted->server);
}

static bool know_model(const char *model, bool *ret_virtio)
{
	static const struct {
		const char *name;
		bool virtio;
	} known[] = {
		{"virtio", true},
		{"virtio-transitional", true},
		{"virtio-non-transitional", true},
		{"e1000", false},
		{"e1000e", false},
		{"rtl8139", false},
		{"pcnet", false},
		{"vmxnet3", false},
	};

	for (size_t i = 0; i < SP_ARRAY_SIZE(known); i++) {
		if (strcmp(model, known[i].name) == 0) {
			*ret_virtio = known[i].virtio;
			return true;
		}
	}
	return false;
}

/* Where it names no model, it gets libvirt's default, which is one of these. */
static int check_interface(xmlNodePtr interface, unsigned int queues, char **ret_error)
{
	char model[32] = "";
	bool virtio = false;

	if (xml_attribute(xml_child(interface, "model"), "type", model, sizeof(model)) !=
		    -ENODATA &&
	    !know_model(model, &virtio))
		return xml_complain(ret_error, -EINVAL,
				    "its interface is of model '%s', expected virtio, e1000, "
				    "e1000e, rtl8139, pcnet or vmxnet3",
				    model);
	if (queues > 1 && !virtio)
		return xml_complain(ret_error, -EINVAL,
				    "%u queues need an interface of model virtio, not '%s'", queues,
				    model);
	return 0;
}

static int check_words(const struct domain_mark *mark, char **ret_error)
{
	if (xml_can_hold(mark->server) && xml_can_hold(mark->user) && xml_can_hold(mark->name))
		return 0;
	return xml_complain(ret_error, -EINVAL,
			    "the names of the server, the user and the machine must be UTF-8 "
			    "without control characters");
}

/* --- the changes --- */

static void drop_attributes(xmlNodePtr node, const char *kept)
{
	for (xmlAttrPtr a = node->properties, next; a; a = next) {
		next = a->next;
		if (!kept || strcmp((const char *)a->name, kept) != 0)
			xmlRemoveProp(a);
	}
}

/* vhost is the default where the host has it; a long ring was for vhost-user. */
static void change_driver(struct xml_maker *m, xmlNodePtr interface, unsigned int queues,
			  const char *former_type)
{
	xmlNodePtr driver = xml_child(interface, "driver");
	char name[16] = "";

	if (driver && xml_attribute(driver, "name", name, sizeof(name)) == 0 &&
	    strcmp(name, "vhost") == 0)
		xmlUnsetProp(driver, (const xmlChar *)"name");
	if (driver && strcmp(former_type, "vhostuser") == 0)
		xmlUnsetProp(driver, (const xmlChar *)"tx_queue_size");
	if (queues > 1 && !driver)
		driver = xml_add(m, interface, "driver", NULL);
	if (queues > 1)
		xml_set_number(m, driver, "queues", queues);
	else if (driver)
		xmlUnsetProp(driver, (const xmlChar *)"queues");
	if (driver && !driver->properties && !driver->children)
		xml_drop(driver);
}

static void change_interface(struct xml_maker *m, xmlNodePtr interface,
			     const struct domain_spec *spec, const uint8_t mac[6],
			     unsigned int queues)
{
	char type[32] = "", text[MAC_STRLEN];
	xmlNodePtr node;

	xml_attribute(interface, "type", type, sizeof(type));
	drop_attributes(interface, "type");
	xml_set(m, interface, "type", "ethernet");
	for (xmlNodePtr n = interface->children, next; n; n = next) {
		next = n->next;
		if (n->type == XML_ELEMENT_NODE &&
		    (n->ns || !interface_keeps((const char *)n->name) || xml_is(n, "mac") ||
		     xml_is(n, "target")))
			xml_drop(n);
	}
	node = xml_add(m, interface, "mac", NULL);
	xml_set(m, node, "address", mac_format(mac, text));
	node = xml_add(m, interface, "target", NULL);
	xml_set(m, node, "dev", spec->tap);
	xml_set(m, node, "managed", "no");
	change_driver(m, interface, queues, type);
}

static void replace_text(struct xml_maker *m, xmlNodePtr domain, const char *name, uint64_t value,
			 const char *unit)
{
	xmlNodePtr old = xml_child(domain, name), node;
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	node = xml_add(m, domain, name, text);
	if (unit)
		xml_set(m, node, "unit", unit);
	if (old && !m->failed)
		xml_drop(old);
}

/* Memory and vCPUs, where they are to be other than they are. */
static int change_size(struct xml_maker *m, xmlNodePtr domain, const struct domain_spec *spec,
		       char **ret_error)
{
	xmlNodePtr vcpus = xml_child(domain, "vcpus");

	if (spec->memory_mib) {
		if (xml_child(xml_child(domain, "cpu"), "numa"))
			return xml_complain(ret_error, -EINVAL,
					    "its memory is laid out in NUMA cells: change it with "
					    "virsh edit");
		replace_text(m, domain, "memory", spec->memory_mib, "MiB");
		replace_text(m, domain, "currentMemory", spec->memory_mib, "MiB");
	}
	if (spec->vcpus) {
		replace_text(m, domain, "vcpu", spec->vcpus, NULL);
		if (vcpus && !m->failed)
			xml_drop(vcpus);
	}
	return 0;
}

/* --- both ways --- */

static bool is_zero(const uint8_t mac[6])
{
	return memcmp(mac, (const uint8_t[6]){}, 6) == 0;
}

static void mark_it(struct xml_maker *m, xmlNodePtr domain, xmlNodePtr interface,
		    const struct domain_mark *mark)
{
	xmlNodePtr node = mark_write(m, domain, mark, NULL);

	/* Where it was ours before, what it had before that has moved already. */
	if (!m->failed && !mark_former(node))
		mark_keep_former(m, node, interface);
}

static int print_all(xmlNodePtr domain, xmlNodePtr interface, char **ret_xml, char **ret_after,
		     char **ret_error)
{
	*ret_xml = xml_print(domain);
	*ret_after = xml_print_alone(interface);
	return *ret_xml && *ret_after ? 0 : xml_complain(ret_error, -ENOMEM, "out of memory");
}

int domain_rewrite(const char *xml, const struct domain_spec *spec, struct domain_facts *ret,
		   char **ret_xml, char **ret_before, char **ret_after, char **ret_error)
{
	_cleanup_doc_ xmlDocPtr doc = NULL;
	_cleanup_free_
	char *out = NULL, *before = NULL, *after = NULL;
	struct xml_maker m = {};
	struct domain_facts facts;
	xmlNodePtr domain, interface = NULL;
	unsigned int queues;
	int r = xml_parse(xml, "domain", &doc, ret_error);

	if (r < 0)
		return r;
	domain = xmlDocGetRootElement(doc);
	r = facts_read(domain, &facts, ret_error);
	if (r == 0)
		r = interface_find(domain, &interface, ret_error);
	queues = spec->queues ? spec->queues : r == 0 ? facts.queues : 1;
	if (r == 0)
		r = check_interface(interface, queues, ret_error);
	if (r == 0)
		r = check_command_line(domain, ret_error);
	if (r == 0)
		r = check_mark(domain, &spec->mark, ret_error);
	if (r == 0)
		r = check_words(&spec->mark, ret_error);
	if (r < 0)
		return r;
	before = xml_print_alone(interface);
	mark_it(&m, domain, interface, &spec->mark);
	change_interface(&m, interface, spec, is_zero(spec->mac) ? facts.mac : spec->mac, queues);
	r = change_size(&m, domain, spec, ret_error);
	if (r == 0 && (m.failed || !before))
		r = xml_complain(ret_error, -ENOMEM, "out of memory");
	if (r == 0)
		r = print_all(domain, interface, &out, &after, ret_error);
	if (r == 0)
		r = domain_read(out, ret, ret_error); /* it must be what we take for ours */
	if (r < 0)
		return r;
	*ret_xml = TAKE_PTR(out);
	*ret_before = TAKE_PTR(before);
	*ret_after = TAKE_PTR(after);
	return 0;
}

/* Ours among the interfaces that it has now; NULL: somebody took it out. */
static xmlNodePtr find_ours(xmlNodePtr domain)
{
	xmlNodePtr n = xml_child(xml_child(domain, "devices"), "interface");
	char *error = NULL;

	while (n && interface_check(n, &error) < 0) {
		free(TAKE_PTR(error));
		n = xml_next(n, "interface");
	}
	return n;
}

static int put_back(xmlNodePtr domain, xmlNodePtr former, char **ret_error)
{
	xmlNodePtr ours = find_ours(domain), devices = xml_child(domain, "devices");
	xmlNodePtr copy = devices ? xmlDocCopyNode(former, domain->doc, 1) : NULL;

	if (!copy)
		return xml_complain(ret_error, devices ? -ENOMEM : -EINVAL,
				    devices ? "out of memory" : "it has no <devices>");
	if (ours) {
		xmlReplaceNode(ours, copy);
		xmlFreeNode(ours);
	} else {
		xmlAddChild(devices, copy);
	}
	return 0;
}

int domain_restore(const char *xml, char **ret_xml, char **ret_error)
{
	_cleanup_doc_ xmlDocPtr doc = NULL;
	xmlNodePtr domain, mark = NULL, former, metadata;
	int r = xml_parse(xml, "domain", &doc, ret_error);

	if (r < 0)
		return r;
	domain = xmlDocGetRootElement(doc);
	r = mark_find(domain, &mark, ret_error);
	if (r < 0)
		return r;
	former = mark ? mark_former(mark) : NULL;
	if (!former)
		return xml_complain(ret_error, -ENODATA,
				    "its <metadata> holds no interface that it had before");
	r = put_back(domain, former, ret_error);
	if (r < 0)
		return r;
	metadata = mark->parent;
	xml_drop(mark);
	if (!xmlFirstElementChild(metadata))
		xml_drop(metadata);
	*ret_xml = xml_print(domain);
	return *ret_xml ? 0 : xml_complain(ret_error, -ENOMEM, "out of memory");
}
