/* SPDX-License-Identifier: GPL-2.0-or-later */
/* A machine's domain given back to its operator, or removed. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "virt/info.h"
#include "virt/make.h"
#include "virt/storage.h"

/* The sentence of a domain_* function becomes the call's. */
int make_complain(struct virt_call *c, int error, char *sentence)
{
	call_fail_with(c, error, "%s", sentence ? sentence : "out of memory");
	free(sentence);
	return error;
}

/* Its description is for the next start: what runs or is saved now knows the old one. */
int make_check_rests(struct virt_call *c, virDomainPtr dom)
{
	if (virDomainIsPersistent(dom) != 1)
		return call_fail_with(c, -EINVAL,
				      "the domain is transient: it has no description that lasts");
	if (virDomainIsActive(dom) == 1)
		return call_fail_with(c, -EBUSY, "the domain runs: shut it down first");
	return 0;
}

int make_check_unsaved(struct virt_call *c, virDomainPtr dom)
{
	if (virDomainHasManagedSaveImage(dom, 0) != 1)
		return 0;
	return call_fail_with(
		c, -EBUSY,
		"the domain has a saved image, which knows its old interface: start "
		"it and shut it down, or remove the image (virsh managedsave-remove)");
}

int make_define(struct virt_call *c, virConnectPtr conn, const char *xml)
{
	_cleanup_domain_ virDomainPtr dom = virDomainDefineXML(conn, xml);

	return dom ? 0 : call_fail(c, conn);
}

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

	if (make_check_unsaved(c, dom) < 0)
		return c->error;
	r = domain_restore(xml, &former, &error);
	return r < 0 ? make_complain(c, r, error) : make_define(c, conn, former);
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
	if (make_check_rests(c, dom) < 0) {
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
		make_complain(c, r, error);
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
