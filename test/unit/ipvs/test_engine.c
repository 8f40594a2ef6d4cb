/* SPDX-License-Identifier: Apache-2.0 */
/* The IPVS backend on a fake kernel: order, restart, drains, other people's entries, repairs. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "engine.h"
#include "rig.h"

#define A    "10.244.1.2"
#define B    "10.244.1.3"
#define C    "10.244.2.2"
#define WEB  "10.96.0.1:80/TCP"
#define DNS  "10.96.0.10:53/UDP"
#define SIX  "[fd00:96::1]:80/TCP"
#define SCTP "10.96.0.1:80/SCTP"

static int set_up(void **state)
{
	*state = rig_new();
	return 0;
}

static int tear_down(void **state)
{
	rig_free(*state);
	return 0;
}

static uint32_t weight_of(struct rig *rig, const char *key_text, const char *addr)
{
	struct fe_key key = rig_key(key_text);
	struct kdest *dest = fake_dest(rig->fake, &key, addr);

	return dest ? dest->weight : 999;
}

static void set_conns(struct rig *rig, const char *key_text, const char *addr, uint32_t conns)
{
	struct fe_key key = rig_key(key_text);

	fake_dest(rig->fake, &key, addr)->active_conns = conns;
}

static bool kernel_has(struct rig *rig, const char *line)
{
	cleanup_free char *text = fake_text(rig->fake);

	return strstr(text, line) != NULL;
}

static void some_services(struct rig *rig)
{
	rig_put(rig, WEB, A " " B " " C "=7");
	rig_put(rig, DNS, A " " C);
	rig_put(rig, SIX, "fd00:244:1::2 fd00:244:2::2");
	rig_put(rig, SCTP, A);
	rig_put(rig, "10.96.0.2:443/TCP", "");
	rig_put_policy(rig, "10.96.0.3:80/TCP", A " " B, "sh", 0);
	rig_put_policy(rig, "10.96.0.4:80/TCP", B, "mh", 10800);
}

static void programs_what_the_model_says(void **state)
{
	struct rig *rig = *state;

	some_services(rig);
	rig_open(rig);
	rig_assert_settled(rig);
	assert_true(kernel_has(rig, "add service 10.96.0.4:80/TCP mh flags=0x19 timeout=10800"));
	assert_true(kernel_has(rig, "add service 10.96.0.3:80/TCP sh flags=0x8 timeout=0"));
	assert_true(kernel_has(rig, "elem refused 10.96.0.2 TCP 443"));
	assert_true(kernel_has(rig, "add dest 10.96.0.1:80/TCP 10.244.2.2:8080 weight=7"));
	for (size_t i = 0; i < rig->n_reports; i++)
		assert_int_equal(rig->reports[i].outcome, R_DONE);
	assert_int_equal(rig->n_reports, 7);
}

static void changes_one_thing_for_one_change(void **state)
{
	struct rig *rig = *state;
	uint64_t before;

	some_services(rig);
	rig_open(rig);
	before = rig->fake->writes;
	rig_put(rig, WEB, A " " B " " C "=7 10.244.2.3");
	rig_work(rig);
	assert_int_equal(rig->fake->writes - before, 1);
	before = rig->fake->writes;
	rig_put(rig, WEB, A " " B " " C "=8 10.244.2.3");
	rig_work(rig);
	assert_int_equal(rig->fake->writes - before, 1);
	rig_assert_settled(rig);
}

static void restart_writes_nothing(void **state)
{
	struct rig *rig = *state;
	uint64_t before;

	some_services(rig);
	rig_open(rig);
	before = rig->fake->writes;
	for (int i = 0; i < 3; i++) {
		rig_restart(rig);
		rig_pass(rig, 100000);
		assert_int_equal(rig->fake->writes, before);
	}
	rig_assert_settled(rig);
	assert_int_equal(rig_counter(rig, "drift "), 0);
}

static void restart_takes_up_changes(void **state)
{
	struct rig *rig = *state;

	some_services(rig);
	rig_open(rig);
	rig_close(rig);
	rig_remove(rig, DNS);
	rig_remove(rig, SIX);
	rig_put(rig, WEB, C);
	rig_put(rig, "10.96.0.9:80/TCP", A);
	rig_open(rig);
	rig_pass(rig, 61000);
	rig_assert_settled(rig);
}

/* Nothing in between refuses or loses a flow: the old server goes after the new one is there. */
static void replacing_all_servers_leaves_no_gap(void **state)
{
	struct rig *rig = *state;

	rig_put(rig, WEB, A " " B);
	rig_open(rig);
	rig->fake->served = rig_key(WEB);
	rig_put(rig, WEB, C);
	rig_work(rig);
	rig_put(rig, WEB, A);
	rig_work(rig);
	rig_pass(rig, 61000);
	rig_assert_settled(rig);
}

