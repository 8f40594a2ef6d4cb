/* SPDX-License-Identifier: Apache-2.0 */
/* ipvs/flows.c: which entries of connection tracking go, and when. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "rig.h"

#define A        "10.244.1.2"
#define B        "10.244.1.3"
#define DRAIN_MS 30000

static int set_up(void **state)
{
	struct rig *rig = rig_new();

	rig->config.drain_ms = DRAIN_MS;
	*state = rig;
	return 0;
}

static int tear_down(void **state)
{
	rig_free(*state);
	return 0;
}

/* A flow to `dst` ("10.96.0.1:53/UDP") that is answered from `end` ("10.244.1.2:8080/UDP"). */
static void add_flow(struct rig *rig, const char *dst, const char *end)
{
	struct fe_key to = rig_key(dst), from = rig_key(end);
	struct kflow *flow = &rig->fake->flows[rig->fake->n_flows++];

	memset(flow, 0, sizeof(*flow));
	assert_int_equal(addr_parse("198.51.100.2", &flow->orig_src), 0);
	flow->orig_sport = (uint16_t)(40000 + rig->fake->n_flows);
	flow->orig_dst = to.vip;
	flow->orig_dport = to.port;
	flow->reply_src = from.vip;
	flow->reply_sport = from.port;
	flow->proto = to.proto;
	flow->id = (uint32_t)rig->fake->n_flows;
}

static void both_entrances(struct rig *rig, const char *proto, const char *endpoints)
{
	char key[64], door[64], port[64];

	snprintf(key, sizeof(key), "10.96.0.1:53/%s", proto);
	snprintf(door, sizeof(door), "198.18.0.1:53/%s", proto);
	snprintf(port, sizeof(port), "node:30053/%s", proto);
	rig_put(rig, key, endpoints);
	rig_put_entrance(rig, door, key, NULL, NULL);
	rig_put_entrance(rig, port, key, NULL, NULL);
}

static void datagrams_to_an_endpoint_that_went(void **state)
{
	struct rig *rig = *state;

	both_entrances(rig, "UDP", A " " B);
	rig_open(rig);
	add_flow(rig, "10.96.0.1:53/UDP", A ":8080/UDP");
	add_flow(rig, "198.18.0.1:53/UDP", A ":8080/UDP");
	add_flow(rig, "192.0.2.1:30053/UDP", A ":8080/UDP"); /* the node's address */
	add_flow(rig, "198.18.0.1:53/UDP", B ":8080/UDP");
	add_flow(rig, "198.18.0.1:54/UDP", A ":8080/UDP");   /* another port: not ours */
	add_flow(rig, "192.0.2.9:30053/UDP", A ":8080/UDP"); /* another's address */
	rig_pass(rig, 1000);
	assert_int_equal(rig->fake->n_flows, 6); /* nothing is stale */
	rig_put(rig, "10.96.0.1:53/UDP", B);
	rig_work(rig);
	rig_pass(rig, 250);
	assert_int_equal(rig->fake->n_flows, 3);
	for (size_t i = 0; i < rig->fake->n_flows; i++)
		assert_true(rig->fake->flows[i].orig_dport == 54 || rig->fake->flows[i].id == 4 ||
			    rig->fake->flows[i].id == 6);
}

static void datagrams_from_before_the_service(void **state)
{
	struct rig *rig = *state;

	rig_open(rig);
	add_flow(rig, "198.18.0.1:53/UDP", "198.18.0.1:53/UDP"); /* never translated */
	add_flow(rig, "192.0.2.1:30053/UDP", "192.0.2.1:30053/UDP");
	add_flow(rig, "192.0.2.1:30054/UDP", "192.0.2.1:30054/UDP");
	both_entrances(rig, "UDP", ""); /* nowhere to go yet: they stay refused */
	rig_work(rig);
	rig_pass(rig, 1000);
	assert_int_equal(rig->fake->n_flows, 3);
	rig_put(rig, "10.96.0.1:53/UDP", A);
	rig_work(rig);
	rig_pass(rig, 250);
	assert_int_equal(rig->fake->n_flows, 1);
	assert_int_equal(rig->fake->flows[0].orig_dport, 30054);
}

static void datagrams_of_a_service_that_went(void **state)
{
	struct rig *rig = *state;

	both_entrances(rig, "UDP", A);
	rig_open(rig);
	add_flow(rig, "198.18.0.1:53/UDP", A ":8080/UDP");
	add_flow(rig, "192.0.2.1:30053/UDP", A ":8080/UDP");
	add_flow(rig, "192.0.2.1:30053/UDP", "192.0.2.1:30053/UDP"); /* the node's own by now */
	rig_remove(rig, "198.18.0.1:53/UDP");
	rig_remove(rig, "node:30053/UDP");
	rig_remove(rig, "10.96.0.1:53/UDP");
	rig_work(rig);
	rig_pass(rig, 250);
	assert_int_equal(rig->fake->n_flows, 1);
	assert_int_equal(rig->fake->flows[0].id, 3);
	add_flow(rig, "198.18.0.1:53/UDP", A ":8080/UDP"); /* others' from now on */
	rig_put(rig, "10.96.0.9:53/UDP", A);
	rig_work(rig);
	rig_pass(rig, 1000);
	assert_int_equal(rig->fake->n_flows, 2);
}

