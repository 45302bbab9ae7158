/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * Where are the images? libvirt sees a file of its host only as a volume of a pool: one is made on
 * a directory where there is none, for as long as it is needed. They are transient: nothing of
 * them is left in libvirt's configuration.
 */
#include "virt/storage.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "lib/cleanup.h"
#include "virt/domain_internal.h"

/* Two that make a pool on one directory at the same time would get in each other's way. */
static pthread_mutex_t one_at_a_time = PTHREAD_MUTEX_INITIALIZER;

static void pool_freep(virStoragePoolPtr *pool)
{
	if (*pool)
		virStoragePoolFree(*pool);
}
#define _cleanup_pool_ _cleanup_(pool_freep)

static void vol_freep(virStorageVolPtr *vol)
{
	if (*vol)
		virStorageVolFree(*vol);
}
#define _cleanup_vol_ _cleanup_(vol_freep)

/* --- pools --- */

/* "/a/b//" and "/a/b" are one. */
static void trim(char *path)
{
	size_t n = strlen(path);

	while (n > 1 && path[n - 1] == '/')
		path[--n] = '\0';
}

static bool is_at(virStoragePoolPtr pool, const char *dir)
{
	char *xml = virStoragePoolGetXMLDesc(pool, 0);
	char path[SP_PATH_MAX] = "";
	bool same;

	if (xml && pool_path(xml, path) == 0)
		trim(path);
	same = strcmp(path, dir) == 0;
	free(xml);
	return same;
}

static int find_pool(struct virt_call *c, virConnectPtr conn, const char *dir,
		     virStoragePoolPtr *ret)
{
	virStoragePoolPtr *pools = NULL;
	int n = virConnectListAllStoragePools(conn, &pools, 0);

	if (n < 0)
		return call_fail(c, conn);
	*ret = NULL;
	for (int i = 0; i < n; i++) {
		if (!*ret && is_at(pools[i], dir))
			*ret = pools[i];
		else
			virStoragePoolFree(pools[i]);
	}
	free(pools);
	return 0;
}

/* "sallyport-var-lib-images" */
static void name_pool(const char *dir, char *ret, size_t size)
{
	snprintf(ret, size, "sallyport%s", dir);
	for (char *p = ret; *p; p++) {
		if (*p == '/')
			*p = '-';
	}
}

static int make_pool(struct virt_call *c, virConnectPtr conn, const char *dir, bool build,
		     virStoragePoolPtr *ret)
{
	_cleanup_free_
	char *xml = NULL;
	char name[SP_PATH_MAX + 16];
	int r;

	name_pool(dir, name, sizeof(name));
	r = pool_build(name, dir, &xml);
	if (r < 0)
		return call_fail_with(c, r, "out of memory");
	*ret = virStoragePoolCreateXML(conn, xml, build ? VIR_STORAGE_POOL_CREATE_WITH_BUILD : 0);
	return *ret ? 0 : call_fail(c, conn);
}

/*
 * The pool on DIR, active and with a fresh list of what is in it. *ret_started: it was not before,
 * and should not be afterwards. BUILD: make the directory.
 */
static int get_pool(struct virt_call *c, virConnectPtr conn, const char *dir, bool build,
		    virStoragePoolPtr *ret, bool *ret_started)
{
	_cleanup_pool_ virStoragePoolPtr pool = NULL;
	bool started = false;

	if (find_pool(c, conn, dir, &pool) < 0)
		return c->error;
	if (!pool) {
		if (make_pool(c, conn, dir, build, &pool) < 0)
			return c->error;
		started = true;
	} else if (virStoragePoolIsActive(pool) != 1) {
		if (virStoragePoolCreate(pool, 0) < 0)
			return call_fail(c, conn);
		started = true;
	} else if (virStoragePoolRefresh(pool, 0) < 0) {
		return call_fail(c, conn);
	}
	*ret = TAKE_PTR(pool);
	*ret_started = started;
	return 0;
}

static int split(struct virt_call *c, const char *path, char dir[SP_PATH_MAX])
{
	const char *slash = strrchr(path, '/');
	size_t n = slash ? (size_t)(slash - path) : 0;

	if (path[0] != '/' || n >= SP_PATH_MAX || !slash[1])
		return call_fail_with(c, -EINVAL, "'%s': expected the absolute path of a file",
				      path);
	memcpy(dir, path, n);
	dir[n] = '\0';
	if (n == 0)
		strcpy(dir, "/");
	trim(dir);
	return 0;
}

