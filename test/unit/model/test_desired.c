/* SPDX-License-Identifier: Apache-2.0 */
/* What of the objects makes which frontend: rules D1 to D10 of desired.c, a case each, through the
 * cache; and which change makes which Service be computed again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "make.h"
#include "world.h"

#define WEB    "service a/web vip=10.96.0.1 port=80/TCP>8080 select=app:web"
#define FE     "frontend 10.96.0.1:80/TCP owner=a/web"
#define SERVED FE " verdict=forward snat=nonlocal priority=2\n"
#define EMPTY  FE " verdict=reject snat=nonlocal priority=2\n"

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

static void assert_model(struct world *world, const char *expected)
{
	cleanup_free char *text = NULL;

	world_compute(world);
	text = world_print_model(world);
	assert_string_equal(text, expected);
}

static void assert_dirty(struct world *world, const char *expected)
{
	cleanup_free char *text = world_take_dirty(world);

	assert_string_equal(text, expected);
}

/* ---- desired ---- */

static void services_left_to_others(void **state) /* D1 */
{
	struct world *world = *state;

	world_put(world, "service a/headless headless port=80/TCP");
	world_put(world, "service a/foreign vip=10.96.0.1 port=80/TCP foreign");
	world_put(world, "service a/external vip=10.96.0.2 port=80/TCP type=ExternalName");
	world_put(world, "service a/no-address port=80/TCP");
	assert_model(world, "");
}

static void an_address_and_port_each(void **state) /* D2, D8 */
{
	world_put(*state,
		  "service a/web vip=10.96.0.1 vip=fd00::1 port=http:80/TCP port=dns:53/UDP");
	assert_model(*state,
		     "frontend 10.96.0.1:53/UDP owner=a/web:dns verdict=reject snat=nonlocal "
		     "priority=2\n"
		     "frontend 10.96.0.1:80/TCP owner=a/web:http verdict=reject snat=nonlocal "
		     "priority=2\n"
		     "frontend [fd00::1]:53/UDP owner=a/web:dns verdict=reject snat=nonlocal "
		     "priority=2\n"
		     "frontend [fd00::1]:80/TCP owner=a/web:http verdict=reject snat=nonlocal "
		     "priority=2\n");
}

static void slices_then_endpoints_then_pods(void **state) /* D3 */
{
	struct world *world = *state;

	world_put(world, WEB);
	world_put(world, "pod a/p ip=10.1.0.1 label=app:web");
	assert_model(world, SERVED "  endpoint 10.1.0.1:8080 weight=1 local\n");
	world_put(world, "endpoints a/web subset port=8081/TCP ep=10.1.0.2");
	assert_model(world, SERVED "  endpoint 10.1.0.2:8081 weight=1 local\n");
	world_put(world, "slice a/s of=web port=8082/TCP ep=10.1.0.3@there");
	assert_model(world, SERVED "  endpoint 10.1.0.3:8082 weight=1\n");
	world_put(world, "slice a/s of=web port=8082/TCP"); /* empty, and still the slices count */
	assert_model(world, EMPTY);
	world_remove(world, "slice a/s of=web");
	assert_model(world, SERVED "  endpoint 10.1.0.2:8081 weight=1 local\n");
	world_remove(world, "endpoints a/web");
	assert_model(world, SERVED "  endpoint 10.1.0.1:8080 weight=1 local\n");
}

static void ports_by_name_and_protocol(void **state) /* D4 */
{
	world_put(*state, "service a/web vip=10.96.0.1 port=x:80/TCP port=y:80/UDP");
	world_put(*state, "slice a/s of=web port=x:1/UDP port=y:2/UDP port=z:3/TCP ep=10.1.0.1");
	assert_model(*state,
		     "frontend 10.96.0.1:80/TCP owner=a/web:x verdict=reject snat=nonlocal "
		     "priority=2\n"
		     "frontend 10.96.0.1:80/UDP owner=a/web:y verdict=forward snat=nonlocal "
		     "priority=2\n  endpoint 10.1.0.1:2 weight=1 local\n");
}