/* An entrance with a way of its own for clients in the cluster: both ways count. */
static void datagrams_by_either_way(void **state)
{
	struct rig *rig = *state;

	rig_put(rig, "10.96.0.1:53/UDP", A " " B);
	rig_put_inner(rig, "10.96.0.1:50000/UDP", A);
	rig_put_entrance(rig, "198.18.0.1:53/UDP", "10.96.0.1:50000/UDP", "10.96.0.1:53/UDP", NULL);
	rig_open(rig);
	add_flow(rig, "198.18.0.1:53/UDP", A ":8080/UDP");
	add_flow(rig, "198.18.0.1:53/UDP", B ":8080/UDP");
	rig_put(rig, "10.96.0.2:53/UDP", A);
	rig_work(rig);
	rig_pass(rig, 1000);
	assert_int_equal(rig->fake->n_flows, 2);
}

static void connections_at_the_deadline(void **state)
{
	struct fe_key key = rig_key("10.96.0.1:53/TCP");
	struct rig *rig = *state;

	both_entrances(rig, "TCP", A " " B);
	rig_open(rig);
	add_flow(rig, "198.18.0.1:53/TCP", A ":8080/TCP");
	add_flow(rig, "192.0.2.1:30053/TCP", A ":8080/TCP");
	add_flow(rig, "198.18.0.1:53/TCP", B ":8080/TCP");
	add_flow(rig, "198.18.0.7:53/TCP", A ":8080/TCP"); /* somebody else's translation */
	rig_put(rig, "10.96.0.1:53/TCP", B);
	rig_work(rig);
	rig_pass(rig, DRAIN_MS - 2000); /* IPVS forgot the endpoint long ago */
	assert_null(fake_dest(rig->fake, &key, A));
	assert_int_equal(rig->fake->n_flows, 4);
	rig_pass(rig, 3000);
	assert_int_equal(rig->fake->n_flows, 2);
	assert_true(rig->fake->flows[0].id + rig->fake->flows[1].id == 3 + 4);
}

static void one_that_came_back_keeps_its_connections(void **state)
{
	struct rig *rig = *state;

	both_entrances(rig, "TCP", A " " B);
	rig_open(rig);
	add_flow(rig, "198.18.0.1:53/TCP", A ":8080/TCP");
	rig_put(rig, "10.96.0.1:53/TCP", B);
	rig_work(rig);
	rig_pass(rig, 5000);
	rig_put(rig, "10.96.0.1:53/TCP", A " " B);
	rig_work(rig);
	rig_pass(rig, 2 * DRAIN_MS);
	assert_int_equal(rig->fake->n_flows, 1);
}

/* Nothing to do with UDP, nothing gone: the table is not read. */
static void no_pass_without_need(void **state)
{
	struct rig *rig = *state;
	uint64_t passes;

	both_entrances(rig, "TCP", A);
	rig_open(rig);
	rig_pass(rig, 1000);
	passes = rig_counter(rig, "flow_passes");
	rig_put(rig, "10.96.0.1:53/TCP", A " " B);
	rig_work(rig);
	rig_pass(rig, 100000);
	assert_int_equal(rig_counter(rig, "flow_passes"), passes);
}

/* A reading that breaks off is begun again. */
static void a_failed_pass_is_repeated(void **state)
{
	struct rig *rig = *state;

	both_entrances(rig, "UDP", A);
	rig_open(rig);
	rig_pass(rig, 1000);
	add_flow(rig, "198.18.0.1:53/UDP", A ":8080/UDP");
	rig->fake->dump_fault_every = 1;
	rig_put(rig, "10.96.0.1:53/UDP", B);
	rig_work(rig);
	rig_pass(rig, 1000);
	assert_int_equal(rig->fake->n_flows, 1);
	rig->fake->dump_fault_every = 0;
	rig_pass(rig, 1000);
	assert_int_equal(rig->fake->n_flows, 0);
}

/* A node port never takes a port at which a program waits, and takes it when it is free. */
static void a_port_that_a_program_has(void **state)
{
	struct rig *rig = *state;
	struct fe_key key = rig_key("node:30053/TCP");

	rig->fake->listener = 30053;
	both_entrances(rig, "TCP", A);
	rig_open(rig);
	assert_int_equal(rig_report(rig, &key)->outcome, R_REFUSED);
	for (size_t i = 0; i < rig->fake->n_elems; i++)
		assert_int_not_equal(rig->fake->elems[i].set, KSET_NODEPORTS);
	rig->fake->listener = 0;
	rig_pass(rig, 70000);
	rig_assert_settled(rig);
	rig->fake->listener = 30053; /* it came later: nothing is taken from the Service */
	rig_restart(rig);
	rig_assert_settled(rig);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)
	const struct CMUnitTest tests[] = {
		TEST(datagrams_to_an_endpoint_that_went),
		TEST(datagrams_from_before_the_service),
		TEST(datagrams_of_a_service_that_went),
		TEST(datagrams_by_either_way),
		TEST(connections_at_the_deadline),
		TEST(one_that_came_back_keeps_its_connections),
		TEST(no_pass_without_need),
		TEST(a_failed_pass_is_repeated),
		TEST(a_port_that_a_program_has),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
