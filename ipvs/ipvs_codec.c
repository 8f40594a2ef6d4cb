/* SPDX-License-Identifier: Apache-2.0 */
/* Generic netlink messages of the IPVS family; see include/ipvs.h. The only file that knows their
 * attribute numbers and byte orders (<linux/ip_vs.h>, net/netfilter/ipvs/ip_vs_ctl.c). */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <linux/genetlink.h>
#include <linux/ip_vs.h>
#include <netlink/attr.h>

#include "ipvs.h"

struct ipvs_key ipvs_key_make(const struct ip_addr *vip, uint16_t port, uint16_t proto)
{
	struct ipvs_key key;

	memset(&key, 0, sizeof(key));
	key.addr = *vip;
	key.af = vip->family;
	key.port = port;
	key.proto = proto;
	return key;
}

/* ---- encode ---- */

static int begin(struct nl_batch *batch, int cmd, uint16_t flags)
{
	struct genlmsghdr head = {.cmd = (uint8_t)cmd, .version = IPVS_GENL_VERSION};

	return nl_batch_begin(batch, NL_TYPE_FAMILY, flags, &head, sizeof(head));
}

static void put_port(struct nl_batch *batch, uint16_t attr, uint16_t port)
{
	uint16_t port_be = htons(port);

	nl_put(batch, attr, &port_be, sizeof(port_be));
}

static void put_key(struct nl_batch *batch, const struct ipvs_key *key)
{
	nl_put_u16(batch, IPVS_SVC_ATTR_AF, key->af);
	if (key->fwmark) {
		nl_put_u32(batch, IPVS_SVC_ATTR_FWMARK, key->fwmark);
		return;
	}
	nl_put_u16(batch, IPVS_SVC_ATTR_PROTOCOL, key->proto);
	nl_put(batch, IPVS_SVC_ATTR_ADDR, key->addr.bytes, sizeof(key->addr.bytes));
	put_port(batch, IPVS_SVC_ATTR_PORT, key->port);
}

int ipvs_put_service(struct nl_batch *batch, int cmd, const struct ipvs_service *svc)
{
	struct ip_vs_flags flags = {.flags = svc->flags, .mask = svc->flags_mask};
	struct nlattr *nest;
	int rc = begin(batch, cmd, 0);

	if (rc < 0)
		return rc;
	nest = nl_nest_begin(batch, IPVS_CMD_ATTR_SERVICE);
	put_key(batch, &svc->key);
	nl_put_string(batch, IPVS_SVC_ATTR_SCHED_NAME, svc->sched);
	if (svc->pe[0])
		nl_put_string(batch, IPVS_SVC_ATTR_PE_NAME, svc->pe);
	nl_put(batch, IPVS_SVC_ATTR_FLAGS, &flags, sizeof(flags));
	nl_put_u32(batch, IPVS_SVC_ATTR_TIMEOUT, svc->timeout_sec);
	nl_put_u32(batch, IPVS_SVC_ATTR_NETMASK, svc->netmask);
	nl_nest_end(batch, nest);
	return nl_batch_end(batch);
}

static void put_tunnel(struct nl_batch *batch, const struct ipvs_dest *dest)
{
	if (!dest->tun_type && !dest->tun_port && !dest->tun_flags)
		return;
	nl_put_u8(batch, IPVS_DEST_ATTR_TUN_TYPE, dest->tun_type);
	put_port(batch, IPVS_DEST_ATTR_TUN_PORT, dest->tun_port);
	nl_put_u16(batch, IPVS_DEST_ATTR_TUN_FLAGS, dest->tun_flags);
}

int ipvs_put_dest(struct nl_batch *batch, int cmd, const struct ipvs_key *key,
		  const struct ipvs_dest *dest)
{
	struct nlattr *nest;
	int rc = begin(batch, cmd, 0);

	if (rc < 0)
		return rc;
	nest = nl_nest_begin(batch, IPVS_CMD_ATTR_SERVICE);
	put_key(batch, key);
	nl_nest_end(batch, nest);
	nest = nl_nest_begin(batch, IPVS_CMD_ATTR_DEST);
	nl_put_u16(batch, IPVS_DEST_ATTR_ADDR_FAMILY, dest->addr.family);
	nl_put(batch, IPVS_DEST_ATTR_ADDR, dest->addr.bytes, sizeof(dest->addr.bytes));
	put_port(batch, IPVS_DEST_ATTR_PORT, dest->port);
	if (cmd != IPVS_CMD_DEL_DEST) {
		nl_put_u32(batch, IPVS_DEST_ATTR_FWD_METHOD, dest->fwd);
		nl_put_u32(batch, IPVS_DEST_ATTR_WEIGHT, dest->weight);
		nl_put_u32(batch, IPVS_DEST_ATTR_U_THRESH, dest->u_thresh);
		nl_put_u32(batch, IPVS_DEST_ATTR_L_THRESH, dest->l_thresh);
		put_tunnel(batch, dest);
	}
	nl_nest_end(batch, nest);
	return nl_batch_end(batch);
}

