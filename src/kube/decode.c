/* SPDX-License-Identifier: Apache-2.0 */
/* See decode.h. Field names and defaults: kubernetes.io/docs/reference/kubernetes-api.
 *
 * A field of the wrong type is an error even where its value would not matter much: a quoted "80"
 * is a string, as it is for the API server. Lines come from the tree's `valueint` (source/tree.h).
 */
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#include "kube/decode.h"

/* Where in the object we are, for messages. */
struct path {
	const struct path *up;
	const char *name; /* NULL: an element, by index */
	size_t index;
};

struct decoder {
	const char *origin, *kind;
	char name[330];
	struct err *err;
	size_t used; /* of err->text */
	int errors;
	bool no_memory;
};

/* ---- errors ---- */

static size_t print_path(const struct path *path, char *buf, size_t size)
{
	size_t n;

	if (!path)
		return 0;
	n = print_path(path->up, buf, size);
	if (path->name)
		n += (size_t)snprintf(buf + n, size - n, "%s%s", n ? "." : "", path->name);
	else
		n += (size_t)snprintf(buf + n, size - n, "[%zu]", path->index);
	return n < size ? n : size - 1;
}

static void complain(struct decoder *d, const struct path *path, const cJSON *node, const char *fmt,
		     ...) PRINTF(4, 5);
static void complain(struct decoder *d, const struct path *path, const cJSON *node, const char *fmt,
		     ...)
{
	size_t size = sizeof(d->err->text);
	char where[160] = "";
	va_list args;

	if (++d->errors > DECODE_ERRORS_MAX || d->used + 1 >= size)
		return;
	print_path(path, where, sizeof(where));
	d->used += (size_t)snprintf(d->err->text + d->used, size - d->used, "%s%s:%d: %s %s: %s%s",
				    d->used ? "; " : "", d->origin, node ? node->valueint : 0,
				    d->kind, d->name, where, *where ? ": " : "");
	if (d->used + 1 >= size)
		return;
	va_start(args, fmt);
	d->used += (size_t)vsnprintf(d->err->text + d->used, size - d->used, fmt, args);
	va_end(args);
}

static const char *describe(const cJSON *node, char *buf, size_t size)
{
	if (cJSON_IsString(node))
		snprintf(buf, size, "is the string \"%.40s\"", node->valuestring);
	else if (cJSON_IsNumber(node))
		snprintf(buf, size, "is the number %.15g", node->valuedouble);
	else if (cJSON_IsBool(node))
		snprintf(buf, size, "is the boolean %s", cJSON_IsTrue(node) ? "true" : "false");
	else
		snprintf(buf, size, "is %s",
			 cJSON_IsObject(node)  ? "a mapping"
			 : cJSON_IsArray(node) ? "a list"
					       : "null");
	return buf;
}

static void complain_type(struct decoder *d, const struct path *path, const cJSON *node,
			  const char *want)
{
	char what[80];

	complain(d, path, node, "must be %s, %s", want, describe(node, what, sizeof(what)));
}

static void *take_memory(struct decoder *d, void *memory)
{
	d->no_memory |= !memory;
	return memory;
}

static char *copy_string(struct decoder *d, const char *text)
{
	return take_memory(d, strdup(text));
}

/* ---- fields ---- */

/* Of equal names the last counts; null is as good as not there. */
static const cJSON *get(const cJSON *map, const char *name)
{
	const cJSON *found = NULL;

	for (const cJSON *child = cJSON_IsObject(map) ? map->child : NULL; child;
	     child = child->next)
		if (strcmp(child->string, name) == 0)
			found = child;
	return cJSON_IsNull(found) ? NULL : found;
}

static const cJSON *get_map(struct decoder *d, const struct path *up, const cJSON *map,
			    const char *name)
{
	const struct path path = {.up = up, .name = name};
	const cJSON *node = get(map, name);

	if (node && !cJSON_IsObject(node)) {
		complain_type(d, &path, node, "a mapping");
		return NULL;
	}
	return node;
}

/* A list of at most `max` elements; its length in *ret_n. */
static const cJSON *get_list(struct decoder *d, const struct path *up, const cJSON *map,
			     const char *name, size_t max, size_t *ret_n)
{
	const struct path path = {.up = up, .name = name};
	const cJSON *node = get(map, name);

	*ret_n = 0;
	if (node && !cJSON_IsArray(node)) {
		complain_type(d, &path, node, "a list");
		return NULL;
	}
	for (const cJSON *child = node ? node->child : NULL; child; child = child->next)
		++*ret_n;
	if (*ret_n > max) {
		complain(d, &path, node, "has %zu elements, more than %zu", *ret_n, max);
		*ret_n = 0;
		return NULL;
	}
	return node;
}

