/* SPDX-License-Identifier: Apache-2.0 */
/* The IPVS backend: include/backend.h over the reconcile engine. See engine.h for who does what. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>
#include <time.h>

#include "engine.h"
#include "log.h"
#include "rules.h"
#include "settings.h"

uint64_t engine_now_ms(const struct backend *be)
{
	return be->env->now_ms(be->env->ctx);
}

uint64_t engine_clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

bool engine_is_excluded(const struct backend *be, const struct ip_addr *vip)
{
	for (size_t i = 0; i < be->config.n_exclude_nets; i++)
		if (prefix_contains(&be->config.exclude_nets[i], vip))
			return true;
	return false;
}

static struct listeners *listeners_of(struct backend *be, uint8_t proto)
{
	struct listeners **slot = &be->listeners[proto == IPPROTO_TCP   ? 0
						 : proto == IPPROTO_UDP ? 1
									: 2];

	if (!*slot)
		*slot = calloc(1, sizeof(**slot));
	return *slot;
}

bool engine_port_is_used(struct backend *be, uint8_t proto, uint16_t port)
{
	struct listeners *listeners = listeners_of(be, proto);
	uint64_t now_ms = engine_now_ms(be);

	if (!listeners)
		return false;
	if (!listeners->read_ms || now_ms - listeners->read_ms > ENGINE_LISTENERS_MS) {
		listeners->read_ms = now_ms;
		if (be->kernel.ops->listeners(be->kernel.ctx, proto, listeners->ports) < 0)
			memset(listeners->ports, 0, sizeof(listeners->ports));
	}
	return listeners->ports[port / 64] >> port % 64 & 1;
}

/* ---- the queue ---- */

struct unit *engine_mark(struct backend *be, const struct fe_key *key)
{
	struct unit *unit;

	HASH_FIND(hh, be->units, key, sizeof(*key), unit);
	if (!unit) {
		unit = calloc(1, sizeof(*unit));
		if (!unit)
			return NULL;
		unit->key = *key;
		HASH_ADD(hh, be->units, key, sizeof(unit->key), unit);
	}
	if (unit->in_slice) {
		unit->again = true; /* queued when its slice is over */
	} else if (!unit->queued) {
		unit->queued = true;
		unit->retry_ms = 0;
		unit->next = NULL;
		*be->queue_tail = unit;
		be->queue_tail = &unit->next;
	}
	return unit;
}

struct unit *engine_pop(struct backend *be)
{
	struct unit *unit = be->queue;

	if (!unit)
		return NULL;
	be->queue = unit->next;
	if (!be->queue)
		be->queue_tail = &be->queue;
	unit->queued = false;
	return unit;
}

void engine_put_off(struct backend *be, struct unit *unit)
{
	unit->queued = true;
	unit->next = be->later;
	be->later = unit;
}

void engine_model_is_whole(struct backend *be)
{
	*be->queue_tail = be->later;
	while (*be->queue_tail)
		be->queue_tail = &(*be->queue_tail)->next;
	be->later = NULL;
	be->model_whole = true;
}

void engine_unit_drop(struct backend *be, struct unit *unit)
{
	if (unit->queued)
		return;
	HASH_DEL(be->units, unit);
	free(unit->reason);
	free(unit);
}

void engine_drop_service(struct backend *be, struct pic_service *svc)
{
	if (be->scan.cursor == svc)
		be->scan.cursor = svc->hh.next;
	picture_count_pool(&be->pic, svc, NULL);
	picture_service_drop(&be->pic, svc);
}

/* A line about a destination that is gone would be believed when it is made again. */
void engine_dest_gone(struct backend *be, struct pic_service *svc, struct pic_dest *dest)
{
	if (dest->deadline_ms)
		ledger_drain(be->ledger, &svc->key, &dest->addr, dest->port, 0);
	flows_endpoint_gone(be, svc, dest);
	picture_dest_drop(&be->pic, svc, dest);
}

void engine_dests_gone(struct backend *be, struct pic_service *svc)
{
	while (svc->n)
		engine_dest_gone(be, svc, &svc->dests[svc->n - 1]);
}

/* ---- open, close ---- */

static void ledger_told_own(void *arg, const struct fe_key *key)
{
	struct backend *be = arg;
	struct pic_service *svc = picture_service_get(&be->pic, key);

	if (svc)
		svc->owned = true;
}

