/* SPDX-License-Identifier: Apache-2.0 */
/* The reconcile engine: what the files of the IPVS backend share. Private to ipvs/.
 *
 * backend.c  the contract of include/backend.h, timers, notifications, the queue of marked keys
 * scan.c     reads the kernel into the picture, at start and as a rotating audit
 * flows.c    flows that hang on what is gone, in connection tracking
 * ramp.c     slow starts
 * slice.c    takes a slice of the queue through lower and the kernel
 * apply.c    results into the picture, errors to their units */
#ifndef VIPD_IPVS_ENGINE_H
#define VIPD_IPVS_ENGINE_H

#include "backend.h"
#include "ledger.h"
#include "lower.h"

#define ENGINE_RETRY_MIN_MS   100
#define ENGINE_RETRY_MAX_MS   60000
#define ENGINE_REFUSED_MS     30000 /* how often what cannot be is tried again */
#define ENGINE_DRAIN_CHECK_MS 1000
#define ENGINE_AUDIT_TICK_MS  500   /* an audit under way takes its portions this often */
#define ENGINE_RULES_CHILD_MS 30000 /* how long nft may take */
#define ENGINE_MISSING_MAX    16    /* schedulers; the kernel has 14 */
#define ENGINE_LISTENERS_MS   1000  /* how long what was read of listeners counts */
#define ENGINE_GATEWAYS_MAX   64    /* of the node's routes; more are not protected */
#define ENGINE_NODE_ADDRS_MAX 10000 /* addresses of the node's links; more are left out */

/* A marked or failing key; one that is neither has no unit. */
struct unit {
	struct fe_key key;
	bool queued;
	bool check; /* ask the kernel for connection counts before lowering: it drains */
	bool in_slice;
	bool blocked; /* within a slice: later phases are not for it */
	bool again;   /* within a slice: queue it again at once */
	bool waits;   /* for the virtual server that it leads to */
	bool reread; /* the kernel was not as thought: this key is asked for before anything else */
	bool usurped; /* the kernel had it when we made it: it is somebody else's */
	enum outcome outcome;
	unsigned attempts;
	struct pic_service *svc; /* within a slice: the key's entry, NULL = look it up */
	uint64_t retry_ms;       /* when not queued: next try; 0 = none */
	char *reason;
	struct unit *next;
	UT_hash_handle hh;
};

enum rules_state { RULES_UNKNOWN, RULES_GONE, RULES_LOADING, RULES_READY, RULES_FAILED };

/* The static rules of one family. */
struct rules {
	struct backend *be;
	int family;
	enum rules_state state;
	bool used;       /* a frontend of this family was marked */
	bool stale;      /* those being loaded are outdated already */
	bool doubted;    /* something of the table is said to have gone */
	bool in_the_way; /* a table of this name stands that ours cannot be loaded into */
	char *text;
	uint64_t text_hash;
	uint64_t digest; /* of the kernel's table if it is made from `text`; 0 = not known */
	uint64_t told_hash, told_digest; /* what was loaded last, by us or one before us */
	unsigned attempts;
	uint64_t retry_ms;
	char *reason;
};

enum scan_state {
	SCAN_IDLE,
	SCAN_BINDINGS,
	SCAN_ELEMS,
	SCAN_SERVICES,
	SCAN_CONFIRM, /* what the dump did not show is asked for by key */
	SCAN_DESTS,
	SCAN_ADDRS,
	SCAN_RULES,
};

struct scan {
	enum scan_state state;
	bool audit; /* compare and repair; else: the first reading */
	bool brief; /* an audit of bindings and helper tables alone */
	bool dump_open;
	uint64_t started_ms;
	size_t visited; /* services whose destinations were compared */
	struct pic_service *cursor;
	struct kdest *dests; /* of the virtual server being read */
	size_t n_dests, dests_cap;
	struct ip_addr *addrs; /* of the node's links, being read */
	size_t n_addrs, addrs_cap;
};

#define ENGINE_ERRNO_MAX 134 /* Linux: EHWPOISON is 133 */

struct engine_counters {
	uint64_t slices, operations, audits, drift, rules_loads, failures;
	uint64_t flow_passes, flows_removed;
	uint64_t failed[ENGINE_ERRNO_MAX]; /* `failures` by error number */
	uint64_t rules_failed;             /* loads of the helper rules that failed */
	uint64_t lower_us;                 /* comparing and planning */
	uint64_t kernel_us; /* changes: putting messages together, and what the kernel does */
};

/* Ports at which programs of the node wait, as they were a moment ago. */
struct listeners {
	uint64_t read_ms; /* 0 = never */
	uint8_t proto;
	uint64_t ports[KPORT_WORDS];
};