static const char *get_text(struct decoder *d, const struct path *up, const cJSON *map,
			    const char *name)
{
	const struct path path = {.up = up, .name = name};
	const cJSON *node = get(map, name);

	if (node && !cJSON_IsString(node)) {
		complain_type(d, &path, node, "a string");
		return NULL;
	}
	return node ? node->valuestring : NULL;
}

static bool get_bool(struct decoder *d, const struct path *up, const cJSON *map, const char *name,
		     bool otherwise)
{
	const struct path path = {.up = up, .name = name};
	const cJSON *node = get(map, name);

	if (node && !cJSON_IsBool(node)) {
		complain_type(d, &path, node, "true or false");
		return otherwise;
	}
	return node ? cJSON_IsTrue(node) : otherwise;
}

static bool is_whole(const cJSON *node, double min, double max)
{
	return cJSON_IsNumber(node) && node->valuedouble >= min && node->valuedouble <= max &&
	       (double)(int64_t)node->valuedouble == node->valuedouble;
}

/* A whole number in [min, max]; `otherwise` if it is not there. */
static uint32_t get_number(struct decoder *d, const struct path *up, const cJSON *map,
			   const char *name, uint32_t min, uint32_t max, uint32_t otherwise)
{
	const struct path path = {.up = up, .name = name};
	const cJSON *node = get(map, name);
	char want[64];

	if (!node)
		return otherwise;
	if (is_whole(node, min, max))
		return (uint32_t)node->valuedouble;
	snprintf(want, sizeof(want), "an integer from %u to %u", min, max);
	complain_type(d, &path, node, want);
	return otherwise;
}

/* The index of the text in `words`; `otherwise` if it is not there, an error if it is another. */
static int get_word(struct decoder *d, const struct path *up, const cJSON *map, const char *name,
		    const char *const *words, int n, int otherwise)
{
	const struct path path = {.up = up, .name = name};
	const char *text = get_text(d, up, map, name);
	char list[128] = "";
	size_t used = 0;

	if (!text || !*text)
		return otherwise;
	for (int i = 0; i < n; i++) {
		if (strcmp(words[i], text) == 0)
			return i;
		used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "",
					 words[i]);
	}
	complain(d, &path, get(map, name), "must be one of %s, is \"%.40s\"", list, text);
	return otherwise;
}

static uint8_t get_protocol(struct decoder *d, const struct path *up, const cJSON *map)
{
	static const char *const words[] = {"TCP", "UDP", "SCTP"};
	int i = get_word(d, up, map, "protocol", words, 3, 0);

	return proto_parse(words[i]);
}

/* ---- addresses ---- */

static bool parse_addr(struct decoder *d, const struct path *path, const cJSON *node,
		       struct ip_addr *ret_addr)
{
	if (!cJSON_IsString(node)) {
		complain_type(d, path, node, "an IP address");
		return false;
	}
	if (addr_parse(node->valuestring, ret_addr) < 0) {
		complain(d, path, node, "must be an IP address, is \"%.60s\"", node->valuestring);
		return false;
	}
	return true;
}

/* One that traffic may go to: not loopback, multicast and the like. */
static bool parse_usable_addr(struct decoder *d, const struct path *path, const cJSON *node,
			      struct ip_addr *ret_addr)
{
	const char *why;

	if (!parse_addr(d, path, node, ret_addr))
		return false;
	why = addr_unusable(ret_addr);
	if (why)
		complain(d, path, node, "must not be a %s address, is %.60s", why,
			 node->valuestring);
	return !why;
}

/* A list of addresses; those that cannot be read are errors. */
static struct ip_addr *get_addrs(struct decoder *d, const struct path *up, const cJSON *map,
				 const char *name, size_t *ret_n)
{
	const struct path list_path = {.up = up, .name = name};
	struct path path = {.up = &list_path};
	size_t n;
	const cJSON *list = get_list(d, up, map, name, OBJ_ADDRS_MAX, &n);
	struct ip_addr *addrs;

	*ret_n = 0;
	if (!n)
		return NULL;
	addrs = take_memory(d, calloc(n, sizeof(*addrs)));
	for (const cJSON *item = addrs ? list->child : NULL; item; item = item->next) {
		if (parse_usable_addr(d, &path, item, &addrs[*ret_n]))
			++*ret_n;
		path.index++;
	}
	return addrs;
}

