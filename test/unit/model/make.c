/* SPDX-License-Identifier: Apache-2.0 */
/* See make.h. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <cmocka.h>

#include "make.h"
#include "names.h"

static void *need(void *memory)
{
	assert_non_null(memory);
	return memory;
}

static char *copy(const char *text)
{
	return need(strdup(text));
}

/* One more item, zeroed, at the end of an array without a capacity. */
static void *append(void *items, size_t *n, size_t size)
{
	char **array = items;

	*array = need(reallocarray(*array, *n + 1, size));
	memset(*array + *n * size, 0, size);
	return *array + (*n)++ * size;
}

/* Cuts `text` at the first `mark`; what stands behind it, or NULL. */
static char *cut(char *text, char mark)
{
	char *at = strchr(text, mark);

	if (at)
		*at++ = '\0';
	return at;
}

static uint16_t number(const char *text)
{
	char *end;
	unsigned long value = strtoul(text, &end, 10);

	if (*end || value > UINT16_MAX)
		fail_msg("\"%s\" is no number of a port", text);
	return (uint16_t)value;
}

struct ip_addr make_addr(const char *text)
{
	struct ip_addr addr;

	if (addr_parse(text, &addr) < 0)
		fail_msg("\"%s\" is no address", text);
	return addr;
}

struct fe_key make_key(const char *text)
{
	char buf[FE_KEY_TEXT_MAX];
	char *addr = buf, *port, *proto;
	struct ip_addr vip;

	snprintf(buf, sizeof(buf), "%s", text);
	proto = need(cut(buf, '/'));
	port = need(strrchr(buf, ':'));
	*port++ = '\0';
	if (strncmp(addr, "node", 4) == 0)
		return fe_key_node_port(addr[4] ? AF_INET6 : AF_INET, number(port),
					proto_parse(proto));
	if (*addr == '[') {
		addr[strlen(addr) - 1] = '\0';
		addr++;
	}
	vip = make_addr(addr);
	return fe_key_make(&vip, number(port), proto_parse(proto));
}

struct ip_prefix make_net(const char *text)
{
	struct ip_prefix net;

	if (prefix_parse(text, &net) < 0)
		fail_msg("\"%s\" is no network", text);
	return net;
}

static int pair_cmp(const void *a, const void *b)
{
	return strcmp(((const struct obj_pair *)a)->key, ((const struct obj_pair *)b)->key);
}

static void add_pair(struct obj_pair **pairs, size_t *n, char *text)
{
	char *value = need(cut(text, ':'));
	struct obj_pair *pair = append(pairs, n, sizeof(*pair));

	pair->key = copy(text);
	pair->value = copy(value);
	qsort(*pairs, *n, sizeof(**pairs), pair_cmp);
}

/* "[NAME:]NUMBER/PROTO" */
static void parse_port(char *text, char **ret_name, uint16_t *ret_port, uint8_t *ret_proto)
{
	char *proto = need(cut(text, '/')), *colon = cut(text, ':');

	*ret_name = copy(colon ? text : "");
	*ret_port = number(colon ? colon : text);
	*ret_proto = proto_parse(proto);
	assert_int_not_equal(*ret_proto, 0);
}

static void service_port(struct service *svc, char *value)
{
	struct svc_port *port = append(&svc->ports, &svc->n_ports, sizeof(*port));
	char *node_port = cut(value, '^'), *target = cut(value, '>');

	parse_port(value, &port->name, &port->port, &port->proto);
	port->node_port = node_port ? number(node_port) : 0;
	if (target && *target >= '0' && *target <= '9')
		port->target.number = number(target);
	else if (target)
		port->target.name = copy(target);
}

/* How clients from elsewhere come in; false: not a word about that. */
static bool entrance_word(struct service *svc, const char *word, char *value)
{
	if (strcmp(word, "ext") == 0) {
		*(struct ip_addr *)append(&svc->external_ips, &svc->n_external_ips,
					  sizeof(*svc->external_ips)) = make_addr(value);
	} else if (strcmp(word, "lb") == 0) {
		struct svc_ingress *ingress =
			append(&svc->ingress, &svc->n_ingress, sizeof(*ingress));

		ingress->proxy_mode = cut(value, '!') != NULL;
		ingress->addr = make_addr(value);
	} else if (strcmp(word, "from") == 0) {
		*(struct ip_prefix *)append(&svc->source_ranges, &svc->n_ranges,
					    sizeof(*svc->source_ranges)) = make_net(value);
		svc->restricted = true;
	} else if (strcmp(word, "etp") == 0) {
		svc->etp_local = true;
	} else if (strcmp(word, "itp") == 0) {
		svc->itp_local = true;
	} else if (strcmp(word, "prefer") == 0) {
		svc->distribution = strcmp(value, "zone") == 0 ? SVC_SAME_ZONE : SVC_SAME_NODE;
	} else {
		return false;
	}
	return true;
}

