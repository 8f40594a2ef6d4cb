/* SPDX-License-Identifier: Apache-2.0 */
/* The model as a container of values: what is put, found, counted, told as changed, printed; pools
 * that are sorted, without repeats, and shared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "make.h"
#include "world.h"

static struct endpoint endpoint(const char *addr, uint16_t port, enum ep_state state)
{
	return (struct endpoint){
		.addr = make_addr(addr), .port = port, .state = (uint8_t)state, .weight = 1};
}

/* A frontend with one endpoint; a different `owner` is a different frontend. */
static struct frontend *frontend(const char *key_text, const char *owner)
{
	struct fe_key key = make_key(key_text);
	struct endpoint ep = endpoint("10.1.0.1", 8080, EP_ACTIVE);
	struct pool *pool = pool_new(&ep, 1);
	struct frontend *fe = frontend_new(&key, owner, pool);

	assert_non_null(fe);
	pool_unref(pool);
	return fe;
}

static void put(struct world *world, const char *key, const char *owner, int expected)
{
	assert_int_equal(model_put(world->model, frontend(key, owner)), expected);
}

static void put_ranked(struct world *world, const char *key, uint8_t priority)
{
	struct frontend *fe = frontend(key, "a/b");

	fe->priority = priority;
	assert_int_equal(model_put(world->model, fe), 1);
}

static void remove_key(struct world *world, const char *text, int expected)
{
	struct fe_key key = make_key(text);

	assert_int_equal(model_remove(world->model, &key), expected);
}

static void assert_changes(struct world *world, const char *expected)
{
	cleanup_free char *changes = world_take_changes(world);

	assert_string_equal(changes, expected);
}

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

static void put_find_remove(void **state)
{
	struct world *world = *state;
	struct fe_key key = make_key("10.96.0.1:80/TCP"), udp = make_key("10.96.0.1:80/UDP");

	assert_null(model_find(world->model, &key));
	put(world, "10.96.0.1:80/TCP", "a/b", 1);
	put(world, "10.96.0.1:80/TCP", "a/b", 0);
	assert_string_equal(model_find(world->model, &key)->owner, "a/b");
	assert_null(model_find(world->model, &udp));
	put(world, "10.96.0.1:80/TCP", "a/c", 1);
	assert_string_equal(model_find(world->model, &key)->owner, "a/c");
	assert_int_equal(model_count(world->model), 1);
	remove_key(world, "10.96.0.1:80/UDP", 0);
	remove_key(world, "10.96.0.1:80/TCP", 1);
	remove_key(world, "10.96.0.1:80/TCP", 0);
	assert_null(model_find(world->model, &key));
	assert_int_equal(model_count(world->model), 0);
}

/* Every field of a frontend is one that a backend may have to act on. */
static void every_field_counts(void **state)
{
	struct frontend *a = frontend("10.96.0.1:80/TCP", "a/b"), *b;
	struct endpoint ep[] = {endpoint("10.1.0.1", 8080, EP_ACTIVE),
				endpoint("10.1.0.2", 8080, EP_ACTIVE)};
	struct ip_prefix net;

	(void)state;
	assert_int_equal(prefix_parse("10.0.0.0/8", &net), 0);
	for (int field = 0; field < 17; field++) {
		b = frontend("10.96.0.1:80/TCP", field == 0 ? "a/c" : "a/b");
		b->key.scope = field == 1 ? SCOPE_NODEPORT : SCOPE_VIP;
		b->inner = field == 2;
		if (field == 13)
			b->via = a->key;
		if (field == 14)
			b->via_cluster = a->key;
		if (field >= 15)
			b->ranges = ranges_new(NULL, 0);
		b->lb.affinity_sec = field == 3;
		b->lb.sched_flags = field == 4;
		b->lb.scheduler[0] = field == 5 ? 'x' : '\0';
		b->verdict = field == 6 ? V_REJECT : V_FORWARD;
		b->snat = field == 7 ? SNAT_ALWAYS : SNAT_NEVER;
		b->priority = field == 8 ? PRIO_DNS : PRIO_NORMAL;
		if (field == 9) {
			pool_unref(b->pool);
			b->pool = pool_new(ep, 2);
		}
		b->pool->ep[0].weight = field == 10 ? 2 : 1;
		b->pool->ep[0].local = field == 11;
		b->pool->ep[0].state = field == 12 ? EP_DRAIN : EP_ACTIVE;
		a->ranges = field == 16 ? ranges_new(&net, 1) : NULL;
		assert_false(frontend_equal(a, b));
		assert_false(frontend_equal(b, a));
		ranges_unref(take_ptr(a->ranges));
		frontend_free(b);
	}
	b = frontend("10.96.0.1:80/TCP", "a/b");
	assert_true(frontend_equal(a, b));
	frontend_free(a);
	frontend_free(b);
}

