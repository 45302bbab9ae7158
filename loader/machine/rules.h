/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * The firewall policy of a machine: its text as the store has it, and whether that is in force.
 *
 * Rules that are kept here, beside M1 to M3 of machine.h:
 *   M4  a machine joins its segment behind its policy: nothing names a port number whose policy is
 *       another's, or is not in force yet;
 *   M5  a policy is replaced by the next one in one step, and stays where the next one cannot be
 *       put in force (I4).
 *
 * To compile one, and to wait for those that read the one before, takes some ten milliseconds: a
 * worker's. At most one is on its way for each machine; what was changed meanwhile comes after it.
 */
#ifndef SALLYPORT_LOADER_MACHINE_RULES_H
#define SALLYPORT_LOADER_MACHINE_RULES_H

#include <stdbool.h>
#include <stdint.h>

struct daemon;
struct machine;
struct store_rules;

/* Which flows end that there are when a policy comes into force? */
enum rules_strict {
	RULES_STRICT_AUTO, /* those that it does not allow, where something was taken away */
	RULES_STRICT_YES,  /* those that it does not allow */
	RULES_STRICT_NO,   /* none */
};

/* What became of a change. */
struct rules_result {
	int r; /* negative errno: the one before is still in force */
	const char *error;
	bool in_force;	    /* false: the machine has no port now; it is when it has one */
	bool strict;	    /* flows were looked at */
	unsigned int ended; /* flows */
};

struct machine_rules {
	char *text;	     /* as the store has it; NULL: the host's default */
	uint64_t generation; /* likewise; 0: there never was one */
	bool in_force;	     /* at the port number that it has: this one, or the one before */
	bool busy;	     /* one is on its way there */
	bool changing;	     /* an operation changes it */
	bool makeshift;	     /* in force for want of this one, for a guest that was there already */
	uint64_t applied;    /* generation of the one that is in force */
	int error;	     /* why the last one could not be put there */
	char *trouble;	     /* in words */
	uint64_t retry_us;   /* not before */
	char *before;	     /* the text that was in force before; NULL: the host's default */
	/* Who waits for a change; called once. */
	void (*done)(const struct rules_result *result, void *arg);
	void *done_arg;
	enum rules_strict strict;
};

/* At start: what the store has, before rules_adopt. -ENOMEM. */
int rules_note(struct machine *m, const struct store_rules *rules);
/*
 * At start, with the port number that the machine has: what is pinned stays if it is the one in the
 * store, else it is replaced. One that cannot be put there leaves what is there, or else a policy
 * that lets nothing pass: for the guest that may run, not for the next one. Blocks: before the loop
 * runs.
 */
int rules_adopt(struct machine *m);
/* At start: policies of port numbers that no machine has. Returns how many, or a negative errno. */
int rules_drop_strays(struct daemon *d);

/*
 * M4: is the machine's policy in force at its port number? 0: yes. -EAGAIN: soon; machine_advance
 * is called then. Another error: it cannot be; m->rules.trouble says why.
 */
int rules_ready(struct machine *m);
/* The machine gives its number back, which takes the policy away (number.h). */
void rules_leave(struct machine *m);

/*
 * The store has another one: TEXT, which is taken. DONE is called once, maybe at once, also where
 * the machine is removed meanwhile (-ENOENT).
 */
void rules_replace(struct machine *m, char *text, uint64_t generation, enum rules_strict strict,
		   void (*done)(const struct rules_result *result, void *arg), void *arg);
/* The machine is freed. */
void rules_free(struct machine *m);

/* The host's own: what the configuration names, or the one that is built in. */
const char *rules_default(const struct daemon *d);
/* Put it in force; at start, and then on a worker. */
int rules_default_adopt(struct daemon *d);
void rules_default_changed(struct daemon *d, const char *before);

#endif
