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

#define A "10.244.1.2"
#define B "10.244.1.3"

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
		cmocka_unit_test(a_range_that_goes_is_no_longer_allowed),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