static void service_word(struct service *svc, const char *word, char *value)
{
	if (entrance_word(svc, word, value))
		return;
	if (strcmp(word, "created") == 0) {
		svc->meta.created_ms = strtoll(value, NULL, 10);
	} else if (strcmp(word, "vip") == 0) {
		svc->cluster_ips[addr_is_set(&svc->cluster_ips[0])] = make_addr(value);
	} else if (strcmp(word, "port") == 0) {
		service_port(svc, value);
	} else if (strcmp(word, "select") == 0) {
		add_pair(&svc->selector, &svc->n_selector, value);
	} else if (strcmp(word, "ann") == 0) {
		add_pair(&svc->meta.annotations, &svc->meta.n_annotations, value);
	} else if (strcmp(word, "affinity") == 0) {
		svc->affinity_sec = (uint32_t)strtoul(value, NULL, 10);
	} else if (strcmp(word, "type") == 0) {
		svc->type = strcmp(value, "ExternalName") == 0 ? SVC_EXTERNAL_NAME
			    : strcmp(value, "NodePort") == 0   ? SVC_NODE_PORT
							       : SVC_LOAD_BALANCER;
	} else if (strcmp(word, "headless") == 0) {
		svc->headless = true;
	} else if (strcmp(word, "foreign") == 0) {
		svc->foreign = true;
	} else if (strcmp(word, "publish") == 0) {
		svc->publish_not_ready = true;
	} else {
		fail_msg("a Service has no \"%s\"", word);
	}
}

static void slice_word(struct slice *slice, const char *word, char *value)
{
	if (strcmp(word, "of") == 0) {
		slice->service = copy(value);
	} else if (strcmp(word, "port") == 0) {
		struct slice_port *port = append(&slice->ports, &slice->n_ports, sizeof(*port));

		parse_port(value, &port->name, &port->port, &port->proto);
	} else if (strcmp(word, "ep") == 0) {
		struct slice_endpoint *ep =
			append(&slice->endpoints, &slice->n_endpoints, sizeof(*ep));
		const char *nodes = cut(value, '+'), *zones = cut(value, '~');
		const char *node = cut(value, '@'), *states = cut(value, '!');

		states = states ? states : "rs";
		ep->addr = make_addr(value);
		ep->ready = strchr(states, 'r');
		ep->serving = strchr(states, 's');
		ep->terminating = strchr(states, 't');
		ep->node = node ? name_ref(node) : NULL;
		ep->zones_hint = zones ? name_ref(zones) : NULL;
		ep->nodes_hint = nodes ? name_ref(nodes) : NULL;
		slice->family = ep->addr.family;
	} else {
		fail_msg("a slice has no \"%s\"", word);
	}
}

static void endpoints_word(struct endpoints *endpoints, const char *word, char *value)
{
	struct slice *subset;

	if (strcmp(word, "subset") == 0) {
		subset = append(&endpoints->subsets, &endpoints->n_subsets, sizeof(*subset));
		subset->service = copy(endpoints->meta.name);
		return;
	}
	assert_int_not_equal(endpoints->n_subsets, 0);
	subset = &endpoints->subsets[endpoints->n_subsets - 1];
	slice_word(subset, word, value);
	subset->family = 0;
}

static void pod_word(struct pod *pod, const char *word, char *value)
{
	if (strcmp(word, "ip") == 0) {
		pod->ips[addr_is_set(&pod->ips[0])] = make_addr(value);
	} else if (strcmp(word, "label") == 0) {
		add_pair(&pod->meta.labels, &pod->meta.n_labels, value);
	} else if (strcmp(word, "port") == 0) {
		struct pod_port *port = append(&pod->ports, &pod->n_ports, sizeof(*port));

		parse_port(value, &port->name, &port->port, &port->proto);
	} else if (strcmp(word, "node") == 0) {
		pod->node = copy(value);
	} else if (strcmp(word, "notready") == 0) {
		pod->ready = false;
	} else if (strcmp(word, "terminating") == 0) {
		pod->terminating = true;
	} else if (strcmp(word, "finished") == 0) {
		pod->finished = true;
	} else {
		fail_msg("a Pod has no \"%s\"", word);
	}
}

static void node_word(struct node *node, const char *word, char *value)
{
	if (strcmp(word, "addr") == 0)
		*(struct ip_addr *)append(&node->addrs, &node->n_addrs, sizeof(*node->addrs)) =
			make_addr(value);
	else if (strcmp(word, "zone") == 0)
		node->zone = copy(value);
	else
		fail_msg("a Node has no \"%s\"", word);
}

static void object_word(union object *object, char *word)
{
	char *value = cut(word, '=');

	switch (object->meta.kind) {
	case OBJ_SERVICE:
		service_word(&object->service, word, value);
		break;
	case OBJ_SLICE:
		slice_word(&object->slice, word, value);
		break;
	case OBJ_ENDPOINTS:
		endpoints_word(&object->endpoints, word, value);
		break;
	case OBJ_POD:
		pod_word(&object->pod, word, value);
		break;
	case OBJ_NODE:
		node_word(&object->node, word, value);
		break;
	case OBJ_KIND_COUNT:
		break;
	}
}

static enum obj_kind parse_kind(const char *word)
{
	static const char *const words[] = {"service", "slice", "endpoints", "pod", "node"};

	for (size_t i = 0; i < ARRAY_SIZE(words); i++)
		if (strcmp(words[i], word) == 0)
			return (enum obj_kind)i;
	fail_msg("there is no kind \"%s\"", word);
	return OBJ_KIND_COUNT;
}

union object *make_object(const char *text)
{
	union object *object = need(calloc(1, sizeof(*object)));
	cleanup_free char *line = copy(text);
	char *place = NULL, *word = strtok_r(line, " ", &place), *name;

	object->meta.kind = parse_kind(word);
	word = need(strtok_r(NULL, " ", &place));
	name = cut(word, '/');
	object->meta.ns = copy(name ? word : "");
	object->meta.name = copy(name ? name : word);
	if (object->meta.kind == OBJ_POD)
		object->pod.ready = true;
	while ((word = strtok_r(NULL, " ", &place)))
		object_word(object, word);
	return object;
}
