/* SPDX-License-Identifier: Apache-2.0 */
/* The objects of the kernel's IPVS generic netlink family as plain values, and their codec.
 * Source of every attribute: <linux/ip_vs.h>, net/netfilter/ipvs/ip_vs_ctl.c.
 *
 * Pure: no socket, no allocation but the caller's. Ports are host order here; network order exists
 * only inside ipvs_codec.c. Used by the IPVS backend and by vipctl. */
#ifndef VIPD_IPVS_H
#define VIPD_IPVS_H

#include "addr.h"
#include "nl.h"

#define IPVS_SCHED_MAX  16 /* IP_VS_SCHEDNAME_MAXLEN, with NUL */
#define IPVS_PE_MAX     16 /* IP_VS_PENAME_MAXLEN, with NUL */
#define IPVS_IFNAME_MAX 16

/* Which virtual server: fwmark != 0: (af, fwmark), the rest 0; else (proto, addr, port). Unused
 * bytes are 0: keys are compared and hashed as bytes. */
struct ipvs_key {
	struct ip_addr addr;
	uint32_t fwmark;
	uint16_t af;
	uint16_t proto; /* any 16-bit number: the kernel takes what it is given */
	uint16_t port;
	uint16_t pad_;
};

struct ipvs_stats {
	uint64_t conns, in_pkts, out_pkts, in_bytes, out_bytes;
	uint64_t cps, in_pps, out_pps, in_bps, out_bps; /* per second, an 8 s moving average */
};

struct ipvs_service {
	struct ipvs_key key;
	char sched[IPVS_SCHED_MAX];
	char pe[IPVS_PE_MAX];    /* persistence engine; "" = none */
	uint32_t flags;          /* IP_VS_SVC_F_* */
	uint32_t flags_mask;     /* which flags an encoded request sets; answers have all bits */
	uint32_t timeout_sec;    /* persistence */
	uint32_t netmask;        /* IPv4: network order mask; IPv6: prefix length */
	struct ipvs_stats stats; /* answers only; from STATS64, else from STATS */
	bool stats64;            /* the 64-bit ones were there */
};

struct ipvs_dest {
	struct ip_addr addr; /* its family may differ from the service's (tunnels) */
	uint16_t port;
	uint8_t fwd;      /* IP_VS_CONN_F_MASQ 0, TUNNEL 2, DROUTE 3 */
	uint8_t tun_type; /* IP_VS_CONN_F_TUNNEL_TYPE_* */
	uint16_t tun_port, tun_flags;
	uint32_t weight;
	uint32_t u_thresh, l_thresh;                       /* connections; 0 = no limit */
	uint32_t active_conns, inact_conns, persist_conns; /* answers only */
	struct ipvs_stats stats;                           /* answers only */
	bool stats64;
};

struct ipvs_timeouts {
	uint32_t tcp_sec, tcp_fin_sec, udp_sec; /* 0 in a request: unchanged */
};

struct ipvs_daemon {
	uint32_t state; /* IP_VS_STATE_MASTER 1, _BACKUP 2 */
	char ifname[IPVS_IFNAME_MAX];
	uint32_t sync_id;
	uint16_t sync_maxlen;
	struct ip_addr mcast_group; /* unset = the kernel's default */
	uint16_t mcast_port;
	uint8_t mcast_ttl;
};

struct ipvs_info {
	uint32_t version; /* 0x010201 = 1.2.1 */
	uint32_t conn_tab_size;
};

struct ipvs_key ipvs_key_make(const struct ip_addr *vip, uint16_t port, uint16_t proto);

/* Encoders append one whole generic netlink message to `batch` (the family id is the socket's) and
 * return its index in the batch, or -errno: -ENOMEM, -EMSGSIZE. `cmd`: IPVS_CMD_NEW_SERVICE etc. */
int ipvs_put_service(struct nl_batch *batch, int cmd, const struct ipvs_service *svc);
int ipvs_put_dest(struct nl_batch *batch, int cmd, const struct ipvs_key *key,
		  const struct ipvs_dest *dest);
/* Any command that needs an identity alone (GET_SERVICE, DEL_SERVICE, ZERO), or none (`key` NULL:
 * FLUSH, ZERO of all, GET_INFO, GET_CONFIG). */
int ipvs_put_key(struct nl_batch *batch, int cmd, const struct ipvs_key *key);
int ipvs_put_timeouts(struct nl_batch *batch, const struct ipvs_timeouts *timeouts);
int ipvs_put_daemon(struct nl_batch *batch, int cmd, const struct ipvs_daemon *daemon);

/* Requests that start a dump on a socket; `key` for GET_DEST only. 0 or -errno. */
int ipvs_dump_start(struct nl_batch *batch, int cmd, const struct ipvs_key *key);

/* Decoders of one answer (`msg` with its netlink header; its length was checked against the
 * datagram). Every attribute may be missing, short, repeated or unknown: -EBADMSG when what makes
 * the object identifiable is, 0 otherwise. Nothing outside the message is read. */
int ipvs_get_service(const struct nlmsghdr *msg, struct ipvs_service *ret_svc);
/* `key` gives the family that an old kernel's answer leaves out (ADDR_FAMILY is from 3.18). */
int ipvs_get_dest(const struct nlmsghdr *msg, const struct ipvs_key *key,
		  struct ipvs_dest *ret_dest);
int ipvs_get_timeouts(const struct nlmsghdr *msg, struct ipvs_timeouts *ret_timeouts);
int ipvs_get_daemon(const struct nlmsghdr *msg, struct ipvs_daemon *ret_daemon);
int ipvs_get_info(const struct nlmsghdr *msg, struct ipvs_info *ret_info);

#endif
