/* SPDX-License-Identifier: Apache-2.0 */
/* A file of allocations with whatever in it: the registry opens, gives addresses and node ports of
 * its ranges, none of them twice, and finds them all again in the file that it then writes. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "log.h"
#include "source/registry.h"

#define NOW_MS        1700000000000
#define NODE_PORT_MIN 30000 /* fewer than the Services below ask for, so that they run out */
#define NODE_PORT_MAX 30009
#define PORTS         2

int LLVMFuzzerInitialize(int *argc, char ***argv);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char folder[] = "/tmp/fuzz_registry.XXXXXX", path[64], aside[80];

static void require(bool holds)
{
	if (!holds)
		abort();
}

static void remove_folder(void)
{
	unlink(path);
	unlink(aside);
	rmdir(folder);
}

int LLVMFuzzerInitialize(int *argc, char ***argv)
{
	(void)argc, (void)argv;
	require(mkdtemp(folder) != NULL);
	snprintf(path, sizeof(path), "%s/state", folder);
	snprintf(aside, sizeof(aside), "%s.damaged", path);
	log_set_level(LOG_ERROR);
	stderr = fopen("/dev/null", "we"); /* the log's; libFuzzer has kept its own */
	require(stderr != NULL);
	return atexit(remove_folder);
}

static void write_file(const uint8_t *data, size_t size)
{
	FILE *out = fopen(path, "we");

	require(out && fwrite(data, 1, size, out) == size && fclose(out) == 0);
}

static struct registry *open_registry(struct ip_prefix ranges[2])
{
	static const struct port_range node_ports = {NODE_PORT_MIN, NODE_PORT_MAX};
	struct registry *registry = NULL;

	require(prefix_parse("10.96.0.0/27", &ranges[0]) == 0);
	require(prefix_parse("fd00:96::/112", &ranges[1]) == 0);
	require(registry_open(path, false, ranges, &node_ports, &registry, NULL) == 0 && registry);
	return registry;
}

/* The names that the seeds use, so that what the file says of them matters. */
static const char *const names[] = {"a", "b", "c", "kubernetes"};

struct filled {
	struct service svc;
	struct svc_port ports[PORTS];
};

static void make_service(struct filled *filled, const char *name)
{
	*filled = (struct filled){
		.svc = {.meta = {.ns = (char *)"default", .name = (char *)name},
			.type = SVC_LOAD_BALANCER,
			.etp_local = true,
			.family_policy = SVC_REQUIRE_DUAL,
			.n_ports = PORTS,
			.ports = filled->ports},
		.ports = {{.name = (char *)"http", .port = 80, .proto = IPPROTO_TCP},
			  {.name = (char *)"dns", .port = 53, .proto = IPPROTO_UDP}},
	};
}

/* The number of one port, or 0; the health check's comes last. */
static uint16_t number_of(const struct filled *filled, size_t port, uint8_t *ret_proto)
{
	*ret_proto = port < PORTS ? filled->ports[port].proto : IPPROTO_TCP;
	return port < PORTS ? filled->ports[port].node_port : filled->svc.health_check_node_port;
}

/* No two have one number in one protocol. */
static void check_node_ports(const struct filled *services, size_t n)
{
	bool held[UINT8_MAX + 1][NODE_PORT_MAX - NODE_PORT_MIN + 1] = {{false}};

	for (size_t i = 0; i < n; i++) {
		for (size_t p = 0; p <= PORTS; p++) {
			uint8_t proto;
			uint16_t number = number_of(&services[i], p, &proto);

			if (!number)
				continue;
			require(number >= NODE_PORT_MIN && number <= NODE_PORT_MAX);
			require(!held[proto][number - NODE_PORT_MIN]);
			held[proto][number - NODE_PORT_MIN] = true;
		}
	}
}

static void fill_all(struct registry *registry, const struct ip_prefix ranges[2],
		     struct filled services[ARRAY_SIZE(names)])
{
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		struct service *svc = &services[i].svc;
		int rc;

		make_service(&services[i], names[i]);
		rc = registry_fill(registry, svc, NOW_MS, NULL);
		if (rc < 0 && !addr_is_set(&svc->cluster_ips[0])) /* the file took them all */
			continue;
		require(rc == 0 || rc == -ENOSPC);
		require(svc->meta.created_ms > 0);
		require(prefix_contains(&ranges[0], &svc->cluster_ips[0]));
		require(prefix_contains(&ranges[1], &svc->cluster_ips[1]));
		for (size_t k = 0; k < i; k++)
			require(!addr_is_set(&services[k].svc.cluster_ips[0]) ||
				!addr_equal(&services[k].svc.cluster_ips[0], &svc->cluster_ips[0]));
	}
	check_node_ports(services, ARRAY_SIZE(names));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct filled first[ARRAY_SIZE(names)], second[ARRAY_SIZE(names)];
	struct ip_prefix ranges[2];
	struct registry *registry;
	char *text;

	write_file(data, size);
	registry = open_registry(ranges);
	fill_all(registry, ranges, first);
	text = registry_take_text(registry);
	registry_close(registry);
	if (!text) /* it stood like that in the file */
		return 0;
	require(registry_save(path, text) == 0);
	registry = open_registry(ranges);
	fill_all(registry, ranges, second);
	for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
		require(first[i].svc.meta.created_ms == second[i].svc.meta.created_ms);
		require(memcmp(first[i].svc.cluster_ips, second[i].svc.cluster_ips,
			       sizeof(first[i].svc.cluster_ips)) == 0);
		for (size_t p = 0; p <= PORTS; p++) {
			uint8_t proto;

			require(number_of(&first[i], p, &proto) ==
				number_of(&second[i], p, &proto));
		}
	}
	registry_close(registry);
	free(text);
	return 0;
}
