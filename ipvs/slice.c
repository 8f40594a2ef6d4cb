/* SPDX-License-Identifier: Apache-2.0 */
/* A slice of the queue: lowered, done phase by phase, the results put into the picture.
 *
 * A unit whose virtual server or helper elements cannot be made goes no further (no binding without
 * them); a destination that cannot be made holds up nothing else. What the kernel says is drift
 * (EEXIST, ESRCH, a destination's ENOENT) means that key is read again. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "heap.h"
#include "log.h"

#define CHUNK_MIN 32
#define CHUNK_MAX 1024
#define SLICE_MIN 256 /* operations */
#define SLICE_MAX 4096

static struct lowering make_lowering(struct backend *be, const struct model *model)
{
	return (struct lowering){
		.pic = &be->pic,
		.model = model,
		.scheduler = be->config.scheduler,
		.missing = be->missing,
		.n_missing = be->n_missing,
		.src = be->src,
		.seed = be->config.shuffle_seed,
		.now_ms = engine_now_ms(be),
		.ledger_lost = be->ledger_lost,
		.plan = &be->plan,
	};
}

static void unit_fail(struct unit *unit, enum outcome outcome, const char *reason)
{
	if (unit->outcome != R_DONE && unit->reason)
		return; /* the first reason is the cause, later ones its consequences */
	unit->outcome = outcome;
	free(unit->reason);
	unit->reason = strdup(reason);
}

static void unit_fail_op(struct unit *unit, enum outcome outcome, const struct kop *op)
{
	cleanup_free char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	if (!out)
		return;
	fputs("cannot ", out);
	kop_print(op, out);
	fprintf(out, ": %s", strerror(-op->result));
	if (fclose(out) == 0)
		unit_fail(unit, outcome, text);
}

/* ---- results into the picture ---- */

static void apply_entrance_elem(struct backend *be, const struct kop *op, const struct fe_key *key,
				const struct kelem_parts *parts)
{
	struct pic_entrance *entrance = picture_entrance(&be->pic, key);
	uint8_t bit = picture_entrance_bit(op->elem.set);
	struct pic_target to = {parts->target, parts->target_port};

	if (!entrance)
		return;
	entrance->elems_seen |= bit;
	if (bit == EL_TO || bit == EL_CLUSTER)
		flows_frontend_changed(be, key, op->verb == KV_DEL);
	if (op->verb == KV_DEL) {
		entrance->elems &= (uint8_t)~bit;
		return;
	}
	entrance->elems |= bit;
	if (bit == EL_TO)
		entrance->to = to;
	else if (bit == EL_CLUSTER)
		entrance->to_cluster = to;
}

static void apply_allowed(struct backend *be, const struct kop *op, const struct fe_key *key,
			  const struct ip_prefix *net)
{
	struct pic_entrance *entrance = picture_entrance(&be->pic, key);
	struct pic_allowed *allowed = entrance ? picture_allowed(entrance, net) : NULL;

	if (op->verb == KV_DEL && allowed)
		picture_allowed_drop(entrance, allowed);
	else if (op->verb == KV_ADD && entrance && !allowed)
		allowed = picture_allowed_get(entrance, net);
	if (op->verb == KV_ADD && allowed)
		allowed->seen = true;
}

static void apply_service_elem(struct backend *be, const struct kop *op, const struct fe_key *key)
{
	struct pic_service *svc = picture_service(&be->pic, key);
	uint8_t bit = picture_service_bit(op->elem.set);

	if (!svc)
		return;
	svc->elems_seen |= bit;
	svc->elems = (uint8_t)(op->verb == KV_ADD ? svc->elems | bit : svc->elems & ~bit);
}

static void apply_addr_elem(struct backend *be, const struct kop *op, const struct ip_addr *which)
{
	struct pic_addr *addr = picture_addr_get(&be->pic, op->elem.set, which);

	if (!addr)
		return;
	addr->there = op->verb == KV_ADD;
	addr->seen |= SEEN_ELEM;
}

