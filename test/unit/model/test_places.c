/* SPDX-License-Identifier: Apache-2.0 */
/* Which endpoints there are for whom: rules E1 to E9 of endpoints.c, and which Services are
 * computed again when the place of something changes. This node is "here". */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "make.h"
#include "world.h"

static int setup(void **state)
{
	*state = world_new();
	return 0;
}

static int teardown(void **state)
{
	world_free(*state);
	return 0;
}

/* The pool of a frontend in words: last bytes of addresses, "~" behind those that drain, "*" behind
 * those that are local. */
static void assert_pool(struct world *world, const char *key_text, const char *expected)
{
	struct fe_key key = make_key(key_text);
	const struct frontend *fe;
	char text[200] = "";
	size_t len = 0;

	world_compute(world);
	fe = model_find(world->model, &key);
	assert_non_null(fe);
	for (size_t i = 0; i < fe->pool->n; i++) {
		const struct endpoint *ep = &fe->pool->ep[i];

		len += (size_t)snprintf(text + len, sizeof(text) - len, "%s%u%s%s", i ? " " : "",
					ep->addr.bytes[ep->addr.family == AF_INET ? 3 : 15],
					ep->state == EP_DRAIN ? "~" : "", ep->local ? "*" : "");
	}
	assert_string_equal(text, expected);
}

#define CLUSTER "10.96.0.1:80/TCP"
#define LOCAL   "10.96.0.1:49313/TCP"

static void assert_pools(struct world *world, const char *cluster, const char *local)
{
	assert_pool(world, CLUSTER, cluster);
	assert_pool(world, LOCAL, local);
}

static void assert_verdict(struct world *world, const char *key_text, enum verdict verdict)
{
	struct fe_key key = make_key(key_text);

	assert_int_equal(model_find(world->model, &key)->verdict, verdict);
}

static void put_local_service(struct world *world)
{
	world_put(world, "service a/web vip=10.96.0.1 port=80/TCP^30080 etp");
}

static void put_slice(struct world *world, const char *endpoints)
{
	char text[500];

	snprintf(text, sizeof(text), "slice a/s of=web port=8080/TCP %s", endpoints);
	world_put(world, text);
}

/* ---- E1, E2, E3 ---- */

static void a_port_belongs_by_name_and_protocol(void **state)
{
	struct world *world = *state;

	world_put(world, "service a/web vip=10.96.0.1 port=x:80/TCP port=y:81/UDP");
	world_put(world, "slice a/s of=web port=x:1/UDP port=x:2/TCP port=z:3/TCP ep=10.1.0.1");
	assert_pool(world, CLUSTER, "1*");
	assert_pool(world, "10.96.0.1:81/UDP", "");
}

static void other_families_and_ports_of_zero(void **state)
{
	struct world *world = *state;

	world_put(world, "service a/web vip=10.96.0.1 vip=fd00::1 port=80/TCP");
	put_slice(world, "ep=10.1.0.1");
	world_put(world, "slice a/six of=web port=8080/TCP ep=fd02::2");
	world_put(world, "slice a/none of=web port=0/TCP ep=10.1.0.3");
	assert_pool(world, CLUSTER, "1*");
	assert_pool(world, "[fd00::1]:80/TCP", "2*");
}

static void told_twice_the_one_that_runs_counts(void **state)
{
	struct world *world = *state;

	put_local_service(world);
	world_put(world, "slice a/one of=web port=8080/TCP ep=10.1.0.1!st@here ep=10.1.0.2@there");
	put_slice(world, "ep=10.1.0.1@there ep=10.1.0.2!st@here");
	assert_pools(world, "1 2", "");
	put_slice(world, "ep=10.1.0.1!st@there");
	assert_pools(world, "1~* 2", "1*");
}

/* ---- E4, E5 ---- */

static void ready_ones_then_those_that_serve_while_they_go(void **state)
{
	struct world *world = *state;

	put_local_service(world);
	put_slice(world,
		  "ep=10.1.0.1@here ep=10.1.0.2!st@here ep=10.1.0.3!t@here ep=10.1.0.4!s@here "
		  "ep=10.1.0.5!st@there");
	assert_pools(world, "1* 2~* 5~", "1* 2~*");
	/* the cluster has a ready one, this node has not: decided apart */
	put_slice(world, "ep=10.1.0.1@there ep=10.1.0.2!st@here ep=10.1.0.3!t@here");
	assert_pools(world, "1 2~*", "2*");
	assert_verdict(world, LOCAL, V_FORWARD);
	/* this node has a ready one, so its leaving one drains; so it does for the cluster */
	put_slice(world, "ep=10.1.0.1!st@there ep=10.1.0.2!st@here");
	assert_pools(world, "1 2*", "2*");
	put_slice(world, "ep=10.1.0.3!t@here ep=10.1.0.4!s@here");
	assert_pools(world, "", "");
	assert_verdict(world, CLUSTER, V_REJECT);
}

/* ---- E6 ---- */