static struct ip_prefix *get_prefixes(struct decoder *d, const struct path *up, const cJSON *map,
				      const char *name, size_t *ret_n)
{
	const struct path list_path = {.up = up, .name = name};
	struct path path = {.up = &list_path};
	size_t n;
	const cJSON *list = get_list(d, up, map, name, OBJ_ADDRS_MAX, &n);
	struct ip_prefix *nets;

	*ret_n = 0;
	if (!n)
		return NULL;
	nets = take_memory(d, calloc(n, sizeof(*nets)));
	for (const cJSON *item = nets ? list->child : NULL; item; item = item->next) {
		char text[80] = "";

		if (cJSON_IsString(item)) /* blanks around it are allowed here */
			sscanf(item->valuestring, " %79s", text);
		if (prefix_parse(text, &nets[*ret_n]) == 0)
			++*ret_n;
		else
			complain_type(d, &path, item, "a network like 10.0.0.0/8");
		path.index++;
	}
	return nets;
}

/* ---- metadata ---- */

static int pair_cmp(const void *a, const void *b)
{
	return strcmp(((const struct obj_pair *)a)->key, ((const struct obj_pair *)b)->key);
}

static bool wanted(const char *key, const char *const *keys)
{
	if (!keys)
		return true;
	for (; *keys; keys++)
		if (strcmp(*keys, key) == 0)
			return true;
	return false;
}

/* A mapping of strings, sorted; `keys` (NULL-terminated) picks those wanted, NULL all. */
static struct obj_pair *get_pairs(struct decoder *d, const struct path *up, const cJSON *map,
				  const char *name, const char *const *keys, size_t *ret_n)
{
	const struct path map_path = {.up = up, .name = name};
	const cJSON *node = get_map(d, up, map, name);
	struct obj_pair *pairs = NULL;
	size_t n = 0, cap = 0;

	for (const cJSON *item = node ? node->child : NULL; item; item = item->next) {
		const struct path path = {.up = &map_path, .name = item->string};

		if (!wanted(item->string, keys) || get(node, item->string) != item)
			continue;
		if (!cJSON_IsString(item)) {
			complain_type(d, &path, item, "a string");
			continue;
		}
		if (util_grow((void **)&pairs, &cap, n + 1, sizeof(*pairs)) < 0) {
			d->no_memory = true;
			break;
		}
		pairs[n++] = (struct obj_pair){copy_string(d, item->string),
					       copy_string(d, item->valuestring)};
	}
	*ret_n = n;
	if (n && !d->no_memory)
		qsort(pairs, n, sizeof(*pairs), pair_cmp);
	return pairs;
}

/* RFC 3339, as creationTimestamp has it; 0 if it is none. */
static int64_t parse_time(const char *text)
{
	struct tm tm = {0};
	const char *rest = strptime(text, "%Y-%m-%dT%H:%M:%S", &tm);

	if (!rest || *rest != 'Z')
		return 0;
	return (int64_t)timegm(&tm) * 1000;
}

static void decode_meta(struct decoder *d, const cJSON *tree, struct obj_meta *meta)
{
	static const char *const annotations[] = {ANN_SCHEDULER, ANN_SCHEDULER_KR, NULL};
	static const char *const labels[] = {LABEL_SERVICE_NAME, LABEL_PROXY_NAME, LABEL_HEADLESS,
					     NULL};
	const struct path path = {.name = "metadata"};
	const cJSON *map = get_map(d, NULL, tree, "metadata");
	const char *name = get_text(d, &path, map, "name");
	const char *ns = get_text(d, &path, map, "namespace");
	const char *created = get_text(d, &path, map, "creationTimestamp");

	if (!name || !*name)
		complain(d, &path, map ? map : tree, "name is missing");
	else if (strlen(name) > 253 || strpbrk(name, " /\t\n"))
		complain(d, &path, map, "name \"%.40s\" is not a valid name", name);
	if (ns && (strlen(ns) > 63 || strpbrk(ns, " /\t\n")))
		complain(d, &path, map, "namespace \"%.40s\" is not a valid name", ns);
	if (meta->kind == OBJ_NODE)
		ns = "";
	else if (!ns || !*ns)
		ns = "default";
	meta->ns = copy_string(d, ns);
	meta->name = copy_string(d, name ? name : "");
	snprintf(d->name, sizeof(d->name), "%s%s%s", ns, *ns ? "/" : "", name ? name : "?");
	meta->created_ms = created ? parse_time(created) : 0;
	meta->labels = get_pairs(d, &path, map, "labels", meta->kind == OBJ_POD ? NULL : labels,
				 &meta->n_labels);
	meta->annotations =
		get_pairs(d, &path, map, "annotations", annotations, &meta->n_annotations);
	if (asprintf(&meta->origin, "%s:%d", d->origin, tree->valueint) < 0) {
		meta->origin = NULL;
		d->no_memory = true;
	}
}

