/* SPDX-License-Identifier: Apache-2.0 */
/* The IPVS backend when things go wrong: a fault at every operation in turn, a kill at every
 * operation in turn, and years of random days. After the faults stop the kernel is what the model
 * says, and no promise was broken on the way.
 *
 * environment: EVENTS (of the random days, default 10000), SEED (default 1) */
#include <errno.h>
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
#define C "10.244.2.2"

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

/* Three Services that change in every way there is. */
static void first_state(struct rig *rig)
{
	rig_put(rig, "10.96.0.1:80/TCP", A " " B);
	rig_put(rig, "10.96.0.1:81/TCP", A);
	rig_put(rig, "10.96.0.2:53/UDP", B " " C);
	rig_put(rig, "[fd00:96::1]:80/TCP", "fd00:244:1::2");
	rig_put_inner(rig, "10.96.0.1:50000/TCP", A);
	rig_put_entrance(rig, "198.18.0.1:80/TCP", "10.96.0.1:80/TCP", NULL,
			 "10.0.0.0/8 172.16.0.0/12");
	rig_put_entrance(rig, "198.18.0.2:80/TCP", "10.96.0.1:81/TCP", NULL, NULL);
	rig_put_entrance(rig, "node:30001/TCP", "10.96.0.1:50000/TCP", "10.96.0.1:80/TCP", NULL);
	rig_put_entrance(rig, "node:30002/UDP", "10.96.0.2:53/UDP", NULL, NULL);
}

static void second_state(struct rig *rig)
{
	rig_put(rig, "10.96.0.1:80/TCP", B " " C);
	rig_remove(rig, "10.96.0.1:81/TCP");
	rig_remove(rig, "10.96.0.2:53/UDP");
	rig_put_policy(rig, "[fd00:96::1]:80/TCP", "fd00:244:1::2=3 fd00:244:2::2", "wrr", 60);
	rig_put(rig, "10.96.0.3:80/SCTP", A);
	rig_put(rig, "10.96.0.3:80/TCP", "");
	rig_put_inner(rig, "10.96.0.1:50000/TCP", "");
	rig_put_inner(rig, "10.96.0.1:50001/TCP", C);
	rig_put_entrance(rig, "198.18.0.1:80/TCP", "10.96.0.1:50001/TCP", NULL,
			 "10.0.0.0/16 0.0.0.0/1");
	rig_remove(rig, "198.18.0.2:80/TCP");
	rig_put_entrance(rig, "node:30001/TCP", "10.96.0.1:80/TCP", NULL, NULL);
	rig_remove(rig, "node:30002/UDP");
	rig_put_entrance(rig, "node6:30001/TCP", "[fd00:96::1]:80/TCP", NULL, NULL);
}

static void both_states(struct rig *rig)
{
	first_state(rig);
	rig_open(rig);
	second_state(rig);
	rig_work(rig);
	rig_pass(rig, 1000);
}

/* Operations that a run without a fault takes. */
static uint64_t operations_of(void (*scenario)(struct rig *rig))
{
	struct rig *rig = rig_new();
	uint64_t ops;

	scenario(rig);
	ops = rig->fake->ops;
	rig_assert_settled(rig);
	rig_free(rig);
	return ops;
}

static void fault_at_every_operation(void **state)
{
	static const struct {
		enum fake_fault fault;
		int code;
	} faults[] = {
		{FAULT_ERRNO, -ENOMEM}, {FAULT_ERRNO, -EINTR}, {FAULT_ERRNO, -EPERM},
		{FAULT_DONE, 0},        {FAULT_LOST, 0},       {FAULT_SEND, -ENOBUFS},
	};
	uint64_t ops = operations_of(both_states);

	(void)state;
	assert_true(ops > 30);
	for (size_t f = 0; f < ARRAY_SIZE(faults); f++) {
		for (uint64_t at = 1; at <= ops; at++) {
			struct rig *rig = rig_new();

			rig->fake->fault = faults[f].fault;
			rig->fake->fault_at = at;
			rig->fake->code = faults[f].code;
			both_states(rig);
			rig_pass(rig, 70000);
			if (*rig->fake->broken)
				print_error("fault %zu at operation %llu\n", f,
					    (unsigned long long)at);
			rig_assert_settled(rig);
			rig_free(rig);
		}
	}
}

/* In a child, so that it may die in the middle; the kernel and the ledger live on. */
static void run_and_die(struct rig *rig, void (*scenario)(struct rig *rig))
{
	pid_t child = fork();
	int status;

	assert_true(child >= 0);
	if (child == 0) {
		scenario(rig);
		_exit(0);
	}
	assert_int_equal(waitpid(child, &status, 0), child);
	assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
}

