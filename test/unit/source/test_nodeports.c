/* SPDX-License-Identifier: Apache-2.0 */
/* Which node port a Service gets where it names none, and that it keeps it: over restarts, over
 * other Services' comings and goings, over changes of its own. Through the registry, as the
 * manifest source uses it. */
#include <errno.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>

#include "files.h"
#include "log.h"
#include "source/registry.h"

#define NOW_MS    INT64_C(1700000000000)
#define PORTS_MAX 4

static const struct port_range usual = {30000, 32767};

struct made {
	struct service svc;
	struct svc_port ports[PORTS_MAX];
};

/* A Service with a cluster IP of its own, so that nothing but node ports is to be filled in. */
static struct service *make(struct made *made, const char *name, enum svc_type type)
{
	*made = (struct made){.svc = {.meta = {.ns = (char *)"default", .name = (char *)name},
				      .type = type,
				      .ports = made->ports}};
	assert_int_equal(addr_parse("10.0.0.1", &made->svc.cluster_ips[0]), 0);
	return &made->svc;
}

static void add_port(struct made *made, const char *name, uint16_t port, uint8_t proto,
		     uint16_t node_port)
{
	assert_true(made->svc.n_ports < PORTS_MAX);
	made->ports[made->svc.n_ports++] = (struct svc_port){
		.name = (char *)name, .port = port, .proto = proto, .node_port = node_port};
}

static struct service *simple(struct made *made, const char *name, uint16_t node_port)
{
	make(made, name, SVC_NODE_PORT);
	add_port(made, "", 80, IPPROTO_TCP, node_port);
	return &made->svc;
}

static struct registry *open_range(const struct files *files, struct port_range range)
{
	const struct ip_prefix none[2] = {{{0}}};
	struct registry *registry = NULL;
	char path[FILES_PATH_MAX];

	assert_int_equal(registry_open(files ? files_path(files, "state.json", path) : NULL, false,
				       none, &range, &registry, NULL),
			 0);
	return registry;
}

static bool save(const struct files *files, struct registry *registry)
{
	char path[FILES_PATH_MAX], *text = registry_take_text(registry);
	bool changed = text != NULL;

	if (text)
		assert_int_equal(registry_save(files_path(files, "state.json", path), text), 0);
	free(text);
	return changed;
}

static void fill(struct registry *registry, struct service *svc)
{
	struct err err = {0};

	assert_int_equal(registry_reserve(registry, svc), 0);
	assert_int_equal(registry_fill(registry, svc, NOW_MS, &err), 0);
}

static uint16_t fill_simple(struct registry *registry, const char *name, uint16_t node_port)
{
	struct made made;

	fill(registry, simple(&made, name, node_port));
	return made.ports[0].node_port;
}

/* ---- who gets one ---- */

static void who_gets_one(void **state)
{
	static const struct {
		enum svc_type type;
		bool no_node_ports, etp_local, headless, foreign, port, health;
	} cases[] = {
		{SVC_CLUSTER_IP, false, false, false, false, false, false},
		{SVC_CLUSTER_IP, false, true, false, false, false, false},
		{SVC_NODE_PORT, false, false, false, false, true, false},
		{SVC_NODE_PORT, true, false, false, false, true, false}, /* LoadBalancer's field */
		{SVC_NODE_PORT, false, true, false, false, true, false},
		{SVC_LOAD_BALANCER, false, false, false, false, true, false},
		{SVC_LOAD_BALANCER, true, false, false, false, false, false},
		{SVC_LOAD_BALANCER, false, true, false, false, true, true},
		{SVC_LOAD_BALANCER, true, true, false, false, false, true},
		{SVC_EXTERNAL_NAME, false, false, false, false, false, false},
		{SVC_NODE_PORT, false, false, true, false, false, false},
		{SVC_NODE_PORT, false, false, false, true, false, false},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct registry *registry = open_range(NULL, usual);
		struct made made;

		make(&made, "web", cases[i].type);
		add_port(&made, "a", 80, IPPROTO_TCP, 0);
		add_port(&made, "b", 81, IPPROTO_UDP, 0);
		made.svc.no_node_ports = cases[i].no_node_ports;
		made.svc.etp_local = cases[i].etp_local;
		made.svc.headless = cases[i].headless;
		made.svc.foreign = cases[i].foreign;
		fill(registry, &made.svc);
		assert_int_equal(made.ports[0].node_port != 0, cases[i].port);
		assert_int_equal(made.ports[1].node_port != 0, cases[i].port);
		assert_int_equal(made.svc.health_check_node_port != 0, cases[i].health);
		registry_close(registry);
	}
}

