/* SPDX-License-Identifier: Apache-2.0 */
/* The backend's picture of the kernel: what it believes stands there, entity by entity.
 *
 * In the flow: read -> PICTURE -> lower; step applies to it what the kernel acknowledged, audits
 * and notifications correct it. Helper elements are flags of the entity they belong to: a virtual
 * server has its element in `services` and perhaps one in `refused`, a binding one in `vips`, an
 * entrance one in the map that leads to its virtual server. */
#ifndef VIPD_IPVS_PICTURE_H
#define VIPD_IPVS_PICTURE_H

#include <stdio.h>
#include <uthash.h>

#include "kernel.h"
#include "model.h"

struct pic_dest {
	struct ip_addr addr;
	uint16_t port; /* host order */
	bool alike;    /* reached as the virtual server's `forward` says */
	bool idle;     /* draining, and seen without a connection since */
	uint32_t weight;
	uint64_t deadline_ms; /* draining until then; 0 = not draining */
};

enum { SEEN_ENTITY = 1, SEEN_ELEM = 2 };

/* Elements that a virtual server may have. */
enum { EL_SERVICE = 1, EL_REFUSED = 2, EL_DROPPED = 4, EL_INNER = 8, EL_DIRECT = 16 };
/* Elements that an entrance may have: by its scope in the sets of addresses or of node ports. */
enum { EL_TO = 1, EL_CLUSTER = 2, EL_SNAT = 4, EL_RESTRICTED = 8, EL_LOCAL = 16 };

struct pic_service {
	struct fe_key key;  /* scope VIP */
	bool present;       /* in the kernel */
	bool foreign;       /* in the kernel and not ours */
	bool owned;         /* the ledger has it: we made it, or were about to */
	bool usurped;       /* somebody made it before we could: never ours while it is there */
	bool leaving;       /* within a slice: this entry will be gone after it */
	uint8_t elems;      /* EL_*: the elements it has */
	uint8_t elems_seen; /* those that the present audit saw, or we wrote meanwhile */
	char sched[IPVS_SCHED_MAX];
	uint32_t flags, timeout_sec;
	uint8_t seen; /* SEEN_ENTITY: in the present audit, by a dump or because we wrote it */
	size_t n, cap;
	struct pic_dest *dests; /* sorted by address and port */
	size_t n_alike;
	struct kforward forward; /* of those that are alike */
	struct pool *pool;       /* as last lowered: whose hairpins are counted; NULL = none */
	UT_hash_handle hh;
};

struct pic_binding {
	struct ip_addr vip;
	struct ip_addr src; /* of the route, if bound */
	bool bound;
	bool unsure;   /* an answer was lost: it may be bound or not, by this source or another */
	bool elem_vip; /* has its element in `vips` */
	bool dirty;    /* in picture.dirty_bindings */
	bool node_own; /* the node has this address on a link: it is never bound, never guarded */
	bool printed, elem_printed; /* in a plan that is printed: it is there already */
	uint8_t seen;
	size_t refs;    /* our virtual servers and entrances at this address */
	size_t leaving; /* of these, how many go in the present slice */
	struct pic_binding *next_dirty;
	UT_hash_handle hh;
};

/* An address in a set of addresses: an endpoint's in `hairpin`, the node's in `node_addrs`. */
struct pic_addr_key {
	struct ip_addr addr;
	uint8_t set; /* enum kset */
};

struct pic_addr {
	struct pic_addr_key key;
	size_t refs; /* who wants it there; hairpins: pools that have this local endpoint */
	bool there;
	bool dirty;
	uint8_t seen;
	struct pic_addr *next_dirty;
	UT_hash_handle hh;
};

/* Where a map leads, if the element is there. */
struct pic_target {
	struct ip_addr addr;
	uint16_t port;
};

struct pic_allowed {
	struct ip_prefix net;
	bool seen;
};

struct pic_entrance {
	struct fe_key key;
	uint8_t elems, elems_seen; /* EL_* */
	bool leaving;              /* within a slice: this entry will be gone after it */
	struct pic_target to, to_cluster;
	size_t n_allowed, cap_allowed;
	struct pic_allowed *allowed; /* sorted */
	UT_hash_handle hh;
};

