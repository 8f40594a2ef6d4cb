/* SPDX-License-Identifier: Apache-2.0 */
/* The helper tables' static rules in the kernel: loaded by nft, found missing, loaded again. */
#include <string.h>

#include "engine.h"
#include "log.h"
#include "rules.h"

/* A table of our name has a set of another type, as another version's may: nft says so only in
 * words. It is deleted first, in a run of its own (nft 1.0.6 judges by what was there before). */
static bool is_in_the_way(const struct child_result *result)
{
	return result->status > 0 && result->output_len &&
	       (strstr(result->output, "datatype mismatch") ||
		strstr(result->output, "File exists"));
}

static void rules_done(void *arg, const struct child_result *result)
{
	struct rules *rules = arg;
	struct backend *be = rules->be;

	free(rules->reason);
	rules->reason = NULL;
	if (rules->stale ||
	    (rules->in_the_way && result->status == 0)) { /* there are others to load by now */
		rules->stale = rules->in_the_way = false;
		rules->state = RULES_GONE;
	} else if (result->status == 0 &&
		   be->kernel.ops->rules_digest(be->kernel.ctx, (uint8_t)rules->family,
						&rules->digest) == 0 &&
		   rules->digest) {
		rules->state = RULES_READY;
		rules->attempts = 0;
		rules->told_hash = rules->text_hash;
		rules->told_digest = rules->digest;
		ledger_rules(be->ledger, rules->family, rules->text_hash, rules->digest);
	} else {
		rules->state = RULES_FAILED;
		rules->in_the_way = is_in_the_way(result);
		rules->retry_ms =
			engine_now_ms(be) + ((uint64_t)ENGINE_RETRY_MIN_MS
					     << (rules->attempts < 9 ? rules->attempts : 9));
		rules->attempts++;
		be->counters.rules_failed++;
		if (asprintf(&rules->reason, "cannot load the helper rules with nft: %.200s",
			     result->status < -1  ? strerror(-result->status)
			     : result->status < 0 ? "it took too long"
			     : result->output_len ? result->output
						  : "it failed") < 0)
			rules->reason = NULL;
		log_error("helper rules not loaded", "family=%s error=\"%.*s\"",
			  rules->family == AF_INET ? "ip" : "ip6",
			  rules->reason ? (int)strcspn(rules->reason, "\n") : 0,
			  rules->reason ? rules->reason : "");
	}
	be->env->wake(be->env->ctx);
}

static void rules_load(struct backend *be, struct rules *rules)
{
	static const char *const argv[] = {"nft", "-f", "-", NULL};
	const char *script = rules->text;
	int rc;

	if (rules->in_the_way) {
		log_warn("a helper table of another kind stands, replaced", "family=%s",
			 rules->family == AF_INET ? "ip" : "ip6");
		engine_rules_lost(be, rules->family);
		script = rules_delete_text(rules->family);
	}
	be->counters.rules_loads++;
	rules->state = RULES_LOADING;
	rc = be->env->run(be->env->ctx, argv, script, strlen(script), ENGINE_RULES_CHILD_MS,
			  rules_done, rules);
	if (rc < 0)
		rules_done(rules, &(struct child_result){.status = rc});
}

bool engine_rules_ready(struct backend *be, struct rules *rules)
{
	bool due = rules->state == RULES_GONE || rules->state == RULES_UNKNOWN ||
		   (rules->state == RULES_FAILED && engine_now_ms(be) >= rules->retry_ms);

	if (rules->used && due)
		rules_load(be, rules);
	return !rules->used || rules->state != RULES_LOADING;
}

/* The table is gone or not what we loaded: load it again, and put every element back. */
void engine_rules_lost(struct backend *be, int family)
{
	struct rules *rules = &be->rules[engine_family_index(family)];
	struct pic_service *svc, *next_svc;
	struct pic_binding *binding, *next_binding;
	struct pic_entrance *entrance, *next_entrance;
	struct pic_addr *addr, *next_addr;

	if (rules->state == RULES_LOADING)
		return;
	if (rules->state == RULES_READY) {
		be->counters.drift++;
		log_warn("helper rules removed or changed by somebody else, restored", "family=%s",
			 family == AF_INET ? "ip" : "ip6");
	}
	rules->state = RULES_GONE;
	HASH_ITER (hh, be->pic.services, svc, next_svc) {
		if (svc->key.vip.family != family || svc->foreign)
			continue;
		svc->elems = 0;
		engine_mark(be, &svc->key);
	}
	HASH_ITER (hh, be->pic.entrances, entrance, next_entrance) {
		if (entrance->key.vip.family != family)
			continue;
		entrance->elems = 0;
		entrance->n_allowed = 0;
		engine_mark(be, &entrance->key);
	}
	HASH_ITER (hh, be->pic.bindings, binding, next_binding) {
		if (binding->vip.family != family)
			continue;
		binding->elem_vip = false;
		picture_binding_mark(&be->pic, binding); /* no Service may ask for it: it drains */
	}
	HASH_ITER (hh, be->pic.addrs, addr, next_addr) {
		if (addr->key.addr.family != family)
			continue;
		addr->there = false;
		picture_addr_mark(&be->pic, addr);
	}
}
