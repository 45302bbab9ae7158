/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A domain out of nothing: q35, virtio throughout, a serial console, no display, no USB. Under KVM
 * the host's own CPU; under TCG all that it can emulate, so that systems built for newer CPUs boot.
 */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/random.h>

#include "lib/mac.h"
#include "virt/domain_internal.h"
#include "virt/virt.h"

static int check_field(const char *value, const char *what, char **ret_error)
{
	if (value[0] && xml_can_hold(value))
		return 0;
	return xml_complain(ret_error, -EINVAL,
			    "%s is '%.100s', expected UTF-8 without control "
			    "characters",
			    what, value);
}

static int check_spec(const struct domain_spec *s, const char *disk, char **ret_error)
{
	int r = check_field(s->domain, "the domain's name", ret_error);

	if (r == 0 && strchr(s->domain, '/'))
		r = xml_complain(ret_error, -EINVAL,
				 "the domain's name is '%s', expected one without '/'", s->domain);
	if (r == 0)
		r = check_field(s->mark.server, "the server's name", ret_error);
	if (r == 0)
		r = check_field(s->mark.user, "the user's name", ret_error);
	if (r == 0)
		r = check_field(s->mark.name, "the machine's name", ret_error);
	if (r == 0)
		r = check_field(s->tap, "the tap's name", ret_error);
	if (r == 0 && s->origin == ORIGIN_IMAGE)
		r = check_field(disk ? disk : "", "the disk's path", ret_error);
	if (r == 0 && s->origin == ORIGIN_KERNEL)
		r = check_field(s->kernel, "the kernel's path", ret_error);
	if (r == 0 && (!xml_can_hold(s->initrd) || !xml_can_hold(s->cmdline)))
		r = xml_complain(ret_error, -EINVAL,
				 "the initrd's path and the kernel's command "
				 "line must be UTF-8 without control characters");
	if (r == 0 && (!mac_is_unicast(s->mac) || s->memory_mib == 0 || s->vcpus == 0))
		r = xml_complain(ret_error, -EINVAL,
				 "a MAC of a host, memory and vCPUs are needed");
	if (r == 0 && s->queues > DOMAIN_QUEUES_MAX)
		r = xml_complain(ret_error, -EINVAL, "%u queues, expected at most %d", s->queues,
				 DOMAIN_QUEUES_MAX);
	return r;
}

int uuid_new(uint8_t ret[SP_UUID_LEN])
{
	if (getrandom(ret, SP_UUID_LEN, 0) != SP_UUID_LEN)
		return -errno;
	ret[6] = (uint8_t)((ret[6] & 0x0f) | 0x40);
	ret[8] = (uint8_t)((ret[8] & 0x3f) | 0x80);
	return 0;
}

/* An element with one attribute, which most of them have. */
static xmlNodePtr add_with(struct xml_maker *m, xmlNodePtr parent, const char *name,
			   const char *key, const char *value)
{
	xmlNodePtr node = xml_add(m, parent, name, NULL);

	xml_set(m, node, key, value);
	return node;
}

static xmlNodePtr add_number(struct xml_maker *m, xmlNodePtr parent, const char *name,
			     uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	return xml_add(m, parent, name, text);
}

static void add_os(struct xml_maker *m, xmlNodePtr domain, const struct domain_spec *s)
{
	xmlNodePtr os = xml_add(m, domain, "os", NULL), type = xml_add(m, os, "type", "hvm");

	xml_set(m, type, "arch", "x86_64");
	xml_set(m, type, "machine", "q35");
	if (s->origin == ORIGIN_IMAGE) {
		add_with(m, os, "boot", "dev", "hd");
		return;
	}
	xml_add(m, os, "kernel", s->kernel);
	if (s->initrd[0])
		xml_add(m, os, "initrd", s->initrd);
	if (s->cmdline[0])
		xml_add(m, os, "cmdline", s->cmdline);
}

