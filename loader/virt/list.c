/* SPDX-License-Identifier: GPL-2.0-or-later */
/* Everything that libvirt has, with whose mark it carries. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "virt/accel.h"
#include "virt/domain_internal.h"
#include "virt/info.h"

struct list {
	struct virt_call call;
	struct virt_domain *domains;
	int n;
	void (*done)(const struct virt_domain *domains, int n, const char *error, void *arg);
	void *arg;
};

static void read_mark(virDomainPtr dom, struct virt_domain *ret)
{
	char *xml = virDomainGetMetadata(dom, VIR_DOMAIN_METADATA_ELEMENT, DOMAIN_NS, 0);
	struct domain_mark mark;

	if (xml && domain_mark_read(xml, &mark) == 0) {
		memcpy(ret->owner, mark.server, sizeof(ret->owner));
		ret->machine = mark.machine;
	}
	free(xml);
}

static void describe(virDomainPtr dom, struct virt_domain *ret)
{
	const char *name = virDomainGetName(dom);

	virDomainGetUUID(dom, ret->uuid);
	virt_words(name ? name : "", ret->name, sizeof(ret->name));
	read_mark(dom, ret);
	info_look(dom, &ret->info);
}

static void list_run(struct virt_call *c, virConnectPtr conn)
{
	struct list *l = (struct list *)c;
	virDomainPtr *doms = NULL;
	int n = virConnectListAllDomains(conn, &doms, 0);

	if (n < 0) {
		call_fail(c, conn);
		return;
	}
	l->domains = calloc((size_t)n + 1, sizeof(*l->domains));
	if (!l->domains)
		call_fail_with(c, -ENOMEM, "out of memory");
	for (int i = 0; i < n; i++) {
		if (l->domains)
			describe(doms[i], &l->domains[l->n]);
		/* One that has gone meanwhile is not there. */
		if (l->domains && l->domains[l->n].info.state != VIRT_ABSENT)
			l->n++;
		else if (l->domains)
			l->domains[l->n] = (struct virt_domain){};
		virDomainFree(doms[i]);
	}
	free(doms);
	if (virConnectIsAlive(conn) != 1)
		call_fail_with(c, -ENOTCONN, "the connection to libvirt was lost");
}

/* The domain that is booted to try KVM is nobody's. */
static void drop_probe(struct list *l)
{
	for (int i = 0; i < l->n; i++) {
		if (accel_is_probe(l->call.virt, l->domains[i].uuid))
			l->domains[i--] = l->domains[--l->n];
	}
}

static void list_finish(struct virt_call *c)
{
	struct list *l = (struct list *)c;

	drop_probe(l);
	if (c->error < 0)
		l->done(NULL, -1, c->message, l->arg);
	else
		l->done(l->domains, l->n, NULL, l->arg);
	free(l->domains);
	free(l);
}

int virt_list(struct virt *v,
	      void (*done)(const struct virt_domain *domains, int n, const char *error, void *arg),
	      void *arg)
{
	struct list *l = calloc(1, sizeof(*l));
	int r;

	if (!l)
		return -ENOMEM;
	l->call.run = list_run;
	l->call.finish = list_finish;
	l->done = done;
	l->arg = arg;
	r = call_submit(v, LINE_SWIFT, &l->call);
	if (r < 0)
		free(l);
	return r;
}