static void no_address_no_port(void **state)
{
	struct registry *registry = open_range(NULL, usual);
	struct made made;

	(void)state;
	simple(&made, "web", 0);
	made.svc.cluster_ips[0] = (struct ip_addr){0};
	assert_int_equal(registry_fill(registry, &made.svc, NOW_MS, NULL), -EINVAL);
	assert_int_equal(made.ports[0].node_port, 0);
	registry_close(registry);
}

/* The name and the port alone give the place, whoever else is there, in whatever order they come;
 * and it is in the upper part of the range. */
static void place_by_name(void **state)
{
	struct registry *forwards = open_range(NULL, usual), *backwards = open_range(NULL, usual);
	uint16_t numbers[20];
	char name[16];

	(void)state;
	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "web-%d", i);
		numbers[i] = fill_simple(forwards, name, 0);
		assert_in_range(numbers[i], 30086, 32767);
		for (int k = 0; k < i; k++)
			assert_int_not_equal(numbers[i], numbers[k]);
	}
	for (int i = 19; i >= 0; i--) {
		snprintf(name, sizeof(name), "web-%d", i);
		assert_int_equal(fill_simple(backwards, name, 0), numbers[i]);
	}
	registry_close(forwards);
	registry_close(backwards);
}

static void place_by_port(void **state)
{
	struct registry *registry = open_range(NULL, usual), *other = open_range(NULL, usual);
	struct made made, turned;

	(void)state;
	make(&made, "web", SVC_NODE_PORT);
	add_port(&made, "a", 80, IPPROTO_TCP, 0);
	add_port(&made, "b", 81, IPPROTO_TCP, 0);
	fill(registry, &made.svc);
	make(&turned, "web", SVC_NODE_PORT);
	add_port(&turned, "b", 81, IPPROTO_TCP, 0);
	add_port(&turned, "a", 80, IPPROTO_TCP, 0);
	fill(other, &turned.svc);
	assert_int_equal(made.ports[0].node_port, turned.ports[1].node_port);
	assert_int_equal(made.ports[1].node_port, turned.ports[0].node_port);
	registry_close(registry);
	registry_close(other);
}

/* All of a range is given: its lower part, kept for who names a number, last. */
static void whole_range(void **state)
{
	static const struct {
		struct port_range range;
		unsigned low; /* how many are given last */
	} cases[] = {
		{{30000, 30000}, 0}, {{30000, 30015}, 0},   {{30000, 30016}, 16},
		{{1, 600}, 18},      {{60000, 65535}, 128},
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const struct port_range *range = &cases[i].range;
		struct registry *registry = open_range(NULL, *range);
		unsigned size = 1U + range->last - range->first;
		struct made made;
		struct err err;
		char name[16], text[128];

		for (unsigned n = 0; n < size; n++) {
			uint16_t number;

			snprintf(name, sizeof(name), "web-%u", n);
			number = fill_simple(registry, name, 0);
			assert_in_range(number, range->first, range->last);
			assert_int_equal(number < range->first + cases[i].low,
					 n >= size - cases[i].low);
		}
		assert_int_equal(registry_fill(registry, simple(&made, "late", 0), NOW_MS, &err),
				 -ENOSPC);
		assert_int_equal(made.ports[0].node_port, 0);
		snprintf(text, sizeof(text),
			 "port 80 gets no nodePort: all of %u-%u are taken; make "
			 "--service-node-port-range larger",
			 range->first, range->last);
		assert_string_equal(err.text, text);
		registry_forget(registry, "default", "web-0");
		assert_int_equal(registry_fill(registry, &made.svc, NOW_MS, NULL), 0);
		assert_int_not_equal(made.ports[0].node_port, 0);
		registry_close(registry);
	}
}

