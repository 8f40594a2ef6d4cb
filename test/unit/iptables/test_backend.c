/* SPDX-License-Identifier: Apache-2.0 */
/* The iptables backend over a fake iptables: what it runs and when, what it does when that fails,
 * and that in the end the tables are right, whatever happened before. */
#include "rig.h"

#include <errno.h>

#include "fake.h"
#include "log.h"

#define AUDIT_MS 30000

struct rig {
	struct fake *fake;
	struct model *model;
	struct backend *be;
	struct ip_prefix nets[2];
};

static const struct backend_ops *const ops = &iptables_backend_ops;

static int rig_new(void **state)
{
	struct rig *rig = calloc(1, sizeof(*rig));
	struct backend_config config = {
		.local_nets = rig->nets, .n_local_nets = 2, .audit_ms = AUDIT_MS};

	log_set_level(LOG_ERROR);
	rig->fake = fake_new();
	rig->model = model_new();
	prefix_parse("10.0.0.0/8", &rig->nets[0]);
	prefix_parse("fd00::/64", &rig->nets[1]);
	assert_int_equal(ops->open(&config, &rig->fake->env, &rig->be, NULL), 0);
	*state = rig;
	return 0;
}

static int rig_free(void **state)
{
	struct rig *rig = *state;

	ops->close(rig->be);
	model_free(rig->model);
	fake_free(rig->fake);
	free(rig);
	return 0;
}

static void read_kernel(struct rig *rig)
{
	int rc;

	while ((rc = ops->read(rig->be, 10000, NULL)) == -EAGAIN)
		assert_true(fake_pump(rig->fake));
	assert_int_equal(rc, 0);
}

/* Steps until nothing is left to do now. */
static void settle(struct rig *rig)
{
	int rc;

	for (int i = 0; i < 100; i++) {
		rc = ops->step(rig->be, rig->model, 10000);
		if (!fake_pump(rig->fake) && rc == 0)
			return;
		fake_forget(rig->fake);
	}
	fail_msg("never settles");
}

static void mark_all(struct rig *rig)
{
	cleanup_free struct fe_key *changes = NULL;

	assert_true(model_take_changes(rig->model, &changes) >= 0);
	assert_int_equal(ops->mark(rig->be, rig->model, NULL, 0), 0);
}

static void mark_changes(struct rig *rig)
{
	cleanup_free struct fe_key *changes = NULL;
	ssize_t n = model_take_changes(rig->model, &changes);

	assert_true(n >= 0);
	if (n)
		assert_int_equal(ops->mark(rig->be, rig->model, changes, (size_t)n), 0);
}

static void start(struct rig *rig)
{
	read_kernel(rig);
	mark_all(rig);
	settle(rig);
}

/* Lets time pass, as the daemon's timer would. */
static void pass(struct rig *rig, uint64_t ms)
{
	uint64_t end_ms = rig->fake->now_ms + ms, next_ms;

	for (;;) {
		next_ms = ops->tick(rig->be, rig->model, rig->fake->now_ms);
		if (fake_pump(rig->fake)) { /* what was started has ended: when is it next? */
			fake_forget(rig->fake);
			settle(rig);
			continue;
		}
		if (next_ms > end_ms)
			break;
		if (next_ms > rig->fake->now_ms)
			rig->fake->now_ms = next_ms;
	}
	rig->fake->now_ms = end_ms;
}

static enum outcome outcome_of(struct rig *rig, struct fe_key key)
{
	const struct fake_report *report = fake_report(rig->fake, &key);

	assert_non_null(report);
	return report->outcome;
}

/* ---- the tables are as the model asks, compared chain by chain ---- */

static size_t count(const char *text, const char *what)
{
	size_t n = 0;

	while ((text = strstr(text, what)) != NULL) {
		text += strlen(what);
		n++;
	}
	return n;
}

static void assert_jumps_once(const struct fake *fake, int family)
{
	for (size_t i = 0; i < ipt_n_jumps; i++) {
		const struct jump *jump = &ipt_jumps[i];
		const struct chain *from = fake_chain(fake, family, jump->table, jump->chain);
		cleanup_free char *line = NULL;

		assert_true(asprintf(&line, "%s -j %s\n", jump->rule, jump->target) > 0);
		assert_int_equal(count(from->rules, line), 1);
	}
}