/* --- files --- */

static int look(struct virt_call *c, virConnectPtr conn, virStorageVolPtr vol,
		struct storage_file *ret)
{
	virStorageVolInfo info;
	char *xml = virStorageVolGetXMLDesc(vol, 0);
	int r = xml ? 0 : call_fail(c, conn);

	if (r == 0 && virStorageVolGetInfo(vol, &info) < 0)
		r = call_fail(c, conn);
	if (r == 0 && volume_format(xml, ret->format) < 0)
		strcpy(ret->format, "unknown");
	if (r == 0)
		ret->bytes = info.capacity;
	free(xml);
	return r;
}

/* The volume at PATH; where it takes a pool, that is *ret_pool, to be ended with end_pool. */
static int find_volume(struct virt_call *c, virConnectPtr conn, const char *path,
		       virStorageVolPtr *ret, virStoragePoolPtr *ret_pool)
{
	_cleanup_pool_ virStoragePoolPtr pool = NULL;
	char dir[SP_PATH_MAX];
	bool started;

	if (split(c, path, dir) < 0 || get_pool(c, conn, dir, false, &pool, &started) < 0)
		return c->error;
	*ret = virStorageVolLookupByPath(conn, path);
	if (!*ret && call_fail(c, conn) == -ENOENT)
		call_fail_with(c, -ENOENT, "there is no file %s", path);
	if (started)
		*ret_pool = TAKE_PTR(pool);
	return c->error;
}

/* What was wrong before is in the call already. */
static void end_pool(virStoragePoolPtr pool)
{
	if (!pool)
		return;
	virStoragePoolDestroy(pool);
	virStoragePoolFree(pool);
}

int storage_look(struct virt_call *c, virConnectPtr conn, const char *path,
		 struct storage_file *ret)
{
	_cleanup_vol_ virStorageVolPtr vol = NULL;
	virStoragePoolPtr pool = NULL;
	int r;

	pthread_mutex_lock(&one_at_a_time);
	r = find_volume(c, conn, path, &vol, &pool);
	if (r == 0)
		r = look(c, conn, vol, ret);
	end_pool(pool);
	pthread_mutex_unlock(&one_at_a_time);
	return r;
}

static int make_volume(struct virt_call *c, virConnectPtr conn, virStoragePoolPtr pool,
		       const char *dir, const char *name, const char *xml)
{
	_cleanup_vol_ virStorageVolPtr vol = virStorageVolLookupByName(pool, name);

	if (vol)
		return call_fail_with(
			c, -EEXIST,
			"there is a disk %s/%s already: remove it, or take another name", dir,
			name);
	vol = virStorageVolCreateXML(pool, xml, 0);
	return vol ? 0 : call_fail(c, conn);
}

int storage_overlay(struct virt_call *c, virConnectPtr conn, const char *dir, const char *name,
		    uint64_t bytes, const char *base, const char *base_format)
{
	_cleanup_pool_ virStoragePoolPtr pool = NULL;
	_cleanup_free_
	char *xml = NULL;
	char path[SP_PATH_MAX];
	bool started;
	int r = volume_build(name, bytes, base, base_format, &xml);

	if (r < 0)
		return call_fail_with(c, r, "out of memory");
	snprintf(path, sizeof(path), "%s", dir);
	trim(path);
	pthread_mutex_lock(&one_at_a_time);
	r = get_pool(c, conn, path, true, &pool, &started);
	if (r == 0)
		r = make_volume(c, conn, pool, path, name, xml);
	pthread_mutex_unlock(&one_at_a_time);
	return r;
}

int storage_delete(struct virt_call *c, virConnectPtr conn, const char *path)
{
	_cleanup_vol_ virStorageVolPtr vol = NULL;
	virStoragePoolPtr pool = NULL;
	int r;

	pthread_mutex_lock(&one_at_a_time);
	r = find_volume(c, conn, path, &vol, &pool);
	if (r == 0 && virStorageVolDelete(vol, 0) < 0)
		r = call_fail(c, conn);
	end_pool(pool);
	pthread_mutex_unlock(&one_at_a_time);
	if (r == -ENOENT)
		r = c->error = 0;
	return r;
}
