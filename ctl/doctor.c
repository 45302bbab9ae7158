/* SPDX-License-Identifier: GPL-2.0-or-later */
/* sallyport doctor: what is in order on this host, and what is to be done about the rest? */
#include "ctl/doctor.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "ctl/call.h"
#include "ctl/options.h"
#include "ctl/text.h"
#include "lib/cleanup.h"
#include "sallyport/paths.h"

static const char *const level_name[] = {
	[DOCTOR_OK] = "OK", [DOCTOR_WARN] = "warn", [DOCTOR_FAIL] = "FAIL"};

void doctor_add(struct doctor *d, enum doctor_level level, const char *what, const char *advice,
		const char *format, ...)
{
	_cleanup_free_
	char *finding = NULL;
	va_list ap;
	int r;

	va_start(ap, format);
	r = vasprintf(&finding, format, ap);
	va_end(ap);
	if (r < 0) {
		finding = NULL;
		text_oom();
	}
	if (level == DOCTOR_FAIL)
		d->failed = true;
	/* what another program printed may be any bytes: JSON takes UTF-8 only */
	if (!d->ctl->json) {
		if (level != DOCTOR_OK || !d->ctl->quiet)
			text_line(stdout, "%-4s  %s: %s%s%s", level_name[level], what, finding,
				  advice ? " - " : "", advice ? advice : "");
		fflush(stdout);
		return;
	}
	if (json_array_append_new(d->findings,
				  json_pack("{s:s, s:s, s:o, s:s?}", "level", level_name[level],
					    "what", what, "finding",
					    json_string(finding) ?: json_string("(not UTF-8)"),
					    "advice", advice)) < 0)
		text_oom();
}

int cmd_doctor(const struct ctl *ctl, const struct ctl_args *args)
{
	const char *config = option_value(args, "config");
	_cleanup_json_ json_t *findings = json_array();
	struct doctor d = {
		.ctl = ctl, .config = config ? config : SP_CONFIG_FILE, .findings = findings};

	if (!findings)
		text_oom();
	doctor_kernel(&d);
	doctor_daemon(&d);
	doctor_host(&d);
	doctor_openvpn(&d);
	json_decref(d.status);
	if (ctl->json)
		call_print_json(findings);
	return d.failed ? CTL_FAILED : CTL_OK;
}