static void add_disk(struct xml_maker *m, xmlNodePtr devices, const char *path)
{
	xmlNodePtr disk = add_with(m, devices, "disk", "type", "file"), driver, target;

	xml_set(m, disk, "device", "disk");
	driver = add_with(m, disk, "driver", "name", "qemu");
	xml_set(m, driver, "type", "qcow2");
	xml_set(m, driver, "discard", "unmap");
	add_with(m, disk, "source", "file", path);
	target = add_with(m, disk, "target", "dev", "vda");
	xml_set(m, target, "bus", "virtio");
}

/* Network boot would only delay it. */
static void add_interface(struct xml_maker *m, xmlNodePtr devices, const struct domain_spec *s)
{
	xmlNodePtr interface = add_with(m, devices, "interface", "type", "ethernet"), node;
	char mac[MAC_STRLEN];

	add_with(m, interface, "mac", "address", mac_format(s->mac, mac));
	node = add_with(m, interface, "target", "dev", s->tap);
	xml_set(m, node, "managed", "no");
	add_with(m, interface, "model", "type", "virtio");
	if (s->queues > 1) {
		node = xml_add(m, interface, "driver", NULL);
		xml_set_number(m, node, "queues", s->queues);
	}
	add_with(m, interface, "rom", "enabled", "no");
}

static void add_console(struct xml_maker *m, xmlNodePtr devices)
{
	xmlNodePtr serial = add_with(m, devices, "serial", "type", "pty"), node;

	add_with(m, serial, "target", "port", "0");
	node = add_with(m, devices, "console", "type", "pty");
	node = add_with(m, node, "target", "type", "serial");
	xml_set(m, node, "port", "0");
}

/* What is reported free goes back to the host at once; a guest in need takes from the balloon. */
static void add_rest(struct xml_maker *m, xmlNodePtr devices)
{
	xmlNodePtr node = add_with(m, devices, "controller", "type", "usb");

	xml_set(m, node, "model", "none");
	node = add_with(m, devices, "memballoon", "model", "virtio");
	xml_set(m, node, "autodeflate", "on");
	xml_set(m, node, "freePageReporting", "on");
	node = add_with(m, devices, "rng", "model", "virtio");
	node = xml_add(m, node, "backend", "/dev/urandom");
	xml_set(m, node, "model", "random");
	add_with(m, devices, "panic", "model", "isa");
}

static void fill(struct xml_maker *m, xmlNodePtr domain, const struct domain_spec *s,
		 const char *uuid, const char *disk)
{
	xmlNodePtr node;

	xml_set(m, domain, "type", s->kvm ? "kvm" : "qemu");
	xml_add(m, domain, "name", s->domain);
	xml_add(m, domain, "uuid", uuid);
	mark_write(m, domain, &s->mark, s->origin == ORIGIN_IMAGE ? disk : NULL);
	node = add_number(m, domain, "memory", s->memory_mib);
	xml_set(m, node, "unit", "MiB");
	add_number(m, domain, "vcpu", s->vcpus);
	add_os(m, domain, s);
	node = xml_add(m, domain, "features", NULL);
	xml_add(m, node, "acpi", NULL);
	add_with(m, domain, "cpu", "mode", s->kvm ? "host-passthrough" : "maximum");
	add_with(m, domain, "clock", "offset", "utc");
	xml_add(m, domain, "on_poweroff", "destroy");
	xml_add(m, domain, "on_reboot", "restart");
	xml_add(m, domain, "on_crash", "destroy");
	node = xml_add(m, domain, "devices", NULL);
	if (s->origin == ORIGIN_IMAGE)
		add_disk(m, node, disk);
	add_interface(m, node, s);
	add_console(m, node);
	add_rest(m, node);
}

/* A document with an empty root; NULL: no memory. */
static xmlNodePtr new_root(const char *name)
{
	xmlDocPtr doc = xmlNewDoc((const xmlChar *)"1.0");
	xmlNodePtr root = doc ? xmlNewDocNode(doc, NULL, (const xmlChar *)name, NULL) : NULL;

	if (root)
		xmlDocSetRootElement(doc, root);
	else if (doc)
		xmlFreeDoc(doc);
	return root;
}

