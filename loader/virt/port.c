/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What must the tap of a machine be like, so that libvirt takes it? */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "virt/domain_internal.h"
#include "virt/virt_internal.h"

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
