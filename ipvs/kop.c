/* SPDX-License-Identifier: Apache-2.0 */
/* Operations and elements as values: made, printed, compared. Pure part of kernel.h. */
#include <arpa/inet.h>
#include <string.h>
#include <linux/ip_vs.h>

#include "kernel.h"

const char *const kset_names[KSET_COUNT] = {
	[KSET_VIPS] = "vips",
	[KSET_SERVICES] = "services",
	[KSET_REFUSED] = "refused",
	[KSET_DROPPED] = "dropped",
	[KSET_INNER] = "inner",
	[KSET_HAIRPIN] = "hairpin",
	[KSET_NODE_ADDRS] = "node_addrs",
	[KSET_ENTRANCES] = "entrances",
	[KSET_ENTRANCES_CLUSTER] = "entrances_cluster",
	[KSET_MASQ] = "masq",
	[KSET_RESTRICTED] = "restricted",
	[KSET_ALLOWED_TCP] = "allowed_tcp",
	[KSET_ALLOWED_UDP] = "allowed_udp",
	[KSET_ALLOWED_SCTP] = "allowed_sctp",
	[KSET_NODEPORTS] = "nodeports",
	[KSET_NODEPORTS_CLUSTER] = "nodeports_cluster",
	[KSET_NODEPORTS_MASQ] = "nodeports_masq",
	[KSET_DIRECT] = "direct",
	[KSET_NODEPORTS_LOCAL] = "nodeports_local",
};

/* The parts of each set's key, in their order, and of its value. */
enum { HAS_ADDR = 1, HAS_TWICE = 2, HAS_PROTO = 4, HAS_PORT = 8, HAS_SOURCE = 16, HAS_TARGET = 32 };
static const uint8_t kset_parts[KSET_COUNT] = {
	[KSET_VIPS] = HAS_ADDR,
	[KSET_SERVICES] = HAS_ADDR | HAS_PROTO | HAS_PORT,
	[KSET_REFUSED] = HAS_ADDR | HAS_PROTO | HAS_PORT,
	[KSET_DROPPED] = HAS_ADDR | HAS_PROTO | HAS_PORT,
	[KSET_INNER] = HAS_ADDR | HAS_PROTO | HAS_PORT,
	[KSET_HAIRPIN] = HAS_ADDR | HAS_TWICE,
	[KSET_NODE_ADDRS] = HAS_ADDR,
	[KSET_ENTRANCES] = HAS_ADDR | HAS_PROTO | HAS_PORT | HAS_TARGET,
	[KSET_ENTRANCES_CLUSTER] = HAS_ADDR | HAS_PROTO | HAS_PORT | HAS_TARGET,
	[KSET_MASQ] = HAS_ADDR | HAS_PROTO | HAS_PORT,
	[KSET_RESTRICTED] = HAS_ADDR | HAS_PROTO | HAS_PORT,
	[KSET_ALLOWED_TCP] = HAS_ADDR | HAS_PORT | HAS_SOURCE,
	[KSET_ALLOWED_UDP] = HAS_ADDR | HAS_PORT | HAS_SOURCE,
	[KSET_ALLOWED_SCTP] = HAS_ADDR | HAS_PORT | HAS_SOURCE,
	[KSET_NODEPORTS] = HAS_PROTO | HAS_PORT | HAS_TARGET,
	[KSET_NODEPORTS_CLUSTER] = HAS_PROTO | HAS_PORT | HAS_TARGET,
	[KSET_NODEPORTS_MASQ] = HAS_PROTO | HAS_PORT,
	[KSET_DIRECT] = HAS_ADDR | HAS_PROTO | HAS_PORT,
	[KSET_NODEPORTS_LOCAL] = HAS_PROTO | HAS_PORT,
};

static size_t family_len(uint8_t family)
{
	return family == AF_INET ? 4 : 16;
}

size_t kset_key_len(enum kset set, uint8_t family)
{
	uint8_t parts = kset_parts[set];
	size_t len = family_len(family);

	return (parts & HAS_ADDR ? len : 0) + (parts & HAS_TWICE ? len : 0) +
	       (parts & HAS_PROTO ? 4 : 0) + (parts & HAS_PORT ? 4 : 0) +
	       (parts & HAS_SOURCE ? len : 0);
}

bool kset_is_map(enum kset set)
{
	return kset_parts[set] & HAS_TARGET;
}

