/* SPDX-License-Identifier: Apache-2.0 */
/* Ways into a Service that are not its cluster IP: which there are and where they lead (rules D2 to
 * D8 of desired.c), who has one that two want, and in which order changes are told. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "make.h"
#include "world.h"

#define BOTH "slice a/s of=web port=8080/TCP ep=10.1.0.1@here ep=10.1.0.2@there"
#define FAR  "slice a/s of=web port=8080/TCP ep=10.1.0.2@there"
#define NEAR "slice a/s of=web port=8080/TCP ep=10.1.0.1@here"

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

static void assert_changes(struct world *world, const char *expected)
{
	cleanup_free char *changes = NULL;

	world_compute(world);
	changes = world_take_changes(world);
	assert_string_equal(changes, expected);
}

static void assert_waiting(struct world *world, const char *expected)
{
	cleanup_free char *text = world_print_waiting(world);

	assert_string_equal(text, expected);
}

/* The owner of what the frontend leads to; "" = nowhere. */
static void assert_leads(struct world *world, const char *key_text, bool cluster,
			 const char *expected)
{
	struct fe_key key = make_key(key_text);
	const struct frontend *fe = model_find(world->model, &key), *via;
	char text[FE_KEY_TEXT_MAX];

	assert_non_null(fe);
	via = model_via(world->model, fe, cluster);
	assert_string_equal(via ? fe_key_format(&via->key, text) : "", expected);
}

static void assert_note(struct world *world, const char *part)
{
	world_compute(world);
	if (!part)
		assert_null(world->note);
	else if (!world->note || !strstr(world->note, part))
		fail_msg("\"%s\" does not say \"%s\"", world->note ? world->note : "", part);
}

/* ---- D2, D3: which there are ---- */

static void every_kind_leads_to_the_cluster_ip(void **state)
{
	world_put(*state, BOTH);
	world_put(*state, "service a/web vip=10.96.0.1 port=80/TCP^30080 ext=198.18.0.1 "
			  "lb=198.19.0.1 lb=198.19.0.2!proxy");
	assert_model(*state,
		     "frontend 10.96.0.1:80/TCP owner=a/web verdict=forward snat=nonlocal "
		     "priority=2\n"
		     "  endpoint 10.1.0.1:8080 weight=1 local\n"
		     "  endpoint 10.1.0.2:8080 weight=1\n"
		     "frontend node:30080/TCP owner=a/web via=10.96.0.1:80/TCP snat=always "
		     "priority=2\n"
		     "frontend 198.18.0.1:80/TCP owner=a/web via=10.96.0.1:80/TCP snat=always "
		     "priority=2\n"
		     "frontend 198.19.0.1:80/TCP owner=a/web via=10.96.0.1:80/TCP snat=always "
		     "priority=2\n");
}

static void each_port_has_its_own(void **state)
{
	world_put(*state, "service a/web vip=10.96.0.1 port=h:80/TCP^30080 port=d:53/UDP "
			  "ext=198.18.0.1");
	assert_model(*state,
		     "frontend 10.96.0.1:53/UDP owner=a/web:d verdict=reject snat=nonlocal "
		     "priority=2\n"
		     "frontend 10.96.0.1:80/TCP owner=a/web:h verdict=reject snat=nonlocal "
		     "priority=2\n"
		     "frontend node:30080/TCP owner=a/web:h via=10.96.0.1:80/TCP snat=always "
		     "priority=2\n"
		     "frontend 198.18.0.1:53/UDP owner=a/web:d via=10.96.0.1:53/UDP snat=always "
		     "priority=2\n"
		     "frontend 198.18.0.1:80/TCP owner=a/web:h via=10.96.0.1:80/TCP snat=always "
		     "priority=2\n");
}