int ipvs_put_key(struct nl_batch *batch, int cmd, const struct ipvs_key *key)
{
	struct nlattr *nest;
	int rc = begin(batch, cmd, 0);

	if (rc < 0)
		return rc;
	if (key) {
		nest = nl_nest_begin(batch, IPVS_CMD_ATTR_SERVICE);
		put_key(batch, key);
		nl_nest_end(batch, nest);
	}
	return nl_batch_end(batch);
}

int ipvs_put_timeouts(struct nl_batch *batch, const struct ipvs_timeouts *timeouts)
{
	int rc = begin(batch, IPVS_CMD_SET_CONFIG, 0);

	if (rc < 0)
		return rc;
	nl_put_u32(batch, IPVS_CMD_ATTR_TIMEOUT_TCP, timeouts->tcp_sec);
	nl_put_u32(batch, IPVS_CMD_ATTR_TIMEOUT_TCP_FIN, timeouts->tcp_fin_sec);
	nl_put_u32(batch, IPVS_CMD_ATTR_TIMEOUT_UDP, timeouts->udp_sec);
	return nl_batch_end(batch);
}

int ipvs_put_daemon(struct nl_batch *batch, int cmd, const struct ipvs_daemon *daemon)
{
	struct nlattr *nest;
	int rc = begin(batch, cmd, 0);

	if (rc < 0)
		return rc;
	nest = nl_nest_begin(batch, IPVS_CMD_ATTR_DAEMON);
	nl_put_u32(batch, IPVS_DAEMON_ATTR_STATE, daemon->state);
	if (cmd != IPVS_CMD_DEL_DAEMON) {
		nl_put_string(batch, IPVS_DAEMON_ATTR_MCAST_IFN, daemon->ifname);
		nl_put_u32(batch, IPVS_DAEMON_ATTR_SYNC_ID, daemon->sync_id);
		if (daemon->sync_maxlen)
			nl_put_u16(batch, IPVS_DAEMON_ATTR_SYNC_MAXLEN, daemon->sync_maxlen);
		if (daemon->mcast_group.family == AF_INET)
			nl_put(batch, IPVS_DAEMON_ATTR_MCAST_GROUP, daemon->mcast_group.bytes, 4);
		if (daemon->mcast_group.family == AF_INET6)
			nl_put(batch, IPVS_DAEMON_ATTR_MCAST_GROUP6, daemon->mcast_group.bytes, 16);
		if (daemon->mcast_port)
			nl_put_u16(batch, IPVS_DAEMON_ATTR_MCAST_PORT, daemon->mcast_port);
		if (daemon->mcast_ttl)
			nl_put_u8(batch, IPVS_DAEMON_ATTR_MCAST_TTL, daemon->mcast_ttl);
	}
	nl_nest_end(batch, nest);
	return nl_batch_end(batch);
}

int ipvs_dump_start(struct nl_batch *batch, int cmd, const struct ipvs_key *key)
{
	int rc = ipvs_put_key(batch, cmd, key);

	return rc < 0 ? rc : nl_dump_start(batch);
}

/* ---- decode ---- */

/* Reading attributes is most of what a long dump costs its reader, so it is done here, inline, by
 * libnl's rules: of a repeated one the last counts, what is unknown or behind a broken one is not
 * there. */
static const void *attr_data(const struct nlattr *attr)
{
	return (const uint8_t *)attr + NLA_HDRLEN;
}

static size_t attr_len(const struct nlattr *attr)
{
	return (size_t)attr->nla_len - NLA_HDRLEN;
}