static const struct {
	enum kset set;
	uint8_t proto;
} allowed_sets[] = {
	{KSET_ALLOWED_TCP, IPPROTO_TCP},
	{KSET_ALLOWED_UDP, IPPROTO_UDP},
	{KSET_ALLOWED_SCTP, IPPROTO_SCTP},
};

enum kset kset_allowed(uint8_t proto)
{
	for (size_t i = 0; i < ARRAY_SIZE(allowed_sets); i++)
		if (allowed_sets[i].proto == proto)
			return allowed_sets[i].set;
	return KSET_COUNT;
}

static uint8_t allowed_proto(enum kset set)
{
	for (size_t i = 0; i < ARRAY_SIZE(allowed_sets); i++)
		if (allowed_sets[i].set == set)
			return allowed_sets[i].proto;
	return 0;
}

bool kset_is_allowed(enum kset set)
{
	return allowed_proto(set) != 0;
}

bool kelem_parse(const struct kelem *elem, struct kelem_parts *ret_parts)
{
	size_t len = family_len(elem->family), at = 0;
	uint8_t parts;

	memset(ret_parts, 0, sizeof(*ret_parts));
	if (elem->set >= KSET_COUNT || elem->len != kset_key_len(elem->set, elem->family))
		return false;
	parts = kset_parts[elem->set];
	ret_parts->proto = allowed_proto(elem->set);
	if (parts & HAS_ADDR) {
		ret_parts->addr = addr_make(elem->family, elem->key);
		at += len;
	}
	if (parts & HAS_PROTO) {
		ret_parts->proto = elem->key[at];
		at += 4;
	}
	if (parts & HAS_PORT) {
		ret_parts->port = (uint16_t)(elem->key[at] << 8 | elem->key[at + 1]);
		at += 4;
	}
	if (parts & HAS_SOURCE) {
		ret_parts->source.addr = addr_make(elem->family, elem->key + at);
		ret_parts->source.len = elem->prefix;
	}
	if (elem->data_len == len + 4) {
		ret_parts->target = addr_make(elem->family, elem->data);
		ret_parts->target_port = (uint16_t)(elem->data[len] << 8 | elem->data[len + 1]);
	}
	return true;
}

static size_t put_port(uint8_t *at, uint16_t port)
{
	uint16_t port_be = htons(port);

	memcpy(at, &port_be, sizeof(port_be));
	return 4;
}

static size_t put_addr(uint8_t *at, uint8_t family, const struct ip_addr *addr)
{
	memcpy(at, addr->bytes, family_len(family));
	return family_len(family);
}

struct kelem kelem_make(enum kset set, uint8_t family, const struct kelem_parts *parts)
{
	uint8_t has = kset_parts[set];
	struct kelem elem;
	size_t at = 0;

	memset(&elem, 0, sizeof(elem));
	elem.family = family;
	elem.set = (uint8_t)set;
	if (has & HAS_ADDR)
		at += put_addr(elem.key, family, &parts->addr);
	if (has & HAS_TWICE)
		at += put_addr(elem.key + at, family, &parts->addr);
	if (has & HAS_PROTO) {
		elem.key[at] = parts->proto;
		at += 4;
	}
	if (has & HAS_PORT)
		at += put_port(elem.key + at, parts->port);
	if (has & HAS_SOURCE) {
		at += put_addr(elem.key + at, family, &parts->source.addr);
		elem.prefix = parts->source.len;
	}
	elem.len = (uint8_t)at;
	if ((has & HAS_TARGET) && addr_is_set(&parts->target)) {
		at = put_addr(elem.data, family, &parts->target);
		elem.data_len = (uint8_t)(at + put_port(elem.data + at, parts->target_port));
	}
	return elem;
}

struct kelem kelem_vip(const struct ip_addr *vip)
{
	return kelem_make(KSET_VIPS, vip->family, &(struct kelem_parts){.addr = *vip});
}

struct kelem kelem_service(enum kset set, const struct ip_addr *vip, uint8_t proto, uint16_t port)
{
	return kelem_make(set, vip->family,
			  &(struct kelem_parts){.addr = *vip, .proto = proto, .port = port});
}

struct kelem kelem_hairpin(const struct ip_addr *endpoint)
{
	return kelem_make(KSET_HAIRPIN, endpoint->family, &(struct kelem_parts){.addr = *endpoint});
}