static void ledger_told_free(void *arg, const struct fe_key *key)
{
	struct backend *be = arg;
	struct pic_service *svc = picture_service(&be->pic, key);

	if (svc)
		engine_drop_service(be, svc);
}

static void ledger_told_drain(void *arg, const struct fe_key *key, const struct ip_addr *addr,
			      uint16_t port, uint64_t deadline_ms)
{
	struct backend *be = arg;
	struct pic_service *svc = picture_service(&be->pic, key);
	struct pic_dest *dest = svc ? picture_dest(svc, addr, port) : NULL;

	if (svc && !dest)
		dest = picture_dest_add(svc, addr, port);
	if (dest)
		picture_dest_drain(&be->pic, dest, deadline_ms);
}

static void ledger_told_rules(void *arg, int family, uint64_t text_hash, uint64_t digest)
{
	struct backend *be = arg;
	struct rules *rules = &be->rules[engine_family_index(family)];

	rules->told_hash = text_hash;
	rules->told_digest = digest;
	rules->digest = text_hash == rules->text_hash ? digest : 0;
}

static void open_ledger(struct backend *be)
{
	const struct ledger_reader reader = {
		.arg = be,
		.own = ledger_told_own,
		.disown = ledger_told_free,
		.drain = ledger_told_drain,
		.rules = ledger_told_rules,
	};
	struct err err;

	be->ledger_lost = true;
	if (!be->config.run_dir)
		return;
	if (ledger_open(be->config.run_dir, be->config.read_only, &be->ledger, &err) < 0)
		log_warn(
			"running without a ledger: after a kill, unfinished virtual servers may be "
			"left and drains may end late",
			"error=\"%s\"", err.text);
	ledger_read(be->ledger, &reader);
	be->ledger_lost = !ledger_was_there(be->ledger);
}

static int init_rules(struct backend *be, int family)
{
	struct rules *rules = &be->rules[engine_family_index(family)];

	rules->be = be;
	rules->family = family;
	rules->text = rules_text(family, &(struct rules_config){
						 .local_nets = be->config.local_nets,
						 .n_local_nets = be->config.n_local_nets,
						 .local_interface = be->config.local_interface,
						 .masquerade_all = be->config.masquerade_all,
						 .snat_port_min = be->config.snat_port_min,
						 .snat_port_max = be->config.snat_port_max,
					 });
	if (!rules->text)
		return -ENOMEM;
	rules->text_hash = util_hash(UTIL_HASH_SEED, rules->text, strlen(rules->text));
	return 0;
}

static void ipvs_close(struct backend *be)
{
	struct unit *unit, *next;

	if (!be)
		return;
	HASH_ITER (hh, be->units, unit, next) {
		HASH_DEL(be->units, unit);
		free(unit->reason);
		free(unit);
	}
	flows_done(be);
	picture_done(&be->pic);
	plan_done(&be->plan);
	ledger_close(be->ledger);
	for (int i = 0; i < 2; i++) {
		free(be->rules[i].text);
		free(be->rules[i].reason);
	}
	free(be->slice_units);
	free(be->scan.dests);
	free(be->scan.addrs);
	free(be->own_addrs);
	for (size_t i = 0; i < ARRAY_SIZE(be->listeners); i++)
		free(be->listeners[i]);
	if (be->kernel.ops)
		be->kernel.ops->close(be->kernel.ctx);
	free(be);
}

int ipvs_backend_open_on(struct kernel kernel, const struct backend_config *config,
			 const struct backend_env *env, struct backend **ret_backend,
			 struct err *err)
{
	struct backend *be = calloc(1, sizeof(*be));

	if (!be) {
		kernel.ops->close(kernel.ctx);
		return err_set(err, -ENOMEM, "no memory for the IPVS backend");
	}
	be->kernel = kernel;
	be->config = *config;
	be->env = env;
	be->queue_tail = &be->queue;
	memcpy(be->node_addr, config->node_addr, sizeof(be->node_addr));
	if (flows_init(be) < 0 || init_rules(be, AF_INET) < 0 || init_rules(be, AF_INET6) < 0) {
		ipvs_close(be);
		return err_set(err, -ENOMEM, "no memory for the IPVS backend");
	}
	open_ledger(be);
	*ret_backend = be;
	return 0;
}