static void assert_as_wanted(const struct rig *rig, int family)
{
	const struct chain_set *have = &rig->fake->tables[family == AF_INET6];
	struct chain_set want = {0};

	assert_int_equal(chains_build(rig->model, family, rig->nets, 2, &want), 0);
	for (size_t i = 0; i < want.n; i++) {
		const struct chain *chain =
			chain_set_find(have, want.items[i].table, want.items[i].name);

		assert_non_null(chain);
		assert_string_equal(chain->rules, want.items[i].rules);
	}
	for (size_t i = 0; i < have->n; i++)
		if (chain_is_per_service(have->items[i].name))
			assert_non_null(
				chain_set_find(&want, have->items[i].table, have->items[i].name));
	chain_set_done(&want);
	assert_jumps_once(rig->fake, family);
	assert_string_equal(rig->fake->refusal, "");
}

#define WEB key_of("172.30.0.41", 80, IPPROTO_TCP)
#define DNS key_of("172.30.0.10", 53, IPPROTO_UDP)
#define V6  key_of("fd00:1::41", 80, IPPROTO_TCP)

static void put_web(struct rig *rig, const char *const ips[])
{
	put_frontend(rig->model, "ns1/svc1:p80", WEB, 0, 80, ips);
}

/* ---- what it does ---- */

static void a_model_is_programmed(void **state)
{
	struct rig *rig = *state;

	put_web(rig, IPS("10.180.0.1", "10.180.0.2"));
	put_frontend(rig->model, "kube-system/dns", DNS, 0, 53, NULL);
	put_frontend(rig->model, "ns1/svc1:p80", V6, 60, 80, IPS("fd00::1"));
	start(rig);
	assert_as_wanted(rig, AF_INET);
	assert_as_wanted(rig, AF_INET6);
	assert_int_equal(rig->fake->n_restores, 2);
	assert_int_equal(rig->fake->n_saves, 2);
	assert_int_equal(outcome_of(rig, WEB), R_DONE);
	assert_int_equal(outcome_of(rig, DNS), R_DONE);
	assert_int_equal(outcome_of(rig, V6), R_DONE);
}

static void a_family_nobody_uses_is_left_alone(void **state)
{
	const struct fe_key gone = V6;
	struct rig *rig = *state;

	put_web(rig, IPS("10.180.0.1"));
	start(rig);
	assert_int_equal(rig->fake->n_restores, 1);
	assert_null(fake_chain(rig->fake, AF_INET6, IPT_NAT, "KUBE-SERVICES"));
	pass(rig, 3 * AUDIT_MS);
	assert_int_equal(rig->fake->n_saves, 2 + 3); /* at the start both, then IPv4's */
	assert_int_equal(ops->mark(rig->be, rig->model, &gone, 1), 0);
	settle(rig);
	assert_int_equal(rig->fake->n_restores, 1);
	assert_int_equal(outcome_of(rig, gone), R_DONE);
}

static void what_stands_is_not_written(void **state)
{
	struct rig *rig = *state;
	struct backend_config config = {
		.local_nets = rig->nets, .n_local_nets = 2, .audit_ms = AUDIT_MS};

	put_web(rig, IPS("10.180.0.1"));
	start(rig);
	ops->close(rig->be); /* a restart */
	assert_int_equal(ops->open(&config, &rig->fake->env, &rig->be, NULL), 0);
	rig->fake->n_restores = 0;
	start(rig);
	assert_int_equal(rig->fake->n_restores, 0);
	assert_int_equal(outcome_of(rig, WEB), R_DONE);
}