/* One port that gets none leaves the others theirs. */
static void half_a_service(void **state)
{
	struct registry *registry = open_range(NULL, (struct port_range){30000, 30000});
	struct made made;
	struct err err;

	(void)state;
	make(&made, "web", SVC_LOAD_BALANCER);
	made.svc.etp_local = true;
	add_port(&made, "a", 80, IPPROTO_TCP, 0);
	add_port(&made, "b", 81, IPPROTO_UDP, 0);
	add_port(&made, "c", 82, IPPROTO_SCTP, 31000);
	assert_int_equal(registry_fill(registry, &made.svc, NOW_MS, &err), -ENOSPC);
	assert_string_equal(err.text, "gets no healthCheckNodePort: all of 30000-30000 are taken; "
				      "make --service-node-port-range larger");
	assert_int_equal(made.ports[0].node_port, 30000);
	assert_int_equal(made.ports[1].node_port, 30000); /* UDP: free in that protocol */
	assert_int_equal(made.ports[2].node_port, 31000);
	assert_int_equal(made.svc.health_check_node_port, 0);
	registry_close(registry);
}

static void no_range(void **state)
{
	struct registry *registry = open_range(NULL, (struct port_range){0});
	struct made made;
	struct err err;

	(void)state;
	assert_int_equal(registry_fill(registry, simple(&made, "web", 0), NOW_MS, &err), -ENOSPC);
	assert_string_equal(err.text,
			    "port 80 gets no nodePort: there is no range to give it from");
	registry_close(registry);
}

/* ---- protocols ---- */

static void one_number_for_dns(void **state)
{
	struct registry *registry = open_range(NULL, usual);
	struct made made;

	(void)state;
	make(&made, "dns", SVC_NODE_PORT);
	add_port(&made, "udp", 53, IPPROTO_UDP, 0);
	add_port(&made, "tcp", 53, IPPROTO_TCP, 0);
	add_port(&made, "other", 54, IPPROTO_TCP, 0);
	fill(registry, &made.svc);
	assert_int_equal(made.ports[0].node_port, made.ports[1].node_port);
	assert_int_not_equal(made.ports[0].node_port, made.ports[2].node_port);
	registry_close(registry);
}

/* The one that is named gives the other's, wherever it stands in the list. */
static void named_for_one_protocol(void **state)
{
	struct registry *registry = open_range(NULL, usual);
	struct made first, last;

	(void)state;
	make(&first, "a", SVC_NODE_PORT);
	add_port(&first, "udp", 53, IPPROTO_UDP, 29053);
	add_port(&first, "tcp", 53, IPPROTO_TCP, 0);
	fill(registry, &first.svc);
	assert_int_equal(first.ports[1].node_port, 29053);
	make(&last, "b", SVC_NODE_PORT);
	add_port(&last, "udp", 53, IPPROTO_UDP, 0);
	add_port(&last, "tcp", 53, IPPROTO_TCP, 29054);
	fill(registry, &last.svc);
	assert_int_equal(last.ports[0].node_port, 29054);
	registry_close(registry);
}

/* Where the number is taken in the other protocol, each gets its own. */
static void taken_in_the_other_protocol(void **state)
{
	struct registry *registry = open_range(NULL, usual);
	struct made made, other;

	(void)state;
	make(&other, "other", SVC_NODE_PORT);
	add_port(&other, "", 9, IPPROTO_TCP, 29053);
	fill(registry, &other.svc);
	make(&made, "dns", SVC_NODE_PORT);
	add_port(&made, "udp", 53, IPPROTO_UDP, 29053);
	add_port(&made, "tcp", 53, IPPROTO_TCP, 0);
	fill(registry, &made.svc);
	assert_in_range(made.ports[1].node_port, 30086, 32767);
	registry_close(registry);
}

/* A number that is held in one protocol is given in another only when there is nothing else. */
static void other_protocol_last(void **state)
{
	struct registry *registry = open_range(NULL, (struct port_range){30000, 30001});
	uint16_t first = fill_simple(registry, "first", 0), second = first ^ 1;
	char name[16];

	(void)state;
	for (int i = 0; i < 10; i++) { /* from wherever the search starts */
		struct made udp, both;

		snprintf(name, sizeof(name), "udp-%d", i);
		make(&udp, name, SVC_NODE_PORT);
		add_port(&udp, "", 80, IPPROTO_UDP, 0);
		fill(registry, &udp.svc);
		assert_int_equal(udp.ports[0].node_port, second);
		make(&both, "both", SVC_NODE_PORT); /* one number that is free for both */
		add_port(&both, "s", (uint16_t)(80 + i), IPPROTO_SCTP, 0);
		add_port(&both, "u", (uint16_t)(80 + i), IPPROTO_UDP, 0);
		fill(registry, &both.svc);
		assert_int_equal(both.ports[0].node_port, first);
		assert_int_equal(both.ports[1].node_port, first);
		registry_forget(registry, "default", name);
		registry_forget(registry, "default", "both");
	}
	registry_close(registry);
}

