/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Domains for machines: taken over or made, looked at for their port, given back. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virt/domain_internal.h"
#include "virt/info.h"
#include "virt/storage.h"

struct make {
	struct virt_call call;
	struct domain_spec spec;
	bool dry_run;
	struct domain_facts facts;
	char *before, *after, *xml;
	void (*done)(const struct virt_made *made, void *arg);
	void *arg;
};

/* The sentence of a domain_* function becomes the call's. */
static int complain(struct virt_call *c, int error, char *sentence)
{
	call_fail_with(c, error, "%s", sentence ? sentence : "out of memory");
	free(sentence);
	return error;
}

/* Its description is for the next start: what runs or is saved now knows the old one. */
static int check_rests(struct virt_call *c, virDomainPtr dom)
{
	if (virDomainIsPersistent(dom) != 1)
		return call_fail_with(c, -EINVAL,
				      "the domain is transient: it has no description that lasts");
	if (virDomainIsActive(dom) == 1)
		return call_fail_with(c, -EBUSY, "the domain runs: shut it down first");
	return 0;
}

static int check_unsaved(struct virt_call *c, virDomainPtr dom)
{
	if (virDomainHasManagedSaveImage(dom, 0) != 1)
		return 0;
	return call_fail_with(
		c, -EBUSY,
		"the domain has a saved image, which knows its old interface: start "
		"it and shut it down, or remove the image (virsh managedsave-remove)");
}

static int define(struct virt_call *c, virConnectPtr conn, const char *xml)
{
	_cleanup_domain_ virDomainPtr dom = virDomainDefineXML(conn, xml);

	return dom ? 0 : call_fail(c, conn);
}

/* --- making --- */

static int take_over(struct make *m, virConnectPtr conn)
{
	struct virt_call *c = &m->call;
	_cleanup_domain_ virDomainPtr dom = virDomainLookupByName(conn, m->spec.domain);
	_cleanup_free_
	char *xml = NULL;
	char *error = NULL;
	int r;

	if (!dom)
		return call_fail(c, conn);
	if (check_rests(c, dom) < 0 || check_unsaved(c, dom) < 0)
		return c->error;
	/* Secrets included: what is left out here would be lost. */
	xml = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
	if (!xml)
		return call_fail(c, conn);
	r = domain_rewrite(xml, &m->spec, &m->facts, &m->xml, &m->before, &m->after, &error);
	if (r < 0)
		return complain(c, r, error);
	return m->dry_run ? 0 : define(c, conn, m->xml);
}

static int check_free(struct virt_call *c, virConnectPtr conn, const char *name)
{
	_cleanup_domain_ virDomainPtr dom = virDomainLookupByName(conn, name);

	if (dom)
		return call_fail_with(c, -EEXIST, "there is a domain '%s' already", name);
	if (call_fail(c, conn) != -ENODEV)
		return c->error;
	c->error = 0;
	return 0;
}

/* The description, and what it says; DISK NULL: none. */
static int build(struct make *m, const char *disk)
{
	char *error = NULL;
	int r = domain_build(&m->spec, disk, &m->xml, &error);

	if (r == 0)
		r = domain_read(m->xml, &m->facts, &error);
	if (r == 0)
		r = domain_interface(m->xml, &m->after);
	return r < 0 ? complain(&m->call, r, error) : 0;
}

/* Of the format that was said? libvirt would take one for the other, and the guest suffers. */
static int check_base(struct make *m, virConnectPtr conn)
{
	struct domain_spec *s = &m->spec;
	struct virt_call *c = &m->call;
	struct storage_file base;

	if (strcmp(s->image_format, "qcow2") != 0 && strcmp(s->image_format, "raw") != 0)
		return call_fail_with(c, -EINVAL, "image format '%s': expected qcow2 or raw",
				      s->image_format);
	if (storage_look(c, conn, s->image, &base) < 0)
		return c->error;
	if (strcmp(base.format, s->image_format) != 0)
		return call_fail_with(c, -EINVAL, "%s is of format %s, not %s", s->image,
				      base.format, s->image_format);
	if (base.bytes == 0)
		return call_fail_with(c, -EUCLEAN, "%s is empty, or not an image", s->image);
	if (s->disk_bytes == 0)
		s->disk_bytes = base.bytes;
	if (s->disk_bytes < base.bytes)
		return call_fail_with(c, -EINVAL,
				      "a disk of %llu bytes is smaller than its base %s, which has "
				      "%llu",
				      (unsigned long long)s->disk_bytes, s->image,
				      (unsigned long long)base.bytes);
	return 0;
}