static void a_change_writes_what_changed(void **state)
{
	struct fe_key key = WEB;
	struct rig *rig = *state;
	char svc[CHAIN_NAME_MAX];

	put_web(rig, IPS("10.180.0.1"));
	put_frontend(rig->model, "kube-system/dns", DNS, 0, 53, IPS("10.180.0.3"));
	start(rig);
	put_web(rig, IPS("10.180.0.2"));
	mark_changes(rig);
	assert_int_equal(ops->step(rig->be, rig->model, 10000), -EAGAIN);
	assert_int_equal(rig->fake->n_runs, 1);
	assert_null(strstr(rig->fake->runs[0].input, "kube-system"));
	chain_service_name(model_find(rig->model, &key), svc);
	assert_non_null(strstr(rig->fake->runs[0].input, svc));
	assert_null(strstr(rig->fake->runs[0].input, "*filter"));
	rig->fake->n_reports = 0;
	settle(rig);
	assert_as_wanted(rig, AF_INET);
	assert_int_equal(rig->fake->n_reports, 1); /* of what was marked alone */
}

/* Restoring, it is told of more: that goes into the next restore. */
static void changes_meanwhile_are_not_lost(void **state)
{
	const struct fe_key dns = DNS;
	struct rig *rig = *state;

	put_web(rig, IPS("10.180.0.1"));
	start(rig);
	put_web(rig, IPS("10.180.0.2"));
	mark_changes(rig);
	assert_int_equal(ops->step(rig->be, rig->model, 10000), -EAGAIN);
	put_web(rig, IPS("10.180.0.3"));
	put_frontend(rig->model, "kube-system/dns", dns, 0, 53, NULL);
	mark_changes(rig);
	assert_int_equal(ops->step(rig->be, rig->model, 10000), -EAGAIN);
	assert_int_equal(rig->fake->n_runs, 1);
	fake_pump(rig->fake); /* the first is done, which tells nothing of the second */
	assert_null(fake_report(rig->fake, &dns));
	settle(rig);
	assert_int_equal(outcome_of(rig, dns), R_DONE);
	assert_as_wanted(rig, AF_INET);
	assert_int_equal(outcome_of(rig, WEB), R_DONE);
}

static void a_service_goes_without_trace(void **state)
{
	struct fe_key key = WEB;
	struct rig *rig = *state;

	put_web(rig, IPS("10.180.0.1"));
	start(rig);
	assert_int_equal(model_remove(rig->model, &key), 1);
	mark_changes(rig);
	settle(rig);
	assert_as_wanted(rig, AF_INET);
	assert_int_equal(outcome_of(rig, WEB), R_DONE);
}

/* ---- what goes wrong ---- */

static void a_failed_restore_is_tried_again(void **state)
{
	struct rig *rig = *state;
	struct fe_key key = WEB;

	for (enum fault fault = FAULT_NO_PROGRAM; fault < FAULT_KINDS; fault++) {
		static const char *const ips[] = {"10.180.1.1", "10.180.1.2", "10.180.1.3",
						  "10.180.1.4", "10.180.1.5"};

		rig->fake->faults[0] = FAULT_NONE;
		put_web(rig, IPS("10.180.0.1"));
		put_frontend(rig->model, "kube-system/dns", DNS, 0, 53, NULL);
		if (fault == FAULT_NO_PROGRAM)
			start(rig);
		mark_changes(rig);
		settle(rig);
		put_web(rig, IPS(ips[fault - 1]));
		put_frontend(rig->model, "kube-system/dns", DNS, 0, 53, IPS("10.180.0.3"));
		rig->fake->faults[0] = fault;
		mark_changes(rig);
		settle(rig);
		assert_int_equal(outcome_of(rig, WEB), R_RETRY);
		assert_true(*fake_report(rig->fake, &key)->reason);
		rig->fake->faults[0] = FAULT_NONE;
		pass(rig, 5000);
		assert_as_wanted(rig, AF_INET);
		assert_int_equal(outcome_of(rig, WEB), R_DONE);
		assert_int_equal(outcome_of(rig, DNS), R_DONE);
	}
}

static void the_reason_is_what_iptables_said(void **state)
{
	struct rig *rig = *state;
	struct fe_key key = WEB;

	start(rig);
	put_web(rig, IPS("10.180.0.1"));
	rig->fake->faults[0] = FAULT_REFUSED;
	mark_changes(rig);
	settle(rig);
	assert_string_equal(fake_report(rig->fake, &key)->reason,
			    "iptables-restore failed: Another app is currently holding the xtables "
			    "lock.");
	rig->fake->faults[0] = FAULT_LATE;
	pass(rig, 5000);
	assert_string_equal(fake_report(rig->fake, &key)->reason,
			    "iptables-save failed: it took too long");
	rig->fake->faults[0] = FAULT_NO_PROGRAM;
	pass(rig, 5000);
	assert_string_equal(fake_report(rig->fake, &key)->reason,
			    "iptables-save failed: No such file or directory");
}

