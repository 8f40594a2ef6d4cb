/* SPDX-License-Identifier: Apache-2.0 */
/* Operations and elements as values: made, printed, compared. Pure part of kernel.h. */
#include <arpa/inet.h>
#include <string.h>

#include "kernel.h"

const char *const kset_names[KSET_COUNT] = {"vips", "services", "refused", "hairpin"};

static struct kelem kelem_make(enum kset set, const struct ip_addr *addr)
{
	struct kelem elem;

	memset(&elem, 0, sizeof(elem));
	elem.family = addr->family;
	elem.set = (uint8_t)set;
	elem.len = (uint8_t)addr_len(addr);
	memcpy(elem.key, addr->bytes, elem.len);
	return elem;
}

struct kelem kelem_vip(const struct ip_addr *vip)
{
	return kelem_make(KSET_VIPS, vip);
}

struct kelem kelem_service(enum kset set, const struct ip_addr *vip, uint8_t proto, uint16_t port)
{
	struct kelem elem = kelem_make(set, vip);
	uint16_t port_be = htons(port);

	elem.key[elem.len] = proto;
	memcpy(elem.key + elem.len + 4, &port_be, sizeof(port_be));
	elem.len += 8;
	return elem;
}

struct kelem kelem_hairpin(const struct ip_addr *endpoint)
{
	struct kelem elem = kelem_make(KSET_HAIRPIN, endpoint);

	memcpy(elem.key + elem.len, endpoint->bytes, elem.len);
	elem.len = (uint8_t)(2 * elem.len);
	return elem;
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

static void print_elem(const struct kelem *elem, FILE *out)
{
	size_t len = elem->family == AF_INET ? 4 : 16;
	struct ip_addr addr = addr_make(elem->family, elem->key);
	char text[ADDR_TEXT_MAX];

	fprintf(out, "elem %s %s", elem->set < KSET_COUNT ? kset_names[elem->set] : "?",
		addr_format(&addr, text));
	if (elem->set == KSET_SERVICES || elem->set == KSET_REFUSED)
		fprintf(out, " %s %u", proto_name(elem->key[len]),
			(unsigned)elem->key[len + 4] << 8 | elem->key[len + 5]);
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
		if (!del)
			fprintf(out, " weight=%u", op->rs.dest.weight);
		break;
	case KT_BINDING:
		fprintf(out, "binding %s", addr_format(&op->binding.vip, text));
		if (!del)
			fprintf(out, " src=%s", addr_format(&op->binding.src, src));
		break;
	case KT_ELEM:
		print_elem(&op->elem, out);
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
