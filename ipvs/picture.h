/* SPDX-License-Identifier: Apache-2.0 */
/* The backend's picture of the kernel: what it believes stands there, entity by entity.
 *
 * In the flow: read -> PICTURE -> lower; step applies to it what the kernel acknowledged, audits
 * and notifications correct it. Helper elements are flags of the entity they belong to: a virtual
 * server has its element in `services` and perhaps one in `refused`, a binding one in `vips`. */
#ifndef VIPD_IPVS_PICTURE_H
#define VIPD_IPVS_PICTURE_H

#include <stdio.h>
#include <uthash.h>

#include "kernel.h"
#include "model.h"

struct pic_dest {
	struct ip_addr addr;
	uint16_t port; /* host order */
	uint8_t fwd;
	bool idle; /* draining, and seen without a connection since */
	uint32_t weight;
	uint64_t deadline_ms; /* draining until then; 0 = not draining */
};

enum { SEEN_ENTITY = 1, SEEN_ELEM = 2, SEEN_REFUSED = 4 };

struct pic_service {
	struct fe_key key; /* scope VIP, audience all */
	bool present;      /* in the kernel */
	bool foreign;      /* in the kernel and not ours */
	bool owned;        /* the ledger has it: we made it, or were about to */
	bool usurped;      /* somebody made it before we could: never ours while it is there */
	bool elem_service; /* has its element in `services` */
	bool elem_refused; /* has its element in `refused` */
	bool leaving;      /* within a slice: this entry will be gone after it */
	char sched[IPVS_SCHED_MAX];
	uint32_t flags, timeout_sec;
	uint8_t seen; /* SEEN_*: in the present audit, by a dump or because we wrote it */
	size_t n, cap;
	struct pic_dest *dests; /* sorted by address and port */
	struct pool *pool;      /* as last lowered: whose hairpins are counted; NULL = none */
	UT_hash_handle hh;
};

struct pic_binding {
	struct ip_addr vip;
	struct ip_addr src; /* of the route, if bound */
	bool bound;
	bool unsure;   /* an answer was lost: it may be bound or not, by this source or another */
	bool elem_vip; /* has its element in `vips` */
	bool dirty;    /* in picture.dirty_bindings */
	bool printed, elem_printed; /* in a plan that is printed: it is there already */
	uint8_t seen;
	size_t refs;    /* our virtual servers at this address */
	size_t leaving; /* of these, how many go in the present slice */
	struct pic_binding *next_dirty;
	UT_hash_handle hh;
};

struct pic_hairpin {
	struct ip_addr addr;
	size_t refs; /* pools that have this local endpoint */
	bool there;
	bool dirty;
	uint8_t seen;
	struct pic_hairpin *next_dirty;
	UT_hash_handle hh;
};

struct picture {
	struct pic_service *services;
	struct pic_binding *bindings;
	struct pic_hairpin *hairpins;
	struct pic_binding *dirty_bindings;
	struct pic_hairpin *dirty_hairpins;
	size_t drains; /* draining destinations */
};

void picture_done(struct picture *pic);

struct pic_service *picture_service(const struct picture *pic, const struct fe_key *key);
/* Finds or makes; a new one counts at its binding. NULL without memory. */
struct pic_service *picture_service_get(struct picture *pic, const struct fe_key *key);
/* Drops an entry that neither kernel nor model has; its binding too if it is bare. */
void picture_service_drop(struct picture *pic, struct pic_service *svc);
/* Foreign ones do not count at their binding. */
void picture_set_foreign(struct picture *pic, struct pic_service *svc, bool foreign);

struct pic_dest *picture_dest(const struct pic_service *svc, const struct ip_addr *addr,
			      uint16_t port);
/* Inserts in order; NULL without memory. The caller sees to it that it is not there. */
struct pic_dest *picture_dest_add(struct pic_service *svc, const struct ip_addr *addr,
				  uint16_t port);
void picture_dest_drop(struct picture *pic, struct pic_service *svc, struct pic_dest *dest);
void picture_dest_drain(struct picture *pic, struct pic_dest *dest, uint64_t deadline_ms);
/* All destinations at once: the kernel lost the virtual server. */
void picture_dests_clear(struct picture *pic, struct pic_service *svc);

struct pic_binding *picture_binding(const struct picture *pic, const struct ip_addr *vip);
struct pic_binding *picture_binding_get(struct picture *pic, const struct ip_addr *vip);
void picture_binding_mark(struct picture *pic, struct pic_binding *binding);

struct pic_hairpin *picture_hairpin_get(struct picture *pic, const struct ip_addr *addr);
void picture_hairpin_mark(struct picture *pic, struct pic_hairpin *hairpin);
/* Counts the local endpoints of `pool` (NULL = none) instead of those counted before; entries whose
 * element now is missing or too many become dirty. 0 or -ENOMEM. */
int picture_count_pool(struct picture *pic, struct pic_service *svc, struct pool *pool);

struct ipvs_key picture_ipvs_key(const struct fe_key *key);
/* False if the virtual server is of a kind we never make (fwmark, other protocol). */
bool picture_fe_key(const struct ipvs_key *key, struct fe_key *ret_key);

/* The printer `--print=actual`. 0 or -ENOMEM. */
int picture_print(struct picture *pic, FILE *out);

#endif
