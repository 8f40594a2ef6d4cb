/* SPDX-License-Identifier: Apache-2.0 */
/* The iptables backend: include/backend.h over iptables-save and iptables-restore.
 *
 * Each family goes through the same small machine: read (iptables-save), compare the model's chains
 * with what stands, restore the difference in one transaction, take that as what stands. A failed
 * restore is followed by a new reading, after a pause. A change costs a comparison of all chains in
 * memory, but only chains that differ are restored. Children never block: env->run. */
#include <errno.h>
#include <inttypes.h>
#include <string.h>

#include "backend.h"
#include "iptables/restore.h"
#include "log.h"

#define CHILD_MS     60000 /* the lock may be held by another for long */
#define RETRY_MIN_MS 200
#define RETRY_MAX_MS 60000

enum state { UNREAD, SAVING, READY, RESTORING, PAUSED };

struct family {
	struct backend *be;
	int family;
	enum state state;
	bool marked;   /* compare with the model */
	bool used;     /* a frontend of it was seen: without one nothing is written */
	bool all;      /* the whole model was marked: what nobody wants may go */
	bool auditing; /* the reading under way is an audit */
	bool unusable; /* no such iptables, or no rights; looked at again with each audit */
	struct saved have;
	struct chain_set sent; /* what the restore under way will make */
	unsigned attempts;
	uint64_t retry_ms;
	struct fe_key *keys; /* marked, to be reported */
	size_t n_keys, keys_cap;
};

struct backend {
	struct backend_config config;
	const struct backend_env *env;
	struct ip_prefix *local_nets;
	struct family families[2];
	uint64_t next_audit_ms;
	uint64_t restores, lines, failures, restore_failures, audits, drift;
	bool cleaning;
	int cleanup_failed;
};

static const char *program(const struct family *f, const char *what)
{
	bool v4 = f->family == AF_INET;

	if (strcmp(what, "save") == 0)
		return v4 ? "iptables-save" : "ip6tables-save";
	return v4 ? "iptables-restore" : "ip6tables-restore";
}

static struct family *family_of(struct backend *be, const struct fe_key *key)
{
	return &be->families[key->vip.family == AF_INET6];
}

/* ---- reading ---- */

static void pause_family(struct family *f, const char *what, const struct child_result *result)
{
	uint64_t wait_ms = (uint64_t)RETRY_MIN_MS << (f->attempts < 9 ? f->attempts : 9);
	struct backend *be = f->be;
	char reason[400], quoted[512];

	snprintf(reason, sizeof(reason), "%s failed: %.300s", program(f, what),
		 result->status == -1  ? "it took too long"
		 : result->status < -1 ? strerror(-result->status)
		 : result->output_len  ? result->output
				       : "no reason given");
	reason[strcspn(reason, "\n")] = '\0';
	log_error("iptables not changed", "error=%s", log_quote(reason, quoted, sizeof(quoted)));
	for (size_t i = 0; i < f->n_keys; i++)
		be->env->report(be->env->ctx, &f->keys[i], R_RETRY, reason);
	be->failures++;
	be->restore_failures += strcmp(what, "restore") == 0;
	f->attempts++;
	f->state = PAUSED;
	f->retry_ms =
		be->env->now_ms(be->env->ctx) + (wait_ms < RETRY_MAX_MS ? wait_ms : RETRY_MAX_MS);
	f->marked = true;
}

/* Has anything of ours changed? As much as a restore would put back; others' chains are theirs. */
static bool has_drifted(const struct saved *before, const struct saved *now)
{
	cleanup_free struct chain *ours = calloc(before->chains.n + 1, sizeof(*ours));
	struct chain_set want = {.items = ours};
	cleanup_free char *text = NULL;

	for (size_t i = 0; ours && i < before->chains.n; i++)
		if (chain_is_ours(before->chains.items[i].name))
			ours[want.n++] = before->chains.items[i];
	text = ours ? restore_text(now, &want, true) : NULL;
	return text && *text;
}

static void note_drift(struct family *f, const struct saved *now)
{
	if (!has_drifted(&f->have, now))
		return;
	f->be->drift++;
	log_warn("iptables rules changed by somebody else, restored", "family=%s",
		 f->family == AF_INET ? "ip" : "ip6");
	f->marked = true;
}

static void on_saved(void *arg, const struct child_result *result)
{
	struct family *f = arg;
	struct backend *be = f->be;
	struct saved now = {0};

	if (result->status != 0 && f->unusable) {
		f->state = READY; /* still */
	} else if (result->status != 0) {
		pause_family(f, "save", result);
	} else if (saved_parse(result->output, &now) < 0) {
		saved_done(&now);
		pause_family(f, "save", &(struct child_result){.status = -ENOMEM, .output = ""});
	} else {
		if (f->auditing)
			note_drift(f, &now);
		saved_done(&f->have);
		f->have = now;
		f->state = READY;
		f->marked |= f->unusable;
		f->unusable = false;
	}
	f->auditing = false;
	be->env->wake(be->env->ctx);
}

