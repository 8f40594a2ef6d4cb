/* SPDX-License-Identifier: Apache-2.0 */
/* See config.h. */
#include <stdio.h>
#include <string.h>

#include "daemon/config.h"
#include "util.h"

/* Who is in the cluster; with NodeCIDR that is told by the Node object, later. */
static void set_locality(struct backend_config *config, const struct options *options,
			 char glob[CONFIG_GLOB_MAX])
{
	switch (options->detect_local) {
	case LOCAL_CLUSTER_CIDR:
		config->local_nets = options->cluster_nets;
		config->n_local_nets = options->n_cluster_nets;
		break;
	case LOCAL_NODE_CIDR:
		break;
	case LOCAL_BRIDGE:
		config->local_interface = options->bridge;
		break;
	case LOCAL_PREFIX:
		snprintf(glob, CONFIG_GLOB_MAX, "%s*", options->interface_prefix);
		config->local_interface = glob;
		break;
	}
}

/* A masqueraded flow from a port that is a node port, too, would get answers that belong to others:
 * the larger part of the ports beside the node ports. */
static void set_snat_ports(struct backend_config *config, const struct port_range *taken)
{
	unsigned below = taken->first > 1024 ? taken->first - 1024U : 0;
	unsigned above = (unsigned)UINT16_MAX - taken->last;

	if (!below && !above) /* there are none beside */
		return;
	config->snat_port_min = (uint16_t)(above >= below ? taken->last + 1 : 1024);
	config->snat_port_max = (uint16_t)(above >= below ? UINT16_MAX : taken->first - 1);
}

void config_override_node(const struct options *options, struct ip_addr addrs[2])
{
	static const uint8_t any[16];
	const struct ip_addr *addr = &options->bind_addr;

	if (addr->family && memcmp(addr->bytes, any, sizeof(any)) != 0)
		addrs[addr->family == AF_INET6] = *addr;
}

struct backend_config config_make(const struct options *options, char glob[CONFIG_GLOB_MAX])
{
	const char *name = options->node_name;
	struct backend_config config = {
		.scheduler = options->scheduler,
		.masquerade_all = options->masquerade_all,
		.nodeport_nets = options->nodeport_nets,
		.n_nodeport_nets = options->n_nodeport_nets,
		.nodeport_primary = options->nodeport_primary,
		.strict_arp = options->strict_arp,
		.exclude_nets = options->exclude_nets,
		.n_exclude_nets = options->n_exclude_nets,
		.timeout_tcp_sec = (uint32_t)(options->tcp_ms / 1000),
		.timeout_tcp_fin_sec = (uint32_t)(options->tcp_fin_ms / 1000),
		.timeout_udp_sec = (uint32_t)(options->udp_ms / 1000),
		.drain_ms = options->drain_ms,
		.audit_ms = options->audit_ms,
		.shuffle_seed = util_hash(UTIL_HASH_SEED, name, strlen(name)),
		.run_dir = options->run_dir,
		.read_only = options->print != PRINT_NONE,
	};

	config_override_node(options, config.node_addr);
	set_locality(&config, options, glob);
	set_snat_ports(&config, &options->node_ports);
	return config;
}