/* ---- drains ---- */

static void removed_tcp_server_drains_until_idle(void **state)
{
	struct rig *rig = *state;

	rig_put(rig, WEB, A " " B);
	rig_open(rig);
	set_conns(rig, WEB, A, 3);
	rig_put(rig, WEB, B);
	rig_work(rig);
	assert_int_equal(weight_of(rig, WEB, A), 0);
	rig_pass(rig, 20000);
	assert_int_equal(weight_of(rig, WEB, A), 0);
	set_conns(rig, WEB, A, 0);
	rig_pass(rig, 2000);
	rig_assert_settled(rig);
}

static void removed_tcp_server_goes_at_the_deadline(void **state)
{
	struct rig *rig = *state;

	rig_put(rig, WEB, A " " B);
	rig_open(rig);
	set_conns(rig, WEB, A, 3);
	rig_put(rig, WEB, B);
	rig_work(rig);
	rig_pass(rig, 59000);
	assert_int_equal(weight_of(rig, WEB, A), 0);
	rig_pass(rig, 2000);
	rig_assert_settled(rig);
}

static void idle_server_goes_at_once(void **state)
{
	struct rig *rig = *state;

	rig_put(rig, WEB, A " " B);
	rig_open(rig);
	rig_put(rig, WEB, B);
	rig_work(rig);
	rig_assert_settled(rig);
}

static void udp_server_goes_at_once(void **state)
{
	struct rig *rig = *state;

	rig_put(rig, DNS, A " " B);
	rig_open(rig);
	set_conns(rig, DNS, A, 100);
	rig_put(rig, DNS, B);
	rig_work(rig);
	rig_assert_settled(rig);
}

static void terminating_endpoint_drains_and_may_come_back(void **state)
{
	struct rig *rig = *state;

	rig_put(rig, WEB, A " " B);
	rig_open(rig);
	set_conns(rig, WEB, A, 1);
	rig_put(rig, WEB, A "- " B);
	rig_work(rig);
	assert_int_equal(weight_of(rig, WEB, A), 0);
	rig_pass(rig, 30000);
	rig_put(rig, WEB, A " " B);
	rig_work(rig);
	assert_int_equal(weight_of(rig, WEB, A), 1);
	rig_pass(rig, 100000); /* the old deadline is forgotten */
	rig_assert_settled(rig);
	rig_restart(rig);
	rig_pass(rig, 100000);
	rig_assert_settled(rig);
}

static void deadline_survives_a_restart(void **state)
{
	struct rig *rig = *state;

	rig_put(rig, WEB, A " " B);
	rig_open(rig);
	set_conns(rig, WEB, A, 1);
	rig_put(rig, WEB, B);
	rig_work(rig);
	rig_pass(rig, 40000);
	rig_restart(rig);
	rig_pass(rig, 18000);
	assert_int_equal(weight_of(rig, WEB, A), 0);
	rig_pass(rig, 3000);
	rig_assert_settled(rig);
}

static void whole_service_refuses_then_goes(void **state)
{
	struct rig *rig = *state;
	struct fe_key key = rig_key(WEB);

	rig_put(rig, WEB, A " " B);
	rig_put(rig, DNS, A);
	rig_open(rig);
	set_conns(rig, WEB, A, 1);
	rig_remove(rig, WEB);
	rig_remove(rig, DNS);
	rig_work(rig);
	assert_true(kernel_has(rig, "elem refused 10.96.0.1 TCP 80"));
	assert_true(kernel_has(rig, "binding 10.96.0.1"));
	assert_int_equal(weight_of(rig, WEB, A), 0);
	assert_false(kernel_has(rig, "10.96.0.10"));
	rig_restart(rig);
	assert_non_null(fake_find(rig->fake, &key));
	set_conns(rig, WEB, A, 0);
	rig_pass(rig, 2000);
	assert_string_equal(fake_find(rig->fake, &key) ? "there" : "gone", "gone");
	rig_assert_settled(rig);
}

