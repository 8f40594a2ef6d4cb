/* SPDX-License-Identifier: Apache-2.0 */
/* Node ports of manifests' Services: who holds which number, and who gets one. The registry's part
 * for what an API server would have filled in as spec.ports[].nodePort and healthCheckNodePort.
 *
 * Pure. A number is searched from a place that the Service's name and port alone give, first in the
 * upper part of the range, as the API server does (its lower part is for those who name a number).
 */
#ifndef VIPD_SOURCE_NODEPORTS_H
#define VIPD_SOURCE_NODEPORTS_H

#include <cjson/cJSON.h>
#include <stdio.h>

#include "kube/objects.h"

struct nodeports; /* how many Services hold a number, for each protocol */
struct nodeport;

/* What one Service holds; zeroed = nothing. */
struct nodeports_held {
	size_t n, cap;
	struct nodeport *items;
};

/* A range that is not set gives nothing. NULL without memory. */
struct nodeports *nodeports_new(const struct port_range *range);
void nodeports_free(struct nodeports *ports);

/* The numbers that `svc` names itself are kept from others; what it held before it holds on to
 * until it is filled. 0 or -ENOMEM. */
int nodeports_reserve(struct nodeports *ports, struct nodeports_held *held,
		      const struct service *svc);
/* Fills in the numbers that `svc` lacks: what it held before, else new ones; what it needs no more
 * is free. `key` is its namespace and name. 0, or -ENOSPC with what lacks a number and the remedy:
 * then all the others have theirs. -ENOMEM: nothing is filled in. `*ret_changed`: other numbers are
 * given than before. */
int nodeports_fill(struct nodeports *ports, struct nodeports_held *held, const char *key,
		   struct service *svc, bool *ret_changed, struct err *err);
/* All of them are free. */
void nodeports_release(struct nodeports *ports, struct nodeports_held *held);

/* The given numbers as members of the Service's object in the file of allocations, with a comma
 * before each; nothing if there are none. And back: a number that somebody holds, and whatever
 * makes no sense, is left out. */
void nodeports_write(const struct nodeports_held *held, FILE *out);
void nodeports_load(struct nodeports *ports, struct nodeports_held *held, const cJSON *entry);

#endif