/* ---- numbers that Services name ---- */

static void named_numbers(void **state)
{
	struct registry *registry = open_range(NULL, (struct port_range){30000, 30001});
	struct made made, health;

	(void)state;
	assert_int_equal(fill_simple(registry, "own", 30000), 30000);
	assert_int_equal(fill_simple(registry, "outside", 8080), 8080);
	make(&health, "health", SVC_LOAD_BALANCER);
	health.svc.etp_local = true;
	health.svc.health_check_node_port = 30001;
	add_port(&health, "", 80, IPPROTO_SCTP, 30000);
	fill(registry, &health.svc);
	assert_int_equal(health.svc.health_check_node_port, 30001);
	assert_int_equal(registry_fill(registry, simple(&made, "web", 0), NOW_MS, NULL), -ENOSPC);
	registry_forget(registry, "default", "health");
	assert_int_equal(fill_simple(registry, "web", 0), 30001);
	registry_close(registry);
}

/* All that are named are known before one is given, as the source sees to. */
static void named_before_given(void **state)
{
	struct registry *registry = open_range(NULL, usual), *other = open_range(NULL, usual);
	uint16_t number = fill_simple(other, "web", 0);
	struct made made;

	(void)state;
	assert_int_equal(registry_reserve(registry, simple(&made, "zzz", number)), 0);
	assert_int_not_equal(fill_simple(registry, "web", 0), number);
	registry_close(registry);
	registry_close(other);
}

/* Who names a number that was given leaves it with whom it was given to. */
static void given_then_named(void **state)
{
	const struct files *files = *state;
	struct registry *registry = open_range(files, usual);
	uint16_t number = fill_simple(registry, "web", 0);
	struct made made;

	assert_int_equal(fill_simple(registry, "late", number), number);
	assert_int_equal(fill_simple(registry, "web", 0), number);
	assert_true(save(files, registry));
	registry_close(registry);
	registry = open_range(files, usual);
	assert_int_equal(registry_reserve(registry, simple(&made, "late", number)), 0);
	assert_int_equal(fill_simple(registry, "web", 0), number);
	registry_close(registry);
}

static void change_of_mind(void **state)
{
	struct registry *registry = open_range(NULL, (struct port_range){30000, 30001});
	struct made made;

	(void)state;
	fill_simple(registry, "own", 30000);
	assert_int_equal(fill_simple(registry, "own", 30001), 30001);
	assert_int_equal(fill_simple(registry, "web", 0), 30000);
	assert_int_equal(fill_simple(registry, "own", 0), 30001); /* names none: keeps it */
	fill_simple(registry, "own", 9);
	assert_int_equal(fill_simple(registry, "third", 0), 30001);
	fill_simple(registry, "twin", 30001); /* two name it: neither keeps it */
	fill_simple(registry, "own", 30001);
	assert_int_equal(registry_fill(registry, simple(&made, "own", 0), NOW_MS, NULL), -ENOSPC);
	registry_close(registry);
}

/* What it names for one port it does not keep for another. */
static void moved_between_ports(void **state)
{
	struct registry *registry = open_range(NULL, usual);
	struct made before, after;

	(void)state;
	make(&before, "web", SVC_NODE_PORT);
	add_port(&before, "a", 80, IPPROTO_TCP, 0);
	fill(registry, &before.svc);
	make(&after, "web", SVC_NODE_PORT);
	add_port(&after, "a", 80, IPPROTO_TCP, 0);
	add_port(&after, "b", 81, IPPROTO_TCP, before.ports[0].node_port);
	fill(registry, &after.svc);
	assert_int_not_equal(after.ports[0].node_port, 0);
	assert_int_not_equal(after.ports[0].node_port, after.ports[1].node_port);
	registry_close(registry);
}

/* ---- what a Service keeps ---- */