static const struct {
	const char *zone, *endpoints, *cluster, *local;
} topologies[] = {
	{"za", "ep=10.1.0.1@here~za ep=10.1.0.2@here~zb ep=10.1.0.3~zc ep=10.1.0.4~za", "1* 4*",
	 "1* 2*"},
	{"za", "ep=10.1.0.1~za ep=10.1.0.2~zb ep=10.1.0.3", "1* 2* 3*", ""},
	{NULL, "ep=10.1.0.1~za ep=10.1.0.2~zb", "1* 2*", ""},
	{"zb", "ep=10.1.0.1~za ep=10.1.0.3~zc", "1* 3*", ""},
	{"z", "ep=10.1.0.1~za ep=10.1.0.3~xz,zz", "1* 3*", ""},
	{"za", "ep=10.1.0.1~za ep=10.1.0.2~zb ep=10.1.0.4!~za", "1*", ""},
	{"za", "ep=10.1.0.1!~za ep=10.1.0.2~zb ep=10.1.0.3~zc", "2* 3*", ""},
	{"za", "ep=10.1.0.1~za ep=10.1.0.2~zb ep=10.1.0.3!", "1*", ""},
	{"za", "ep=10.1.0.1~za ep=10.1.0.2~zb ep=10.1.0.3!s", "1*", ""},
	{"za", "ep=10.1.0.1~za ep=10.1.0.2!st", "1* 2~*", ""},
	{"zc", "ep=10.1.0.1~za,zb,zc ep=10.1.0.2~zb,zc ep=10.1.0.3~zb,zd ep=10.1.0.4~zc",
	 "1* 2* 4*", ""},
	{"za", "ep=10.1.0.1!st~za ep=10.1.0.2!st~zb", "1* 2*", ""},
	{"za", "ep=10.1.0.1~za ep=10.1.0.2!st~zb", "1* 2~*", ""},
	{"za", "ep=10.1.0.1~za+here ep=10.1.0.2~zb+there ep=10.1.0.4~za+other", "1*", ""},
	{NULL, "ep=10.1.0.1+there ep=10.1.0.2+other,here", "2*", ""},
	{"za", "ep=10.1.0.1~za+there ep=10.1.0.2~zb+there ep=10.1.0.4~za+other", "1* 4*", ""},
	{"za", "ep=10.1.0.1~za+here ep=10.1.0.2~zb+there ep=10.1.0.4~za", "1* 4*", ""},
	{"za", "ep=10.1.0.1~za+here ep=10.1.0.2~zb+there ep=10.1.0.4", "1* 2* 4*", ""},
	{NULL, "ep=10.1.0.1+her ep=10.1.0.2+there,heres", "1* 2*", ""},
};

static void hints(void **state)
{
	struct world *world = *state;

	put_local_service(world);
	for (size_t i = 0; i < ARRAY_SIZE(topologies); i++) {
		char node[100];

		snprintf(node, sizeof(node), "node here%s%s", topologies[i].zone ? " zone=" : "",
			 topologies[i].zone ? topologies[i].zone : "");
		world_put(world, node);
		put_slice(world, topologies[i].endpoints);
		assert_pools(world, topologies[i].cluster, topologies[i].local);
	}
}

/* ---- E7, E8 ---- */

static void local_by_the_nodes_name_alone(void **state)
{
	struct world *world = *state;

	put_local_service(world);
	world_put(world, "node here addr=10.1.0.2");
	put_slice(world, "ep=10.1.0.1@here ep=10.1.0.2@there ep=10.1.0.3@her ep=10.1.0.4");
	assert_pools(world, "1* 2 3 4*", "1*"); /* 4 may be here: masqueraded, never preferred */
}

static void dropped_while_another_node_could_answer(void **state)
{
	static const struct {
		const char *endpoints;
		enum verdict verdict;
	} cases[] = {
		{"ep=10.1.0.1@there", V_DROP},     {"ep=10.1.0.1!st@there", V_DROP},
		{"ep=10.1.0.1!t@there", V_REJECT}, {"ep=10.1.0.1!s@there", V_REJECT},
		{"ep=10.1.0.1!t@here", V_REJECT},  {"ep=10.1.0.1", V_DROP},
		{"ep=10.1.0.1@here", V_FORWARD},   {"ep=10.1.0.1!st@here", V_FORWARD},
	};
	struct world *world = *state;

	put_local_service(world);
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		put_slice(world, cases[i].endpoints);
		world_compute(world);
		assert_verdict(world, LOCAL, cases[i].verdict);
	}
}

/* ---- E9 ---- */