static void service_that_comes_back_while_it_drains(void **state)
{
	struct rig *rig = *state;

	rig_put(rig, WEB, A " " B);
	rig_open(rig);
	set_conns(rig, WEB, A, 1);
	rig_remove(rig, WEB);
	rig_work(rig);
	rig_put(rig, WEB, A " " B);
	rig_work(rig);
	rig_pass(rig, 120000);
	rig_assert_settled(rig);
}

static void address_stays_bound_for_its_other_port(void **state)
{
	struct rig *rig = *state;

	rig_put(rig, WEB, A);
	rig_put(rig, SCTP, A);
	rig_open(rig);
	rig_remove(rig, WEB);
	rig_work(rig);
	rig_assert_settled(rig);
	assert_true(kernel_has(rig, "binding 10.96.0.1"));
	rig_remove(rig, SCTP);
	rig_work(rig);
	rig_assert_settled(rig);
	assert_int_equal(rig->fake->n_bindings, 0);
}

/* ---- schedulers ---- */

static void missing_scheduler_falls_back(void **state)
{
	struct rig *rig = *state;

	snprintf(rig->fake->missing, sizeof(rig->fake->missing), "mh");
	rig_put_policy(rig, WEB, A, "mh", 0);
	rig_put_policy(rig, DNS, A, "mh", 0);
	rig_open(rig);
	rig_assert_settled(rig);
	assert_true(kernel_has(rig, "add service 10.96.0.1:80/TCP rr"));
}

static void missing_default_scheduler_is_refused(void **state)
{
	struct rig *rig = *state;
	struct fe_key key = rig_key(WEB);
	const struct rig_report *report;

	snprintf(rig->fake->missing, sizeof(rig->fake->missing), "rr");
	rig_put(rig, WEB, A);
	rig_open(rig);
	report = rig_report(rig, &key);
	assert_int_equal(report->outcome, R_REFUSED);
	assert_non_null(strstr(report->reason, "modprobe ip_vs_rr"));
	assert_int_equal(rig->fake->n_bindings, 0); /* an address is bound only to what serves */
	*rig->fake->missing = '\0';
	rig_pass(rig, 31000);
	rig_assert_settled(rig);
	assert_int_equal(rig_report(rig, &key)->outcome, R_DONE);
}

static void changed_scheduler_keeps_the_servers(void **state)
{
	struct rig *rig = *state;
	uint64_t before;

	rig_put(rig, WEB, A " " B);
	rig_open(rig);
	before = rig->fake->writes;
	rig_put_policy(rig, WEB, A " " B, "wlc", 300);
	rig_work(rig);
	assert_int_equal(rig->fake->writes - before, 1);
	rig_assert_settled(rig);
}

/* ---- what is not ours ---- */

static void others_are_left_alone(void **state)
{
	struct rig *rig = *state;
	struct fe_key foreign = rig_key("10.99.0.1:80/TCP");

	fake_foreign_add(rig->fake, &foreign, "wlc");
	some_services(rig);
	rig_open(rig);
	for (int i = 0; i < 20; i++) {
		struct fe_key more = rig_key("10.99.0.2:80/TCP");

		more.port = (uint16_t)(100 + i);
		fake_foreign_add(rig->fake, &more, "lc");
		rig_pass(rig, 31000);
		fake_del_service(rig->fake, &more);
	}
	rig_restart(rig);
	assert_non_null(fake_find(rig->fake, &foreign));
	rig_assert_settled(rig);
}

