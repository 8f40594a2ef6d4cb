/* SPDX-License-Identifier: Apache-2.0 */
/* One frontend x picture -> kernel operations. Pure: reads, never writes, no clock, no socket.
 *
 * In the flow: model x picture -> LOWER -> step. Operations are sorted into phases that are done
 * one after the other for a whole slice, so that every frontend in it meets the safe order: new:
 * helper elements, virtual server, destinations, then the binding; gone: the reverse.
 *
 * Rules:
 *
 *  L1 Never delete and add again: a destination that comes back gets its weight back.
 *
 *  L2 New destinations are added before old ones are drained or removed.
 *
 *  L3 TCP and SCTP destinations that leave get weight 0 and stay until idle or the deadline; UDP
 *     ones go at once, and with expire_nodest_conn their flows with the next packet.
 *
 *  L4 A frontend that leaves refuses new flows, drains, and goes as a whole when the last
 *     destination may go; the binding with the last virtual server of its address.
 *
 *  L5 Destinations are added in an order shuffled by the node's seed, so that nodes do not all
 *     begin with the same one.
 *
 *  L6 mh and sh get the fallback flag: without it they send flows to weight 0 (ip_vs_mh.c).
 *
 *  L7 An entrance is an element of a map that leads to the virtual server of the frontend it goes
 *     via: written when that server stands, removed before it goes.
 *
 *  L9 With a slow start an endpoint that comes to others begins with a small weight, which grows to
 *     its own.
 *
 *  L8 An address that the node has on a link is never bound and never guarded: an entrance there
 *     takes its own port alone.
 */
#ifndef VIPD_IPVS_LOWER_H
#define VIPD_IPVS_LOWER_H

#include "picture.h"

enum phase {
	PH_ELEM_ADD,
	PH_SERVER,
	PH_ENTER,
	PH_BIND,
	PH_UNBIND,
	PH_LEAVE,
	PH_SERVER_DEL,
	PH_ELEM_DEL,
	PH_COUNT
};

/* Operations of one slice. units[i] belongs to ops[i]: for whom it is done; NULL = a repair of its
 * own (binding, address). */
struct phase_ops {
	struct kop *ops;
	void **units;
	size_t n, ops_cap, units_cap;
};

struct plan {
	struct phase_ops phase[PH_COUNT];
	size_t n;
};

struct lowering {
	const struct picture *pic;
	const struct model *model;
	const char *scheduler; /* the node's default */
	char (*missing)[16];   /* schedulers that this kernel does not have */
	size_t n_missing;
	const struct ip_addr *src; /* [2]: IPv4, IPv6; preferred sources of bindings */
	uint64_t seed, now_ms;
	bool ledger_lost; /* what the ledger does not have may be ours all the same */
	struct plan *plan;
};

void plan_reset(struct plan *plan); /* empties, keeps the memory */
void plan_done(struct plan *plan);

/* Operations that take `svc` (an entry of the picture, perhaps a bare new one) to what `fe` says;
 * NULL: to nothing. Marks svc->leaving when it will be gone. 0 or -ENOMEM. */
int lower_service(const struct lowering *low, struct pic_service *svc, const struct frontend *fe,
		  void *unit);
/* The same for an entrance; `fe` NULL, or one that leads nowhere: to nothing. */
int lower_entrance(const struct lowering *low, struct pic_entrance *entrance,
		   const struct frontend *fe, void *unit);
/* A binding, or an address in a set, that is not what its references ask for. */
int lower_binding(const struct lowering *low, const struct pic_binding *binding);
int lower_addr(const struct lowering *low, const struct pic_addr *addr);

/* May a virtual server that nobody claims be taken for this frontend? If it is exactly what we
 * would have made, or the ledger was lost and its address is bound by us. */
bool lower_adoptable(const struct lowering *low, const struct pic_service *svc,
		     const struct frontend *fe);

/* The kernel's name, and the flags that belong to it. */
const char *lower_scheduler(const struct lowering *low, const struct frontend *fe);
bool lower_drains(const struct fe_key *key);

#endif