/* ---- Service ---- */

static void decode_target(struct decoder *d, const struct path *up, const cJSON *map,
			  struct obj_port_ref *target)
{
	const struct path path = {.up = up, .name = "targetPort"};
	const cJSON *node = get(map, "targetPort");

	if (!node)
		return;
	if (cJSON_IsString(node) && *node->valuestring)
		target->name = copy_string(d, node->valuestring);
	else if (is_whole(node, 1, UINT16_MAX))
		target->number = (uint16_t)node->valuedouble;
	else if (!is_whole(node, 0, 0) && !cJSON_IsString(node))
		complain_type(d, &path, node, "an integer from 1 to 65535 or a port's name");
}

static void decode_service_port(struct decoder *d, const struct path *path, const cJSON *item,
				struct service *svc)
{
	struct svc_port *port = &svc->ports[svc->n_ports++];
	const char *name = get_text(d, path, item, "name");

	port->name = copy_string(d, name ? name : "");
	port->proto = get_protocol(d, path, item);
	port->port = (uint16_t)get_number(d, path, item, "port", 1, UINT16_MAX, 0);
	port->node_port = (uint16_t)get_number(d, path, item, "nodePort", 0, UINT16_MAX, 0);
	decode_target(d, path, item, &port->target);
	if (!get(item, "port"))
		complain(d, path, item, "port is missing");
	for (size_t i = 0; i + 1 < svc->n_ports; i++) {
		const struct svc_port *other = &svc->ports[i];

		if (port->name && other->name && strcmp(other->name, port->name) == 0 &&
		    *port->name)
			complain(d, path, item, "name \"%s\" is used twice", port->name);
		if (port->port && other->port == port->port && other->proto == port->proto)
			complain(d, path, item, "port %u/%s is there twice", port->port,
				 proto_name(port->proto));
	}
}

static void decode_service_ports(struct decoder *d, const struct path *spec, const cJSON *map,
				 struct service *svc)
{
	const struct path list_path = {.up = spec, .name = "ports"};
	struct path path = {.up = &list_path};
	size_t n;
	const cJSON *list = get_list(d, spec, map, "ports", OBJ_PORTS_MAX, &n);

	if (!n)
		return;
	svc->ports = take_memory(d, calloc(n, sizeof(*svc->ports)));
	for (const cJSON *item = svc->ports ? list->child : NULL; item; item = item->next) {
		if (cJSON_IsObject(item)) {
			decode_service_port(d, &path, item, svc);
			if (n > 1 && svc->ports[svc->n_ports - 1].name &&
			    !*svc->ports[svc->n_ports - 1].name)
				complain(d, &path, item,
					 "name is missing: with several ports each needs one");
		} else {
			complain_type(d, &path, item, "a mapping");
		}
		path.index++;
	}
}

static void add_cluster_ip(struct decoder *d, const struct path *path, const cJSON *node,
			   struct service *svc)
{
	struct ip_addr addr;

	if (cJSON_IsString(node) && strcmp(node->valuestring, "None") == 0) {
		svc->headless = true;
		return;
	}
	if (cJSON_IsString(node) && !*node->valuestring)
		return;
	if (!parse_usable_addr(d, path, node, &addr))
		return;
	for (size_t i = 0; i < ARRAY_SIZE(svc->cluster_ips); i++) {
		if (addr_is_set(&svc->cluster_ips[i]) && addr_equal(&svc->cluster_ips[i], &addr))
			return;
		if (addr_is_set(&svc->cluster_ips[i])) {
			if (svc->cluster_ips[i].family == addr.family)
				complain(d, path, node, "must be one address a family");
			continue;
		}
		svc->cluster_ips[i] = addr;
		return;
	}
	complain(d, path, node, "must be at most two addresses");
}

static void decode_cluster_ips(struct decoder *d, const struct path *spec, const cJSON *map,
			       struct service *svc)
{
	const struct path one = {.up = spec, .name = "clusterIP"};
	const struct path list_path = {.up = spec, .name = "clusterIPs"};
	struct path path = {.up = &list_path};
	size_t n;
	const cJSON *list = get_list(d, spec, map, "clusterIPs", OBJ_ADDRS_MAX, &n);

