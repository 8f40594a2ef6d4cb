/* SPDX-License-Identifier: Apache-2.0 */
/* The real kernel behind kernel.h: three netlink connections, kept open.
 *
 * Executes and reads; decides nothing. An open dump, the batch in the making and the sockets are
 * all the state there is. */
#include <errno.h>
#include <net/if.h>
#include <string.h>
#include <linux/ip_vs.h>
#include <linux/netfilter/nf_tables.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/rtnetlink.h>

#include "ct_codec.h"
#include "diag_codec.h"
#include "kernel.h"
#include "nft_codec.h"
#include "route_codec.h"

/* One nft message holds this many added elements: its nest must stay under 64 KiB, at most 104
 * bytes each (two keys of 40 in nests of 12). A removal goes alone, so that the one that fails can
 * be told from the others. */
#define ELEMS_PER_MESSAGE 250
#define ELEMS_BYTES_MAX   (ELEMS_PER_MESSAGE * 104 + 512)
#define RESULTS_MAX       (NL_BATCH_BYTES / 16)

enum conn { CONN_IPVS, CONN_ROUTE, CONN_NFT, CONN_CT, CONN_DIAG, CONN_COUNT };

struct linux_kernel {
	struct nl_conn *conns[CONN_COUNT];
	struct nl_batch *batches[CONN_COUNT];
	struct nl_monitor *route_monitor, *nft_monitor;
	int lo_index;
	int no_links[2];          /* lo and kube-proxy's: their addresses are not the node's */
	int *results;             /* RESULTS_MAX */
	uint32_t *op_of;          /* RESULTS_MAX: first operation of each message */
	struct ipvs_key dests_of; /* whose destinations are being dumped */
	uint8_t flows_of;         /* the protocol whose flows are being dumped */
	unsigned dump_part[KD_FLOWS + 2]; /* dumps of several requests: which is next */
	bool dump_open[KD_FLOWS + 2]; /* one more than there are: gcc takes an enum for so many */
};

/* ---- services, destinations, bindings: every operation a message ---- */

static int put_service(struct nl_batch *batch, const struct kop *op)
{
	static const int cmds[] = {IPVS_CMD_NEW_SERVICE, IPVS_CMD_SET_SERVICE,
				   IPVS_CMD_DEL_SERVICE};
	struct ipvs_service svc = {
		.key = op->service.key,
		.flags = op->service.flags,
		.flags_mask = UINT32_MAX,
		.timeout_sec = op->service.timeout_sec,
		.netmask = op->service.key.af == AF_INET ? UINT32_MAX : 128,
	};

	if (op->verb == KV_DEL)
		return ipvs_put_key(batch, IPVS_CMD_DEL_SERVICE, &svc.key);
	memcpy(svc.sched, op->service.sched, sizeof(svc.sched));
	return ipvs_put_service(batch, cmds[op->verb], &svc);
}

static int put_dest(struct nl_batch *batch, const struct kop *op)
{
	static const int cmds[] = {IPVS_CMD_NEW_DEST, IPVS_CMD_SET_DEST, IPVS_CMD_DEL_DEST};
	struct ipvs_dest dest = {
		.addr = op->rs.dest.addr,
		.port = op->rs.dest.port,
		.fwd = op->rs.dest.forward.fwd,
		.tun_type = op->rs.dest.forward.tun_type,
		.tun_port = op->rs.dest.forward.tun_port,
		.u_thresh = op->rs.dest.forward.u_thresh,
		.l_thresh = op->rs.dest.forward.l_thresh,
		.weight = op->rs.dest.weight,
	};

	return ipvs_put_dest(batch, cmds[op->verb], &op->rs.key, &dest);
}

static int put_op(struct linux_kernel *k, struct nl_batch *batch, const struct kop *op)
{
	if (op->table == KT_SERVICE)
		return put_service(batch, op);
	if (op->table == KT_FLOW)
		return ct_put_delete(batch, &op->flow);
	if (op->table == KT_DEST)
		return put_dest(batch, op);
	return route_put_binding(batch, (enum kverb)op->verb, &op->binding, k->lo_index);
}

