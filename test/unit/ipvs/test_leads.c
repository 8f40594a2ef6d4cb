/* SPDX-License-Identifier: Apache-2.0 */
/* L7 of lower.h: at no moment leads an element of a map to where no virtual server stands. The
 * process is killed before each operation in turn, and what it left behind is looked at. And which
 * source ranges are left when they change. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#include <cmocka.h>

#include "rig.h"

#define A       "10.244.1.2"
#define B       "10.244.1.3"
#define SERVERS 250

static void come(struct rig *rig)
{
	rig_put(rig, "10.96.0.1:80/TCP", A);
	rig_put(rig, "10.96.0.2:53/UDP", B);
	rig_put_inner(rig, "10.96.0.1:50000/TCP", A);
	rig_put_entrance(rig, "198.18.0.1:80/TCP", "10.96.0.1:80/TCP", NULL, NULL);
	rig_put_entrance(rig, "198.18.0.2:53/UDP", "10.96.0.2:53/UDP", NULL, NULL);
	rig_put_entrance(rig, "node:30001/TCP", "10.96.0.1:50000/TCP", "10.96.0.1:80/TCP", NULL);
	rig_open(rig);
}

static void come_and_go(struct rig *rig)
{
	come(rig);
	rig_remove(rig, "10.96.0.2:53/UDP"); /* UDP: it goes at once */
	rig_remove(rig, "198.18.0.2:53/UDP");
	rig_work(rig);
	rig_put_entrance(rig, "node:30001/TCP", "10.96.0.1:80/TCP", NULL, NULL);
	rig_put_entrance(rig, "198.18.0.1:80/TCP", "10.96.0.1:50000/TCP", NULL, NULL);
	rig_work(rig);
}

static size_t assert_leads(struct rig *rig, uint64_t at)
{
	size_t n = 0;

	for (size_t i = 0; i < rig->fake->n_elems; i++) {
		struct kelem_parts parts;
		struct fe_key key;

		if (!kelem_parse(&rig->fake->elems[i], &parts) || !addr_is_set(&parts.target))
			continue;
		key = fe_key_make(&parts.target, parts.target_port, parts.proto);
		if (!fake_find(rig->fake, &key))
			fail_msg("operation %llu: an element leads nowhere",
				 (unsigned long long)at);
		n++;
	}
	return n;
}

static void no_moment_in_which_a_map_leads_nowhere(void **state)
{
	struct rig *whole = rig_new();
	uint64_t ops;
	size_t n = 0;

	(void)state;
	come_and_go(whole);
	ops = whole->fake->ops;
	rig_free(whole);
	for (uint64_t at = 1; at <= ops; at++) {
		struct rig *rig = rig_new();
		pid_t child;
		int status;

		rig->fake->fault = FAULT_KILL;
		rig->fake->fault_at = at;
		child = fork();
		assert_true(child >= 0);
		if (child == 0) {
			come_and_go(rig);
			_exit(0);
		}
		assert_int_equal(waitpid(child, &status, 0), child);
		n += assert_leads(rig, at);
		rig_free(rig);
	}
	assert_true(ops > 20 && n > ops);
}

/* What waits is woken when its virtual server comes; its own back-off had grown past that. */
static void an_entrance_comes_with_its_virtual_server(void **state)
{
	struct rig *rig = rig_new();
	struct fe_key server = rig_key("10.96.0.1:80/TCP"), key = rig_key("198.18.0.1:80/TCP");

	(void)state;
	fake_foreign_add(rig->fake, &server, "wlc");
	rig_put(rig, "10.96.0.1:80/TCP", A);
	rig_put_entrance(rig, "198.18.0.1:80/TCP", "10.96.0.1:80/TCP", NULL, NULL);
	rig_open(rig);
	assert_int_equal(rig_report(rig, &key)->outcome, R_RETRY);
	rig_pass(rig, 100000);
	fake_del_service(rig->fake, &server);
	for (int i = 0; rig_report(rig, &server)->outcome != R_DONE; i++) {
		assert_true(i < 60);
		rig_pass(rig, 1000);
	}
	assert_int_equal(rig_report(rig, &key)->outcome, R_DONE);
	rig_assert_settled(rig);
	rig_free(rig);
}

