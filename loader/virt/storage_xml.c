/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What do descriptions of libvirt's pools and volumes say? */
#include <errno.h>

#include "virt/domain_internal.h"

int pool_path(const char *xml, char ret[SP_PATH_MAX])
{
	_cleanup_doc_ xmlDocPtr doc = NULL;
	_cleanup_free_
	char *error = NULL;
	int r = xml_parse(xml, "pool", &doc, &error);

	if (r < 0)
		return r;
	return xml_text(xml_child(xml_child(xmlDocGetRootElement(doc), "target"), "path"), ret,
			SP_PATH_MAX);
}

int volume_format(const char *xml, char ret[16])
{
	_cleanup_doc_ xmlDocPtr doc = NULL;
	_cleanup_free_
	char *error = NULL;
	int r = xml_parse(xml, "volume", &doc, &error);

	if (r < 0)
		return r;
	return xml_attribute(xml_child(xml_child(xmlDocGetRootElement(doc), "target"), "format"),
			     "type", ret, 16);
}