/* Of a family that the Service has no cluster IP of there is none. */
static void of_its_families_alone(void **state)
{
	world_put(*state, "service a/web vip=fd00::1 port=80/TCP^30080 ext=198.18.0.1 ext=fd01::1 "
			  "lb=198.19.0.1");
	assert_model(*state,
		     "frontend [fd00::1]:80/TCP owner=a/web verdict=reject snat=nonlocal "
		     "priority=2\n"
		     "frontend node6:30080/TCP owner=a/web via=[fd00::1]:80/TCP snat=always "
		     "priority=2\n"
		     "frontend [fd01::1]:80/TCP owner=a/web via=[fd00::1]:80/TCP snat=always "
		     "priority=2\n");
}

static void one_that_is_named_twice(void **state)
{
	world_put(*state, "service a/web vip=10.96.0.1 port=80/TCP lb=198.18.0.1 ext=198.18.0.1 "
			  "ext=10.96.0.1 from=10.0.0.0/8");
	assert_model(*state,
		     "frontend 10.96.0.1:80/TCP owner=a/web verdict=reject snat=nonlocal "
		     "priority=2\n"
		     "frontend 198.18.0.1:80/TCP owner=a/web via=10.96.0.1:80/TCP snat=always "
		     "priority=2\n"
		     "  from 10.0.0.0/8\n");
}

static void two_ports_that_name_one_node_port(void **state)
{
	world_put(*state, "service a/web vip=10.96.0.1 port=a:80/TCP^30080 port=b:81/TCP^30080 "
			  "port=c:80/UDP^30080");
	assert_model(*state, "frontend 10.96.0.1:80/TCP owner=a/web:a verdict=reject snat=nonlocal "
			     "priority=2\n"
			     "frontend 10.96.0.1:80/UDP owner=a/web:c verdict=reject snat=nonlocal "
			     "priority=2\n"
			     "frontend 10.96.0.1:81/TCP owner=a/web:b verdict=reject snat=nonlocal "
			     "priority=2\n"
			     "frontend node:30080/TCP owner=a/web:a via=10.96.0.1:80/TCP "
			     "snat=always priority=2\n"
			     "frontend node:30080/UDP owner=a/web:c via=10.96.0.1:80/UDP "
			     "snat=always priority=2\n");
}

/* ---- D4, D5, D6: policies ---- */

#define LOCAL_SERVICE "service a/web vip=10.96.0.1 port=80/TCP^30080 "
#define OWN           "frontend 10.96.0.1:80/TCP owner=a/web verdict="
#define INNER_LOCAL   "frontend 10.96.0.1:49313/TCP owner=a/web inner verdict="
#define INNER_ALL     "frontend 10.96.0.1:49312/TCP owner=a/web inner verdict="
#define REST          " snat=nonlocal priority=2\n"
#define HERE          "  endpoint 10.1.0.1:8080 weight=1 local\n"
#define THERE         "  endpoint 10.1.0.2:8080 weight=1\n"

static void outside_comes_to_this_nodes_endpoints(void **state)
{
	struct world *world = *state;

#define SPLIT_ENTRANCE                                                 \
	"frontend node:30080/TCP owner=a/web via=10.96.0.1:49313/TCP " \
	"via-cluster=10.96.0.1:80/TCP snat=never priority=2\n"
	world_put(world, LOCAL_SERVICE "etp");
	world_put(world, BOTH);
	assert_model(world,
		     OWN "forward" REST HERE THERE INNER_LOCAL "forward" REST HERE SPLIT_ENTRANCE);
	world_put(world, NEAR);
	assert_model(world, OWN "forward" REST HERE INNER_LOCAL "forward" REST HERE SPLIT_ENTRANCE);
	world_put(world, FAR); /* D6: a load balancer shall try another node */
	assert_model(world, OWN "forward" REST THERE INNER_LOCAL "drop" REST SPLIT_ENTRANCE);
	world_remove(world, "slice a/s"); /* there is none to try */
	assert_model(world, OWN "reject" REST INNER_LOCAL "reject" REST SPLIT_ENTRANCE);
}

static void internal_traffic_stays(void **state)
{
	struct world *world = *state;

	world_put(world, "service a/web vip=10.96.0.1 port=80/TCP itp");
	world_put(world, BOTH);
	assert_model(world, OWN "forward" REST HERE);
	world_put(world, FAR); /* never dropped: who asks is here and shall know */
	assert_model(world, OWN "reject" REST);
}