static void foreign_server_in_the_way_is_refused_then_revived(void **state)
{
	struct rig *rig = *state;
	struct fe_key key = rig_key(WEB);

	fake_foreign_add(rig->fake, &key, "wlc");
	rig_put(rig, WEB, A);
	rig_open(rig);
	assert_int_equal(rig_report(rig, &key)->outcome, R_REFUSED);
	assert_non_null(strstr(rig_report(rig, &key)->reason, "is not vipd's"));
	assert_int_equal(fake_find(rig->fake, &key)->n, 0);
	assert_int_equal(rig->fake->n_bindings, 0);
	rig_remove(rig, WEB);
	rig_pass(rig, 31000);
	assert_non_null(fake_find(rig->fake, &key)); /* theirs, whatever we want */
	rig_put(rig, WEB, A);
	rig_work(rig);
	fake_del_service(rig->fake, &key);
	rig_pass(rig, 61000);
	rig_assert_settled(rig);
	assert_int_equal(rig_report(rig, &key)->outcome, R_DONE);
}

/* Somebody is faster: EEXIST, and the server that went in behind it is taken out of theirs. */
static void foreign_server_made_at_the_same_time(void **state)
{
	struct rig *rig = *state;
	struct fe_key key = rig_key(WEB);

	rig_put(rig, DNS, A);
	rig_open(rig);
	fake_foreign_add(rig->fake, &key, "wlc");
	rig_put(rig, WEB, A " " B);
	rig_work(rig);
	rig_pass(rig, 5000);
	assert_int_equal(rig_report(rig, &key)->outcome, R_REFUSED);
	assert_int_equal(fake_find(rig->fake, &key)->n, 0);
	assert_string_equal(fake_find(rig->fake, &key)->service.sched, "wlc");
	rig_restart(rig);
	rig_pass(rig, 40000);
	assert_int_equal(rig_report(rig, &key)->outcome, R_REFUSED);
	assert_string_equal(fake_find(rig->fake, &key)->service.sched, "wlc");
	rig_remove(rig, WEB);
	rig_work(rig);
	fake_del_service(rig->fake, &key);
	rig_pass(rig, 40000);
	rig_assert_settled(rig); /* nothing was left behind beside it */
}

/* The ledger is lost: what is exactly as we would make it is taken over, no gap, no write. */
static void lost_ledger(void **state)
{
	struct rig *rig = *state;
	char path[96];
	uint64_t before;

	some_services(rig);
	rig_open(rig);
	rig_close(rig);
	before = rig->fake->writes;
	snprintf(path, sizeof(path), "%s/ipvs.ledger", rig->run_dir);
	assert_int_equal(remove(path), 0);
	rig_open(rig);
	rig_assert_settled(rig);
	assert_true(rig->fake->writes - before <= 2); /* the rules are loaded anew */
}

static void cleanup_removes_what_is_ours(void **state)
{
	struct rig *rig = *state;
	struct fe_key foreign = rig_key("10.99.0.1:80/TCP"), key = rig_key(WEB);
	struct err err = {0};
	int rc;

	fake_foreign_add(rig->fake, &foreign, "wlc");
	some_services(rig);
	rig_open(rig);
	set_conns(rig, WEB, A, 5);
	rig_close(rig);
	ipvs_backend_ops.close(NULL);
	rig_open(rig);
	while ((rc = ipvs_backend_ops.cleanup(rig->be, &err)) == -EAGAIN) {
		struct rig_child child = rig->children[0];
		struct child_result result = {.output = ""};

		assert_int_equal(rig->n_children, 1);
		rig->n_children = 0;
		result.status = fake_nft(rig->fake, child.script);
		free(child.script);
		child.done(child.arg, &result);
	}
	assert_int_equal(rc, 0);
	assert_null(fake_find(rig->fake, &key));
	assert_non_null(fake_find(rig->fake, &foreign));
	assert_int_equal(rig->fake->n_services, 1);
	assert_int_equal(rig->fake->n_bindings, 0);
	assert_int_equal(rig->fake->n_elems, 0);
	assert_true(!rig->fake->rules[0] && !rig->fake->rules[1]);
}

/* ---- repairs ---- */

static void audit_repairs_what_others_broke(void **state)
{
	struct rig *rig = *state;
	struct fe_key web = rig_key(WEB), dns = rig_key(DNS);

	some_services(rig);
	rig_open(rig);
	rig->fake->strict = false;
	fake_del_service(rig->fake, &web);
	fake_find(rig->fake, &dns)->n = 1;
	fake_foreign_add(rig->fake, &dns, "wlc"); /* ours, edited */
	fake_del_binding(rig->fake, 0, false);
	fake_del_elem(rig->fake, 2, false);
	rig_pass(rig, 31000);
	rig_assert_settled(rig);
	assert_true(rig_counter(rig, "drift ") >= 4);
}