static void ports_change(void **state)
{
	struct registry *registry = open_range(NULL, usual);
	struct made made, next;
	uint16_t web, metrics;

	(void)state;
	make(&made, "web", SVC_NODE_PORT);
	add_port(&made, "web", 80, IPPROTO_TCP, 0);
	add_port(&made, "metrics", 9090, IPPROTO_TCP, 0);
	fill(registry, &made.svc);
	web = made.ports[0].node_port;
	metrics = made.ports[1].node_port;

	make(&next, "web", SVC_NODE_PORT); /* in another order, renumbered, renamed, one more */
	add_port(&next, "new", 81, IPPROTO_TCP, 0);
	add_port(&next, "numbers", 9090, IPPROTO_TCP, 0);
	add_port(&next, "web", 8000, IPPROTO_TCP, 0);
	fill(registry, &next.svc);
	assert_int_equal(next.ports[2].node_port, web);
	assert_int_equal(next.ports[1].node_port, metrics);
	assert_int_not_equal(next.ports[0].node_port, web);
	assert_int_not_equal(next.ports[0].node_port, metrics);

	make(&next, "web", SVC_NODE_PORT); /* names change places: they count before numbers */
	add_port(&next, "numbers", 8000, IPPROTO_TCP, 0);
	add_port(&next, "web", 9090, IPPROTO_TCP, 0);
	fill(registry, &next.svc);
	assert_int_equal(next.ports[0].node_port, metrics);
	assert_int_equal(next.ports[1].node_port, web);

	make(&next, "other", SVC_NODE_PORT); /* renamed, and not where it would be given */
	add_port(&next, "old", 80, IPPROTO_TCP, 31000);
	fill(registry, &next.svc);
	make(&next, "other", SVC_NODE_PORT);
	add_port(&next, "new", 80, IPPROTO_TCP, 0);
	fill(registry, &next.svc);
	assert_int_equal(next.ports[0].node_port, 31000);

	make(&next, "web", SVC_NODE_PORT); /* another protocol */
	add_port(&next, "web", 9090, IPPROTO_UDP, 0);
	fill(registry, &next.svc);
	assert_int_equal(next.ports[0].node_port, web);
	registry_close(registry);
}

/* From type to type; the health check's number is no port's. */
static void type_changes(void **state)
{
	struct registry *registry = open_range(NULL, usual);
	uint16_t number = fill_simple(registry, "web", 0), health;
	struct made made;

	(void)state;
	simple(&made, "web", 0);
	made.svc.type = SVC_LOAD_BALANCER;
	made.svc.etp_local = true;
	fill(registry, &made.svc);
	assert_int_equal(made.ports[0].node_port, number);
	health = made.svc.health_check_node_port;
	assert_int_not_equal(health, number);
	made.ports[0].node_port = made.svc.health_check_node_port = 0;
	fill(registry, &made.svc);
	assert_int_equal(made.ports[0].node_port, number);
	assert_int_equal(made.svc.health_check_node_port, health);
	made.svc.no_node_ports = true;
	made.ports[0].node_port = made.svc.health_check_node_port = 0;
	fill(registry, &made.svc);
	assert_int_equal(made.ports[0].node_port, 0);
	assert_int_equal(made.svc.health_check_node_port, health);
	made.svc.no_node_ports = false;
	made.svc.health_check_node_port = 0;
	fill(registry, &made.svc);
	assert_int_equal(made.ports[0].node_port, number);
	assert_int_equal(made.svc.health_check_node_port, health);
	simple(&made, "web", 0);
	made.svc.type = SVC_CLUSTER_IP;
	fill(registry, &made.svc);
	assert_int_equal(made.ports[0].node_port, 0);
	assert_int_equal(fill_simple(registry, "own", number), number);
	assert_int_not_equal(fill_simple(registry, "web", 0), number); /* it had given it back */
	registry_close(registry);
}

static void other_range(void **state)
{
	const struct files *files = *state;
	struct registry *registry = open_range(files, (struct port_range){30000, 30010});
	uint16_t number = fill_simple(registry, "web", 0);

	assert_true(save(files, registry));
	registry_close(registry);
	registry = open_range(files, usual);
	assert_int_equal(fill_simple(registry, "web", 0), number);
	registry_close(registry);
	registry = open_range(files, (struct port_range){20000, 20010});
	assert_in_range(fill_simple(registry, "web", 0), 20000, 20010);
	assert_true(save(files, registry));
	registry_close(registry);
}

