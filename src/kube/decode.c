/* SPDX-License-Identifier: Apache-2.0 */
/* See decode.h. Field names and defaults: kubernetes.io/docs/reference/kubernetes-api. */
#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "kube/decode.h"
#include "kube/fields.h"

/* ---- metadata ---- */

static uint8_t get_protocol(struct decoder *d, const struct field_path *up, const cJSON *map)
{
	static const char *const words[] = {"TCP", "UDP", "SCTP"};
	int i = field_word(d, up, map, "protocol", words, 3, 0);

	return proto_parse(words[i]);
}

/* RFC 3339 in UTC, to the millisecond, as creationTimestamp has it; 0 if it is none. */
static int64_t parse_time(const char *text)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);
	int64_t ms = 0;

	if (rest && *rest == '.') {
		int64_t unit = 100;

		for (rest++; *rest >= '0' && *rest <= '9'; rest++, unit /= 10)
			ms += (*rest - '0') * unit;
	}
	if (!rest || *rest != 'Z')
		return 0;
	return (int64_t)timegm(&tm) * 1000 + ms;
}

/* When what a slice or Endpoints tells of happened, as its controller noted. */
static int64_t trigger_time(const struct obj_meta *meta, const cJSON *map)
{
	const cJSON *text = field_get(field_get(map, "annotations"), ANN_TRIGGER_TIME);

	if ((meta->kind != OBJ_SLICE && meta->kind != OBJ_ENDPOINTS) || !cJSON_IsString(text))
		return 0;
	return parse_time(text->valuestring);
}

static void decode_meta(struct decoder *d, const cJSON *tree, struct obj_meta *meta)
{
	static const char *const annotations[] = {
		ANN_SCHEDULER,      ANN_SCHEDULER_KR, ANN_SCHED_FLAGS,
		ANN_SCHED_FLAGS_KR, ANN_WEIGHTS,      ANN_WEIGHT,
		ANN_CONNS_MAX,      ANN_CONNS_MIN,    ANN_ONE_PACKET,
		ANN_FORWARDING,     ANN_DSR_KR,       ANN_TUNNEL,
		ANN_FALLBACK,       ANN_SLOW_START,   NULL};
	static const char *const labels[] = {LABEL_SERVICE_NAME, LABEL_PROXY_NAME, LABEL_HEADLESS,
					     NULL};
	const struct field_path path = {.name = "metadata"};
	const cJSON *map = field_map(d, NULL, tree, "metadata");
	const char *name = field_text(d, &path, map, "name");
	const char *ns = field_text(d, &path, map, "namespace");
	const char *created = field_text(d, &path, map, "creationTimestamp");

	if (!name || !*name)
		field_complain(d, &path, map ? map : tree, "name is missing");
	else if (strlen(name) > 253 || strpbrk(name, " /\t\n"))
		field_complain(d, &path, map, "name \"%.40s\" is not a valid name", name);
	if (ns && (strlen(ns) > 63 || strpbrk(ns, " /\t\n")))
		field_complain(d, &path, map, "namespace \"%.40s\" is not a valid name", ns);
	if (meta->kind == OBJ_NODE)
		ns = "";
	else if (!ns || !*ns)
		ns = "default";
	meta->ns = field_copy(d, ns);
	meta->name = field_copy(d, name ? name : "");
	snprintf(d->name, sizeof(d->name), "%s%s%s", ns, *ns ? "/" : "", name ? name : "?");
	meta->created_ms = created ? parse_time(created) : 0;
	meta->trigger_ms = trigger_time(meta, map);
	meta->labels = field_pairs(d, &path, map, "labels", meta->kind == OBJ_POD ? NULL : labels,
				   &meta->n_labels);
	meta->annotations =
		field_pairs(d, &path, map, "annotations", annotations, &meta->n_annotations);
	if (asprintf(&meta->origin, "%s:%d", d->origin, tree->valueint) < 0) {
		meta->origin = NULL;
		d->no_memory = true;
	}
}

