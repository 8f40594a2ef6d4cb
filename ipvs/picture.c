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
	struct pic_hairpin *hairpin, *next_hairpin;

	HASH_ITER (hh, pic->services, svc, next_svc) {
		HASH_DEL(pic->services, svc);
		service_free(svc);
	}
	HASH_ITER (hh, pic->bindings, binding, next_binding) {
		HASH_DEL(pic->bindings, binding);
		free(binding);
	}
	HASH_ITER (hh, pic->hairpins, hairpin, next_hairpin) {
		HASH_DEL(pic->hairpins, hairpin);
		free(hairpin);
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

void picture_service_drop(struct picture *pic, struct pic_service *svc)
{
	struct pic_binding *binding = picture_binding(pic, &svc->key.vip);

	picture_dests_clear(pic, svc);
	if (binding && !svc->foreign)
		binding->refs--;
	HASH_DEL(pic->services, svc);
	service_free(svc);
	if (binding && !binding->refs && !binding->bound && !binding->elem_vip && !binding->dirty) {
		HASH_DEL(pic->bindings, binding);
		free(binding);
	}
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
	svc->n--;
	memmove(dest, dest + 1, (svc->n - at) * sizeof(*dest));
}

void picture_dests_clear(struct picture *pic, struct pic_service *svc)
{
	for (size_t i = 0; i < svc->n; i++)
		picture_dest_drain(pic, &svc->dests[i], 0);
	free(svc->dests);
	svc->dests = NULL;
	svc->n = svc->cap = 0;
}

static struct pic_hairpin *hairpin_find(const struct picture *pic, const struct ip_addr *addr)
{
	struct pic_hairpin *hairpin;

	HASH_FIND(hh, pic->hairpins, addr, sizeof(*addr), hairpin);
	return hairpin;
}

struct pic_hairpin *picture_hairpin_get(struct picture *pic, const struct ip_addr *addr)
{
	struct pic_hairpin *hairpin = hairpin_find(pic, addr);

	if (hairpin)
		return hairpin;
	hairpin = calloc(1, sizeof(*hairpin));
	if (!hairpin)
		return NULL;
	hairpin->addr = *addr;
	HASH_ADD(hh, pic->hairpins, addr, sizeof(hairpin->addr), hairpin);
	return hairpin;
}

void picture_hairpin_mark(struct picture *pic, struct pic_hairpin *hairpin)
{
	if (hairpin->dirty)
		return;
	hairpin->dirty = true;
	hairpin->next_dirty = pic->dirty_hairpins;
	pic->dirty_hairpins = hairpin;
}

int picture_count_pool(struct picture *pic, struct pic_service *svc, struct pool *pool)
{
	if (svc->pool == pool)
		return 0;
	for (size_t i = 0; pool && i < pool->n; i++) {
		struct pic_hairpin *hairpin;

		if (!pool->ep[i].local)
			continue;
		hairpin = picture_hairpin_get(pic, &pool->ep[i].addr);
		if (!hairpin)
			return -ENOMEM;
		if (++hairpin->refs == 1 && !hairpin->there)
			picture_hairpin_mark(pic, hairpin);
	}
	for (size_t i = 0; svc->pool && i < svc->pool->n; i++) {
		struct pic_hairpin *hairpin;

		if (!svc->pool->ep[i].local)
			continue;
		hairpin = hairpin_find(pic, &svc->pool->ep[i].addr);
		if (hairpin && --hairpin->refs == 0)
			picture_hairpin_mark(pic, hairpin);
	}
	pool_unref(svc->pool);
	svc->pool = pool ? pool_ref(pool) : NULL;
	return 0;
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

static int hairpin_cmp(struct pic_hairpin *a, struct pic_hairpin *b)
{
	return addr_cmp(&a->addr, &b->addr);
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
	if (svc->elem_service)
		fprintf(out, "elem services %s\n", key);
	if (svc->elem_refused)
		fprintf(out, "elem refused %s\n", key);
}

int picture_print(struct picture *pic, FILE *out)
{
	struct pic_service *svc, *next_svc;
	struct pic_binding *binding, *next_binding;
	struct pic_hairpin *hairpin, *next_hairpin;
	char vip[ADDR_TEXT_MAX], src[ADDR_TEXT_MAX];

	HASH_SORT(pic->services, service_cmp);
	HASH_SORT(pic->bindings, binding_cmp);
	HASH_SORT(pic->hairpins, hairpin_cmp);
	HASH_ITER (hh, pic->services, svc, next_svc)
		print_service(svc, out);
	HASH_ITER (hh, pic->bindings, binding, next_binding) {
		addr_format(&binding->vip, vip);
		if (binding->bound)
			fprintf(out, "binding %s src=%s\n", vip, addr_format(&binding->src, src));
		if (binding->elem_vip)
			fprintf(out, "elem vips %s\n", vip);
	}
	HASH_ITER (hh, pic->hairpins, hairpin, next_hairpin)
		if (hairpin->there)
			fprintf(out, "elem hairpin %s\n", addr_format(&hairpin->addr, vip));
	return ferror(out) ? -EIO : 0;
}
