/* SPDX-License-Identifier: Apache-2.0 */
/* Health-check node ports: which Services have one, and what is answered there.
 *
 * A load balancer outside asks each node, on the Service's healthCheckNodePort, whether it has
 * endpoints of the Service; so clients come only where their address can be kept
 * (kubernetes.io/docs/tasks/access-application-cluster/create-external-load-balancer). This is the
 * pure part: it is told by sync what each Service wants, keeps who has which port, and words the
 * answers. health_http.h listens. One port is one Service's: the older one's; the others wait. */
#ifndef VIPD_DAEMON_HEALTH_H
#define VIPD_DAEMON_HEALTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/types.h>

/* How long work may be under way without progress before the node is not healthy; kube-proxy's:
 * twice its
 * --ipvs-sync-period of 30 s. */
#define HEALTH_PATIENCE_MS 60000

struct health;

/* A Service's trouble with its port; `text` NULL = none (any more). May be told again. */
typedef void (*health_problem_fn)(void *ctx, const char *key, const char *text);

/* NULL without memory. */
struct health *health_new(health_problem_fn problem, void *ctx);
void health_free(struct health *health);

/* What the Service `key` ("namespace/name") wants now: port 0 = no health checks (any more).
 * `n_local`: ready endpoints on this node. 0 or -ENOMEM. */
int health_put(struct health *health, const char *key, int64_t created_ms, uint16_t port,
	       size_t n_local);

/* A port for which a listener has to come (`*ret_wanted`) or go, one a call, in any order; false:
 * no more. What became of it is told by health_listened(). */
bool health_next_change(struct health *health, uint16_t *ret_port, bool *ret_wanted);
/* `error` NULL: somebody listens there now; else why not: the Service's problem until it is told
 * again. For ports that are wanted. */
void health_listened(struct health *health, uint16_t port, const char *error);
/* All ports that could not be listened on are told again by health_next_change(). Their number. */
size_t health_retry(struct health *health);

/* Work has begun, a part of it is done (under changes without a pause there may never be nothing to
 * do), all of it is done: from one to the next passes no more than HEALTH_PATIENCE_MS while the
 * node is healthy. */
void health_work_begins(struct health *health, uint64_t now_ms);
void health_work_goes_on(struct health *health, uint64_t now_ms);
void health_work_done(struct health *health);
bool health_is_good(const struct health *health, uint64_t now_ms);

struct health_answer {
	unsigned status; /* 200, 503; 404: nobody's port */
	size_t n_local;
	char *body; /* the caller frees */
	size_t body_len;
};

/* 0 or -ENOMEM. */
int health_answer(const struct health *health, uint16_t port, uint64_t now_ms,
		  struct health_answer *ret_answer);

#endif
