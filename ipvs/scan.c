/* SPDX-License-Identifier: Apache-2.0 */
/* Reads the kernel into the picture: all of it at start, then again and again as an audit.
 *
 * IPVS tells nobody of changes, and a dump of it may miss entries while the table changes, with no
 * mark of it (ip_vs_ctl.c walks by position): so what a dump did not show is asked for by key
 * before it counts as gone. An audit runs beside the engine's own writes: what we write meanwhile
 * is flagged as seen. It changes the picture only; what then differs from the model is marked. */
#include <errno.h>
#include <string.h>
#include <linux/ip_vs.h>

#include "engine.h"
#include "log.h"

static void drifted(struct backend *be, const struct fe_key *key, const char *what)
{
	char text[FE_KEY_TEXT_MAX];

	be->counters.drift++;
	log_warn(what, "frontend=\"%s\"", fe_key_format(key, text));
	engine_mark(be, key);
}

/* ---- bindings ---- */

static void saw_gateway(struct backend *be, const struct ip_addr *gateway)
{
	for (size_t i = 0; i < be->n_gateways; i++)
		if (addr_equal(&be->gateways[i], gateway))
			return;
	if (be->n_gateways < ARRAY_SIZE(be->gateways))
		be->gateways[be->n_gateways++] = *gateway;
}

static int saw_binding(const struct kobject *object, void *arg)
{
	struct backend *be = arg;
	struct pic_binding *binding;

	if (object->kind == KD_GATEWAYS) {
		saw_gateway(be, &object->addr);
		return 0;
	}
	binding = picture_binding_get(&be->pic, &object->binding.vip);
	if (!binding)
		return -ENOMEM;
	if (be->scan.audit && !(binding->seen & SEEN_ENTITY) &&
	    (!binding->bound || !addr_equal(&binding->src, &object->binding.src)))
		picture_binding_mark(&be->pic, binding);
	if (!(binding->seen & SEEN_ENTITY)) {
		binding->bound = true;
		binding->unsure = false;
		binding->src = object->binding.src;
	}
	binding->seen |= SEEN_ENTITY;
	return 0;
}

static void binding_lost(struct backend *be, struct pic_binding *binding)
{
	char vip[ADDR_TEXT_MAX];

	binding->bound = false;
	be->counters.drift++;
	log_warn("binding removed by somebody else, restored", "vip=%s",
		 addr_format(&binding->vip, vip));
	picture_binding_mark(&be->pic, binding);
}

static void end_bindings(struct backend *be)
{
	struct pic_binding *binding, *next;

	HASH_ITER (hh, be->pic.bindings, binding, next)
		if (binding->bound && !(binding->seen & SEEN_ENTITY))
			binding_lost(be, binding);
}

/* ---- elements ---- */

static int saw_binding_elem(struct backend *be, const struct ip_addr *vip)
{
	struct pic_binding *binding = picture_binding_get(&be->pic, vip);

	if (!binding)
		return -ENOMEM;
	binding->elem_vip |= !(binding->seen & SEEN_ELEM);
	binding->seen |= SEEN_ELEM;
	if (be->scan.audit && !binding->refs)
		picture_binding_mark(&be->pic, binding);
	return 0;
}

static int saw_addr_elem(struct backend *be, enum kset set, const struct ip_addr *which)
{
	struct pic_addr *addr = picture_addr_get(&be->pic, set, which);

	if (!addr)
		return -ENOMEM;
	addr->there |= !(addr->seen & SEEN_ELEM);
	addr->seen |= SEEN_ELEM;
	if (be->scan.audit && !addr->refs)
		picture_addr_mark(&be->pic, addr);
	return 0;
}