/* ---- Service ---- */

static void decode_target(struct decoder *d, const struct field_path *up, const cJSON *map,
			  struct obj_port_ref *target)
{
	const struct field_path path = {.up = up, .name = "targetPort"};
	const cJSON *node = field_get(map, "targetPort");

	if (!node)
		return;
	if (cJSON_IsString(node) && *node->valuestring)
		target->name = field_copy(d, node->valuestring);
	else if (field_is_whole(node, 1, UINT16_MAX))
		target->number = (uint16_t)node->valuedouble;
	else if (!field_is_whole(node, 0, 0) && !cJSON_IsString(node))
		field_complain_type(d, &path, node, "an integer from 1 to 65535 or a port's name");
}

static void decode_service_port(struct decoder *d, const struct field_path *path, const cJSON *item,
				struct service *svc)
{
	struct svc_port *port = &svc->ports[svc->n_ports++];
	const char *name = field_text(d, path, item, "name");

	port->name = field_copy(d, name ? name : "");
	port->proto = get_protocol(d, path, item);
	port->port = (uint16_t)field_number(d, path, item, "port", 1, UINT16_MAX, 0);
	port->node_port = (uint16_t)field_number(d, path, item, "nodePort", 0, UINT16_MAX, 0);
	decode_target(d, path, item, &port->target);
	if (!field_get(item, "port"))
		field_complain(d, path, item, "port is missing");
	for (size_t i = 0; i + 1 < svc->n_ports; i++) {
		const struct svc_port *other = &svc->ports[i];

		if (port->name && other->name && strcmp(other->name, port->name) == 0 &&
		    *port->name)
			field_complain(d, path, item, "name \"%s\" is used twice", port->name);
		if (port->port && other->port == port->port && other->proto == port->proto)
			field_complain(d, path, item, "port %u/%s is there twice", port->port,
				       proto_name(port->proto));
	}
}

static void decode_service_ports(struct decoder *d, const struct field_path *spec, const cJSON *map,
				 struct service *svc)
{
	const struct field_path list_path = {.up = spec, .name = "ports"};
	struct field_path path = {.up = &list_path};
	size_t n;
	const cJSON *list = field_list(d, spec, map, "ports", OBJ_PORTS_MAX, &n);

	if (!n)
		return;
	svc->ports = field_take_memory(d, calloc(n, sizeof(*svc->ports)));
	for (const cJSON *item = svc->ports ? list->child : NULL; item; item = item->next) {
		if (cJSON_IsObject(item)) {
			decode_service_port(d, &path, item, svc);
			if (n > 1 && svc->ports[svc->n_ports - 1].name &&
			    !*svc->ports[svc->n_ports - 1].name)
				field_complain(
					d, &path, item,
					"name is missing: with several ports each needs one");
		} else {
			field_complain_type(d, &path, item, "a mapping");
		}
		path.index++;
	}
}

static void add_cluster_ip(struct decoder *d, const struct field_path *path, const cJSON *node,
			   struct service *svc)
{
	struct ip_addr addr;

	if (cJSON_IsString(node) && strcmp(node->valuestring, "None") == 0) {
		svc->headless = true;
		if (addr_is_set(&svc->cluster_ips[0]))
			field_complain(d, path, node, "must not be None beside an address");
		return;
	}
	if (cJSON_IsString(node) && !*node->valuestring)
		return;
	if (!field_usable_addr(d, path, node, &addr))
		return;
	if (svc->headless) {
		field_complain(d, path, node, "must not be an address beside None");
		return;
	}
	for (size_t i = 0; i < ARRAY_SIZE(svc->cluster_ips); i++) {
		if (addr_is_set(&svc->cluster_ips[i]) && addr_equal(&svc->cluster_ips[i], &addr))
			return;
		if (addr_is_set(&svc->cluster_ips[i])) {
			if (svc->cluster_ips[i].family == addr.family)
				field_complain(d, path, node, "must be one address a family");
			continue;
		}
		svc->cluster_ips[i] = addr;
		return;
	}
	field_complain(d, path, node, "must be at most two addresses");
}

