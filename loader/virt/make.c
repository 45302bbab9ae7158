/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Domains for machines: an operator's taken over, or made on an image or a kernel. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "virt/make.h"
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

/* What is too long for libvirt's own messages is an error of encoding to it. */
static int no_description(struct virt_call *c, virConnectPtr conn)
{
	char why[120];

	if (call_fail(c, conn) == -ENOTCONN)
		return c->error;
	virt_words(c->message, why, sizeof(why));
	return call_fail_with(c, c->error,
			      "libvirt does not give its description, which may be too long "
			      "(expected at most %d bytes): %s",
			      SP_XML_MAX, why);
}

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
	if (make_check_rests(c, dom) < 0 || make_check_unsaved(c, dom) < 0)
		return c->error;
	/* Secrets included: what is left out here would be lost. */
	xml = virDomainGetXMLDesc(dom, VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
	if (!xml)
		return no_description(c, conn);
	r = domain_rewrite(xml, &m->spec, &m->facts, &m->xml, &m->before, &m->after, &error);
	if (r < 0)
		return make_complain(c, r, error);
	return m->dry_run ? 0 : make_define(c, conn, m->xml);
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
	return r < 0 ? make_complain(&m->call, r, error) : 0;
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
	if (make_define(c, conn, m->xml) < 0)
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
	return make_define(c, conn, m->xml);
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
