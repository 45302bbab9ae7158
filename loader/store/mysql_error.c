/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What does an error of MySQL or MariaDB mean, and may it be tried again? */
#include <errmsg.h>
#include <errno.h>
#include <mysqld_error.h>
#include <stdio.h>
#include <string.h>

#include "mysql_internal.h"

/*
 * By number: the two servers share the numbers below 1900 and not all those above, and neither
 * header has all of the other's.
 */
enum {
	MARIA_STATEMENT_TIMEOUT = 1969,
	MARIA_CONNECTION_KILLED = 1927,
	MARIA_CONSTRAINT_FAILED = 4025,
	MARIA_ACCOUNT_LOCKED = 4151,
	MYSQL_QUERY_TIMEOUT = 3024,
	MYSQL_ACCOUNT_LOCKED = 3118,
	MYSQL_CHECK_VIOLATED = 3819,
	MYSQL_CANNOT_CONVERT = 3854,
	MYSQL_IMPOSSIBLE_CONVERSION = 3988,
	MYSQL_INTERACTION_TIMEOUT = 4031, /* the client was idle for too long */
};

static const struct {
	unsigned int error;
	int r;
} meanings[] = {
	{ER_LOCK_DEADLOCK, -EBUSY},
	{ER_LOCK_WAIT_TIMEOUT, -EBUSY},
	{ER_CHECKREAD, -EBUSY},
	{ER_DUP_ENTRY, -EEXIST},
	{ER_DUP_ENTRY_WITH_KEY_NAME, -EEXIST},
	{ER_DUP_UNIQUE, -EEXIST},
	{ER_TABLE_EXISTS_ERROR, -EEXIST},
	{ER_NO_REFERENCED_ROW, -ENOENT},
	{ER_NO_REFERENCED_ROW_2, -ENOENT},
	{ER_ROW_IS_REFERENCED, -EBUSY},
	{ER_ROW_IS_REFERENCED_2, -EBUSY},
	{ER_BAD_NULL_ERROR, -EINVAL},
	{ER_DATA_TOO_LONG, -EINVAL},
	{ER_WARN_DATA_OUT_OF_RANGE, -EINVAL},
	{ER_TRUNCATED_WRONG_VALUE, -EINVAL},
	{ER_TRUNCATED_WRONG_VALUE_FOR_FIELD, -EINVAL},
	{WARN_DATA_TRUNCATED, -EINVAL},
	{ER_NO_DEFAULT_FOR_FIELD, -EUCLEAN},
	{MARIA_CONSTRAINT_FAILED, -EINVAL},
	{MYSQL_CHECK_VIOLATED, -EINVAL},
	{ER_CANT_AGGREGATE_2COLLATIONS, -EILSEQ}, /* characters that the column cannot have */
	{ER_INVALID_CHARACTER_STRING, -EILSEQ},
	{MYSQL_CANNOT_CONVERT, -EILSEQ},
	{MYSQL_IMPOSSIBLE_CONVERSION, -EILSEQ},
	{ER_RECORD_FILE_FULL, -ENOSPC},
	{ER_DISK_FULL, -ENOSPC},
	{ER_CANT_EXECUTE_IN_READ_ONLY_TRANSACTION, -EROFS},
	{ER_OPEN_AS_READONLY, -EROFS},
	{ER_READ_ONLY_MODE, -EROFS},
	{ER_ACCESS_DENIED_ERROR, -EPERM},
	{ER_ACCESS_DENIED_NO_PASSWORD_ERROR, -EPERM},
	{ER_DBACCESS_DENIED_ERROR, -EPERM},
	{ER_TABLEACCESS_DENIED_ERROR, -EPERM},
	{ER_COLUMNACCESS_DENIED_ERROR, -EPERM},
	{ER_SPECIFIC_ACCESS_DENIED_ERROR, -EPERM},
	{ER_HOST_NOT_PRIVILEGED, -EPERM},
	{ER_HOST_IS_BLOCKED, -EPERM},
	{ER_MUST_CHANGE_PASSWORD, -EPERM},
	{ER_MUST_CHANGE_PASSWORD_LOGIN, -EPERM},
	{MARIA_ACCOUNT_LOCKED, -EPERM},
	{MYSQL_ACCOUNT_LOCKED, -EPERM},
	{CR_SSL_CONNECTION_ERROR, -EPERM},
	{CR_AUTH_PLUGIN_CANNOT_LOAD, -EPERM},
	{ER_BAD_DB_ERROR, -ENODATA},
	{ER_NO_SUCH_TABLE, -EUCLEAN},
	{ER_BAD_TABLE_ERROR, -EUCLEAN},
	{ER_BAD_FIELD_ERROR, -EUCLEAN},
	{ER_PARSE_ERROR, -EUCLEAN}, /* our statements are constants */
	{ER_WRONG_VALUE_COUNT_ON_ROW, -EUCLEAN},
	{ER_VIEW_INVALID, -EUCLEAN},
	{ER_NON_UNIQ_ERROR, -EUCLEAN},
	{ER_QUERY_INTERRUPTED, -ETIMEDOUT},
	{MARIA_STATEMENT_TIMEOUT, -ETIMEDOUT},
	{MYSQL_QUERY_TIMEOUT, -ETIMEDOUT},
	{ER_OUTOFMEMORY, -ENOMEM},
	{ER_OUT_OF_SORTMEMORY, -ENOMEM},
	{ER_OUT_OF_RESOURCES, -ENOMEM},
	{CR_OUT_OF_MEMORY, -ENOMEM},
	{CR_CONNECTION_ERROR, -ENOTCONN},
	{CR_CONN_HOST_ERROR, -ENOTCONN},
	{CR_UNKNOWN_HOST, -ENOTCONN},
	{CR_SERVER_GONE_ERROR, -ENOTCONN},
	{CR_SERVER_LOST, -ENOTCONN},
	{ER_CON_COUNT_ERROR, -ENOTCONN},
	{ER_TOO_MANY_USER_CONNECTIONS, -ENOTCONN},
	{ER_USER_LIMIT_REACHED, -ENOTCONN},
	{ER_SERVER_SHUTDOWN, -ENOTCONN},
	{ER_NORMAL_SHUTDOWN, -ENOTCONN},
	{ER_UNKNOWN_COM_ERROR, -ENOTCONN}, /* "WSREP has not yet prepared node" */
	{MARIA_CONNECTION_KILLED, -ENOTCONN},
	{MYSQL_INTERACTION_TIMEOUT, -ENOTCONN},
};

