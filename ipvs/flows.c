/* SPDX-License-Identifier: Apache-2.0 */
/* Flows that hang on what is gone, in the kernel's connection tracking.
 *
 * An entrance translates the first packet of a flow; what follows goes where that one went, past
 * IPVS (nf_nat_packet; ip_vs_update_conntrack makes the endpoint the flow's other end). So nobody
 * but connection tracking knows where a flow of an entrance goes, and an entry must be removed for
 * its next packet to be judged anew. The same holds for a client of a cluster IP that sent before
 * the Service was there: its entry is older than any translation.
 *
 * Rules:
 *  F1 UDP: a flow of a frontend of ours whose other end is none of its endpoints goes at once.
 *  F2 UDP: one that was never translated goes when there is an endpoint to go to; one that was,
 * when its frontend is gone, too. F3 TCP, SCTP: a flow to an endpoint that is gone goes when the
 * drain deadline is over. F4 What no frontend of ours explains is left alone.
 *
 * A pass reads the entries of a protocol in slices; passes are at least FLOWS_PAUSE_MS apart. Which
 * endpoints are gone is not known after a restart: their flows end by themselves. */
#include <errno.h>
#include <string.h>

#include "engine.h"
#include "log.h"

#define FLOWS_PAUSE_MS 200
#define FLOWS_BATCH    256   /* removals sent at once */
#define FLOWS_GONE_MAX 65536 /* endpoints and frontends remembered; the oldest are forgotten */

/* An endpoint that was removed (TCP, SCTP), or a frontend (UDP). */
struct gone {
	struct fe_key key; /* the endpoint's or the frontend's address, port, protocol */
	uint64_t due_ms;   /* its flows go from then on; UDP: until the next pass is over */
	UT_hash_handle hh;
};

struct flows {
	struct gone *gone;
	bool udp_wanted;      /* something about UDP changed since the last pass began */
	uint64_t last_ms;     /* when the last pass began */
	uint64_t next_due_ms; /* the earliest due_ms of TCP and SCTP; 0 = none */
	bool running, dump_open, failed;
	uint8_t protos[3]; /* of the pass; 0 ends it */
	size_t at;         /* which of them */
	struct kop ops[FLOWS_BATCH];
	size_t n_ops, removed;
};

int flows_init(struct backend *be)
{
	be->flows = calloc(1, sizeof(*be->flows));
	return be->flows ? 0 : -ENOMEM;
}

void flows_done(struct backend *be)
{
	struct gone *gone, *next;

	if (!be->flows)
		return;
	HASH_ITER (hh, be->flows->gone, gone, next) {
		HASH_DEL(be->flows->gone, gone);
		free(gone);
	}
	free(be->flows);
}

/* ---- what changed ---- */

static void forget(struct flows *flows, struct gone *gone)
{
	HASH_DEL(flows->gone, gone);
	free(gone);
}

static void remember(struct flows *flows, const struct fe_key *key, uint64_t due_ms)
{
	struct gone *gone;

	HASH_FIND(hh, flows->gone, key, sizeof(*key), gone);
	if (!gone) {
		if (HASH_COUNT(flows->gone) >= FLOWS_GONE_MAX)
			forget(flows, flows->gone);
		gone = calloc(1, sizeof(*gone));
		if (!gone)
			return;
		gone->key = *key;
		HASH_ADD(hh, flows->gone, key, sizeof(gone->key), gone);
	}
	gone->due_ms = due_ms;
}

void flows_frontend_changed(struct backend *be, const struct fe_key *key, bool gone)
{
	if (key->proto != IPPROTO_UDP)
		return;
	be->flows->udp_wanted = true;
	if (gone)
		remember(be->flows, key, 0);
}

void flows_endpoint_gone(struct backend *be, const struct pic_service *svc,
			 const struct pic_dest *dest)
{
	struct flows *flows = be->flows;
	struct fe_key key = fe_key_make(&dest->addr, dest->port, svc->key.proto);
	uint64_t due_ms = dest->deadline_ms;

	if (key.proto == IPPROTO_UDP) {
		flows->udp_wanted = true;
		return;
	}
	if (!be->pic.entrances) /* IPVS ends those of cluster IPs itself */
		return;
	if (!due_ms)
		due_ms = engine_now_ms(be) + be->config.drain_ms;
	remember(flows, &key, due_ms);
	if (!flows->next_due_ms || due_ms < flows->next_due_ms)
		flows->next_due_ms = due_ms;
}

