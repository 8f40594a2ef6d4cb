/* SPDX-License-Identifier: Apache-2.0 */
/* The backend contract: how a mode (ipvs, iptables, userspace) takes the model to the kernel.
 *
 * In the flow: model -> MARK -> STEP. `sync` is the only caller; everything before it is the same
 * for all modes. A backend is a passive object on the daemon's one loop: no call blocks longer than
 * its budget, what must be waited for is told by a descriptor (fds), a time (tick) or env->wake. */
#ifndef VIPD_BACKEND_H
#define VIPD_BACKEND_H

#include <stdio.h>

#include "err.h"
#include "model.h"

/* What became of a unit: the smallest thing that is retried by itself (one frontend). */
enum outcome {
	R_DONE,    /* the kernel acknowledged it */
	R_RETRY,   /* failed for now, tried again with back-off */
	R_DRIFT,   /* the kernel was not as thought; read again, then retried */
	R_REFUSED, /* cannot be: the reason says what to change; tried again only slowly */
	R_UNKNOWN, /* an answer was lost; read again, then retried */
};
const char *outcome_name(enum outcome outcome);

struct backend_config {
	const char *scheduler;              /* for frontends that name none; kernel name */
	const struct ip_prefix *local_nets; /* sources that are not masqueraded (pods) */
	size_t n_local_nets;
	const char *local_interface; /* or who comes in by it; "name" or "prefix*"; NULL = by net */
	bool masquerade_all;         /* pods, too */
	uint16_t snat_port_min, snat_port_max; /* of masqueraded flows; 0 = the kernel's choice */
	const struct ip_prefix *nodeport_nets; /* node ports are found at the node's addresses in
						* these; none of a family = at all of its */
	size_t n_nodeport_nets;
	bool nodeport_primary; /* at the Node object's address alone */
	bool strict_arp;       /* answer ARP for an address only on the link that has it */
	const struct ip_prefix *exclude_nets; /* virtual servers there are others' */
	size_t n_exclude_nets;
	uint32_t timeout_tcp_sec, timeout_tcp_fin_sec, timeout_udp_sec; /* IPVS; 0 = unchanged */
	struct ip_addr node_addr[2]; /* the node's own, IPv4 then IPv6; unset = find out */
	uint64_t drain_ms;           /* how long a removed endpoint may keep its flows */
	uint64_t audit_ms;           /* the whole kernel table is compared once in this time */
	uint64_t shuffle_seed;       /* per node: the order of equal endpoints */
	const char *run_dir;         /* for the ledger; NULL = keep none */
	bool read_only;              /* printers: nothing may be written, not even a ledger */
};

/* A child process with input and a deadline; sync's own, given to backends. */
struct child_result {
	int status;         /* exit code; -1 killed at the deadline; -errno (< -1) not started */
	const char *output; /* stdout then stderr, NUL-terminated, cut at CHILD_OUTPUT_MAX bytes */
	size_t output_len;
};
typedef void (*child_done_fn)(void *arg, const struct child_result *result);

/* What the daemon does for a backend. */
struct backend_env {
	void *ctx;
	uint64_t (*now_ms)(void *ctx); /* CLOCK_BOOTTIME */
	/* Starts `argv` (NULL-terminated, looked up in PATH) with `input` (copied) on stdin; `done`
	 * comes later, never from inside the call. 0 or -errno. */
	int (*run)(void *ctx, const char *const argv[], const char *input, size_t input_len,
		   uint64_t deadline_ms, child_done_fn done, void *arg);
	/* The unit's present state; called when it changes. `reason` is NULL for R_DONE. */
	void (*report)(void *ctx, const struct fe_key *key, enum outcome outcome,
		       const char *reason);
	void (*wake)(void *ctx); /* call step() again soon */
	/* Where node ports are found, when it was told by config and may have changed; the array is
	 * the backend's. NULL = nobody asks. */
	void (*nodeport_addrs)(void *ctx, const struct ip_addr *addrs, size_t n);
};

struct backend; /* each backend's own */

struct backend_ops {
	const char *name; /* the value of --proxy-mode */
	/* step() may be called before mark() was given NULL: then what the model does not have yet
	 * is left alone. */
	bool steps_early;

	/* Checks what the kernel and the node can do, opens what is kept open; unless read_only,
	 * sets the sysctls that the mode needs, and logs each that it changed. On failure `err`
	 * names what is missing and the remedy: -EPERM, -ENOENT (no support in the kernel, or no
	 * such program) or another -errno. */
	int (*open)(const struct backend_config *config, const struct backend_env *env,
		    struct backend **ret_backend, struct err *err);
	void (*close)(struct backend *be);

	/* Reads the kernel into the backend's picture of it, a slice of at most `budget_us`.
	 * >0 more to do, 0 done, -EAGAIN waiting (env->wake will come), other: failed, with `err`;
	 * the next call starts over. What was seen is there; what was not seen may be. */
	int (*read)(struct backend *be, uint64_t budget_us, struct err *err);

	/* Notes that these keys are to be compared with the model; `keys` NULL: all that the
	 * picture has, too, and the caller must not ask that before its sources are complete and
	 * it has marked what is in the model: what is not there goes. 0 or -ENOMEM. */
	int (*mark)(struct backend *be, const struct model *model, const struct fe_key *keys,
		    size_t n);

	/* Takes a slice of the marked keys, lowers them (pure: model x picture x ledger ->
	 * operations), does the operations and reports the units. Lowering happens here and not in
	 * mark, so that a plan is never older than what it is made from. >0 more to do now, 0
	 * nothing left to do (what waits for a time is told by tick), -EAGAIN waiting for
	 * env->wake. Never fails as a whole: failures are units'. */
	int (*step)(struct backend *be, const struct model *model, uint64_t budget_us);

	/* The node's own addresses, IPv4 then IPv6, as its Node object has them; unset = find out.
	 */
	void (*set_node_addrs)(struct backend *be, const struct ip_addr addrs[2]);

	/* Who is in the cluster is told anew (config.local_nets); `nets` stays the caller's. 0 or
	 * -ENOMEM. */
	int (*set_local_nets)(struct backend *be, const struct ip_prefix *nets, size_t n);

	/* Timers: retries, drains, audits, all that is due at `now_ms` is marked. Returns when
	 * step and then it want to be called next, in ms: `now_ms` if something was marked;
	 * UINT64_MAX never. */
	uint64_t (*tick)(struct backend *be, const struct model *model, uint64_t now_ms);

	/* Descriptors to poll for reading: at most `max`, their number returned; stable from the
	 * first read() on. on_fd() takes what is there; what needs repair is marked. */
	size_t (*fds)(struct backend *be, int *ret_fds, size_t max);
	void (*on_fd)(struct backend *be, const struct model *model, int fd);

	/* Printers: sorted, stable, writing nothing to the kernel. plan: what step would do for the
	 * marked keys, one operation a line, in the order of execution. 0 or -ENOMEM. */
	int (*print_actual)(struct backend *be, FILE *out);
	int (*print_plan)(struct backend *be, const struct model *model, FILE *out);

	/* Removes exactly what is ours from the kernel; used without read(). -EAGAIN: call again
	 * when env->wake came. */
	int (*cleanup)(struct backend *be, struct err *err);

	/* Counters for metrics and tests, "name value" a line. */
	void (*print_counters)(struct backend *be, FILE *out);
};

extern const struct backend_ops ipvs_backend_ops;
extern const struct backend_ops iptables_backend_ops;

#endif