static void kill_at_every_operation(void **state)
{
	uint64_t ops = operations_of(both_states);

	(void)state;
	for (uint64_t at = 1; at <= ops; at++) {
		struct rig *rig = rig_new();
		struct fe_key foreign = rig_key("10.99.0.1:80/TCP");
		uint64_t writes;

		fake_foreign_add(rig->fake, &foreign, "wlc");
		rig->fake->fault = FAULT_KILL;
		rig->fake->fault_at = at;
		run_and_die(rig, both_states);
		rig->fake->fault = FAULT_NONE;
		first_state(rig);
		second_state(rig);
		rig_open(rig);
		rig_pass(rig, 70000);
		if (*rig->fake->broken)
			print_error("killed at operation %llu\n", (unsigned long long)at);
		rig_assert_settled(rig);
		writes = rig->fake->writes;
		rig_restart(rig);
		assert_int_equal(rig->fake->writes, writes);
		assert_non_null(fake_find(rig->fake, &foreign));
		rig_free(rig);
	}
}

/* Killed while it makes what the manifests no longer have when it comes back. */
static void kill_then_nothing_is_wanted(void **state)
{
	uint64_t ops = operations_of(both_states);

	(void)state;
	for (uint64_t at = 1; at <= ops; at++) {
		struct rig *rig = rig_new();

		rig->fake->fault = FAULT_KILL;
		rig->fake->fault_at = at;
		run_and_die(rig, both_states);
		rig->fake->fault = FAULT_NONE;
		rig_open(rig);
		rig_pass(rig, 70000);
		rig_assert_settled(rig);
		assert_int_equal(rig->fake->n_services, 0);
		rig_free(rig);
	}
}

/* ---- random days ---- */

#define KEYS 18

static void random_key(struct fake *fake, char text[64])
{
	static const char *const vips[] = {"10.96.0.1",    "10.96.0.2",    "10.96.0.3",
					   "[fd00:96::1]", "[fd00:96::2]", "10.96.0.4"};
	static const char *const ports[] = {"80/TCP", "53/UDP", "80/SCTP"};
	unsigned n = fake_random(fake, KEYS);

	snprintf(text, 64, "%s:%s", vips[n / 3], ports[n % 3]);
}

static void random_put(struct rig *rig, const char *key)
{
	static const char *const schedulers[] = {"", "wrr", "mh", "sh", "sed"};
	struct fake *fake = rig->fake;
	unsigned n = fake_random(fake, 6);
	char endpoints[512] = "";
	size_t used = 0;

	for (unsigned i = 0; i < n; i++) {
		const char *net = *key == '[' ? "fd00:244:" : "10.244.";
		const char *sep = *key == '[' ? "::" : ".";
		static const char *const suffixes[] = {"", "", "", "=3", "=0", "-"};

		used += (size_t)snprintf(endpoints + used, sizeof(endpoints) - used, "%s%u%s%u%s ",
					 net, 1 + fake_random(fake, 2), sep,
					 2 + fake_random(fake, 3),
					 suffixes[fake_random(fake, ARRAY_SIZE(suffixes))]);
	}
	rig_put_policy(rig, key, endpoints, schedulers[fake_random(fake, ARRAY_SIZE(schedulers))],
		       fake_random(fake, 4) ? 0 : 300);
}

/* The entrance of a random kind; mostly to where there is something. */
static void random_entrance(struct rig *rig)
{
	static const char *const doors[] = {"198.18.0.1:80", "198.18.0.2:53",      "node:30001",
					    "node6:30001",   "[2001:db8:e::1]:80", "192.0.2.1:80"};
	static const char *const nets[] = {NULL,         NULL,
					   NULL,         "",
					   "10.0.0.0/8", "10.0.0.0/8 10.1.0.0/16",
					   "0.0.0.0/0",  "172.16.0.0/12 10.1.0.0/16"};
	struct fake *fake = rig->fake;
	unsigned n = fake_random(fake, ARRAY_SIZE(doors));
	bool v6 = strchr(doors[n], '[') || strncmp(doors[n], "node6", 5) == 0;
	bool port = strncmp(doors[n], "node", 4) == 0;
	char key[64], via[64], cluster[64];
	const char *proto;

	do
		random_key(fake, via);
	while ((*via == '[') != v6);
	proto = strrchr(via, '/');
	snprintf(key, sizeof(key), "%s%s", doors[n], proto);
	do
		random_key(fake, cluster);
	while ((*cluster == '[') != v6 || strcmp(strrchr(cluster, '/'), proto) != 0);
	if (fake_random(fake, 4) == 0)
		rig_remove(rig, key);
	else
		rig_put_entrance(rig, key, via, fake_random(fake, 2) ? cluster : NULL,
				 v6 || port ? NULL : nets[fake_random(fake, ARRAY_SIZE(nets))]);
}

static void random_connections(struct fake *fake)
{
	for (size_t i = 0; i < fake->n_services; i++)
		for (size_t j = 0; j < fake->services[i].n; j++)
			fake->services[i].dests[j].active_conns = fake_random(fake, 2);
}