static void changes_by_priority_then_key(void **state)
{
	struct world *world = *state;

	put_ranked(world, "10.96.0.2:80/TCP", PRIO_NORMAL);
	put_ranked(world, "[fd00::1]:80/TCP", PRIO_NORMAL);
	put_ranked(world, "10.96.0.2:80/SCTP", PRIO_NORMAL);
	put_ranked(world, "10.96.0.2:8/TCP", PRIO_NORMAL);
	put_ranked(world, "10.96.0.10:53/UDP", PRIO_DNS);
	put_ranked(world, "10.96.0.9:443/TCP", PRIO_API_SERVER);
	assert_changes(world, "10.96.0.9:443/TCP\n10.96.0.10:53/UDP\n10.96.0.2:8/TCP\n"
			      "10.96.0.2:80/TCP\n10.96.0.2:80/SCTP\n[fd00::1]:80/TCP\n");
	assert_changes(world, "");
	/* what is gone keeps its place */
	remove_key(world, "10.96.0.2:8/TCP", 1);
	remove_key(world, "10.96.0.9:443/TCP", 1);
	assert_changes(world, "10.96.0.9:443/TCP\n10.96.0.2:8/TCP\n");
}

/* Only the difference between one taking and the next is told, whatever happened in between. */
static void changes_are_differences(void **state)
{
	struct world *world = *state;

	put(world, "10.96.0.1:80/TCP", "a/b", 1);
	put(world, "10.96.0.1:80/TCP", "a/c", 1);
	assert_changes(world, "10.96.0.1:80/TCP\n");
	put(world, "10.96.0.1:80/TCP", "a/b", 1);
	put(world, "10.96.0.1:80/TCP", "a/c", 1);
	assert_changes(world, "");
	remove_key(world, "10.96.0.1:80/TCP", 1);
	put(world, "10.96.0.1:80/TCP", "a/c", 1);
	assert_changes(world, "");
	put(world, "10.96.0.2:80/TCP", "a/b", 1);
	remove_key(world, "10.96.0.2:80/TCP", 1);
	assert_changes(world, "");
	remove_key(world, "10.96.0.1:80/TCP", 1);
	assert_changes(world, "10.96.0.1:80/TCP\n");
}

static void a_vip_counts_its_frontends(void **state)
{
	struct world *world = *state;
	struct ip_addr vip = make_addr("10.96.0.1");
	struct frontend *node_port = frontend("10.96.0.1:30080/TCP", "a/b");

	node_port->key.scope = SCOPE_NODEPORT;
	assert_int_equal(model_put(world->model, node_port), 1);
	assert_int_equal(model_vip_count(world->model, &vip), 0);
	put(world, "10.96.0.1:80/TCP", "a/b", 1);
	put(world, "10.96.0.1:80/UDP", "a/b", 1);
	put(world, "10.96.0.1:80/UDP", "a/c", 1);
	put(world, "10.96.0.2:80/UDP", "a/b", 1);
	assert_int_equal(model_vip_count(world->model, &vip), 2);
	remove_key(world, "10.96.0.1:80/TCP", 1);
	assert_int_equal(model_vip_count(world->model, &vip), 1);
	remove_key(world, "10.96.0.1:80/UDP", 1);
	assert_int_equal(model_vip_count(world->model, &vip), 0);
}

static void pools_are_sorted_sets(void **state)
{
	struct endpoint ep[] = {
		endpoint("fd00::2", 80, EP_ACTIVE),    endpoint("10.1.0.2", 80, EP_DRAIN),
		endpoint("10.1.0.10", 80, EP_ACTIVE),  endpoint("10.1.0.2", 80, EP_ACTIVE),
		endpoint("10.1.0.2", 8080, EP_ACTIVE), endpoint("10.1.0.10", 80, EP_ACTIVE),
	};
	struct pool *pool;

	(void)state;
	ep[5].local = true;
	pool = pool_new(ep, ARRAY_SIZE(ep));
	assert_int_equal(pool->n, 4);
	assert_true(addr_equal(&pool->ep[0].addr, &(struct ip_addr){AF_INET, {0}, {10, 1, 0, 2}}));
	assert_int_equal(pool->ep[0].state, EP_ACTIVE); /* the active one of the two is kept */
	assert_int_equal(pool->ep[1].port, 8080);
	assert_int_equal(pool->ep[2].addr.bytes[3], 10);
	assert_true(pool->ep[2].local); /* one of the two is */
	assert_int_equal(pool->ep[3].addr.family, AF_INET6);
	pool_unref(pool);
	pool = pool_new(NULL, 0);
	assert_int_equal(pool->n, 0);
	assert_false(pool_usable(pool));
	pool_unref(pool);
	pool_unref(NULL);
}

