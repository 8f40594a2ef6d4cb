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

bool scan_elem_key(const struct kelem *elem, struct ip_addr *ret_addr, uint8_t *ret_proto,
		   uint16_t *ret_port)
{
	size_t len = elem->family == AF_INET ? 4 : 16;

	if (elem->len < len)
		return false;
	*ret_addr = addr_make(elem->family, elem->key);
	*ret_proto = 0;
	*ret_port = 0;
	if (elem->set != KSET_SERVICES && elem->set != KSET_REFUSED)
		return true;
	if (elem->len < len + 8)
		return false;
	*ret_proto = elem->key[len];
	*ret_port = (uint16_t)(elem->key[len + 4] << 8 | elem->key[len + 5]);
	return true;
}

static void drifted(struct backend *be, const struct fe_key *key, const char *what)
{
	char text[FE_KEY_TEXT_MAX];

	be->counters.drift++;
	log_warn(what, "frontend=\"%s\"", fe_key_format(key, text));
	engine_mark(be, key);
}

/* ---- bindings ---- */

static int saw_binding(const struct kobject *object, void *arg)
{
	struct backend *be = arg;
	struct pic_binding *binding = picture_binding_get(&be->pic, &object->binding.vip);

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

static int saw_elem(const struct kobject *object, void *arg)
{
	struct backend *be = arg;
	struct pic_service *svc;
	struct ip_addr addr;
	struct fe_key key;
	uint8_t proto;
	uint16_t port;

	if (!scan_elem_key(&object->elem, &addr, &proto, &port))
		return 0;
	if (object->elem.set == KSET_VIPS) {
		struct pic_binding *binding = picture_binding_get(&be->pic, &addr);

		if (!binding)
			return -ENOMEM;
		binding->elem_vip |= !(binding->seen & SEEN_ELEM);
		binding->seen |= SEEN_ELEM;
		return 0;
	}
	if (object->elem.set == KSET_HAIRPIN) {
		struct pic_hairpin *hairpin = picture_hairpin_get(&be->pic, &addr);

		if (!hairpin)
			return -ENOMEM;
		hairpin->there |= !(hairpin->seen & SEEN_ELEM);
		hairpin->seen |= SEEN_ELEM;
		if (be->scan.audit && !hairpin->refs)
			picture_hairpin_mark(&be->pic, hairpin);
		return 0;
	}
	key = fe_key_make(&addr, port, proto);
	svc = picture_service(&be->pic, &key);
	if (!svc) { /* an element that nobody has use for: lowering removes it */
		svc = picture_service_get(&be->pic, &key);
		if (!svc)
			return -ENOMEM;
		if (be->scan.audit)
			engine_mark(be, &key);
	}
	if (object->elem.set == KSET_SERVICES) {
		svc->elem_service |= !(svc->seen & SEEN_ELEM);
		svc->seen |= SEEN_ELEM;
	} else {
		svc->elem_refused |= !(svc->seen & SEEN_REFUSED);
		svc->seen |= SEEN_REFUSED;
	}
	return 0;
}

static void end_elems(struct backend *be)
{
	struct pic_service *svc, *next_svc;
	struct pic_binding *binding, *next_binding;
	struct pic_hairpin *hairpin, *next_hairpin;

	HASH_ITER (hh, be->pic.services, svc, next_svc) {
		bool service = svc->elem_service && !(svc->seen & SEEN_ELEM);
		bool refused = svc->elem_refused && !(svc->seen & SEEN_REFUSED);

		if (!service && !refused)
			continue;
		svc->elem_service &= !service;
		svc->elem_refused &= !refused;
		drifted(be, &svc->key, "helper element removed by somebody else, restored");
	}
	HASH_ITER (hh, be->pic.bindings, binding, next_binding) {
		if (!binding->elem_vip || (binding->seen & SEEN_ELEM))
			continue;
		binding->elem_vip = false;
		be->counters.drift++;
		picture_binding_mark(&be->pic, binding);
	}
	HASH_ITER (hh, be->pic.hairpins, hairpin, next_hairpin) {
		if (!hairpin->there || (hairpin->seen & SEEN_ELEM))
			continue;
		hairpin->there = false;
		be->counters.drift++;
		picture_hairpin_mark(&be->pic, hairpin);
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
	ours = !object->foreign && !svc->foreign && (svc->owned || svc->elem_service);
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
		changed |= dest->weight != seen->weight || dest->fwd != seen->fwd;
		dest->weight = seen->weight;
		dest->fwd = seen->fwd;
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
	int i = engine_family_index(object->addr.family);

	if (!addr_is_set(&be->scan.first_addr[i]))
		be->scan.first_addr[i] = object->addr;
	be->scan.node_addr_seen[i] |= addr_equal(&be->node_addr[i], &object->addr);
	return 0;
}

static void end_addrs(struct backend *be)
{
	struct pic_binding *binding, *next;
	char text[ADDR_TEXT_MAX];

	for (int i = 0; i < 2; i++) {
		struct ip_addr src =
			be->scan.node_addr_seen[i] ? be->node_addr[i] : be->scan.first_addr[i];

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
	struct pic_hairpin *hairpin, *next_hairpin;

	HASH_ITER (hh, be->pic.services, svc, next_svc)
		svc->seen = 0;
	HASH_ITER (hh, be->pic.bindings, binding, next_binding)
		binding->seen = 0;
	HASH_ITER (hh, be->pic.hairpins, hairpin, next_hairpin)
		hairpin->seen = 0;
}

void scan_start(struct backend *be, bool audit)
{
	struct scan *scan = &be->scan;

	forget_seen(be);
	scan->state = SCAN_BINDINGS;
	scan->audit = audit;
	scan->dump_open = false;
	scan->started_ms = engine_now_ms(be);
	scan->visited = 0;
	scan->cursor = NULL;
	memset(scan->first_addr, 0, sizeof(scan->first_addr));
	memset(scan->node_addr_seen, 0, sizeof(scan->node_addr_seen));
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
		return dump_slice(be, KD_BINDINGS, saw_binding, end_bindings, SCAN_ELEMS);
	case SCAN_ELEMS:
		return dump_slice(be, KD_ELEMS, saw_elem, end_elems, SCAN_SERVICES);
	case SCAN_SERVICES:
		return dump_slice(be, KD_SERVICES, saw_service, NULL, SCAN_CONFIRM);
	case SCAN_CONFIRM:
		return walk_slice(be, confirm_service, SCAN_DESTS);
	case SCAN_DESTS:
		be->scan.visited++;
		return walk_slice(be, scan_dests, SCAN_ADDRS);
	case SCAN_ADDRS:
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