/* Sends what is in the batch; its messages are ops[from .. to). */
static void flush_ops(struct linux_kernel *k, struct nl_batch *batch, struct kop *ops, size_t from,
		      size_t to)
{
	if (!nl_batch_count(batch))
		return;
	nl_batch_send(batch, k->results);
	for (size_t i = from; i < to; i++)
		ops[i].result = k->results[i - from];
}

static int submit_plain(struct linux_kernel *k, struct nl_batch *batch, struct kop *ops, size_t n)
{
	size_t from = 0;

	for (size_t i = 0; i < n; i++) {
		int rc = put_op(k, batch, &ops[i]);

		if (rc == -ENOSPC) {
			flush_ops(k, batch, ops, from, i);
			from = i;
			rc = put_op(k, batch, &ops[i]);
		}
		if (rc < 0) { /* cannot be encoded: send what was before it, and go on behind it */
			flush_ops(k, batch, ops, from, i);
			ops[i].result = rc;
			from = i + 1;
		}
	}
	flush_ops(k, batch, ops, from, n);
	return 0;
}

/* ---- elements: one transaction ---- */

static bool same_list(const struct kop *a, const struct kop *b)
{
	return a->verb == KV_ADD && b->verb == KV_ADD && a->elem.family == b->elem.family &&
	       a->elem.set == b->elem.set;
}

/* Appends the message that begins with ops[at]; returns how many operations it holds, -errno. */
static int put_elem_message(struct nl_batch *batch, const struct kop *ops, size_t at, size_t n)
{
	struct kelem elems[ELEMS_PER_MESSAGE];
	size_t count = 0;
	int rc;

	do {
		elems[count] = ops[at + count].elem;
		count++;
	} while (at + count < n && count < ELEMS_PER_MESSAGE &&
		 same_list(&ops[at], &ops[at + count]));
	rc = nft_put_elems(batch, (enum kverb)ops[at].verb, elems, count);
	return rc < 0 ? rc : (int)count;
}

/* The transaction failed as a whole if any message did; those that did not are undone with it. */
static void settle_transaction(struct linux_kernel *k, struct kop *ops, size_t to,
			       size_t n_messages)
{
	bool failed = false, unknown = false;

	for (size_t m = 0; m < n_messages; m++) {
		unknown |= k->results[m] == -EINPROGRESS;
		failed |= k->results[m] && k->results[m] != -EINPROGRESS;
	}
	for (size_t m = 1; m + 1 < n_messages; m++) { /* but the marks around it */
		size_t end = m + 2 < n_messages ? k->op_of[m + 1] : to;
		int result = k->results[m];

		if (!result || result == -EINPROGRESS)
			result = failed ? -ECANCELED : unknown ? -EINPROGRESS : 0;
		for (size_t i = k->op_of[m]; i < end; i++)
			ops[i].result = result;
	}
}

/* As much from ops[at] on as fits into one batch; the index behind it, at itself if nothing went.
 */
static size_t submit_transaction(struct linux_kernel *k, struct nl_batch *batch, struct kop *ops,
				 size_t at, size_t n)
{
	size_t messages = 1, to = at;

	if (nft_put_batch_begin(batch) < 0)
		return at;
	while (to < n && nl_batch_bytes(batch) < NL_BATCH_BYTES - ELEMS_BYTES_MAX) {
		int count = put_elem_message(batch, ops, to, n);

		if (count < 0)
			break;
		k->op_of[messages++] = (uint32_t)to;
		to += (size_t)count;
	}
	if (to == at || nft_put_batch_end(batch) < 0)
		return at;
	nl_batch_send(batch, k->results);
	settle_transaction(k, ops, to, messages + 1);
	return to;
}