static int setup_node(struct kernel *kernel, const struct backend_config *config, struct err *err)
{
	int rc = settings_setup(config->strict_arp, err);

	if (rc < 0 ||
	    (!config->timeout_tcp_sec && !config->timeout_tcp_fin_sec && !config->timeout_udp_sec))
		return rc;
	rc = kernel->ops->set_timeouts(kernel->ctx, config->timeout_tcp_sec,
				       config->timeout_tcp_fin_sec, config->timeout_udp_sec);
	return rc < 0 ? err_set(err, rc, "cannot set IPVS timeouts: %s", strerror(-rc)) : 0;
}

static int ipvs_open(const struct backend_config *config, const struct backend_env *env,
		     struct backend **ret_backend, struct err *err)
{
	struct kernel kernel;
	int rc = kernel_linux_open(&kernel, err);

	if (rc < 0)
		return rc;
	if (!config->read_only && (rc = setup_node(&kernel, config, err)) < 0) {
		kernel.ops->close(kernel.ctx);
		return rc;
	}
	return ipvs_backend_open_on(kernel, config, env, ret_backend, err);
}

/* ---- read, mark, step ---- */

static int ipvs_read(struct backend *be, uint64_t budget_us, struct err *err)
{
	int rc;

	if (be->scan.state == SCAN_IDLE)
		scan_start(be, false);
	rc = scan_step(be, budget_us);
	if (rc < 0)
		return err_set(err, rc, "cannot read the IPVS state from the kernel: %s",
			       strerror(-rc));
	if (rc == 0)
		be->next_audit_ms = engine_now_ms(be) + be->config.audit_ms;
	return rc;
}

/* The first frontend of a family: now the node's addresses are looked for in its table. */
static void use_rules(struct backend *be, struct rules *rules)
{
	struct pic_addr *addr, *next;

	if (rules->used)
		return;
	rules->used = true;
	HASH_ITER (hh, be->pic.addrs, addr, next)
		if (addr->key.addr.family == rules->family)
			picture_addr_mark(&be->pic, addr);
}

static int mark_key(struct backend *be, const struct model *model, const struct fe_key *key)
{
	if (!engine_mark(be, key))
		return -ENOMEM;
	if (model_find(model, key))
		use_rules(be, &be->rules[engine_family_index(key->vip.family)]);
	return 0;
}

/* What is in the model is marked already, by the contract. */
static int mark_picture(struct backend *be)
{
	struct pic_service *svc, *next_svc;
	struct pic_binding *binding, *next_binding;
	struct pic_entrance *entrance, *next_entrance;
	struct pic_addr *addr, *next_addr;

	engine_model_is_whole(be);
	HASH_ITER (hh, be->pic.entrances, entrance, next_entrance)
		if (!engine_mark(be, &entrance->key))
			return -ENOMEM;
	HASH_ITER (hh, be->pic.services, svc, next_svc)
		if (!svc->foreign && !engine_mark(be, &svc->key))
			return -ENOMEM;
	HASH_ITER (hh, be->pic.bindings, binding, next_binding)
		picture_binding_mark(&be->pic, binding);
	HASH_ITER (hh, be->pic.addrs, addr, next_addr)
		picture_addr_mark(&be->pic, addr);
	return 0;
}

static int ipvs_mark(struct backend *be, const struct model *model, const struct fe_key *keys,
		     size_t n)
{
	if (!keys)
		return mark_picture(be);
	for (size_t i = 0; i < n; i++)
		if (mark_key(be, model, &keys[i]) < 0)
			return -ENOMEM;
	return 0;
}

/* Must rules be loaded although no frontend changed? */
static bool rules_wait(const struct backend *be)
{
	for (int i = 0; i < 2; i++)
		if (be->rules[i].used && be->rules[i].state == RULES_GONE)
			return true;
	return false;
}

static int ipvs_step(struct backend *be, const struct model *model, uint64_t budget_us)
{
	bool ready;

	if (!be->queue && !be->pic.dirty_bindings && !be->pic.dirty_addrs && !rules_wait(be))
		return 0;
	ready = engine_rules_ready(be, &be->rules[0]);
	ready &= engine_rules_ready(be, &be->rules[1]);
	if (!ready)
		return -EAGAIN;
	return slice_run(be, model, budget_us);
}

/* Has the kernel what this text makes? */
static bool rules_stand(struct backend *be, const struct rules *rules)
{
	uint64_t digest = 0;

	return be->kernel.ops->rules_digest(be->kernel.ctx, (uint8_t)rules->family, &digest) == 0 &&
	       digest && digest == rules->digest;
}