static void pauses_grow_to_a_minute(void **state)
{
	struct rig *rig = *state;
	size_t runs;

	put_web(rig, IPS("10.180.0.1"));
	start(rig);
	rig->fake->faults[0] = FAULT_REFUSED;
	put_web(rig, IPS("10.180.0.2"));
	mark_changes(rig);
	settle(rig);
	runs = rig->fake->n_saves;
	pass(rig, 10000); /* after 0.2, 0.6, 1.4, 3, 6.2 s */
	assert_int_equal(rig->fake->n_saves - runs, 5);
	pass(rig, 3600 * 1000);
	runs = rig->fake->n_saves;
	pass(rig, 600 * 1000);
	assert_int_equal(rig->fake->n_saves - runs, 10);
}

/* The families do not wait for each other. */
static void one_family_fails_alone(void **state)
{
	struct rig *rig = *state;

	put_web(rig, IPS("10.180.0.1"));
	put_frontend(rig->model, "ns1/svc1:p80", V6, 0, 80, IPS("fd00::1"));
	start(rig);
	rig->fake->faults[1] = FAULT_REFUSED;
	put_web(rig, IPS("10.180.0.2"));
	put_frontend(rig->model, "ns1/svc1:p80", V6, 0, 80, IPS("fd00::2"));
	mark_changes(rig);
	settle(rig);
	assert_as_wanted(rig, AF_INET);
	assert_int_equal(outcome_of(rig, WEB), R_DONE);
	assert_int_equal(outcome_of(rig, V6), R_RETRY);
	rig->fake->faults[1] = FAULT_NONE;
	pass(rig, 1000);
	assert_as_wanted(rig, AF_INET6);
	assert_int_equal(outcome_of(rig, V6), R_DONE);
}

static void a_node_without_ip6tables_does_ipv4(void **state)
{
	struct rig *rig = *state;

	rig->fake->faults[1] = FAULT_NO_PROGRAM;
	put_web(rig, IPS("10.180.0.1"));
	put_frontend(rig->model, "ns1/svc1:p80", V6, 0, 80, IPS("fd00::1"));
	start(rig);
	assert_as_wanted(rig, AF_INET);
	assert_int_equal(outcome_of(rig, WEB), R_DONE);
	assert_int_equal(outcome_of(rig, V6), R_REFUSED);
	pass(rig, 2 * AUDIT_MS);
	assert_int_equal(outcome_of(rig, V6), R_REFUSED);
	rig->fake->faults[1] = FAULT_NONE; /* it was installed */
	pass(rig, AUDIT_MS);
	assert_as_wanted(rig, AF_INET6);
	assert_int_equal(outcome_of(rig, V6), R_DONE);
}

static void without_iptables_it_cannot_start(void **state)
{
	struct rig *rig = *state;
	struct err err = {0};

	rig->fake->faults[0] = FAULT_NO_PROGRAM;
	assert_int_equal(ops->read(rig->be, 10000, &err), -EIO);
	assert_non_null(strstr(err.text, "install iptables and run as root"));
	rig->fake->faults[0] = FAULT_NONE; /* the next call starts over */
	put_web(rig, IPS("10.180.0.1"));
	start(rig);
	assert_as_wanted(rig, AF_INET);
}

/* ---- somebody else writes ---- */

static uint64_t counter(struct rig *rig, const char *name)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);
	unsigned long long value = 0;
	const char *at;

	ops->print_counters(rig->be, out);
	fclose(out);
	at = strstr(text, name);
	assert_non_null(at);
	assert_int_equal(sscanf(at + strlen(name), " %llu", &value), 1);
	free(text);
	return value;
}

static void others_write(struct rig *rig, const char *input)
{
	assert_int_equal(fake_restore(rig->fake, AF_INET, input), 0);
}

