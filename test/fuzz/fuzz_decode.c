/* SPDX-License-Identifier: Apache-2.0 */
/* Manifests of whatever kind: objects whose every value is in its bounds, or an error that names
 * the file. What the rest of the daemon takes for granted about an object is asserted here. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kube/decode.h"
#include "model/cache.h"
#include "model/policy.h"
#include "source/tree.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void require(bool holds)
{
	if (!holds)
		abort();
}

static bool is_proto(uint8_t proto)
{
	return proto == IPPROTO_TCP || proto == IPPROTO_UDP || proto == IPPROTO_SCTP;
}

static bool is_family(uint8_t family)
{
	return family == AF_INET || family == AF_INET6;
}

static bool is_usable(const struct ip_addr *addr)
{
	return is_family(addr->family) && !addr_unusable(addr);
}

/* Sorted, no key twice, no member missing. */
static void check_pairs(const struct obj_pair *pairs, size_t n)
{
	for (size_t i = 0; i < n; i++) {
		require(pairs[i].key && pairs[i].value);
		require(i == 0 || strcmp(pairs[i - 1].key, pairs[i].key) < 0);
	}
}

static void check_prefixes(const struct ip_prefix *nets, size_t n)
{
	for (size_t i = 0; i < n; i++)
		require(is_family(nets[i].addr.family) &&
			nets[i].len <= 8 * addr_len(&nets[i].addr));
}

static void check_meta(const struct obj_meta *meta)
{
	require(meta->ns && meta->name && meta->origin && *meta->name);
	require((meta->kind == OBJ_NODE) == (*meta->ns == '\0'));
	require(!strpbrk(meta->ns, " /") && !strpbrk(meta->name, " /"));
	require(strlen(meta->ns) <= 63 && strlen(meta->name) <= 253);
	require(strncmp(meta->origin, "fuzz:", 5) == 0);
	check_pairs(meta->labels, meta->n_labels);
	check_pairs(meta->annotations, meta->n_annotations);
}

static void check_service_ports(const struct service *svc)
{
	require(svc->n_ports <= OBJ_PORTS_MAX);
	for (size_t i = 0; i < svc->n_ports; i++) {
		const struct svc_port *port = &svc->ports[i];

		require(port->name && port->port && is_proto(port->proto));
		require(*port->name || svc->n_ports == 1);
		require(!port->target.name || (*port->target.name && !port->target.number));
		for (size_t k = 0; k < i; k++)
			require(port->port != svc->ports[k].port ||
				port->proto != svc->ports[k].proto);
	}
}

/* Whatever the annotations say, what is taken from them is of the kernel's range. */
static void check_policy(const struct service *svc)
{
	char buf[CACHE_KEY_MAX];
	struct svc_policy policy;

	require(policy_read(svc, &policy) == 0);
	require(policy.lb.forwarding <= FORWARD_TUNNEL && policy.lb.tunnel_type <= TUNNEL_GRE);
	require(policy.lb.conns_min <= policy.lb.conns_max && policy.lb.slow_start_sec <= 216000);
	require(memchr(policy.lb.scheduler, 0, sizeof(policy.lb.scheduler)) != NULL);
	require(policy.n_weights <= POLICY_WEIGHTS_MAX);
	for (size_t i = 0; i < policy.n_weights; i++) {
		const struct policy_weight *item = &policy.weights[i];

		require(addr_is_set(&item->addr) == !item->node);
		require(item->weight <= UINT16_MAX);
		require(policy_weight(&policy, &item->addr, item->node, "7") <= UINT16_MAX);
	}
	policy_fallback(svc, buf, sizeof(buf));
	policy_done(&policy);
}

