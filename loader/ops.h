/* SPDX-License-Identifier: GPL-2.0-or-later */
/* The operations of docs/control.md: their handlers, and the table that names them. */
#ifndef SALLYPORT_LOADER_OPS_H
#define SALLYPORT_LOADER_OPS_H

#include "control.h"

struct daemon;

/* Ended by name NULL. The context of every handler is the struct daemon. */
extern const struct op daemon_ops[];

/* Handlers: context, request (taken), checked arguments (borrowed). */
void op_hook_auth(void *context, void *request, const json_t *args);
void op_hook_connect(void *context, void *request, const json_t *args);
void op_hook_disconnect(void *context, void *request, const json_t *args);
void op_hook_learn(void *context, void *request, const json_t *args);
void op_hook_forget(void *context, void *request, const json_t *args);

void op_user_add(void *context, void *request, const json_t *args);
void op_user_passwd(void *context, void *request, const json_t *args);
void op_user_set(void *context, void *request, const json_t *args);
void op_user_disable(void *context, void *request, const json_t *args);
void op_user_delete(void *context, void *request, const json_t *args);
void op_user_list(void *context, void *request, const json_t *args);
void op_workload_add(void *context, void *request, const json_t *args);
void op_workload_remove(void *context, void *request, const json_t *args);
void op_workload_list(void *context, void *request, const json_t *args);
void op_audit_list(void *context, void *request, const json_t *args);

void op_machine_add(void *context, void *request, const json_t *args);
void op_machine_remove(void *context, void *request, const json_t *args);
void op_machine_list(void *context, void *request, const json_t *args);
void op_machine_show(void *context, void *request, const json_t *args);
void op_machine_policy(void *context, void *request, const json_t *args);
void op_machine_start(void *context, void *request, const json_t *args);
void op_machine_stop(void *context, void *request, const json_t *args);
void op_machine_discard(void *context, void *request, const json_t *args);
void op_machine_console(void *context, void *request, const json_t *args);
void op_machine_input(void *context, void *request, const json_t *args);

void op_flow_list(void *context, void *request, const json_t *args);
void op_flow_count(void *context, void *request, const json_t *args);
void op_flow_kill(void *context, void *request, const json_t *args);
void op_policy_show(void *context, void *request, const json_t *args);
void op_policy_set(void *context, void *request, const json_t *args);
void op_policy_put(void *context, void *request, const json_t *args);

void op_session_list(void *context, void *request, const json_t *args);
void op_session_kill(void *context, void *request, const json_t *args);
void op_status(void *context, void *request, const json_t *args);
void op_counters(void *context, void *request, const json_t *args);
void op_metrics(void *context, void *request, const json_t *args);
void op_trace(void *context, void *request, const json_t *args);
void op_monitor(void *context, void *request, const json_t *args);
void op_reload(void *context, void *request, const json_t *args);
void op_version(void *context, void *request, const json_t *args);

#endif
