/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What the files that know libvirt's XML share, and what loader/virt/ needs beyond domain.h. */
#ifndef SALLYPORT_LOADER_VIRT_DOMAIN_INTERNAL_H
#define SALLYPORT_LOADER_VIRT_DOMAIN_INTERNAL_H

#include <libxml/tree.h>
#include <stdbool.h>
#include <stdint.h>

#include "lib/cleanup.h"
#include "virt/domain.h"

/* --- xml.c: reading --- */

/*
 * The document, whose root must be ROOT. No DTD, no entity beyond the five, no network, no prefix
 * without its namespace, nothing deeper than libxml2's own bound. -EINVAL, -E2BIG, -ENOMEM, with a
 * sentence.
 */
int xml_parse(const char *text, const char *root, xmlDocPtr *ret, char **ret_error);

/* Children that are elements of no namespace and of this NAME (NULL: any). */
xmlNodePtr xml_child(xmlNodePtr parent, const char *name);
xmlNodePtr xml_next(xmlNodePtr node, const char *name);
bool xml_is(const xmlNode *node, const char *name);
/* An attribute, or the text of an element, into a buffer. -ENODATA: none; -E2BIG: longer. */
int xml_attribute(xmlNodePtr node, const char *name, char *ret, size_t size);
int xml_text(xmlNodePtr node, char *ret, size_t size);
/* A decimal number and nothing else. -ENODATA, -EINVAL. */
int xml_number(const char *text, uint64_t max, uint64_t *ret);
/* The text of a node, indented, without a declaration; NULL: no memory. To be freed with free(). */
char *xml_print(xmlNodePtr node);
/* The same for a part of a document, with the namespaces declared that it has from around it. */
char *xml_print_alone(xmlNodePtr node);

/* --- xml.c: making; each does nothing where an earlier one failed --- */

struct xml_maker {
	bool failed; /* no memory */
};
xmlNodePtr xml_add(struct xml_maker *m, xmlNodePtr parent, const char *name, const char *text);
void xml_set(struct xml_maker *m, xmlNodePtr node, const char *name, const char *value);
void xml_set_number(struct xml_maker *m, xmlNodePtr node, const char *name, uint64_t value);
/* Out of its document, and freed. */
void xml_drop(xmlNodePtr node);
/* Can TEXT be in a document at all: UTF-8 without control characters? */
bool xml_can_hold(const char *text);

/* *ret_error = a sentence; returns ERROR. */
int xml_complain(char **ret_error, int error, const char *format, ...)
	__attribute__((format(printf, 3, 4)));

static inline void xml_doc_freep(xmlDocPtr *doc)
{
	if (*doc)
		xmlFreeDoc(*doc);
}
#define _cleanup_doc_ _cleanup_(xml_doc_freep)

/* --- domain_mark.c --- */

/* The element of ours in a domain's metadata; NULL: none. -EINVAL: several. */
int mark_find(xmlNodePtr domain, xmlNodePtr *ret, char **ret_error);
int mark_parse(xmlNodePtr mark, struct domain_mark *ret, char **ret_error);
/* A new one, in place of one that is there; what that had inside moves. */
xmlNodePtr mark_write(struct xml_maker *m, xmlNodePtr domain, const struct domain_mark *mark,
		      const char *disk);
/* The interface that was there before, inside MARK; NULL: none. */
xmlNodePtr mark_former(xmlNodePtr mark);
int mark_keep_former(struct xml_maker *m, xmlNodePtr mark, xmlNodePtr interface);

/* The element alone, as libvirt's metadata call gives it: without its namespace. */
int domain_mark_read(const char *xml, struct domain_mark *ret);
/* Of a whole description. -ENODATA: it carries none. */
int domain_mark_of(const char *xml, struct domain_mark *ret, char **ret_error);
/* The overlay that was made for it; "" where none was. */
int domain_disk(const char *xml, char ret[SP_PATH_MAX]);

/* --- domain_facts.c --- */

/* Its one interface. */
int interface_find(xmlNodePtr domain, xmlNodePtr *ret, char **ret_error);
/* Names, memory, MAC, queues, mark: whatever the interface's type is. */
int facts_read(xmlNodePtr domain, struct domain_facts *ret, char **ret_error);
/* Is there nothing in INTERFACE that domain_rewrite would not leave? */
int interface_check(xmlNodePtr interface, char **ret_error);
/* May this element be inside an interface of ours? */
bool interface_keeps(const char *name);

/* The text of its one interface, to be freed. */
int domain_interface(const char *xml, char **ret);
/* Memory as it is to be at the start (<currentMemory>), in KiB. */
int domain_current_kib(const char *xml, uint64_t *ret);

/* --- domain_build.c --- */

/* Version 4, variant 1 (RFC 4122, 4.4). */
int uuid_new(uint8_t ret[SP_UUID_LEN]);
/* The domain that is booted to find out whether KVM works. */
int domain_build_probe(const char *kernel, const uint8_t uuid[SP_UUID_LEN], char **ret_xml);

/* --- descriptions of storage (storage_xml.c) --- */

int pool_path(const char *xml, char ret[SP_PATH_MAX]);
int volume_format(const char *xml, char ret[16]);
int pool_build(const char *name, const char *path, char **ret_xml);
int volume_build(const char *name, uint64_t bytes, const char *base, const char *base_format,
		 char **ret_xml);

#endif