static void check_service(const struct service *svc)
{
	const struct ip_addr *ips = svc->cluster_ips;

	require(svc->type <= SVC_EXTERNAL_NAME && svc->family_policy <= SVC_REQUIRE_DUAL);
	require(svc->n_ports || svc->headless || svc->type == SVC_EXTERNAL_NAME);
	check_service_ports(svc);
	check_pairs(svc->selector, svc->n_selector);
	require(addr_is_set(&ips[0]) || !addr_is_set(&ips[1]));
	require(!addr_is_set(&ips[0]) || is_usable(&ips[0]));
	require(!addr_is_set(&ips[1]) || (is_usable(&ips[1]) && ips[0].family != ips[1].family));
	require(!svc->headless || !addr_is_set(&ips[0]));
	require(svc->families[0] || !svc->families[1]);
	require(!svc->families[0] || svc->families[0] != svc->families[1]);
	require(svc->affinity_sec <= 86400);
	require(svc->restricted == (svc->n_ranges > 0));
	check_prefixes(svc->source_ranges, svc->n_ranges);
	for (size_t i = 0; i < svc->n_external_ips; i++)
		require(is_usable(&svc->external_ips[i]));
	for (size_t i = 0; i < svc->n_ingress; i++)
		require(is_family(svc->ingress[i].addr.family));
	check_policy(svc);
}

static void check_slice(const struct slice *slice)
{
	require(slice->service && slice->n_ports <= OBJ_PORTS_MAX);
	require(slice->n_endpoints <= 2 * OBJ_ENDPOINTS_MAX);
	for (size_t i = 0; i < slice->n_ports; i++)
		require(slice->ports[i].name && is_proto(slice->ports[i].proto));
	for (size_t i = 0; i < slice->n_endpoints; i++) {
		const struct slice_endpoint *ep = &slice->endpoints[i];

		require(is_usable(&ep->addr) && (!ep->node || *ep->node));
		require(!slice->family || ep->addr.family == slice->family);
	}
}

static void check_pod(const struct pod *pod)
{
	require(addr_is_set(&pod->ips[0]) || !addr_is_set(&pod->ips[1]));
	for (size_t i = 0; i < ARRAY_SIZE(pod->ips); i++)
		require(!addr_is_set(&pod->ips[i]) || is_usable(&pod->ips[i]));
	require(!addr_is_set(&pod->ips[1]) || pod->ips[0].family != pod->ips[1].family);
	require(pod->n_ports <= OBJ_PORTS_MAX && (!pod->node || *pod->node));
	for (size_t i = 0; i < pod->n_ports; i++)
		require(pod->ports[i].name && *pod->ports[i].name && pod->ports[i].port &&
			is_proto(pod->ports[i].proto));
}

static void check_node(const struct node *node)
{
	check_prefixes(node->pod_cidrs, node->n_pod_cidrs);
	for (size_t i = 0; i < node->n_addrs; i++)
		require(is_family(node->addrs[i].family));
}

static void check_object(const union object *object)
{
	check_meta(&object->meta);
	switch (object->meta.kind) {
	case OBJ_SERVICE:
		check_service(&object->service);
		break;
	case OBJ_SLICE:
		check_slice(&object->slice);
		break;
	case OBJ_ENDPOINTS:
		for (size_t i = 0; i < object->endpoints.n_subsets; i++)
			check_slice(&object->endpoints.subsets[i]);
		break;
	case OBJ_POD:
		check_pod(&object->pod);
		break;
	case OBJ_NODE:
		check_node(&object->node);
		break;
	case OBJ_KIND_COUNT:
		abort();
	}
}

/* Reading the same tree again gives an equal object. */
static void check_again(const cJSON *tree, const union object *object)
{
	union object *again;

	require(decode_object(tree, "other", &again, NULL) == 0 && again);
	require(object_equal(object, again));
	object_free(again);
}

static int take(cJSON *tree, bool item, void *arg)
{
	union object *object;
	struct err err = {0};
	int rc = decode_object(tree, "fuzz", &object, &err);

	(void)item, (void)arg;
	require(rc == 0 || (rc == -EINVAL && err.code == rc && !object));
	require(rc == 0 || strncmp(err.text, "fuzz:", 5) == 0);
	if (object) {
		check_object(object);
		check_again(tree, object);
	}
	object_free(object);
	cJSON_Delete(tree);
	return 0;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct err err;

	tree_read((const char *)data, size, 1, take, NULL, &err);
	return 0;
}