static void endpoints_that_leave(void **state) /* D5, D6 */
{
	struct world *world = *state;

	world_put(world, WEB);
	world_put(world, "slice a/s of=web port=8080/TCP ep=10.1.0.1!rs ep=10.1.0.2!st "
			 "ep=10.1.0.3!t ep=10.1.0.4!s");
	assert_model(world, SERVED "  endpoint 10.1.0.1:8080 weight=1 local\n"
				   "  endpoint 10.1.0.2:8080 weight=1 drain local\n");
	world_put(world,
		  "slice a/s of=web port=8080/TCP ep=10.1.0.2!st ep=10.1.0.3!t ep=10.1.0.4!s");
	assert_model(world, SERVED "  endpoint 10.1.0.2:8080 weight=1 local\n");
	world_put(world, "slice a/s of=web port=8080/TCP ep=10.1.0.3!t ep=10.1.0.4!s");
	assert_model(world, EMPTY);
}

static void told_twice(void **state) /* D7 */
{
	struct world *world = *state;

	world_put(world, WEB);
	world_put(world, "slice a/one of=web port=8080/TCP ep=10.1.0.1!st ep=10.1.0.2 ep=10.1.0.3");
	world_put(world,
		  "slice a/two of=web port=8080/TCP ep=10.1.0.1 ep=10.1.0.2!st ep=10.1.0.3!");
	assert_model(world, SERVED "  endpoint 10.1.0.1:8080 weight=1 local\n"
				   "  endpoint 10.1.0.2:8080 weight=1 local\n"
				   "  endpoint 10.1.0.3:8080 weight=1 local\n");
}

/* Whatever differs, it does not matter which slice was there first. */
static void told_twice_in_any_order(void **state)
{
	static const struct {
		const char *a, *b;
	} pairs[] = {
		{"@here", "@there"}, {"!st", "!t"}, {"!rs", "!st"}, {"!rst", "!st"}, {"!r", "!"}};
	struct world *world = *state;
	char text[100];

	world_put(world, WEB);
	for (size_t i = 0; i < ARRAY_SIZE(pairs); i++) {
		cleanup_free char *one = NULL, *other = NULL;

		for (int turned = 0; turned < 2; turned++) {
			world_remove(world, "slice a/one");
			world_remove(world, "slice a/two");
			for (int second = 0; second < 2; second++) {
				snprintf(text, sizeof(text),
					 "slice a/%s of=web port=8080/TCP ep=10.1.0.1%s",
					 second ? "two" : "one",
					 second == turned ? pairs[i].a : pairs[i].b);
				world_put(world, text);
			}
			world_compute(world);
			*(turned ? &one : &other) = world_print_model(world);
		}
		assert_string_equal(one, other);
	}
}

static void pods_in_their_states(void **state)
{
	struct world *world = *state;

	world_put(world, WEB);
	world_put(world, "pod a/ready ip=10.1.0.1 label=app:web node=here");
	world_put(world, "pod a/other ip=10.1.0.2 label=app:web node=there");
	world_put(world, "pod a/starts ip=10.1.0.3 label=app:web notready");
	world_put(world, "pod a/leaves ip=10.1.0.4 label=app:web terminating");
	world_put(world, "pod a/done ip=10.1.0.5 label=app:web finished");
	world_put(world, "pod a/early label=app:web");
	world_put(world, "pod b/elsewhere ip=10.1.0.6 label=app:web");
	assert_model(world, SERVED "  endpoint 10.1.0.1:8080 weight=1 local\n"
				   "  endpoint 10.1.0.2:8080 weight=1\n"
				   "  endpoint 10.1.0.4:8080 weight=1 drain local\n");
	world_put(world, WEB " publish");
	assert_model(world, SERVED "  endpoint 10.1.0.1:8080 weight=1 local\n"
				   "  endpoint 10.1.0.2:8080 weight=1\n"
				   "  endpoint 10.1.0.3:8080 weight=1 local\n"
				   "  endpoint 10.1.0.4:8080 weight=1 drain local\n");
}

