/* SPDX-License-Identifier: Apache-2.0 */
/* See endpoints.h.
 *
 * Rules (E):
 *  E1 Endpoints come from EndpointSlices; without any, from the Endpoints object of the same name;
 *     without that, from the Pods that the selector matches.
 *  E2 A slice's port belongs to the Service port of the same name and protocol.
 *  E3 An address and port told twice: one that runs counts before one that terminates.
 *  E4 Ready endpoints are used; if there is none, those that serve while they terminate. This is
 *     decided apart for the whole cluster and for this node.
 *  E5 Serving and terminating ones beside ready ones drain: no new flows.
 *  E6 Topology, for the cluster's endpoints alone: if every ready one names nodes and one of them
 *     this node, those that name this node; else if every ready one names zones and one of them
 *     this node's, those that name this zone; else all.
 *  E7 An endpoint is on this node if its node's name says so, never by its address.
 *  E8 "Any" is one that is ready, or serves while it terminates, wherever it is.
 *  E9 For Pods nobody wrote hints: they are what the EndpointSlice controller would have written
 * for the Service's trafficDistribution: the Pod's own node and its node's zone. */
#include <errno.h>
#include <string.h>

#include "model/endpoints.h"
#include "model/policy.h"

/* An endpoint with all that decides whether it is used. */
struct candidate {
	struct ip_addr addr;
	uint16_t port;
	uint32_t weight;
	bool ready, serving, terminating;
	bool local;       /* on this node (E7) */
	bool maybe_local; /* or its node is not told */
	bool has_nodes, names_node, has_zones, names_zone;
};

struct candidates {
	struct candidate *items;
	size_t n, cap;
};

static int add_candidate(struct candidates *list, const struct candidate *item)
{
	int rc = util_grow((void **)&list->items, &list->cap, list->n + 1, sizeof(*list->items));

	if (rc == 0)
		list->items[list->n++] = *item;
	return rc;
}

/* Is `name` one of a comma-separated list? */
static bool list_has(const char *list, const char *name)
{
	size_t len = name ? strlen(name) : 0;

	while (list && len) {
		if (strncmp(list, name, len) == 0 && (!list[len] || list[len] == ','))
			return true;
		list = strchr(list, ',');
		list += list != NULL;
	}
	return false;
}

static void set_place(const struct endpoints_place *place, const char *node,
		      struct candidate *ret_item)
{
	ret_item->local = node && strcmp(node, place->node_name) == 0;
	ret_item->maybe_local = !node || ret_item->local;
}

static int from_slice(const struct endpoints_place *place, const struct svc_policy *policy,
		      const struct slice *slice, const struct svc_port *port, int family,
		      struct candidates *list)
{
	int rc = 0;

	for (size_t p = 0; p < slice->n_ports; p++) {
		const struct slice_port *sp = &slice->ports[p];

		if (!sp->port || sp->proto != port->proto || strcmp(sp->name, port->name) != 0)
			continue;
		for (size_t e = 0; e < slice->n_endpoints && rc == 0; e++) {
			const struct slice_endpoint *ep = &slice->endpoints[e];
			struct candidate item = {
				.addr = ep->addr,
				.port = sp->port,
				.ready = ep->ready,
				.serving = ep->serving,
				.terminating = ep->terminating,
				.has_nodes = ep->nodes_hint && *ep->nodes_hint,
				.names_node = list_has(ep->nodes_hint, place->node_name),
				.has_zones = ep->zones_hint && *ep->zones_hint,
				.names_zone = list_has(ep->zones_hint, place->zone),
			};

			set_place(place, ep->node, &item);
			item.weight = policy_weight(policy, &ep->addr, ep->node, NULL);
			if (ep->addr.family == family)
				rc = add_candidate(list, &item);
		}
	}
	return rc;
}

/* The number a Service port's targetPort stands for in this Pod; 0 = the Pod has no such port. */
static uint16_t resolve_port(const struct pod *pod, const struct svc_port *port)
{
	if (port->target.number)
		return port->target.number;
	if (!port->target.name || !*port->target.name)
		return port->port;
	for (size_t i = 0; i < pod->n_ports; i++)
		if (pod->ports[i].proto == port->proto && pod->ports[i].name &&
		    strcmp(pod->ports[i].name, port->target.name) == 0)
			return pod->ports[i].port;
	return 0;
}

/* E9 */
static void set_hints(const struct endpoints_place *place, const struct service *svc,
		      const struct pod *pod, const char *zone, struct candidate *item)
{
	if (svc->distribution == SVC_ANYWHERE)
		return;
	item->has_zones = zone && *zone;
	item->names_zone = item->has_zones && place->zone && strcmp(zone, place->zone) == 0;
	if (svc->distribution != SVC_SAME_NODE)
		return;
	item->has_nodes = pod->node != NULL;
	item->names_node = item->local;
}

static int from_pod(const struct endpoints_place *place, const struct svc_policy *policy,
		    const struct svc_inputs *in, size_t index, const struct svc_port *port,
		    int family, struct candidates *list)
{
	const struct service *svc = in->service;
	const struct pod *pod = in->pods[index];
	struct candidate item = {
		.port = resolve_port(pod, port),
		.ready = (pod->ready || svc->publish_not_ready) && !pod->terminating,
		.serving = pod->ready || svc->publish_not_ready,
		.terminating = pod->terminating,
	};

	if (pod->finished || !item.port)
		return 0;
	set_place(place, pod->node, &item);
	set_hints(place, svc, pod, in->pod_zones ? in->pod_zones[index] : NULL, &item);
	for (size_t i = 0; i < ARRAY_SIZE(pod->ips); i++) {
		if (pod->ips[i].family != family)
			continue;
		item.addr = pod->ips[i];
		item.weight = policy_weight(policy, &item.addr, pod->node,
					    obj_annotation(&pod->meta, ANN_WEIGHT));
		return add_candidate(list, &item);
	}
	return 0;
}

