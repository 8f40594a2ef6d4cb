/* SPDX-License-Identifier: Apache-2.0 */
/* The kernel as the IPVS backend sees it: three tables, read by dumps, changed by operations.
 *
 * A facade of few functions, so that the backend's logic runs unchanged against the real kernel
 * (kernel_linux.c) and against a fake one with the real errnos and planted faults (test/unit).
 * Operations are values; a plan printed is a list of them. */
#ifndef VIPD_IPVS_KERNEL_H
#define VIPD_IPVS_KERNEL_H

#include <stdio.h>

#include "ipvs.h"
#include "nl.h"

/* rtm_protocol of every binding: whose route it is (see /etc/iproute2/rt_protos; 118 is free). */
#define BINDING_PROTOCOL 118
/* The private nftables table, one in family ip and one in ip6. */
#define HELPER_TABLE "vipd"

enum ktable { KT_SERVICE, KT_DEST, KT_BINDING, KT_ELEM, KT_FLOW };
enum kverb { KV_ADD, KV_SET, KV_DEL };

/* Sets and maps of the helper table; the keys' layout is that of nftables: every part padded to 4
 * bytes. "frontend" stands for address . protocol . port, "target" for address . port. */
enum kset {
	KSET_VIPS,       /* address: every bound VIP */
	KSET_SERVICES,   /* frontend: what a VIP answers */
	KSET_REFUSED,    /* frontend: no new flows, refused at once */
	KSET_DROPPED,    /* frontend: no new flows, and no answer */
	KSET_INNER,      /* frontend: reached through entrances only */
	KSET_HAIRPIN,    /* address . address: an endpoint that may reach itself through a VIP */
	KSET_NODE_ADDRS, /* address: where node ports are found */
	KSET_ENTRANCES,  /* frontend -> target */
	KSET_ENTRANCES_CLUSTER, /* frontend -> target, for clients in the cluster, asked first */
	KSET_MASQ,              /* frontend: clients that come by this entrance are masqueraded */
	KSET_RESTRICTED,        /* frontend: only sources in `allowed` */
	KSET_ALLOWED_TCP,       /* address . port . address, the last a prefix of sources */
	KSET_ALLOWED_UDP,  /* (a protocol cannot be a part of a key with ranges: nft 1.0.6 turns */
	KSET_ALLOWED_SCTP, /* its byte order round, which Linux 6.12 refuses) */
	KSET_NODEPORTS,    /* protocol . port -> target */
	KSET_NODEPORTS_CLUSTER, /* protocol . port -> target, for clients in the cluster */
	KSET_NODEPORTS_MASQ,    /* protocol . port: all clients are masqueraded */
	KSET_DIRECT,            /* frontend: its packets keep their source, whoever the client is */
	KSET_NODEPORTS_LOCAL,   /* protocol . port: those in the cluster are */
	KSET_COUNT
};
extern const char *const kset_names[KSET_COUNT]; /* "vips", "services", "refused" ... */

#define KELEM_KEY_MAX  40
#define KELEM_DATA_MAX 20
struct kelem {
	uint8_t family;   /* AF_INET: table ip vipd; AF_INET6: table ip6 vipd */
	uint8_t set;      /* enum kset */
	uint8_t len;      /* bytes of key that count; the rest are 0 */
	uint8_t prefix;   /* KSET_ALLOWED_*: bits of the key's last address that count */
	uint8_t data_len; /* of a map's value; 0 where it is not known or does not matter */
	uint8_t key[KELEM_KEY_MAX];
	uint8_t data[KELEM_DATA_MAX];
};

/* What the key and the value of an element say. */
struct kelem_parts {
	struct ip_addr addr; /* unset: the key has none (node ports) */
	uint8_t proto;
	uint16_t port;
	struct ip_prefix source; /* KSET_ALLOWED_* */
	struct ip_addr target;   /* maps; unset if not known */
	uint16_t target_port;
};
/* Bytes that a key of this set has. */
size_t kset_key_len(enum kset set, uint8_t family);
bool kset_is_map(enum kset set);
/* KSET_ALLOWED_* of a protocol; KSET_COUNT for others. And is it one of them? */
enum kset kset_allowed(uint8_t proto);
bool kset_is_allowed(enum kset set);
/* False if its key is of another length. */
bool kelem_parse(const struct kelem *elem, struct kelem_parts *ret_parts);
struct kelem kelem_make(enum kset set, uint8_t family, const struct kelem_parts *parts);

/* A local route: table local, type local, scope host, dev lo, /32 or /128, protocol ours. */
struct kbinding {
	struct ip_addr vip;
	struct ip_addr src; /* preferred source for the node's own clients; unset = none */
};

struct kservice {
	struct ipvs_key key;
	char sched[IPVS_SCHED_MAX];
	uint32_t flags; /* without IP_VS_SVC_F_HASHED, which is the kernel's own */
	uint32_t timeout_sec;
};

/* How a destination is reached, and how much it bears. All of a virtual server of ours are alike.
 */
struct kforward {
	uint32_t u_thresh, l_thresh; /* connections; 0 = no limit */
	uint16_t tun_port;
	uint8_t fwd;      /* IP_VS_CONN_F_MASQ, _TUNNEL, _DROUTE */
	uint8_t tun_type; /* IP_VS_CONN_F_TUNNEL_TYPE_* */
};
bool kforward_equal(const struct kforward *a, const struct kforward *b);

struct kdest {
	struct ip_addr addr;
	uint16_t port;
	struct kforward forward;
	uint32_t weight;
	uint32_t active_conns, inact_conns; /* read only */
};