/* ---- judging a flow ---- */

static bool has_dest(const struct pic_service *svc, const struct kflow *flow)
{
	return svc && picture_dest(svc, &flow->reply_src, flow->reply_sport) != NULL;
}

static bool has_any_dest(const struct pic_service *svc)
{
	return svc && svc->n > 0;
}

static const struct pic_service *server_at(const struct backend *be, const struct ip_addr *addr,
					   uint16_t port, uint8_t proto)
{
	struct fe_key key = fe_key_make(addr, port, proto);
	const struct pic_service *svc = picture_service(&be->pic, &key);

	return svc && svc->present && !svc->foreign ? svc : NULL;
}

static const struct pic_entrance *entrance_of(const struct backend *be, const struct kflow *flow,
					      struct fe_key *ret_key)
{
	const struct pic_entrance *entrance;
	const struct pic_binding *binding;

	*ret_key = fe_key_make(&flow->orig_dst, flow->orig_dport, flow->proto);
	entrance = picture_entrance(&be->pic, ret_key);
	if (entrance)
		return entrance;
	binding = picture_binding(&be->pic, &flow->orig_dst);
	if (!binding || !binding->node_own)
		return NULL;
	*ret_key = fe_key_node_port(flow->orig_dst.family, flow->orig_dport, flow->proto);
	return picture_entrance(&be->pic, ret_key);
}

/* The virtual servers that a flow to this address may have been given to. */
static size_t servers_of(const struct backend *be, const struct kflow *flow,
			 const struct pic_service *ret_servers[3], struct fe_key *ret_key)
{
	const struct pic_entrance *entrance = entrance_of(be, flow, ret_key);
	size_t n = 0;

	if (entrance && (entrance->elems & EL_TO))
		ret_servers[n++] =
			server_at(be, &entrance->to.addr, entrance->to.port, flow->proto);
	if (entrance && (entrance->elems & EL_CLUSTER))
		ret_servers[n++] = server_at(be, &entrance->to_cluster.addr,
					     entrance->to_cluster.port, flow->proto);
	if (!entrance)
		ret_servers[n++] = server_at(be, &flow->orig_dst, flow->orig_dport, flow->proto);
	return n;
}

static bool is_gone(const struct backend *be, const struct fe_key *key, uint64_t now_ms)
{
	struct gone *gone;

	HASH_FIND(hh, be->flows->gone, key, sizeof(*key), gone);
	return gone && gone->due_ms <= now_ms;
}

static bool is_stale(const struct backend *be, const struct kflow *flow, uint64_t now_ms)
{
	bool translated = !addr_equal(&flow->reply_src, &flow->orig_dst) ||
			  flow->reply_sport != flow->orig_dport;
	const struct pic_service *servers[3];
	struct fe_key key, end = fe_key_make(&flow->reply_src, flow->reply_sport, flow->proto);
	size_t n = servers_of(be, flow, servers, &key);
	bool known = false, any = false;

	for (size_t i = 0; i < n; i++) {
		if (has_dest(servers[i], flow))
			return false;
		known |= servers[i] != NULL;
		any |= has_any_dest(servers[i]);
	}
	if (flow->proto != IPPROTO_UDP) /* F3 */
		return known && translated && is_gone(be, &end, now_ms);
	if (!known) /* F2, F4 */
		return translated && is_gone(be, &key, now_ms);
	return translated || any; /* F1, F2 */
}

/* ---- a pass ---- */

static void send_ops(struct backend *be)
{
	struct flows *flows = be->flows;

	if (!flows->n_ops)
		return;
	be->kernel.ops->submit(be->kernel.ctx, flows->ops, flows->n_ops);
	for (size_t i = 0; i < flows->n_ops; i++) /* -ENOENT: it ended by itself */
		flows->removed += flows->ops[i].result == 0;
	flows->n_ops = 0;
}

