/* SPDX-License-Identifier: Apache-2.0 */
/* See desired.h. Which endpoints there are for whom: endpoints.c.
 *
 * Rules:
 *
 *  D1 Left out: no Service, headless, ExternalName, another proxy's (label service-proxy-name).
 *
 *  D2 Each cluster IP and port has a frontend, with the endpoints of the whole cluster, or those
 *     of this node (internalTrafficPolicy: Local).
 *
 *  D3 External IPs, load balancer IPs (ipMode VIP) and node ports are entrances of a family that
 *     has a cluster IP. Without policy they lead to the endpoints of the whole cluster, and
 *     clients are masqueraded, since an endpoint elsewhere would answer past this node.
 *
 *  D4 externalTrafficPolicy: Local: clients from outside come to this node's endpoints and keep
 *     their address; those in the cluster, hostNetwork Pods and the node included, to all.
 *
 *  D5 Where no cluster IP's frontend has the pool that an entrance leads to, an inner frontend has
 *     it: at the cluster IP, on a port that the Service does not use, the same one every time.
 *
 *  D6 Without an endpoint for new flows a frontend refuses. Clients from outside are dropped while
 *     there are endpoints elsewhere: a load balancer then tries another node.
 *
 *  D7 loadBalancerSourceRanges hold for load balancer IPs alone. Ranges of one family mean nobody
 *     in the other.
 *
 *  D8 Addresses that no Service can have (loopback, multicast ...) are left out, with a note; so
 *     are another node's and the API server's own: taking them over would cut this node off.
 *
 *  D9 default/kubernetes comes first, then port 53 of a Service in kube-system.
 *
 *  D10 Annotations ask for a scheduler, weights and more (policy.c).
 *
 *  D11 Endpoints that are not masqueraded (direct routing, tunnels) see the address that the
 *      client chose, and answer past this node. They must listen on the Service's own port, else a
 *      note says so and they are masqueraded; external addresses balance by themselves instead of
 *      leading to the cluster IP, for everybody alike; node ports are left out with a note.
 *
 *  D12 Where there is no endpoint that could answer anywhere, those of the Service named as
 *      fallback are used: of its port of the same name, else of the same number, else its only one.
 *
 *  D13 externalTrafficPolicy: Local of a LoadBalancer with a healthCheckNodePort: a load balancer
 *      asks there. What counts is an address, over all ports; of two families the one with more,
 *      since a Pod has an address in both.
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "model/desired.h"
#include "model/policy.h"
#include "util.h"

/* Inner frontends' ports: the dynamic ones of RFC 6335. */
#define INNER_PORT_MIN 49152
#define INNER_PORTS    16384

/* One Service port in one family: what its frontends have in common. */
struct port_want {
	const struct service *svc;
	const struct svc_port *port;
	const struct ip_addr *cluster_ip;
	const struct svc_policy *policy;
	struct lb_policy lb; /* of this port */
	struct endpoint_sets sets;
	struct fe_key own, cluster,
		local; /* cluster IP; where all and where local ones are found */
	struct svc_want *want;
	size_t first; /* of this port's frontends in `want` */
	const struct cache *cache;
	const char *node_name;
	struct ready_set *ready; /* NULL: nobody asks */
};

/* D13: the addresses of ready endpoints on this node. */
struct ready_set {
	struct ip_addr *addrs;
	size_t n, cap;
};