static void start_save(struct family *f)
{
	const char *const argv[] = {program(f, "save"), NULL};
	int rc;

	f->state = SAVING;
	rc = f->be->env->run(f->be->env->ctx, argv, "", 0, CHILD_MS, on_saved, f);
	if (rc < 0)
		on_saved(f, &(struct child_result){.status = rc, .output = ""});
}

/* ---- restoring ---- */

static void take_as_standing(struct family *f)
{
	chain_set_done(&f->have.chains);
	f->have.chains = f->sent;
	f->sent = (struct chain_set){0};
	memset(f->have.jumps, true, sizeof(f->have.jumps));
}

static void report_done(struct family *f)
{
	for (size_t i = 0; i < f->n_keys; i++)
		f->be->env->report(f->be->env->ctx, &f->keys[i], R_DONE, NULL);
	f->n_keys = 0;
	f->attempts = 0;
}

static void on_restored(void *arg, const struct child_result *result)
{
	struct family *f = arg;

	if (result->status == 0) {
		take_as_standing(f);
		f->state = READY;
		if (!f->marked)
			report_done(f);
	} else {
		chain_set_done(&f->sent);
		pause_family(f, "restore", result);
	}
	f->be->env->wake(f->be->env->ctx);
}

static size_t count_lines(const char *text)
{
	size_t n = 0;

	while ((text = strchr(text, '\n'))) {
		text++;
		n++;
	}
	return n;
}

static void run_restore(struct family *f, const char *text, child_done_fn done)
{
	const char *const argv[] = {program(f, "restore"), "--noflush", "-w", "30", NULL};
	int rc;

	f->be->restores++;
	f->be->lines += count_lines(text);
	f->state = RESTORING;
	rc = f->be->env->run(f->be->env->ctx, argv, text, strlen(text), CHILD_MS, done, f);
	if (rc < 0)
		done(f, &(struct child_result){.status = rc, .output = ""});
}

static bool wanted(const struct chain_set *want, const struct chain *now)
{
	return chain_set_find(want, now->table, now->name) != NULL;
}

/* Chains that stay although nobody asks for them: others' (a kubelet's), and per-service ones while
 * the whole model is not known. */
static int keep_others(struct family *f, struct chain_set *want)
{
	size_t known = want->n;

	for (size_t i = 0; i < f->have.chains.n; i++) {
		const struct chain *now = &f->have.chains.items[i];
		struct chain_set head = {.n = known, .items = want->items};
		struct chain *copy;

		if ((chain_is_per_service(now->name) && f->all) || wanted(&head, now))
			continue;
		copy = chain_set_append(want, now->table, now->name);
		if (!copy)
			return -ENOMEM;
		free(copy->rules);
		copy->rules = strdup(now->rules);
		copy->len = now->len;
		if (!copy->rules)
			return -ENOMEM;
	}
	chain_set_sort(want);
	return 0;
}

static int compare(struct family *f, const struct model *model, char **ret_text)
{
	struct chain_set want = {0};
	int rc = chains_build(model, f->family, f->be->local_nets, f->be->config.n_local_nets,
			      &want);

	*ret_text = NULL;
	if (rc == 0)
		rc = keep_others(f, &want);
	if (rc == 0)
		*ret_text = restore_text(&f->have, &want, f->all);
	if (!*ret_text) {
		chain_set_done(&want);
		return -ENOMEM;
	}
	f->sent = want;
	return 0;
}

static void step_family(struct family *f, const struct model *model)
{
	cleanup_free char *text = NULL;

	if (!f->used && !f->have.chains.n) { /* nothing of this family, ever: leave it alone */
		f->marked = false;
		report_done(f);
		return;
	}
	f->marked = false;
	if (compare(f, model, &text) < 0) {
		f->marked = true;
		return;
	}
	if (!*text) {
		chain_set_done(&f->sent);
		report_done(f);
		return;
	}
	run_restore(f, text, on_restored);
}

/* ---- the contract ---- */

static void ipt_close(struct backend *be)
{
	if (!be)
		return;
	for (int i = 0; i < 2; i++) {
		saved_done(&be->families[i].have);
		chain_set_done(&be->families[i].sent);
		free(be->families[i].keys);
	}
	free(be->local_nets);
	free(be);
}