static void apply_elem(struct backend *be, const struct kop *op)
{
	struct pic_binding *binding;
	struct kelem_parts parts;
	struct fe_key key;

	if (!kelem_parse(&op->elem, &parts))
		return;
	key = picture_elem_key(&op->elem, &parts);
	if (op->elem.set == KSET_VIPS) {
		binding = picture_binding_get(&be->pic, &parts.addr);
		if (!binding)
			return;
		binding->elem_vip = op->verb == KV_ADD;
		binding->seen |= SEEN_ELEM;
	} else if (op->elem.set == KSET_HAIRPIN || op->elem.set == KSET_NODE_ADDRS) {
		apply_addr_elem(be, op, &parts.addr);
	} else if (kset_is_allowed(op->elem.set)) {
		apply_allowed(be, op, &key, &parts.source);
	} else if (picture_service_bit(op->elem.set)) {
		apply_service_elem(be, op, &key);
	} else {
		apply_entrance_elem(be, op, &key, &parts);
	}
}

static void apply_service(struct backend *be, const struct kop *op)
{
	struct pic_service *svc;
	struct fe_key key;

	if (!picture_fe_key(&op->service.key, &key))
		return;
	svc = picture_service(&be->pic, &key);
	if (!svc)
		return;
	svc->seen |= SEEN_ENTITY;
	if (op->verb == KV_DEL) {
		svc->present = svc->owned = false;
		flows_frontend_changed(be, &key, true);
		for (size_t i = 0; i < svc->n; i++)
			flows_endpoint_gone(be, svc, &svc->dests[i]);
		picture_dests_clear(&be->pic, svc);
		ledger_disown(be->ledger, &key);
		return;
	}
	if (!svc->present)
		flows_frontend_changed(be, &key, false);
	svc->present = true;
	memcpy(svc->sched, op->service.sched, sizeof(svc->sched));
	svc->flags = op->service.flags;
	svc->timeout_sec = op->service.timeout_sec;
}

static void apply_dest(struct backend *be, const struct kop *op, struct unit *unit)
{
	const struct kdest *want = &op->rs.dest;
	struct pic_service *svc;
	struct pic_dest *dest;
	struct fe_key key;

	if (!picture_fe_key(&op->rs.key, &key) || !(svc = picture_service(&be->pic, &key)))
		return;
	dest = picture_dest(svc, &want->addr, want->port);
	if (op->verb == KV_DEL) {
		if (dest)
			engine_dest_gone(be, svc, dest);
		return;
	}
	if (!dest) {
		dest = picture_dest_add(svc, &want->addr, want->port);
		flows_frontend_changed(be, &key, false);
	}
	if (!dest)
		return;
	picture_dest_forward(svc, dest, &want->forward);
	dest->weight = want->weight;
	if (want->weight) {
		if (dest->deadline_ms)
			ledger_drain(be->ledger, &key, &dest->addr, dest->port, 0);
		picture_dest_drain(&be->pic, dest, 0);
	} else if (!dest->deadline_ms) {
		picture_dest_drain(&be->pic, dest, engine_now_ms(be) + be->config.drain_ms);
		unit->check = unit->again = true; /* an idle one need not wait for the timer */
	}
}

static void apply_binding(struct backend *be, const struct kop *op)
{
	struct pic_binding *binding = picture_binding_get(&be->pic, &op->binding.vip);

	if (!binding)
		return;
	binding->seen |= SEEN_ENTITY;
	binding->bound = op->verb != KV_DEL;
	binding->unsure = false;
	binding->src = op->binding.src;
}

static void apply(struct backend *be, const struct kop *op, struct unit *unit)
{
	be->counters.operations++;
	switch ((enum ktable)op->table) {
	case KT_SERVICE:
		apply_service(be, op);
		break;
	case KT_DEST:
		apply_dest(be, op, unit);
		break;
	case KT_BINDING:
		apply_binding(be, op);
		break;
	case KT_ELEM:
		apply_elem(be, op);
		break;
	case KT_FLOW: /* never lowered: flows.c sends these itself */
		break;
	}
}

/* ---- results that are errors ---- */