/* An element that nobody has use for gets an entry, and lowering removes it. */
static int saw_service_elem(struct backend *be, const struct fe_key *key, uint8_t bit)
{
	struct pic_service *svc = picture_service(&be->pic, key);

	if (!svc) {
		svc = picture_service_get(&be->pic, key);
		if (!svc)
			return -ENOMEM;
		if (be->scan.audit)
			engine_mark(be, key);
	}
	if (!(svc->elems_seen & bit)) {
		if (!(svc->elems & bit) && be->scan.audit)
			engine_mark(be, key); /* somebody else's, or it is wanted by now */
		svc->elems |= bit;
	}
	svc->elems_seen |= bit;
	return 0;
}

static struct pic_entrance *saw_entrance(struct backend *be, const struct fe_key *key)
{
	struct pic_entrance *entrance = picture_entrance(&be->pic, key);

	if (entrance)
		return entrance;
	entrance = picture_entrance_get(&be->pic, key);
	if (entrance && be->scan.audit)
		engine_mark(be, key);
	return entrance;
}

static int saw_entrance_elem(struct backend *be, const struct fe_key *key, uint8_t bit,
			     const struct kelem_parts *parts)
{
	struct pic_entrance *entrance = saw_entrance(be, key);
	struct pic_target *to;

	if (!entrance)
		return -ENOMEM;
	if (entrance->elems_seen & bit)
		return 0;
	to = bit == EL_CLUSTER ? &entrance->to_cluster : &entrance->to;
	if (bit == EL_TO || bit == EL_CLUSTER) {
		bool same = addr_equal(&to->addr, &parts->target) && to->port == parts->target_port;

		*to = (struct pic_target){parts->target, parts->target_port};
		if ((entrance->elems & bit) && !same && be->scan.audit)
			drifted(be, key, "entrance changed by somebody else, restored");
	}
	if (!(entrance->elems & bit) && be->scan.audit)
		engine_mark(be, key);
	entrance->elems |= bit;
	entrance->elems_seen |= bit;
	return 0;
}

static int saw_allowed(struct backend *be, const struct fe_key *key,
		       const struct kelem_parts *parts)
{
	struct pic_entrance *entrance = saw_entrance(be, key);
	struct pic_allowed *allowed;

	if (!entrance)
		return -ENOMEM;
	allowed = picture_allowed(entrance, &parts->source);
	if (!allowed && be->scan.audit)
		engine_mark(be, key);
	if (!allowed)
		allowed = picture_allowed_get(entrance, &parts->source);
	if (!allowed)
		return -ENOMEM;
	allowed->seen = true;
	return 0;
}

static int saw_elem(const struct kobject *object, void *arg)
{
	const struct kelem *elem = &object->elem;
	struct backend *be = arg;
	struct kelem_parts parts;
	struct fe_key key;

	if (!kelem_parse(elem, &parts))
		return 0;
	if (elem->set == KSET_VIPS)
		return saw_binding_elem(be, &parts.addr);
	if (elem->set == KSET_HAIRPIN || elem->set == KSET_NODE_ADDRS)
		return saw_addr_elem(be, elem->set, &parts.addr);
	key = picture_elem_key(elem, &parts);
	if (kset_is_allowed(elem->set))
		return saw_allowed(be, &key, &parts);
	if (picture_service_bit(elem->set))
		return saw_service_elem(be, &key, picture_service_bit(elem->set));
	return saw_entrance_elem(be, &key, picture_entrance_bit(elem->set), &parts);
}

static void end_service_elems(struct backend *be)
{
	struct pic_service *svc, *next;

	HASH_ITER (hh, be->pic.services, svc, next) {
		uint8_t lost = svc->elems & (uint8_t)~svc->elems_seen;

		svc->elems &= (uint8_t)~lost;
		if (lost)
			drifted(be, &svc->key, "helper element removed by somebody else, restored");
	}
}

static bool lost_allowed(struct pic_entrance *entrance)
{
	bool lost = false;

	for (size_t i = 0; i < entrance->n_allowed;) {
		if (entrance->allowed[i].seen) {
			i++;
			continue;
		}
		picture_allowed_drop(entrance, &entrance->allowed[i]);
		lost = true;
	}
	return lost;
}

