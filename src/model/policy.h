/* SPDX-License-Identifier: Apache-2.0 */
/* What a Service's annotations ask for beyond Kubernetes: read, checked against an allow-list.
 * Pure.
 *
 * In the flow: a part of desired. A value that cannot be is told in a note and left out: a typing
 * error must not take a Service down. docs/annotations.md is for those who write them. */
#ifndef VIPD_MODEL_POLICY_H
#define VIPD_MODEL_POLICY_H

#include "kube/objects.h"
#include "model.h"

#define POLICY_WEIGHTS_MAX 256 /* entries of vipd.dev/weights */
#define POLICY_SLOW_UNIT   10  /* a slow start has so many steps */

/* The weight of the endpoints at an address or on a node. */
struct policy_weight {
	struct ip_addr addr; /* unset: by node */
	char *node;
	uint32_t weight;
};

struct svc_policy {
	struct lb_policy lb;  /* all but the affinity */
	uint32_t weight_unit; /* what weight 1 is in the kernel: more, where it has to grow from
				 less */
	size_t n_weights;
	struct policy_weight *weights;
	char *notes; /* what was left out and why; NULL = nothing */
};

/* 0 or -ENOMEM. */
int policy_read(const struct service *svc, struct svc_policy *ret_policy);
void policy_done(struct svc_policy *policy);

/* The weight of an endpoint; `own` is its Pod's annotation, NULL = none. 1 where nothing says. */
uint32_t policy_weight(const struct svc_policy *policy, const struct ip_addr *addr,
		       const char *node, const char *own);

/* The key "namespace/name" of the Service that helps out, into `buf`; NULL if none is named. */
const char *policy_fallback(const struct service *svc, char *buf, size_t size);

#endif
