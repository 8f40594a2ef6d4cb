/* SPDX-License-Identifier: Apache-2.0 */
/* See nodeports.h.
 *
 * Rules (N), after kubernetes.io/docs/concepts/services-networking/service (type: NodePort) and the
 * API server's registry of Services:
 *  N1 Every port of a NodePort Service has a number, and of a LoadBalancer one unless
 *     allocateLoadBalancerNodePorts is false; so has the health check of a LoadBalancer with
 *     externalTrafficPolicy Local.
 *  N2 A number that a Service names is that port's, in the range or not.
 *  N3 A port keeps what it has: the port of the same name, else that of the same number and
 *     protocol. So neither renaming a port nor renumbering it moves it.
 *  N4 Ports of one number in several protocols (DNS) have one node port, where it is free.
 *  N5 Else one that nobody holds in any protocol; when there is none, one that nobody holds in this
 *     protocol.
 *  N6 What was given stays when another Service names it later: the older one wins then (claims).
 */
#include <errno.h>
#include <string.h>

#include "log.h"
#include "source/nodeports.h"

#define PROTOS    3
#define PROTO_ALL ((1U << PROTOS) - 1)

/* The lower part of the range, for numbers that are named (KEP-3668): 1/32 of it, at least 16, at
 * most 128; none of a range of 16. */
#define STATIC_SHARE 32
#define STATIC_MIN   16
#define STATIC_MAX   128

struct nodeport {
	char *name;      /* of the Service's port; "" = unnamed */
	uint16_t port;   /* the Service's; 0 = its health check */
	uint16_t number; /* 0 = none found */
	uint8_t proto;
	bool own; /* the Service names it itself */
};

struct nodeports {
	struct port_range range;
	uint32_t holders[PROTOS][UINT16_MAX + 1];
};

struct nodeports *nodeports_new(const struct port_range *range)
{
	struct nodeports *ports = calloc(1, sizeof(*ports));

	if (ports)
		ports->range = *range;
	return ports;
}

void nodeports_free(struct nodeports *ports)
{
	free(ports);
}

/* ---- who holds what ---- */

static unsigned proto_index(uint8_t proto)
{
	return proto == IPPROTO_UDP ? 1 : proto == IPPROTO_SCTP ? 2 : 0;
}

static uint32_t *holders_of(struct nodeports *ports, uint8_t proto, uint16_t number)
{
	return &ports->holders[proto_index(proto)][number];
}

static bool is_free(const struct nodeports *ports, unsigned protos, uint16_t number)
{
	for (unsigned p = 0; p < PROTOS; p++)
		if (protos & 1U << p && ports->holders[p][number])
			return false;
	return true;
}

static void hold(struct nodeports *ports, const struct nodeport *item)
{
	if (item->number)
		++*holders_of(ports, item->proto, item->number);
}

static void release_all(struct nodeports *ports, const struct nodeports_held *held)
{
	for (size_t i = 0; i < held->n; i++)
		if (held->items[i].number)
			--*holders_of(ports, held->items[i].proto, held->items[i].number);
}

static void held_done(struct nodeports_held *held)
{
	for (size_t i = 0; i < held->n; i++)
		free(held->items[i].name);
	free(held->items);
	*held = (struct nodeports_held){0};
}

void nodeports_release(struct nodeports *ports, struct nodeports_held *held)
{
	release_all(ports, held);
	held_done(held);
}

/* Takes a copy of the name. */
static int add(struct nodeports_held *held, const struct nodeport *item)
{
	if (util_grow((void **)&held->items, &held->cap, held->n + 1, sizeof(*held->items)) < 0)
		return -ENOMEM;
	held->items[held->n] = *item;
	held->items[held->n].name = strdup(item->name);
	if (!held->items[held->n].name)
		return -ENOMEM;
	held->n++;
	return 0;
}

static const struct nodeport *find_number(const struct nodeports_held *held, uint8_t proto,
					  uint16_t number)
{
	for (size_t i = 0; i < held->n; i++)
		if (held->items[i].proto == proto && held->items[i].number == number)
			return &held->items[i];
	return NULL;
}