	if (get(map, "clusterIP"))
		add_cluster_ip(d, &one, get(map, "clusterIP"), svc);
	for (const cJSON *item = list ? list->child : NULL; item; item = item->next) {
		add_cluster_ip(d, &path, item, svc);
		path.index++;
	}
}

static void decode_families(struct decoder *d, const struct path *spec, const cJSON *map,
			    struct service *svc)
{
	static const char *const policies[] = {"SingleStack", "PreferDualStack",
					       "RequireDualStack"};
	const struct path list_path = {.up = spec, .name = "ipFamilies"};
	struct path path = {.up = &list_path};
	size_t n;
	const cJSON *list = get_list(d, spec, map, "ipFamilies", 2, &n);

	svc->family_policy =
		(enum svc_family_policy)get_word(d, spec, map, "ipFamilyPolicy", policies, 3, 0);
	for (const cJSON *item = list ? list->child : NULL; item; item = item->next) {
		const char *text = cJSON_IsString(item) ? item->valuestring : "";

		if (strcmp(text, "IPv4") == 0)
			svc->families[path.index] = AF_INET;
		else if (strcmp(text, "IPv6") == 0)
			svc->families[path.index] = AF_INET6;
		else
			complain_type(d, &path, item, "IPv4 or IPv6");
		path.index++;
	}
}

static void decode_affinity(struct decoder *d, const struct path *spec, const cJSON *map,
			    struct service *svc)
{
	static const char *const words[] = {"None", "ClientIP"};
	const struct path config_path = {.up = spec, .name = "sessionAffinityConfig"};
	const struct path ip_path = {.up = &config_path, .name = "clientIP"};
	const cJSON *config = get_map(d, spec, map, "sessionAffinityConfig");
	const cJSON *client = get_map(d, &config_path, config, "clientIP");
	uint32_t seconds = get_number(d, &ip_path, client, "timeoutSeconds", 1, 86400, 10800);

	if (get_word(d, spec, map, "sessionAffinity", words, 2, 0) == 1)
		svc->affinity_sec = seconds;
}

static void decode_ingress(struct decoder *d, const cJSON *tree, struct service *svc)
{
	static const char *const modes[] = {"VIP", "Proxy"};
	const struct path status = {.name = "status"};
	const struct path lb_path = {.up = &status, .name = "loadBalancer"};
	const struct path list_path = {.up = &lb_path, .name = "ingress"};
	const cJSON *lb = get_map(d, &status, get_map(d, NULL, tree, "status"), "loadBalancer");
	struct path path = {.up = &list_path};
	size_t n;
	const cJSON *list = get_list(d, &lb_path, lb, "ingress", OBJ_ADDRS_MAX, &n);

	if (!n)
		return;
	svc->ingress = take_memory(d, calloc(n, sizeof(*svc->ingress)));
	for (const cJSON *item = svc->ingress ? list->child : NULL; item; item = item->next) {
		struct svc_ingress *ingress = &svc->ingress[svc->n_ingress];
		const cJSON *ip = get(item, "ip");

		if (ip && parse_addr(d, &path, ip, &ingress->addr)) {
			ingress->proxy_mode = get_word(d, &path, item, "ipMode", modes, 2, 0) == 1;
			svc->n_ingress++;
		}
		path.index++;
	}
}

static void decode_service(struct decoder *d, const cJSON *tree, struct service *svc)
{
	static const char *const types[] = {"ClusterIP", "NodePort", "LoadBalancer",
					    "ExternalName"};
	static const char *const policies[] = {"Cluster", "Local"};
	const struct path spec = {.name = "spec"};
	const cJSON *map = get_map(d, NULL, tree, "spec");

	svc->type = (enum svc_type)get_word(d, &spec, map, "type", types, 4, 0);
	svc->foreign = obj_label(&svc->meta, LABEL_PROXY_NAME) != NULL;
	decode_service_ports(d, &spec, map, svc);
	decode_cluster_ips(d, &spec, map, svc);
	decode_families(d, &spec, map, svc);
	decode_affinity(d, &spec, map, svc);
	decode_ingress(d, tree, svc);
	svc->selector = get_pairs(d, &spec, map, "selector", NULL, &svc->n_selector);
	svc->external_ips = get_addrs(d, &spec, map, "externalIPs", &svc->n_external_ips);
	svc->source_ranges =
		get_prefixes(d, &spec, map, "loadBalancerSourceRanges", &svc->n_ranges);
	svc->restricted = svc->n_ranges > 0;
	svc->etp_local = get_word(d, &spec, map, "externalTrafficPolicy", policies, 2, 0) == 1;
	svc->itp_local = get_word(d, &spec, map, "internalTrafficPolicy", policies, 2, 0) == 1;
	svc->publish_not_ready = get_bool(d, &spec, map, "publishNotReadyAddresses", false);
	svc->health_check_node_port =
		(uint16_t)get_number(d, &spec, map, "healthCheckNodePort", 0, UINT16_MAX, 0);
	if (!svc->n_ports && !svc->headless && svc->type != SVC_EXTERNAL_NAME && !d->errors)
		complain(d, &spec, map ? map : tree, "ports is missing");
}