static void what_somebody_removed_is_back_after_an_audit(void **state)
{
	static const char *const damage[] = {
		"*nat\n-F KUBE-SERVICES\nCOMMIT\n",
		"*nat\n-F PREROUTING\nCOMMIT\n",
		"*filter\n-F KUBE-FORWARD\nCOMMIT\n",
		"*nat\n-A KUBE-SERVICES -j RETURN\nCOMMIT\n",
		"*nat\n:KUBE-SVC-STRANGE - [0:0]\nCOMMIT\n",
	};
	struct rig *rig = *state;

	put_web(rig, IPS("10.180.0.1"));
	start(rig);
	for (size_t i = 0; i < ARRAY_SIZE(damage); i++) {
		others_write(rig, damage[i]);
		pass(rig, AUDIT_MS);
		assert_as_wanted(rig, AF_INET);
		assert_int_equal(counter(rig, "drift"), i + 1);
	}
	pass(rig, 10 * AUDIT_MS);
	assert_int_equal(counter(rig, "drift"), ARRAY_SIZE(damage));
	assert_int_equal(counter(rig, "restores"), 1 + ARRAY_SIZE(damage));
}

static void others_chains_and_rules_stay(void **state)
{
	struct rig *rig = *state;

	others_write(rig, "*filter\n:KUBE-FIREWALL - [0:0]\n-A KUBE-FIREWALL -j DROP\n"
			  ":DOCKER - [0:0]\n-A INPUT -j KUBE-FIREWALL\n"
			  "-A FORWARD -s 192.0.2.0/24 -j ACCEPT\nCOMMIT\n"
			  "*nat\n:KUBE-KUBELET-CANARY - [0:0]\nCOMMIT\n");
	put_web(rig, IPS("10.180.0.1"));
	start(rig);
	assert_as_wanted(rig, AF_INET);
	others_write(rig, "*filter\n-A KUBE-FIREWALL -s 127.0.0.0/8 -j DROP\nCOMMIT\n"
			  "*nat\n-X KUBE-KUBELET-CANARY\nCOMMIT\n");
	pass(rig, 2 * AUDIT_MS);
	put_web(rig, IPS("10.180.0.2"));
	mark_changes(rig);
	settle(rig);
	assert_as_wanted(rig, AF_INET);
	assert_int_equal(counter(rig, "drift"), 0); /* theirs is not ours to judge */
	assert_string_equal(fake_chain(rig->fake, AF_INET, IPT_FILTER, "KUBE-FIREWALL")->rules,
			    "-A KUBE-FIREWALL -j DROP\n"
			    "-A KUBE-FIREWALL -s 127.0.0.0/8 -j DROP\n");
	assert_null(fake_chain(rig->fake, AF_INET, IPT_NAT, "KUBE-KUBELET-CANARY"));
	assert_non_null(fake_chain(rig->fake, AF_INET, IPT_FILTER, "DOCKER"));
	assert_non_null(strstr(fake_chain(rig->fake, AF_INET, IPT_FILTER, "FORWARD")->rules,
			       "-A FORWARD -s 192.0.2.0/24 -j ACCEPT\n"));
}

/* A kube-proxy before us left its chains. */
static void chains_of_a_kube_proxy_before_us_go(void **state)
{
	struct rig *rig = *state;

	others_write(rig, "*nat\n:KUBE-SVC-OLD - [0:0]\n:KUBE-SEP-OLD - [0:0]\n"
			  ":KUBE-SERVICES - [0:0]\n-A KUBE-SVC-OLD -j KUBE-SEP-OLD\n"
			  "-A KUBE-SERVICES -d 172.30.0.99/32 -j KUBE-SVC-OLD\nCOMMIT\n");
	put_web(rig, IPS("10.180.0.1"));
	start(rig);
	assert_as_wanted(rig, AF_INET);
	assert_null(fake_chain(rig->fake, AF_INET, IPT_NAT, "KUBE-SVC-OLD"));
}

/* ---- printers and leaving ---- */

static char *printed(struct rig *rig, bool plan)
{
	char *text = NULL;
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	assert_int_equal(plan ? ops->print_plan(rig->be, rig->model, out)
			      : ops->print_actual(rig->be, out),
			 0);
	fclose(out);
	return text;
}