static int submit_elems(struct linux_kernel *k, struct nl_batch *batch, struct kop *ops, size_t n)
{
	size_t at = 0;

	while (at < n) {
		size_t to = submit_transaction(k, batch, ops, at, n);

		if (to == at) { /* no memory: none of the rest was sent */
			nl_batch_reset(batch);
			for (; at < n; at++)
				ops[at].result = -ENOMEM;
			return -ENOMEM;
		}
		at = to;
	}
	return 0;
}

static int linux_submit(void *ctx, struct kop *ops, size_t n)
{
	struct linux_kernel *k = ctx;

	if (!n)
		return 0;
	switch ((enum ktable)ops[0].table) {
	case KT_SERVICE:
	case KT_DEST:
		return submit_plain(k, k->batches[CONN_IPVS], ops, n);
	case KT_BINDING:
		return submit_plain(k, k->batches[CONN_ROUTE], ops, n);
	case KT_FLOW:
		return submit_plain(k, k->batches[CONN_CT], ops, n);
	case KT_ELEM:
		return submit_elems(k, k->batches[CONN_NFT], ops, n);
	}
	return -EINVAL;
}

/* ---- dumps ---- */

struct visit {
	struct linux_kernel *k;
	enum kdump what;
	kobject_fn fn;
	void *arg;
};

static void make_service(const struct ipvs_service *svc, struct kobject *object)
{
	bool v4 = svc->key.af == AF_INET;

	memset(object, 0, sizeof(*object));
	object->kind = KD_SERVICES;
	object->service.key = svc->key;
	memcpy(object->service.sched, svc->sched, sizeof(object->service.sched));
	object->service.flags = svc->flags & ~(uint32_t)IP_VS_SVC_F_HASHED;
	object->service.timeout_sec = svc->flags & IP_VS_SVC_F_PERSISTENT ? svc->timeout_sec : 0;
	object->foreign = svc->key.fwmark || svc->pe[0] || svc->netmask != (v4 ? UINT32_MAX : 128);
}

static int visit_elem(const struct kelem *elem, void *arg)
{
	struct visit *visit = arg;
	struct kobject object = {.kind = KD_ELEMS};

	object.elem = *elem;
	return visit->fn(&object, visit->arg);
}

static int visit_message(const struct nlmsghdr *msg, void *arg)
{
	struct visit *visit = arg;
	struct kobject object = {.kind = visit->what};
	struct ipvs_service svc;
	struct ipvs_dest dest;

	switch (visit->what) {
	case KD_SERVICES:
		if (ipvs_get_service(msg, &svc) < 0)
			return 0;
		make_service(&svc, &object);
		break;
	case KD_DESTS:
		if (ipvs_get_dest(msg, &visit->k->dests_of, &dest) < 0)
			return 0;
		object.dest = (struct kdest){.addr = dest.addr,
					     .port = dest.port,
					     .forward = {.fwd = dest.fwd,
							 .tun_type = dest.tun_type,
							 .tun_port = dest.tun_port,
							 .u_thresh = dest.u_thresh,
							 .l_thresh = dest.l_thresh},
					     .weight = dest.weight,
					     .active_conns = dest.active_conns,
					     .inact_conns = dest.inact_conns};
		break;
	case KD_BINDINGS:
		if (route_get_gateway(msg, &object.addr))
			object.kind = KD_GATEWAYS;
		else if (!route_get_binding(msg, &object.binding))
			return 0;
		break;
	case KD_ELEMS:
		return nft_get_elems(msg, visit_elem, visit);
	case KD_GATEWAYS: /* found among the bindings */
		return 0;
	case KD_FLOWS:
		if (!ct_get_flow(msg, &object.flow))
			return 0;
		break;
	case KD_ADDRS:
		if (!route_get_addr(msg, visit->k->no_links, &object.addr))
			return 0;
		break;
	}
	return visit->fn(&object, visit->arg);
}