static void notifications_are_repaired_at_once(void **state)
{
	struct rig *rig = *state;
	uint64_t loads;

	some_services(rig);
	rig_open(rig);
	rig->fake->strict = false;
	while (rig->fake->n_bindings)
		fake_del_binding(rig->fake, 0, true);
	rig_work(rig);
	rig_assert_settled(rig);
	for (int i = 0; i < 5; i++)
		fake_del_elem(rig->fake, (size_t)i, true);
	rig_work(rig);
	rig_assert_settled(rig);
	fake_flush_rules(rig->fake, AF_INET, true);
	fake_flush_rules(rig->fake, AF_INET6, true);
	rig_work(rig);
	rig_assert_settled(rig);
	assert_true(rig->fake->rules[0] && rig->fake->rules[1]);
	loads = rig_counter(rig, "rules_loads ");
	rig->fake->events[rig->fake->n_events++] =
		(struct kevent){.kind = KE_RULES_GONE, .family = AF_INET};
	rig_work(rig); /* of our own loading: the table is as it was made */
	assert_int_equal(rig_counter(rig, "rules_loads "), loads);
}

/* Nobody told that the helper table went; the first element that misses it does, long before the
 * audit. */
static void rules_that_are_missed_are_loaded(void **state)
{
	struct rig *rig = *state;

	some_services(rig);
	rig_open(rig);
	rig->fake->strict = false;
	fake_flush_rules(rig->fake, AF_INET, false);
	rig_put(rig, "10.96.0.77:80/TCP", "10.244.1.2");
	rig_work(rig);
	assert_true(rig->fake->rules[0]);
	rig_pass(rig, 1000);
	assert_int_equal(rig_counter(rig, "audits "), 0);
	rig_assert_settled(rig);
}

/* While all is being programmed the kernel is not asked to tell of it, and what others do to
 * bindings and helper tables in that time is found without waiting for the audit. */
static void what_nobody_told_before_we_listened_is_found(void **state)
{
	struct rig *rig = *state;

	some_services(rig);
	rig_begin(rig);
	rig_mark_all(rig);
	rig_work(rig);
	assert_false(rig->fake->listening);
	rig->fake->strict = false;
	for (int i = 0; i < 5; i++)
		fake_del_elem(rig->fake, (size_t)i, true);
	fake_flush_rules(rig->fake, AF_INET6, true);
	fake_del_binding(rig->fake, 0, true);
	assert_int_equal(rig->fake->n_events, 0);
	rig_pass(rig, 100);
	assert_true(rig->fake->listening);
	assert_int_equal(rig_counter(rig, "audits "), 0);
	rig_assert_settled(rig);
}

static void listening_that_fails_is_tried_again(void **state)
{
	struct rig *rig = *state;

	some_services(rig);
	rig->fake->listening_fails = 1;
	rig->config.audit_ms = 86400000;
	rig_open(rig);
	assert_false(rig->fake->listening);
	rig->fake->strict = false;
	fake_del_elem(rig->fake, 0, true);
	rig_pass(rig, 100000);
	assert_true(rig->fake->listening);
	rig_assert_settled(rig);
}

static void lost_notifications_mean_an_audit(void **state)
{
	struct rig *rig = *state;

	some_services(rig);
	rig_open(rig);
	rig->fake->strict = false;
	fake_del_binding(rig->fake, 0, false);
	rig->fake->events[rig->fake->n_events++] = (struct kevent){.kind = KE_LOST};
	rig_work(rig);
	rig_pass(rig, 100);
	rig_assert_settled(rig);
}