/* It is as we want it already: somebody else did the same, or did it before us. */
static bool result_is_done(const struct kop *op)
{
	bool del = op->verb == KV_DEL;

	switch ((enum ktable)op->table) {
	case KT_SERVICE:
		return del && op->result == -ESRCH;
	case KT_DEST:
		return del && (op->result == -ENOENT || op->result == -ESRCH);
	case KT_BINDING:
		return op->result == (del ? -ESRCH : -EEXIST);
	case KT_ELEM:
	case KT_FLOW:
		return del && op->result == -ENOENT;
	}
	return false;
}

static void scheduler_missing(struct backend *be, const struct kop *op, struct unit *unit)
{
	bool is_default = strcmp(op->service.sched, be->config.scheduler) == 0;
	char reason[160];

	snprintf(reason, sizeof(reason), "the kernel has no scheduler %s (modprobe ip_vs_%s)%s",
		 op->service.sched, op->service.sched,
		 is_default ? "" : "; the node's default is used");
	unit->blocked = true;
	if (is_default || be->n_missing == ENGINE_MISSING_MAX) {
		unit_fail(unit, R_REFUSED, reason);
		return;
	}
	memcpy(be->missing[be->n_missing++], op->service.sched, sizeof(be->missing[0]));
	log_warn(reason, "");
	unit->again = true;
}

static void fail_elem(struct backend *be, const struct kop *op, struct unit *unit)
{
	if (op->result == -ECANCELED) { /* undone because of another: nothing wrong with it */
		if (unit) {
			unit->blocked = true;
			unit->again |= unit->outcome == R_DONE;
		}
		return;
	}
	if (op->verb == KV_ADD && op->result == -ENOENT)
		engine_rules_lost(be, op->elem.family);
	if (op->verb == KV_ADD && op->result == -EEXIST)
		be->next_audit_ms = 0; /* a map's element that leads elsewhere: it must be read */
	if (unit) {
		unit->blocked = op->verb == KV_ADD;
		unit->again = false; /* with back-off, whatever became of its other elements */
		unit_fail_op(unit, op->result == -EINPROGRESS ? R_UNKNOWN : R_RETRY, op);
	}
}

static void fail_server(struct backend *be, const struct kop *op, struct unit *unit)
{
	bool drift = op->result == -EEXIST || op->result == -ESRCH || op->result == -EINPROGRESS ||
		     (op->table == KT_DEST && op->result == -ENOENT);

	if (unit->blocked && op->table == KT_DEST)
		return; /* its virtual server was refused in the same batch */
	if (op->table == KT_SERVICE && op->result == -ENOENT) {
		scheduler_missing(be, op, unit);
		return;
	}
	unit->blocked |= op->table == KT_SERVICE;
	unit->usurped |= op->table == KT_SERVICE && op->verb == KV_ADD && op->result == -EEXIST;
	unit->reread |= drift;
	if (drift)
		be->counters.drift++;
	unit_fail_op(unit, op->result == -EINPROGRESS ? R_UNKNOWN : drift ? R_DRIFT : R_RETRY, op);
}

static void fail_binding(struct backend *be, const struct kop *op, struct unit *unit)
{
	struct pic_binding *binding = picture_binding(&be->pic, &op->binding.vip);

	if (op->result == -EINPROGRESS && binding) /* replacing or deleting it makes it sure */
		binding->bound = binding->unsure = true;
	if (!unit)
		return;
	unit->blocked = op->verb == KV_DEL;
	unit_fail_op(unit, op->result == -EINPROGRESS ? R_UNKNOWN : R_RETRY, op);
}

/* A repair that failed stays marked until it is done. */
static void mark_repair(struct backend *be, const struct kop *op)
{
	const struct ip_addr *vip = op->table == KT_BINDING ? &op->binding.vip : NULL;
	struct pic_binding *binding;
	struct kelem_parts parts;
	struct pic_addr *addr;

	if (op->table == KT_ELEM && kelem_parse(&op->elem, &parts)) {
		addr = picture_addr(&be->pic, op->elem.set, &parts.addr);
		if (addr)
			picture_addr_mark(&be->pic, addr);
		if (op->elem.set == KSET_VIPS)
			vip = &parts.addr;
	}
	binding = vip ? picture_binding(&be->pic, vip) : NULL;
	if (binding)
		picture_binding_mark(&be->pic, binding);
}