static void usable_means_new_flows(void **state)
{
	static const struct {
		enum ep_state state;
		uint32_t weight;
		bool usable;
	} cases[] = {{EP_ACTIVE, 1, true}, {EP_ACTIVE, 0, false}, {EP_DRAIN, 1, false}};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct endpoint ep[] = {endpoint("10.1.0.1", 80, EP_DRAIN),
					endpoint("10.1.0.2", 80, cases[i].state)};
		struct pool *pool;

		ep[1].weight = cases[i].weight;
		pool = pool_new(ep, 2);
		assert_int_equal(pool_usable(pool), cases[i].usable);
		pool_unref(pool);
	}
}

static void a_pool_lives_while_it_is_used(void **state)
{
	struct endpoint ep = endpoint("10.1.0.1", 80, EP_ACTIVE);
	struct pool *pool = pool_new(&ep, 1), *twin = pool_new(&ep, 1);
	struct fe_key key = make_key("10.96.0.1:80/TCP"), other = make_key("10.96.0.2:80/TCP");
	struct frontend *a = frontend_new(&key, "a/b", pool),
			*b = frontend_new(&other, "a/b", pool);

	(void)state;
	assert_int_equal(pool->refs, 3);
	pool_unref(pool);
	frontend_free(a);
	assert_ptr_equal(b->pool, pool);
	assert_int_equal(pool->refs, 1);
	assert_true(pool_equal(pool, twin));
	twin->ep[0].port++;
	assert_false(pool_equal(pool, twin));
	frontend_free(b);
	pool_unref(twin);
	frontend_free(NULL);
}

static void keys_in_words(void **state)
{
	struct fe_key key = make_key("[fd00::1]:53/UDP");
	char text[FE_KEY_TEXT_MAX];

	(void)state;
	assert_string_equal(fe_key_format(&key, text), "[fd00::1]:53/UDP");
	key = fe_key_node_port(AF_INET, 30080, IPPROTO_TCP);
	assert_string_equal(fe_key_format(&key, text), "node:30080/TCP");
	key = fe_key_node_port(AF_INET6, 30080, IPPROTO_SCTP);
	assert_string_equal(fe_key_format(&key, text), "node6:30080/SCTP");
}

static void printed_with_all_it_has(void **state)
{
	struct world *world = *state;
	struct endpoint ep[] = {endpoint("10.1.0.2", 80, EP_DRAIN),
				endpoint("10.1.0.1", 80, EP_ACTIVE)};
	struct fe_key key = make_key("10.96.0.2:80/TCP");
	struct pool *pool;
	struct frontend *fe;
	cleanup_free char *text = NULL;

	ep[1].local = true;
	ep[1].weight = 7;
	pool = pool_new(ep, 2);
	fe = frontend_new(&key, "a/b:http", pool);
	pool_unref(pool);
	strcpy(fe->lb.scheduler, "sh");
	fe->lb.sched_flags = 0x18;
	fe->lb.affinity_sec = 30;
	fe->snat = SNAT_NONLOCAL;
	assert_int_equal(model_put(world->model, fe), 1);
	put_ranked(world, "10.96.0.9:443/TCP", PRIO_API_SERVER);
	text = world_print_model(world);
	assert_string_equal(
		text, "frontend 10.96.0.9:443/TCP owner=a/b verdict=forward snat=never priority=0\n"
		      "  endpoint 10.1.0.1:8080 weight=1\n"
		      "frontend 10.96.0.2:80/TCP owner=a/b:http verdict=forward snat=nonlocal "
		      "scheduler=sh flags=0x18 affinity=30s priority=2\n"
		      "  endpoint 10.1.0.1:80 weight=7 local\n"
		      "  endpoint 10.1.0.2:80 weight=1 drain\n");
}

/* Enough of them that a table has to grow, and more than once. */
static void many_keys(void **state)
{
	struct world *world = *state;
	cleanup_free struct fe_key *keys = NULL;

	for (unsigned i = 0; i < 3000; i++) {
		char key[FE_KEY_TEXT_MAX];

		snprintf(key, sizeof(key), "10.96.%u.%u:80/TCP", (i * 7 % 3000) / 250,
			 (i * 7 % 3000) % 250);
		put(world, key, "a/b", 1);
	}
	assert_int_equal(model_keys(world->model, &keys), 3000);
	for (size_t i = 1; i < 3000; i++)
		assert_true(fe_key_cmp(&keys[i - 1], &keys[i]) < 0);
}

int main(void)
{
#define WITH_WORLD(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
	const struct CMUnitTest tests[] = {
		WITH_WORLD(put_find_remove),
		cmocka_unit_test(every_field_counts),
		WITH_WORLD(changes_by_priority_then_key),
		WITH_WORLD(changes_are_differences),
		WITH_WORLD(a_vip_counts_its_frontends),
		cmocka_unit_test(pools_are_sorted_sets),
		cmocka_unit_test(usable_means_new_flows),
		cmocka_unit_test(a_pool_lives_while_it_is_used),
		cmocka_unit_test(keys_in_words),
		WITH_WORLD(printed_with_all_it_has),
		WITH_WORLD(many_keys),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