static void end_entrance_elems(struct backend *be)
{
	struct pic_entrance *entrance, *next;

	HASH_ITER (hh, be->pic.entrances, entrance, next) {
		uint8_t lost = entrance->elems & (uint8_t)~entrance->elems_seen;

		entrance->elems &= (uint8_t)~lost;
		if (lost_allowed(entrance) || lost)
			drifted(be, &entrance->key,
				"helper element removed by somebody else, restored");
	}
}

static void end_elems(struct backend *be)
{
	struct pic_binding *binding, *next_binding;
	struct pic_addr *addr, *next_addr;

	end_service_elems(be);
	end_entrance_elems(be);
	HASH_ITER (hh, be->pic.bindings, binding, next_binding) {
		if (!binding->elem_vip || (binding->seen & SEEN_ELEM))
			continue;
		binding->elem_vip = false;
		be->counters.drift++;
		picture_binding_mark(&be->pic, binding);
	}
	HASH_ITER (hh, be->pic.addrs, addr, next_addr) {
		if (!addr->there || (addr->seen & SEEN_ELEM))
			continue;
		addr->there = false;
		be->counters.drift++;
		picture_addr_mark(&be->pic, addr);
	}
}

/* ---- virtual servers ---- */

static void take_service(struct pic_service *svc, const struct kservice *seen)
{
	svc->present = true;
	memcpy(svc->sched, seen->sched, sizeof(svc->sched));
	svc->flags = seen->flags;
	svc->timeout_sec = seen->timeout_sec;
}

static bool same_service(const struct pic_service *svc, const struct kservice *seen)
{
	return svc->present && strcmp(svc->sched, seen->sched) == 0 && svc->flags == seen->flags &&
	       svc->timeout_sec == seen->timeout_sec;
}

/* One that is there: ours if the ledger or our own helper element says so. */
static int note_service(struct backend *be, const struct kobject *object)
{
	struct pic_service *svc;
	bool ours, changed;
	struct fe_key key;

	if (!picture_fe_key(&object->service.key, &key))
		return 0;
	svc = picture_service_get(&be->pic, &key);
	if (!svc)
		return -ENOMEM;
	if (be->scan.audit && (svc->seen & SEEN_ENTITY) && svc->present)
		return 0;
	svc->seen |= SEEN_ENTITY;
	ours = !object->foreign && !svc->foreign && !engine_is_excluded(be, &key.vip) &&
	       (svc->owned || (svc->elems & EL_SERVICE));
	changed = !same_service(svc, &object->service);
	take_service(svc, &object->service);
	if (!ours && !svc->foreign) {
		picture_set_foreign(&be->pic, svc, true);
		engine_mark(be, &key);
	} else if (ours && changed && be->scan.audit) {
		drifted(be, &key, "virtual server changed by somebody else, restored");
	}
	return 0;
}

/* A dump's datagram may be older than our last write: what it shows anew is asked for by key. */
static int saw_service(const struct kobject *object, void *arg)
{
	struct backend *be = arg;
	const struct pic_service *svc;
	struct kobject now = *object;
	struct fe_key key;

	if (!picture_fe_key(&object->service.key, &key))
		return 0;
	svc = picture_service(&be->pic, &key);
	if (be->scan.audit && !(svc && svc->present) &&
	    be->kernel.ops->get_service(be->kernel.ctx, &object->service.key, &now) < 0)
		return 0;
	return note_service(be, &now);
}

static void service_lost(struct backend *be, struct pic_service *svc)
{
	struct fe_key key = svc->key;

	if (svc->foreign) { /* its address and port are free now */
		engine_drop_service(be, svc);
		engine_mark(be, &key);
		return;
	}
	svc->present = false;
	engine_dests_gone(be, svc);
	drifted(be, &key, "virtual server removed by somebody else, restored");
}