static int make_on_image(struct make *m, virConnectPtr conn)
{
	const struct domain_spec *s = &m->spec;
	struct virt_call *c = &m->call, undo = {};
	char name[SP_DOMAIN_MAX + 8], path[SP_PATH_MAX];
	size_t n = strlen(s->image_dir);

	while (n > 1 && s->image_dir[n - 1] == '/')
		n--;
	snprintf(name, sizeof(name), "%s.qcow2", s->domain);
	if (s->image_dir[0] != '/' || (size_t)snprintf(path, sizeof(path), "%.*s/%s", (int)n,
						       s->image_dir, name) >= sizeof(path))
		return call_fail_with(c, -EINVAL,
				      "'%.80s': expected the absolute path of a directory",
				      s->image_dir);
	if (check_base(m, conn) < 0 || build(m, path) < 0 || m->dry_run)
		return c->error;
	if (storage_overlay(c, conn, s->image_dir, name, s->disk_bytes, s->image, s->image_format) <
	    0)
		return c->error;
	if (define(c, conn, m->xml) < 0)
		storage_delete(&undo, conn, path);
	return c->error;
}

/* Where libvirt cannot look at files, the start will tell. */
static int check_file(struct virt_call *c, virConnectPtr conn, const char *path)
{
	struct storage_file found;

	if (!path[0] || storage_look(c, conn, path, &found) != -EOPNOTSUPP)
		return c->error;
	c->error = 0;
	return 0;
}

static int make_on_kernel(struct make *m, virConnectPtr conn)
{
	struct virt_call *c = &m->call;

	if (check_file(c, conn, m->spec.kernel) < 0 || check_file(c, conn, m->spec.initrd) < 0 ||
	    build(m, NULL) < 0 || m->dry_run)
		return c->error;
	return define(c, conn, m->xml);
}

static void make_run(struct virt_call *c, virConnectPtr conn)
{
	struct make *m = (struct make *)c;

	if (m->spec.origin == ORIGIN_DOMAIN)
		take_over(m, conn);
	else if (check_free(c, conn, m->spec.domain) < 0)
		return;
	else if (m->spec.origin == ORIGIN_IMAGE)
		make_on_image(m, conn);
	else
		make_on_kernel(m, conn);
}

static void make_finish(struct virt_call *c)
{
	struct make *m = (struct make *)c;
	struct virt_made made = {.error = c->error};

	if (c->error < 0) {
		memcpy(made.message, c->message, sizeof(made.message));
	} else {
		memcpy(made.uuid, m->facts.uuid, sizeof(made.uuid));
		memcpy(made.mac, m->facts.mac, sizeof(made.mac));
		made.memory_mib = m->facts.memory_mib;
		made.vcpus = m->facts.vcpus;
		made.queues = m->facts.queues;
		made.before = m->before ? m->before : "";
		made.after = m->after;
		made.xml = m->xml;
	}
	m->done(&made, m->arg);
	free(m->before);
	free(m->after);
	free(m->xml);
	free(m);
}

int virt_make(struct virt *v, const struct domain_spec *spec, bool dry_run,
	      void (*done)(const struct virt_made *made, void *arg), void *arg)
{
	struct make *m = calloc(1, sizeof(*m));
	int r;

	if (!m)
		return -ENOMEM;
	m->call.run = make_run;
	m->call.finish = make_finish;
	m->spec = *spec;
	m->dry_run = dry_run;
	m->done = done;
	m->arg = arg;
	r = call_submit(v, LINE_SLOW, &m->call);
	if (r < 0)
		free(m);
	return r;
}

/* --- undoing it --- */

struct unmake {
	struct virt_call call;
	uint8_t uuid[SP_UUID_LEN];
	bool delete_disk;
	struct virt_info info;
	virt_done done;
	void *arg;
};

static int give_back(struct virt_call *c, virConnectPtr conn, virDomainPtr dom, const char *xml)
{
	_cleanup_free_
	char *former = NULL;
	char *error = NULL;
	int r;

	if (check_unsaved(c, dom) < 0)
		return c->error;
	r = domain_restore(xml, &former, &error);
	return r < 0 ? complain(c, r, error) : define(c, conn, former);
}

