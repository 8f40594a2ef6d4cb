/* SPDX-License-Identifier: Apache-2.0 */
/* See picture.h. */
#include <errno.h>
#include <string.h>

#include "picture.h"

static void service_free(struct pic_service *svc)
{
	pool_unref(svc->pool);
	free(svc->dests);
	free(svc);
}

void picture_done(struct picture *pic)
{
	struct pic_service *svc, *next_svc;
	struct pic_binding *binding, *next_binding;
	struct pic_entrance *entrance, *next_entrance;
	struct pic_addr *addr, *next_addr;
	struct pic_ramp *ramp, *next_ramp;

	HASH_ITER (hh, pic->ramps, ramp, next_ramp)
		picture_ramp_drop(pic, ramp);
	HASH_ITER (hh, pic->services, svc, next_svc) {
		HASH_DEL(pic->services, svc);
		service_free(svc);
	}
	HASH_ITER (hh, pic->entrances, entrance, next_entrance) {
		HASH_DEL(pic->entrances, entrance);
		free(entrance->allowed);
		free(entrance);
	}
	HASH_ITER (hh, pic->bindings, binding, next_binding) {
		HASH_DEL(pic->bindings, binding);
		free(binding);
	}
	HASH_ITER (hh, pic->addrs, addr, next_addr) {
		HASH_DEL(pic->addrs, addr);
		free(addr);
	}
	*pic = (struct picture){0};
}

struct pic_binding *picture_binding(const struct picture *pic, const struct ip_addr *vip)
{
	struct pic_binding *binding;

	HASH_FIND(hh, pic->bindings, vip, sizeof(*vip), binding);
	return binding;
}

struct pic_binding *picture_binding_get(struct picture *pic, const struct ip_addr *vip)
{
	struct pic_binding *binding = picture_binding(pic, vip);

	if (binding)
		return binding;
	binding = calloc(1, sizeof(*binding));
	if (!binding)
		return NULL;
	binding->vip = *vip;
	HASH_ADD(hh, pic->bindings, vip, sizeof(binding->vip), binding);
	return binding;
}

void picture_binding_mark(struct picture *pic, struct pic_binding *binding)
{
	if (binding->dirty)
		return;
	binding->dirty = true;
	binding->next_dirty = pic->dirty_bindings;
	pic->dirty_bindings = binding;
}

struct pic_service *picture_service(const struct picture *pic, const struct fe_key *key)
{
	struct pic_service *svc;

	HASH_FIND(hh, pic->services, key, sizeof(*key), svc);
	return svc;
}

struct pic_service *picture_service_get(struct picture *pic, const struct fe_key *key)
{
	struct pic_service *svc = picture_service(pic, key);
	struct pic_binding *binding;

	if (svc)
		return svc;
	binding = picture_binding_get(pic, &key->vip);
	svc = binding ? calloc(1, sizeof(*svc)) : NULL;
	if (!svc)
		return NULL;
	svc->key = *key;
	svc->seen = SEEN_ENTITY;
	binding->refs++;
	HASH_ADD(hh, pic->services, key, sizeof(svc->key), svc);
	return svc;
}

void picture_set_foreign(struct picture *pic, struct pic_service *svc, bool foreign)
{
	struct pic_binding *binding = picture_binding(pic, &svc->key.vip);

	if (svc->foreign == foreign)
		return;
	svc->foreign = foreign;
	binding->refs += foreign ? (size_t)-1 : 1;
	picture_binding_mark(pic, binding);
}

static void binding_drop_if_bare(struct picture *pic, struct pic_binding *binding)
{
	if (!binding || binding->refs || binding->bound || binding->elem_vip || binding->dirty ||
	    binding->node_own)
		return;
	HASH_DEL(pic->bindings, binding);
	free(binding);
}

void picture_service_drop(struct picture *pic, struct pic_service *svc)
{
	struct pic_binding *binding = picture_binding(pic, &svc->key.vip);

	picture_dests_clear(pic, svc);
	if (binding && !svc->foreign)
		binding->refs--;
	HASH_DEL(pic->services, svc);
	service_free(svc);
	binding_drop_if_bare(pic, binding);
}

/* ---- entrances ---- */