static void all_labels_of_a_selector(void **state)
{
	struct world *world = *state;

	world_put(world,
		  "service a/web vip=10.96.0.1 port=80/TCP>8080 select=app:web select=tier:x");
	world_put(world, "pod a/one ip=10.1.0.1 label=app:web label=tier:x label=more:y");
	world_put(world, "pod a/two ip=10.1.0.2 label=app:web");
	world_put(world, "pod a/three ip=10.1.0.3 label=tier:x");
	world_put(world, "pod a/four ip=10.1.0.4 label=app:web label=tier:y");
	assert_model(world, SERVED "  endpoint 10.1.0.1:8080 weight=1 local\n");
}

static void named_target_ports(void **state)
{
	struct world *world = *state;

	world_put(world, "service a/web vip=10.96.0.1 port=80/TCP>www select=app:web");
	world_put(world, "pod a/one ip=10.1.0.1 label=app:web port=www:8001/TCP");
	world_put(world, "pod a/two ip=10.1.0.2 label=app:web port=www:8002/UDP port=www:8003/TCP");
	world_put(world, "pod a/none ip=10.1.0.3 label=app:web port=other:8004/TCP");
	assert_model(world, SERVED "  endpoint 10.1.0.1:8001 weight=1 local\n"
				   "  endpoint 10.1.0.2:8003 weight=1 local\n");
	world_put(world, "service a/web vip=10.96.0.1 port=80/TCP select=app:web");
	assert_model(world, SERVED "  endpoint 10.1.0.1:80 weight=1 local\n"
				   "  endpoint 10.1.0.2:80 weight=1 local\n"
				   "  endpoint 10.1.0.3:80 weight=1 local\n");
}

static void who_comes_first(void **state) /* D9 */
{
	struct world *world = *state;

	world_put(world, "service default/kubernetes vip=10.96.0.1 port=443/TCP");
	world_put(world, "service kube-system/dns vip=10.96.0.2 port=d:53/UDP port=m:9153/TCP");
	world_put(world, "service other/kubernetes vip=10.96.0.3 port=53/TCP");
	assert_model(world, "frontend 10.96.0.1:443/TCP owner=default/kubernetes verdict=reject "
			    "snat=nonlocal priority=0\n"
			    "frontend 10.96.0.2:53/UDP owner=kube-system/dns:d verdict=reject "
			    "snat=nonlocal priority=1\n"
			    "frontend 10.96.0.2:9153/TCP owner=kube-system/dns:m verdict=reject "
			    "snat=nonlocal priority=2\n"
			    "frontend 10.96.0.3:53/TCP owner=other/kubernetes verdict=reject "
			    "snat=nonlocal priority=2\n");
}

static void schedulers(void **state) /* D10 */
{
	struct world *world = *state;

	world_put(world, WEB " ann=kube-router.io/service.scheduler:lc");
	assert_model(world, FE " verdict=reject snat=nonlocal scheduler=lc priority=2\n");
	world_put(world, WEB " ann=kube-router.io/service.scheduler:lc ann=vipd.dev/scheduler:sh");
	assert_model(world, FE " verdict=reject snat=nonlocal scheduler=sh priority=2\n");
	world_put(world, WEB " ann=vipd.dev/scheduler:typo");
	assert_model(world, EMPTY);
	world_put(world, WEB " affinity=77");
	assert_model(world, FE " verdict=reject snat=nonlocal affinity=77s priority=2\n");
}

/* ---- cache: who is computed again ---- */