static int confirm_service(struct backend *be, struct pic_service *svc)
{
	struct ipvs_key key = picture_ipvs_key(&svc->key);
	struct kobject object;
	int rc;

	if (!svc->present || (svc->seen & SEEN_ENTITY))
		return 0;
	rc = be->kernel.ops->get_service(be->kernel.ctx, &key, &object);
	if (rc == -ESRCH)
		service_lost(be, svc);
	else if (rc == 0)
		note_service(be, &object);
	return 0;
}

/* ---- destinations ---- */

static int collect_dest(const struct kobject *object, void *arg)
{
	struct scan *scan = arg;

	if (util_grow((void **)&scan->dests, &scan->dests_cap, scan->n_dests + 1,
		      sizeof(*scan->dests)) < 0)
		return -ENOMEM;
	scan->dests[scan->n_dests++] = object->dest;
	return 0;
}

static int kdest_cmp(const void *a, const void *b)
{
	const struct kdest *x = a, *y = b;
	int order = addr_cmp(&x->addr, &y->addr);

	return order ? order : (x->port > y->port) - (x->port < y->port);
}

static int collect_dests(struct backend *be, const struct pic_service *svc)
{
	struct ipvs_key key = picture_ipvs_key(&svc->key);
	int rc;

	be->scan.n_dests = 0;
	rc = be->kernel.ops->dump_start(be->kernel.ctx, KD_DESTS, &key);
	while (rc >= 0) {
		rc = be->kernel.ops->dump_next(be->kernel.ctx, KD_DESTS, collect_dest, &be->scan);
		if (rc == 0)
			break;
	}
	if (rc == 0 && be->scan.n_dests)
		qsort(be->scan.dests, be->scan.n_dests, sizeof(*be->scan.dests), kdest_cmp);
	return rc;
}

static bool collected(const struct scan *scan, const struct pic_dest *dest)
{
	struct kdest key = {.addr = dest->addr, .port = dest->port};

	return scan->n_dests &&
	       bsearch(&key, scan->dests, scan->n_dests, sizeof(key), kdest_cmp) != NULL;
}

/* Puts what was collected into the picture; true if the picture was wrong. */
static bool take_dests(struct backend *be, struct pic_service *svc)
{
	bool changed = false;

	for (size_t i = 0; i < svc->n;) {
		if (collected(&be->scan, &svc->dests[i])) {
			i++;
			continue;
		}
		engine_dest_gone(be, svc, &svc->dests[i]);
		changed = true;
	}
	for (size_t i = 0; i < be->scan.n_dests; i++) {
		const struct kdest *seen = &be->scan.dests[i];
		struct pic_dest *dest = picture_dest(svc, &seen->addr, seen->port);

		if (!dest) {
			dest = picture_dest_add(svc, &seen->addr, seen->port);
			changed = true;
		}
		if (!dest)
			return true;
		changed |= dest->weight != seen->weight ||
			   !(dest->alike && kforward_equal(&svc->forward, &seen->forward));
		dest->weight = seen->weight;
		picture_dest_forward(svc, dest, &seen->forward);
	}
	return changed;
}

static int scan_dests(struct backend *be, struct pic_service *svc)
{
	int rc;

	if (!svc->present || (be->scan.audit && svc->foreign))
		return 0;
	rc = collect_dests(be, svc);
	if (rc < 0)
		return rc;
	if (take_dests(be, svc) && be->scan.audit)
		drifted(be, &svc->key, "real servers changed by somebody else, restored");
	return 0;
}

int scan_counts(struct backend *be, struct pic_service *svc)
{
	int rc = collect_dests(be, svc);

	if (rc < 0)
		return rc;
	take_dests(be, svc);
	for (size_t i = 0; i < be->scan.n_dests; i++) {
		const struct kdest *seen = &be->scan.dests[i];
		struct pic_dest *dest = picture_dest(svc, &seen->addr, seen->port);

		if (dest && dest->deadline_ms)
			dest->idle = !seen->active_conns && !seen->inact_conns;
	}
	return 0;
}

