/* SPDX-License-Identifier: GPL-2.0-or-later */
/* XML in and out, by libxml2, with everything that could reach out of the text switched off. */
#include <errno.h>
#include <libxml/chvalid.h>
#include <libxml/parser.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "virt/domain_internal.h"

/* Not XML_PARSE_NOENT, not XML_PARSE_DTDLOAD, not XML_PARSE_HUGE: those would let a text do more.
 */
#define OPTIONS (XML_PARSE_NONET | XML_PARSE_NOBLANKS | XML_PARSE_NOERROR | XML_PARSE_NOWARNING)

int xml_complain(char **ret_error, int error, const char *format, ...)
{
	va_list ap;

	va_start(ap, format);
	if (vasprintf(ret_error, format, ap) < 0)
		*ret_error = NULL;
	va_end(ap);
	return error;
}

/* --- reading --- */

static void refuse_dtd(void *arg, const xmlChar *name, const xmlChar *external,
		       const xmlChar *system)
{
	xmlParserCtxtPtr context = arg;

	*(bool *)context->_private = true;
	xmlStopParser(context);
}

static int complain_syntax(xmlParserCtxtPtr context, const char *root, char **ret_error)
{
	const xmlError *e = xmlCtxtGetLastError(context);
	size_t n = e && e->message ? strcspn(e->message, "\n") : 0;

	if (n == 0)
		return xml_complain(ret_error, -EINVAL, "not XML: expected <%s>", root);
	return xml_complain(ret_error, -EINVAL, "line %d of its description: %.*s", e->line,
			    (int)(n < 200 ? n : 200), e->message);
}

static int check_root(xmlDocPtr doc, const char *root, char **ret_error)
{
	xmlNodePtr node = xmlDocGetRootElement(doc);

	/* A mark alone has a namespace, all else has none. */
	if (node && strcmp((const char *)node->name, root) == 0)
		return 0;
	return xml_complain(ret_error, -EINVAL, "the outermost element is <%.40s>, expected <%s>",
			    node ? (const char *)node->name : "", root);
}

/*
 * What is read is UTF-8 from here on, whatever the text said of itself: else the same attribute
 * would be printed in two ways (libxml2, xmlsave.c: with an encoding as it is, without as &#xE9;).
 */
static void forget_encoding(xmlDocPtr doc)
{
	xmlFree((xmlChar *)doc->encoding);
	doc->encoding = NULL;
}

int xml_parse(const char *text, const char *root, xmlDocPtr *ret, char **ret_error)
{
	_cleanup_doc_ xmlDocPtr doc = NULL;
	size_t n = strnlen(text, SP_XML_MAX + 1);
	bool has_dtd = false;
	xmlParserCtxtPtr context;
	int r = 0;

	if (n > SP_XML_MAX)
		return xml_complain(ret_error, -E2BIG, "its description is longer than %d bytes",
				    SP_XML_MAX);
	context = xmlNewParserCtxt();
	if (!context)
		return xml_complain(ret_error, -ENOMEM, "out of memory");
	context->_private = &has_dtd;
	context->sax->internalSubset = refuse_dtd;
	doc = xmlCtxtReadMemory(context, text, (int)n, NULL, NULL, OPTIONS);
	if (has_dtd)
		r = xml_complain(ret_error, -EINVAL, "it has a document type, which is not taken");
	else if (!doc || !context->nsWellFormed)
		r = complain_syntax(context, root, ret_error);
	xmlFreeParserCtxt(context);
	if (r == 0)
		r = check_root(doc, root, ret_error);
	if (r < 0)
		return r;
	forget_encoding(doc);
	*ret = TAKE_PTR(doc);
	return 0;
}

bool xml_is(const xmlNode *node, const char *name)
{
	return node->type == XML_ELEMENT_NODE && !node->ns &&
	       (!name || strcmp((const char *)node->name, name) == 0);
}

static xmlNodePtr first_of(xmlNodePtr node, const char *name)
{
	while (node && !xml_is(node, name))
		node = node->next;
	return node;
}

xmlNodePtr xml_child(xmlNodePtr parent, const char *name)
{
	return parent ? first_of(parent->children, name) : NULL;
}

xmlNodePtr xml_next(xmlNodePtr node, const char *name)
{
	return first_of(node->next, name);
}

static int copy_out(xmlChar *value, char *ret, size_t size)
{
	int r = 0;

	if (!value)
		return -ENODATA;
	if (strlen((const char *)value) >= size)
		r = -E2BIG;
	else
		strcpy(ret, (const char *)value);
	xmlFree(value);
	return r;
}

int xml_attribute(xmlNodePtr node, const char *name, char *ret, size_t size)
{
	if (!node)
		return -ENODATA;
	return copy_out(xmlGetNoNsProp(node, (const xmlChar *)name), ret, size);
}

int xml_text(xmlNodePtr node, char *ret, size_t size)
{
	if (!node)
		return -ENODATA;
	return copy_out(xmlNodeGetContent(node), ret, size);
}

int xml_number(const char *text, uint64_t max, uint64_t *ret)
{
	uint64_t value = 0;

	if (!*text)
		return -EINVAL;
	for (; *text; text++) {
		uint64_t digit = (uint64_t)(*text - '0');

		if (*text < '0' || *text > '9')
			return -EINVAL;
		if (digit > max || value > (max - digit) / 10)
			return -EINVAL;
		value = value * 10 + digit;
	}
	*ret = value;
	return 0;
}

char *xml_print(xmlNodePtr node)
{
	xmlBufferPtr buffer = xmlBufferCreate();
	char *text = NULL;

	if (!buffer)
		return NULL;
	if (xmlNodeDump(buffer, node->doc, node, 0, 1) >= 0)
		text = strdup((const char *)xmlBufferContent(buffer));
	xmlBufferFree(buffer);
	return text;
}

char *xml_print_alone(xmlNodePtr node)
{
	xmlNodePtr copy = xmlDocCopyNode(node, node->doc, 1);
	char *text = copy ? xml_print(copy) : NULL;

	xmlFreeNode(copy);
	return text;
}

/* --- making --- */

xmlNodePtr xml_add(struct xml_maker *m, xmlNodePtr parent, const char *name, const char *text)
{
	xmlNodePtr node = NULL;

	if (!m->failed)
		node = xmlNewTextChild(parent, NULL, (const xmlChar *)name, (const xmlChar *)text);
	if (!node)
		m->failed = true;
	return node;
}

void xml_set(struct xml_maker *m, xmlNodePtr node, const char *name, const char *value)
{
	if (m->failed || !xmlSetProp(node, (const xmlChar *)name, (const xmlChar *)value))
		m->failed = true;
}

void xml_set_number(struct xml_maker *m, xmlNodePtr node, const char *name, uint64_t value)
{
	char text[24];

	snprintf(text, sizeof(text), "%llu", (unsigned long long)value);
	xml_set(m, node, name, text);
}

void xml_drop(xmlNodePtr node)
{
	xmlUnlinkNode(node);
	xmlFreeNode(node);
}

bool xml_can_hold(const char *text)
{
	const unsigned char *c = (const unsigned char *)text;

	while (*c) {
		int n = 4;
		int code = xmlGetUTF8Char(c, &n);

		if (code < ' ' || code == 0x7f || !xmlIsCharQ((unsigned int)code))
			return false;
		c += n;
	}
	return true;
}