static void fail(struct backend *be, const struct kop *op, struct unit *unit)
{
	be->counters.failures++;
	if (op->table == KT_ELEM) {
		fail_elem(be, op, unit);
	} else if (op->table == KT_BINDING) {
		fail_binding(be, op, unit);
	} else {
		fail_server(be, op, unit);
	}
	if (!unit) {
		be->aux_retry_ms = engine_now_ms(be) + ENGINE_RETRY_MIN_MS;
		mark_repair(be, op);
	}
}

/* ---- phases ---- */

static void flush_ledger(struct backend *be)
{
	struct err err;

	if (ledger_flush(be->ledger, &err) < 0)
		log_warn("ledger not written", "error=\"%s\"", err.text);
}

/* What must be in the ledger before the kernel is told. */
static void note_ahead(struct backend *be, const struct phase_ops *list)
{
	uint64_t deadline_ms = engine_now_ms(be) + be->config.drain_ms;

	for (size_t i = 0; i < list->n; i++) {
		const struct kop *op = &list->ops[i];
		struct pic_service *svc;
		struct fe_key key;

		if (op->table == KT_SERVICE && picture_fe_key(&op->service.key, &key) &&
		    (svc = picture_service(&be->pic, &key)) && !svc->owned) {
			svc->owned = true;
			ledger_own(be->ledger, &key);
		}
		if (op->table == KT_DEST && op->verb == KV_SET && !op->rs.dest.weight &&
		    picture_fe_key(&op->rs.key, &key))
			ledger_drain(be->ledger, &key, &op->rs.dest.addr, op->rs.dest.port,
				     deadline_ms);
	}
	flush_ledger(be);
}

static void drop_blocked(struct phase_ops *list)
{
	size_t kept = 0;

	for (size_t i = 0; i < list->n; i++) {
		const struct unit *unit = list->units[i];

		if (unit && unit->blocked)
			continue;
		list->ops[kept] = list->ops[i];
		list->units[kept++] = list->units[i];
	}
	list->n = kept;
}

/* Those behind `from` do not fit into this slice any more: their units come again. */
static void postpone(struct phase_ops *list, size_t from)
{
	for (size_t i = from; i < list->n; i++) {
		struct unit *unit = list->units[i];

		if (unit)
			unit->blocked = unit->again = true;
	}
	list->n = from;
}

static void settle(struct backend *be, struct phase_ops *list, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		struct kop *op = &list->ops[i];

		if (op->result == 0 || result_is_done(op))
			apply(be, op, list->units[i]);
		else
			fail(be, op, list->units[i]);
	}
}

/* A map leads only where a virtual server stands (L7). One that does not stand yet, or could not be
 * made: the entrance waits for it. */
static void block_early_entrances(struct backend *be, const struct phase_ops *list)
{
	for (size_t i = 0; i < list->n; i++) {
		struct unit *unit = list->units[i];
		const struct pic_service *svc;
		struct kelem_parts parts;
		struct fe_key via;

		if (list->ops[i].verb != KV_ADD || !kelem_parse(&list->ops[i].elem, &parts))
			continue;
		via = fe_key_make(&parts.target, parts.target_port, parts.proto);
		svc = picture_service(&be->pic, &via);
		if (svc && svc->present && !svc->foreign)
			continue;
		unit->blocked = true;
		unit_fail(unit, R_RETRY, "waits for the virtual server that it leads to");
	}
}

/* Adding a destination costs up to 7 ms while the kernel's trash list is long (ip_vs_ctl.c,
 * ip_vs_trash_get_dest), a microsecond else: so chunks begin small and grow while it is quick. */
