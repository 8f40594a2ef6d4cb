/* SPDX-License-Identifier: Apache-2.0 */
/* A kernel for tests of the IPVS backend: the tables of kernel.h in memory, with the real error
 * numbers, planted faults, and promises that are checked after every operation.
 *
 * It lives in shared memory: a process that is killed in the middle leaves it behind as it was, as
 * a daemon leaves the real one. */
#ifndef VIPD_TEST_FAKE_H
#define VIPD_TEST_FAKE_H

#include "kernel.h"
#include "model.h"

#define FAKE_SERVICES 256
#define FAKE_DESTS    32
#define FAKE_BINDINGS 128
#define FAKE_ELEMS    2048
#define FAKE_EVENTS   64
#define FAKE_FLOWS    32
#define FAKE_FD       1000 /* what fds() returns: never polled here */

struct fake_service {
	struct kservice service;
	size_t n;
	struct kdest dests[FAKE_DESTS];
};

enum fake_fault {
	FAULT_NONE,
	FAULT_ERRNO, /* the operation fails with `code`, not done */
	FAULT_DONE,  /* it and those behind it in the same call: done, but the answer is lost */
	FAULT_LOST,  /* the same, not done */
	FAULT_SEND,  /* the call fails with `code`, from this operation on nothing is done */
	FAULT_KILL,  /* the process ends before it */
};

struct fake {
	size_t n_services, n_bindings, n_elems, n_events;
	struct fake_service services[FAKE_SERVICES];
	struct kbinding bindings[FAKE_BINDINGS];
	struct kelem elems[FAKE_ELEMS];
	struct kevent events[FAKE_EVENTS];
	uint16_t listener; /* a TCP port at which a program waits; 0 = none */
	size_t n_flows;
	struct kflow flows[FAKE_FLOWS]; /* connection tracking; the test puts them in */
	uint64_t rules[2];              /* digest of the rules loaded; 0 = no table */
	struct ip_addr addrs[2];
	char missing[16];     /* a scheduler that this kernel does not have */
	struct fe_key hidden; /* not in dumps, as what moves while one is read; family 0 = none */
	uint64_t ops, writes, now_ms;

	/* Faults: at operation `fault_at` (counted from 1), and at random, one in `fault_every`. */
	enum fake_fault fault;
	uint64_t fault_at;
	int code;
	unsigned fault_every, dump_fault_every;
	uint64_t random;

	/* Promises: what broke first, and whether virtual servers of others were touched. */
	bool strict;          /* off while the test itself breaks things */
	struct fe_key served; /* must have a server that takes flows from now on; family 0 = none */
	char broken[256];
	uint64_t dump_at; /* position in the open dump */
};

struct fake *fake_new(void);
void fake_free(struct fake *fake);
struct kernel fake_kernel(struct fake *fake);

/* A number below `n`, from the fake's own seed. */
unsigned fake_random(struct fake *fake, unsigned n);

struct fake_service *fake_find(struct fake *fake, const struct fe_key *key);
struct kdest *fake_dest(struct fake *fake, const struct fe_key *key, const char *addr);

/* As another program does it: no counting, no faults. Addresses of FOREIGN_NET are theirs. */
#define FAKE_FOREIGN "10.99."
void fake_foreign_add(struct fake *fake, const struct fe_key *key, const char *sched);
void fake_del_service(struct fake *fake, const struct fe_key *key);
void fake_del_binding(struct fake *fake, size_t i, bool told);
void fake_flush_rules(struct fake *fake, int family, bool told);
/* The node's one address of that family is another now. */
void fake_set_addr(struct fake *fake, const char *addr, bool told);
void fake_del_elem(struct fake *fake, size_t i, bool told);

bool fake_has_elem(const struct fake *fake, struct kelem elem);
/* Is a virtual server of FOREIGN_NET? */
bool fake_is_foreign(const struct ipvs_key *key);

/* `nft -f -` with the script that the backend made. */
int fake_nft(struct fake *fake, const char *script);

/* Everything that is not of FOREIGN_NET, sorted; and what it should be by the model, with nothing
 * left to drain. The caller frees. */
char *fake_text(struct fake *fake);
char *fake_wanted_text(const struct fake *fake, const struct model *model, const char *scheduler);

#endif