static void decode_cluster_ips(struct decoder *d, const struct field_path *spec, const cJSON *map,
			       struct service *svc)
{
	const struct field_path one = {.up = spec, .name = "clusterIP"};
	const struct field_path list_path = {.up = spec, .name = "clusterIPs"};
	struct field_path path = {.up = &list_path};
	size_t n;
	const cJSON *list = field_list(d, spec, map, "clusterIPs", OBJ_ADDRS_MAX, &n);

	if (field_get(map, "clusterIP"))
		add_cluster_ip(d, &one, field_get(map, "clusterIP"), svc);
	for (const cJSON *item = list ? list->child : NULL; item; item = item->next) {
		add_cluster_ip(d, &path, item, svc);
		path.index++;
	}
}

static void decode_families(struct decoder *d, const struct field_path *spec, const cJSON *map,
			    struct service *svc)
{
	static const char *const policies[] = {"SingleStack", "PreferDualStack",
					       "RequireDualStack"};
	const struct field_path list_path = {.up = spec, .name = "ipFamilies"};
	struct field_path path = {.up = &list_path};
	size_t n;
	const cJSON *list = field_list(d, spec, map, "ipFamilies", 2, &n);

	svc->family_policy =
		(enum svc_family_policy)field_word(d, spec, map, "ipFamilyPolicy", policies, 3, 0);
	for (const cJSON *item = list ? list->child : NULL; item; item = item->next) {
		const char *text = cJSON_IsString(item) ? item->valuestring : "";

		if (strcmp(text, "IPv4") == 0)
			svc->families[path.index] = AF_INET;
		else if (strcmp(text, "IPv6") == 0)
			svc->families[path.index] = AF_INET6;
		else
			field_complain_type(d, &path, item, "IPv4 or IPv6");
		if (path.index && svc->families[1] && svc->families[0] == svc->families[1])
			field_complain(d, &path, item, "%s is there twice", text);
		path.index++;
	}
}

static void decode_affinity(struct decoder *d, const struct field_path *spec, const cJSON *map,
			    struct service *svc)
{
	static const char *const words[] = {"None", "ClientIP"};
	const struct field_path config_path = {.up = spec, .name = "sessionAffinityConfig"};
	const struct field_path ip_path = {.up = &config_path, .name = "clientIP"};
	const cJSON *config = field_map(d, spec, map, "sessionAffinityConfig");
	const cJSON *client = field_map(d, &config_path, config, "clientIP");
	uint32_t seconds = field_number(d, &ip_path, client, "timeoutSeconds", 1, 86400, 10800);

	if (field_word(d, spec, map, "sessionAffinity", words, 2, 0) == 1)
		svc->affinity_sec = seconds;
}

static void decode_ingress(struct decoder *d, const cJSON *tree, struct service *svc)
{
	static const char *const modes[] = {"VIP", "Proxy"};
	const struct field_path status = {.name = "status"};
	const struct field_path lb_path = {.up = &status, .name = "loadBalancer"};
	const struct field_path list_path = {.up = &lb_path, .name = "ingress"};
	const cJSON *lb = field_map(d, &status, field_map(d, NULL, tree, "status"), "loadBalancer");
	struct field_path path = {.up = &list_path};
	size_t n;
	const cJSON *list = field_list(d, &lb_path, lb, "ingress", OBJ_ADDRS_MAX, &n);

	if (!n)
		return;
	svc->ingress = field_take_memory(d, calloc(n, sizeof(*svc->ingress)));
	for (const cJSON *item = svc->ingress ? list->child : NULL; item; item = item->next) {
		struct svc_ingress *ingress = &svc->ingress[svc->n_ingress];
		const cJSON *ip = field_get(item, "ip");

		if (ip && field_addr(d, &path, ip, &ingress->addr)) {
			ingress->proxy_mode =
				field_word(d, &path, item, "ipMode", modes, 2, 0) == 1;
			svc->n_ingress++;
		}
		path.index++;
	}
}