static int print_root(const struct xml_maker *m, xmlNodePtr root, char **ret_xml)
{
	char *text = m->failed ? NULL : xml_print(root);

	xmlFreeDoc(root->doc);
	if (!text)
		return -ENOMEM;
	*ret_xml = text;
	return 0;
}

int domain_build(const struct domain_spec *spec, const char *disk, char **ret_xml, char **ret_error)
{
	struct xml_maker m = {};
	xmlNodePtr root;
	static const uint8_t none[SP_UUID_LEN];
	uint8_t uuid[SP_UUID_LEN];
	char text[UUID_STRLEN];
	int r = check_spec(spec, disk, ret_error);

	if (r < 0)
		return r;
	memcpy(uuid, spec->uuid, sizeof(uuid));
	if (memcmp(uuid, none, sizeof(uuid)) == 0)
		r = uuid_new(uuid);
	if (r < 0)
		return xml_complain(ret_error, r, "no random number for a UUID");
	uuid_format(uuid, text);
	root = new_root("domain");
	if (root)
		fill(&m, root, spec, text, disk);
	r = root ? print_root(&m, root, ret_xml) : -ENOMEM;
	return r < 0 ? xml_complain(ret_error, r, "out of memory") : 0;
}

int domain_build_probe(const char *kernel, const uint8_t uuid[SP_UUID_LEN], char **ret_xml)
{
	struct xml_maker m = {};
	xmlNodePtr root = new_root("domain"), node;
	char name[64] = "sallyport-probe-", *text = name + strlen(name);

	if (!root)
		return -ENOMEM;
	uuid_format(uuid, text);
	xml_set(&m, root, "type", "kvm");
	xml_add(&m, root, "name", name);
	xml_add(&m, root, "uuid", text);
	node = add_number(&m, root, "memory", 32);
	xml_set(&m, node, "unit", "MiB");
	add_number(&m, root, "vcpu", 1);
	node = xml_add(&m, root, "os", NULL);
	add_with(&m, node, "type", "arch", "x86_64");
	if (!m.failed)
		xmlNodeSetContent(xml_child(node, "type"), (const xmlChar *)"hvm");
	xml_set(&m, xml_child(node, "type"), "machine", "q35");
	xml_add(&m, node, "kernel", kernel);
	node = xml_add(&m, root, "features", NULL);
	xml_add(&m, node, "acpi", NULL);
	add_with(&m, root, "cpu", "mode", "host-passthrough");
	/* Whoever owns the kernel's file, it stays so. */
	add_with(&m, root, "seclabel", "type", "none");
	node = xml_add(&m, root, "devices", NULL);
	add_console(&m, node);
	node = add_with(&m, node, "controller", "type", "usb");
	xml_set(&m, node, "model", "none");
	add_with(&m, xml_child(root, "devices"), "memballoon", "model", "none");
	return print_root(&m, root, ret_xml);
}

/* --- storage --- */

int pool_build(const char *name, const char *path, char **ret_xml)
{
	struct xml_maker m = {};
	xmlNodePtr root = new_root("pool"), node;

	if (!root)
		return -ENOMEM;
	xml_set(&m, root, "type", "dir");
	xml_add(&m, root, "name", name);
	node = xml_add(&m, root, "target", NULL);
	xml_add(&m, node, "path", path);
	return print_root(&m, root, ret_xml);
}

int volume_build(const char *name, uint64_t bytes, const char *base, const char *base_format,
		 char **ret_xml)
{
	struct xml_maker m = {};
	xmlNodePtr root = new_root("volume"), node;

	if (!root)
		return -ENOMEM;
	xml_add(&m, root, "name", name);
	node = add_number(&m, root, "capacity", bytes);
	xml_set(&m, node, "unit", "bytes");
	node = xml_add(&m, root, "target", NULL);
	add_with(&m, node, "format", "type", "qcow2");
	xml_add(&m, node, "compat", "1.1");
	node = xml_add(&m, root, "backingStore", NULL);
	xml_add(&m, node, "path", base);
	add_with(&m, node, "format", "type", base_format);
	return print_root(&m, root, ret_xml);
}
