/* SPDX-License-Identifier: Apache-2.0 */
/* Owns the objects that sources told, and knows which Services are dirty.
 *
 * In the flow: sources -> CACHE -> desired. Fan-outs are indexes with names: a slice or Endpoints
 * marks the Service it names; a Pod marks the Services whose selector it matches, found by one
 * label (label index), never by a loop over Services; a node's zone marks the Services whose
 * endpoints depend on places (index of placed Services); a Service marks those that it helps out
 * (index of dependents). Knows no semantics beyond "who is touched". */
#ifndef VIPD_MODEL_CACHE_H
#define VIPD_MODEL_CACHE_H

#include "kube/objects.h"

/* "namespace/name": 63 + 1 + 253 + NUL (RFC 1123 label and subdomain). */
#define CACHE_KEY_MAX 320

struct cache;

/* All that bears on one Service; valid until the cache changes. */
struct svc_inputs {
	const struct service *service; /* NULL: there is none (any more) */
	const struct slice *const *slices;
	size_t n_slices;
	const struct endpoints *endpoints; /* NULL = none */
	const struct pod **pods; /* that the selector matches, any order; freed by caller */
	size_t n_pods;
	const char **pod_zones; /* of the Pods' nodes, if trafficDistribution asks; freed so, too */
	struct svc_inputs *fallback; /* of the Service named as fallback, whose own fallback is not
				      * asked for; freed so, too; NULL = none is named */
};

struct cache *cache_new(void);
void cache_free(struct cache *cache);

/* Takes `object` over; an equal one marks nothing. 0 or -ENOMEM (object freed). */
int cache_put(struct cache *cache, union object *object);
int cache_remove(struct cache *cache, enum obj_kind kind, const char *ns, const char *name);

/* The keys of dirty Services, sorted, each once; `*ret_keys` and its strings are one allocation
 * that the caller frees. Their number or -ENOMEM. */
ssize_t cache_take_dirty(struct cache *cache, char ***ret_keys);
int cache_mark_all(struct cache *cache);
/* Services whose endpoints depend on where they are (hints, trafficDistribution): this node's zone
 * changed. */
void cache_mark_placed(struct cache *cache);
/* 0 or -ENOMEM; what is "freed by caller" is freed by svc_inputs_done. */
int cache_inputs(const struct cache *cache, const char *key, struct svc_inputs *ret_inputs);
void svc_inputs_done(struct svc_inputs *inputs);

/* Whose an address is that no Service's external address may take over: in words, NULL = nobody's.
 * That of another node, and the API server's: its own port alone where this node has the address.
 * The Services that have external addresses are marked when this may have changed (index of
 * external Services). */
const char *cache_owner_of(const struct cache *cache, const char *node_name,
			   const struct ip_addr *addr, uint16_t port);

/* The Service "ns/name", until the cache changes; NULL if there is none. */
const struct service *cache_service(const struct cache *cache, const char *key);
const struct node *cache_node(const struct cache *cache, const char *name);
size_t cache_count(const struct cache *cache, enum obj_kind kind);
/* How often an object of that kind came, went or became another so far. */
uint64_t cache_changes(const struct cache *cache, enum obj_kind kind);
/* The printer `--print=objects`: by kind, then namespace and name. 0 or -ENOMEM. */
int cache_print(const struct cache *cache, FILE *out);

#endif