static int undefine(struct unmake *u, virConnectPtr conn, virDomainPtr dom, const char *xml)
{
	struct virt_call *c = &u->call;
	char disk[SP_PATH_MAX] = "", why[160];

	domain_disk(xml, disk);
	if (virDomainUndefineFlags(dom, VIR_DOMAIN_UNDEFINE_MANAGED_SAVE |
						VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA |
						VIR_DOMAIN_UNDEFINE_CHECKPOINTS_METADATA |
						VIR_DOMAIN_UNDEFINE_NVRAM) < 0)
		return call_fail(c, conn);
	if (!u->delete_disk || !disk[0] || storage_delete(c, conn, disk) == 0)
		return c->error;
	virt_words(c->message, why, sizeof(why));
	return call_fail_with(c, c->error, "the domain is gone, its disk %s is not: %s", disk, why);
}

static void unmake_run(struct virt_call *c, virConnectPtr conn)
{
	struct unmake *u = (struct unmake *)c;
	_cleanup_domain_ virDomainPtr dom = NULL;
	_cleanup_free_
	char *xml = NULL;
	struct domain_mark mark;
	char *error = NULL;
	int r;

	u->info.state = VIRT_ABSENT;
	if (call_find(c, conn, u->uuid, &dom) < 0) {
		if (c->error == -ENODEV)
			c->error = 0;
		return;
	}
	if (check_rests(c, dom) < 0) {
		info_look(dom, &u->info);
		return;
	}
	xml = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
	if (!xml) {
		call_fail(c, conn);
		return;
	}
	r = domain_mark_of(xml, &mark, &error);
	if (r < 0)
		complain(c, r, error);
	else if (mark.origin == ORIGIN_DOMAIN)
		give_back(c, conn, dom, xml);
	else
		undefine(u, conn, dom, xml);
	info_look(dom, &u->info);
}

static void unmake_finish(struct virt_call *c)
{
	struct unmake *u = (struct unmake *)c;
	struct virt_result result = {
		.error = c->error, .info = u->info, .libvirt_us = c->libvirt_us};

	if (c->error < 0)
		memcpy(result.message, c->message, sizeof(result.message));
	u->done(&result, u->arg);
	free(u);
}

int virt_unmake(struct virt *v, const uint8_t uuid[SP_UUID_LEN], bool delete_disk, virt_done done,
		void *arg)
{
	struct unmake *u = calloc(1, sizeof(*u));
	int r;

	if (!u)
		return -ENOMEM;
	u->call.run = unmake_run;
	u->call.finish = unmake_finish;
	memcpy(u->uuid, uuid, SP_UUID_LEN);
	u->delete_disk = delete_disk;
	u->done = done;
	u->arg = arg;
	r = call_submit(v, LINE_SLOW, &u->call);
	if (r < 0)
		free(u);
	return r;
}

/* --- the port --- */

struct look {
	struct virt_call call;
	uint8_t uuid[SP_UUID_LEN];
	struct domain_facts facts;
	void (*done)(const struct virt_port *port, void *arg);
	void *arg;
};

static void look_run(struct virt_call *c, virConnectPtr conn)
{
	struct look *l = (struct look *)c;
	_cleanup_domain_ virDomainPtr dom = NULL;
	_cleanup_free_
	char *xml = NULL, *error = NULL;

	if (call_find(c, conn, l->uuid, &dom) < 0)
		return;
	xml = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_INACTIVE);
	if (!xml)
		call_fail(c, conn);
	else if (domain_read(xml, &l->facts, &error) < 0 || !l->facts.marked)
		call_fail_with(c, -EUCLEAN,
			       "the domain is not as it was left: %.120s; mend it with virsh edit, "
			       "or remove the machine and add it again",
			       error ? error : "its mark in <metadata> is gone");
}

static void look_finish(struct virt_call *c)
{
	struct look *l = (struct look *)c;
	struct virt_port port = {.error = c->error};

	if (c->error < 0) {
		memcpy(port.message, c->message, sizeof(port.message));
	} else {
		port.queues = l->facts.queues;
		memcpy(port.tap, l->facts.tap, sizeof(port.tap));
		memcpy(port.mac, l->facts.mac, sizeof(port.mac));
		port.memory_mib = l->facts.memory_mib;
		port.vcpus = l->facts.vcpus;
	}
	l->done(&port, l->arg);
	free(l);
}

int virt_look_port(struct virt *v, const uint8_t uuid[SP_UUID_LEN],
		   void (*done)(const struct virt_port *port, void *arg), void *arg)
{
	struct look *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->call.run = look_run;
	l->call.finish = look_finish;
	memcpy(l->uuid, uuid, SP_UUID_LEN);
	l->done = done;
	l->arg = arg;
	r = call_submit(v, LINE_SWIFT, &l->call);
	if (r < 0)
		free(l);
	return r;
}