static void parse_attrs(const void *data, size_t len, const struct nlattr **tb, size_t max)
{
	const uint8_t *at = data;

	memset(tb, 0, (max + 1) * sizeof(*tb));
	while (len >= NLA_HDRLEN) {
		const struct nlattr *attr = (const struct nlattr *)(const void *)at;
		size_t step = NLA_ALIGN(attr->nla_len);

		if (attr->nla_len < NLA_HDRLEN || attr->nla_len > len)
			return;
		if ((attr->nla_type & NLA_TYPE_MASK) <= max)
			tb[attr->nla_type & NLA_TYPE_MASK] = attr;
		if (step >= len)
			return;
		at += step;
		len -= step;
	}
}

/* The attributes at level 1 of an answer; false if the message is too short to have any. */
static bool parse_message(const struct nlmsghdr *msg, const struct nlattr **tb, size_t max)
{
	const size_t head = NLMSG_HDRLEN + GENL_HDRLEN;

	if (msg->nlmsg_len < head)
		return false;
	parse_attrs((const uint8_t *)msg + head, msg->nlmsg_len - head, tb, max);
	return true;
}

static bool parse_nest(const struct nlattr *nest, const struct nlattr **tb, size_t max)
{
	if (nest)
		parse_attrs(attr_data(nest), attr_len(nest), tb, max);
	return nest;
}

/* Is it there, and long enough for an integer of that size? */
static bool has_uint(const struct nlattr *attr, size_t size)
{
	return attr && attr_len(attr) >= size;
}

/* Integers may lie at any address: no kernel aligns 64-bit ones everywhere. Missing or short: 0. */
static uint64_t get_uint(const struct nlattr *attr, size_t size)
{
	uint8_t u8;
	uint16_t u16;
	uint32_t u32;
	uint64_t u64;

	if (!has_uint(attr, size))
		return 0;
	switch (size) {
	case 1:
		memcpy(&u8, attr_data(attr), 1);
		return u8;
	case 2:
		memcpy(&u16, attr_data(attr), 2);
		return u16;
	case 4:
		memcpy(&u32, attr_data(attr), 4);
		return u32;
	default:
		memcpy(&u64, attr_data(attr), 8);
		return u64;
	}
}

static uint16_t get_port(const struct nlattr *attr)
{
	return ntohs((uint16_t)get_uint(attr, 2));
}

/* "" if it is missing or not terminated: then it is not whole. */
static void get_string(const struct nlattr *attr, char *buf, size_t size)
{
	size_t len = 0;

	if (attr && memchr(attr_data(attr), '\0', attr_len(attr))) {
		len = strnlen(attr_data(attr), size - 1);
		memcpy(buf, attr_data(attr), len);
	}
	memset(buf + len, 0, size - len);
}

static bool get_addr(const struct nlattr *attr, uint16_t family, struct ip_addr *ret_addr)
{
	uint8_t bytes[16] = {0};
	size_t want = family == AF_INET ? 4 : 16;

	if (!attr || (family != AF_INET && family != AF_INET6) || attr_len(attr) < want)
		return false;
	memcpy(bytes, attr_data(attr), want);
	*ret_addr = addr_make(family, bytes);
	return true;
}

/* Both nests number their attributes alike; the old one has 32-bit numbers but for the bytes. */
static void get_stats(const struct nlattr *nest64, const struct nlattr *nest32,
		      struct ipvs_stats *ret_stats, bool *ret_stats64)
{
	const struct nlattr *tb[IPVS_STATS_ATTR_MAX + 1];
	struct ipvs_stats *s = ret_stats;
	size_t narrow = 8;

	*ret_stats64 = parse_nest(nest64, tb, IPVS_STATS_ATTR_MAX);
	if (!*ret_stats64) {
		narrow = 4;
		if (!parse_nest(nest32, tb, IPVS_STATS_ATTR_MAX))
			return;
	}
	s->conns = get_uint(tb[IPVS_STATS_ATTR_CONNS], narrow);
	s->in_pkts = get_uint(tb[IPVS_STATS_ATTR_INPKTS], narrow);
	s->out_pkts = get_uint(tb[IPVS_STATS_ATTR_OUTPKTS], narrow);
	s->in_bytes = get_uint(tb[IPVS_STATS_ATTR_INBYTES], 8);
	s->out_bytes = get_uint(tb[IPVS_STATS_ATTR_OUTBYTES], 8);
	s->cps = get_uint(tb[IPVS_STATS_ATTR_CPS], narrow);
	s->in_pps = get_uint(tb[IPVS_STATS_ATTR_INPPS], narrow);
	s->out_pps = get_uint(tb[IPVS_STATS_ATTR_OUTPPS], narrow);
	s->in_bps = get_uint(tb[IPVS_STATS_ATTR_INBPS], narrow);
	s->out_bps = get_uint(tb[IPVS_STATS_ATTR_OUTBPS], narrow);
}