/* E1, E2 */
static int gather(const struct endpoints_place *place, const struct svc_policy *policy,
		  const struct svc_inputs *in, const struct svc_port *port, int family,
		  struct candidates *list)
{
	int rc = 0;

	if (in->n_slices) {
		for (size_t i = 0; i < in->n_slices && rc == 0; i++)
			rc = from_slice(place, policy, in->slices[i], port, family, list);
	} else if (in->endpoints) {
		for (size_t i = 0; i < in->endpoints->n_subsets && rc == 0; i++)
			rc = from_slice(place, policy, &in->endpoints->subsets[i], port, family,
					list);
	} else {
		for (size_t i = 0; i < in->n_pods && rc == 0; i++)
			rc = from_pod(place, policy, in, i, port, family, list);
	}
	return rc;
}

static unsigned place_bits(const struct candidate *c)
{
	return (unsigned)c->local << 5 | (unsigned)c->maybe_local << 4 |
	       (unsigned)c->has_nodes << 3 | (unsigned)c->names_node << 2 |
	       (unsigned)c->has_zones << 1 | (unsigned)c->names_zone;
}

/* Total, so that the result does not depend on the order of slices. */
static int candidate_cmp(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int order = addr_cmp(&x->addr, &y->addr);

	if (order)
		return order;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	if (x->terminating != y->terminating)
		return x->terminating ? 1 : -1;
	if (x->ready != y->ready)
		return x->ready ? -1 : 1;
	if (x->serving != y->serving)
		return x->serving ? -1 : 1;
	if (x->weight != y->weight)
		return x->weight < y->weight ? 1 : -1;
	return (int)place_bits(y) - (int)place_bits(x);
}

/* E3: one candidate an address and port. */
static void merge(struct candidates *list)
{
	size_t kept = 0;

	if (list->n)
		qsort(list->items, list->n, sizeof(*list->items), candidate_cmp);
	for (size_t i = 0; i < list->n; i++) {
		struct candidate *last = kept ? &list->items[kept - 1] : NULL;

		if (last && last->port == list->items[i].port &&
		    addr_equal(&last->addr, &list->items[i].addr))
			continue;
		list->items[kept++] = list->items[i];
	}
	list->n = kept;
}

enum topology { TOPO_ALL, TOPO_NODE, TOPO_ZONE };

/* E6 */
static enum topology topology_of(const struct candidates *list)
{
	bool all_nodes = true, all_zones = true, this_node = false, this_zone = false;

	for (size_t i = 0; i < list->n; i++) {
		const struct candidate *c = &list->items[i];

		if (!c->ready)
			continue;
		all_nodes &= c->has_nodes;
		all_zones &= c->has_zones;
		this_node |= c->names_node;
		this_zone |= c->names_zone;
	}
	if (all_nodes && this_node)
		return TOPO_NODE;
	return all_zones && this_zone ? TOPO_ZONE : TOPO_ALL;
}

static bool fits(const struct candidate *c, enum topology topology)
{
	return topology == TOPO_ALL || (topology == TOPO_NODE ? c->names_node : c->names_zone);
}

static bool is_leaving(const struct candidate *c)
{
	return !c->ready && c->serving && c->terminating;
}

/* E4, E5 */
static struct pool *make_pool(const struct candidates *list, enum topology topology, bool local)
{
	cleanup_free struct endpoint *ep = calloc(list->n + 1, sizeof(*ep));
	bool any_ready = false;
	size_t n = 0;

	if (!ep)
		return NULL;
	for (size_t i = 0; i < list->n; i++)
		any_ready |= list->items[i].ready && (!local || list->items[i].local);
	for (size_t i = 0; i < list->n; i++) {
		const struct candidate *c = &list->items[i];

		if ((local && !c->local) || (c->ready && !fits(c, topology)) ||
		    (!c->ready && !is_leaving(c)))
			continue;
		ep[n++] = (struct endpoint){
			.addr = c->addr,
			.port = c->port,
			.state = any_ready && !c->ready ? EP_DRAIN : EP_ACTIVE,
			.local = c->maybe_local,
			.weight = c->weight,
		};
	}
	return pool_new(ep, n);
}

int endpoints_choose(const struct endpoints_place *place, const struct svc_inputs *inputs,
		     const struct svc_port *port, int family, bool with_local,
		     const struct svc_policy *policy, struct endpoint_sets *ret_sets)
{
	struct candidates list = {0};
	int rc = gather(place, policy, inputs, port, family, &list);

	*ret_sets = (struct endpoint_sets){0};
	if (rc == 0) {
		merge(&list);
		for (size_t i = 0; i < list.n; i++)
			ret_sets->any |= list.items[i].ready || is_leaving(&list.items[i]);
		for (size_t i = 0; i < list.n && with_local; i++)
			ret_sets->local_ready |= list.items[i].ready && list.items[i].local;
		ret_sets->cluster = make_pool(&list, topology_of(&list), false);
		if (with_local)
			ret_sets->local = make_pool(&list, TOPO_ALL, true);
		if (!ret_sets->cluster || (with_local && !ret_sets->local))
			rc = -ENOMEM;
	}
	free(list.items);
	if (rc < 0)
		endpoint_sets_done(ret_sets);
	return rc;
}

void endpoint_sets_done(struct endpoint_sets *sets)
{
	pool_unref(sets->cluster);
	pool_unref(sets->local);
	*sets = (struct endpoint_sets){0};
}