/* ---- what a Service asks for ---- */

/* N1 */
static bool lacks_number(const struct service *svc, const struct svc_port *port)
{
	return !port->node_port && (svc->type == SVC_NODE_PORT ||
				    (svc->type == SVC_LOAD_BALANCER && !svc->no_node_ports));
}

static bool lacks_health(const struct service *svc)
{
	return !svc->health_check_node_port && svc->type == SVC_LOAD_BALANCER && svc->etp_local;
}

/* In the order of its ports, the health check last. */
static int list_asked(const struct service *svc, bool only_own, struct nodeports_held *ret_asked)
{
	struct nodeport health = {.name = (char *)"",
				  .proto = IPPROTO_TCP,
				  .number = svc->health_check_node_port,
				  .own = svc->health_check_node_port};
	int rc = 0;

	for (size_t i = 0; i < svc->n_ports && rc == 0; i++) {
		const struct svc_port *port = &svc->ports[i];
		struct nodeport item = {.name = port->name ? port->name : (char *)"",
					.port = port->port,
					.proto = port->proto,
					.number = port->node_port,
					.own = port->node_port};

		if (item.own || (!only_own && lacks_number(svc, port)))
			rc = add(ret_asked, &item);
	}
	if (rc == 0 && (health.own || (!only_own && lacks_health(svc))))
		rc = add(ret_asked, &health);
	return rc;
}

int nodeports_reserve(struct nodeports *ports, struct nodeports_held *held,
		      const struct service *svc)
{
	struct nodeports_held asked = {0};
	int rc = list_asked(svc, true, &asked);

	for (size_t i = 0; i < asked.n && rc == 0; i++) {
		const struct nodeport *item = &asked.items[i];

		if (find_number(held, item->proto, item->number))
			continue;
		rc = add(held, item);
		if (rc == 0)
			hold(ports, item);
	}
	held_done(&asked);
	return rc;
}

/* ---- finding numbers ---- */

static bool in_range(const struct nodeports *ports, uint16_t number)
{
	return number && number >= ports->range.first && number <= ports->range.last;
}

/* Does the port `item` continue what `old` was? */
static bool continues(const struct nodeport *item, const struct nodeport *old, bool by_name)
{
	if (!item->port != !old->port)
		return false;
	if (by_name)
		return strcmp(item->name, old->name) == 0;
	return item->port == old->port && item->proto == old->proto;
}

/* N3, N6. What it named itself it keeps only if nobody else names it. */
static void keep(struct nodeports *ports, const struct nodeports_held *old,
		 const struct nodeports_held *asked, struct nodeport *item, bool by_name)
{
	for (size_t i = 0; i < old->n && !item->number; i++) {
		const struct nodeport *was = &old->items[i];
		bool given = !was->own && was->proto == item->proto;

		if (!continues(item, was, by_name) || !in_range(ports, was->number) ||
		    find_number(asked, item->proto, was->number) ||
		    (!given && *holders_of(ports, item->proto, was->number)))
			continue;
		item->number = was->number;
		hold(ports, item);
	}
}

/* N4 */
static uint16_t of_same_port(const struct nodeports *ports, const struct nodeports_held *asked,
			     const struct nodeport *item)
{
	for (size_t i = 0; i < asked->n; i++) {
		const struct nodeport *other = &asked->items[i];

		if (item->port && other->port == item->port && other->number &&
		    is_free(ports, 1U << proto_index(item->proto), other->number))
			return other->number;
	}
	return 0;
}

/* Of all ports that are to have the number which `item` gets. */
static unsigned protos_of(const struct nodeports_held *asked, const struct nodeport *item)
{
	unsigned protos = 1U << proto_index(item->proto);

	for (size_t i = 0; i < asked->n; i++)
		if (item->port && asked->items[i].port == item->port && !asked->items[i].number)
			protos |= 1U << proto_index(asked->items[i].proto);
	return protos;
}

