/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * How is a domain described? libvirt's XML read, checked, made and changed, through libxml2 alone.
 * Knows no libvirt connection: text in, text out. What comes in is bounded (SP_XML_MAX), no entity
 * is expanded, nothing is fetched.
 *
 * A domain of ours carries a mark in its <metadata>: whose it is, which machine, how it came to be,
 * and the interface it had before. Of a domain with another's mark we keep our hands off.
 */
#ifndef SALLYPORT_LOADER_VIRT_DOMAIN_H
#define SALLYPORT_LOADER_VIRT_DOMAIN_H

#include <stdbool.h>
#include <stdint.h>

#include "sallyport/limits.h"
#include "store/store.h"

#define DOMAIN_NS "urn:sallyport:machine:1"
#define DOMAIN_QUEUES_MAX 8

struct domain_mark {
	char server[SP_SERVER_MAX]; /* whose daemon's */
	char user[SP_NAME_MAX], name[SP_NAME_MAX];
	uint32_t machine; /* id of the row; 0: not known yet when it was made */
	enum store_origin origin;
};

/* What a machine shall be. Paths are of libvirt's host. */
struct domain_spec {
	enum store_origin origin;
	char domain[SP_DOMAIN_MAX]; /* ORIGIN_DOMAIN: which one; else its name to be */
	struct domain_mark mark;
	uint8_t uuid[SP_UUID_LEN]; /* all zero: chosen; ORIGIN_DOMAIN: not looked at */
	char tap[16];
	uint8_t mac[6];		    /* all zero, ORIGIN_DOMAIN: the one it has */
	uint32_t memory_mib, vcpus; /* 0, ORIGIN_DOMAIN: as it has */
	unsigned int queues;	    /* of the interface; 0, ORIGIN_DOMAIN: as it has */
	bool kvm;
	char image[SP_PATH_MAX];     /* ORIGIN_IMAGE: the base that many share, never written to */
	char image_format[16];	     /* "qcow2", "raw" */
	uint64_t disk_bytes;	     /* of the overlay; 0: as large as the base */
	char image_dir[SP_PATH_MAX]; /* where overlays are made */
	char kernel[SP_PATH_MAX], initrd[SP_PATH_MAX], cmdline[SP_PATH_MAX];
};

/* What a description says of a machine. */
struct domain_facts {
	uint8_t uuid[SP_UUID_LEN];
	char name[SP_DOMAIN_MAX];
	uint8_t mac[6];
	char tap[16];
	unsigned int queues;
	uint32_t memory_mib, vcpus;
	bool marked;
	struct domain_mark mark;
};

/*
 * Make the one interface of the description XML ours: type ethernet, our tap, managed no; model,
 * queues, address and boot order stay. The mark and the interface as it was go into the metadata.
 * Outputs, to be freed: the new description, the interface before and after.
 *
 * -EINVAL, with a sentence in *ret_error: not a domain's description, more than one interface or
 * none, one that passes a device of the host through, a model or a number of queues that we cannot
 * do, another's mark; -E2BIG: longer than SP_XML_MAX.
 */
int domain_rewrite(const char *xml, const struct domain_spec *spec, struct domain_facts *ret,
		   char **ret_xml, char **ret_before, char **ret_after, char **ret_error);

/* Put back the interface of before and take the mark away. -ENODATA: it carries no mark of ours. */
int domain_restore(const char *xml, char **ret_xml, char **ret_error);

/* A description out of nothing: ORIGIN_IMAGE (DISK: the overlay's path) or ORIGIN_KERNEL. */
int domain_build(const struct domain_spec *spec, const char *disk, char **ret_xml,
		 char **ret_error);

/* Read it: -EINVAL where its interface is not as domain_rewrite and domain_build leave it. */
int domain_read(const char *xml, struct domain_facts *ret, char **ret_error);

#endif