/* An entry of connection tracking: where a client sent, and from where it is answered. */
struct kflow {
	struct ip_addr orig_src, orig_dst, reply_src;
	uint16_t orig_sport, orig_dport, reply_sport;
	uint16_t zone;
	uint32_t id;
	uint8_t proto;
};

struct kop {
	uint8_t table, verb;
	int result; /* by submit: 0, the kernel's -errno, -ECANCELED: undone because another
		     * operation of its transaction failed, -EINPROGRESS: not known, read again */
	union {
		struct kservice service;
		struct {
			struct ipvs_key key;
			struct kdest dest;
		} rs; /* KT_DEST */
		struct kbinding binding;
		struct kelem elem;
		struct kflow flow; /* KT_FLOW: KV_DEL alone */
	};
};

enum kdump {
	KD_SERVICES, /* every virtual server of the namespace -> service */
	KD_DESTS,    /* of one virtual server -> dest; nothing if it does not exist */
	KD_BINDINGS, /* local routes of BINDING_PROTOCOL, both families -> binding; and on the way,
		      * as objects of KD_GATEWAYS, the gateways of all other routes -> addr */
	KD_ELEMS,    /* all sets of a helper table, one family after the other -> elem */
	KD_ADDRS,    /* global addresses of the node's links, but lo and kube-ipvs0 -> addr */
	KD_GATEWAYS, /* no dump of its own */
	KD_FLOWS,    /* entries of connection tracking of the key's protocol, at least -> flow */
};

/* One object of a dump. */
struct kobject {
	enum kdump kind;
	bool foreign; /* a service with a fwmark, an engine, a netmask or flags we never set */
	union {
		struct kservice service;
		struct kdest dest;
		struct kbinding binding;
		struct kelem elem;
		struct ip_addr addr;
		struct kflow flow;
	};
};
typedef int (*kobject_fn)(const struct kobject *object, void *arg);

/* What a notification said. */
enum kevent_kind {
	KE_BINDING_GONE, /* a route of ours was removed by another: binding */
	KE_RULES_GONE,   /* the helper table, or a part of it that is not an element: family */
	KE_ELEM_GONE,    /* an element removed by another: elem */
	KE_ADDRS,        /* the node's addresses changed */
	KE_LOST,         /* notifications were lost: anything may have changed */
};
struct kevent {
	enum kevent_kind kind;
	uint8_t family;
	union {
		struct kbinding binding;
		struct kelem elem;
	};
};
typedef void (*kevent_fn)(const struct kevent *event, void *arg);

#define KPORT_WORDS (65536 / 64)

struct kernel_ops {
	/* Executes in order. All operations of one call are of one netlink family (services and
	 * destinations may mix); elements go in transactions of some 500: all or none. KV_ADD of
	 * an element that is there is no error; of a map's with another value it is -EBUSY. KV_ADD
	 * of a binding appends beside an address of the same value, KV_SET replaces. 0 when every
	 * result was set, -errno when nothing could be sent at all (results are set to it). */
	int (*submit)(void *ctx, struct kop *ops, size_t n);
	/* A dump in slices; `key` for KD_DESTS and KD_FLOWS. One dump a netlink family may be open;
	 * starting another drops it. next: >0 more, 0 done, -errno; a negative return of fn ends
	 * it. A missing helper table is an empty one. */
	int (*dump_start)(void *ctx, enum kdump what, const struct ipvs_key *key);
	int (*dump_next)(void *ctx, enum kdump what, kobject_fn fn, void *arg);
	/* One virtual server: 0, -ESRCH not there, other -errno. */
	int (*get_service)(void *ctx, const struct ipvs_key *key, struct kobject *ret_object);
	/* A number that stands for the rules and sets (not elements) of a helper table as the
	 * kernel lists them, 0 if the table is not there: equal numbers, unchanged rules. */
	int (*rules_digest)(void *ctx, uint8_t family, uint64_t *ret_digest);
	/* IPVS's timeouts of idle connections, in seconds; 0 = unchanged. 0 or -errno. */
	int (*set_timeouts)(void *ctx, uint32_t tcp_sec, uint32_t tcp_fin_sec, uint32_t udp_sec);
	/* Sets the bit of each port at which a program of this node waits for this protocol, at
	 * whatever address. 0, or -errno: this kernel does not tell. */
	int (*listeners)(void *ctx, uint8_t proto, uint64_t ret_ports[KPORT_WORDS]);
	/* Descriptors that become readable on notifications, and what they say. Of bindings and
	 * the helper tables they tell from `listen` on: as long as nobody listens the kernel
	 * makes no notification of each that is written. 0 or -errno. */
	int (*listen)(void *ctx);
	size_t (*fds)(void *ctx, int *ret_fds, size_t max);
	void (*read_events)(void *ctx, int fd, kevent_fn fn, void *arg);
	/* What was sent and answered so far, over all families. */
	void (*traffic)(void *ctx, struct nl_counters *ret_counters);
	void (*close)(void *ctx);
};

struct kernel {
	const struct kernel_ops *ops;
	void *ctx;
};

/* The real one, in the calling thread's network namespace. -EPERM, -ENOENT (no IPVS in the kernel,
 * no nf_tables), with the remedy in `err`. */
int kernel_linux_open(struct kernel *ret_kernel, struct err *err);

/* Elements of the simple kinds. */
struct kelem kelem_vip(const struct ip_addr *vip);
struct kelem kelem_service(enum kset set, const struct ip_addr *vip, uint8_t proto, uint16_t port);
struct kelem kelem_hairpin(const struct ip_addr *endpoint);

/* One line, no newline: "add service 10.96.0.1:80/TCP rr", "del binding 10.96.0.1". */
void kop_print(const struct kop *op, FILE *out);
int kop_cmp(const struct kop *a, const struct kop *b); /* for stable listings */

#endif