static void printers_write_nothing(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *plan = NULL, *nothing = NULL, *actual = NULL;

	put_web(rig, IPS("10.180.0.1"));
	read_kernel(rig);
	mark_all(rig);
	plan = printed(rig, true);
	assert_int_equal(rig->fake->n_restores, 0);
	settle(rig);
	fake_forget(rig->fake);
	assert_as_wanted(rig, AF_INET);
	assert_non_null(strstr(plan, "# iptables-restore\n*filter\n"));
	assert_null(strstr(plan, "ip6tables"));
	nothing = printed(rig, true);
	assert_string_equal(nothing, "");
	actual = printed(rig, false);
	assert_non_null(strstr(actual, "ip nat KUBE-SVC-XPGD46QRK7WJZT7O\n-A KUBE-SVC-XPGD46"));
}

static void clean(struct rig *rig, int want)
{
	struct err err = {0};
	int rc;

	while ((rc = ops->cleanup(rig->be, &err)) == -EAGAIN)
		assert_true(fake_pump(rig->fake));
	assert_int_equal(rc, want);
}

static void cleanup_leaves_what_is_not_ours(void **state)
{
	struct rig *rig = *state;
	struct backend_config config = {.audit_ms = AUDIT_MS};
	cleanup_free char *before = NULL, *after = NULL;

	others_write(rig, "*filter\n:KUBE-FIREWALL - [0:0]\n-A KUBE-FIREWALL -j DROP\n"
			  "-A FORWARD -s 192.0.2.0/24 -j ACCEPT\nCOMMIT\n");
	before = fake_save(rig->fake, AF_INET);
	put_web(rig, IPS("10.180.0.1"));
	start(rig);
	ops->close(rig->be);
	assert_int_equal(ops->open(&config, &rig->fake->env, &rig->be, NULL), 0);
	clean(rig, 0);
	after = fake_save(rig->fake, AF_INET);
	assert_string_equal(after, before);
	assert_string_equal(rig->fake->refusal, "");
}

static void cleanup_says_what_it_could_not_do(void **state)
{
	struct rig *rig = *state;
	struct backend_config config = {.audit_ms = AUDIT_MS};

	put_web(rig, IPS("10.180.0.1"));
	start(rig);
	/* somebody else jumps to a chain of ours */
	others_write(rig, "*nat\n-A OUTPUT -j KUBE-MARK-MASQ\nCOMMIT\n");
	ops->close(rig->be);
	assert_int_equal(ops->open(&config, &rig->fake->env, &rig->be, NULL), 0);
	clean(rig, -EIO);
}

static void cleanup_of_nothing_is_done(void **state)
{
	struct rig *rig = *state;

	clean(rig, 0);
	assert_int_equal(rig->fake->n_restores, 0);
}

/* ---- anything, in any order ---- */

static void random_frontend(struct rig *rig)
{
	static const char *const vips[] = {"172.30.0.1", "172.30.0.2", "172.30.0.3", "fd00:1::1",
					   "fd00:1::2"};
	static const char *const ips[2][4] = {{"10.0.0.1", "10.0.0.2", "10.0.0.3", "10.0.0.4"},
					      {"fd00::1", "fd00::2", "fd00::3", "fd00::4"}};
	uint64_t r = fake_random(rig->fake);
	size_t v = r % ARRAY_SIZE(vips), n = r / 8 % 4, from = r / 64 % (4 - n + 1);
	struct fe_key key = key_of(vips[v], 80, r / 256 % 2 ? IPPROTO_TCP : IPPROTO_UDP);
	const char *some[5] = {NULL};
	char owner[32];

	if (r / 512 % 4 == 0) {
		model_remove(rig->model, &key);
		return;
	}
	for (size_t i = 0; i < n; i++)
		some[i] = ips[key.vip.family == AF_INET6][from + i];
	snprintf(owner, sizeof(owner), "ns/svc%zu", v);
	put_frontend(rig->model, owner, key, r / 2048 % 3 ? 0 : 600, 8080, some);
}