static void internal_traffic_stays_entrances_lead_everywhere(void **state)
{
	world_put(*state, LOCAL_SERVICE "itp");
	world_put(*state, BOTH);
	assert_model(*state,
		     OWN "forward" REST HERE INNER_ALL "forward" REST HERE THERE
			 "frontend node:30080/TCP owner=a/web via=10.96.0.1:49312/TCP snat=always "
			 "priority=2\n");
}

static void both_policies(void **state)
{
	world_put(*state, LOCAL_SERVICE "itp etp");
	world_put(*state, FAR);
	assert_model(*state,
		     OWN "reject" REST INNER_ALL "forward" REST THERE INNER_LOCAL "drop" REST
			 "frontend node:30080/TCP owner=a/web via=10.96.0.1:49313/TCP "
			 "via-cluster=10.96.0.1:49312/TCP snat=never priority=2\n");
}

/* Without an entrance nobody comes from outside: no server for them. */
static void a_policy_without_an_entrance(void **state)
{
	world_put(*state, "service a/web vip=10.96.0.1 port=80/TCP etp lb=198.19.0.1!proxy");
	world_put(*state, BOTH);
	assert_model(*state, OWN "forward" REST HERE THERE);
}

/* Inner ports keep clear of the Service's own ports, of each other, and of other protocols'. */
static void inner_ports_keep_clear(void **state)
{
	struct world *world = *state;

	world_put(world, "service a/web vip=10.96.0.1 port=a:80/TCP^30080 port=b:49313/TCP "
			 "port=c:49314/UDP etp");
	world_compute(world);
	assert_leads(world, "node:30080/TCP", false, "10.96.0.1:49314/TCP");
	assert_leads(world, "node:30080/TCP", true, "10.96.0.1:80/TCP");
	/* 49152 + 2 * 57345 + 1 mod 16384 = 49155 is the second's first choice too */
	world_put(world,
		  "service a/web vip=10.96.0.1 port=a:1/TCP^30080 port=b:57345/TCP^30081 etp");
	world_compute(world);
	assert_leads(world, "node:30080/TCP", false, "10.96.0.1:49155/TCP");
	assert_leads(world, "node:30081/TCP", false, "10.96.0.1:49156/TCP");
}

static void servers_keep_what_the_service_says(void **state)
{
	world_put(*state, LOCAL_SERVICE "itp etp affinity=60 ann=vipd.dev/scheduler:sh");
	assert_model(*state,
		     OWN "reject snat=nonlocal scheduler=sh affinity=60s priority=2\n" INNER_ALL
			 "reject snat=nonlocal scheduler=sh affinity=60s priority=2\n" INNER_LOCAL
			 "reject snat=nonlocal scheduler=sh affinity=60s priority=2\n"
			 "frontend node:30080/TCP owner=a/web via=10.96.0.1:49313/TCP "
			 "via-cluster=10.96.0.1:49312/TCP snat=never priority=2\n");
}

/* ---- D7: ranges ---- */

static void ranges_hold_for_load_balancer_ips_alone(void **state)
{
	world_put(*state,
		  "service a/web vip=10.96.0.1 vip=fd00::1 port=80/TCP^30080 ext=198.18.0.1 "
		  "lb=198.19.0.1 lb=fd01::1 from=10.1.0.0/16 from=10.0.0.0/8 from=192.0.2.0/24 "
		  "from=192.0.2.0/24");
	assert_model(*state,
		     "frontend 10.96.0.1:80/TCP owner=a/web verdict=reject" REST
		     "frontend [fd00::1]:80/TCP owner=a/web verdict=reject" REST
		     "frontend node:30080/TCP owner=a/web via=10.96.0.1:80/TCP snat=always "
		     "priority=2\n"
		     "frontend 198.18.0.1:80/TCP owner=a/web via=10.96.0.1:80/TCP snat=always "
		     "priority=2\n"
		     "frontend 198.19.0.1:80/TCP owner=a/web via=10.96.0.1:80/TCP snat=always "
		     "priority=2\n  from 10.0.0.0/8\n  from 192.0.2.0/24\n"
		     "frontend node6:30080/TCP owner=a/web via=[fd00::1]:80/TCP snat=always "
		     "priority=2\n"
		     "frontend [fd01::1]:80/TCP owner=a/web via=[fd00::1]:80/TCP snat=always "
		     "priority=2\n  from nobody\n");
}