static void run_phase(struct backend *be, enum phase phase, uint64_t end_us)
{
	struct phase_ops *list = &be->plan.phase[phase];
	bool transaction = phase == PH_ELEM_ADD || phase == PH_ENTER || phase == PH_LEAVE ||
			   phase == PH_ELEM_DEL;
	uint64_t start_us, done_us;
	void *heap = heap_populate(NULL);
	size_t at = 0;

	if (phase == PH_ENTER)
		block_early_entrances(be, list);
	drop_blocked(list);
	if (phase == PH_SERVER && list->n)
		note_ahead(be, list);
	for (start_us = list->n ? engine_clock_us() : 0; at < list->n; start_us = done_us) {
		size_t n = list->n - at;

		if (!transaction && n > be->chunk)
			n = be->chunk;
		if (phase == PH_SERVER && at && start_us > end_us) {
			postpone(list, at);
			return;
		}
		be->kernel.ops->submit(be->kernel.ctx, list->ops + at, n);
		be->counters.kernel_us += engine_clock_us() - start_us;
		settle(be, list, at, at + n);
		heap = heap_populate(heap);
		done_us = engine_clock_us();
		at += n;
		if (done_us - start_us > 4000)
			be->chunk = be->chunk / 2 > CHUNK_MIN ? be->chunk / 2 : CHUNK_MIN;
		else if (!transaction && n == be->chunk && be->chunk < CHUNK_MAX)
			be->chunk *= 2;
	}
}

/* ---- units ---- */

/* An EEXIST for a virtual server may have been somebody else's; then the destinations that went in
 * with the same batch are in theirs: out again. */
static void take_back(struct backend *be, const struct unit *unit)
{
	const struct phase_ops *list = &be->plan.phase[PH_SERVER];

	for (size_t i = 0; i < list->n; i++) {
		struct kop op = list->ops[i];

		if (list->units[i] != unit || op.table != KT_DEST || op.verb != KV_ADD || op.result)
			continue;
		op.verb = KV_DEL;
		be->kernel.ops->submit(be->kernel.ctx, &op, 1);
	}
}

static void refuse_foreign(struct unit *unit)
{
	char key[FE_KEY_TEXT_MAX], reason[256];

	snprintf(reason, sizeof(reason),
		 "a virtual server that is not vipd's stands at %s: delete it with ipvsadm -D, or "
		 "give the Service another address or port",
		 fe_key_format(&unit->key, key));
	free(unit->reason);
	unit->reason = NULL;
	unit->outcome = R_DONE;
	unit_fail(unit, R_REFUSED, reason);
}

static bool is_gateway(const struct backend *be, const struct ip_addr *vip)
{
	for (size_t i = 0; i < be->n_gateways; i++)
		if (addr_equal(&be->gateways[i], vip))
			return true;
	return false;
}

/* Addresses that must stay others'. */
static const char *forbidden(const struct backend *be, const struct fe_key *key)
{
	if (key->scope != SCOPE_VIP)
		return NULL;
	if (engine_is_excluded(be, &key->vip))
		return "is in --ipvs-exclude-cidrs";
	if (is_gateway(be, &key->vip))
		return "is a gateway of this node: taking it would cut the node off";
	return NULL;
}

static bool can_be_done(struct backend *be, const struct frontend *fe, struct unit *unit)
{
	const struct rules *rules = &be->rules[engine_family_index(unit->key.vip.family)];
	const struct pic_service *svc = picture_service(&be->pic, &unit->key);

	if (fe && forbidden(be, &unit->key)) {
		char vip[ADDR_TEXT_MAX], reason[160];

		snprintf(reason, sizeof(reason), "%s %s", addr_format(&unit->key.vip, vip),
			 forbidden(be, &unit->key));
		unit_fail(unit, R_REFUSED, reason);
		return false;
	}
	if (fe && rules->state == RULES_FAILED && !(svc && (svc->elems & EL_SERVICE))) {
		unit_fail(unit, R_RETRY, rules->reason ? rules->reason : "no helper rules");
		return false;
	}
	return true;
}

/* Before lowering: the entry is there, claimed or refused, and its pool counted. */
static int prepare(struct backend *be, const struct lowering *low, const struct frontend *fe,
		   struct unit *unit, struct pic_service **ret_svc)
{
	struct pic_service *svc = fe ? picture_service_get(&be->pic, &unit->key)
				     : picture_service(&be->pic, &unit->key);
	struct pic_binding *binding = picture_binding(&be->pic, &unit->key.vip);