/* ---- EndpointSlice, Endpoints ---- */

static void decode_slice_ports(struct decoder *d, const struct path *up, const cJSON *map,
			       struct slice *slice)
{
	const struct path list_path = {.up = up, .name = "ports"};
	struct path path = {.up = &list_path};
	size_t n;
	const cJSON *list = get_list(d, up, map, "ports", OBJ_PORTS_MAX, &n);

	if (!n)
		return;
	slice->ports = take_memory(d, calloc(n, sizeof(*slice->ports)));
	for (const cJSON *item = slice->ports ? list->child : NULL; item; item = item->next) {
		struct slice_port *port = &slice->ports[slice->n_ports];
		const char *name = get_text(d, &path, item, "name");

		port->name = copy_string(d, name ? name : "");
		port->proto = get_protocol(d, &path, item);
		port->port = (uint16_t)get_number(d, &path, item, "port", 1, UINT16_MAX, 0);
		slice->n_ports++;
		path.index++;
	}
}

/* The `name`s of hints.forZones or .forNodes, comma separated; NULL if there is none. */
static char *decode_hints(struct decoder *d, const struct path *up, const cJSON *endpoint,
			  const char *list_name)
{
	const struct path path = {.up = up, .name = "hints"};
	const cJSON *hints = get_map(d, up, endpoint, "hints");
	char *text = NULL;
	size_t n, len = 0;
	const cJSON *list = get_list(d, &path, hints, list_name, OBJ_ADDRS_MAX, &n);
	FILE *out = n ? open_memstream(&text, &len) : NULL;

	if (!out)
		return NULL;
	for (const cJSON *item = list->child; item; item = item->next) {
		const char *name = get_text(d, &path, item, "name");

		if (name)
			fprintf(out, "%s%s", ftell(out) ? "," : "", name);
	}
	fclose(out);
	return take_memory(d, text);
}

static void decode_slice_endpoint(struct decoder *d, const struct path *path, const cJSON *item,
				  struct slice *slice)
{
	struct slice_endpoint *ep = &slice->endpoints[slice->n_endpoints];
	const struct path cond_path = {.up = path, .name = "conditions"};
	const struct path addr_path = {.up = path, .name = "addresses"};
	const struct path first = {.up = &addr_path};
	const cJSON *conditions = get_map(d, path, item, "conditions");
	const char *node = get_text(d, path, item, "nodeName");
	size_t n;
	const cJSON *addrs = get_list(d, path, item, "addresses", OBJ_ADDRS_MAX, &n);

	if (!n) {
		complain(d, &addr_path, item, "is missing");
		return;
	}
	if (!slice->family) /* addressType FQDN: names, of no use to a proxy */
		return;
	if (!parse_usable_addr(d, &first, addrs->child, &ep->addr))
		return;
	if (ep->addr.family != slice->family) {
		complain(d, &first, addrs->child, "is not of the slice's addressType");
		return;
	}
	ep->ready = get_bool(d, &cond_path, conditions, "ready", true);
	ep->serving = get_bool(d, &cond_path, conditions, "serving", ep->ready);
	ep->terminating = get_bool(d, &cond_path, conditions, "terminating", false);
	ep->node = node && *node ? copy_string(d, node) : NULL;
	ep->zones_hint = decode_hints(d, path, item, "forZones");
	ep->nodes_hint = decode_hints(d, path, item, "forNodes");
	slice->n_endpoints++;
}