/* Values of later Kubernetes versions are preferences like these: unknown ones are none. */
static enum svc_distribution decode_distribution(struct decoder *d, const struct field_path *spec,
						 const cJSON *map)
{
	const char *text = field_text(d, spec, map, "trafficDistribution");

	if (!text)
		return SVC_ANYWHERE;
	if (strcmp(text, "PreferSameNode") == 0)
		return SVC_SAME_NODE;
	if (strcmp(text, "PreferSameZone") == 0 || strcmp(text, "PreferClose") == 0)
		return SVC_SAME_ZONE;
	return SVC_ANYWHERE;
}

static void decode_service(struct decoder *d, const cJSON *tree, struct service *svc)
{
	static const char *const types[] = {"ClusterIP", "NodePort", "LoadBalancer",
					    "ExternalName"};
	static const char *const policies[] = {"Cluster", "Local"};
	const struct field_path spec = {.name = "spec"};
	const cJSON *map = field_map(d, NULL, tree, "spec");

	svc->type = (enum svc_type)field_word(d, &spec, map, "type", types, 4, 0);
	svc->foreign = obj_label(&svc->meta, LABEL_PROXY_NAME) != NULL;
	decode_service_ports(d, &spec, map, svc);
	decode_cluster_ips(d, &spec, map, svc);
	decode_families(d, &spec, map, svc);
	decode_affinity(d, &spec, map, svc);
	decode_ingress(d, tree, svc);
	svc->selector = field_pairs(d, &spec, map, "selector", NULL, &svc->n_selector);
	svc->external_ips = field_addrs(d, &spec, map, "externalIPs", &svc->n_external_ips);
	svc->source_ranges =
		field_prefixes(d, &spec, map, "loadBalancerSourceRanges", &svc->n_ranges);
	svc->restricted = svc->n_ranges > 0;
	svc->etp_local = field_word(d, &spec, map, "externalTrafficPolicy", policies, 2, 0) == 1;
	svc->itp_local = field_word(d, &spec, map, "internalTrafficPolicy", policies, 2, 0) == 1;
	svc->publish_not_ready = field_bool(d, &spec, map, "publishNotReadyAddresses", false);
	svc->no_node_ports = !field_bool(d, &spec, map, "allocateLoadBalancerNodePorts", true);
	svc->distribution = decode_distribution(d, &spec, map);
	svc->health_check_node_port =
		(uint16_t)field_number(d, &spec, map, "healthCheckNodePort", 0, UINT16_MAX, 0);
	if (!svc->n_ports && !svc->headless && svc->type != SVC_EXTERNAL_NAME && !d->errors)
		field_complain(d, &spec, map ? map : tree, "ports is missing");
}

/* ---- EndpointSlice, Endpoints ---- */

static void decode_slice_ports(struct decoder *d, const struct field_path *up, const cJSON *map,
			       struct slice *slice)
{
	const struct field_path list_path = {.up = up, .name = "ports"};
	struct field_path path = {.up = &list_path};
	size_t n;
	const cJSON *list = field_list(d, up, map, "ports", OBJ_PORTS_MAX, &n);

	if (!n)
		return;
	slice->ports = field_take_memory(d, calloc(n, sizeof(*slice->ports)));
	for (const cJSON *item = slice->ports ? list->child : NULL; item; item = item->next) {
		struct slice_port *port = &slice->ports[slice->n_ports];
		const char *name = field_text(d, &path, item, "name");

		port->name = field_copy(d, name ? name : "");
		port->proto = get_protocol(d, &path, item);
		port->port = (uint16_t)field_number(d, &path, item, "port", 1, UINT16_MAX, 0);
		slice->n_ports++;
		path.index++;
	}
}