	*ret_svc = svc;
	if (!fe && binding && !binding->refs) /* kept for a frontend that was refused */
		picture_binding_mark(&be->pic, binding);
	if (!svc)
		return fe ? -ENOMEM : 0;
	if (fe && svc->foreign && svc->present && lower_adoptable(low, svc, fe)) {
		picture_set_foreign(&be->pic, svc, false);
		svc->owned = true;
		ledger_own(be->ledger, &svc->key);
	}
	if (svc->foreign && fe)
		refuse_foreign(unit);
	if (unit->check && svc->present && !svc->foreign)
		scan_counts(be, svc);
	unit->check = false;
	return picture_count_pool(&be->pic, svc, fe && !svc->foreign ? fe->pool : NULL);
}

static int lower_server_unit(struct backend *be, const struct lowering *low,
			     const struct frontend *fe, struct unit *unit)
{
	struct pic_service *svc;
	int rc = prepare(be, low, fe, unit, &svc);

	if (rc == 0 && svc && fe && !svc->foreign)
		rc = ramp_begin(be, svc, fe);
	return rc == 0 && svc ? lower_service(low, svc, fe, unit) : rc;
}

/* A node port that is not taken yet, and is somebody's. */
static bool takes_a_port(struct backend *be, const struct pic_entrance *entrance)
{
	const struct fe_key *key = &entrance->key;

	return key->scope == SCOPE_NODEPORT && !(entrance->elems & (EL_TO | EL_CLUSTER)) &&
	       engine_port_is_used(be, key->proto, key->port);
}

static int lower_entrance_unit(struct backend *be, const struct lowering *low,
			       const struct frontend *fe, struct unit *unit)
{
	struct pic_entrance *entrance = fe ? picture_entrance_get(&be->pic, &unit->key)
					   : picture_entrance(&be->pic, &unit->key);

	if (!entrance)
		return fe ? -ENOMEM : 0;
	if (fe && !model_via(low->model, fe, false))
		unit_fail(unit, R_REFUSED,
			  "its cluster IP and port are another Service's: nowhere to lead to");
	if (fe && takes_a_port(be, entrance)) {
		unit_fail(unit, R_REFUSED,
			  "a program of this node waits at this port: stop it, or give the Service "
			  "another nodePort");
		fe = NULL;
	}
	return lower_entrance(low, entrance, fe, unit);
}

/* A key may have been a server's and be an entrance's now, or the other way round. */
static int lower_unit(struct backend *be, const struct lowering *low, const struct frontend *fe,
		      struct unit *unit)
{
	bool entrance = fe && frontend_is_entrance(fe);
	int rc = 0;

	if (unit->key.scope == SCOPE_VIP)
		rc = lower_server_unit(be, low, entrance ? NULL : fe, unit);
	return rc ? rc : lower_entrance_unit(be, low, entrance ? fe : NULL, unit);
}

static int add_unit(struct backend *be, const struct lowering *low, struct unit *unit)
{
	const struct frontend *fe = model_find(low->model, &unit->key);
	int rc;

	if (util_grow((void **)&be->slice_units, &be->slice_cap, be->n_slice + 1,
		      sizeof(struct unit *)) < 0)
		return -ENOMEM;
	be->slice_units[be->n_slice++] = unit;
	unit->in_slice = true;
	unit->blocked = unit->again = false;
	unit->outcome = R_DONE;
	free(unit->reason);
	unit->reason = NULL;
	if (unit->reread && scan_reread(be, &unit->key, unit->usurped) < 0) {
		unit_fail(unit, R_UNKNOWN, "the kernel does not say whether it was done");
		return 0;
	}
	unit->reread = unit->usurped = false;
	if (!can_be_done(be, fe, unit))
		return 0;
	rc = lower_unit(be, low, fe, unit);
	if (rc < 0)
		unit_fail(unit, R_RETRY, "out of memory");
	return 0;
}