static enum conn conn_of(enum kdump what)
{
	if (what == KD_SERVICES || what == KD_DESTS)
		return CONN_IPVS;
	if (what == KD_FLOWS)
		return CONN_CT;
	return what == KD_ELEMS ? CONN_NFT : CONN_ROUTE;
}

/* Sends the request of the dump's present part; 0, 1 if there is no such part, -errno. */
static int start_part(struct linux_kernel *k, enum kdump what)
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct nl_batch *batch = k->batches[conn_of(what)];
	unsigned part = k->dump_part[what]++;
	int rc;

	if (what == KD_SERVICES || what == KD_DESTS) {
		if (part)
			return 1;
		return ipvs_dump_start(
			batch, what == KD_SERVICES ? IPVS_CMD_GET_SERVICE : IPVS_CMD_GET_DEST,
			what == KD_DESTS ? &k->dests_of : NULL);
	}
	if (what == KD_FLOWS) {
		if (part >= ARRAY_SIZE(families))
			return 1;
		rc = ct_put_dump(batch, families[part], k->flows_of);
		return rc < 0 ? rc : nl_dump_start(batch);
	}
	if (part >= (what == KD_ELEMS ? 2U * KSET_COUNT : what == KD_BINDINGS ? 2U : 1U))
		return 1;
	if (what == KD_ELEMS)
		rc = nft_put_elem_dump(batch, families[part / KSET_COUNT],
				       (enum kset)(part % KSET_COUNT));
	else if (what == KD_BINDINGS)
		rc = route_put_dump(batch, families[part]);
	else
		rc = route_put_addr_dump(batch);
	return rc < 0 ? rc : nl_dump_start(batch);
}

static int linux_dump_start(void *ctx, enum kdump what, const struct ipvs_key *key)
{
	struct linux_kernel *k = ctx;

	if (what == KD_DESTS)
		k->dests_of = *key;
	if (what == KD_FLOWS)
		k->flows_of = (uint8_t)key->proto;
	if (what == KD_ADDRS) {
		k->no_links[0] = k->lo_index;
		k->no_links[1] = (int)if_nametoindex("kube-ipvs0");
	}
	k->dump_part[what] = 0;
	k->dump_open[what] = false;
	return 0;
}

static int linux_dump_next(void *ctx, enum kdump what, kobject_fn fn, void *arg)
{
	struct linux_kernel *k = ctx;
	struct visit visit = {.k = k, .what = what, .fn = fn, .arg = arg};
	bool interrupted = false;
	int rc;

	if (!k->dump_open[what]) {
		rc = start_part(k, what);
		if (rc)
			return rc > 0 ? 0 : rc;
		k->dump_open[what] = true;
	}
	rc = nl_dump_next(k->conns[conn_of(what)], visit_message, &visit, &interrupted);
	if (rc > 0 && !interrupted)
		return 1;
	k->dump_open[what] = false;
	if (interrupted)
		return -EINTR;
	/* no such table or set (or family): nothing is there; then the next part */
	return rc == 0 || rc == -ENOENT || rc == -EAFNOSUPPORT || rc == -EOPNOTSUPP ? 1 : rc;
}

static int take_service(const struct nlmsghdr *msg, void *arg)
{
	struct ipvs_service svc;
	int rc = ipvs_get_service(msg, &svc);

	if (rc == 0)
		make_service(&svc, arg);
	return rc;
}

static int linux_get_service(void *ctx, const struct ipvs_key *key, struct kobject *ret_object)
{
	struct linux_kernel *k = ctx;
	int rc = ipvs_put_key(k->batches[CONN_IPVS], IPVS_CMD_GET_SERVICE, key);

	return rc < 0 ? rc : nl_batch_get(k->batches[CONN_IPVS], take_service, ret_object);
}

/* ---- the rules ---- */

static int add_to_digest(const struct nlmsghdr *msg, void *arg)
{
	uint64_t *digest = arg;

	*digest = nft_digest(*digest, msg);
	return 0;
}