static int ipt_open(const struct backend_config *config, const struct backend_env *env,
		    struct backend **ret_backend, struct err *err)
{
	struct backend *be = calloc(1, sizeof(*be));

	if (!be)
		return err_set(err, -ENOMEM, "no memory for the iptables backend");
	be->config = *config;
	be->env = env;
	be->local_nets = calloc(config->n_local_nets + 1, sizeof(*be->local_nets));
	if (!be->local_nets) {
		ipt_close(be);
		return err_set(err, -ENOMEM, "no memory for the iptables backend");
	}
	for (size_t i = 0; i < config->n_local_nets; i++)
		be->local_nets[i] = config->local_nets[i];
	be->families[0] = (struct family){.be = be, .family = AF_INET};
	be->families[1] = (struct family){.be = be, .family = AF_INET6};
	*ret_backend = be;
	return 0;
}

static int ipt_read(struct backend *be, uint64_t budget_us, struct err *err)
{
	bool waiting = false;

	(void)budget_us;
	for (int i = 0; i < 2; i++) {
		struct family *f = &be->families[i];

		if (f->state == UNREAD)
			start_save(f);
		waiting |= f->state == SAVING;
		if (f->state == PAUSED && i == 0) {
			f->state = UNREAD;
			return err_set(err, -EIO,
				       "iptables-save does not work: install iptables and run as "
				       "root (the log says what it said)");
		}
		if (f->state == PAUSED) { /* a node without IPv6 can do without */
			f->unusable = true;
			f->state = READY;
		}
	}
	if (waiting)
		return -EAGAIN;
	be->next_audit_ms = be->env->now_ms(be->env->ctx) + be->config.audit_ms;
	return 0;
}

static int compare_keys(const void *a, const void *b)
{
	return fe_key_cmp(a, b);
}

/* Keys that were marked again before they were done stand there more than once. */
static void drop_repeated_keys(struct family *f)
{
	size_t n = 0;

	if (f->n_keys)
		qsort(f->keys, f->n_keys, sizeof(*f->keys), compare_keys);
	for (size_t i = 0; i < f->n_keys; i++)
		if (!n || fe_key_cmp(&f->keys[n - 1], &f->keys[i]) != 0)
			f->keys[n++] = f->keys[i];
	f->n_keys = n;
}

static int mark_key(struct backend *be, const struct model *model, const struct fe_key *key)
{
	const struct frontend *fe = model_find(model, key);
	struct family *f = family_of(be, key);

	if (fe && !chains_can(fe)) {
		be->env->report(be->env->ctx, key, R_REFUSED,
				"node ports, external and load balancer IPs cannot be done in "
				"iptables mode yet");
		return 0;
	}
	if (f->n_keys == f->keys_cap)
		drop_repeated_keys(f);
	if (util_grow((void **)&f->keys, &f->keys_cap, f->n_keys + 1, sizeof(*f->keys)) < 0)
		return -ENOMEM;
	f->keys[f->n_keys++] = *key;
	f->marked = true;
	f->used |= fe != NULL;
	return 0;
}

static int ipt_mark(struct backend *be, const struct model *model, const struct fe_key *keys,
		    size_t n)
{
	cleanup_free struct fe_key *all = NULL;
	ssize_t n_all;

	if (!keys) {
		n_all = model_keys(model, &all);
		if (n_all < 0)
			return -ENOMEM;
		for (int i = 0; i < 2; i++)
			be->families[i].all = be->families[i].marked = true;
		keys = all;
		n = (size_t)n_all;
	}
	for (size_t i = 0; i < n; i++)
		if (mark_key(be, model, &keys[i]) < 0)
			return -ENOMEM;
	return 0;
}

static int ipt_step(struct backend *be, const struct model *model, uint64_t budget_us)
{
	bool waiting = false;

	(void)budget_us;
	for (int i = 0; i < 2; i++) {
		struct family *f = &be->families[i];

		if (f->state == READY && f->marked && f->unusable && f->used) {
			f->marked = false;
			for (size_t k = 0; k < f->n_keys; k++)
				be->env->report(be->env->ctx, &f->keys[k], R_REFUSED,
						"this node has no ip6tables");
		} else if (f->state == READY && f->marked) {
			step_family(f, model);
		}
		waiting |= f->state == SAVING || f->state == RESTORING;
	}
	return waiting ? -EAGAIN : 0;
}

static int ipt_set_local_nets(struct backend *be, const struct ip_prefix *nets, size_t n)
{
	struct ip_prefix *copy = calloc(n + 1, sizeof(*copy));

	if (!copy)
		return -ENOMEM;
	for (size_t i = 0; i < n; i++)
		copy[i] = nets[i];
	free(be->local_nets);
	be->local_nets = copy;
	be->config.n_local_nets = n;
	be->families[0].marked = be->families[1].marked = true;
	be->env->wake(be->env->ctx);
	return 0;
}