/* The `name`s of hints.forZones or .forNodes, comma separated; NULL if there is none. */
static const char *decode_hints(struct decoder *d, const struct field_path *up,
				const cJSON *endpoint, const char *list_name)
{
	const struct field_path path = {.up = up, .name = "hints"};
	const cJSON *hints = field_map(d, up, endpoint, "hints");
	cleanup_free char *text = NULL;
	size_t n, len = 0;
	const cJSON *list = field_list(d, &path, hints, list_name, OBJ_ADDRS_MAX, &n);
	FILE *out = n ? open_memstream(&text, &len) : NULL;

	if (!out)
		return NULL;
	for (const cJSON *item = list->child; item; item = item->next) {
		const char *name = field_text(d, &path, item, "name");

		if (name)
			fprintf(out, "%s%s", ftell(out) ? "," : "", name);
	}
	fclose(out);
	return field_take_memory(d, text) ? field_name(d, text) : NULL;
}

static void decode_slice_endpoint(struct decoder *d, const struct field_path *path,
				  const cJSON *item, struct slice *slice)
{
	struct slice_endpoint *ep = &slice->endpoints[slice->n_endpoints];
	const struct field_path cond_path = {.up = path, .name = "conditions"};
	const struct field_path addr_path = {.up = path, .name = "addresses"};
	const struct field_path first = {.up = &addr_path};
	const cJSON *conditions = field_map(d, path, item, "conditions");
	const char *node = field_text(d, path, item, "nodeName");
	size_t n;
	const cJSON *addrs = field_list(d, path, item, "addresses", OBJ_ADDRS_MAX, &n);

	if (!n) {
		field_complain(d, &addr_path, item, "is missing");
		return;
	}
	if (!slice->family) /* addressType FQDN: names, of no use to a proxy */
		return;
	if (!field_usable_addr(d, &first, addrs->child, &ep->addr))
		return;
	if (ep->addr.family != slice->family) {
		field_complain(d, &first, addrs->child, "is not of the slice's addressType");
		return;
	}
	ep->ready = field_bool(d, &cond_path, conditions, "ready", true);
	ep->serving = field_bool(d, &cond_path, conditions, "serving", ep->ready);
	ep->terminating = field_bool(d, &cond_path, conditions, "terminating", false);
	ep->node = node && *node ? field_name(d, node) : NULL;
	ep->zones_hint = decode_hints(d, path, item, "forZones");
	ep->nodes_hint = decode_hints(d, path, item, "forNodes");
	slice->n_endpoints++;
}

static void decode_slice(struct decoder *d, const cJSON *tree, struct slice *slice)
{
	static const char *const types[] = {"IPv4", "IPv6", "FQDN"};
	static const uint8_t families[] = {AF_INET, AF_INET6, 0};
	const struct field_path list_path = {.name = "endpoints"};
	struct field_path path = {.up = &list_path};
	const char *service = obj_label(&slice->meta, LABEL_SERVICE_NAME);
	size_t n;
	const cJSON *list = field_list(d, NULL, tree, "endpoints", OBJ_ENDPOINTS_MAX, &n);

	slice->service = field_copy(d, service ? service : "");
	slice->family = families[field_word(d, NULL, tree, "addressType", types, 3, 0)];
	if (!field_get(tree, "addressType"))
		field_complain(d, NULL, tree, "addressType is missing");
	decode_slice_ports(d, NULL, tree, slice);
	if (!n)
		return;
	slice->endpoints = field_take_memory(d, calloc(n, sizeof(*slice->endpoints)));
	for (const cJSON *item = slice->endpoints ? list->child : NULL; item; item = item->next) {
		if (cJSON_IsObject(item))
			decode_slice_endpoint(d, &path, item, slice);
		else
			field_complain_type(d, &path, item, "a mapping");
		path.index++;
	}
}