static void decode_slice(struct decoder *d, const cJSON *tree, struct slice *slice)
{
	static const char *const types[] = {"IPv4", "IPv6", "FQDN"};
	static const uint8_t families[] = {AF_INET, AF_INET6, 0};
	const struct path list_path = {.name = "endpoints"};
	struct path path = {.up = &list_path};
	const char *service = obj_label(&slice->meta, LABEL_SERVICE_NAME);
	size_t n;
	const cJSON *list = get_list(d, NULL, tree, "endpoints", OBJ_ENDPOINTS_MAX, &n);

	slice->service = copy_string(d, service ? service : "");
	slice->family = families[get_word(d, NULL, tree, "addressType", types, 3, 0)];
	if (!get(tree, "addressType"))
		complain(d, NULL, tree, "addressType is missing");
	decode_slice_ports(d, NULL, tree, slice);
	if (!n)
		return;
	slice->endpoints = take_memory(d, calloc(n, sizeof(*slice->endpoints)));
	for (const cJSON *item = slice->endpoints ? list->child : NULL; item; item = item->next) {
		if (cJSON_IsObject(item))
			decode_slice_endpoint(d, &path, item, slice);
		else
			complain_type(d, &path, item, "a mapping");
		path.index++;
	}
}

static void decode_subset_addrs(struct decoder *d, const struct path *up, const cJSON *map,
				const char *name, bool ready, struct slice *subset)
{
	const struct path list_path = {.up = up, .name = name};
	struct path path = {.up = &list_path};
	size_t n, room;
	const cJSON *list = get_list(d, up, map, name, OBJ_ENDPOINTS_MAX, &n);
	struct slice_endpoint *grown;

	if (!n)
		return;
	room = subset->n_endpoints + n;
	grown = take_memory(d, reallocarray(subset->endpoints, room, sizeof(*grown)));
	if (!grown)
		return;
	subset->endpoints = grown;
	for (const cJSON *item = list->child; item; item = item->next) {
		struct slice_endpoint ep = {.ready = ready, .serving = ready};
		const char *node = get_text(d, &path, item, "nodeName");
		const cJSON *ip = get(item, "ip");

		if (!ip)
			complain(d, &path, item, "ip is missing");
		else if (parse_usable_addr(d, &path, ip, &ep.addr)) {
			ep.node = node && *node ? copy_string(d, node) : NULL;
			subset->endpoints[subset->n_endpoints++] = ep;
		}
		path.index++;
	}
}

static void decode_endpoints(struct decoder *d, const cJSON *tree, struct endpoints *endpoints)
{
	const struct path list_path = {.name = "subsets"};
	struct path path = {.up = &list_path};
	size_t n;
	const cJSON *list = get_list(d, NULL, tree, "subsets", OBJ_PORTS_MAX, &n);

	if (!n)
		return;
	endpoints->subsets = take_memory(d, calloc(n, sizeof(*endpoints->subsets)));
	for (const cJSON *item = endpoints->subsets ? list->child : NULL; item; item = item->next) {
		struct slice *subset = &endpoints->subsets[endpoints->n_subsets++];

		subset->service = copy_string(d, endpoints->meta.name);
		decode_slice_ports(d, &path, item, subset);
		decode_subset_addrs(d, &path, item, "addresses", true, subset);
		decode_subset_addrs(d, &path, item, "notReadyAddresses", false, subset);
		path.index++;
	}
}

/* ---- Pod ---- */

static void add_pod_ip(struct decoder *d, const struct path *path, const cJSON *node,
		       struct pod *pod)
{
	struct ip_addr addr;

	if (!node || (cJSON_IsString(node) && !*node->valuestring) ||
	    !parse_usable_addr(d, path, node, &addr))
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
	const struct path path = {.name = "status"};

	for (size_t i = 0; i < (host_network ? 2U : 1U); i++) {
		const struct path one = {.up = &path, .name = singles[i]};
		size_t n;
		const cJSON *list = get_list(d, &path, status, lists[i], OBJ_ADDRS_MAX, &n);

		for (const cJSON *item = list ? list->child : NULL; item; item = item->next)
			add_pod_ip(d, &one, get(item, "ip"), pod);
		add_pod_ip(d, &one, get(status, singles[i]), pod);
		if (addr_is_set(&pod->ips[0]))
			return;
	}
}

/* The condition Ready; a status without it counts as ready if the Pod runs or nothing is said. */
static bool decode_ready(struct decoder *d, const cJSON *status, const char *phase)
{
	const struct path path = {.name = "status"};
	size_t n;
	const cJSON *list = get_list(d, &path, status, "conditions", OBJ_PORTS_MAX, &n);

	for (const cJSON *item = list ? list->child : NULL; item; item = item->next) {
		const char *type = get_text(d, &path, item, "type");
		const char *value = get_text(d, &path, item, "status");

		if (type && strcmp(type, "Ready") == 0)
			return value && strcmp(value, "True") == 0;
	}
	return !phase || strcmp(phase, "Running") == 0;
}