/* Who is in the cluster changes the rules, not the elements. */
static int ipvs_set_local_nets(struct backend *be, const struct ip_prefix *nets, size_t n)
{
	be->config.local_nets = nets;
	be->config.n_local_nets = n;
	for (int i = 0; i < 2; i++) {
		struct rules *rules = &be->rules[i];

		free(take_ptr(rules->text));
		if (init_rules(be, rules->family) < 0)
			return -ENOMEM;
		rules->digest = rules->told_hash == rules->text_hash ? rules->told_digest : 0;
		if (rules->state == RULES_LOADING)
			rules->stale = true;
		else if (rules->state != RULES_UNKNOWN)
			rules->state = rules_stand(be, rules) ? RULES_READY : RULES_GONE;
	}
	be->env->wake(be->env->ctx);
	return 0;
}

static void ipvs_set_node_addrs(struct backend *be, const struct ip_addr addrs[2])
{
	if (memcmp(be->node_addr, addrs, sizeof(be->node_addr)) == 0)
		return;
	memcpy(be->node_addr, addrs, sizeof(be->node_addr));
	be->addrs_changed = true; /* does the node really have them? */
}

/* ---- timers ---- */

static uint64_t min_u64(uint64_t a, uint64_t b)
{
	return a < b ? a : b;
}

static uint64_t tick_retries(struct backend *be, uint64_t now_ms)
{
	uint64_t next_ms = UINT64_MAX;
	struct unit *unit, *next;

	HASH_ITER (hh, be->units, unit, next) {
		if (unit->queued || !unit->retry_ms)
			continue;
		if (unit->retry_ms <= now_ms)
			engine_mark(be, &unit->key);
		else
			next_ms = min_u64(next_ms, unit->retry_ms);
	}
	for (int i = 0; i < 2; i++)
		if (be->rules[i].used && be->rules[i].state == RULES_FAILED)
			next_ms = min_u64(next_ms, be->rules[i].retry_ms);
	if (be->pic.dirty_bindings || be->pic.dirty_addrs)
		next_ms = min_u64(next_ms, be->aux_retry_ms);
	return next_ms;
}

static uint64_t tick_drains(struct backend *be, uint64_t now_ms)
{
	struct pic_service *svc, *next;

	if (!be->pic.drains)
		return UINT64_MAX;
	if (now_ms < be->next_drain_ms)
		return be->next_drain_ms;
	be->next_drain_ms = now_ms + ENGINE_DRAIN_CHECK_MS;
	HASH_ITER (hh, be->pic.services, svc, next) {
		for (size_t i = 0; i < svc->n; i++) {
			struct unit *unit;

			if (!svc->dests[i].deadline_ms)
				continue;
			unit = engine_mark(be, &svc->key);
			if (unit)
				unit->check = true;
			break;
		}
	}
	return be->next_drain_ms;
}

/* What the kernel did not tell while nobody listened is found by reading once more. */
static uint64_t tick_listen(struct backend *be, uint64_t now_ms)
{
	int rc = 0;

	if (be->caught_up || be->scan.state != SCAN_IDLE)
		return UINT64_MAX;
	if (!be->listening)
		rc = be->kernel.ops->listen(be->kernel.ctx);
	be->listening = rc == 0;
	if (be->listening) {
		scan_start_brief(be);
		return now_ms;
	}
	log_warn("the kernel does not tell what others do to bindings and helper tables, tried "
		 "again",
		 "error=\"%s\"", strerror(-rc));
	return now_ms + ENGINE_RETRY_MAX_MS;
}

static uint64_t end_audit(struct backend *be, uint64_t now_ms, bool whole)
{
	be->counters.audits += whole;
	be->next_audit_ms = be->scan.started_ms + be->config.audit_ms;
	if (be->next_audit_ms <= now_ms)
		be->next_audit_ms = now_ms + 1;
	return be->next_audit_ms;
}

static uint64_t tick_audit(struct backend *be, uint64_t now_ms)
{
	int rc;

	if (be->scan.state == SCAN_IDLE) {
		if (now_ms < be->next_audit_ms)
			return be->next_audit_ms;
		scan_start(be, true);
	}
	rc = scan_step(be, 5000);
	if (rc < 0)
		log_warn("audit abandoned, tried again later", "error=\"%s\"", strerror(-rc));
	if (rc > 0) {
		bool waits = be->scan.state == SCAN_DESTS && be->scan.visited > 100;
		uint64_t pause_ms = min_u64(ENGINE_AUDIT_TICK_MS, be->config.audit_ms / 20 + 1);

		return now_ms + (waits ? pause_ms : 1);
	}
	if (rc == 0)
		be->caught_up = be->listening;
	if (be->scan.brief)
		return rc == 0 ? be->next_audit_ms : now_ms + ENGINE_RETRY_MIN_MS;
	return end_audit(be, now_ms, rc == 0);
}