bool kforward_equal(const struct kforward *a, const struct kforward *b)
{
	return a->fwd == b->fwd && a->tun_type == b->tun_type && a->tun_port == b->tun_port &&
	       a->u_thresh == b->u_thresh && a->l_thresh == b->l_thresh;
}

static void print_forward(const struct kforward *forward, FILE *out)
{
	static const char *const tunnels[] = {"ipip", "gue", "gre"};

	if (forward->fwd == IP_VS_CONN_F_DROUTE)
		fputs(" direct", out);
	if (forward->fwd == IP_VS_CONN_F_TUNNEL)
		fprintf(out, " tunnel=%s",
			forward->tun_type < ARRAY_SIZE(tunnels) ? tunnels[forward->tun_type] : "?");
	if (forward->tun_port)
		fprintf(out, ":%u", forward->tun_port);
	if (forward->u_thresh || forward->l_thresh)
		fprintf(out, " connections=%u..%u", forward->l_thresh, forward->u_thresh);
}

static void print_key(const struct ipvs_key *key, FILE *out)
{
	char text[ADDR_PORT_TEXT_MAX];

	if (key->fwmark)
		fprintf(out, "fwmark %u", key->fwmark);
	else
		fprintf(out, "%s/%s", addr_port_format(&key->addr, key->port, text),
			proto_name((uint8_t)key->proto));
}

static void print_elem(const struct kelem *elem, bool del, FILE *out)
{
	char text[ADDR_PORT_TEXT_MAX], net[PREFIX_TEXT_MAX];
	struct kelem_parts parts;

	fprintf(out, "elem %s", elem->set < KSET_COUNT ? kset_names[elem->set] : "?");
	if (!kelem_parse(elem, &parts))
		return;
	if (addr_is_set(&parts.addr))
		fprintf(out, " %s", addr_format(&parts.addr, text));
	else
		fprintf(out, " %s", elem->family == AF_INET ? "ip" : "ip6");
	if (parts.proto)
		fprintf(out, " %s %u", proto_name(parts.proto), parts.port);
	if (addr_is_set(&parts.source.addr))
		fprintf(out, " from %s", prefix_format(&parts.source, net));
	if (addr_is_set(&parts.target) && !del)
		fprintf(out, " to %s", addr_port_format(&parts.target, parts.target_port, text));
}

void kop_print(const struct kop *op, FILE *out)
{
	static const char *const verbs[] = {"add", "set", "del"};
	char text[ADDR_PORT_TEXT_MAX], src[ADDR_TEXT_MAX];
	bool del = op->verb == KV_DEL;

	fprintf(out, "%s ", verbs[op->verb]);
	switch ((enum ktable)op->table) {
	case KT_SERVICE:
		fputs("service ", out);
		print_key(&op->service.key, out);
		if (!del)
			fprintf(out, " %s flags=0x%x timeout=%u", op->service.sched,
				op->service.flags, op->service.timeout_sec);
		break;
	case KT_DEST:
		fputs("dest ", out);
		print_key(&op->rs.key, out);
		fprintf(out, " %s", addr_port_format(&op->rs.dest.addr, op->rs.dest.port, text));
		if (!del) {
			fprintf(out, " weight=%u", op->rs.dest.weight);
			print_forward(&op->rs.dest.forward, out);
		}
		break;
	case KT_BINDING:
		fprintf(out, "binding %s", addr_format(&op->binding.vip, text));
		if (!del)
			fprintf(out, " src=%s", addr_format(&op->binding.src, src));
		break;
	case KT_FLOW:
		fprintf(out, "flow %s",
			addr_port_format(&op->flow.orig_src, op->flow.orig_sport, text));
		fprintf(out, " to %s/%s",
			addr_port_format(&op->flow.orig_dst, op->flow.orig_dport, text),
			proto_name(op->flow.proto));
		break;
	case KT_ELEM:
		print_elem(&op->elem, del, out);
		break;
	}
}

int kop_cmp(const struct kop *a, const struct kop *b)
{
	cleanup_free char *x = NULL, *y = NULL;
	size_t len;
	FILE *out = open_memstream(&x, &len);

	if (!out)
		return 0;
	kop_print(a, out);
	fclose(out);
	out = open_memstream(&y, &len);
	if (!out)
		return 0;
	kop_print(b, out);
	fclose(out);
	return x && y ? strcmp(x, y) : 0;
}