static int linux_rules_digest(void *ctx, uint8_t family, uint64_t *ret_digest)
{
	static const int types[] = {NFT_MSG_GETTABLE, NFT_MSG_GETCHAIN, NFT_MSG_GETSET,
				    NFT_MSG_GETRULE};
	struct linux_kernel *k = ctx;
	uint64_t digest = UTIL_HASH_SEED;

	for (size_t i = 0; i < ARRAY_SIZE(types); i++) {
		int rc = nft_put_dump(k->batches[CONN_NFT], family, types[i]);

		if (rc >= 0)
			rc = nl_dump_start(k->batches[CONN_NFT]);
		while (rc >= 0 &&
		       (rc = nl_dump_next(k->conns[CONN_NFT], add_to_digest, &digest, NULL)) > 0)
			continue;
		if (rc < 0 && rc != -ENOENT && rc != -EAFNOSUPPORT && rc != -EOPNOTSUPP)
			return rc;
	}
	*ret_digest = digest == UTIL_HASH_SEED ? 0 : digest;
	return 0;
}

static int linux_set_timeouts(void *ctx, uint32_t tcp_sec, uint32_t tcp_fin_sec, uint32_t udp_sec)
{
	struct ipvs_timeouts timeouts = {tcp_sec, tcp_fin_sec, udp_sec};
	struct linux_kernel *k = ctx;
	int rc = ipvs_put_timeouts(k->batches[CONN_IPVS], &timeouts);

	if (rc < 0)
		return rc;
	rc = nl_batch_send(k->batches[CONN_IPVS], k->results);
	return rc < 0 ? rc : k->results[0];
}

static int take_listener(const struct nlmsghdr *msg, void *arg)
{
	uint16_t port = diag_get_port(msg);
	uint64_t *ports = arg;

	if (port)
		ports[port / 64] |= UINT64_C(1) << port % 64;
	return 0;
}

static int linux_listeners(void *ctx, uint8_t proto, uint64_t ret_ports[KPORT_WORDS])
{
	static const uint8_t families[] = {AF_INET, AF_INET6};
	struct linux_kernel *k = ctx;
	int rc = 0;

	memset(ret_ports, 0, KPORT_WORDS * sizeof(*ret_ports));
	for (size_t i = 0; i < ARRAY_SIZE(families) && rc == 0; i++) {
		rc = diag_put_dump(k->batches[CONN_DIAG], families[i], proto);
		if (rc >= 0)
			rc = nl_dump_start(k->batches[CONN_DIAG]);
		while (rc >= 0 &&
		       (rc = nl_dump_next(k->conns[CONN_DIAG], take_listener, ret_ports, NULL)) > 0)
			continue;
	}
	return rc;
}

/* ---- notifications ---- */

struct listener {
	struct linux_kernel *k;
	kevent_fn fn;
	void *arg;
	bool addrs_told, rules_told[2];
};

static void on_route(const struct nlmsghdr *msg, void *arg)
{
	struct listener *listener = arg;
	struct kevent event = {.kind = KE_BINDING_GONE};

	if (msg->nlmsg_type == RTM_DELROUTE && route_get_binding(msg, &event.binding)) {
		listener->fn(&event, listener->arg);
	} else if ((msg->nlmsg_type == RTM_NEWADDR || msg->nlmsg_type == RTM_DELADDR) &&
		   !listener->addrs_told) {
		event.kind = KE_ADDRS;
		listener->addrs_told = true;
		listener->fn(&event, listener->arg);
	}
}

static int on_elem_gone(const struct kelem *elem, void *arg)
{
	struct listener *listener = arg;
	struct kevent event = {.kind = KE_ELEM_GONE, .family = elem->family};

	event.elem = *elem;
	listener->fn(&event, listener->arg);
	return 0;
}