static void rules_that_do_not_load_are_tried_again(void **state)
{
	struct rig *rig = *state;
	struct fe_key key = rig_key(WEB);

	rig->nft_fails = 3;
	rig_put(rig, WEB, A);
	rig_open(rig);
	assert_int_equal(rig_report(rig, &key)->outcome, R_RETRY);
	assert_non_null(strstr(rig_report(rig, &key)->reason, "nft: broken"));
	assert_int_equal(rig->fake->n_bindings, 0); /* no address without its guard */
	rig_pass(rig, 5000);
	rig_assert_settled(rig);
	assert_int_equal(rig_report(rig, &key)->outcome, R_DONE);
}

/* A Service that is gone and has flows left keeps its guard when the helper table is lost. */
static void a_draining_server_gets_its_guard_back(void **state)
{
	struct rig *rig = *state;
	struct fe_key key = rig_key(WEB);
	struct kelem vip = kelem_vip(&key.vip);

	some_services(rig);
	rig_open(rig);
	set_conns(rig, WEB, A, 5);
	rig_remove(rig, WEB);
	rig_work(rig);
	assert_true(fake_has_elem(rig->fake, vip));
	rig->fake->strict = false;
	fake_flush_rules(rig->fake, AF_INET, true);
	rig_work(rig);
	assert_true(fake_has_elem(rig->fake, vip));
}

/* What another version made is replaced: it is deleted, then made anew. */
static void table_of_another_kind_is_replaced(void **state)
{
	struct rig *rig = *state;
	some_services(rig);
	rig_open(rig);
	rig_close(rig);
	fake_flush_rules(rig->fake, AF_INET, false);
	rig->fake->strict = false;
	rig->nft_fails = 1;
	rig->nft_says = "/dev/stdin:45:1-9: Error: datatype mismatch, expected IPv4 address";
	rig_open(rig);
	rig_pass(rig, 1000);
	rig_assert_settled(rig);
	assert_int_equal(rig_counter(rig, "rules_loads "),
			 3); /* it fails, the other goes, ours comes */
}

static void node_address_that_changes_moves_the_bindings(void **state)
{
	struct rig *rig = *state;

	some_services(rig);
	rig_open(rig);
	addr_parse("192.0.2.77", &rig->fake->addrs[0]);
	rig->fake->events[rig->fake->n_events++] = (struct kevent){.kind = KE_ADDRS};
	rig_work(rig);
	rig_pass(rig, 100);
	rig_assert_settled(rig);
}

/* The daemon steps before all Services are computed, for the API server's sake: what the model does
 * not have yet must stay as it is, whatever marks it. */
static void what_the_model_lacks_stays_until_it_is_whole(void **state)
{
	static const char other[] = "add dest 10.96.0.9:80/TCP 10.244.1.2:8080 weight=1";
	static const char fresh[] = "add dest 10.96.0.1:80/TCP 10.244.2.9:8080 weight=1";
	struct rig *rig = *state;
	struct model *whole;

	some_services(rig);
	rig_put(rig, "10.96.0.9:80/TCP", A);
	rig_open(rig);
	rig_close(rig);
	whole = rig->model;
	rig->model = model_new();
	rig_put(rig, WEB, A " " B " 10.244.2.9");
	rig_begin(rig);
	rig->fake->events[rig->fake->n_events++] =
		(struct kevent){.kind = KE_RULES_GONE, .family = AF_INET}; /* marks all of it */
	rig_work(rig);
	assert_true(kernel_has(rig, fresh));
	assert_true(kernel_has(rig, other));
	assert_false(kernel_has(rig, "elem refused 10.96.0.9 TCP 80"));
	model_free(rig->model);
	rig->model = whole;
	rig_put(rig, WEB, A " " B " 10.244.2.9");
	rig_mark_all(rig);
	rig_work(rig);
	assert_true(kernel_has(rig, other));
	rig_assert_settled(rig);
	rig_remove(rig, "10.96.0.9:80/TCP"); /* from now on what it does not have goes */
	rig_work(rig);
	assert_false(kernel_has(rig, other));
}

static void plan_is_what_step_would_do(void **state)
{
	struct rig *rig = *state;
	cleanup_free char *text = NULL;
	size_t len = 0;
	uint64_t before;
	FILE *out = open_memstream(&text, &len);
	struct fe_key key = rig_key(WEB);

	rig_put(rig, WEB, A);
	rig_open(rig);
	before = rig->fake->writes;
	rig_put(rig, WEB, A " " B);
	assert_int_equal(ipvs_backend_ops.mark(rig->be, rig->model, &key, 1), 0);
	assert_int_equal(ipvs_backend_ops.print_plan(rig->be, rig->model, out), 0);
	fclose(out);
	assert_string_equal(text, "add elem hairpin 10.244.1.3\n"
				  "add dest 10.96.0.1:80/TCP 10.244.1.3:8080 weight=1\n");
	assert_int_equal(rig->fake->writes, before);
}

