/* SPDX-License-Identifier: Apache-2.0 */
/* See lower.h, which numbers the rules. */
#include <errno.h>
#include <string.h>
#include <linux/ip_vs.h>

#include "lower.h"

void plan_reset(struct plan *plan)
{
	for (int i = 0; i < PH_COUNT; i++)
		plan->phase[i].n = 0;
	plan->n = 0;
}

void plan_done(struct plan *plan)
{
	for (int i = 0; i < PH_COUNT; i++) {
		free(plan->phase[i].ops);
		free(plan->phase[i].units);
	}
	*plan = (struct plan){0};
}

static int emit(struct plan *plan, enum phase phase, const struct kop *op, void *unit)
{
	struct phase_ops *list = &plan->phase[phase];

	if (util_grow((void **)&list->ops, &list->ops_cap, list->n + 1, sizeof(*list->ops)) < 0 ||
	    util_grow((void **)&list->units, &list->units_cap, list->n + 1, sizeof(*list->units)) <
		    0)
		return -ENOMEM;
	list->ops[list->n] = *op;
	list->units[list->n++] = unit;
	plan->n++;
	return 0;
}

static int emit_elem_in(struct plan *plan, enum phase phase, enum kverb verb,
			const struct kelem *elem, void *unit)
{
	struct kop op = {.table = KT_ELEM, .verb = (uint8_t)verb, .elem = *elem};

	return emit(plan, phase, &op, unit);
}

static int emit_elem(struct plan *plan, enum kverb verb, const struct kelem *elem, void *unit)
{
	return emit_elem_in(plan, verb == KV_ADD ? PH_ELEM_ADD : PH_ELEM_DEL, verb, elem, unit);
}

static int emit_key_elem(struct plan *plan, enum kverb verb, enum kset set,
			 const struct fe_key *key, void *unit)
{
	struct kelem elem = kelem_service(set, &key->vip, key->proto, key->port);

	return emit_elem(plan, verb, &elem, unit);
}

static int emit_binding(struct plan *plan, enum kverb verb, const struct ip_addr *vip,
			const struct ip_addr *src, void *unit)
{
	struct kop op = {.table = KT_BINDING, .verb = (uint8_t)verb};

	op.binding.vip = *vip;
	op.binding.src = *src;
	return emit(plan, verb == KV_DEL ? PH_UNBIND : PH_BIND, &op, unit);
}

static int emit_dest(struct plan *plan, enum kverb verb, const struct fe_key *key,
		     const struct kforward *forward, const struct ip_addr *addr, uint16_t port,
		     uint32_t weight, void *unit)
{
	struct kop op = {.table = KT_DEST, .verb = (uint8_t)verb};

	op.rs.key = picture_ipvs_key(key);
	op.rs.dest.addr = *addr;
	op.rs.dest.port = port;
	if (forward)
		op.rs.dest.forward = *forward;
	op.rs.dest.weight = weight;
	return emit(plan, verb == KV_DEL ? PH_SERVER_DEL : PH_SERVER, &op, unit);
}

bool lower_drains(const struct fe_key *key)
{
	return key->proto != IPPROTO_UDP; /* L3 */
}

static bool drain_over(const struct lowering *low, const struct pic_dest *dest)
{
	return dest->deadline_ms && (dest->idle || low->now_ms >= dest->deadline_ms);
}

const char *lower_scheduler(const struct lowering *low, const struct frontend *fe)
{
	const char *name = fe->lb.scheduler[0] ? fe->lb.scheduler : low->scheduler;

	for (size_t i = 0; i < low->n_missing; i++)
		if (strcmp(low->missing[i], name) == 0)
			return low->scheduler;
	return name;
}

static void want_service(const struct lowering *low, const struct frontend *fe,
			 struct kservice *ret_service)
{
	const char *sched = lower_scheduler(low, fe);