static int saw_flow(const struct kobject *object, void *arg)
{
	struct backend *be = arg;
	struct flows *flows = be->flows;

	if (object->flow.proto != flows->protos[flows->at] ||
	    !is_stale(be, &object->flow, engine_now_ms(be)))
		return 0;
	flows->ops[flows->n_ops] = (struct kop){.table = KT_FLOW, .verb = KV_DEL};
	flows->ops[flows->n_ops++].flow = object->flow;
	if (flows->n_ops == FLOWS_BATCH)
		send_ops(be);
	return 0;
}

static void begin_pass(struct backend *be, uint64_t now_ms)
{
	struct flows *flows = be->flows;
	bool due = flows->next_due_ms && flows->next_due_ms <= now_ms;
	size_t n = 0;

	memset(flows->protos, 0, sizeof(flows->protos));
	if (flows->udp_wanted)
		flows->protos[n++] = IPPROTO_UDP;
	if (due)
		flows->protos[n++] = IPPROTO_TCP;
	if (due)
		flows->protos[n++] = IPPROTO_SCTP;
	flows->running = true;
	flows->udp_wanted = flows->dump_open = flows->failed = false;
	flows->at = flows->removed = 0;
	flows->last_ms = now_ms;
}

/* What was due is done, what is not is looked at again when it is. */
static void end_pass(struct backend *be)
{
	struct flows *flows = be->flows;
	struct gone *gone, *next;

	flows->running = false;
	be->counters.flow_passes++;
	be->counters.flows_removed += flows->removed;
	if (flows->removed)
		log_info("flows to what is gone removed", "flows=%zu", flows->removed);
	if (flows->failed) {
		flows->udp_wanted |= flows->protos[0] == IPPROTO_UDP;
		return;
	}
	flows->next_due_ms = 0;
	HASH_ITER (hh, flows->gone, gone, next) {
		bool udp = gone->key.proto == IPPROTO_UDP;

		if (udp ? !flows->udp_wanted : gone->due_ms <= flows->last_ms)
			forget(flows, gone);
		else if (!udp && (!flows->next_due_ms || gone->due_ms < flows->next_due_ms))
			flows->next_due_ms = gone->due_ms;
	}
}

/* One datagram; false at the end of the pass. */
static bool pass_step(struct backend *be)
{
	struct flows *flows = be->flows;
	const struct ipvs_key filter = {.proto = flows->protos[flows->at]};
	int rc = 0;

	if (!filter.proto)
		return false;
	if (!flows->dump_open)
		rc = be->kernel.ops->dump_start(be->kernel.ctx, KD_FLOWS, &filter);
	flows->dump_open = rc == 0;
	if (rc == 0)
		rc = be->kernel.ops->dump_next(be->kernel.ctx, KD_FLOWS, saw_flow, be);
	if (rc > 0)
		return true;
	flows->dump_open = false;
	flows->failed |= rc < 0;
	return ++flows->at < ARRAY_SIZE(flows->protos);
}

uint64_t flows_tick(struct backend *be, uint64_t now_ms, uint64_t budget_us)
{
	struct flows *flows = be->flows;
	uint64_t end_us = engine_clock_us() + budget_us, next_ms = UINT64_MAX;
	bool more = true;

	if (flows->udp_wanted)
		next_ms = 0;
	else if (flows->next_due_ms)
		next_ms = flows->next_due_ms;
	if (next_ms != UINT64_MAX && next_ms < flows->last_ms + FLOWS_PAUSE_MS && flows->last_ms)
		next_ms = flows->last_ms + FLOWS_PAUSE_MS;
	if (!flows->running && next_ms > now_ms)
		return next_ms;
	if (!flows->running)
		begin_pass(be, now_ms);
	while ((more = pass_step(be)) && engine_clock_us() < end_us)
		continue;
	send_ops(be);
	if (!more)
		end_pass(be);
	return more ? now_ms + 1 : now_ms + FLOWS_PAUSE_MS;
}