/* ---- over restarts ---- */

static void kept_over_restarts(void **state)
{
	const struct files *files = *state;
	const struct port_range range = {30000, 30031};
	struct registry *registry = open_range(files, range);
	uint16_t numbers[20];
	char name[16];

	for (int i = 0; i < 20; i++) {
		snprintf(name, sizeof(name), "web-%d", i);
		numbers[i] = fill_simple(registry, name, 0);
	}
	for (int i = 0; i < 20; i += 2) { /* those that stood in their way are gone */
		snprintf(name, sizeof(name), "web-%d", i);
		registry_forget(registry, "default", name);
	}
	assert_true(save(files, registry));
	registry_close(registry);

	registry = open_range(files, range);
	for (int i = 0; i < 20; i++) { /* newcomers get none of them */
		uint16_t number;

		snprintf(name, sizeof(name), "new-%d", i);
		number = fill_simple(registry, name, 0);
		for (int k = 1; k < 20; k += 2)
			assert_int_not_equal(number, numbers[k]);
	}
	for (int i = 19; i > 0; i -= 2) {
		snprintf(name, sizeof(name), "web-%d", i);
		assert_int_equal(fill_simple(registry, name, 0), numbers[i]);
	}
	registry_close(registry);
}

/* An unchanged set of Services is no reason to write, a change of numbers is. */
static void when_it_is_written(void **state)
{
	const struct files *files = *state;
	uint16_t number = 0;

	for (int i = 0; i < 6; i++) {
		struct registry *registry = open_range(files, usual);
		bool named = i == 3 || i == 4;

		fill_simple(registry, "own", 31000);
		assert_true(!number || fill_simple(registry, "web", named ? number : 0) == number);
		number = fill_simple(registry, "web", named ? number : 0);
		registry_drop_unseen(registry);
		assert_int_equal(save(files, registry), i == 0 || i == 3 || i == 5);
		registry_close(registry);
	}
}

/* Given back: the file must not say it is still held. */
static void written_when_given_back(void **state)
{
	const struct files *files = *state;
	struct registry *registry = open_range(files, usual);
	struct made made;

	fill_simple(registry, "web", 0);
	assert_true(save(files, registry));
	simple(&made, "web", 0);
	made.svc.type = SVC_CLUSTER_IP;
	fill(registry, &made.svc);
	assert_true(save(files, registry));
	registry_close(registry);
}

static void named_then_kept(void **state)
{
	const struct files *files = *state;

	for (int i = 0; i < 3; i++) {
		struct registry *registry = open_range(files, usual);

		if (i == 0)
			fill_simple(registry, "web", 30001);
		assert_int_equal(fill_simple(registry, "web", 0), 30001);
		save(files, registry);
		registry_close(registry);
	}
}

static void text_of_the_file(void **state)
{
	struct registry *registry = open_range(*state, (struct port_range){30000, 30000});
	struct made made, own;
	char *text;

	make(&made, "web", SVC_LOAD_BALANCER);
	made.svc.etp_local = true;
	add_port(&made, "a\"b", 80, IPPROTO_UDP, 0);
	add_port(&made, "c", 80, IPPROTO_SCTP, 0);
	add_port(&made, "d", 81, IPPROTO_TCP, 30001);
	fill(registry, &made.svc);
	make(&own, "xyz", SVC_LOAD_BALANCER); /* what it names is in its manifest */
	own.svc.health_check_node_port = 30002;
	fill(registry, &own.svc);
	text = registry_take_text(registry);
	assert_string_equal(
		text,
		"{\n  \"version\": 1,\n  \"services\": {\n"
		"    \"default/web\": {\"created_ms\": 1700000000000, \"cluster_ips\": [], "
		"\"node_ports\": [{\"name\": \"a\\\"b\", \"port\": 80, \"protocol\": \"UDP\", "
		"\"node_port\": 30000}, {\"name\": \"c\", \"port\": 80, \"protocol\": \"SCTP\", "
		"\"node_port\": 30000}], \"health_check_node_port\": 30000},\n"
		"    \"default/xyz\": {\"created_ms\": 1700000000000, \"cluster_ips\": []}\n"
		"  }\n}\n");
	free(text);
	registry_close(registry);
}

