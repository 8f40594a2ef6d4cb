/* SPDX-License-Identifier: Apache-2.0 */
/* Which endpoints a Service port has for whom: gathered, merged, chosen by condition, topology and
 * place. Pure; a part of the stage desired.
 *
 * The rules, in the order of their numbers in endpoints.c, after
 * kubernetes.io/docs/concepts/services-networking/{endpoint-slices,topology-aware-routing} and
 * .../service-traffic-policy. */
#ifndef VIPD_MODEL_ENDPOINTS_H
#define VIPD_MODEL_ENDPOINTS_H

#include "model.h"
#include "model/cache.h"

struct svc_policy;

/* Who this is computed for. */
struct endpoints_place {
	const char *node_name;
	const char *zone; /* of the node's label topology.kubernetes.io/zone; NULL = none */
};

struct endpoint_sets {
	struct pool *cluster; /* for whom the place of an endpoint does not matter */
	struct pool *local;   /* on this node; NULL if not asked for */
	bool any;             /* somewhere in the cluster there is one that could answer (E8) */
	bool local_ready;     /* those of `local` that take new flows are ready (not E4's others) */
};

/* 0 or -ENOMEM. Pools may be empty. */
int endpoints_choose(const struct endpoints_place *place, const struct svc_inputs *inputs,
		     const struct svc_port *port, int family, bool with_local,
		     const struct svc_policy *policy, struct endpoint_sets *ret_sets);
void endpoint_sets_done(struct endpoint_sets *sets);

#endif