/* The i-th number to be looked at from `start` on: those of the upper part, then the lower. */
static uint16_t place(const struct port_range *range, uint64_t start, unsigned i)
{
	unsigned size = 1U + range->last - range->first, low = size / STATIC_SHARE;

	low = low < STATIC_MIN ? STATIC_MIN : low > STATIC_MAX ? STATIC_MAX : low;
	if (size <= STATIC_MIN)
		low = 0;
	if (i >= size - low)
		return (uint16_t)(range->first + i - (size - low));
	return (uint16_t)(range->first + low + (start % (size - low) + i) % (size - low));
}

/* N5. 0 = there is none. */
static uint16_t search(const struct nodeports *ports, uint64_t start, unsigned protos)
{
	const struct port_range *range = &ports->range;

	for (int last_resort = 0; last_resort < 2 && range->first; last_resort++) {
		for (unsigned i = 0; i <= (unsigned)range->last - range->first; i++) {
			uint16_t number = place(range, start, i);

			if (is_free(ports, last_resort ? protos : PROTO_ALL, number))
				return number;
		}
	}
	return 0;
}

static int none_left(const struct nodeports *ports, const struct nodeport *item, struct err *err)
{
	const char *field = item->port ? "nodePort" : "healthCheckNodePort";
	char port[16];

	snprintf(port, sizeof(port), item->port ? "port %u " : "", item->port);
	if (!ports->range.first)
		return err_set(err, -ENOSPC, "%sgets no %s: there is no range to give it from",
			       port, field);
	return err_set(err, -ENOSPC,
		       "%sgets no %s: all of %u-%u are taken; make --service-node-port-range "
		       "larger",
		       port, field, ports->range.first, ports->range.last);
}

static int give(struct nodeports *ports, const struct nodeports_held *asked, const char *key,
		struct nodeport *item, struct err *err)
{
	uint64_t start = util_hash(UTIL_HASH_SEED, key, strlen(key));

	start = util_hash(start, &item->port, sizeof(item->port));
	item->number = of_same_port(ports, asked, item);
	if (!item->number)
		item->number = search(ports, start, protos_of(asked, item));
	if (!item->number) /* its fellows may hold what there is: then one for it alone */
		item->number = search(ports, start, 1U << proto_index(item->proto));
	if (!item->number)
		return none_left(ports, item, err);
	hold(ports, item);
	if (item->port)
		log_info("node port given", "service=%s port=%u/%s nodeport=%u", key, item->port,
			 proto_name(item->proto), item->number);
	else
		log_info("health check node port given", "service=%s healthchecknodeport=%u", key,
			 item->number);
	return 0;
}

/* ---- filling in ---- */

static size_t count_given(const struct nodeports_held *held)
{
	size_t n = 0;

	for (size_t i = 0; i < held->n; i++)
		n += held->items[i].number && !held->items[i].own;
	return n;
}

static bool has_given(const struct nodeports_held *held, const struct nodeport *item)
{
	for (size_t i = 0; i < held->n; i++) {
		const struct nodeport *other = &held->items[i];

		if (!other->own && other->port == item->port && other->proto == item->proto &&
		    other->number == item->number && strcmp(other->name, item->name) == 0)
			return true;
	}
	return false;
}

/* Would the file say something else? */
static bool differs(const struct nodeports_held *old, const struct nodeports_held *asked)
{
	if (count_given(old) != count_given(asked))
		return true;
	for (size_t i = 0; i < asked->n; i++)
		if (asked->items[i].number && !asked->items[i].own &&
		    !has_given(old, &asked->items[i]))
			return true;
	return false;
}

/* In the order of list_asked(). */
static void put_in(struct service *svc, const struct nodeports_held *asked)
{
	size_t at = 0;

	for (size_t i = 0; i < svc->n_ports; i++)
		if (svc->ports[i].node_port || lacks_number(svc, &svc->ports[i]))
			svc->ports[i].node_port = asked->items[at++].number;
	if (at < asked->n)
		svc->health_check_node_port = asked->items[at].number;
}

