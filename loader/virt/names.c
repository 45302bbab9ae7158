/* SPDX-License-Identifier: GPL-2.0-or-later */
/* What are states, verbs and events called? */
#include <stdio.h>

#include "virt/virt.h"

const char *virt_state_name(enum virt_state state)
{
	static const char *const names[_VIRT_STATES] = {
		[VIRT_UNKNOWN] = "unknown",   [VIRT_ABSENT] = "absent",	  [VIRT_OFF] = "off",
		[VIRT_SAVED] = "saved",	      [VIRT_RUNNING] = "running", [VIRT_PAUSED] = "paused",
		[VIRT_STOPPING] = "stopping", [VIRT_CRASHED] = "crashed",
	};

	return state < _VIRT_STATES ? names[state] : "unknown";
}

const char *virt_verb_name(enum virt_verb verb)
{
	static const char *const names[_VIRT_VERBS] = {
		[VIRT_LOOK] = "look",	    [VIRT_START] = "start",
		[VIRT_RESUME] = "resume",   [VIRT_SUSPEND] = "suspend",
		[VIRT_SAVE] = "save",	    [VIRT_SHUTDOWN] = "shutdown",
		[VIRT_DESTROY] = "destroy", [VIRT_SHRINK] = "shrink",
		[VIRT_GROW] = "grow",	    [VIRT_ABORT] = "abort",
		[VIRT_DISCARD] = "discard",
	};

	return verb < _VIRT_VERBS ? names[verb] : "unknown";
}

const char *virt_event_name(enum virt_event event)
{
	static const char *const names[] = {
		[VIRT_EV_STARTED] = "started",	   [VIRT_EV_RESUMED] = "resumed",
		[VIRT_EV_SUSPENDED] = "suspended", [VIRT_EV_STOPPED] = "stopped",
		[VIRT_EV_SHUTDOWN] = "shutdown",   [VIRT_EV_CRASHED] = "crashed",
		[VIRT_EV_DEFINED] = "defined",	   [VIRT_EV_UNDEFINED] = "undefined",
	};

	return event <= VIRT_EV_UNDEFINED ? names[event] : "unknown";
}

const char *uuid_format(const uint8_t u[SP_UUID_LEN], char ret[UUID_STRLEN])
{
	char *p = ret;

	for (int i = 0; i < SP_UUID_LEN; i++)
		p += snprintf(p, 4, i == 4 || i == 6 || i == 8 || i == 10 ? "-%02x" : "%02x", u[i]);
	return ret;
}