/* A file from before there were node ports in it. */
static void file_of_before(void **state)
{
	const struct files *files = *state;
	struct registry *registry;
	uint16_t number;
	char *text;

	files_write(
		files, "state.json",
		"{\n  \"version\": 1,\n  \"services\": {\n    \"default/web\": {\"created_ms\": "
		"1600000000000, \"cluster_ips\": [\"10.0.0.2\"]}\n  }\n}\n");
	registry = open_range(files, usual);
	number = fill_simple(registry, "web", 0);
	assert_int_not_equal(number, 0);
	assert_true(save(files, registry));
	registry_close(registry);
	text = files_read(files, "state.json");
	assert_non_null(strstr(text, "\"created_ms\": 1600000000000"));
	free(text);
}

/* Single numbers that make no sense, or are another's, are left out; the others hold. */
static void damaged_numbers(void **state)
{
#define GOOD "{\"name\": \"\", \"port\": 80, \"protocol\": \"TCP\", \"node_port\": 30005}"
	static const char *const texts[] = {
		"\"node_ports\": [" GOOD "]",
		"\"node_ports\": [1, null, \"x\", [], {}, " GOOD "]",
		"\"node_ports\": [{\"name\": 1, \"port\": 80, \"protocol\": \"TCP\", "
		"\"node_port\": 30004}, " GOOD "]",
		"\"node_ports\": [{\"name\": \"\", \"port\": 80.5, \"protocol\": \"TCP\", "
		"\"node_port\": 30004}, " GOOD "]",
		"\"node_ports\": [{\"name\": \"\", \"port\": 80, \"protocol\": \"ICMP\", "
		"\"node_port\": 30004}, " GOOD "]",
		"\"node_ports\": [{\"name\": \"\", \"port\": 80, \"protocol\": \"TCP\", "
		"\"node_port\": 65536}, " GOOD "]",
		"\"node_ports\": [{\"name\": \"\", \"port\": 80, \"protocol\": \"TCP\", "
		"\"node_port\": 30007}, " GOOD "]",
		"\"health_check_node_port\": \"30005\", \"node_ports\": [" GOOD "]",
		"\"health_check_node_port\": -1, \"node_ports\": [" GOOD "]",
		"\"health_check_node_port\": 1e300, \"node_ports\": [" GOOD "]",
	};
	const struct files *files = *state;

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++) {
		struct registry *registry;
		char text[1024];

		snprintf(text, sizeof(text),
			 "{\"services\": {\"default/first\": {\"health_check_node_port\": 30007}, "
			 "\"default/web\": {%s}}}",
			 texts[i]);
		files_write(files, "state.json", text);
		registry = open_range(files, (struct port_range){30000, 30007});
		assert_int_equal(fill_simple(registry, "web", 0), 30005);
		registry_close(registry);
		assert_null(files_read(files, "state.json.damaged"));
	}
}

int main(void)
{
#define WITH_FILES(f) cmocka_unit_test_setup_teardown(f, files_setup, files_teardown)
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(who_gets_one),
		cmocka_unit_test(no_address_no_port),
		cmocka_unit_test(place_by_name),
		cmocka_unit_test(place_by_port),
		cmocka_unit_test(whole_range),
		cmocka_unit_test(half_a_service),
		cmocka_unit_test(no_range),
		cmocka_unit_test(one_number_for_dns),
		cmocka_unit_test(named_for_one_protocol),
		cmocka_unit_test(taken_in_the_other_protocol),
		cmocka_unit_test(other_protocol_last),
		cmocka_unit_test(named_numbers),
		cmocka_unit_test(named_before_given),
		WITH_FILES(given_then_named),
		cmocka_unit_test(change_of_mind),
		cmocka_unit_test(moved_between_ports),
		cmocka_unit_test(ports_change),
		cmocka_unit_test(type_changes),
		WITH_FILES(other_range),
		WITH_FILES(kept_over_restarts),
		WITH_FILES(when_it_is_written),
		WITH_FILES(written_when_given_back),
		WITH_FILES(named_then_kept),
		WITH_FILES(text_of_the_file),
		WITH_FILES(file_of_before),
		WITH_FILES(damaged_numbers),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