static bool get_key(const struct nlattr **tb, struct ipvs_key *ret_key)
{
	memset(ret_key, 0, sizeof(*ret_key));
	ret_key->af = (uint16_t)get_uint(tb[IPVS_SVC_ATTR_AF], 2);
	if (ret_key->af != AF_INET && ret_key->af != AF_INET6)
		return false;
	ret_key->fwmark = (uint32_t)get_uint(tb[IPVS_SVC_ATTR_FWMARK], 4);
	if (ret_key->fwmark)
		return true;
	if (!has_uint(tb[IPVS_SVC_ATTR_PROTOCOL], 2) || !has_uint(tb[IPVS_SVC_ATTR_PORT], 2))
		return false;
	ret_key->proto = (uint16_t)get_uint(tb[IPVS_SVC_ATTR_PROTOCOL], 2);
	ret_key->port = get_port(tb[IPVS_SVC_ATTR_PORT]);
	return get_addr(tb[IPVS_SVC_ATTR_ADDR], ret_key->af, &ret_key->addr);
}

int ipvs_get_service(const struct nlmsghdr *msg, struct ipvs_service *ret_svc)
{
	const struct nlattr *top[IPVS_CMD_ATTR_MAX + 1], *tb[IPVS_SVC_ATTR_MAX + 1];
	struct ip_vs_flags flags = {0};

	memset(ret_svc, 0, sizeof(*ret_svc));
	if (!parse_message(msg, top, IPVS_CMD_ATTR_MAX) ||
	    !parse_nest(top[IPVS_CMD_ATTR_SERVICE], tb, IPVS_SVC_ATTR_MAX) ||
	    !get_key(tb, &ret_svc->key))
		return -EBADMSG;
	get_string(tb[IPVS_SVC_ATTR_SCHED_NAME], ret_svc->sched, sizeof(ret_svc->sched));
	get_string(tb[IPVS_SVC_ATTR_PE_NAME], ret_svc->pe, sizeof(ret_svc->pe));
	if (tb[IPVS_SVC_ATTR_FLAGS] && attr_len(tb[IPVS_SVC_ATTR_FLAGS]) >= sizeof(flags))
		memcpy(&flags, attr_data(tb[IPVS_SVC_ATTR_FLAGS]), sizeof(flags));
	ret_svc->flags = flags.flags;
	ret_svc->flags_mask = flags.mask;
	ret_svc->timeout_sec = (uint32_t)get_uint(tb[IPVS_SVC_ATTR_TIMEOUT], 4);
	ret_svc->netmask = (uint32_t)get_uint(tb[IPVS_SVC_ATTR_NETMASK], 4);
	get_stats(tb[IPVS_SVC_ATTR_STATS64], tb[IPVS_SVC_ATTR_STATS], &ret_svc->stats,
		  &ret_svc->stats64);
	return 0;
}

int ipvs_get_dest(const struct nlmsghdr *msg, const struct ipvs_key *key,
		  struct ipvs_dest *ret_dest)
{
	const struct nlattr *top[IPVS_CMD_ATTR_MAX + 1], *tb[IPVS_DEST_ATTR_MAX + 1];
	uint16_t family;

	memset(ret_dest, 0, sizeof(*ret_dest));
	if (!parse_message(msg, top, IPVS_CMD_ATTR_MAX) ||
	    !parse_nest(top[IPVS_CMD_ATTR_DEST], tb, IPVS_DEST_ATTR_MAX))
		return -EBADMSG;
	family = (uint16_t)get_uint(tb[IPVS_DEST_ATTR_ADDR_FAMILY], 2);
	if (!get_addr(tb[IPVS_DEST_ATTR_ADDR], family ? family : key->af, &ret_dest->addr) ||
	    !has_uint(tb[IPVS_DEST_ATTR_PORT], 2))
		return -EBADMSG;
	ret_dest->port = get_port(tb[IPVS_DEST_ATTR_PORT]);
	ret_dest->fwd = (uint8_t)get_uint(tb[IPVS_DEST_ATTR_FWD_METHOD], 4);
	ret_dest->weight = (uint32_t)get_uint(tb[IPVS_DEST_ATTR_WEIGHT], 4);
	ret_dest->u_thresh = (uint32_t)get_uint(tb[IPVS_DEST_ATTR_U_THRESH], 4);
	ret_dest->l_thresh = (uint32_t)get_uint(tb[IPVS_DEST_ATTR_L_THRESH], 4);
	ret_dest->active_conns = (uint32_t)get_uint(tb[IPVS_DEST_ATTR_ACTIVE_CONNS], 4);
	ret_dest->inact_conns = (uint32_t)get_uint(tb[IPVS_DEST_ATTR_INACT_CONNS], 4);
	ret_dest->persist_conns = (uint32_t)get_uint(tb[IPVS_DEST_ATTR_PERSIST_CONNS], 4);
	ret_dest->tun_type = (uint8_t)get_uint(tb[IPVS_DEST_ATTR_TUN_TYPE], 1);
	ret_dest->tun_port = get_port(tb[IPVS_DEST_ATTR_TUN_PORT]);
	ret_dest->tun_flags = (uint16_t)get_uint(tb[IPVS_DEST_ATTR_TUN_FLAGS], 2);
	get_stats(tb[IPVS_DEST_ATTR_STATS64], tb[IPVS_DEST_ATTR_STATS], &ret_dest->stats,
		  &ret_dest->stats64);
	return 0;
}