struct backend {
	struct backend_config config;
	const struct backend_env *env;
	struct kernel kernel;
	struct picture pic;
	struct plan plan;
	struct flows *flows;
	struct listeners *listeners[3]; /* TCP, UDP, SCTP; NULL = not asked yet */
	struct ledger *ledger;
	struct unit *units;
	struct unit *queue, **queue_tail;
	bool model_whole;   /* what the model does not have is to go; before that, it may come */
	struct unit *later; /* for then */
	struct unit **slice_units;
	size_t n_slice, slice_cap;
	struct rules rules[2]; /* IPv4, IPv6 */
	struct scan scan;
	char missing[ENGINE_MISSING_MAX][16];
	size_t n_missing;
	struct ip_addr node_addr[2], src[2];
	struct ip_addr *own_addrs; /* of the node's links */
	size_t n_own_addrs;
	struct ip_addr gateways[ENGINE_GATEWAYS_MAX]; /* of the node's routes */
	size_t n_gateways;
	size_t chunk;          /* messages sent at once; grows while the kernel is quick */
	size_t slice_ops;      /* operations planned at once; likewise */
	uint64_t aux_retry_ms; /* repairs of bindings and addresses that failed */
	uint64_t next_audit_ms, next_drain_ms, next_ramp_ms;
	struct engine_counters counters;
	bool ledger_lost;          /* there was none when we began */
	bool addrs_changed;        /* the node's, since they were read */
	bool waiting, server_came; /* a unit waits for a virtual server; one was made */
	bool listening; /* the kernel tells what happens to bindings and helper tables... */
	bool caught_up; /* ...and what had happened before is known, too */
	bool cleanup_begun, cleanup_running;
	int cleanup_status; /* of the child that deletes the tables */
};

static inline int engine_family_index(int family)
{
	return family == AF_INET6;
}

uint64_t engine_now_ms(const struct backend *be);
/* Are virtual servers at this address others' by configuration? */
bool engine_is_excluded(const struct backend *be, const struct ip_addr *vip);
/* Does a program of this node wait at this port? */
bool engine_port_is_used(struct backend *be, uint8_t proto, uint16_t port);
uint64_t engine_clock_us(void); /* CLOCK_MONOTONIC: budgets only */

/* "name value" lines: backend_ops.print_counters. */
void engine_print_counters(struct backend *be, FILE *out);

/* The queue. */
struct unit *engine_mark(struct backend *be, const struct fe_key *key);
struct unit *engine_pop(struct backend *be);
void engine_put_off(struct backend *be, struct unit *unit); /* until the model is whole */
void engine_model_is_whole(struct backend *be);
void engine_unit_drop(struct backend *be, struct unit *unit);
void engine_drop_service(struct backend *be, struct pic_service *svc);
/* What somebody removed: its element is not there any more, and what it belongs to is marked. */
void engine_elem_gone(struct backend *be, const struct kelem *elem);
/* The kernel has it, or all of them, no more: nor has the picture, nor does the ledger name it. */
void engine_dest_gone(struct backend *be, struct pic_service *svc, struct pic_dest *dest);
void engine_dests_gone(struct backend *be, struct pic_service *svc);

/* rules: starts the child that loads them; true when the family's rules stand. */
bool engine_rules_ready(struct backend *be, struct rules *rules);
void engine_rules_lost(struct backend *be, int family);

/* scan.c */
void scan_start(struct backend *be, bool audit);
void scan_start_brief(struct backend *be); /* an audit of bindings and helper tables alone */
/* >0 more, 0 done, -errno: the scan was abandoned. */
int scan_step(struct backend *be, uint64_t budget_us);
/* One virtual server and its destinations, now; `usurped`: what is there is not ours. 0 or -errno.
 */
int scan_reread(struct backend *be, const struct fe_key *key, bool usurped);
/* The connection counts of a virtual server's draining destinations. */
int scan_counts(struct backend *be, struct pic_service *svc);
/* The addresses of the node's links, now. 0 or -errno. */
int scan_addrs(struct backend *be);

/* flows.c */
int flows_init(struct backend *be); /* 0 or -ENOMEM */
void flows_done(struct backend *be);
/* A virtual server or an entrance is there, leads elsewhere, or is gone. */
void flows_frontend_changed(struct backend *be, const struct fe_key *key, bool gone);
/* A destination is about to be forgotten. */
void flows_endpoint_gone(struct backend *be, const struct pic_service *svc,
			 const struct pic_dest *dest);
/* A share of a pass, if there is need for one. When it wants to be called again; UINT64_MAX never.
 */
uint64_t flows_tick(struct backend *be, uint64_t now_ms, uint64_t budget_us);

/* ramp.c */
/* Before lowering: endpoints that come to others, where a slow start is asked for. 0 or -ENOMEM. */
int ramp_begin(struct backend *be, const struct pic_service *svc, const struct frontend *fe,
	       uint64_t now_ms);
uint64_t ramp_tick(struct backend *be, uint64_t now_ms);

/* apply.c */
/* Of an operation on a virtual server or a destination; NULL: the picture has none. */
struct pic_service *engine_service_of(struct backend *be, const struct unit *unit);
/* The first reason is the cause, later ones its consequences. */
void engine_unit_fail(struct unit *unit, enum outcome outcome, const char *reason);
/* Operations [from, to) were submitted: what was done goes into the picture, what failed to its
 * unit. */
void apply_results(struct backend *be, struct phase_ops *list, size_t from, size_t to);

/* slice.c */
int slice_run(struct backend *be, const struct model *model, uint64_t budget_us);
int slice_print(struct backend *be, const struct model *model, FILE *out);

/* For tests: the backend over a kernel of their own (taken over). */
int ipvs_backend_open_on(struct kernel kernel, const struct backend_config *config,
			 const struct backend_env *env, struct backend **ret_backend,
			 struct err *err);

#endif