/* A binding is judged when no marked key is left that may want it or let go of it. */
static void add_repairs(struct backend *be, const struct lowering *low)
{
	struct pic_binding *binding = take_ptr(be->pic.dirty_bindings);
	struct pic_addr *addr = take_ptr(be->pic.dirty_addrs);
	bool wait = be->queue != NULL;

	while (binding) {
		struct pic_binding *next = binding->next_dirty;

		binding->dirty = false;
		if (wait || lower_binding(low, binding) < 0)
			picture_binding_mark(&be->pic, binding);
		binding = next;
	}
	while (addr) {
		struct pic_addr *next = addr->next_dirty;
		int family = addr->key.addr.family;

		addr->dirty = false;
		if (!be->rules[engine_family_index(family)].used && !addr->there)
			; /* there is no table to put it in, nor anybody who looks there */
		else if ((!addr->refs && wait) || lower_addr(low, addr) < 0)
			picture_addr_mark(&be->pic, addr);
		addr = next;
	}
}

static void retry_later(struct backend *be, struct unit *unit)
{
	uint64_t wait_ms = (uint64_t)ENGINE_RETRY_MIN_MS
			   << (unit->attempts < 10 ? unit->attempts : 10);

	if (wait_ms > ENGINE_RETRY_MAX_MS)
		wait_ms = ENGINE_RETRY_MAX_MS;
	if (unit->outcome == R_REFUSED)
		wait_ms = ENGINE_REFUSED_MS;
	unit->attempts++;
	unit->retry_ms = engine_now_ms(be) + wait_ms;
}

static void finish_reread(struct backend *be, struct unit *unit)
{
	struct pic_service *svc;

	if (scan_reread(be, &unit->key, unit->usurped) < 0)
		return;
	unit->reread = unit->usurped = false;
	svc = picture_service(&be->pic, &unit->key);
	if (svc && svc->foreign)
		take_back(be, unit);
	unit->again = unit->attempts++ < 3; /* then with back-off */
}

static void finish_unit(struct backend *be, struct unit *unit)
{
	struct pic_service *svc = picture_service(&be->pic, &unit->key);
	struct pic_binding *binding = picture_binding(&be->pic, &unit->key.vip);
	struct pic_entrance *entrance = picture_entrance(&be->pic, &unit->key);
	bool done;

	unit->in_slice = false;
	if (binding)
		binding->leaving = 0;
	if (unit->reread)
		finish_reread(be, unit);
	done = unit->outcome == R_DONE && !unit->blocked && !unit->again;
	if (svc && svc->leaving && done)
		engine_drop_service(be, svc);
	if (entrance && entrance->leaving && done)
		picture_entrance_drop(&be->pic, entrance);
	if (unit->outcome != R_DONE || !unit->blocked)
		be->env->report(be->env->ctx, &unit->key, unit->outcome,
				unit->outcome == R_DONE ? NULL : unit->reason);
	if (unit->again) {
		engine_mark(be, &unit->key);
	} else if (unit->outcome == R_DONE) {
		engine_unit_drop(be, unit);
	} else {
		retry_later(be, unit);
	}
}

static int build(struct backend *be, const struct model *model, size_t max_ops, uint64_t budget_us)
{
	struct lowering low = make_lowering(be, model);
	struct budget budget = budget_start(budget_us);
	struct unit *unit;

	plan_reset(&be->plan);
	be->n_slice = 0;
	while (be->plan.n < max_ops && budget_left(&budget) && (unit = engine_pop(be))) {
		if (!be->model_whole && !model_find(model, &unit->key))
			engine_put_off(be, unit);
		else if (add_unit(be, &low, unit) < 0)
			return -ENOMEM;
	}
	if (be->model_whole && low.now_ms >= be->aux_retry_ms)
		add_repairs(be, &low);
	return 0;
}

static void ledger_upkeep(struct backend *be)
{
	struct pic_service *svc, *next;
	struct err err;

	if (!ledger_wants_rewrite(be->ledger, HASH_COUNT(be->pic.services) + be->pic.drains))
		return;
	ledger_rewrite_begin(be->ledger);
	for (int i = 0; i < 2; i++)
		if (be->rules[i].told_digest)
			ledger_rules(be->ledger, be->rules[i].family, be->rules[i].told_hash,
				     be->rules[i].told_digest);
	HASH_ITER (hh, be->pic.services, svc, next) {
		if (svc->owned)
			ledger_own(be->ledger, &svc->key);
		for (size_t i = 0; i < svc->n; i++)
			if (svc->dests[i].deadline_ms)
				ledger_drain(be->ledger, &svc->key, &svc->dests[i].addr,
					     svc->dests[i].port, svc->dests[i].deadline_ms);
	}
	if (ledger_rewrite_end(be->ledger, &err) < 0)
		log_warn("ledger not rewritten", "error=\"%s\"", err.text);
}

