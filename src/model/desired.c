/* SPDX-License-Identifier: Apache-2.0 */
/* See desired.h.
 *
 * Rules (D):
 *  D1 Left out: no Service, headless, ExternalName, another proxy's (label service-proxy-name).
 *  D2 One frontend for each cluster IP and port.
 *  D3 Endpoints come from EndpointSlices; without any, from the Endpoints object of the same name;
 *     without that, from the Pods that the selector matches.
 *  D4 A slice's port belongs to the Service port of the same name and protocol.
 *  D5 Ready endpoints are used; if there is none, those that serve while they terminate.
 *  D6 Serving and terminating ones beside ready ones drain: no new flows.
 *  D7 An address and port told twice: the later one counts unless it is terminating.
 *  D8 Without an endpoint for new flows the frontend refuses.
 *  D9 default/kubernetes comes first, then port 53 of a Service in kube-system.
 *  D10 A scheduler annotation counts if the name is in the list below; else a note says so and the
 *      node's default is used: a typing error must not take a Service down. */
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "model/desired.h"

static const char *const schedulers[] = {"rr", "wrr", "lc", "wlc", "lblc", "lblcr", "sh",
					 "dh", "sed", "nq", "mh",  "fo",   "ovf",   "twos"};

/* An endpoint with the conditions that decide whether it is used. */
struct candidate {
	struct ip_addr addr;
	uint16_t port;
	bool ready, serving, terminating, local;
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

static bool is_local(const struct desired_config *config, const char *node)
{
	return !node || strcmp(node, config->node_name) == 0;
}

static int from_slice(const struct desired_config *config, const struct slice *slice,
		      const struct svc_port *port, int family, struct candidates *list)
{
	int rc = 0;

	for (size_t p = 0; p < slice->n_ports; p++) {
		const struct slice_port *sp = &slice->ports[p];

		if (!sp->port || sp->proto != port->proto || strcmp(sp->name, port->name) != 0)
			continue;
		for (size_t e = 0; e < slice->n_endpoints && rc == 0; e++) {
			const struct slice_endpoint *ep = &slice->endpoints[e];

			if (ep->addr.family == family)
				rc = add_candidate(list,
						   &(struct candidate){
							   .addr = ep->addr,
							   .port = sp->port,
							   .ready = ep->ready,
							   .serving = ep->serving,
							   .terminating = ep->terminating,
							   .local = is_local(config, ep->node),
						   });
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

static int from_pod(const struct desired_config *config, const struct service *svc,
		    const struct pod *pod, const struct svc_port *port, int family,
		    struct candidates *list)
{
	struct candidate item = {
		.port = resolve_port(pod, port),
		.ready = (pod->ready || svc->publish_not_ready) && !pod->terminating,
		.serving = pod->ready || svc->publish_not_ready,
		.terminating = pod->terminating,
		.local = is_local(config, pod->node),
	};

	if (pod->finished || !item.port)
		return 0;
	for (size_t i = 0; i < ARRAY_SIZE(pod->ips); i++) {
		if (pod->ips[i].family != family)
			continue;
		item.addr = pod->ips[i];
		return add_candidate(list, &item);
	}
	return 0;
}

/* D3, D4 */
static int gather(const struct desired_config *config, const struct svc_inputs *in,
		  const struct svc_port *port, int family, struct candidates *list)
{
	int rc = 0;

	if (in->n_slices) {
		for (size_t i = 0; i < in->n_slices && rc == 0; i++)
			rc = from_slice(config, in->slices[i], port, family, list);
	} else if (in->endpoints) {
		for (size_t i = 0; i < in->endpoints->n_subsets && rc == 0; i++)
			rc = from_slice(config, &in->endpoints->subsets[i], port, family, list);
	} else {
		for (size_t i = 0; i < in->n_pods && rc == 0; i++)
			rc = from_pod(config, in->service, in->pods[i], port, family, list);
	}
	return rc;
}

static int candidate_cmp(const void *a, const void *b)
{
	const struct candidate *x = a, *y = b;
	int order = addr_cmp(&x->addr, &y->addr);

	if (order)
		return order;
	if (x->port != y->port)
		return x->port < y->port ? -1 : 1;
	/* D7, made independent of the order of slices: running before terminating, ready first */
	if (x->terminating != y->terminating)
		return x->terminating ? 1 : -1;
	if (x->ready != y->ready)
		return x->ready ? -1 : 1;
	if (x->serving != y->serving)
		return x->serving ? -1 : 1;
	return (int)y->local - (int)x->local;
}

/* D7: one candidate an address and port. */
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

/* D5, D6 */
static struct pool *make_pool(const struct candidates *list)
{
	cleanup_free struct endpoint *ep = calloc(list->n + 1, sizeof(*ep));
	bool any_ready = false;
	size_t n = 0;

	if (!ep)
		return NULL;
	for (size_t i = 0; i < list->n; i++)
		any_ready |= list->items[i].ready;
	for (size_t i = 0; i < list->n; i++) {
		const struct candidate *c = &list->items[i];
		bool leaving = !c->ready && c->serving && c->terminating;

		if (!c->ready && !leaving)
			continue;
		ep[n++] = (struct endpoint){
			.addr = c->addr,
			.port = c->port,
			.state = any_ready && leaving ? EP_DRAIN : EP_ACTIVE,
			.local = c->local,
			.weight = 1,
		};
	}
	return pool_new(ep, n);
}

/* D9 */
static uint8_t priority_of(const struct service *svc, const struct svc_port *port)
{
	if (strcmp(svc->meta.ns, "default") == 0 && strcmp(svc->meta.name, "kubernetes") == 0)
		return PRIO_API_SERVER;
	if (strcmp(svc->meta.ns, "kube-system") == 0 && port->port == 53)
		return PRIO_DNS;
	return PRIO_NORMAL;
}

uint8_t desired_priority(const struct service *svc)
{
	uint8_t best = PRIO_NORMAL;

	for (size_t i = 0; i < svc->n_ports; i++)
		if (priority_of(svc, &svc->ports[i]) < best)
			best = priority_of(svc, &svc->ports[i]);
	return best;
}

/* D10 */
static const char *scheduler_of(const struct service *svc, struct svc_want *want)
{
	const char *name = obj_annotation(&svc->meta, ANN_SCHEDULER);

	if (!name)
		name = obj_annotation(&svc->meta, ANN_SCHEDULER_KR);
	if (!name || !*name)
		return "";
	for (size_t i = 0; i < ARRAY_SIZE(schedulers); i++)
		if (strcmp(schedulers[i], name) == 0)
			return schedulers[i];
	if (asprintf(&want->note,
		     "annotation " ANN_SCHEDULER
		     ": \"%.32s\" is no scheduler (rr wrr lc wlc lblc lblcr sh dh sed nq mh fo ovf "
		     "twos); the node's default is used",
		     name) < 0)
		want->note = NULL;
	return "";
}

static int add_frontend(struct svc_want *want, const struct service *svc,
			const struct svc_port *port, const struct ip_addr *vip, struct pool *pool,
			const char *scheduler)
{
	struct fe_key key = fe_key_make(vip, port->port, port->proto);
	char owner[CACHE_KEY_MAX + 80];
	struct frontend *fe;

	snprintf(owner, sizeof(owner), "%s/%s%s%s", svc->meta.ns, svc->meta.name,
		 *port->name ? ":" : "", port->name);
	if (util_grow((void **)&want->fe, &want->cap, want->n + 1, sizeof(*want->fe)) < 0)
		return -ENOMEM;
	fe = frontend_new(&key, owner, pool);
	if (!fe)
		return -ENOMEM;
	fe->verdict = pool_usable(pool) ? V_FORWARD : V_REJECT; /* D8 */
	fe->snat = SNAT_NONLOCAL;
	fe->priority = priority_of(svc, port);
	fe->lb.affinity_sec = svc->affinity_sec;
	snprintf(fe->lb.scheduler, sizeof(fe->lb.scheduler), "%s", scheduler);
	want->fe[want->n++] = fe;
	return 0;
}

static int want_port(const struct desired_config *config, const struct svc_inputs *in,
		     const struct svc_port *port, const struct ip_addr *vip, const char *scheduler,
		     struct svc_want *want)
{
	struct candidates list = {0};
	struct pool *pool = NULL;
	int rc = gather(config, in, port, vip->family, &list);

	if (rc == 0) {
		merge(&list);
		pool = make_pool(&list);
		rc = pool ? add_frontend(want, in->service, port, vip, pool, scheduler) : -ENOMEM;
	}
	pool_unref(pool);
	free(list.items);
	return rc;
}

int desired_compute(const struct desired_config *config, const struct svc_inputs *in,
		    struct svc_want *ret_want)
{
	const struct service *svc = in->service;
	const char *scheduler;
	int rc = 0;

	*ret_want = (struct svc_want){0};
	if (!svc || svc->headless || svc->foreign || svc->type == SVC_EXTERNAL_NAME) /* D1 */
		return 0;
	ret_want->created_ms = svc->meta.created_ms;
	scheduler = scheduler_of(svc, ret_want);
	for (size_t i = 0; i < ARRAY_SIZE(svc->cluster_ips); i++) { /* D2 */
		if (!addr_is_set(&svc->cluster_ips[i]))
			continue;
		for (size_t p = 0; p < svc->n_ports && rc == 0; p++)
			rc = want_port(config, in, &svc->ports[p], &svc->cluster_ips[i], scheduler,
				       ret_want);
	}
	if (rc < 0)
		svc_want_done(ret_want);
	return rc;
}

void svc_want_done(struct svc_want *want)
{
	for (size_t i = 0; i < want->n; i++)
		frontend_free(want->fe[i]);
	free(want->fe);
	free(want->note);
	*want = (struct svc_want){0};
}