static void decode_container_ports(struct decoder *d, const cJSON *container, struct pod *pod,
				   size_t *cap)
{
	const struct path path = {.name = "spec.containers"};
	size_t n;
	const cJSON *list = get_list(d, &path, container, "ports", OBJ_PORTS_MAX, &n);

	for (const cJSON *item = list ? list->child : NULL; item; item = item->next) {
		const char *name = get_text(d, &path, item, "name");
		struct pod_port port = {
			.proto = get_protocol(d, &path, item),
			.port = (uint16_t)get_number(d, &path, item, "containerPort", 1, UINT16_MAX,
						     0),
		};

		if (!name || !*name || !port.port || pod->n_ports >= OBJ_PORTS_MAX)
			continue;
		if (util_grow((void **)&pod->ports, cap, pod->n_ports + 1, sizeof(port)) < 0) {
			d->no_memory = true;
			return;
		}
		port.name = copy_string(d, name);
		pod->ports[pod->n_ports++] = port;
	}
}

static void decode_pod(struct decoder *d, const cJSON *tree, struct pod *pod)
{
	const struct path spec_path = {.name = "spec"}, status_path = {.name = "status"};
	const cJSON *spec = get_map(d, NULL, tree, "spec");
	const cJSON *status = get_map(d, NULL, tree, "status");
	const char *node = get_text(d, &spec_path, spec, "nodeName");
	const char *phase = get_text(d, &status_path, status, "phase");
	size_t n, cap = 0;
	const cJSON *containers = get_list(d, &spec_path, spec, "containers", OBJ_PORTS_MAX, &n);

	pod->node = node && *node ? copy_string(d, node) : NULL;
	pod->terminating = get(get(tree, "metadata"), "deletionTimestamp") != NULL;
	pod->finished = phase && (strcmp(phase, "Succeeded") == 0 || strcmp(phase, "Failed") == 0);
	pod->ready = decode_ready(d, status, phase);
	decode_pod_ips(d, status, get_bool(d, &spec_path, spec, "hostNetwork", false), pod);
	for (const cJSON *item = containers ? containers->child : NULL; item; item = item->next)
		decode_container_ports(d, item, pod, &cap);
}

/* ---- Node ---- */

static void decode_node_addrs(struct decoder *d, const cJSON *tree, struct node *node)
{
	static const char *const types[] = {"InternalIP", "ExternalIP"};
	const struct path path = {.name = "status.addresses"};
	const cJSON *status = get_map(d, NULL, tree, "status");
	size_t n;
	const cJSON *list = get_list(d, &path, status, "addresses", OBJ_ADDRS_MAX, &n);

	if (!n)
		return;
	node->addrs = take_memory(d, calloc(n, sizeof(*node->addrs)));
	for (size_t t = 0; node->addrs && t < ARRAY_SIZE(types); t++) {
		for (const cJSON *item = list->child; item; item = item->next) {
			const char *type = get_text(d, &path, item, "type");

			if (type && strcmp(type, types[t]) == 0 && get(item, "address") &&
			    parse_addr(d, &path, get(item, "address"), &node->addrs[node->n_addrs]))
				node->n_addrs++;
		}
	}
}

static void decode_node(struct decoder *d, const cJSON *tree, struct node *node)
{
	const struct path spec = {.name = "spec"};
	const cJSON *meta = get(tree, "metadata"), *labels = get(meta, "labels");
	const cJSON *zone = get(labels, LABEL_ZONE);

	decode_node_addrs(d, tree, node);
	node->pod_cidrs = get_prefixes(d, &spec, get_map(d, NULL, tree, "spec"), "podCIDRs",
				       &node->n_pod_cidrs);
	if (cJSON_IsString(zone))
		node->zone = copy_string(d, zone->valuestring);
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

static bool kind_of(const cJSON *tree, enum obj_kind *ret_kind)
{
	const cJSON *version = get(tree, "apiVersion"), *kind = get(tree, "kind");

	if (!cJSON_IsString(version) || !cJSON_IsString(kind))
		return false;
	for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
		if (strcmp(kinds[i].kind, kind->valuestring) == 0 &&
		    strcmp(kinds[i].api_version, version->valuestring) == 0) {
			*ret_kind = kinds[i].number;
			return true;
		}
	}
	return false;
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
	union object *object;
	enum obj_kind kind;

	*ret_object = NULL;
	if (!cJSON_IsObject(tree))
		return err_set(err, -EINVAL, "%s:%d: must be a mapping with apiVersion and kind",
			       origin, tree->valueint);
	if (!kind_of(tree, &kind))
		return 0;
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