static void decode_subset_addrs(struct decoder *d, const struct field_path *up, const cJSON *map,
				const char *name, bool ready, struct slice *subset)
{
	const struct field_path list_path = {.up = up, .name = name};
	struct field_path path = {.up = &list_path};
	size_t n, room;
	const cJSON *list = field_list(d, up, map, name, OBJ_ENDPOINTS_MAX, &n);
	struct slice_endpoint *grown;

	if (!n)
		return;
	room = subset->n_endpoints + n;
	grown = field_take_memory(d, reallocarray(subset->endpoints, room, sizeof(*grown)));
	if (!grown)
		return;
	subset->endpoints = grown;
	for (const cJSON *item = list->child; item; item = item->next) {
		struct slice_endpoint ep = {.ready = ready, .serving = ready};
		const char *node = field_text(d, &path, item, "nodeName");
		const cJSON *ip = field_get(item, "ip");

		if (!ip)
			field_complain(d, &path, item, "ip is missing");
		else if (field_usable_addr(d, &path, ip, &ep.addr)) {
			ep.node = node && *node ? field_name(d, node) : NULL;
			subset->endpoints[subset->n_endpoints++] = ep;
		}
		path.index++;
	}
}

static void decode_endpoints(struct decoder *d, const cJSON *tree, struct endpoints *endpoints)
{
	const struct field_path list_path = {.name = "subsets"};
	struct field_path path = {.up = &list_path};
	size_t n;
	const cJSON *list = field_list(d, NULL, tree, "subsets", OBJ_PORTS_MAX, &n);

	if (!n)
		return;
	endpoints->subsets = field_take_memory(d, calloc(n, sizeof(*endpoints->subsets)));
	for (const cJSON *item = endpoints->subsets ? list->child : NULL; item; item = item->next) {
		struct slice *subset = &endpoints->subsets[endpoints->n_subsets++];

		subset->service = field_copy(d, endpoints->meta.name);
		decode_slice_ports(d, &path, item, subset);
		decode_subset_addrs(d, &path, item, "addresses", true, subset);
		decode_subset_addrs(d, &path, item, "notReadyAddresses", false, subset);
		path.index++;
	}
}

/* ---- Pod ---- */

static void add_pod_ip(struct decoder *d, const struct field_path *path, const cJSON *node,
		       struct pod *pod)
{
	struct ip_addr addr;

	if (!node || (cJSON_IsString(node) && !*node->valuestring) ||
	    !field_usable_addr(d, path, node, &addr))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(pod->ips); i++) {
		if (addr_is_set(&pod->ips[i]) && pod->ips[i].family == addr.family)
			return;
		if (!addr_is_set(&pod->ips[i])) {
			pod->ips[i] = addr;
			return;
		}
	}
}

static void decode_pod_ips(struct decoder *d, const cJSON *status, bool host_network,
			   struct pod *pod)
{
	static const char *const lists[] = {"podIPs", "hostIPs"};
	static const char *const singles[] = {"podIP", "hostIP"};
	const struct field_path path = {.name = "status"};

	for (size_t i = 0; i < (host_network ? 2U : 1U); i++) {
		const struct field_path one = {.up = &path, .name = singles[i]};
		size_t n;
		const cJSON *list = field_list(d, &path, status, lists[i], OBJ_ADDRS_MAX, &n);

		for (const cJSON *item = list ? list->child : NULL; item; item = item->next)
			add_pod_ip(d, &one, field_get(item, "ip"), pod);
		add_pod_ip(d, &one, field_get(status, singles[i]), pod);
		if (addr_is_set(&pod->ips[0]))
			return;
	}
}

/* The condition Ready; a status without it counts as ready if the Pod runs or nothing is said. */
static bool decode_ready(struct decoder *d, const cJSON *status, const char *phase)
{
	const struct field_path path = {.name = "status"};
	size_t n;
	const cJSON *list = field_list(d, &path, status, "conditions", OBJ_PORTS_MAX, &n);

	for (const cJSON *item = list ? list->child : NULL; item; item = item->next) {
		const char *type = field_text(d, &path, item, "type");
		const char *value = field_text(d, &path, item, "status");

		if (type && strcmp(type, "Ready") == 0)
			return value && strcmp(value, "True") == 0;
	}
	return !phase || strcmp(phase, "Running") == 0;
}