/* The entrance is marked first, its virtual server last, more than a slice apart: nothing failed.
 */
static void an_entrance_whose_servers_turn_is_to_come_is_no_failure(void **state)
{
	struct rig *rig = rig_new();
	struct fe_key keys[SERVERS + 2];
	const struct rig_report *report = NULL;
	int rc, turns = 0;

	(void)state;
	rig_put(rig, "10.96.0.2:53/UDP", B);
	rig_open(rig); /* the rules are loaded */
	rig_put(rig, "10.96.0.1:80/TCP", A);
	rig_put_entrance(rig, "198.18.0.1:80/TCP", "10.96.0.1:80/TCP", NULL, NULL);
	keys[0] = rig_key("198.18.0.1:80/TCP");
	for (int i = 0; i < SERVERS; i++) {
		char text[FE_KEY_TEXT_MAX];

		snprintf(text, sizeof(text), "10.96.0.3:%d/TCP", 1000 + i);
		rig_put(rig, text, A " " B);
		keys[i + 1] = rig_key(text);
	}
	keys[SERVERS + 1] = rig_key("10.96.0.1:80/TCP");
	assert_int_equal(ipvs_backend_ops.mark(rig->be, rig->model, keys, SERVERS + 2), 0);
	do {
		rc = ipvs_backend_ops.step(rig->be, rig->model, 1000000);
		report = rig_report(rig, &keys[0]);
		assert_true(!report || report->outcome == R_DONE);
	} while (rc && ++turns < 100);
	assert_true(turns > 0);
	assert_non_null(report);
	rig_assert_settled(rig);
	rig_free(rig);
}

static bool allows(struct rig *rig, const char *net)
{
	for (size_t i = 0; i < rig->fake->n_elems; i++) {
		struct kelem_parts parts;
		char text[PREFIX_TEXT_MAX];

		if (kset_is_allowed(rig->fake->elems[i].set) &&
		    kelem_parse(&rig->fake->elems[i], &parts) &&
		    strcmp(prefix_format(&parts.source, text), net) == 0)
			return true;
	}
	return false;
}

static void a_range_that_goes_is_no_longer_allowed(void **state)
{
	struct rig *rig = rig_new();

	(void)state;
	rig_put(rig, "10.96.0.1:80/TCP", A);
	rig_put_entrance(rig, "198.18.0.1:80/TCP", "10.96.0.1:80/TCP", NULL,
			 "10.0.0.0/8 172.16.0.0/12");
	rig_open(rig);
	assert_true(allows(rig, "10.0.0.0/8") && allows(rig, "172.16.0.0/12"));
	rig_put_entrance(rig, "198.18.0.1:80/TCP", "10.96.0.1:80/TCP", NULL, "10.0.0.0/16");
	rig_work(rig);
	assert_true(allows(rig, "10.0.0.0/16"));
	assert_false(allows(rig, "10.0.0.0/8") || allows(rig, "172.16.0.0/12"));
	rig_put_entrance(rig, "198.18.0.1:80/TCP", "10.96.0.1:80/TCP", NULL, NULL);
	rig_work(rig);
	assert_false(allows(rig, "10.0.0.0/16"));
	rig_assert_settled(rig);
	rig_free(rig);
}

int main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(no_moment_in_which_a_map_leads_nowhere),
		cmocka_unit_test(an_entrance_comes_with_its_virtual_server),
		cmocka_unit_test(an_entrance_whose_servers_turn_is_to_come_is_no_failure),
		cmocka_unit_test(a_range_that_goes_is_no_longer_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