struct pic_entrance *picture_entrance(const struct picture *pic, const struct fe_key *key)
{
	struct pic_entrance *entrance;

	HASH_FIND(hh, pic->entrances, key, sizeof(*key), entrance);
	return entrance;
}

struct pic_entrance *picture_entrance_get(struct picture *pic, const struct fe_key *key)
{
	struct pic_entrance *entrance = picture_entrance(pic, key);
	struct pic_binding *binding = NULL;

	if (entrance)
		return entrance;
	if (key->scope == SCOPE_VIP && !(binding = picture_binding_get(pic, &key->vip)))
		return NULL;
	entrance = calloc(1, sizeof(*entrance));
	if (!entrance)
		return NULL;
	entrance->key = *key;
	if (binding)
		binding->refs++;
	HASH_ADD(hh, pic->entrances, key, sizeof(entrance->key), entrance);
	return entrance;
}

void picture_entrance_drop(struct picture *pic, struct pic_entrance *entrance)
{
	struct pic_binding *binding = NULL;

	if (entrance->key.scope == SCOPE_VIP)
		binding = picture_binding(pic, &entrance->key.vip);
	if (binding)
		binding->refs--;
	HASH_DEL(pic->entrances, entrance);
	free(entrance->allowed);
	free(entrance);
	binding_drop_if_bare(pic, binding);
}

static int net_order(const struct ip_prefix *a, const struct ip_prefix *b)
{
	int order = addr_cmp(&a->addr, &b->addr);

	return order ? order : (a->len > b->len) - (a->len < b->len);
}