/* Others, careless ones: what they break is repaired at the next audit at the latest. */
static void random_damage(struct fake *fake)
{
	bool told = fake_random(fake, 2);
	char text[64];
	struct fe_key key;

	switch (fake_random(fake, 7)) {
	case 6:
		fake_set_addr(fake, fake_random(fake, 2) ? "192.0.2.1" : "198.18.0.1", told);
		break;
	case 0:
		if (fake->n_bindings)
			fake_del_binding(fake, fake_random(fake, (unsigned)fake->n_bindings), told);
		break;
	case 1:
		if (fake->n_elems)
			fake_del_elem(fake, fake_random(fake, (unsigned)fake->n_elems), told);
		break;
	case 2:
		fake_flush_rules(fake, fake_random(fake, 2) ? AF_INET : AF_INET6, told);
		break;
	case 3:
		random_key(fake, text);
		key = rig_key(text);
		fake_del_service(fake, &key);
		break;
	case 4:
		random_key(fake, text);
		key = rig_key(text);
		if (fake_find(fake, &key) && fake_find(fake, &key)->n)
			fake_find(fake, &key)->n--;
		break;
	default:
		key = rig_key("10.99.0.1:80/TCP");
		key.port = (uint16_t)(1 + fake_random(fake, 10));
		if (fake_find(fake, &key))
			fake_del_service(fake, &key);
		else
			fake_foreign_add(fake, &key, "wlc");
		break;
	}
}

static void random_faults(struct rig *rig, bool on)
{
	struct fake *fake = rig->fake;

	fake->fault_every = on && fake_random(fake, 2) ? 5 + fake_random(fake, 40) : 0;
	fake->dump_fault_every = on && fake_random(fake, 3) == 0 ? 12 + fake_random(fake, 20) : 0;
	rig->nft_fails = on && fake_random(fake, 8) == 0;
}

static void random_event(struct rig *rig)
{
	struct fake *fake = rig->fake;
	char key[64];

	random_key(fake, key);
	switch (fake_random(fake, 15)) {
	case 12:
	case 13:
		random_entrance(rig);
		break;
	case 14:
		rig_put_inner(rig, key, fake_random(fake, 2) || *key == '[' ? "" : A);
		break;
	case 0:
		rig_remove(rig, key);
		break;
	case 1:
		random_damage(fake);
		break;
	case 2:
		random_connections(fake);
		break;
	case 3:
		rig_pass(rig, fake_random(fake, 40000));
		return;
	case 4:
		random_faults(rig, true);
		break;
	case 5:
		if (fake_random(fake, 4) == 0)
			rig_restart(rig);
		break;
	default:
		random_put(rig, key);
		break;
	}
	if (fake_random(fake, 3))
		rig_work(rig);
}

static unsigned long number_from(const char *name, unsigned long otherwise)
{
	const char *text = getenv(name);

	return text ? strtoul(text, NULL, 10) : otherwise;
}

static void random_days(void **state)
{
	struct rig *rig = *state;
	unsigned long events = number_from("EVENTS", 10000), seed = number_from("SEED", 1);

	rig->fake->random = seed;
	rig->fake->strict = false; /* what others break is not our promise */
	rig_open(rig);
	for (unsigned long i = 1; i <= events; i++) {
		random_event(rig);
		if (i % 50 && i != events)
			continue;
		random_faults(rig, false);
		rig_work(rig);
		rig_pass(rig, 200000); /* back-off, audit, drains: all over by then */
		print_message(*rig->fake->broken ? "seed %lu, event %lu\n" : "", seed, i);
		rig_assert_settled(rig);
	}
}

/* Faults of the kernel alone: then every promise holds after every operation. */
static void random_days_with_promises(void **state)
{
	struct rig *rig = *state;
	unsigned long events = number_from("EVENTS", 10000), seed = number_from("SEED", 2);
	char key[64];

	rig->fake->random = seed;
	rig_open(rig);
	for (unsigned long i = 1; i <= events; i++) {
		random_faults(rig, i % 50 > 0);
		random_key(rig->fake, key);
		if (fake_random(rig->fake, 4) == 0)
			random_entrance(rig);
		else if (fake_random(rig->fake, 4))
			random_put(rig, key);
		else
			rig_remove(rig, key);
		random_connections(rig->fake);
		rig_pass(rig, fake_random(rig->fake, 3) ? 0 : 10000);
		if (i % 50 == 0)
			rig_pass(rig, 200000);
		if (i % 50 == 0)
			rig_assert_settled(rig);
		rig_assert_promises(rig);
	}
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(fault_at_every_operation),
		cmocka_unit_test(kill_at_every_operation),
		cmocka_unit_test(kill_then_nothing_is_wanted),
		TEST(random_days),
		TEST(random_days_with_promises),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
