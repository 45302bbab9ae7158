/* SPDX-License-Identifier: GPL-2.0-or-later */
/*
 * A call that a request waits for: work on the store's thread, what follows on the loop, the answer
 * when the database has committed (I8), a line of the audit trail where something was changed.
 */
#ifndef SALLYPORT_LOADER_STORE_JOB_H
#define SALLYPORT_LOADER_STORE_JOB_H

#include <jansson.h>

#include "control.h"
#include "store/store.h"
#include "worker.h"

struct daemon;
struct texts;

struct store_job {
	struct job job;
	struct daemon *daemon;
	struct request *request;
	/* The work, on the store's thread: fills `r`, `reply` or `items`. */
	int (*work)(struct store_job *j, struct store *store);
	/*
	 * On the loop, when it succeeded: what follows in the daemon. May be NULL. May fail, by `r`
	 * and `error`, and may take the request over, by setting it to NULL: it is then answered by
	 * whoever took it, and so is the line of the audit trail.
	 */
	void (*after)(struct store_job *j);
	json_t *args; /* a reference */
	json_t *reply;
	struct texts *items;
	/* What the work reads or writes. */
	struct store_user user;
	struct store_workload workload;
	struct store_machine machine;
	bool audited; /* a change, not a look */
	char what[32], object[2 * SP_NAME_MAX + 2];
	char *error; /* to be freed; NULL: what `r` says */
	int r;
};

/* Run WORK, then AFTER, then answer. REQUEST is taken. WHAT is a constant: the operation's name. */
void store_job_submit(struct daemon *d, struct request *request, const json_t *args,
		      const char *what, bool audited,
		      int (*work)(struct store_job *j, struct store *store),
		      void (*after)(struct store_job *j));

/* The same in two steps, for work that is given something to begin with. NULL: REQUEST was
 * answered. */
struct store_job *store_job_new(struct daemon *d, struct request *request, const json_t *args,
				const char *what, bool audited,
				int (*work)(struct store_job *j, struct store *store),
				void (*after)(struct store_job *j));
void store_job_start(struct store_job *j);

/* The same, begun with other work (RUN, DONE) on another thread; REQUEST is taken only with 0. */
int store_job_submit_first(struct daemon *d, struct request *request, const json_t *args,
			   const char *what, void (*run)(struct job *, struct store *),
			   void (*done)(struct job *),
			   int (*work)(struct store_job *j, struct store *store));
/* From DONE: now the store's part. The job is its from here on. */
int store_job_continue(struct store_job *j);
/* Answer with an error, and free the job. */
void store_job_fail(struct store_job *j, int r, const char *field, const char *message);

/* The answer is a list, maybe an empty one. From WORK. */
int store_job_list(struct store_job *j);
/* Add ITEM, which is taken, to the list that is the answer. From WORK. */
int store_job_item(struct store_job *j, json_t *item);

/* The database's trouble, not the caller's. */
bool store_is_trouble(int r);

#endif