int scan_reread(struct backend *be, const struct fe_key *key, bool usurped)
{
	struct pic_service *svc = picture_service(&be->pic, key);
	struct ipvs_key ipvs_key = picture_ipvs_key(key);
	struct kobject object;
	int rc = be->kernel.ops->get_service(be->kernel.ctx, &ipvs_key, &object);

	if (rc == -ESRCH) {
		if (svc) {
			svc->present = false;
			engine_dests_gone(be, svc);
		}
		return 0;
	}
	if (rc < 0)
		return rc;
	if (svc)
		svc->seen &= (uint8_t)~SEEN_ENTITY;
	if (svc && usurped) {
		svc->owned = false;
		svc->usurped = true;
		ledger_disown(be->ledger, key);
		picture_set_foreign(&be->pic, svc, true);
	}
	rc = note_service(be, &object);
	svc = picture_service(&be->pic, key);
	if (rc == 0 && svc)
		rc = collect_dests(be, svc);
	if (rc == 0 && svc)
		take_dests(be, svc);
	return rc;
}

/* ---- the node's addresses, the rules ---- */

static int saw_addr(const struct kobject *object, void *arg)
{
	struct backend *be = arg;
	struct scan *scan = &be->scan;

	if (scan->n_addrs == ENGINE_NODE_ADDRS_MAX)
		return 0;
	if (util_grow((void **)&scan->addrs, &scan->addrs_cap, scan->n_addrs + 1,
		      sizeof(*scan->addrs)) < 0)
		return -ENOMEM;
	scan->addrs[scan->n_addrs++] = object->addr;
	return 0;
}

static bool addr_seen(const struct scan *scan, const struct ip_addr *addr)
{
	for (size_t i = 0; i < scan->n_addrs; i++)
		if (addr_equal(&scan->addrs[i], addr))
			return true;
	return false;
}

/* The Node object's address if a link has it, else the first there is. */
static struct ip_addr choose_source(const struct backend *be, int i)
{
	if (addr_seen(&be->scan, &be->node_addr[i]))
		return be->node_addr[i];
	for (size_t k = 0; k < be->scan.n_addrs; k++)
		if (engine_family_index(be->scan.addrs[k].family) == i)
			return be->scan.addrs[k];
	return (struct ip_addr){0};
}

static void set_sources(struct backend *be)
{
	struct pic_binding *binding, *next;
	char text[ADDR_TEXT_MAX];

	for (int i = 0; i < 2; i++) {
		struct ip_addr src = choose_source(be, i);

		if (addr_equal(&src, &be->src[i]))
			continue;
		be->src[i] = src;
		log_info("bindings use this source for the node's own clients", "src=%s",
			 addr_format(&src, text));
		HASH_ITER (hh, be->pic.bindings, binding, next)
			if (engine_family_index(binding->vip.family) == i && binding->bound)
				picture_binding_mark(&be->pic, binding);
	}
}

/* Ranges of one family alone say nothing of the other (k8s.io/kubernetes/pkg/proxy/util). */
static bool is_nodeport_addr(const struct backend *be, const struct ip_addr *addr)
{
	const struct backend_config *config = &be->config;
	bool named = false;

	if (config->nodeport_primary)
		return addr_equal(addr, &be->src[engine_family_index(addr->family)]);
	for (size_t i = 0; i < config->n_nodeport_nets; i++) {
		if (prefix_contains(&config->nodeport_nets[i], addr))
			return true;
		named |= config->nodeport_nets[i].addr.family == addr->family;
	}
	return !named;
}

/* 1: an address of the node, 0: no more. The binding of that value, if any, is judged again. */
static void set_node_addr(struct backend *be, const struct ip_addr *addr, bool own)
{
	struct pic_addr *entry = picture_addr_get(&be->pic, KSET_NODE_ADDRS, addr);
	struct pic_binding *binding =
		own ? picture_binding_get(&be->pic, addr) : picture_binding(&be->pic, addr);
	size_t refs = own && is_nodeport_addr(be, addr);

	if (entry && entry->refs != refs) {
		entry->refs = refs;
		picture_addr_mark(&be->pic, entry);
	}
	if (binding && binding->node_own != own) {
		binding->node_own = own;
		picture_binding_mark(&be->pic, binding);
	}
}