static void on_nft(const struct nlmsghdr *msg, void *arg)
{
	struct listener *listener = arg;
	struct kevent event = {.kind = KE_RULES_GONE};
	int type;

	if (!nft_is_ours(msg, &event.family, &type))
		return;
	if (type == NFT_MSG_DELSETELEM) {
		nft_get_elems(msg, on_elem_gone, listener);
	} else if ((type == NFT_MSG_DELTABLE || type == NFT_MSG_DELCHAIN ||
		    type == NFT_MSG_DELSET || type == NFT_MSG_DELRULE) &&
		   !listener->rules_told[event.family == AF_INET6]) {
		listener->rules_told[event.family == AF_INET6] = true;
		listener->fn(&event, listener->arg);
	}
}

static int linux_listen(void *ctx)
{
	struct linux_kernel *k = ctx;

	int rc = nl_monitor_join(k->route_monitor, RTNLGRP_IPV4_ROUTE);

	if (rc == 0)
		rc = nl_monitor_join(k->route_monitor, RTNLGRP_IPV6_ROUTE);
	return rc ? rc : nl_monitor_join(k->nft_monitor, NFNLGRP_NFTABLES);
}

static size_t linux_fds(void *ctx, int *ret_fds, size_t max)
{
	struct linux_kernel *k = ctx;

	if (max < 2)
		return 0;
	ret_fds[0] = nl_monitor_fd(k->route_monitor);
	ret_fds[1] = nl_monitor_fd(k->nft_monitor);
	return 2;
}

static void linux_read_events(void *ctx, int fd, kevent_fn fn, void *arg)
{
	struct linux_kernel *k = ctx;
	struct listener listener = {.k = k, .fn = fn, .arg = arg};
	struct kevent lost = {.kind = KE_LOST};
	bool route = fd == nl_monitor_fd(k->route_monitor);

	if (nl_monitor_read(route ? k->route_monitor : k->nft_monitor, route ? on_route : on_nft,
			    &listener) < 0)
		fn(&lost, arg);
}

static void linux_traffic(void *ctx, struct nl_counters *ret_counters)
{
	struct linux_kernel *k = ctx;
	struct nl_counters *sum = ret_counters, one;

	*sum = (struct nl_counters){0};
	for (int i = 0; i < CONN_COUNT; i++) {
		nl_conn_counters(k->conns[i], &one);
		sum->sends += one.sends;
		sum->messages += one.messages;
		sum->dumps += one.dumps;
		sum->errors += one.errors;
		sum->lost += one.lost;
	}
}

/* ---- open, close ---- */

static void linux_close(void *ctx)
{
	struct linux_kernel *k = ctx;

	for (int i = 0; i < CONN_COUNT; i++) {
		nl_batch_free(k->batches[i]);
		nl_conn_close(k->conns[i]);
	}
	nl_monitor_close(k->route_monitor);
	nl_monitor_close(k->nft_monitor);
	free(k->results);
	free(k->op_of);
	free(k);
}

static const struct kernel_ops linux_kernel_ops = {
	.submit = linux_submit,
	.dump_start = linux_dump_start,
	.dump_next = linux_dump_next,
	.get_service = linux_get_service,
	.rules_digest = linux_rules_digest,
	.set_timeouts = linux_set_timeouts,
	.listeners = linux_listeners,
	.listen = linux_listen,
	.fds = linux_fds,
	.read_events = linux_read_events,
	.traffic = linux_traffic,
	.close = linux_close,
};

static int open_conns(struct linux_kernel *k, struct err *err)
{
	static const int protocols[] = {NETLINK_GENERIC, NETLINK_ROUTE, NETLINK_NETFILTER,
					NETLINK_NETFILTER, NETLINK_SOCK_DIAG};
	int rc = 0;

	for (int i = 0; i < CONN_COUNT && rc == 0; i++) {
		rc = nl_conn_open(protocols[i], &k->conns[i], err);
		if (rc == 0 && !(k->batches[i] = nl_batch_new(k->conns[i])))
			rc = err_set(err, -ENOMEM, "no memory for netlink");
	}
	k->results = calloc(RESULTS_MAX, sizeof(*k->results));
	k->op_of = calloc(RESULTS_MAX, sizeof(*k->op_of));
	if (rc == 0 && (!k->results || !k->op_of))
		rc = err_set(err, -ENOMEM, "no memory for netlink");
	return rc;
}

