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

static int emit_elem(struct plan *plan, enum kverb verb, const struct kelem *elem, void *unit)
{
	struct kop op = {.table = KT_ELEM, .verb = (uint8_t)verb, .elem = *elem};

	return emit(plan, verb == KV_ADD ? PH_ELEM_ADD : PH_ELEM_DEL, &op, unit);
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
		     const struct ip_addr *addr, uint16_t port, uint32_t weight, void *unit)
{
	struct kop op = {.table = KT_DEST, .verb = (uint8_t)verb};

	op.rs.key = picture_ipvs_key(key);
	op.rs.dest.addr = *addr;
	op.rs.dest.port = port;
	op.rs.dest.fwd = IP_VS_CONN_F_MASQ;
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

static bool is_masq(const struct pic_dest *dest)
{
	return dest->fwd == IP_VS_CONN_F_MASQ;
}

/* Drains or removes a destination that takes no new flows. *ret_stays: it is there after the slice.
 */
static int lower_leaving_dest(const struct lowering *low, const struct pic_service *svc,
			      const struct pic_dest *dest, bool whole, void *unit, bool *ret_stays)
{
	if (!lower_drains(&svc->key) || drain_over(low, dest)) {
		*ret_stays = false;
		return whole ? 0
			     : emit_dest(low->plan, KV_DEL, &svc->key, &dest->addr, dest->port, 0,
					 unit);
	}
	*ret_stays = true;
	if (dest->weight == 0 && dest->deadline_ms)
		return 0;
	return emit_dest(low->plan, KV_SET, &svc->key, &dest->addr, dest->port, 0, unit);
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
		rc = emit_dest(low->plan, KV_ADD, &fe->key, &fresh[i].ep->addr, fresh[i].ep->port,
			       fresh[i].ep->weight, unit);
	if (fresh != few)
		free(fresh);
	return rc;
}

static int lower_old_dests(const struct lowering *low, const struct pic_service *svc,
			   const struct frontend *fe, void *unit)
{
	int rc = 0;

	for (size_t i = 0; i < svc->n && rc == 0; i++) { /* weights back first: L2 */
		const struct pic_dest *dest = &svc->dests[i];
		const struct endpoint *ep = pool_find(fe->pool, dest);

		if (takes_flows(ep) &&
		    (dest->weight != ep->weight || dest->deadline_ms || !is_masq(dest)))
			rc = emit_dest(low->plan, KV_SET, &fe->key, &dest->addr, dest->port,
				       ep->weight, unit);
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

	if (binding_is_right(binding, src))
		return 0;
	return emit_binding(low->plan, binding->bound ? KV_SET : KV_ADD, &key->vip, src, unit);
}

static int lower_wanted(const struct lowering *low, const struct pic_service *svc,
			const struct frontend *fe, void *unit)
{
	const struct pic_binding *binding = picture_binding(low->pic, &fe->key.vip);
	bool refuse = fe->verdict != V_FORWARD;
	struct kop op = {.table = KT_SERVICE};
	struct kelem elem = kelem_vip(&fe->key.vip);
	int rc = 0;

	if (!binding->elem_vip)
		rc = emit_elem(low->plan, KV_ADD, &elem, unit);
	if (rc == 0 && !svc->elem_service)
		rc = emit_key_elem(low->plan, KV_ADD, KSET_SERVICES, &fe->key, unit);
	if (rc == 0 && refuse != svc->elem_refused)
		rc = emit_key_elem(low->plan, refuse ? KV_ADD : KV_DEL, KSET_REFUSED, &fe->key,
				   unit);
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

/* The last virtual server of its address takes the binding with it. */
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
	if (any_stays) {
		return svc->elem_refused
			       ? 0
			       : emit_key_elem(low->plan, KV_ADD, KSET_REFUSED, &svc->key, unit);
	}
	svc->leaving = true;
	rc = lower_last_of_vip(low, &svc->key, unit);
	op.service.key = picture_ipvs_key(&svc->key);
	if (rc == 0 && svc->present)
		rc = emit(low->plan, PH_SERVER_DEL, &op, unit);
	if (rc == 0 && svc->elem_refused)
		rc = emit_key_elem(low->plan, KV_DEL, KSET_REFUSED, &svc->key, unit);
	if (rc == 0 && svc->elem_service)
		rc = emit_key_elem(low->plan, KV_DEL, KSET_SERVICES, &svc->key, unit);
	return rc;
}

/* Somebody was faster: what was made for a virtual server of ours goes again. */
static int lower_foreign(const struct lowering *low, const struct pic_service *svc, void *unit)
{
	int rc = 0;

	if (svc->elem_refused)
		rc = emit_key_elem(low->plan, KV_DEL, KSET_REFUSED, &svc->key, unit);
	if (rc == 0 && svc->elem_service)
		rc = emit_key_elem(low->plan, KV_DEL, KSET_SERVICES, &svc->key, unit);
	return rc;
}

int lower_service(const struct lowering *low, struct pic_service *svc, const struct frontend *fe,
		  void *unit)
{
	svc->leaving = false;
	if (svc->foreign)
		return lower_foreign(low, svc, unit);
	return fe ? lower_wanted(low, svc, fe, unit) : lower_gone(low, svc, unit);
}

int lower_binding(const struct lowering *low, const struct pic_binding *binding)
{
	const struct ip_addr *src = &low->src[binding->vip.family == AF_INET6];
	struct kelem elem = kelem_vip(&binding->vip);
	int rc = 0;

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
	if (binding->bound)
		rc = emit_binding(low->plan, KV_DEL, &binding->vip, &binding->src, NULL);
	if (rc == 0 && binding->elem_vip)
		rc = emit_elem(low->plan, KV_DEL, &elem, NULL);
	return rc;
}

int lower_hairpin(const struct lowering *low, const struct pic_hairpin *hairpin)
{
	struct kelem elem = kelem_hairpin(&hairpin->addr);

	if ((hairpin->refs > 0) == hairpin->there)
		return 0;
	return emit_elem(low->plan, hairpin->refs ? KV_ADD : KV_DEL, &elem, NULL);
}

bool lower_adoptable(const struct lowering *low, const struct pic_service *svc,
		     const struct frontend *fe)
{
	const struct pic_binding *binding = picture_binding(low->pic, &svc->key.vip);
	struct kservice want;

	if (svc->usurped)
		return false;
	if (svc->owned || svc->elem_service || (low->ledger_lost && binding && binding->bound))
		return true;
	want_service(low, fe, &want);
	if (service_differs(svc, &want) || svc->n != fe->pool->n)
		return false;
	for (size_t i = 0; i < svc->n; i++) {
		const struct endpoint *ep = pool_find(fe->pool, &svc->dests[i]);

		if (!takes_flows(ep) || svc->dests[i].weight != ep->weight ||
		    !is_masq(&svc->dests[i]))
			return false;
	}
	return true;
}
