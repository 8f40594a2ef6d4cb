/* SPDX-License-Identifier: Apache-2.0 */
/* A slice of the queue: lowered, done phase by phase.
 *
 * A unit whose virtual server or helper elements cannot be made goes no further (no binding without
 * them); a destination that cannot be made holds up nothing else. */
#include <errno.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "heap.h"
#include "log.h"

#define CHUNK_MIN 32
#define CHUNK_MAX 1920 /* four datagrams of 64 KiB */
#define SLICE_MIN 256  /* operations */
#define SLICE_MAX 8192

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

		if (op->table == KT_SERVICE && (svc = engine_service_of(be, list->units[i])) &&
		    !svc->owned) {
			svc->owned = true;
			ledger_own(be->ledger, &svc->key);
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

/* Its turn is yet to come: the virtual server did not fail. */
static bool is_to_come(struct backend *be, const struct fe_key *key)
{
	struct unit *unit;

	HASH_FIND(hh, be->units, key, sizeof(*key), unit);
	return unit && (unit->queued || unit->again);
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
		if (is_to_come(be, &via)) {
			unit->again = true;
			continue;
		}
		unit->waits = be->waiting = true;
		engine_unit_fail(unit, R_RETRY, "waits for the virtual server that it leads to");
	}
}

/* A virtual server came: what waited for one need not wait out its back-off. */
static void wake_waiting(struct backend *be)
{
	struct unit *unit, *next;

	be->waiting = false;
	HASH_ITER (hh, be->units, unit, next) {
		if (unit->waits)
			engine_mark(be, &unit->key);
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
		apply_results(be, list, at, at + n);
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
	engine_unit_fail(unit, R_REFUSED, reason);
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
	const struct pic_service *svc;

	if (fe && forbidden(be, &unit->key)) {
		char vip[ADDR_TEXT_MAX], reason[160];

		snprintf(reason, sizeof(reason), "%s %s", addr_format(&unit->key.vip, vip),
			 forbidden(be, &unit->key));
		engine_unit_fail(unit, R_REFUSED, reason);
		return false;
	}
	if (!fe || rules->state != RULES_FAILED)
		return true;
	svc = picture_service(&be->pic, &unit->key);
	if (svc && (svc->elems & EL_SERVICE))
		return true;
	engine_unit_fail(unit, R_RETRY, rules->reason ? rules->reason : "no helper rules");
	return false;
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
		rc = ramp_begin(be, svc, fe, low->now_ms);
	unit->svc = svc;
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
		engine_unit_fail(
			unit, R_REFUSED,
			"its cluster IP and port are another Service's: nowhere to lead to");
	if (fe && takes_a_port(be, entrance)) {
		engine_unit_fail(
			unit, R_REFUSED,
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
	unit->blocked = unit->again = unit->waits = false;
	unit->outcome = R_DONE;
	unit->svc = NULL;
	free(unit->reason);
	unit->reason = NULL;
	if (unit->reread && scan_reread(be, &unit->key, unit->usurped) < 0) {
		engine_unit_fail(unit, R_UNKNOWN, "the kernel does not say whether it was done");
		return 0;
	}
	unit->reread = unit->usurped = false;
	if (!can_be_done(be, fe, unit))
		return 0;
	rc = lower_unit(be, low, fe, unit);
	if (rc < 0)
		engine_unit_fail(unit, R_RETRY, "out of memory");
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
	struct pic_service *svc = engine_service_of(be, unit);
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

/* Slices grow until they need three quarters of their time, and shrink when they exceed it. */
static void adapt(struct backend *be, uint64_t took_us, uint64_t budget_us)
{
	uint64_t aim_us = budget_us - budget_us / 4;
	size_t ops = be->slice_ops;

	if (took_us > budget_us)
		ops /= 2;
	else if (took_us < aim_us && be->plan.n >= ops)
		ops = took_us < aim_us / 2 ? 2 * ops : (size_t)(ops * aim_us / took_us);
	if (ops < SLICE_MIN)
		ops = SLICE_MIN;
	be->slice_ops = ops > SLICE_MAX ? SLICE_MAX : ops;
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
	if (be->server_came && be->waiting)
		wake_waiting(be);
	be->server_came = false;
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