/* Index of the first that is not before `net`. */
static size_t allowed_place(const struct pic_entrance *entrance, const struct ip_prefix *net)
{
	size_t low = 0, high = entrance->n_allowed;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (net_order(&entrance->allowed[mid].net, net) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct pic_allowed *picture_allowed(const struct pic_entrance *entrance,
				    const struct ip_prefix *net)
{
	size_t at = allowed_place(entrance, net);

	if (at < entrance->n_allowed && net_order(&entrance->allowed[at].net, net) == 0)
		return &entrance->allowed[at];
	return NULL;
}

struct pic_allowed *picture_allowed_get(struct pic_entrance *entrance, const struct ip_prefix *net)
{
	struct pic_allowed *allowed = picture_allowed(entrance, net);
	size_t at = allowed_place(entrance, net);

	if (allowed)
		return allowed;
	if (util_grow((void **)&entrance->allowed, &entrance->cap_allowed, entrance->n_allowed + 1,
		      sizeof(*entrance->allowed)) < 0)
		return NULL;
	memmove(entrance->allowed + at + 1, entrance->allowed + at,
		(entrance->n_allowed - at) * sizeof(*entrance->allowed));
	entrance->n_allowed++;
	entrance->allowed[at] = (struct pic_allowed){.net = *net};
	return &entrance->allowed[at];
}

void picture_allowed_drop(struct pic_entrance *entrance, struct pic_allowed *allowed)
{
	size_t at = (size_t)(allowed - entrance->allowed);

	entrance->n_allowed--;
	memmove(allowed, allowed + 1, (entrance->n_allowed - at) * sizeof(*allowed));
}

/* ---- sets and the elements of entities ---- */

static const enum kset service_sets[] = {KSET_SERVICES, KSET_REFUSED, KSET_DROPPED, KSET_INNER,
					 KSET_DIRECT};
static const enum kset entrance_sets[][5] = {
	[SCOPE_VIP] = {KSET_ENTRANCES, KSET_ENTRANCES_CLUSTER, KSET_MASQ, KSET_RESTRICTED,
		       KSET_COUNT},
	[SCOPE_NODEPORT] = {KSET_NODEPORTS, KSET_NODEPORTS_CLUSTER, KSET_NODEPORTS_MASQ, KSET_COUNT,
			    KSET_NODEPORTS_LOCAL},
};

static uint8_t bit_in(const enum kset *sets, size_t n, enum kset set)
{
	for (size_t i = 0; i < n; i++)
		if (sets[i] == set)
			return (uint8_t)(1U << i);
	return 0;
}

uint8_t picture_service_bit(enum kset set)
{
	return bit_in(service_sets, ARRAY_SIZE(service_sets), set);
}

uint8_t picture_entrance_bit(enum kset set)
{
	uint8_t bit = bit_in(entrance_sets[SCOPE_VIP], ARRAY_SIZE(entrance_sets[0]), set);

	return bit ? bit : bit_in(entrance_sets[SCOPE_NODEPORT], ARRAY_SIZE(entrance_sets[0]), set);
}

static size_t bit_index(uint8_t bit)
{
	size_t i = 0;

	while (bit > 1U << i)
		i++;
	return i;
}

enum kset picture_service_set(uint8_t bit)
{
	return service_sets[bit_index(bit)];
}

enum kset picture_entrance_set(uint8_t bit, uint8_t scope)
{
	return entrance_sets[scope][bit_index(bit)];
}

struct fe_key picture_elem_key(const struct kelem *elem, const struct kelem_parts *parts)
{
	if (!addr_is_set(&parts->addr))
		return fe_key_node_port(elem->family, parts->port, parts->proto);
	return fe_key_make(&parts->addr, parts->port, parts->proto);
}

static int dest_order(const struct pic_dest *dest, const struct ip_addr *addr, uint16_t port)
{
	int order = addr_cmp(&dest->addr, addr);

	return order ? order : (dest->port > port) - (dest->port < port);
}

/* Index of the first destination that is not before (addr, port). */
static size_t dest_place(const struct pic_service *svc, const struct ip_addr *addr, uint16_t port)
{
	size_t low = 0, high = svc->n;

	while (low < high) {
		size_t mid = low + (high - low) / 2;

		if (dest_order(&svc->dests[mid], addr, port) < 0)
			low = mid + 1;
		else
			high = mid;
	}
	return low;
}

struct pic_dest *picture_dest(const struct pic_service *svc, const struct ip_addr *addr,
			      uint16_t port)
{
	size_t at = dest_place(svc, addr, port);

	if (at < svc->n && dest_order(&svc->dests[at], addr, port) == 0)
		return &svc->dests[at];
	return NULL;
}

struct pic_dest *picture_dest_add(struct pic_service *svc, const struct ip_addr *addr,
				  uint16_t port)
{
	size_t at = dest_place(svc, addr, port);

	if (util_grow((void **)&svc->dests, &svc->cap, svc->n + 1, sizeof(*svc->dests)) < 0)
		return NULL;
	memmove(svc->dests + at + 1, svc->dests + at, (svc->n - at) * sizeof(*svc->dests));
	svc->n++;
	svc->dests[at] = (struct pic_dest){.addr = *addr, .port = port};
	return &svc->dests[at];
}

static void set_alike(struct pic_service *svc, struct pic_dest *dest, bool alike)
{
	svc->n_alike += (size_t)alike - (size_t)dest->alike;
	dest->alike = alike;
}

void picture_dest_forward(struct pic_service *svc, struct pic_dest *dest,
			  const struct kforward *forward)
{
	if (svc->n_alike == (dest->alike ? 1 : 0)) /* it is the only one */
		svc->forward = *forward;
	set_alike(svc, dest, kforward_equal(&svc->forward, forward));
}

void picture_dest_drain(struct picture *pic, struct pic_dest *dest, uint64_t deadline_ms)
{
	pic->drains += (deadline_ms != 0) - (dest->deadline_ms != 0);
	if (!dest->deadline_ms || !deadline_ms)
		dest->idle = false;
	dest->deadline_ms = deadline_ms;
}

void picture_dest_drop(struct picture *pic, struct pic_service *svc, struct pic_dest *dest)
{
	size_t at = (size_t)(dest - svc->dests);

	picture_dest_drain(pic, dest, 0);
	set_alike(svc, dest, false);
	svc->n--;
	memmove(dest, dest + 1, (svc->n - at) * sizeof(*dest));
}

void picture_dests_clear(struct picture *pic, struct pic_service *svc)
{
	for (size_t i = 0; i < svc->n; i++)
		picture_dest_drain(pic, &svc->dests[i], 0);
	free(svc->dests);
	svc->dests = NULL;
	svc->n = svc->cap = svc->n_alike = 0;
}

/* ---- addresses in sets ---- */

static struct pic_addr_key addr_key(enum kset set, const struct ip_addr *addr)
{
	struct pic_addr_key key;

	memset(&key, 0, sizeof(key));
	key.addr = *addr;
	key.set = (uint8_t)set;
	return key;
}

struct pic_addr *picture_addr(const struct picture *pic, enum kset set, const struct ip_addr *addr)
{
	struct pic_addr_key key = addr_key(set, addr);
	struct pic_addr *entry;

	HASH_FIND(hh, pic->addrs, &key, sizeof(key), entry);
	return entry;
}

struct pic_addr *picture_addr_get(struct picture *pic, enum kset set, const struct ip_addr *addr)
{
	struct pic_addr *entry = picture_addr(pic, set, addr);

	if (entry)
		return entry;
	entry = calloc(1, sizeof(*entry));
	if (!entry)
		return NULL;
	entry->key = addr_key(set, addr);
	HASH_ADD(hh, pic->addrs, key, sizeof(entry->key), entry);
	return entry;
}

void picture_addr_mark(struct picture *pic, struct pic_addr *addr)
{
	if (addr->dirty)
		return;
	addr->dirty = true;
	addr->next_dirty = pic->dirty_addrs;
	pic->dirty_addrs = addr;
}

int picture_count_pool(struct picture *pic, struct pic_service *svc, struct pool *pool)
{
	if (svc->pool == pool)
		return 0;
	for (size_t i = 0; pool && i < pool->n; i++) {
		struct pic_addr *hairpin;

		if (!pool->ep[i].local)
			continue;
		hairpin = picture_addr_get(pic, KSET_HAIRPIN, &pool->ep[i].addr);
		if (!hairpin)
			return -ENOMEM;
		if (++hairpin->refs == 1 && !hairpin->there)
			picture_addr_mark(pic, hairpin);
	}
	for (size_t i = 0; svc->pool && i < svc->pool->n; i++) {
		struct pic_addr *hairpin;

		if (!svc->pool->ep[i].local)
			continue;
		hairpin = picture_addr(pic, KSET_HAIRPIN, &svc->pool->ep[i].addr);
		if (hairpin && --hairpin->refs == 0)
			picture_addr_mark(pic, hairpin);
	}
	pool_unref(svc->pool);
	svc->pool = pool ? pool_ref(pool) : NULL;
	return 0;
}

/* ---- slow starts ---- */

static struct pic_ramp_key ramp_key(const struct fe_key *server, const struct ip_addr *addr,
				    uint16_t port)
{
	struct pic_ramp_key key;

	memset(&key, 0, sizeof(key));
	key.server = *server;
	key.addr = *addr;
	key.port = port;
	return key;
}

struct pic_ramp *picture_ramp(const struct picture *pic, const struct fe_key *server,
			      const struct ip_addr *addr, uint16_t port)
{
	struct pic_ramp_key key = ramp_key(server, addr, port);
	struct pic_ramp *ramp;

	HASH_FIND(hh, pic->ramps, &key, sizeof(key), ramp);
	return ramp;
}

int picture_ramp_begin(struct picture *pic, const struct fe_key *server, const struct ip_addr *addr,
		       uint16_t port, uint64_t start_ms, uint64_t end_ms)
{
	struct pic_ramp *ramp = calloc(1, sizeof(*ramp));

	if (!ramp)
		return -ENOMEM;
	ramp->key = ramp_key(server, addr, port);
	ramp->start_ms = start_ms;
	ramp->end_ms = end_ms;
	HASH_ADD(hh, pic->ramps, key, sizeof(ramp->key), ramp);
	return 0;
}

void picture_ramp_drop(struct picture *pic, struct pic_ramp *ramp)
{
	HASH_DEL(pic->ramps, ramp);
	free(ramp);
}

struct ipvs_key picture_ipvs_key(const struct fe_key *key)
{
	return ipvs_key_make(&key->vip, key->port, key->proto);
}

bool picture_fe_key(const struct ipvs_key *key, struct fe_key *ret_key)
{
	if (key->fwmark || !key->port ||
	    (key->proto != IPPROTO_TCP && key->proto != IPPROTO_UDP && key->proto != IPPROTO_SCTP))
		return false;
	*ret_key = fe_key_make(&key->addr, key->port, (uint8_t)key->proto);
	return true;
}

static int service_cmp(struct pic_service *a, struct pic_service *b)
{
	return fe_key_cmp(&a->key, &b->key);
}

static int binding_cmp(struct pic_binding *a, struct pic_binding *b)
{
	return addr_cmp(&a->vip, &b->vip);
}

static int addr_entry_cmp(struct pic_addr *a, struct pic_addr *b)
{
	return a->key.set != b->key.set ? (int)a->key.set - (int)b->key.set
					: addr_cmp(&a->key.addr, &b->key.addr);
}

static int entrance_cmp(struct pic_entrance *a, struct pic_entrance *b)
{
	return fe_key_cmp(&a->key, &b->key);
}

static void print_service(const struct pic_service *svc, FILE *out)
{
	char key[FE_KEY_TEXT_MAX], ep[ADDR_PORT_TEXT_MAX];

	fe_key_format(&svc->key, key);
	if (svc->present) {
		fprintf(out, "service %s %s flags=0x%x timeout=%u%s\n", key, svc->sched, svc->flags,
			svc->timeout_sec, svc->foreign ? " foreign" : "");
		for (size_t i = 0; i < svc->n; i++)
			fprintf(out, "  dest %s weight=%u%s\n",
				addr_port_format(&svc->dests[i].addr, svc->dests[i].port, ep),
				svc->dests[i].weight, svc->dests[i].deadline_ms ? " drain" : "");
	}
	for (uint8_t bit = EL_SERVICE; bit <= EL_DIRECT; bit = (uint8_t)(bit << 1))
		if (svc->elems & bit)
			fprintf(out, "elem %s %s\n", kset_names[picture_service_set(bit)], key);
}

static void print_entrance(const struct pic_entrance *entrance, FILE *out)
{
	char key[FE_KEY_TEXT_MAX], text[ADDR_PORT_TEXT_MAX], net[PREFIX_TEXT_MAX];

	fe_key_format(&entrance->key, key);
	for (uint8_t bit = EL_TO; bit <= EL_LOCAL; bit = (uint8_t)(bit << 1)) {
		const struct pic_target *to = bit == EL_TO ? &entrance->to : &entrance->to_cluster;

		if (!(entrance->elems & bit))
			continue;
		fprintf(out, "elem %s %s",
			kset_names[picture_entrance_set(bit, entrance->key.scope)], key);
		if (bit == EL_TO || bit == EL_CLUSTER)
			fprintf(out, " to %s", addr_port_format(&to->addr, to->port, text));
		fputc('\n', out);
	}
	for (size_t i = 0; i < entrance->n_allowed; i++)
		fprintf(out, "elem allowed %s from %s\n", key,
			prefix_format(&entrance->allowed[i].net, net));
}

int picture_print(struct picture *pic, FILE *out)
{
	struct pic_service *svc, *next_svc;
	struct pic_binding *binding, *next_binding;
	struct pic_entrance *entrance, *next_entrance;
	struct pic_addr *addr, *next_addr;
	char vip[ADDR_TEXT_MAX], src[ADDR_TEXT_MAX];

	HASH_SORT(pic->services, service_cmp);
	HASH_SORT(pic->bindings, binding_cmp);
	HASH_SORT(pic->entrances, entrance_cmp);
	HASH_SORT(pic->addrs, addr_entry_cmp);
	HASH_ITER (hh, pic->services, svc, next_svc)
		print_service(svc, out);
	HASH_ITER (hh, pic->entrances, entrance, next_entrance)
		print_entrance(entrance, out);
	HASH_ITER (hh, pic->bindings, binding, next_binding) {
		addr_format(&binding->vip, vip);
		if (binding->bound)
			fprintf(out, "binding %s src=%s\n", vip, addr_format(&binding->src, src));
		if (binding->elem_vip)
			fprintf(out, "elem vips %s\n", vip);
	}
	HASH_ITER (hh, pic->addrs, addr, next_addr)
		if (addr->there)
			fprintf(out, "elem %s %s\n", kset_names[addr->key.set],
				addr_format(&addr->key.addr, vip));
	return ferror(out) ? -EIO : 0;
}
