/* SPDX-License-Identifier: Apache-2.0 */
/* An iptables for tests of the backend: two families' filter and nat tables in memory, changed by
 * the text that iptables-restore gets, a table in one transaction, shown as iptables-save does.
 * It is as strict as the real one: rules and chains must exist, chains that are removed must be
 * empty and unused. Its children end when the test says so, and fail when it says so. */
#ifndef VIPD_TEST_IPTABLES_FAKE_H
#define VIPD_TEST_IPTABLES_FAKE_H

#include "backend.h"
#include "iptables/chains.h"

enum fault {
	FAULT_NONE,
	FAULT_NO_PROGRAM, /* cannot be started */
	FAULT_REFUSED,    /* exit code 4, nothing done */
	FAULT_LATE,       /* killed at its deadline, nothing done */
	FAULT_TOO_LATE,   /* killed at its deadline, when all was done */
	FAULT_HALF,       /* its first table done, then exit code 1 */
	FAULT_KINDS
};

#define FAKE_RUNS 64

struct fake_run {
	int family;
	bool restore;
	char *input; /* owned */
	struct child_result result;
	char *output; /* owned */
	child_done_fn done;
	void *arg;
};

struct fake_report {
	struct fe_key key;
	enum outcome outcome;
	char reason[128];
};

struct fake {
	struct backend_env env;
	struct chain_set tables[2]; /* IPv4, IPv6; built-in chains too */
	uint64_t now_ms;
	size_t n_runs, n_done; /* runs[n_done, n_runs) wait for fake_pump */
	struct fake_run runs[FAKE_RUNS];
	enum fault faults[2]; /* of the next runs of a family */
	unsigned fault_every; /* at random, one in so many; 0 = none */
	uint64_t random;
	size_t n_restores, n_saves;
	char refusal[256]; /* what a restore was refused for by itself: a bug in its input */
	size_t n_reports;
	struct fake_report reports[128]; /* the last of each key */
	unsigned wakes;
};

struct fake *fake_new(void);
void fake_free(struct fake *fake);

/* Ends the children that run; true if there were any. Their inputs are kept until fake_forget. */
bool fake_pump(struct fake *fake);
void fake_forget(struct fake *fake);
/* What iptables-restore does with `input`. 0 or -EINVAL with the reason in fake->refusal. */
int fake_restore(struct fake *fake, int family, const char *input);
/* What iptables-save prints; the caller frees. */
char *fake_save(const struct fake *fake, int family);
const struct chain *fake_chain(const struct fake *fake, int family, enum ipt_table table,
			       const char *name);
/* The last that was reported of the key; NULL = nothing. */
const struct fake_report *fake_report(const struct fake *fake, const struct fe_key *key);
uint64_t fake_random(struct fake *fake);

#endif