/* Others listen there, too: at the same addresses of the node. */
static void tell_nodeport_addrs(const struct backend *be)
{
	const struct backend_config *config = &be->config;
	cleanup_free struct ip_addr *addrs = NULL;
	size_t n = 0;

	if (!be->env->nodeport_addrs || (!config->nodeport_primary && !config->n_nodeport_nets))
		return;
	addrs = calloc(be->n_own_addrs + 1, sizeof(*addrs));
	if (!addrs)
		return;
	for (size_t i = 0; i < be->n_own_addrs; i++) {
		const struct ip_addr *addr = &be->own_addrs[i];
		size_t k = 0;

		while (k < n && !addr_equal(&addrs[k], addr)) /* several links may have it */
			k++;
		if (k == n && is_nodeport_addr(be, addr))
			addrs[n++] = *addr;
	}
	be->env->nodeport_addrs(be->env->ctx, addrs, n);
}

static void end_addrs(struct backend *be)
{
	struct scan *scan = &be->scan;

	set_sources(be);
	for (size_t i = 0; i < be->n_own_addrs; i++)
		if (!addr_seen(scan, &be->own_addrs[i]))
			set_node_addr(be, &be->own_addrs[i], false);
	for (size_t i = 0; i < scan->n_addrs; i++)
		set_node_addr(be, &scan->addrs[i], true);
	free(be->own_addrs);
	be->own_addrs = take_ptr(scan->addrs);
	be->n_own_addrs = scan->n_addrs;
	scan->n_addrs = scan->addrs_cap = 0;
	tell_nodeport_addrs(be);
}

int scan_addrs(struct backend *be)
{
	int rc;

	be->scan.n_addrs = 0;
	if (be->scan.state == SCAN_BINDINGS || be->scan.state == SCAN_ADDRS)
		be->scan.dump_open = false; /* of the same socket: that one begins again */
	rc = be->kernel.ops->dump_start(be->kernel.ctx, KD_ADDRS, NULL);
	while (rc >= 0) {
		rc = be->kernel.ops->dump_next(be->kernel.ctx, KD_ADDRS, saw_addr, be);
		if (rc == 0)
			break;
	}
	if (rc == 0)
		end_addrs(be);
	return rc; /* after a failure those known before count on */
}

static void scan_rules(struct backend *be)
{
	for (int i = 0; i < 2; i++) {
		struct rules *rules = &be->rules[i];
		uint64_t digest = 0;

		if (rules->state == RULES_LOADING ||
		    be->kernel.ops->rules_digest(be->kernel.ctx, (uint8_t)rules->family, &digest) <
			    0)
			continue;
		if (digest && digest == rules->digest)
			rules->state = RULES_READY;
		else if (be->scan.audit && rules->state == RULES_READY)
			engine_rules_lost(be, rules->family);
		else if (rules->state != RULES_FAILED)
			rules->state = RULES_GONE;
	}
}

/* ---- the machine ---- */

static void forget_seen(struct backend *be)
{
	struct pic_service *svc, *next_svc;
	struct pic_binding *binding, *next_binding;
	struct pic_entrance *entrance, *next_entrance;
	struct pic_addr *addr, *next_addr;

	HASH_ITER (hh, be->pic.services, svc, next_svc)
		svc->seen = svc->elems_seen = 0;
	HASH_ITER (hh, be->pic.entrances, entrance, next_entrance) {
		entrance->elems_seen = 0;
		for (size_t i = 0; i < entrance->n_allowed; i++)
			entrance->allowed[i].seen = false;
	}
	HASH_ITER (hh, be->pic.bindings, binding, next_binding)
		binding->seen = 0;
	HASH_ITER (hh, be->pic.addrs, addr, next_addr)
		addr->seen = 0;
}

