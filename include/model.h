/* SPDX-License-Identifier: Apache-2.0 */
/* The neutral model: what a node should balance, with no word of IPVS, iptables or Kubernetes.
 *
 * In the flow: desired -> claims -> MODEL -> lower. It holds the winning frontend of every key and
 * says which keys changed since it was last asked. Frontends are values: to change one is to put
 * another under the same key. Pools are immutable and shared by reference count. */
#ifndef VIPD_MODEL_H
#define VIPD_MODEL_H

#include <stdio.h>
#include <sys/types.h>

#include "addr.h"

enum scope { SCOPE_VIP, SCOPE_NODEPORT };     /* an address of its own, or those of the node */
enum verdict { V_FORWARD, V_REJECT, V_DROP }; /* REJECT: TCP reset, else ICMP port unreach */
/* How packets get to an endpoint. DIRECT and TUNNEL leave the VIP in them: the endpoint must have
 * it. */
enum forwarding { FORWARD_MASQUERADE, FORWARD_DIRECT, FORWARD_TUNNEL };
enum tunnel_type { TUNNEL_IPIP, TUNNEL_GUE, TUNNEL_GRE };
enum ep_state { EP_ACTIVE, EP_DRAIN }; /* DRAIN: no new flows, old ones live on */
enum snat { SNAT_NEVER, SNAT_NONLOCAL, SNAT_ALWAYS };
/* Programmed first to last: what everything else on the node waits for comes first. */
enum priority { PRIO_API_SERVER, PRIO_DNS, PRIO_NORMAL };

struct fe_key {
	struct ip_addr vip; /* SCOPE_NODEPORT: the family alone, the bytes are 0 */
	uint16_t port;      /* host order */
	uint8_t proto;      /* IPPROTO_TCP, _UDP, _SCTP */
	uint8_t scope;      /* no byte is padding: keys are compared and hashed as bytes */
};

struct endpoint {
	struct ip_addr addr;
	uint16_t port;   /* host order */
	uint8_t state;   /* enum ep_state */
	bool local;      /* runs on this node, or may (its node is unknown) */
	uint32_t weight; /* 0 .. 65535; 0 = no new flows */
};

/* Endpoints sorted by address and port, no two alike. Immutable once shared. */
struct pool {
	unsigned refs;
	size_t n;
	struct endpoint ep[];
};

/* Sources that may use a frontend. Sorted, none within another, immutable once shared. n = 0:
 * nobody may. */
struct ranges {
	unsigned refs;
	size_t n;
	struct ip_prefix net[];
};

struct lb_policy {
	char scheduler[16];    /* kernel name: rr, wrr, lc ...; "" = the node's default */
	uint32_t sched_flags;  /* IP_VS_SVC_F_SCHED* bits */
	uint32_t affinity_sec; /* client affinity; 0 = none */
	uint32_t conns_max,
		conns_min;       /* of an endpoint: no new ones from max on, until under min */
	uint32_t slow_start_sec; /* how long an endpoint that comes to others takes to its full
				    share */
	uint16_t tunnel_port;    /* GUE */
	uint8_t forwarding, tunnel_type;
	bool one_packet; /* UDP: every datagram is a flow of its own */
};

/* A frontend either balances by itself (a pool, no `via`), or is an entrance: whoever comes to it
 * is treated as if they had come to the frontend `via`, of the same owner. So a pool is balanced in
 * one place however many addresses lead to it, and a change of endpoints touches that place alone.
 * `inner` frontends are reached through entrances only: their port is nobody's to ask for. */
struct frontend {
	struct fe_key key;
	struct fe_key via;         /* of an entrance; family 0 = balances by itself */
	struct fe_key via_cluster; /* of an entrance: where clients inside the cluster and on the
				    * node go instead; family 0 = they go the same way */
	char *owner;       /* "namespace/name:port", "namespace/name" for an unnamed port; owned */
	struct pool *pool; /* NULL: an entrance */
	struct ranges *ranges; /* who may come in; NULL = everybody */
	struct lb_policy lb;
	uint8_t verdict, snat, priority;
	bool inner;
};

#define FE_KEY_TEXT_MAX (ADDR_PORT_TEXT_MAX + 24)

struct fe_key fe_key_make(const struct ip_addr *vip, uint16_t port, uint8_t proto);
struct fe_key fe_key_node_port(int family, uint16_t port, uint8_t proto);
int fe_key_cmp(const struct fe_key *a, const struct fe_key *b);
/* "10.96.0.1:443/TCP", "node:30080/TCP", "node6:30080/TCP" */
const char *fe_key_format(const struct fe_key *key, char buf[FE_KEY_TEXT_MAX]);

/* Sorts `ep`, drops repeats (an active one beats a draining one) and takes a copy. One reference.
 * NULL without memory. */
struct pool *pool_new(struct endpoint *ep, size_t n);
struct pool *pool_ref(struct pool *pool);
void pool_unref(struct pool *pool);
bool pool_equal(const struct pool *a, const struct pool *b);
/* Has an endpoint that takes new flows? */
bool pool_usable(const struct pool *pool);

/* Takes a sorted copy without those within others. One reference. NULL without memory. */
struct ranges *ranges_new(const struct ip_prefix *nets, size_t n);
void ranges_unref(struct ranges *ranges);

/* Takes its own copy of `owner` and a reference to `pool` (NULL: an entrance). NULL without memory.
 */
struct frontend *frontend_new(const struct fe_key *key, const char *owner, struct pool *pool);
/* A copy that shares pool and ranges. NULL without memory. */
struct frontend *frontend_copy(const struct frontend *fe);
static inline bool frontend_is_entrance(const struct frontend *fe)
{
	return fe->via.vip.family != 0;
}
void frontend_free(struct frontend *fe);
bool frontend_equal(const struct frontend *a, const struct frontend *b);

struct model;

struct model *model_new(void);
void model_free(struct model *model);

/* Puts `fe` (taken over in every case) under its key. 1 changed, 0 equal to what was there,
 * -ENOMEM. */
int model_put(struct model *model, struct frontend *fe);
/* 1 removed, 0 was not there, -ENOMEM. */
int model_remove(struct model *model, const struct fe_key *key);
const struct frontend *model_find(const struct model *model, const struct fe_key *key);
size_t model_count(const struct model *model);
/* How many frontends of scope VIP have this address. */
size_t model_vip_count(const struct model *model, const struct ip_addr *vip);

/* Where an entrance leads to: the frontend `via` (or `via_cluster`) if it is there and of the same
 * owner, else NULL: then it leads nowhere, since that address and port are another's. */
const struct frontend *model_via(const struct model *model, const struct frontend *fe,
				 bool cluster);

/* The keys whose frontends are not as they were at the last call, and the entrances to one that
 * came, went or changed hands; by priority then key, each once; the caller frees `*ret_keys`.
 * Number of keys or -ENOMEM. */
ssize_t model_take_changes(struct model *model, struct fe_key **ret_keys);
/* Every key, sorted as above, and the caller frees. */
ssize_t model_keys(const struct model *model, struct fe_key **ret_keys);

/* Every frontend, in no order; `fn` changes nothing. */
typedef void (*model_fn)(void *arg, const struct frontend *fe);
void model_each(const struct model *model, model_fn fn, void *arg);

/* The printer `--print=model`: sorted, stable, one line a frontend and one an endpoint. */
void model_print(const struct model *model, FILE *out);

#endif