int mysql_error_of(unsigned int error, const char *words)
{
	for (size_t i = 0; i < SP_ARRAY_SIZE(meanings); i++)
		if (meanings[i].error == error)
			return meanings[i].r;
	/* The engine's, and the file system's, by the number within the words. */
	if (strstr(words, "No space left") || strstr(words, "errno: 28") ||
	    strstr(words, "error 28 ") || strstr(words, "Disk quota exceeded"))
		return -ENOSPC;
	/* The name of the option is within the words. */
	if (error == ER_OPTION_PREVENTS_STATEMENT)
		return strstr(words, "read") ? -EROFS : -EPERM;
	return -EIO;
}

bool mysql_error_is_transient(unsigned int error)
{
	/* ER_LOCK_DEADLOCK is also what a cluster says of a transaction that it did not certify. */
	return error == ER_LOCK_DEADLOCK || error == ER_CHECKREAD ||
	       error == ER_TABLE_DEF_CHANGED || error == ER_NEED_REPREPARE ||
	       error == ER_UNKNOWN_STMT_HANDLER;
}

bool mysql_error_is_loss(unsigned int error)
{
	switch (error) {
	case CR_SERVER_GONE_ERROR:
	case CR_SERVER_LOST:
	case CR_MALFORMED_PACKET:
	case CR_COMMANDS_OUT_OF_SYNC:
	case CR_SSL_CONNECTION_ERROR:
	case ER_SERVER_SHUTDOWN:
	case ER_NORMAL_SHUTDOWN:
	case ER_UNKNOWN_COM_ERROR:
	case ER_OPTION_PREVENTS_STATEMENT: /* read-only now: another host may not be */
	case ER_UNKNOWN_STMT_HANDLER:
	case MARIA_CONNECTION_KILLED:
	case MYSQL_INTERACTION_TIMEOUT:
		return true;
	default:
		return false;
	}
}

bool mysql_error_is_undone(unsigned int error)
{
	return error == CR_SERVER_GONE_ERROR || error == ER_UNKNOWN_COM_ERROR ||
	       error == MYSQL_INTERACTION_TIMEOUT;
}

int mysql_say(struct mysql_store *s, int r, const char *words)
{
	char *c;

	sql_fail(&s->base, r, "%s: %s", mysql_where(s), words);
	/* A duplicate is quoted, and names are anybody's. */
	for (c = s->base.error; *c; c++)
		if (*c < ' ' || *c > '~')
			*c = '?';
	return r;
}

int mysql_conclude(struct mysql_store *s, unsigned int error, const char *words, bool harmless)
{
	bool loss = mysql_error_is_loss(error), undone = mysql_error_is_undone(error);
	bool unknown = loss && !undone && !harmless && !s->base.in_transaction;
	int r = mysql_error_of(error, words);
	char more[512];

	unknown = unknown && r == -ENOTCONN;
	snprintf(more, sizeof(more), "%.400s%s", words, unknown ? ": it may have been done" : "");
	mysql_say(s, r, more);
	s->base.again =
		mysql_error_is_transient(error) || undone || (loss && r == -ENOTCONN && !unknown);
	if (loss)
		mysql_drop(s, true);
	return r;
}