static int note(struct svc_want *want, const char *fmt, ...) PRINTF(2, 3);
static int note(struct svc_want *want, const char *fmt, ...)
{
	va_list args;
	int rc;

	va_start(args, fmt);
	rc = util_add_note(&want->note, fmt, args);
	va_end(args);
	return rc;
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

/* The Service's, new and empty; NULL without memory. */
static struct frontend *add_frontend(const struct port_want *pw, const struct fe_key *key,
				     struct pool *pool)
{
	struct svc_want *want = pw->want;
	char owner[CACHE_KEY_MAX + 80];
	struct frontend *fe;
	size_t len;

	len = util_join(owner, CACHE_KEY_MAX, pw->svc->meta.ns, '/', pw->svc->meta.name);
	if (*pw->port->name)
		util_join(owner + len, sizeof(owner) - len, "", ':', pw->port->name);
	if (util_grow((void **)&want->fe, &want->cap, want->n + 1, sizeof(*want->fe)) < 0)
		return NULL;
	fe = frontend_new(key, owner, pool);
	if (!fe)
		return NULL;
	fe->priority = priority_of(pw->svc, pw->port);
	want->fe[want->n++] = fe;
	return fe;
}

static struct frontend *add_server(const struct port_want *pw, const struct fe_key *key,
				   struct pool *pool)
{
	struct frontend *fe = add_frontend(pw, key, pool);

	if (!fe)
		return NULL;
	fe->verdict = pool_usable(pool) ? V_FORWARD : V_REJECT; /* D6 */
	fe->snat = SNAT_NONLOCAL;
	fe->lb = pw->lb;
	return fe;
}

static bool key_is_used(const struct port_want *pw, const struct fe_key *key)
{
	for (size_t i = 0; i < pw->svc->n_ports; i++)
		if (pw->svc->ports[i].port == key->port && pw->svc->ports[i].proto == key->proto)
			return true;
	for (size_t i = 0; i < pw->want->n; i++)
		if (fe_key_cmp(&pw->want->fe[i]->key, key) == 0)
			return true;
	return false;
}

/* D5 */
static int add_inner(const struct port_want *pw, struct pool *pool, unsigned kind, bool drop,
		     struct fe_key *ret_key)
{
	unsigned start = 2U * pw->port->port + kind;
	struct frontend *fe;

	for (unsigned i = 0; i < INNER_PORTS; i++) {
		*ret_key = pw->own;
		ret_key->port = (uint16_t)(INNER_PORT_MIN + (start + i) % INNER_PORTS);
		if (!key_is_used(pw, ret_key))
			break;
	}
	fe = add_server(pw, ret_key, pool);
	if (!fe)
		return -ENOMEM;
	fe->inner = true;
	if (drop && fe->verdict == V_REJECT)
		fe->verdict = V_DROP;
	return 0;
}

/* D11 */
static int add_direct(const struct port_want *pw, const struct fe_key *key,
		      const struct ranges *ranges)
{
	struct frontend *fe;

	if (key->scope == SCOPE_NODEPORT)
		return note(
			pw->want,
			"node port %u is left out: endpoints that are not masqueraded would answer "
			"from the Service's address",
			key->port);
	if (ranges)
		return note(pw->want, "a load balancer IP is left out: source ranges need "
				      "masqueraded endpoints");
	fe = add_server(pw, key, pw->svc->etp_local ? pw->sets.local : pw->sets.cluster);
	if (!fe)
		return -ENOMEM;
	fe->snat = SNAT_NEVER;
	return 0;
}

/* Another port of the Service cannot have the same address and port (decode.c), but the same node
 * port. Only what may be alike is looked at: ports times addresses are many. */
static bool is_there(const struct port_want *pw, const struct fe_key *key)
{
	for (const struct svc_port *port = pw->svc->ports; port < pw->port; port++)
		if (key->scope == SCOPE_NODEPORT && port->node_port == key->port &&
		    port->proto == key->proto)
			return true;
	for (size_t i = pw->first; i < pw->want->n; i++)
		if (fe_key_cmp(&pw->want->fe[i]->key, key) == 0)
			return true;
	return false;
}

/* An address named twice is one entrance: the first, which asks for the least. */
static int add_entrance(const struct port_want *pw, const struct fe_key *key, struct ranges *ranges)
{
	struct frontend *fe;

	if (is_there(pw, key))
		return 0;
	if (pw->lb.forwarding != FORWARD_MASQUERADE)
		return add_direct(pw, key, ranges);
	fe = add_frontend(pw, key, NULL);
	if (!fe)
		return -ENOMEM;
	fe->via = pw->cluster;
	fe->snat = SNAT_ALWAYS;   /* D3 */
	if (pw->svc->etp_local) { /* D4 */
		fe->via = pw->local;
		fe->via_cluster = pw->cluster;
		fe->snat = SNAT_NEVER;
	}
	if (ranges) {
		fe->ranges = ranges;
		ranges->refs++;
	}
	return 0;
}

static int add_address(const struct port_want *pw, const char *field, const struct ip_addr *addr,
		       struct ranges *ranges)
{
	const char *unusable = addr_unusable(addr), *owner; /* D8 */
	struct fe_key key = fe_key_make(addr, pw->port->port, pw->port->proto);
	char text[ADDR_PORT_TEXT_MAX];

	if (addr->family != pw->cluster_ip->family)
		return 0;
	owner = pw->cache ? cache_owner_of(pw->cache, pw->node_name, addr, key.port) : NULL;
	if (!unusable && !owner)
		return add_entrance(pw, &key, ranges);
	if (unusable && pw->port != pw->svc->ports)
		return 0; /* told with the first port */
	return note(pw->want, "%s %s is left out: it is %s", field,
		    addr_port_format(addr, key.port, text), unusable ? unusable : owner);
}

/* D7 */
static int make_ranges(const struct service *svc, int family, struct ranges **ret_ranges)
{
	cleanup_free struct ip_prefix *nets = NULL;
	size_t n = 0;

	*ret_ranges = NULL;
	if (!svc->restricted)
		return 0;
	nets = calloc(svc->n_ranges + 1, sizeof(*nets));
	for (size_t i = 0; nets && i < svc->n_ranges; i++)
		if (svc->source_ranges[i].addr.family == family)
			nets[n++] = svc->source_ranges[i];
	*ret_ranges = nets ? ranges_new(nets, n) : NULL;
	return *ret_ranges ? 0 : -ENOMEM;
}

static bool has_entrances(const struct service *svc, const struct svc_port *port, int family)
{
	if (port->node_port)
		return true;
	for (size_t i = 0; i < svc->n_external_ips; i++)
		if (svc->external_ips[i].family == family)
			return true;
	for (size_t i = 0; i < svc->n_ingress; i++)
		if (svc->ingress[i].addr.family == family && !svc->ingress[i].proxy_mode)
			return true;
	return false;
}

/* D3. Load balancer IPs first: they may be restricted, and the strictest of two counts. */
static int add_entrances(const struct port_want *pw)
{
	const struct service *svc = pw->svc;
	int family = pw->cluster_ip->family, rc;
	struct fe_key node_port = fe_key_node_port(family, pw->port->node_port, pw->port->proto);
	struct ranges *ranges;

	rc = make_ranges(svc, family, &ranges);
	for (size_t i = 0; i < svc->n_ingress && rc == 0; i++)
		if (!svc->ingress[i].proxy_mode)
			rc = add_address(pw, "load balancer IP", &svc->ingress[i].addr, ranges);
	for (size_t i = 0; i < svc->n_external_ips && rc == 0; i++)
		rc = add_address(pw, "external IP", &svc->external_ips[i], NULL);
	if (rc == 0 && node_port.port)
		rc = add_entrance(pw, &node_port, NULL);
	ranges_unref(ranges);
	return rc;
}

static int add_port(struct port_want *pw)
{
	const struct service *svc = pw->svc;
	bool entrances = has_entrances(svc, pw->port, pw->cluster_ip->family);
	bool direct = pw->lb.forwarding != FORWARD_MASQUERADE;
	int rc = 0;

	pw->first = pw->want->n;
	pw->own = pw->cluster = fe_key_make(pw->cluster_ip, pw->port->port, pw->port->proto);
	if (!add_server(pw, &pw->own, svc->itp_local ? pw->sets.local : pw->sets.cluster))
		return -ENOMEM;
	if (entrances && svc->itp_local && !direct)
		rc = add_inner(pw, pw->sets.cluster, 0, false, &pw->cluster);
	if (entrances && svc->etp_local && rc == 0 && !direct)
		rc = add_inner(pw, pw->sets.local, 1, pw->sets.any, &pw->local);
	return rc == 0 && entrances ? add_entrances(pw) : rc;
}

/* D11 */
static int check_forwarding(struct port_want *pw)
{
	const struct pool *pool = pw->sets.cluster;

	if (pw->lb.forwarding == FORWARD_MASQUERADE)
		return 0;
	for (size_t i = 0; i < pool->n; i++) {
		if (pool->ep[i].port == pw->port->port)
			continue;
		pw->lb.forwarding = FORWARD_MASQUERADE;
		pw->lb.tunnel_type = 0;
		pw->lb.tunnel_port = 0;
		return note(pw->want,
			    "annotation " ANN_FORWARDING ": port %u leads to port %u, which only "
			    "masqueraded endpoints can have; they are masqueraded",
			    pw->port->port, pool->ep[i].port);
	}
	return 0;
}

/* D12 */
static const struct svc_port *fallback_port(const struct service *svc, const struct svc_port *port)
{
	for (size_t i = 0; i < svc->n_ports; i++)
		if (svc->ports[i].proto == port->proto && *port->name &&
		    strcmp(svc->ports[i].name, port->name) == 0)
			return &svc->ports[i];
	for (size_t i = 0; i < svc->n_ports; i++)
		if (svc->ports[i].proto == port->proto && svc->ports[i].port == port->port)
			return &svc->ports[i];
	return svc->n_ports == 1 && svc->ports[0].proto == port->proto ? svc->ports : NULL;
}

static int choose_endpoints(const struct desired_config *config, const struct svc_inputs *in,
			    struct port_want *pw)
{
	bool with_local = in->service->itp_local || in->service->etp_local;
	int family = pw->cluster_ip->family;
	const struct svc_port *port;
	int rc = endpoints_choose(&config->place, in, pw->port, family, with_local, pw->policy,
				  &pw->sets);

	if (rc < 0 || pw->sets.any || !in->fallback || !in->fallback->service)
		return rc;
	port = fallback_port(in->fallback->service, pw->port);
	if (!port)
		return note(pw->want, "annotation " ANN_FALLBACK ": %s/%s has no port like %u/%s",
			    in->fallback->service->meta.ns, in->fallback->service->meta.name,
			    pw->port->port, proto_name(pw->port->proto));
	endpoint_sets_done(&pw->sets);
	return endpoints_choose(&config->place, in->fallback, port, family, with_local, pw->policy,
				&pw->sets);
}

/* ---- D13 ---- */

static bool has_health_checks(const struct service *svc)
{
	return svc->type == SVC_LOAD_BALANCER && svc->etp_local && svc->health_check_node_port;
}

static int note_ready(struct ready_set *ready, const struct endpoint_sets *sets)
{
	if (!sets->local_ready)
		return 0;
	if (util_grow((void **)&ready->addrs, &ready->cap, ready->n + sets->local->n,
		      sizeof(*ready->addrs)) < 0)
		return -ENOMEM;
	for (size_t i = 0; i < sets->local->n; i++)
		if (sets->local->ep[i].state == EP_ACTIVE)
			ready->addrs[ready->n++] = sets->local->ep[i].addr;
	return 0;
}

static int ready_cmp(const void *a, const void *b)
{
	return addr_cmp(a, b);
}

static size_t count_ready(struct ready_set *ready)
{
	size_t n[2] = {0};

	if (ready->n)
		qsort(ready->addrs, ready->n, sizeof(*ready->addrs), ready_cmp);
	for (size_t i = 0; i < ready->n; i++)
		if (!i || !addr_equal(&ready->addrs[i - 1], &ready->addrs[i]))
			n[ready->addrs[i].family == AF_INET6]++;
	return n[0] > n[1] ? n[0] : n[1];
}

/* ---- all of a Service ---- */

static void count_no_local(const struct port_want *pw)
{
	bool v6 = pw->cluster_ip->family == AF_INET6;

	if (!pw->sets.any || !pw->sets.local || pw->sets.local->n)
		return;
	pw->want->no_local_inside[v6] += pw->svc->itp_local;
	pw->want->no_local_outside[v6] += pw->svc->etp_local;
}

static int want_port(const struct desired_config *config, const struct svc_inputs *in,
		     struct port_want *pw)
{
	int rc = choose_endpoints(config, in, pw);

	if (rc == 0)
		count_no_local(pw);
	pw->lb = pw->policy->lb;
	pw->lb.affinity_sec = in->service->affinity_sec;
	pw->lb.one_packet &= pw->port->proto == IPPROTO_UDP;
	if (rc == 0)
		rc = check_forwarding(pw);
	if (rc == 0)
		rc = add_port(pw);
	if (rc == 0 && pw->ready)
		rc = note_ready(pw->ready, &pw->sets);
	endpoint_sets_done(&pw->sets);
	return rc;
}

int desired_compute(const struct desired_config *config, const struct svc_inputs *in,
		    struct svc_want *ret_want)
{
	const struct service *svc = in->service;
	struct port_want pw = {.svc = svc,
			       .want = ret_want,
			       .cache = config->cache,
			       .node_name = config->place.node_name};
	struct ready_set ready = {0};
	struct svc_policy policy;
	int rc;

	*ret_want = (struct svc_want){0};
	if (!svc || svc->headless || svc->foreign || svc->type == SVC_EXTERNAL_NAME) /* D1 */
		return 0;
	ret_want->created_ms = svc->meta.created_ms;
	rc = policy_read(svc, &policy);
	if (rc < 0)
		return rc;
	pw.policy = &policy;
	ret_want->note = take_ptr(policy.notes);
	if (in->fallback && !in->fallback->service)
		rc = note(ret_want, "annotation " ANN_FALLBACK ": there is no such Service");
	if (has_health_checks(svc)) {
		pw.ready = &ready;
		ret_want->health_port = svc->health_check_node_port;
	}
	for (size_t i = 0; i < ARRAY_SIZE(svc->cluster_ips); i++) { /* D2 */
		pw.cluster_ip = &svc->cluster_ips[i];
		if (!addr_is_set(pw.cluster_ip))
			continue;
		for (size_t p = 0; p < svc->n_ports && rc == 0; p++) {
			pw.port = &svc->ports[p];
			rc = want_port(config, in, &pw);
		}
	}
	ret_want->n_local_ready = count_ready(&ready);
	free(ready.addrs);
	policy_done(&policy);
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