void scan_start(struct backend *be, bool audit)
{
	struct scan *scan = &be->scan;

	forget_seen(be);
	scan->state = SCAN_BINDINGS;
	scan->audit = audit;
	scan->brief = false;
	scan->dump_open = false;
	scan->started_ms = engine_now_ms(be);
	scan->visited = 0;
	scan->cursor = NULL;
	scan->n_addrs = 0;
}

void scan_start_brief(struct backend *be)
{
	scan_start(be, true);
	be->scan.brief = true;
}

/* One datagram of a dump; moves on to `next` at its end. 0, or -errno. */
static int dump_slice(struct backend *be, enum kdump what, kobject_fn fn,
		      void (*end)(struct backend *be), enum scan_state next)
{
	struct scan *scan = &be->scan;
	int rc = 0;

	if (!scan->dump_open)
		rc = be->kernel.ops->dump_start(be->kernel.ctx, what, NULL);
	scan->dump_open = rc == 0;
	if (rc == 0)
		rc = be->kernel.ops->dump_next(be->kernel.ctx, what, fn, be);
	if (rc > 0)
		return 0;
	scan->dump_open = false;
	if (rc < 0)
		return rc;
	if (end)
		end(be);
	scan->state = next;
	scan->cursor = be->pic.services;
	return 0;
}

/* One virtual server of a walk over all; the engine moves the cursor on if it drops that entry. */
static int walk_slice(struct backend *be, int (*visit)(struct backend *be, struct pic_service *svc),
		      enum scan_state next)
{
	struct pic_service *svc = be->scan.cursor;

	if (!svc) {
		be->scan.state = next;
		be->scan.cursor = be->pic.services;
		return 0;
	}
	be->scan.cursor = svc->hh.next;
	return visit(be, svc);
}

/* An audit spreads its destination dumps over most of its period. */
static bool ahead_of_pace(const struct backend *be)
{
	uint64_t elapsed_ms, period_ms = be->config.audit_ms * 3 / 4 + 1;

	if (!be->scan.audit || be->scan.state != SCAN_DESTS || be->scan.visited <= 100)
		return false;
	elapsed_ms = engine_now_ms(be) - be->scan.started_ms;
	return be->scan.visited > 100 + HASH_COUNT(be->pic.services) * elapsed_ms / period_ms;
}

static int scan_once(struct backend *be)
{
	switch (be->scan.state) {
	case SCAN_BINDINGS:
		if (!be->scan.dump_open)
			be->n_gateways = 0;
		return dump_slice(be, KD_BINDINGS, saw_binding, end_bindings, SCAN_ELEMS);
	case SCAN_ELEMS:
		return dump_slice(be, KD_ELEMS, saw_elem, end_elems,
				  be->scan.brief ? SCAN_RULES : SCAN_SERVICES);
	case SCAN_SERVICES:
		return dump_slice(be, KD_SERVICES, saw_service, NULL, SCAN_CONFIRM);
	case SCAN_CONFIRM:
		return walk_slice(be, confirm_service, SCAN_DESTS);
	case SCAN_DESTS:
		be->scan.visited++;
		return walk_slice(be, scan_dests, SCAN_ADDRS);
	case SCAN_ADDRS:
		if (!be->scan.dump_open)
			be->scan.n_addrs = 0;
		return dump_slice(be, KD_ADDRS, saw_addr, end_addrs, SCAN_RULES);
	case SCAN_RULES:
		scan_rules(be);
		be->scan.state = SCAN_IDLE;
		break;
	case SCAN_IDLE:
		break;
	}
	return 0;
}

int scan_step(struct backend *be, uint64_t budget_us)
{
	uint64_t end_us = engine_clock_us() + budget_us;
	int rc = 0;

	while (be->scan.state != SCAN_IDLE && rc == 0 && !ahead_of_pace(be) &&
	       engine_clock_us() < end_us)
		rc = scan_once(be);
	if (rc < 0) {
		be->scan.state = SCAN_IDLE;
		return rc;
	}
	return be->scan.state != SCAN_IDLE;
}