static void assert_ranges(const char *expected, const char *nets)
{
	cleanup_free char *words = strdup(nets);
	struct ip_prefix list[16];
	struct ranges *ranges;
	char text[400] = "", one[PREFIX_TEXT_MAX], *place = NULL;
	size_t n = 0;

	for (char *word = strtok_r(words, " ", &place); word; word = strtok_r(NULL, " ", &place))
		list[n++] = make_net(word);
	ranges = ranges_new(list, n);
	assert_non_null(ranges);
	for (size_t i = 0; i < ranges->n; i++) {
		strcat(text, i ? " " : "");
		strcat(text, prefix_format(&ranges->net[i], one));
	}
	ranges_unref(ranges);
	assert_string_equal(text, expected);
}

static void ranges_within_ranges(void **state)
{
	(void)state;
	assert_ranges("", "");
	assert_ranges("10.0.0.0/8", "10.0.0.0/8 10.0.0.0/8");
	assert_ranges("10.0.0.0/8", "10.255.255.255/32 10.0.0.0/8 10.0.0.0/32 10.128.0.0/9");
	assert_ranges("10.0.0.0/9 10.128.0.0/9", "10.128.0.0/9 10.0.0.0/9");
	assert_ranges("0.0.0.0/0", "0.0.0.0/1 128.0.0.0/1 0.0.0.0/0 255.255.255.255/32");
	assert_ranges("10.1.0.0/16 10.2.0.0/16",
		      "10.2.0.0/16 10.1.0.0/16 10.1.0.0/24 10.1.255.0/24");
	assert_ranges("10.0.0.0/30 10.0.0.4/32", "10.0.0.4/32 10.0.0.3/32 10.0.0.0/30 10.0.0.0/31");
	assert_ranges("::/0", "::/0 fd00::/8 ::1/128");
	assert_ranges("fd00::/16 fd01::/16", "fd01::/16 fd00::1/128 fd00::/16");
	assert_ranges("0.0.0.0/0 ::/0", "::/0 0.0.0.0/0"); /* one is not within the other */
}

/* ---- D8: addresses that are not to be had ---- */

static void addresses_that_nobody_can_have(void **state)
{
	struct world *world = *state;

	world_put(world, "service a/web vip=10.96.0.1 port=80/TCP port=x:81/TCP ext=127.0.0.1 "
			 "lb=224.0.0.1");
	assert_note(world, "load balancer IP 224.0.0.1");
	assert_note(world, "external IP 127.0.0.1");
	assert_int_equal(model_count(world->model), 2);
	assert_null(strchr(strchr(world->note, ';') + 1, ';')); /* each once, not once a port */
}

static void addresses_of_nodes_and_of_the_api_server(void **state)
{
	struct world *world = *state;

	world_put(world, "node here addr=192.0.2.1");
	world_put(world, "node there addr=192.0.2.2");
	world_put(world, "slice default/k of=kubernetes port=6443/TCP ep=192.0.2.1 ep=192.0.2.9");
#define AT(addr, port) "service a/web vip=10.96.0.1 port=" port "/TCP ext=" addr
	world_put(world, AT("192.0.2.1", "80")); /* this node's own */
	assert_note(world, NULL);
	world_put(world, AT("192.0.2.1", "6443")); /* but not the API server's port there */
	assert_note(world, "the API server's");
	world_put(world, AT("192.0.2.2", "80"));
	assert_note(world, "another node's");
	assert_int_equal(model_count(world->model), 1);
	world_remove(world, "node there");
	assert_note(world, NULL);
	assert_int_equal(model_count(world->model), 2);
	world_put(world, AT("192.0.2.9", "80"));
	assert_note(world, "the API server's");
	world_remove(world, "slice default/k");
	assert_int_equal(model_count(world->model), 1);
	assert_note(world, NULL);
	assert_int_equal(model_count(world->model), 2);
}