static void pods_get_the_hints_that_nobody_wrote(void **state)
{
	struct world *world = *state;

#define WEB "service a/web vip=10.96.0.1 port=80/TCP select=app:web"
	world_put(world, "node here zone=za");
	world_put(world, "node near zone=za");
	world_put(world, "node far zone=zb");
	world_put(world, "pod a/one ip=10.1.0.1 label=app:web node=here");
	world_put(world, "pod a/two ip=10.1.0.2 label=app:web node=near");
	world_put(world, "pod a/three ip=10.1.0.3 label=app:web node=far");
	world_put(world, WEB);
	assert_pool(world, CLUSTER, "1* 2 3");
	world_put(world, WEB " prefer=zone");
	assert_pool(world, CLUSTER, "1* 2");
	world_put(world, WEB " prefer=node");
	assert_pool(world, CLUSTER, "1*");
	world_put(world, "pod a/one ip=10.1.0.1 label=app:web node=here notready");
	assert_pool(world, CLUSTER, "2");
	world_put(world, "node near zone=zb"); /* another node moves */
	assert_pool(world, CLUSTER, "2 3");
	world_put(world, "node here zone=zb");
	assert_pool(world, CLUSTER, "2 3");
	world_put(world, "node far");
	assert_pool(world, CLUSTER, "2 3"); /* one has no zone: none counts */
}

/* ---- the index of placed Services ---- */

static void assert_dirty(struct world *world, const char *expected)
{
	cleanup_free char *text = world_take_dirty(world);

	assert_string_equal(text, expected);
}

static void a_zone_marks_those_that_depend_on_places(void **state)
{
	struct world *world = *state;

	world_put(world, "service a/plain vip=10.96.0.1 port=80/TCP etp itp");
	world_put(world, "service a/hinted vip=10.96.0.2 port=80/TCP");
	world_put(world, "service a/prefers vip=10.96.0.3 port=80/TCP prefer=zone");
	world_put(world, "slice a/p of=plain port=80/TCP ep=10.1.0.1@here");
	world_put(world, "slice a/h of=hinted port=80/TCP ep=10.1.0.1 ep=10.1.0.2~za");
	assert_dirty(world, "a/hinted\na/plain\na/prefers\n");
	world_put(world, "node here zone=za");
	assert_dirty(world, "a/hinted\na/prefers\n");
	world_put(world, "node other zone=zb");
	assert_dirty(world, "a/hinted\na/prefers\n");
	world_put(world, "node other zone=zb addr=192.0.2.1");
	assert_dirty(world, "a/hinted\na/prefers\n");
	world_remove(world, "node here");
	assert_dirty(world, "a/hinted\na/prefers\n");
	/* a second slice with hints, the first one loses them: still placed; then no more */
	world_put(world, "slice a/h2 of=hinted port=80/TCP ep=10.1.0.3+here");
	world_put(world, "slice a/h of=hinted port=80/TCP ep=10.1.0.1");
	assert_dirty(world, "a/hinted\n");
	world_put(world, "node other zone=zc");
	assert_dirty(world, "a/hinted\na/prefers\n");
	world_remove(world, "slice a/h2");
	world_put(world, "service a/prefers vip=10.96.0.3 port=80/TCP");
	assert_dirty(world, "a/hinted\na/prefers\n");
	world_put(world, "node other zone=zd");
	assert_dirty(world, "");
}

/* A Service that goes takes its place in the index along, its slices keep it. */
static void placed_services_that_go(void **state)
{
	struct world *world = *state;

	world_put(world, "service a/web vip=10.96.0.1 port=80/TCP prefer=node");
	world_put(world, "slice a/s of=web port=80/TCP ep=10.1.0.1~za");
	world_remove(world, "service a/web");
	assert_dirty(world, "a/web\n");
	world_put(world, "node here zone=za");
	assert_dirty(world, "a/web\n");
	world_remove(world, "slice a/s");
	assert_dirty(world, "a/web\n");
	world_put(world, "node here zone=zb");
	assert_dirty(world, "");
}

static void a_nodes_address_marks_those_with_external_ones(void **state)
{
	struct world *world = *state;

	world_put(world, "service a/plain vip=10.96.0.1 port=80/TCP^30080");
	world_put(world, "service a/ext vip=10.96.0.2 port=80/TCP ext=198.18.0.1");
	world_put(world, "service a/lb vip=10.96.0.3 port=80/TCP lb=198.19.0.1");
	assert_dirty(world, "a/ext\na/lb\na/plain\n");
	world_put(world, "node other addr=198.18.0.1");
	assert_dirty(world, "a/ext\na/lb\n");
	world_put(world, "slice default/k of=kubernetes port=6443/TCP ep=192.0.2.1");
	assert_dirty(world, "a/ext\na/lb\ndefault/kubernetes\n");
	world_put(world, "service a/ext vip=10.96.0.2 port=80/TCP");
	assert_dirty(world, "a/ext\n");
	world_remove(world, "node other addr=198.18.0.1");
	assert_dirty(world, "a/lb\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(a_port_belongs_by_name_and_protocol),
		TEST(other_families_and_ports_of_zero),
		TEST(told_twice_the_one_that_runs_counts),
		TEST(ready_ones_then_those_that_serve_while_they_go),
		TEST(hints),
		TEST(local_by_the_nodes_name_alone),
		TEST(dropped_while_another_node_could_answer),
		TEST(pods_get_the_hints_that_nobody_wrote),
		TEST(a_zone_marks_those_that_depend_on_places),
		TEST(placed_services_that_go),
		TEST(a_nodes_address_marks_those_with_external_ones),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