static void a_change_marks_whom_it_touches(void **state)
{
	struct world *world = *state;

	world_put(world, WEB);
	world_put(world, "service a/other vip=10.96.0.2 port=80/TCP select=app:other");
	world_put(world, "service b/web vip=10.96.0.3 port=80/TCP select=app:web");
	assert_dirty(world, "a/other\na/web\nb/web\n");
	world_put(world, WEB); /* as it is already */
	assert_dirty(world, "");
	world_put(world, "pod a/p ip=10.1.0.1 label=app:web");
	assert_dirty(world, "a/web\n");
	world_put(world, "pod a/p ip=10.1.0.1 label=app:web notready");
	assert_dirty(world, "a/web\n");
	world_put(world, "pod a/p ip=10.1.0.1 label=app:other"); /* leaves one, comes to another */
	assert_dirty(world, "a/other\na/web\n");
	world_remove(world, "pod a/p");
	assert_dirty(world, "a/other\n");
	world_put(world, "pod a/nobody ip=10.1.0.1 label=app:nobody");
	world_put(world, "node n addr=192.0.2.1");
	assert_dirty(world, "");
	world_put(world, "slice a/s of=web port=80/TCP ep=10.1.0.1");
	assert_dirty(world, "a/web\n");
	world_put(world, "slice a/s of=other port=80/TCP ep=10.1.0.1");
	assert_dirty(world, "a/other\na/web\n");
	world_remove(world, "slice a/s");
	assert_dirty(world, "a/other\n");
	world_put(world, "endpoints b/web subset port=80/TCP ep=10.1.0.1");
	assert_dirty(world, "b/web\n");
	world_remove(world, "endpoints b/web");
	assert_dirty(world, "b/web\n");
	world_remove(world, "service a/web");
	assert_dirty(world, "a/web\n");
}

/* Slices and Pods may be there before their Service, and after it. */
static void any_order(void **state)
{
	struct world *world = *state;

	world_put(world, "slice a/s of=web port=8080/TCP ep=10.1.0.1");
	world_put(world, "pod a/p ip=10.1.0.2 label=app:web");
	assert_model(world, "");
	world_put(world, WEB);
	assert_model(world, SERVED "  endpoint 10.1.0.1:8080 weight=1 local\n");
	world_remove(world, "service a/web");
	assert_model(world, "");
	world_remove(world, "slice a/s");
	world_put(world, WEB);
	assert_model(world, SERVED "  endpoint 10.1.0.2:8080 weight=1 local\n");
}

static void counts_and_nodes(void **state)
{
	struct world *world = *state;

	world_put(world, "node n addr=192.0.2.1");
	world_put(world, WEB);
	world_put(world, WEB);
	assert_int_equal(cache_count(world->cache, OBJ_SERVICE), 1);
	assert_int_equal(cache_count(world->cache, OBJ_NODE), 1);
	assert_non_null(cache_node(world->cache, "n"));
	assert_null(cache_node(world->cache, "m"));
	world_remove(world, "node n");
	world_remove(world, "service a/web");
	assert_int_equal(cache_count(world->cache, OBJ_SERVICE), 0);
	assert_null(cache_node(world->cache, "n"));
	assert_dirty(world, "a/web\n");
	world_put(world, WEB);
	assert_dirty(world, "a/web\n");
	assert_int_equal(cache_mark_all(world->cache), 0);
	assert_dirty(world, "a/web\n");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(services_left_to_others),
		TEST(an_address_and_port_each),
		TEST(slices_then_endpoints_then_pods),
		TEST(ports_by_name_and_protocol),
		TEST(endpoints_that_leave),
		TEST(told_twice),
		TEST(told_twice_in_any_order),
		TEST(pods_in_their_states),
		TEST(all_labels_of_a_selector),
		TEST(named_target_ports),
		TEST(who_comes_first),
		TEST(schedulers),
		TEST(a_change_marks_whom_it_touches),
		TEST(any_order),
		TEST(counts_and_nodes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