static void random_damage(struct rig *rig)
{
	static const char *const damage[] = {
		"*nat\n-F KUBE-SERVICES\nCOMMIT\n",
		"*filter\n-F FORWARD\nCOMMIT\n",
		"*nat\n-F OUTPUT\nCOMMIT\n",
		"*nat\n-F KUBE-POSTROUTING\nCOMMIT\n",
		"*nat\n:KUBE-SEP-STRANGE - [0:0]\n-A KUBE-SEP-STRANGE -j RETURN\nCOMMIT\n",
		"*nat\n:KUBE-OTHERS - [0:0]\n-A KUBE-OTHERS -j RETURN\nCOMMIT\n",
	};
	uint64_t r = fake_random(rig->fake);

	fake_restore(rig->fake, r % 2 ? AF_INET : AF_INET6, damage[r / 2 % ARRAY_SIZE(damage)]);
	*rig->fake->refusal = '\0'; /* it may have had nothing to damage */
}

static void random_event(struct rig *rig)
{
	switch (fake_random(rig->fake) % 8) {
	case 0:
		random_damage(rig);
		break;
	case 1:
		pass(rig, fake_random(rig->fake) % 20000);
		break;
	case 2:
		fake_pump(rig->fake);
		fake_forget(rig->fake);
		break;
	case 3:
		ops->step(rig->be, rig->model, 10000);
		break;
	default:
		random_frontend(rig);
		mark_changes(rig);
		break;
	}
}

static void assert_all_done(const struct rig *rig)
{
	cleanup_free struct fe_key *keys = NULL;
	ssize_t n = model_keys(rig->model, &keys);

	for (ssize_t i = 0; i < n; i++)
		assert_non_null(fake_report(rig->fake, &keys[i]));
	for (size_t i = 0; i < rig->fake->n_reports; i++)
		assert_int_equal(rig->fake->reports[i].outcome, R_DONE);
}

static void after_the_faults_the_tables_are_right(void **state)
{
	for (uint64_t seed = 1; seed <= 60; seed++) {
		struct rig *rig;
		bool v6;

		rig_new(state);
		rig = *state;
		rig->fake->random = seed * 0x9e3779b97f4a7c15ULL;
		random_frontend(rig);
		start(rig);
		for (int round = 0; round < 4; round++) {
			rig->fake->fault_every = 1 + (unsigned)(fake_random(rig->fake) % 5);
			for (int event = 0; event < 60; event++)
				random_event(rig);
			rig->fake->fault_every = 0;
			pass(rig, 3 * 60000); /* the longest pause, then an audit */
			assert_as_wanted(rig, AF_INET);
			v6 = fake_chain(rig->fake, AF_INET6, IPT_NAT, "KUBE-POSTROUTING");
			if (v6)
				assert_as_wanted(rig, AF_INET6);
			assert_all_done(rig);
		}
		rig_free(state);
	}
}

int main(void)
{
#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_new, rig_free)
	const struct CMUnitTest tests[] = {
		WITH_RIG(a_model_is_programmed),
		WITH_RIG(a_family_nobody_uses_is_left_alone),
		WITH_RIG(what_stands_is_not_written),
		WITH_RIG(a_change_writes_what_changed),
		WITH_RIG(changes_meanwhile_are_not_lost),
		WITH_RIG(a_service_goes_without_trace),
		WITH_RIG(a_failed_restore_is_tried_again),
		WITH_RIG(the_reason_is_what_iptables_said),
		WITH_RIG(pauses_grow_to_a_minute),
		WITH_RIG(one_family_fails_alone),
		WITH_RIG(a_node_without_ip6tables_does_ipv4),
		WITH_RIG(without_iptables_it_cannot_start),
		WITH_RIG(what_somebody_removed_is_back_after_an_audit),
		WITH_RIG(others_chains_and_rules_stay),
		WITH_RIG(chains_of_a_kube_proxy_before_us_go),
		WITH_RIG(printers_write_nothing),
		WITH_RIG(cleanup_leaves_what_is_not_ours),
		WITH_RIG(cleanup_says_what_it_could_not_do),
		WITH_RIG(cleanup_of_nothing_is_done),
		cmocka_unit_test(after_the_faults_the_tables_are_right),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