/* A failure leaves those known before in force; the next tick tries again. */
static void read_changed_addrs(struct backend *be)
{
	int rc;

	if (!be->addrs_changed)
		return;
	rc = scan_addrs(be);
	be->addrs_changed = rc < 0;
	if (rc < 0)
		log_warn("the node's addresses cannot be read, tried again", "error=\"%s\"",
			 strerror(-rc));
}

/* Is there something to do for step? */
static bool has_work(const struct backend *be, uint64_t now_ms)
{
	return be->queue ||
	       ((be->pic.dirty_bindings || be->pic.dirty_addrs) && now_ms >= be->aux_retry_ms);
}

static uint64_t ipvs_tick(struct backend *be, const struct model *model, uint64_t now_ms)
{
	uint64_t next_ms = tick_retries(be, now_ms);

	(void)model;
	read_changed_addrs(be);
	if (be->addrs_changed)
		next_ms = now_ms + ENGINE_RETRY_MIN_MS;
	next_ms = min_u64(next_ms, tick_drains(be, now_ms));
	next_ms = min_u64(next_ms, ramp_tick(be, now_ms));
	next_ms = min_u64(next_ms, tick_listen(be, now_ms));
	next_ms = min_u64(next_ms, tick_audit(be, now_ms));
	next_ms = min_u64(next_ms, flows_tick(be, now_ms, 5000));
	return has_work(be, now_ms) ? now_ms : next_ms;
}

/* ---- notifications ---- */

void engine_elem_gone(struct backend *be, const struct kelem *elem)
{
	struct pic_entrance *entrance;
	struct pic_binding *binding;
	struct pic_service *svc;
	struct pic_addr *addr;
	struct kelem_parts parts;
	struct fe_key key;

	if (!kelem_parse(elem, &parts))
		return;
	key = picture_elem_key(elem, &parts);
	if (elem->set == KSET_VIPS && (binding = picture_binding(&be->pic, &parts.addr))) {
		binding->elem_vip = false;
		picture_binding_mark(&be->pic, binding);
	} else if ((addr = picture_addr(&be->pic, elem->set, &parts.addr))) {
		addr->there = false;
		picture_addr_mark(&be->pic, addr);
	} else if (picture_service_bit(elem->set) && (svc = picture_service(&be->pic, &key))) {
		svc->elems &= (uint8_t)~picture_service_bit(elem->set);
		engine_mark(be, &key);
	} else if ((entrance = picture_entrance(&be->pic, &key))) {
		struct pic_allowed *allowed = picture_allowed(entrance, &parts.source);

		entrance->elems &= (uint8_t)~picture_entrance_bit(elem->set);
		if (kset_is_allowed(elem->set) && allowed)
			picture_allowed_drop(entrance, allowed);
		engine_mark(be, &key);
	}
}

static const char *elem_addr(const struct kelem *elem, char buf[ADDR_TEXT_MAX])
{
	struct ip_addr addr = addr_make(elem->family, elem->key);

	return addr_format(&addr, buf);
}

static void on_event(const struct kevent *event, void *arg)
{
	struct backend *be = arg;
	struct pic_binding *binding;
	char vip[ADDR_TEXT_MAX];

	switch (event->kind) {
	case KE_BINDING_GONE:
		binding = picture_binding(&be->pic, &event->binding.vip);
		if (!binding || !binding->bound)
			break;
		binding->bound = false;
		be->counters.drift++;
		log_warn("binding removed by somebody else, restored", "vip=%s",
			 addr_format(&binding->vip, vip));
		picture_binding_mark(&be->pic, binding);
		break;
	case KE_RULES_GONE:
		be->rules[engine_family_index(event->family)].doubted = true;
		break;
	case KE_ELEM_GONE:
		be->counters.drift++;
		log_warn("helper element removed by somebody else, restored", "set=%s first=%s",
			 kset_names[event->elem.set], elem_addr(&event->elem, vip));
		engine_elem_gone(be, &event->elem);
		break;
	case KE_LOST:
		be->next_audit_ms = 0;
		be->addrs_changed = true;
		break;
	case KE_ADDRS:
		be->addrs_changed = true;
		break;
	}
}