/* Two nodes name one address; it stays taken until the last of them goes. */
static void an_address_that_two_nodes_name(void **state)
{
	struct world *world = *state;

	world_put(world, "node one addr=192.0.2.5");
	world_put(world, "node two addr=192.0.2.5");
	world_put(world, AT("192.0.2.5", "80"));
	assert_note(world, "another node's");
	world_remove(world, "node two");
	world_put(world, AT("192.0.2.5", "81"));
	assert_note(world, "another node's");
	world_put(world, "node here addr=192.0.2.5"); /* it is this node's as well: it is ours */
	assert_note(world, NULL);
	world_remove(world, "node here");
	assert_note(world, "another node's");
	world_remove(world, "node one");
	assert_note(world, NULL);
}

/* ---- claims ---- */

static void two_want_one_node_port(void **state)
{
	struct world *world = *state;

	world_put(world, "service a/old created=1 vip=10.96.0.1 port=80/TCP^30080");
	world_put(world, "service a/young created=2 vip=10.96.0.2 port=80/TCP^30080");
	world_compute(world);
	assert_leads(world, "node:30080/TCP", false, "10.96.0.1:80/TCP");
	assert_waiting(world, "a/young node:30080/TCP waits for a/old\n");
	assert_int_equal(model_count(world->model), 3); /* its cluster IP is its own */
	world_remove(world, "service a/old");
	world_compute(world);
	assert_leads(world, "node:30080/TCP", false, "10.96.0.2:80/TCP");
	assert_waiting(world, "");
	world_put(world, "service a/old created=1 vip=10.96.0.1 port=80/TCP^30080");
	world_compute(world);
	assert_leads(world, "node:30080/TCP", false, "10.96.0.1:80/TCP");
}

/* TCP and UDP, IPv4 and IPv6, a node port and a VIP's port: not the same thing. */
static void what_is_no_conflict(void **state)
{
	struct world *world = *state;

	world_put(world, "service a/one vip=10.96.0.1 port=80/TCP^30080 ext=198.18.0.1");
	world_put(world, "service a/two vip=10.96.0.2 port=80/UDP^30080 ext=198.18.0.1");
	world_put(world, "service a/six vip=fd00::1 port=80/TCP^30080 ext=fd01::1");
	world_put(world, "service a/vip vip=10.96.0.3 port=30080/TCP");
	world_compute(world);
	assert_waiting(world, "");
	assert_int_equal(model_count(world->model), 10);
}

static void two_want_one_external_ip(void **state)
{
	struct world *world = *state;

	world_put(world, "service a/young created=2 vip=10.96.0.2 port=80/TCP lb=198.18.0.1 "
			 "from=10.0.0.0/8");
	world_compute(world);
	assert_leads(world, "198.18.0.1:80/TCP", false, "10.96.0.2:80/TCP");
	world_put(world, "service a/old created=1 vip=10.96.0.1 port=80/TCP ext=198.18.0.1 etp");
	world_compute(world);
	assert_leads(world, "198.18.0.1:80/TCP", true, "10.96.0.1:80/TCP");
	assert_waiting(world, "a/young 198.18.0.1:80/TCP waits for a/old\n");
	world_remove(world, "service a/old");
	world_compute(world);
	assert_model(world, "frontend 10.96.0.2:80/TCP owner=a/young verdict=reject" REST
			    "frontend 198.18.0.1:80/TCP owner=a/young via=10.96.0.2:80/TCP "
			    "snat=always priority=2\n  from 10.0.0.0/8\n");
}