/* A ledger that has grown is written anew; the restart after it still knows everything. */
static void restart_after_a_long_time(void **state)
{
	struct rig *rig = *state;
	uint64_t writes;

	some_services(rig);
	rig_open(rig);
	for (int i = 0; i < 3000; i++) { /* two lines each */
		rig_put(rig, WEB, i % 2 ? A " " B : A " " C);
		rig_work(rig);
	}
	rig_put(rig, WEB, A " " B);
	rig_work(rig);
	rig_pass(rig, 61000);
	writes = rig->fake->writes;
	rig_restart(rig);
	assert_int_equal(rig->fake->writes, writes);
	assert_int_equal(rig_counter(rig, "rules_loads "), 0);
	rig_assert_settled(rig);
}

/* One that drained, went, and came again has nothing of its old deadline after a restart. */
static void deadline_of_a_former_life(void **state)
{
	struct rig *rig = *state;
	struct fe_key web = rig_key(WEB);
	uint64_t writes;

	rig_put(rig, WEB, A " " B);
	rig_open(rig);
	rig_put(rig, WEB, A); /* idle: gone at once */
	rig_work(rig);
	assert_null(fake_dest(rig->fake, &web, B));
	rig_put(rig, WEB, A " " B);
	rig_work(rig);
	rig_pass(rig, 61000);
	writes = rig->fake->writes;
	rig_restart(rig);
	assert_int_equal(rig->fake->writes, writes);
	rig_close(rig);
	fake_dest(rig->fake, &web, B)->active_conns = 1;
	rig_put(rig, WEB, A); /* removed while we were down: it drains from now */
	rig_open(rig);
	assert_non_null(fake_dest(rig->fake, &web, B));
	assert_int_equal(fake_dest(rig->fake, &web, B)->weight, 0);
	fake_dest(rig->fake, &web, B)->active_conns = 0;
	rig_pass(rig, 61000);
	rig_assert_settled(rig);
}

/* What a dump does not show is asked for by its key before it counts as gone. */
static void hole_in_a_dump(void **state)
{
	struct rig *rig = *state;
	uint64_t writes;

	some_services(rig);
	rig_open(rig);
	writes = rig->fake->writes;
	rig->fake->hidden = rig_key(WEB);
	for (int i = 0; i < 3; i++)
		rig_pass(rig, 31000);
	assert_true(rig_counter(rig, "audits ") >= 3);
	assert_int_equal(rig_counter(rig, "drift "), 0);
	assert_int_equal(rig->fake->writes, writes);
	rig_assert_settled(rig);
}

/* Its Service is told by the audit that saw it, not when refusals are tried again. */
static void address_freed_by_a_foreign_server(void **state)
{
	struct rig *rig = *state;
	struct fe_key key = rig_key(WEB);

	fake_foreign_add(rig->fake, &key, "wlc");
	rig->config.audit_ms = 3000;
	rig_put(rig, WEB, A);
	rig_open(rig);
	assert_int_equal(rig_report(rig, &key)->outcome, R_REFUSED);
	fake_del_service(rig->fake, &key);
	rig_pass(rig, 4000);
	assert_int_equal(rig_report(rig, &key)->outcome, R_DONE);
	rig_assert_settled(rig);
}

/* Not the first address there is, but the one that the node's object has. */
static void bindings_take_the_node_address(void **state)
{
	struct rig *rig = *state;

	addr_parse("192.0.2.50", &rig->fake->addrs[1]);
	rig->config.node_addr[0] = rig->fake->addrs[1];
	rig_put(rig, WEB, A);
	rig_open(rig);
	assert_int_equal(rig->fake->n_bindings, 1);
	assert_true(addr_equal(&rig->fake->bindings[0].src, &rig->fake->addrs[1]));
}