static int take_nothing(const struct nlmsghdr *msg, void *arg)
{
	(void)msg, (void)arg;
	return 0;
}

/* Every command needs CAP_NET_ADMIN in the first user namespace, also the ones that only read. */
static int probe_ipvs(struct linux_kernel *k, struct err *err)
{
	int rc = nl_conn_bind_family(k->conns[CONN_IPVS], IPVS_GENL_NAME, err);

	if (rc < 0)
		return err_set(
			err, -ENOENT,
			"this kernel has no IPVS: load it with modprobe ip_vs (Debian: package "
			"linux-image-amd64, not the cloud kernel), or use "
			"--proxy-mode=iptables");
	rc = ipvs_put_key(k->batches[CONN_IPVS], IPVS_CMD_GET_INFO, NULL);
	if (rc >= 0)
		rc = nl_batch_get(k->batches[CONN_IPVS], take_nothing, NULL);
	if (rc == -EPERM)
		return err_set(err, -EPERM,
			       "not allowed to use IPVS: run as root, or with CAP_NET_ADMIN in the "
			       "first user namespace");
	return rc < 0 ? err_set(err, rc, "IPVS does not answer: %s", strerror(-rc)) : 0;
}

static int probe_nft(struct linux_kernel *k, struct err *err)
{
	int rc = nft_put_dump(k->batches[CONN_NFT], AF_INET, NFT_MSG_GETTABLE);

	if (rc >= 0)
		rc = nl_dump_start(k->batches[CONN_NFT]);
	while (rc >= 0 && (rc = nl_dump_next(k->conns[CONN_NFT], take_nothing, NULL, NULL)) > 0)
		continue;
	if (rc == -EPERM)
		return err_set(err, -EPERM, "not allowed to use nftables: run as root");
	return rc < 0 ? err_set(err, -ENOENT,
				"this kernel has no nftables for IPv4 (%s): load it with modprobe "
				"nf_tables; IPVS mode needs it for its helper rules",
				strerror(-rc))
		      : 0;
}

static int open_monitors(struct linux_kernel *k, struct err *err)
{
	static const unsigned route_groups[] = {RTNLGRP_IPV4_IFADDR, RTNLGRP_IPV6_IFADDR};
	int rc = nl_monitor_open(NETLINK_ROUTE, route_groups, ARRAY_SIZE(route_groups),
				 k->conns[CONN_ROUTE], &k->route_monitor, err);

	if (rc == 0)
		rc = nl_monitor_open(NETLINK_NETFILTER, NULL, 0, k->conns[CONN_NFT],
				     &k->nft_monitor, err);
	return rc;
}

int kernel_linux_open(struct kernel *ret_kernel, struct err *err)
{
	struct linux_kernel *k = calloc(1, sizeof(*k));
	int rc;

	if (!k)
		return err_set(err, -ENOMEM, "no memory for netlink");
	rc = open_conns(k, err);
	if (rc == 0)
		rc = probe_ipvs(k, err);
	if (rc == 0)
		rc = probe_nft(k, err);
	if (rc == 0)
		rc = open_monitors(k, err);
	k->lo_index = (int)if_nametoindex("lo");
	if (rc == 0 && !k->lo_index)
		rc = err_set(err, -ENODEV, "there is no loopback device lo");
	if (rc < 0) {
		linux_close(k);
		return rc;
	}
	*ret_kernel = (struct kernel){.ops = &linux_kernel_ops, .ctx = k};
	return 0;
}