static void an_external_ip_that_is_a_cluster_ip(void **state)
{
	struct world *world = *state;

	world_put(world, "service a/taker created=2 vip=10.96.0.2 port=80/TCP ext=10.96.0.1");
	world_put(world, "service a/owner created=1 vip=10.96.0.1 port=80/TCP");
	world_compute(world);
	assert_waiting(world, "a/taker 10.96.0.1:80/TCP waits for a/owner\n");
	world_remove(world, "service a/owner");
	world_compute(world);
	assert_leads(world, "10.96.0.1:80/TCP", false, "10.96.0.2:80/TCP");
}

/* Who loses the cluster IP keeps the entrances, which lead nowhere until it is back. */
static void the_cluster_ip_changes_hands(void **state)
{
	struct world *world = *state;

	world_put(world,
		  "service a/young created=2 vip=10.96.0.1 port=80/TCP^30080 ext=198.18.0.1");
	assert_changes(world, "10.96.0.1:80/TCP\nnode:30080/TCP\n198.18.0.1:80/TCP\n");
	world_put(world, "service a/old created=1 vip=10.96.0.1 port=80/TCP");
	assert_changes(world, "10.96.0.1:80/TCP\nnode:30080/TCP\n198.18.0.1:80/TCP\n");
	assert_leads(world, "node:30080/TCP", false, "");
	assert_leads(world, "198.18.0.1:80/TCP", false, "");
	world_remove(world, "service a/old");
	assert_changes(world, "10.96.0.1:80/TCP\nnode:30080/TCP\n198.18.0.1:80/TCP\n");
	assert_leads(world, "node:30080/TCP", false, "10.96.0.1:80/TCP");
	assert_leads(world, "198.18.0.1:80/TCP", false, "10.96.0.1:80/TCP");
}

/* ---- changes ---- */

/* Removed entrances, servers, new entrances, removed servers: an entrance never leads to what is
 * not there. */
static void changes_in_an_order_that_never_leads_nowhere(void **state)
{
	struct world *world = *state;

	world_put(world, "service a/web vip=10.96.0.1 port=80/TCP^30080 ext=198.18.0.1");
	assert_changes(world, "10.96.0.1:80/TCP\nnode:30080/TCP\n198.18.0.1:80/TCP\n");
	world_put(world, "service a/web vip=10.96.0.2 port=80/TCP^30081 ext=198.18.0.1");
	assert_changes(world,
		       "node:30080/TCP\n10.96.0.2:80/TCP\nnode:30081/TCP\n198.18.0.1:80/TCP\n"
		       "10.96.0.1:80/TCP\n");
	world_remove(world, "service a/web");
	assert_changes(world, "node:30081/TCP\n198.18.0.1:80/TCP\n10.96.0.2:80/TCP\n");
}

/* A change of endpoints touches the one place where they are balanced. */
static void endpoints_touch_their_servers_alone(void **state)
{
	struct world *world = *state;

	world_put(world, LOCAL_SERVICE "etp ext=198.18.0.1 lb=198.19.0.1");
	world_put(world, FAR);
	assert_changes(world, "10.96.0.1:80/TCP\n10.96.0.1:49313/TCP\nnode:30080/TCP\n"
			      "198.18.0.1:80/TCP\n198.19.0.1:80/TCP\n");
	world_put(world, "slice a/s of=web port=8080/TCP ep=10.1.0.2@there ep=10.1.0.3@there");
	assert_changes(world, "10.96.0.1:80/TCP\n");
	world_put(world, BOTH);
	assert_changes(world, "10.96.0.1:80/TCP\n10.96.0.1:49313/TCP\n");
	world_put(world, LOCAL_SERVICE "etp ext=198.18.0.1 lb=198.19.0.1 from=10.0.0.0/8");
	assert_changes(world, "198.19.0.1:80/TCP\n");
}

