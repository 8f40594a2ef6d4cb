/* SPDX-License-Identifier: Apache-2.0 */
/* What the kernel answered: results into the picture, errors to their units.
 *
 * What it says is drift (EEXIST, ESRCH, a destination's ENOENT) means that key is read again. An
 * error is the unit's whose operation it was; a repair of its own stays marked. */
#include <errno.h>
#include <string.h>

#include "engine.h"
#include "log.h"

void engine_unit_fail(struct unit *unit, enum outcome outcome, const char *reason)
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
		engine_unit_fail(unit, outcome, text);
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

struct pic_service *engine_service_of(struct backend *be, const struct unit *unit)
{
	return unit->svc ? unit->svc : picture_service(&be->pic, &unit->key);
}

static void apply_service(struct backend *be, const struct kop *op, const struct unit *unit)
{
	struct pic_service *svc = engine_service_of(be, unit);

	if (!svc)
		return;
	svc->seen |= SEEN_ENTITY;
	if (op->verb == KV_DEL) {
		svc->present = svc->owned = false;
		flows_frontend_changed(be, &svc->key, true);
		for (size_t i = 0; i < svc->n; i++)
			flows_endpoint_gone(be, svc, &svc->dests[i]);
		picture_dests_clear(&be->pic, svc);
		ledger_disown(be->ledger, &svc->key);
		return;
	}
	if (!svc->present) {
		flows_frontend_changed(be, &svc->key, false);
		be->server_came = true;
	}
	svc->present = true;
	memcpy(svc->sched, op->service.sched, sizeof(svc->sched));
	svc->flags = op->service.flags;
	svc->timeout_sec = op->service.timeout_sec;
}

static void apply_dest(struct backend *be, const struct kop *op, struct unit *unit)
{
	const struct kdest *want = &op->rs.dest;
	struct pic_service *svc = engine_service_of(be, unit);
	struct pic_dest *dest;
	size_t n_before;

	if (!svc)
		return;
	if (op->verb == KV_DEL) {
		dest = picture_dest(svc, &want->addr, want->port);
		if (dest)
			engine_dest_gone(be, svc, dest);
		return;
	}
	n_before = svc->n;
	dest = picture_dest_get(svc, &want->addr, want->port);
	if (svc->n != n_before)
		flows_frontend_changed(be, &svc->key, false);
	if (!dest)
		return;
	picture_dest_forward(svc, dest, &want->forward);
	dest->weight = want->weight;
	if (want->weight) {
		if (dest->deadline_ms)
			ledger_drain(be->ledger, &svc->key, &dest->addr, dest->port, 0);
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
		apply_service(be, op, unit);
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
		engine_unit_fail(unit, R_REFUSED, reason);
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
	if (op->result < 0 && op->result > -ENGINE_ERRNO_MAX)
		be->counters.failed[-op->result]++;
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
void apply_results(struct backend *be, struct phase_ops *list, size_t from, size_t to)
{
	for (size_t i = from; i < to; i++) {
		struct kop *op = &list->ops[i];

		if (op->result == 0 || result_is_done(op))
			apply(be, op, list->units[i]);
		else
			fail(be, op, list->units[i]);
	}
}
