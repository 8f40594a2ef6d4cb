/* SPDX-License-Identifier: Apache-2.0 */
/* The IPVS backend on a fake kernel with a clock of its own: what the daemon's loop does, in a
 * test. A rig may be closed and opened again on the same kernel and ledger: a restart. */
#ifndef VIPD_TEST_RIG_H
#define VIPD_TEST_RIG_H

#include "backend.h"
#include "fake.h"

#define RIG_REPORTS 512

struct rig_report {
	struct fe_key key;
	enum outcome outcome;
	char reason[200];
};

struct rig_child {
	char *script;
	child_done_fn done;
	void *arg;
};

struct rig {
	struct fake *fake;
	struct model *model;
	struct backend_config config;
	struct backend_env env;
	struct backend *be;
	struct rig_child children[4];
	size_t n_children;
	int nft_fails;        /* so many loads fail */
	const char *nft_says; /* then; NULL: "nft: broken" */
	bool woken;
	struct rig_report reports[RIG_REPORTS]; /* the last one of each key */
	size_t n_reports;
	char run_dir[64];
};

struct rig *rig_new(void);
void rig_free(struct rig *rig);

/* Opens the backend, reads the kernel, marks everything, works until nothing is left to do now. */
void rig_open(struct rig *rig);
/* Its parts: opens and reads; marks all there is, in the model and in the kernel. */
void rig_begin(struct rig *rig);
void rig_mark_all(struct rig *rig);
void rig_close(struct rig *rig);
void rig_restart(struct rig *rig);

/* Marks what changed in the model and works. */
void rig_work(struct rig *rig);
/* Lets that much time pass, timers and all. */
void rig_pass(struct rig *rig, uint64_t ms);

/* The last report of a key; NULL if there was none. */
const struct rig_report *rig_report(const struct rig *rig, const struct fe_key *key);
uint64_t rig_counter(struct rig *rig, const char *name);

/* "10.96.0.1:80/TCP", "[fd00::1]:80/TCP", "node:30080/TCP", "node6:30080/TCP" */
struct fe_key rig_key(const char *text);
/* Puts a frontend; `endpoints`: "10.244.1.2 10.244.1.3=0 10.244.2.2=5 10.244.1.4-": weight after =,
 * - drains; port 8080; those in 10.244.1. and fd00:244:1: are local. None: refused. */
void rig_put(struct rig *rig, const char *key, const char *endpoints);
void rig_put_policy(struct rig *rig, const char *key, const char *endpoints, const char *scheduler,
		    uint32_t affinity_sec);
/* The same, reached through entrances only; without endpoints it drops. */
void rig_put_inner(struct rig *rig, const char *key, const char *endpoints);
/* Puts an entrance; `via_cluster` NULL: none; `ranges`: "10.0.0.0/8 192.168.0.0/16", "" nobody,
 * NULL everybody. */
void rig_put_entrance(struct rig *rig, const char *key, const char *via, const char *via_cluster,
		      const char *ranges);
void rig_remove(struct rig *rig, const char *key);

/* Fails the test unless the kernel is what the model says, no promise was broken. */
#define rig_assert_settled(rig) rig_check_settled(rig, __FILE__, __LINE__)
void rig_check_settled(struct rig *rig, const char *file, int line);
#define rig_assert_promises(rig) rig_check_promises(rig, __FILE__, __LINE__)
void rig_check_promises(struct rig *rig, const char *file, int line);

#endif