static void decode_container_ports(struct decoder *d, const cJSON *container, struct pod *pod,
				   size_t *cap)
{
	const struct field_path path = {.name = "spec.containers"};
	size_t n;
	const cJSON *list = field_list(d, &path, container, "ports", OBJ_PORTS_MAX, &n);

	for (const cJSON *item = list ? list->child : NULL; item; item = item->next) {
		const char *name = field_text(d, &path, item, "name");
		struct pod_port port = {
			.proto = get_protocol(d, &path, item),
			.port = (uint16_t)field_number(d, &path, item, "containerPort", 1,
						       UINT16_MAX, 0),
		};

		if (!name || !*name || !port.port || pod->n_ports >= OBJ_PORTS_MAX)
			continue;
		if (util_grow((void **)&pod->ports, cap, pod->n_ports + 1, sizeof(port)) < 0) {
			d->no_memory = true;
			return;
		}
		port.name = field_copy(d, name);
		pod->ports[pod->n_ports++] = port;
	}
}

static void decode_pod(struct decoder *d, const cJSON *tree, struct pod *pod)
{
	const struct field_path spec_path = {.name = "spec"}, status_path = {.name = "status"};
	const cJSON *spec = field_map(d, NULL, tree, "spec");
	const cJSON *status = field_map(d, NULL, tree, "status");
	const char *node = field_text(d, &spec_path, spec, "nodeName");
	const char *phase = field_text(d, &status_path, status, "phase");
	size_t n, cap = 0;
	const cJSON *containers = field_list(d, &spec_path, spec, "containers", OBJ_PORTS_MAX, &n);

	pod->node = node && *node ? field_copy(d, node) : NULL;
	pod->terminating = field_get(field_get(tree, "metadata"), "deletionTimestamp") != NULL;
	pod->finished = phase && (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0);
	pod->ready = decode_ready(d, status, phase);
	decode_pod_ips(d, status, field_bool(d, &spec_path, spec, "hostNetwork", false), pod);
	for (const cJSON *item = containers ? containers->child : NULL; item; item = item->next)
		decode_container_ports(d, item, pod, &cap);
}

/* ---- Node ---- */

static void decode_node_addrs(struct decoder *d, const cJSON *tree, struct node *node)
{
	static const char *const types[] = {"InternalIP", "ExternalIP"};
	const struct field_path path = {.name = "status.addresses"};
	const cJSON *status = field_map(d, NULL, tree, "status");
	size_t n;
	const cJSON *list = field_list(d, &path, status, "addresses", OBJ_ADDRS_MAX, &n);

	if (!n)
		return;
	node->addrs = field_take_memory(d, calloc(n, sizeof(*node->addrs)));
	for (size_t t = 0; node->addrs && t < ARRAY_SIZE(types); t++) {
		for (const cJSON *item = list->child; item; item = item->next) {
			const char *type = field_text(d, &path, item, "type");

			if (type && strcmp(type, types[t]) == 0 && field_get(item, "address") &&
			    field_addr(d, &path, field_get(item, "address"),
				       &node->addrs[node->n_addrs]))
				node->n_addrs++;
		}
	}
}

static bool is_leaving(const cJSON *tree)
{
	const cJSON *taints = field_get(field_get(tree, "spec"), "taints"), *taint;

	cJSON_ArrayForEach(taint, taints)
	{
		const cJSON *key = field_get(taint, "key");

		if (cJSON_IsString(key) && strcmp(key->valuestring, TAINT_LEAVING) == 0)
			return true;
	}
	return field_get(field_get(tree, "metadata"), "deletionTimestamp") != NULL;
}

