/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Whose is a domain? The mark in its <metadata>:
 *
 *   <sallyport:machine xmlns:sallyport="urn:sallyport:machine:1" server="gate" user="alice"
 *                      name="web" id="7" origin="domain">
 *     <sallyport:former><interface type="network">...</interface></sallyport:former>
 *   </sallyport:machine>
 *
 * `former` is the interface that the domain had before; `disk` (an attribute) the overlay that was
 * made for it.
 */
#include <errno.h>
#include <string.h>

#include "virt/domain_internal.h"

#define PREFIX "sallyport"

static const char *const origin_names[] = {
	[ORIGIN_DOMAIN] = "domain", [ORIGIN_IMAGE] = "image", [ORIGIN_KERNEL] = "kernel"};

static bool is_ours(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && node->ns && node->ns->href &&
	       strcmp((const char *)node->ns->href, DOMAIN_NS) == 0 &&
	       (!name || strcmp((const char *)node->name, name) == 0);
}

int mark_find(xmlNodePtr domain, xmlNodePtr *ret, char **ret_error)
{
	xmlNodePtr metadata = xml_child(domain, "metadata"), found = NULL;

	for (xmlNodePtr n = metadata ? metadata->children : NULL; n; n = n->next) {
		if (!is_ours(n, NULL))
			continue;
		if (found)
			return xml_complain(ret_error, -EINVAL,
					    "<metadata> has two elements of " DOMAIN_NS
					    ", expected one");
		found = n;
	}
	*ret = found;
	return 0;
}

/* An attribute that must be there. */
static int get(xmlNodePtr mark, const char *name, char *ret, size_t size, char **ret_error)
{
	int r = xml_attribute(mark, name, ret, size);

	if (r == 0 && ret[0])
		return 0;
	return xml_complain(ret_error, -EINVAL,
			    "the mark in <metadata> has no %s of 1 to %zu bytes", name, size - 1);
}

int mark_parse(xmlNodePtr mark, struct domain_mark *ret, char **ret_error)
{
	struct domain_mark found = {};
	char origin[16], id[16];
	uint64_t number;
	int r;

	if (strcmp((const char *)mark->name, "machine") != 0)
		return xml_complain(ret_error, -EINVAL,
				    "the mark in <metadata> is <%.40s>, expected <machine>",
				    (const char *)mark->name);
	r = get(mark, "server", found.server, sizeof(found.server), ret_error);
	if (r == 0)
		r = get(mark, "user", found.user, sizeof(found.user), ret_error);
	if (r == 0)
		r = get(mark, "name", found.name, sizeof(found.name), ret_error);
	if (r == 0)
		r = get(mark, "id", id, sizeof(id), ret_error);
	if (r == 0)
		r = get(mark, "origin", origin, sizeof(origin), ret_error);
	if (r < 0)
		return r;
	if (xml_number(id, UINT32_MAX, &number) < 0)
		return xml_complain(ret_error, -EINVAL,
				    "the mark's id is '%s', expected a number below 2^32", id);
	found.machine = (uint32_t)number;
	for (int i = ORIGIN_DOMAIN; i <= ORIGIN_KERNEL; i++) {
		if (strcmp(origin, origin_names[i]) == 0)
			found.origin = (enum store_origin)i;
	}
	if (!found.origin)
		return xml_complain(ret_error, -EINVAL,
				    "the mark's origin is '%s', expected domain, image or kernel",
				    origin);
	*ret = found;
	return 0;
}

/* <metadata> of the domain, made where there is none. */
static xmlNodePtr need_metadata(struct xml_maker *m, xmlNodePtr domain)
{
	xmlNodePtr metadata = xml_child(domain, "metadata");

	return metadata ? metadata : xml_add(m, domain, "metadata", NULL);
}

xmlNodePtr mark_write(struct xml_maker *m, xmlNodePtr domain, const struct domain_mark *mark,
		      const char *disk)
{
	xmlNodePtr metadata = need_metadata(m, domain), old = NULL, node;
	char *none = NULL;
	xmlNsPtr ns;

	if (mark_find(domain, &old, &none) < 0) {
		free(none);
		m->failed = true;
	}
	node = xml_add(m, metadata, "machine", NULL);
	if (m->failed)
		return NULL;
	ns = xmlNewNs(node, (const xmlChar *)DOMAIN_NS, (const xmlChar *)PREFIX);
	m->failed = ns == NULL;
	xmlSetNs(node, ns);
	xml_set(m, node, "server", mark->server);
	xml_set(m, node, "user", mark->user);
	xml_set(m, node, "name", mark->name);
	xml_set_number(m, node, "id", mark->machine);
	xml_set(m, node, "origin", origin_names[mark->origin]);
	if (disk)
		xml_set(m, node, "disk", disk);
	if (old) {
		xmlNodePtr former = mark_former(old);

		if (former)
			mark_keep_former(m, node, former);
		xml_drop(old);
	}
	return node;
}

xmlNodePtr mark_former(xmlNodePtr mark)
{
	xmlNodePtr n = mark->children;

	while (n && !is_ours(n, "former"))
		n = n->next;
	return n ? xml_child(n, "interface") : NULL;
}

int mark_keep_former(struct xml_maker *m, xmlNodePtr mark, xmlNodePtr interface)
{
	xmlNodePtr former = xml_add(m, mark, "former", NULL);
	xmlNodePtr copy = m->failed ? NULL : xmlDocCopyNode(interface, mark->doc, 1);

	if (!copy || !xmlAddChild(former, copy)) {
		xmlFreeNode(copy);
		m->failed = true;
		return -ENOMEM;
	}
	return 0;
}

int domain_mark_read(const char *xml, struct domain_mark *ret)
{
	_cleanup_doc_ xmlDocPtr doc = NULL;
	_cleanup_free_
	char *error = NULL;
	int r = xml_parse(xml, "machine", &doc, &error);

	return r < 0 ? r : mark_parse(xmlDocGetRootElement(doc), ret, &error);
}

int domain_mark_of(const char *xml, struct domain_mark *ret, char **ret_error)
{
	_cleanup_doc_ xmlDocPtr doc = NULL;
	xmlNodePtr mark = NULL;
	int r = xml_parse(xml, "domain", &doc, ret_error);

	if (r == 0)
		r = mark_find(xmlDocGetRootElement(doc), &mark, ret_error);
	if (r < 0)
		return r;
	if (!mark)
		return xml_complain(ret_error, -ENODATA, "its <metadata> carries no mark of ours");
	return mark_parse(mark, ret, ret_error);
}

int domain_disk(const char *xml, char ret[SP_PATH_MAX])
{
	_cleanup_doc_ xmlDocPtr doc = NULL;
	_cleanup_free_
	char *error = NULL;
	xmlNodePtr mark = NULL;
	int r = xml_parse(xml, "domain", &doc, &error);

	if (r == 0)
		r = mark_find(xmlDocGetRootElement(doc), &mark, &error);
	if (r < 0)
		return r;
	if (!mark || xml_attribute(mark, "disk", ret, SP_PATH_MAX) < 0)
		ret[0] = '\0';
	return 0;
}