/* In one batch the node port is another's and comes back, while what it leads to came. */
static void back_again_but_it_leads_somewhere_now(void **state)
{
	struct world *world = *state;

	world_put(world, "service a/first created=1 vip=10.96.0.1 port=80/TCP");
	world_put(world, "service a/web created=3 vip=10.96.0.1 port=80/TCP^30080");
	assert_changes(world, "10.96.0.1:80/TCP\nnode:30080/TCP\n");
	assert_leads(world, "node:30080/TCP", false, "");
	world_put(world, "service a/thief created=2 vip=10.96.0.2 port=80/TCP^30080");
	world_compute(world);
	world_remove(world, "service a/first");
	world_compute(world);
	world_remove(world, "service a/thief");
	assert_changes(world, "10.96.0.1:80/TCP\nnode:30080/TCP\n");
	assert_leads(world, "node:30080/TCP", false, "10.96.0.1:80/TCP");
}

static void put_frontend(struct world *world, const char *key_text, const char *via)
{
	struct fe_key key = make_key(key_text);
	struct pool *pool = via ? NULL : pool_new(NULL, 0);
	struct frontend *fe = frontend_new(&key, "a/web", pool);

	assert_non_null(fe);
	pool_unref(pool);
	if (via)
		fe->via = make_key(via);
	assert_int_equal(model_put(world->model, fe), 1);
}

/* Before or after what it leads to, and again without it. */
static void what_it_leads_to_goes_and_comes(void **state)
{
	struct world *world = *state;
	struct fe_key server = make_key("10.96.0.1:80/TCP");

	put_frontend(world, "node:30080/TCP", "10.96.0.1:80/TCP");
	assert_changes(world, "node:30080/TCP\n");
	assert_leads(world, "node:30080/TCP", false, "");
	put_frontend(world, "10.96.0.1:80/TCP", NULL);
	assert_changes(world, "10.96.0.1:80/TCP\nnode:30080/TCP\n");
	assert_leads(world, "node:30080/TCP", false, "10.96.0.1:80/TCP");
	assert_int_equal(model_remove(world->model, &server), 1);
	assert_changes(world, "node:30080/TCP\n10.96.0.1:80/TCP\n");
	assert_leads(world, "node:30080/TCP", false, "");
	put_frontend(world, "10.96.0.1:80/TCP", "10.96.0.2:80/TCP"); /* an entrance is no server */
	assert_changes(world, "10.96.0.1:80/TCP\n");
	assert_leads(world, "node:30080/TCP", false, "");
}

static void hands_changed_and_changed_back(void **state)
{
	struct world *world = *state;

	world_put(world, "service a/web created=3 vip=10.96.0.1 port=80/TCP^30080");
	assert_changes(world, "10.96.0.1:80/TCP\nnode:30080/TCP\n");
	world_put(world, "service a/first created=1 vip=10.96.0.1 port=80/TCP");
	world_compute(world);
	world_remove(world, "service a/first");
	assert_changes(world, "");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
	const struct CMUnitTest tests[] = {
		TEST(every_kind_leads_to_the_cluster_ip),
		TEST(each_port_has_its_own),
		TEST(of_its_families_alone),
		TEST(one_that_is_named_twice),
		TEST(two_ports_that_name_one_node_port),
		TEST(outside_comes_to_this_nodes_endpoints),
		TEST(internal_traffic_stays),
		TEST(internal_traffic_stays_entrances_lead_everywhere),
		TEST(both_policies),
		TEST(a_policy_without_an_entrance),
		TEST(inner_ports_keep_clear),
		TEST(servers_keep_what_the_service_says),
		TEST(ranges_hold_for_load_balancer_ips_alone),
		TEST(ranges_within_ranges),
		TEST(addresses_that_nobody_can_have),
		TEST(addresses_of_nodes_and_of_the_api_server),
		TEST(an_address_that_two_nodes_name),
		TEST(two_want_one_node_port),
		TEST(what_is_no_conflict),
		TEST(two_want_one_external_ip),
		TEST(an_external_ip_that_is_a_cluster_ip),
		TEST(the_cluster_ip_changes_hands),
		TEST(changes_in_an_order_that_never_leads_nowhere),
		TEST(endpoints_touch_their_servers_alone),
		TEST(back_again_but_it_leads_somewhere_now),
		TEST(what_it_leads_to_goes_and_comes),
		TEST(hands_changed_and_changed_back),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