int nodeports_fill(struct nodeports *ports, struct nodeports_held *held, const char *key,
		   struct service *svc, bool *ret_changed, struct err *err)
{
	struct nodeports_held asked = {0};
	int rc = 0;

	*ret_changed = false;
	if (list_asked(svc, false, &asked) < 0) {
		held_done(&asked);
		return err_set(err, -ENOMEM, "no memory");
	}
	release_all(ports, held); /* no longer held, but known: for keep() */
	for (size_t i = 0; i < asked.n; i++)
		hold(ports, &asked.items[i]); /* N2: those that are named */
	for (int by_name = 1; by_name >= 0; by_name--)
		for (size_t i = 0; i < asked.n; i++)
			keep(ports, held, &asked, &asked.items[i], by_name);
	for (size_t i = 0; i < asked.n; i++)
		if (!asked.items[i].number &&
		    give(ports, &asked, key, &asked.items[i], rc ? NULL : err) < 0)
			rc = -ENOSPC;
	*ret_changed = differs(held, &asked);
	put_in(svc, &asked);
	held_done(held);
	*held = asked;
	return rc;
}

/* ---- the file ---- */

static void write_item(const struct nodeport *item, bool first, FILE *out)
{
	cJSON *name = cJSON_CreateString(item->name);
	char *quoted = name ? cJSON_PrintUnformatted(name) : NULL;

	if (quoted)
		fprintf(out,
			"%s{\"name\": %s, \"port\": %u, \"protocol\": \"%s\", \"node_port\": %u}",
			first ? "" : ", ", quoted, item->port, proto_name(item->proto),
			item->number);
	cJSON_free(quoted);
	cJSON_Delete(name);
}

void nodeports_write(const struct nodeports_held *held, FILE *out)
{
	size_t n = 0;

	for (size_t i = 0; i < held->n; i++) {
		const struct nodeport *item = &held->items[i];

		if (item->own || !item->number || !item->port)
			continue;
		fputs(n ? "" : ", \"node_ports\": [", out);
		write_item(item, n++ == 0, out);
	}
	fputs(n ? "]" : "", out);
	for (size_t i = 0; i < held->n; i++)
		if (!held->items[i].own && held->items[i].number && !held->items[i].port)
			fprintf(out, ", \"health_check_node_port\": %u", held->items[i].number);
}

static uint16_t load_number(const cJSON *number)
{
	if (!cJSON_IsNumber(number) || number->valuedouble < 1 ||
	    number->valuedouble > UINT16_MAX || number->valuedouble != (int)number->valuedouble)
		return 0;
	return (uint16_t)number->valuedouble;
}

static void load_item(struct nodeports *ports, struct nodeports_held *held,
		      const struct nodeport *item)
{
	if (item->number && is_free(ports, 1U << proto_index(item->proto), item->number) &&
	    add(held, item) == 0)
		hold(ports, item);
}

void nodeports_load(struct nodeports *ports, struct nodeports_held *held, const cJSON *entry)
{
	const cJSON *list = cJSON_GetObjectItemCaseSensitive(entry, "node_ports");
	const cJSON *health = cJSON_GetObjectItemCaseSensitive(entry, "health_check_node_port");
	struct nodeport item = {.name = (char *)"", .proto = IPPROTO_TCP};

	item.number = load_number(health);
	load_item(ports, held, &item);
	for (const cJSON *node = cJSON_IsArray(list) ? list->child : NULL;
	     node && held->n <= OBJ_PORTS_MAX; node = node->next) {
		const cJSON *name = cJSON_GetObjectItemCaseSensitive(node, "name");
		const cJSON *proto = cJSON_GetObjectItemCaseSensitive(node, "protocol");

		item.name = cJSON_GetStringValue(name);
		item.proto = cJSON_IsString(proto) ? proto_parse(proto->valuestring) : 0;
		item.port = load_number(cJSON_GetObjectItemCaseSensitive(node, "port"));
		item.number = load_number(cJSON_GetObjectItemCaseSensitive(node, "node_port"));
		if (item.name && item.proto && item.port)
			load_item(ports, held, &item);
	}
}