/* What went may be what our own loading replaced, told late. */
static void check_rules(struct backend *be)
{
	for (int i = 0; i < 2; i++) {
		struct rules *rules = &be->rules[i];

		if (rules->doubted && rules->used &&
		    (rules->state != RULES_READY || !rules_stand(be, rules)))
			engine_rules_lost(be, rules->family);
		rules->doubted = false;
	}
}

static size_t ipvs_fds(struct backend *be, int *ret_fds, size_t max)
{
	return be->kernel.ops->fds(be->kernel.ctx, ret_fds, max);
}

static void ipvs_on_fd(struct backend *be, const struct model *model, int fd)
{
	(void)model;
	be->kernel.ops->read_events(be->kernel.ctx, fd, on_event, be);
	check_rules(be);
	read_changed_addrs(be);
}

/* ---- printers ---- */

static int ipvs_print_actual(struct backend *be, FILE *out)
{
	return picture_print(&be->pic, out);
}

/* ---- cleanup ---- */

static void cleanup_tables_done(void *arg, const struct child_result *result)
{
	struct backend *be = arg;

	be->cleanup_status = result->status;
	be->cleanup_running = false;
	be->env->wake(be->env->ctx);
}

static int cleanup_tables(struct backend *be)
{
	static const char *const argv[] = {"nft", "-f", "-", NULL};
	cleanup_free char *script = NULL;
	uint64_t digest[2] = {0};

	for (int i = 0; i < 2; i++)
		be->kernel.ops->rules_digest(be->kernel.ctx, (uint8_t)be->rules[i].family,
					     &digest[i]);
	if (!digest[0] && !digest[1])
		return 0;
	if (asprintf(&script, "%s\n%s\n", digest[0] ? rules_delete_text(AF_INET) : "",
		     digest[1] ? rules_delete_text(AF_INET6) : "") < 0)
		return -ENOMEM;
	be->cleanup_running = true;
	return be->env->run(be->env->ctx, argv, script, strlen(script), ENGINE_RULES_CHILD_MS,
			    cleanup_tables_done, be);
}

/* Virtual servers, bindings and elements: as if there were no frontend and every drain over. */
static int cleanup_objects(struct backend *be)
{
	struct model *nothing = model_new();
	struct pic_service *svc, *next;
	int rc = nothing ? 0 : -ENOMEM;

	scan_start(be, false);
	while (rc == 0 && (rc = scan_step(be, UINT32_MAX)) > 0)
		rc = 0;
	HASH_ITER (hh, be->pic.services, svc, next)
		for (size_t i = 0; !svc->foreign && i < svc->n; i++)
			picture_dest_drain(&be->pic, &svc->dests[i], 1);
	if (rc == 0)
		rc = mark_picture(be);
	while (rc == 0 && slice_run(be, nothing, UINT32_MAX) > 0)
		continue;
	model_free(nothing);
	return rc;
}

static int ipvs_cleanup(struct backend *be, struct err *err)
{
	int rc;

	if (be->cleanup_running)
		return -EAGAIN;
	if (!be->cleanup_begun) {
		be->cleanup_begun = true;
		rc = cleanup_objects(be);
		if (rc == 0)
			rc = cleanup_tables(be);
		if (rc < 0)
			return err_set(err, rc, "cannot remove vipd's kernel state: %s",
				       strerror(-rc));
		if (be->cleanup_running)
			return -EAGAIN;
	}
	if (be->cleanup_status)
		return err_set(err, -EIO, "nft could not delete the tables " HELPER_TABLE);
	if (be->units)
		return err_set(err, -EIO, "cannot remove all of vipd's kernel state: %s",
			       be->units->reason ? be->units->reason : "unknown");
	ledger_forget(be->ledger);
	return 0;
}

const struct backend_ops ipvs_backend_ops = {
	.name = "ipvs",
	.steps_early = true,
	.open = ipvs_open,
	.close = ipvs_close,
	.read = ipvs_read,
	.mark = ipvs_mark,
	.step = ipvs_step,
	.set_node_addrs = ipvs_set_node_addrs,
	.set_local_nets = ipvs_set_local_nets,
	.tick = ipvs_tick,
	.fds = ipvs_fds,
	.on_fd = ipvs_on_fd,
	.print_actual = ipvs_print_actual,
	.print_plan = slice_print,
	.cleanup = ipvs_cleanup,
	.print_counters = engine_print_counters,
};
