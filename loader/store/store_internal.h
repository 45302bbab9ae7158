/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What every database's implementation of the store provides; store.c dispatches to it. */
#ifndef SALLYPORT_LOADER_STORE_INTERNAL_H
#define SALLYPORT_LOADER_STORE_INTERNAL_H

#include "store.h"

#define STORE_SCHEMA_VERSION 2
#define STORE_APPLICATION_ID 0x53616c6c /* "Sall" */

/*
 * The steps from each version to the next, in SQL: schema[0] makes version 1 out of nothing. Run in
 * one transaction, so that an old file is either whole or untouched.
 */
extern const char *const store_schema[STORE_SCHEMA_VERSION];

#endif