/* The helper table too; and an address of two frontends is bound once. */
static void plan_of_an_empty_kernel(void **state)
{
	struct rig *rig = *state;
	struct fe_key keys[] = {rig_key("10.96.0.1:80/TCP"), rig_key("10.96.0.1:81/TCP")};
	struct ip_prefix nets[3];
	cleanup_free char *text = NULL;
	struct err err = {0};
	size_t len = 0;
	FILE *out = open_memstream(&text, &len);

	prefix_parse("10.244.0.0/16", &nets[0]);
	prefix_parse("fd00:244::/64", &nets[1]);
	prefix_parse("10.245.0.0/16", &nets[2]);
	rig->config.local_nets = nets;
	rig->config.n_local_nets = ARRAY_SIZE(nets);
	rig->config.read_only = true;
	rig_put(rig, "10.96.0.1:80/TCP", "");
	rig_put(rig, "10.96.0.1:81/TCP", "");
	assert_int_equal(ipvs_backend_open_on(fake_kernel(rig->fake), &rig->config, &rig->env,
					      &rig->be, &err),
			 0);
	while (ipvs_backend_ops.read(rig->be, 1000000, &err) > 0)
		;
	assert_int_equal(ipvs_backend_ops.mark(rig->be, rig->model, keys, ARRAY_SIZE(keys)), 0);
	assert_int_equal(ipvs_backend_ops.print_plan(rig->be, rig->model, out), 0);
	fclose(out);
	assert_string_equal(text, "load table ip vipd local_nets=10.244.0.0/16,10.245.0.0/16\n"
				  "add elem vips 10.96.0.1\n"
				  "add elem services 10.96.0.1 TCP 80\n"
				  "add elem refused 10.96.0.1 TCP 80\n"
				  "add elem services 10.96.0.1 TCP 81\n"
				  "add elem refused 10.96.0.1 TCP 81\n"
				  "add service 10.96.0.1:80/TCP rr flags=0x0 timeout=0\n"
				  "add service 10.96.0.1:81/TCP rr flags=0x0 timeout=0\n"
				  "add binding 10.96.0.1 src=192.0.2.1\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(programs_what_the_model_says),
		TEST(changes_one_thing_for_one_change),
		TEST(restart_writes_nothing),
		TEST(restart_takes_up_changes),
		TEST(replacing_all_servers_leaves_no_gap),
		TEST(removed_tcp_server_drains_until_idle),
		TEST(removed_tcp_server_goes_at_the_deadline),
		TEST(idle_server_goes_at_once),
		TEST(udp_server_goes_at_once),
		TEST(terminating_endpoint_drains_and_may_come_back),
		TEST(deadline_survives_a_restart),
		TEST(whole_service_refuses_then_goes),
		TEST(service_that_comes_back_while_it_drains),
		TEST(address_stays_bound_for_its_other_port),
		TEST(missing_scheduler_falls_back),
		TEST(missing_default_scheduler_is_refused),
		TEST(changed_scheduler_keeps_the_servers),
		TEST(others_are_left_alone),
		TEST(foreign_server_in_the_way_is_refused_then_revived),
		TEST(foreign_server_made_at_the_same_time),
		TEST(lost_ledger),
		TEST(cleanup_removes_what_is_ours),
		TEST(audit_repairs_what_others_broke),
		TEST(notifications_are_repaired_at_once),
		TEST(what_nobody_told_before_we_listened_is_found),
		TEST(listening_that_fails_is_tried_again),
		TEST(lost_notifications_mean_an_audit),
		TEST(a_draining_server_gets_its_guard_back),
		TEST(table_of_another_kind_is_replaced),
		TEST(rules_that_are_missed_are_loaded),
		TEST(rules_that_do_not_load_are_tried_again),
		TEST(node_address_that_changes_moves_the_bindings),
		TEST(what_the_model_lacks_stays_until_it_is_whole),
		TEST(plan_is_what_step_would_do),
		TEST(plan_of_an_empty_kernel),
		TEST(restart_after_a_long_time),
		TEST(deadline_of_a_former_life),
		TEST(hole_in_a_dump),
		TEST(address_freed_by_a_foreign_server),
		TEST(bindings_take_the_node_address),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