/* An endpoint that came to others and does not have its full share yet. */
struct pic_ramp_key {
	struct fe_key server;
	struct ip_addr addr;
	uint16_t port;
};

struct pic_ramp {
	struct pic_ramp_key key;
	uint64_t start_ms, end_ms;
	UT_hash_handle hh;
};

struct picture {
	struct pic_service *services;
	struct pic_binding *bindings;
	struct pic_entrance *entrances;
	struct pic_addr *addrs;
	struct pic_ramp *ramps;
	struct pic_binding *dirty_bindings;
	struct pic_addr *dirty_addrs;
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
/* It is reached so. The first of a virtual server says what the others are compared with. */
void picture_dest_forward(struct pic_service *svc, struct pic_dest *dest,
			  const struct kforward *forward);
void picture_dest_drop(struct picture *pic, struct pic_service *svc, struct pic_dest *dest);
void picture_dest_drain(struct picture *pic, struct pic_dest *dest, uint64_t deadline_ms);
/* All destinations at once: the kernel lost the virtual server. */
void picture_dests_clear(struct picture *pic, struct pic_service *svc);

struct pic_binding *picture_binding(const struct picture *pic, const struct ip_addr *vip);
struct pic_binding *picture_binding_get(struct picture *pic, const struct ip_addr *vip);
void picture_binding_mark(struct picture *pic, struct pic_binding *binding);

struct pic_addr *picture_addr(const struct picture *pic, enum kset set, const struct ip_addr *addr);
struct pic_addr *picture_addr_get(struct picture *pic, enum kset set, const struct ip_addr *addr);
void picture_addr_mark(struct picture *pic, struct pic_addr *addr);
/* Counts the local endpoints of `pool` (NULL = none) instead of those counted before; entries whose
 * element now is missing or too many become dirty. 0 or -ENOMEM. */
int picture_count_pool(struct picture *pic, struct pic_service *svc, struct pool *pool);

struct pic_entrance *picture_entrance(const struct picture *pic, const struct fe_key *key);
/* Finds or makes; a new one counts at its binding. NULL without memory. */
struct pic_entrance *picture_entrance_get(struct picture *pic, const struct fe_key *key);
void picture_entrance_drop(struct picture *pic, struct pic_entrance *entrance);
struct pic_allowed *picture_allowed(const struct pic_entrance *entrance,
				    const struct ip_prefix *net);
struct pic_allowed *picture_allowed_get(struct pic_entrance *entrance, const struct ip_prefix *net);
void picture_allowed_drop(struct pic_entrance *entrance, struct pic_allowed *allowed);

/* Which element of a virtual server, or of an entrance, stands in this set: EL_*; 0 = none. */
uint8_t picture_service_bit(enum kset set);
uint8_t picture_entrance_bit(enum kset set);
/* And back, by the entrance's scope. */
enum kset picture_service_set(uint8_t bit);
enum kset picture_entrance_set(uint8_t bit, uint8_t scope);
/* The frontend that an element of these sets is about. */
struct fe_key picture_elem_key(const struct kelem *elem, const struct kelem_parts *parts);

struct pic_ramp *picture_ramp(const struct picture *pic, const struct fe_key *server,
			      const struct ip_addr *addr, uint16_t port);
/* 0 or -ENOMEM. */
int picture_ramp_begin(struct picture *pic, const struct fe_key *server, const struct ip_addr *addr,
		       uint16_t port, uint64_t start_ms, uint64_t end_ms);
void picture_ramp_drop(struct picture *pic, struct pic_ramp *ramp);

struct ipvs_key picture_ipvs_key(const struct fe_key *key);
/* False if the virtual server is of a kind we never make (fwmark, other protocol). */
bool picture_fe_key(const struct ipvs_key *key, struct fe_key *ret_key);

/* The printer `--print=actual`. 0 or -ENOMEM. */
int picture_print(struct picture *pic, FILE *out);

#endif