	memset(ret_service, 0, sizeof(*ret_service));
	ret_service->key = picture_ipvs_key(&fe->key);
	snprintf(ret_service->sched, sizeof(ret_service->sched), "%s", sched);
	ret_service->flags = fe->lb.sched_flags;
	if (strcmp(sched, "mh") == 0) /* L6; mh-port too, as kube-proxy has it */
		ret_service->flags |= IP_VS_SVC_F_SCHED1 | IP_VS_SVC_F_SCHED2;
	if (strcmp(sched, "sh") == 0)
		ret_service->flags |= IP_VS_SVC_F_SCHED_SH_FALLBACK;
	if (fe->lb.one_packet)
		ret_service->flags |= IP_VS_SVC_F_ONEPACKET;
	if (fe->lb.affinity_sec) {
		ret_service->flags |= IP_VS_SVC_F_PERSISTENT;
		ret_service->timeout_sec = fe->lb.affinity_sec;
	}
}

static bool service_differs(const struct pic_service *svc, const struct kservice *want)
{
	return strcmp(svc->sched, want->sched) != 0 || svc->flags != want->flags ||
	       svc->timeout_sec != want->timeout_sec;
}

static const struct endpoint *pool_find(const struct pool *pool, const struct pic_dest *dest)
{
	size_t low = 0, high = pool->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;
		const struct endpoint *ep = &pool->ep[mid];
		int order = addr_cmp(&ep->addr, &dest->addr);

		if (!order)
			order = (ep->port > dest->port) - (ep->port < dest->port);
		if (!order)
			return ep;
		if (order < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return NULL;
}

static bool takes_flows(const struct endpoint *ep)
{
	return ep && ep->state == EP_ACTIVE && ep->weight;
}

static struct kforward want_forward(const struct frontend *fe)
{
	static const uint8_t methods[] = {[FORWARD_MASQUERADE] = IP_VS_CONN_F_MASQ,
					  [FORWARD_DIRECT] = IP_VS_CONN_F_DROUTE,
					  [FORWARD_TUNNEL] = IP_VS_CONN_F_TUNNEL};

	return (struct kforward){
		.u_thresh = fe->lb.conns_max,
		.l_thresh = fe->lb.conns_min,
		.tun_port = fe->lb.tunnel_port,
		.fwd = methods[fe->lb.forwarding],
		.tun_type = fe->lb.tunnel_type, /* numbered alike: <linux/ip_vs.h> */
	};
}

static bool is_alike(const struct pic_service *svc, const struct pic_dest *dest,
		     const struct kforward *forward)
{
	return dest->alike && kforward_equal(&svc->forward, forward);
}

/* Drains or removes a destination that takes no new flows. *ret_stays: it is there after the slice.
 */
static int lower_leaving_dest(const struct lowering *low, const struct pic_service *svc,
			      const struct pic_dest *dest, bool whole, void *unit, bool *ret_stays)
{
	if (!lower_drains(&svc->key) || drain_over(low, dest)) {
		*ret_stays = false;
		return whole ? 0
			     : emit_dest(low->plan, KV_DEL, &svc->key, NULL, &dest->addr,
					 dest->port, 0, unit);
	}
	*ret_stays = true;
	if (dest->weight == 0 && dest->deadline_ms)
		return 0;
	return emit_dest(low->plan, KV_SET, &svc->key, dest->alike ? &svc->forward : NULL,
			 &dest->addr, dest->port, 0, unit);
}

/* L9 */
static uint32_t want_weight(const struct lowering *low, const struct fe_key *key,
			    const struct endpoint *ep)
{
	const struct pic_ramp *ramp =
		low->pic->ramps ? picture_ramp(low->pic, key, &ep->addr, ep->port) : NULL;
	uint64_t weight = ep->weight;

	if (!ramp || low->now_ms >= ramp->end_ms)
		return ep->weight;
	weight = weight * (low->now_ms - ramp->start_ms) / (ramp->end_ms - ramp->start_ms);
	return weight ? (uint32_t)weight : 1;
}

struct shuffled {
	uint64_t rank;
	const struct endpoint *ep;
};

static int shuffled_cmp(const void *a, const void *b)
{
	const struct shuffled *x = a, *y = b;

	return (x->rank > y->rank) - (x->rank < y->rank);
}

static uint64_t endpoint_rank(const struct lowering *low, const struct fe_key *key,
			      const struct endpoint *ep)
{
	uint64_t hash = util_hash(UTIL_HASH_SEED ^ low->seed, key, sizeof(*key));

	hash = util_hash(hash, &ep->addr, sizeof(ep->addr));
	return util_hash(hash, &ep->port, sizeof(ep->port));
}

/* L5 */
static int lower_new_dests(const struct lowering *low, const struct pic_service *svc,
			   const struct frontend *fe, void *unit)
{
	struct kforward forward = want_forward(fe);
	struct shuffled few[32], *fresh = few;
	size_t n = 0;
	int rc = 0;

	if (fe->pool->n > ARRAY_SIZE(few))
		fresh = malloc(fe->pool->n * sizeof(*fresh));
	if (!fresh)
		return -ENOMEM;
	for (size_t i = 0; i < fe->pool->n; i++) {
		const struct endpoint *ep = &fe->pool->ep[i];

		if (takes_flows(ep) && !picture_dest(svc, &ep->addr, ep->port))
			fresh[n++] = (struct shuffled){endpoint_rank(low, &fe->key, ep), ep};
	}
	if (n)
		qsort(fresh, n, sizeof(*fresh), shuffled_cmp);
	for (size_t i = 0; i < n && rc == 0; i++)
		rc = emit_dest(low->plan, KV_ADD, &fe->key, &forward, &fresh[i].ep->addr,
			       fresh[i].ep->port, want_weight(low, &fe->key, fresh[i].ep), unit);
	if (fresh != few)
		free(fresh);
	return rc;
}

static int lower_old_dests(const struct lowering *low, const struct pic_service *svc,
			   const struct frontend *fe, void *unit)
{
	struct kforward forward = want_forward(fe);
	int rc = 0;

	for (size_t i = 0; i < svc->n && rc == 0; i++) { /* weights back first: L2 */
		const struct pic_dest *dest = &svc->dests[i];
		const struct endpoint *ep = pool_find(fe->pool, dest);

		if (takes_flows(ep) && (dest->weight != want_weight(low, &fe->key, ep) ||
					dest->deadline_ms || !is_alike(svc, dest, &forward)))
			rc = emit_dest(low->plan, KV_SET, &fe->key, &forward, &dest->addr,
				       dest->port, want_weight(low, &fe->key, ep), unit);
	}
	for (size_t i = 0; i < svc->n && rc == 0; i++) {
		const struct pic_dest *dest = &svc->dests[i];
		bool stays;

		if (!takes_flows(pool_find(fe->pool, dest)))
			rc = lower_leaving_dest(low, svc, dest, false, unit, &stays);
	}
	return rc;
}

static bool binding_is_right(const struct pic_binding *binding, const struct ip_addr *src)
{
	return binding->bound && !binding->unsure && addr_equal(&binding->src, src);
}

static int lower_wanted_binding(const struct lowering *low, const struct fe_key *key, void *unit)
{
	const struct pic_binding *binding = picture_binding(low->pic, &key->vip);
	const struct ip_addr *src = &low->src[key->vip.family == AF_INET6];

	if (binding->node_own || binding_is_right(binding, src)) /* L8 */
		return 0;
	return emit_binding(low->plan, binding->bound ? KV_SET : KV_ADD, &key->vip, src, unit);
}

static int lower_guard(const struct lowering *low, const struct fe_key *key, void *unit)
{
	const struct pic_binding *binding = picture_binding(low->pic, &key->vip);
	struct kelem elem = kelem_vip(&key->vip);

	if (binding->elem_vip || binding->node_own)
		return 0;
	return emit_elem(low->plan, KV_ADD, &elem, unit);
}

/* Elements that it has and should not have go, and the other way round. */
static int lower_service_elems(const struct lowering *low, const struct pic_service *svc,
			       uint8_t want, void *unit)
{
	int rc = 0;

	for (uint8_t bit = EL_SERVICE; bit <= EL_DIRECT && rc == 0; bit = (uint8_t)(bit << 1))
		if ((svc->elems ^ want) & bit)
			rc = emit_key_elem(low->plan, want & bit ? KV_ADD : KV_DEL,
					   picture_service_set(bit), &svc->key, unit);
	return rc;
}

static uint8_t wanted_elems(const struct frontend *fe)
{
	return (uint8_t)(EL_SERVICE | (fe->verdict == V_REJECT ? EL_REFUSED : 0) |
			 (fe->verdict == V_DROP ? EL_DROPPED : 0) | (fe->inner ? EL_INNER : 0) |
			 (fe->lb.forwarding != FORWARD_MASQUERADE ? EL_DIRECT : 0));
}

static int lower_wanted(const struct lowering *low, const struct pic_service *svc,
			const struct frontend *fe, void *unit)
{
	struct kop op = {.table = KT_SERVICE};
	int rc = lower_guard(low, &fe->key, unit);

	if (rc == 0)
		rc = lower_service_elems(low, svc, wanted_elems(fe), unit);
	want_service(low, fe, &op.service);
	if (rc == 0 && (!svc->present || service_differs(svc, &op.service))) {
		op.verb = svc->present ? KV_SET : KV_ADD;
		rc = emit(low->plan, PH_SERVER, &op, unit);
	}
	if (rc == 0)
		rc = lower_new_dests(low, svc, fe, unit);
	if (rc == 0)
		rc = lower_old_dests(low, svc, fe, unit);
	return rc ? rc : lower_wanted_binding(low, &fe->key, unit);
}

/* The last virtual server or entrance of its address takes the binding with it. */
static int lower_last_of_vip(const struct lowering *low, const struct fe_key *key, void *unit)
{
	struct pic_binding *binding = picture_binding(low->pic, &key->vip);
	struct kelem elem = kelem_vip(&key->vip);
	int rc = 0;

	if (++binding->leaving < binding->refs || model_vip_count(low->model, &key->vip))
		return 0;
	if (binding->bound)
		rc = emit_binding(low->plan, KV_DEL, &key->vip, &binding->src, unit);
	if (rc == 0 && binding->elem_vip)
		rc = emit_elem(low->plan, KV_DEL, &elem, unit);
	return rc;
}

/* L4 */
static int lower_gone(const struct lowering *low, struct pic_service *svc, void *unit)
{
	struct kop op = {.table = KT_SERVICE, .verb = KV_DEL};
	bool stays, any_stays = false;
	int rc = 0;

	for (size_t i = 0; i < svc->n && rc == 0; i++) {
		rc = lower_leaving_dest(low, svc, &svc->dests[i], true, unit, &stays);
		any_stays |= stays;
	}
	if (rc < 0)
		return rc;
	if (any_stays)
		return lower_service_elems(low, svc, svc->elems | EL_REFUSED, unit);
	svc->leaving = true;
	rc = lower_last_of_vip(low, &svc->key, unit);
	op.service.key = picture_ipvs_key(&svc->key);
	if (rc == 0 && svc->present)
		rc = emit(low->plan, PH_SERVER_DEL, &op, unit);
	return rc ? rc : lower_service_elems(low, svc, 0, unit);
}

int lower_service(const struct lowering *low, struct pic_service *svc, const struct frontend *fe,
		  void *unit)
{
	svc->leaving = false;
	if (svc->foreign) /* somebody was faster: what was made for one of ours goes again */
		return lower_service_elems(low, svc, 0, unit);
	return fe ? lower_wanted(low, svc, fe, unit) : lower_gone(low, svc, unit);
}

/* ---- entrances ---- */

static struct kelem entrance_elem(const struct pic_entrance *entrance, uint8_t bit,
				  const struct pic_target *to)
{
	struct kelem_parts parts = {.proto = entrance->key.proto, .port = entrance->key.port};

	if (entrance->key.scope == SCOPE_VIP)
		parts.addr = entrance->key.vip;
	if (to) {
		parts.target = to->addr;
		parts.target_port = to->port;
	}
	return kelem_make(picture_entrance_set(bit, entrance->key.scope), entrance->key.vip.family,
			  &parts);
}

/* One of its two elements in maps; `via` NULL = none. A map's value cannot be changed: the element
 * is removed and added in one transaction. */
static int lower_target(const struct lowering *low, const struct pic_entrance *entrance,
			uint8_t bit, const struct frontend *via, void *unit)
{
	const struct pic_target *have = bit == EL_TO ? &entrance->to : &entrance->to_cluster;
	bool there = entrance->elems & bit;
	struct pic_target want = {0};
	struct kelem elem;
	int rc = 0;

	if (via)
		want = (struct pic_target){via->key.vip, via->key.port};
	if (there && via && have->port == want.port && addr_equal(&have->addr, &want.addr))
		return 0;
	if (there) {
		elem = entrance_elem(entrance, bit, have);
		rc = emit_elem_in(low->plan, via ? PH_ENTER : PH_LEAVE, KV_DEL, &elem, unit);
	}
	if (rc == 0 && via) {
		elem = entrance_elem(entrance, bit, &want);
		rc = emit_elem_in(low->plan, PH_ENTER, KV_ADD, &elem, unit);
	}
	return rc;
}

static int lower_flag(const struct lowering *low, const struct pic_entrance *entrance, uint8_t bit,
		      bool want, void *unit)
{
	struct kelem elem = entrance_elem(entrance, bit, NULL);
	bool there = entrance->elems & bit;

	if (there == want)
		return 0;
	return emit_elem(low->plan, want ? KV_ADD : KV_DEL, &elem, unit);
}

static int emit_allowed(const struct lowering *low, const struct pic_entrance *entrance,
			enum phase phase, enum kverb verb, const struct ip_prefix *net, void *unit)
{
	struct kelem_parts parts = {
		.addr = entrance->key.vip,
		.proto = entrance->key.proto,
		.port = entrance->key.port,
		.source = *net,
	};
	struct kelem elem =
		kelem_make(kset_allowed(entrance->key.proto), entrance->key.vip.family, &parts);

	return emit_elem_in(low->plan, phase, verb, &elem, unit);
}

static bool ranges_have(const struct ranges *ranges, const struct ip_prefix *net)
{
	for (size_t i = 0; ranges && i < ranges->n; i++)
		if (ranges->net[i].len == net->len && addr_equal(&ranges->net[i].addr, &net->addr))
			return true;
	return false;
}

/* Those who may come in are known before it is restricted to them, and as long as it is. No two
 * ranges of a set may overlap: what goes is removed before what comes, in the same transaction. */
static int lower_ranges(const struct lowering *low, const struct pic_entrance *entrance,
			const struct ranges *ranges, void *unit)
{
	enum phase del_phase = ranges ? PH_ELEM_ADD : PH_ELEM_DEL;
	int rc = 0;

	if (!ranges && entrance->key.scope == SCOPE_VIP)
		rc = lower_flag(low, entrance, EL_RESTRICTED, false, unit);
	for (size_t i = 0; i < entrance->n_allowed && rc == 0; i++)
		if (!ranges_have(ranges, &entrance->allowed[i].net))
			rc = emit_allowed(low, entrance, del_phase, KV_DEL,
					  &entrance->allowed[i].net, unit);
	for (size_t i = 0; ranges && i < ranges->n && rc == 0; i++)
		if (!picture_allowed(entrance, &ranges->net[i]))
			rc = emit_allowed(low, entrance, PH_ELEM_ADD, KV_ADD, &ranges->net[i],
					  unit);
	if (rc == 0 && ranges)
		rc = lower_flag(low, entrance, EL_RESTRICTED, true, unit);
	return rc;
}

static int lower_entrance_elems(const struct lowering *low, const struct pic_entrance *entrance,
				const struct frontend *fe, void *unit)
{
	const struct frontend *via = fe ? model_via(low->model, fe, false) : NULL;
	bool split = fe && fe->via_cluster.vip.family;
	int rc = lower_ranges(low, entrance, fe ? fe->ranges : NULL, unit);

	if (rc == 0)
		rc = lower_flag(low, entrance, EL_SNAT, fe && fe->snat != SNAT_NEVER, unit);
	if (rc == 0 && entrance->key.scope == SCOPE_NODEPORT)
		rc = lower_flag(low, entrance, EL_LOCAL, split, unit);
	if (rc == 0)
		rc = lower_target(low, entrance, EL_TO, via, unit);
	if (rc == 0)
		rc = lower_target(low, entrance, EL_CLUSTER,
				  split ? model_via(low->model, fe, true) : NULL, unit);
	return rc;
}

int lower_entrance(const struct lowering *low, struct pic_entrance *entrance,
		   const struct frontend *fe, void *unit)
{
	bool vip = entrance->key.scope == SCOPE_VIP;
	int rc = fe && vip ? lower_guard(low, &entrance->key, unit) : 0;

	entrance->leaving = !fe;
	if (rc == 0)
		rc = lower_entrance_elems(low, entrance, fe, unit);
	if (rc < 0 || !vip)
		return rc;
	return fe ? lower_wanted_binding(low, &entrance->key, unit)
		  : lower_last_of_vip(low, &entrance->key, unit);
}

/* ---- repairs ---- */

static int lower_unwanted_binding(const struct lowering *low, const struct pic_binding *binding)
{
	struct kelem elem = kelem_vip(&binding->vip);
	int rc = 0;

	if (binding->bound)
		rc = emit_binding(low->plan, KV_DEL, &binding->vip, &binding->src, NULL);
	if (rc == 0 && binding->elem_vip)
		rc = emit_elem(low->plan, KV_DEL, &elem, NULL);
	return rc;
}

int lower_binding(const struct lowering *low, const struct pic_binding *binding)
{
	const struct ip_addr *src = &low->src[binding->vip.family == AF_INET6];
	struct kelem elem = kelem_vip(&binding->vip);
	int rc = 0;

	if (binding->node_own) /* L8 */
		return lower_unwanted_binding(low, binding);
	if (binding->refs > binding->leaving) {
		if (!binding->elem_vip)
			rc = emit_elem(low->plan, KV_ADD, &elem, NULL);
		if (rc == 0 && !binding_is_right(binding, src))
			rc = emit_binding(low->plan, binding->bound ? KV_SET : KV_ADD,
					  &binding->vip, src, NULL);
		return rc;
	}
	if (binding->leaving || model_vip_count(low->model, &binding->vip))
		return 0; /* what leaves takes it along; what is wanted will want it again */
	return lower_unwanted_binding(low, binding);
}

int lower_addr(const struct lowering *low, const struct pic_addr *addr)
{
	struct kelem_parts parts = {.addr = addr->key.addr};
	struct kelem elem = kelem_make(addr->key.set, addr->key.addr.family, &parts);

	if ((addr->refs > 0) == addr->there)
		return 0;
	return emit_elem(low->plan, addr->refs ? KV_ADD : KV_DEL, &elem, NULL);
}

bool lower_adoptable(const struct lowering *low, const struct pic_service *svc,
		     const struct frontend *fe)
{
	const struct pic_binding *binding = picture_binding(low->pic, &svc->key.vip);
	struct kforward forward = want_forward(fe);
	struct kservice want;

	if (svc->usurped)
		return false;
	if (svc->owned || (svc->elems & EL_SERVICE) ||
	    (low->ledger_lost && binding && binding->bound))
		return true;
	want_service(low, fe, &want);
	if (service_differs(svc, &want) || svc->n != fe->pool->n)
		return false;
	for (size_t i = 0; i < svc->n; i++) {
		const struct endpoint *ep = pool_find(fe->pool, &svc->dests[i]);

		if (!takes_flows(ep) || svc->dests[i].weight != ep->weight ||
		    !is_alike(svc, &svc->dests[i], &forward))
			return false;
	}
	return true;
}
