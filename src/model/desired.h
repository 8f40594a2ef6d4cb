/* SPDX-License-Identifier: Apache-2.0 */
/* What one Service wants: Kubernetes semantics -> frontends with their pools. Pure.
 *
 * In the flow: cache -> DESIRED -> claims. Sees one Service at a time and everything that bears on
 * it; whether its address and port are free is not its business (claims).
 *
 * The rules, in the order of their numbers in desired.c, after
 * kubernetes.io/docs/reference/networking/virtual-ips and .../concepts/services-networking. */
#ifndef VIPD_MODEL_DESIRED_H
#define VIPD_MODEL_DESIRED_H

#include "model.h"
#include "model/endpoints.h"

struct desired_config {
	struct endpoints_place place;
	const struct cache *cache; /* whose addresses others are; NULL = nobody is asked */
};

struct svc_want {
	int64_t created_ms;   /* who came first, for claims */
	size_t n, cap;        /* frontends */
	struct frontend **fe; /* no two of one key */
	/* Where a load balancer asks if this node has endpoints; 0 = nowhere. */
	uint16_t health_port;
	size_t n_local_ready; /* what it is told: addresses of ready endpoints on this node */
	/* Ports whose policy is Local, of the inside and of the outside, with endpoints elsewhere
	 * alone; by family (IPv6 last). */
	unsigned no_local_inside[2], no_local_outside[2];
	char *note; /* what an operator should know, as a scheduler refused; NULL = nothing */
};

/* 0 or -ENOMEM. No Service, or one that is not ours: no frontends. */
int desired_compute(const struct desired_config *config, const struct svc_inputs *inputs,
		    struct svc_want *ret_want);
void svc_want_done(struct svc_want *want);
/* The most urgent of its frontends: enum priority. */
uint8_t desired_priority(const struct service *svc);

#endif