int ipvs_get_timeouts(const struct nlmsghdr *msg, struct ipvs_timeouts *ret_timeouts)
{
	const struct nlattr *top[IPVS_CMD_ATTR_MAX + 1];

	if (!parse_message(msg, top, IPVS_CMD_ATTR_MAX))
		return -EBADMSG;
	ret_timeouts->tcp_sec = (uint32_t)get_uint(top[IPVS_CMD_ATTR_TIMEOUT_TCP], 4);
	ret_timeouts->tcp_fin_sec = (uint32_t)get_uint(top[IPVS_CMD_ATTR_TIMEOUT_TCP_FIN], 4);
	ret_timeouts->udp_sec = (uint32_t)get_uint(top[IPVS_CMD_ATTR_TIMEOUT_UDP], 4);
	return 0;
}

int ipvs_get_daemon(const struct nlmsghdr *msg, struct ipvs_daemon *ret_daemon)
{
	const struct nlattr *top[IPVS_CMD_ATTR_MAX + 1], *tb[IPVS_DAEMON_ATTR_MAX + 1];

	memset(ret_daemon, 0, sizeof(*ret_daemon));
	if (!parse_message(msg, top, IPVS_CMD_ATTR_MAX) ||
	    !parse_nest(top[IPVS_CMD_ATTR_DAEMON], tb, IPVS_DAEMON_ATTR_MAX) ||
	    !has_uint(tb[IPVS_DAEMON_ATTR_STATE], 4))
		return -EBADMSG;
	ret_daemon->state = (uint32_t)get_uint(tb[IPVS_DAEMON_ATTR_STATE], 4);
	get_string(tb[IPVS_DAEMON_ATTR_MCAST_IFN], ret_daemon->ifname, sizeof(ret_daemon->ifname));
	ret_daemon->sync_id = (uint32_t)get_uint(tb[IPVS_DAEMON_ATTR_SYNC_ID], 4);
	ret_daemon->sync_maxlen = (uint16_t)get_uint(tb[IPVS_DAEMON_ATTR_SYNC_MAXLEN], 2);
	if (!get_addr(tb[IPVS_DAEMON_ATTR_MCAST_GROUP], AF_INET, &ret_daemon->mcast_group))
		get_addr(tb[IPVS_DAEMON_ATTR_MCAST_GROUP6], AF_INET6, &ret_daemon->mcast_group);
	ret_daemon->mcast_port = (uint16_t)get_uint(tb[IPVS_DAEMON_ATTR_MCAST_PORT], 2);
	ret_daemon->mcast_ttl = (uint8_t)get_uint(tb[IPVS_DAEMON_ATTR_MCAST_TTL], 1);
	return 0;
}

int ipvs_get_info(const struct nlmsghdr *msg, struct ipvs_info *ret_info)
{
	const struct nlattr *top[IPVS_INFO_ATTR_MAX + 1];

	if (!parse_message(msg, top, IPVS_INFO_ATTR_MAX) ||
	    !has_uint(top[IPVS_INFO_ATTR_VERSION], 4))
		return -EBADMSG;
	ret_info->version = (uint32_t)get_uint(top[IPVS_INFO_ATTR_VERSION], 4);
	ret_info->conn_tab_size = (uint32_t)get_uint(top[IPVS_INFO_ATTR_CONN_TAB_SIZE], 4);
	return 0;
}