static uint64_t ipt_tick(struct backend *be, const struct model *model, uint64_t now_ms)
{
	uint64_t next_ms = be->next_audit_ms;

	(void)model;
	if (now_ms >= be->next_audit_ms) {
		be->audits++;
		be->next_audit_ms = next_ms = now_ms + be->config.audit_ms;
		for (int i = 0; i < 2; i++) {
			struct family *f = &be->families[i];

			if (f->state != READY || (!f->used && !f->have.chains.n))
				continue;
			f->auditing = !f->unusable;
			start_save(f);
		}
	}
	for (int i = 0; i < 2; i++) {
		struct family *f = &be->families[i];

		if (f->state != PAUSED)
			continue;
		if (now_ms >= f->retry_ms)
			start_save(f);
		else if (f->retry_ms < next_ms)
			next_ms = f->retry_ms;
	}
	return next_ms;
}

static size_t ipt_fds(struct backend *be, int *ret_fds, size_t max)
{
	(void)be, (void)ret_fds, (void)max;
	return 0;
}

static void ipt_on_fd(struct backend *be, const struct model *model, int fd)
{
	(void)be, (void)model, (void)fd;
}

static int ipt_print_actual(struct backend *be, FILE *out)
{
	for (int i = 0; i < 2; i++) {
		const struct saved *have = &be->families[i].have;

		for (size_t c = 0; c < have->chains.n; c++)
			fprintf(out, "%s %s %s\n%s",
				be->families[i].family == AF_INET ? "ip" : "ip6",
				ipt_table_names[have->chains.items[c].table],
				have->chains.items[c].name, have->chains.items[c].rules);
	}
	return ferror(out) ? -EIO : 0;
}

static int ipt_print_plan(struct backend *be, const struct model *model, FILE *out)
{
	int rc = 0;

	for (int i = 0; i < 2 && rc == 0; i++) {
		struct family *f = &be->families[i];
		cleanup_free char *text = NULL;

		if (!f->used && !f->have.chains.n)
			continue;
		rc = compare(f, model, &text);
		chain_set_done(&f->sent);
		if (rc == 0 && *text)
			fprintf(out, "# %s\n%s", program(f, "restore"), text);
	}
	return rc;
}

static void on_cleaned(void *arg, const struct child_result *result)
{
	struct family *f = arg;
	char quoted[512];

	f->state = READY;
	saved_done(&f->have);
	f->have = (struct saved){0};
	if (result->status != 0) {
		f->be->cleanup_failed = -EIO;
		log_error("rules not removed", "family=%s error=%s",
			  f->family == AF_INET ? "ip" : "ip6",
			  log_quote(result->output, quoted, sizeof(quoted)));
	}
	f->be->env->wake(f->be->env->ctx);
}

static int ipt_cleanup(struct backend *be, struct err *err)
{
	int rc = ipt_read(be, 0, err);

	if (rc)
		return rc;
	if (!be->cleaning) {
		be->cleaning = true;
		for (int i = 0; i < 2; i++) {
			struct family *f = &be->families[i];
			cleanup_free char *text = NULL;

			if (!f->have.chains.n)
				continue;
			text = restore_cleanup_text(&f->have);
			if (text)
				run_restore(f, text, on_cleaned);
		}
	}
	if (be->families[0].state == RESTORING || be->families[1].state == RESTORING)
		return -EAGAIN;
	return be->cleanup_failed ? err_set(err, -EIO, "not all rules could be removed") : 0;
}

static void ipt_print_counters(struct backend *be, FILE *out)
{
	fprintf(out,
		"restores %" PRIu64 "\nrestore_lines %" PRIu64 "\nfailures %" PRIu64
		"\naudits %" PRIu64 "\ndrift %" PRIu64 "\nrestore_failures %" PRIu64 "\n",
		be->restores, be->lines, be->failures, be->audits, be->drift, be->restore_failures);
}

const struct backend_ops iptables_backend_ops = {
	.name = "iptables",
	.open = ipt_open,
	.close = ipt_close,
	.read = ipt_read,
	.mark = ipt_mark,
	.step = ipt_step,
	.set_local_nets = ipt_set_local_nets,
	.tick = ipt_tick,
	.fds = ipt_fds,
	.on_fd = ipt_on_fd,
	.print_actual = ipt_print_actual,
	.print_plan = ipt_print_plan,
	.cleanup = ipt_cleanup,
	.print_counters = ipt_print_counters,
};