/* Slices grow while they stay within half of their time, and shrink when they exceed it. */
static void adapt(struct backend *be, uint64_t took_us, uint64_t budget_us)
{
	if (took_us > budget_us && be->slice_ops > SLICE_MIN)
		be->slice_ops /= 2;
	else if (took_us < budget_us / 2 && be->plan.n >= be->slice_ops &&
		 be->slice_ops < SLICE_MAX)
		be->slice_ops *= 2;
}

int slice_run(struct backend *be, const struct model *model, uint64_t budget_us)
{
	uint64_t start_us = engine_clock_us();

	be->counters.slices++;
	if (!be->slice_ops) {
		be->slice_ops = SLICE_MIN;
		be->chunk = CHUNK_MIN;
	}
	if (build(be, model, be->slice_ops, budget_us / 2) < 0)
		return 1;
	be->counters.lower_us += engine_clock_us() - start_us;
	for (int phase = 0; phase < PH_COUNT; phase++)
		run_phase(be, (enum phase)phase, start_us + budget_us);
	for (size_t i = 0; i < be->n_slice; i++)
		finish_unit(be, be->slice_units[i]);
	flush_ledger(be);
	ledger_upkeep(be);
	adapt(be, engine_clock_us() - start_us, budget_us);
	return be->queue || (be->model_whole && (be->pic.dirty_bindings || be->pic.dirty_addrs) &&
			     be->aux_retry_ms <= engine_now_ms(be));
}

static void print_rules(const struct backend *be, FILE *out)
{
	char text[PREFIX_TEXT_MAX];

	for (int i = 0; i < 2; i++) {
		const struct rules *rules = &be->rules[i];
		const char *separator = " local_nets=";

		if (!rules->used || rules->state == RULES_READY)
			continue;
		fprintf(out, "load table %s " HELPER_TABLE,
			rules->family == AF_INET ? "ip" : "ip6");
		for (size_t n = 0; n < be->config.n_local_nets; n++) {
			const struct ip_prefix *net = &be->config.local_nets[n];

			if (net->addr.family != rules->family)
				continue;
			fprintf(out, "%s%s", separator, prefix_format(net, text));
			separator = ",";
		}
		fputc('\n', out);
	}
}

/* Every frontend of an address asks for its binding and its element in `vips`, so that it knows
 * what became of them; the first has made them for all. */
static bool made_before(struct backend *be, const struct kop *op)
{
	bool elem = op->table == KT_ELEM && op->elem.set == KSET_VIPS, before, *printed;
	struct ip_addr vip = elem ? addr_make(op->elem.family, op->elem.key) : op->binding.vip;
	struct pic_binding *binding =
		elem || op->table == KT_BINDING ? picture_binding(&be->pic, &vip) : NULL;

	if (!binding)
		return false;
	printed = elem ? &binding->elem_printed : &binding->printed;
	before = *printed;
	*printed = true;
	return before;
}

int slice_print(struct backend *be, const struct model *model, FILE *out)
{
	int rc = build(be, model, SIZE_MAX, UINT64_MAX);

	if (rc == 0)
		print_rules(be, out);
	for (int phase = 0; rc == 0 && phase < PH_COUNT; phase++) {
		const struct phase_ops *list = &be->plan.phase[phase];

		for (size_t i = 0; i < list->n; i++) {
			if (made_before(be, &list->ops[i]))
				continue;
			kop_print(&list->ops[i], out);
			fputc('\n', out);
		}
	}
	for (size_t i = 0; i < be->n_slice; i++) {
		struct unit *unit = be->slice_units[i];
		char key[FE_KEY_TEXT_MAX];

		if (unit->outcome != R_DONE)
			fprintf(out, "refused %s: %s\n", fe_key_format(&unit->key, key),
				unit->reason ? unit->reason : "");
	}
	return rc;
}