static void decode_node(struct decoder *d, const cJSON *tree, struct node *node)
{
	const struct field_path spec = {.name = "spec"};
	const cJSON *meta = field_get(tree, "metadata"), *labels = field_get(meta, "labels");
	const cJSON *zone = field_get(labels, LABEL_ZONE);

	decode_node_addrs(d, tree, node);
	node->pod_cidrs = field_prefixes(d, &spec, field_map(d, NULL, tree, "spec"), "podCIDRs",
					 &node->n_pod_cidrs);
	if (cJSON_IsString(zone))
		node->zone = field_copy(d, zone->valuestring);
	node->leaving = is_leaving(tree);
}

/* ---- any ---- */

static const struct {
	const char *api_version, *kind;
	enum obj_kind number;
} kinds[] = {
	{"v1", "Service", OBJ_SERVICE},     {"discovery.k8s.io/v1", "EndpointSlice", OBJ_SLICE},
	{"v1", "Endpoints", OBJ_ENDPOINTS}, {"v1", "Pod", OBJ_POD},
	{"v1", "Node", OBJ_NODE},
};

/* -ENOENT: not one of ours. One of ours without an apiVersion is not left out unseen. */
static int kind_of(const cJSON *tree, const char *origin, enum obj_kind *ret_kind, struct err *err)
{
	const cJSON *version = field_get(tree, "apiVersion"), *kind = field_get(tree, "kind");

	for (size_t i = 0; cJSON_IsString(kind) && i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(kinds[i].kind, kind->valuestring) != 0)
			continue;
		if (!version)
			return err_set(err, -EINVAL, "%s:%d: %s: apiVersion is missing", origin,
				       tree->valueint, kinds[i].kind);
		if (!cJSON_IsString(version) ||
		    strcmp(kinds[i].api_version, version->valuestring) != 0)
			break;
		*ret_kind = kinds[i].number;
		return 0;
	}
	return -ENOENT;
}

static void decode_body(struct decoder *d, const cJSON *tree, union object *object)
{
	switch (object->meta.kind) {
	case OBJ_SERVICE:
		decode_service(d, tree, &object->service);
		break;
	case OBJ_SLICE:
		decode_slice(d, tree, &object->slice);
		break;
	case OBJ_ENDPOINTS:
		decode_endpoints(d, tree, &object->endpoints);
		break;
	case OBJ_POD:
		decode_pod(d, tree, &object->pod);
		break;
	case OBJ_NODE:
		decode_node(d, tree, &object->node);
		break;
	case OBJ_KIND_COUNT:
		break;
	}
}

static size_t object_size(enum obj_kind kind)
{
	static const size_t sizes[] = {sizeof(struct service), sizeof(struct slice),
				       sizeof(struct endpoints), sizeof(struct pod),
				       sizeof(struct node)};

	return sizes[kind];
}

int decode_object(const cJSON *tree, const char *origin, union object **ret_object, struct err *err)
{
	struct err discard;
	struct decoder d = {.origin = origin, .name = "?", .err = err ? err : &discard};
	enum obj_kind kind = OBJ_KIND_COUNT;
	union object *object;
	int rc;

	*ret_object = NULL;
	if (!cJSON_IsObject(tree))
		return err_set(err, -EINVAL, "%s:%d: must be a mapping with apiVersion and kind",
			       origin, tree->valueint);
	rc = kind_of(tree, origin, &kind, err);
	if (rc < 0)
		return rc == -ENOENT ? 0 : rc;
	object = calloc(1, object_size(kind));
	if (!object)
		return err_set(err, -ENOMEM, "%s: no memory", origin);
	object->meta.kind = kind;
	d.kind = obj_kind_name(kind);
	decode_meta(&d, tree, &object->meta);
	if (!d.no_memory)
		decode_body(&d, tree, object);
	if (!d.no_memory && !d.errors) {
		*ret_object = object;
		return 0;
	}
	object_free(object);
	if (d.no_memory)
		return err_set(err, -ENOMEM, "%s: no memory", origin);
	d.err->code = -EINVAL;
	return -EINVAL;
}
