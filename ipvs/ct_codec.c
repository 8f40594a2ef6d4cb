/* SPDX-License-Identifier: Apache-2.0 */
/* See ct_codec.h. */
#include <arpa/inet.h>
#include <errno.h>
#include <string.h>
#include <linux/netfilter/nfnetlink.h>
#include <linux/netfilter/nfnetlink_conntrack.h>
#include <netlink/attr.h>

#include "ct_codec.h"

/* CTA_FILTER (Linux 5.8) is younger than the headers that this may be built with. */
#define ATTR_FILTER            25
#define ATTR_FILTER_ORIG_FLAGS 1
#define FILTER_FLAG_PROTO_NUM  (1U << 3) /* CTA_FILTER_F_CTA_PROTO_NUM */

static int begin(struct nl_batch *batch, int type, uint8_t family)
{
	struct nfgenmsg head = {.nfgen_family = family, .version = NFNETLINK_V0};

	return nl_batch_begin(batch, (uint16_t)(NFNL_SUBSYS_CTNETLINK << 8 | type), 0, &head,
			      sizeof(head));
}

int ct_put_dump(struct nl_batch *batch, uint8_t family, uint8_t proto)
{
	struct nlattr *nest, *inner;
	int rc = begin(batch, IPCTNL_MSG_CT_GET, family);

	if (rc < 0)
		return rc;
	nest = nl_nest_begin(batch, CTA_TUPLE_ORIG);
	inner = nl_nest_begin(batch, CTA_TUPLE_PROTO);
	nl_put_u8(batch, CTA_PROTO_NUM, proto);
	nl_nest_end(batch, inner);
	nl_nest_end(batch, nest);
	nest = nl_nest_begin(batch, ATTR_FILTER);
	nl_put_u32(batch, ATTR_FILTER_ORIG_FLAGS, FILTER_FLAG_PROTO_NUM);
	nl_nest_end(batch, nest);
	return nl_batch_end(batch);
}

static void put_tuple(struct nl_batch *batch, const struct kflow *flow)
{
	bool v4 = flow->orig_src.family == AF_INET;
	struct nlattr *tuple = nl_nest_begin(batch, CTA_TUPLE_ORIG);
	struct nlattr *part = nl_nest_begin(batch, CTA_TUPLE_IP);

	nl_put(batch, v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC, flow->orig_src.bytes,
	       addr_len(&flow->orig_src));
	nl_put(batch, v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST, flow->orig_dst.bytes,
	       addr_len(&flow->orig_dst));
	nl_nest_end(batch, part);
	part = nl_nest_begin(batch, CTA_TUPLE_PROTO);
	nl_put_u8(batch, CTA_PROTO_NUM, flow->proto);
	nl_put_u16(batch, CTA_PROTO_SRC_PORT, htons(flow->orig_sport));
	nl_put_u16(batch, CTA_PROTO_DST_PORT, htons(flow->orig_dport));
	nl_nest_end(batch, part);
	nl_nest_end(batch, tuple);
}

int ct_put_delete(struct nl_batch *batch, const struct kflow *flow)
{
	int rc = begin(batch, IPCTNL_MSG_CT_DELETE, flow->orig_src.family);

	if (rc < 0)
		return rc;
	put_tuple(batch, flow);
	nl_put_u32(batch, CTA_ID, htonl(flow->id));
	if (flow->zone)
		nl_put_u16(batch, CTA_ZONE, htons(flow->zone));
	return nl_batch_end(batch);
}

struct tuple {
	struct ip_addr src, dst;
	uint16_t sport, dport;
	uint8_t proto;
};

static bool get_addr(struct nlattr *attr, int family, struct ip_addr *ret_addr)
{
	int want = family == AF_INET ? 4 : 16;

	if (!attr || nla_len(attr) != want)
		return false;
	*ret_addr = addr_make(family, nla_data(attr));
	return true;
}

static bool get_u16(struct nlattr *attr, uint16_t *ret_value)
{
	uint16_t value_be;

	if (!attr || nla_len(attr) < (int)sizeof(value_be))
		return false;
	memcpy(&value_be, nla_data(attr), sizeof(value_be));
	*ret_value = ntohs(value_be);
	return true;
}

static bool parse_nest(struct nlattr *nest, struct nlattr **tb, int max)
{
	return nest && nla_parse(tb, max, nla_data(nest), nla_len(nest), NULL) == 0;
}

static bool get_tuple(struct nlattr *nest, int family, struct tuple *ret)
{
	struct nlattr *tb[CTA_TUPLE_MAX + 1], *ip[CTA_IP_MAX + 1], *proto[CTA_PROTO_MAX + 1];
	bool v4 = family == AF_INET;

	if (!parse_nest(nest, tb, CTA_TUPLE_MAX) || !parse_nest(tb[CTA_TUPLE_IP], ip, CTA_IP_MAX) ||
	    !parse_nest(tb[CTA_TUPLE_PROTO], proto, CTA_PROTO_MAX) || !proto[CTA_PROTO_NUM] ||
	    nla_len(proto[CTA_PROTO_NUM]) < 1)
		return false;
	ret->proto = *(uint8_t *)nla_data(proto[CTA_PROTO_NUM]);
	return get_addr(ip[v4 ? CTA_IP_V4_SRC : CTA_IP_V6_SRC], family, &ret->src) &&
	       get_addr(ip[v4 ? CTA_IP_V4_DST : CTA_IP_V6_DST], family, &ret->dst) &&
	       get_u16(proto[CTA_PROTO_SRC_PORT], &ret->sport) &&
	       get_u16(proto[CTA_PROTO_DST_PORT], &ret->dport);
}

static bool parse(const struct nlmsghdr *msg, uint8_t *ret_family, struct nlattr **tb)
{
	const size_t skip = NLMSG_HDRLEN + NLMSG_ALIGN(sizeof(struct nfgenmsg));
	struct nfgenmsg head;

	if (msg->nlmsg_len < skip || msg->nlmsg_type >> 8 != NFNL_SUBSYS_CTNETLINK)
		return false;
	memcpy(&head, (const uint8_t *)msg + NLMSG_HDRLEN, sizeof(head));
	*ret_family = head.nfgen_family;
	return (head.nfgen_family == AF_INET || head.nfgen_family == AF_INET6) &&
	       nla_parse(tb, CTA_MAX, (struct nlattr *)(uintptr_t)((const uint8_t *)msg + skip),
			 (int)(msg->nlmsg_len - skip), NULL) == 0;
}

bool ct_get_flow(const struct nlmsghdr *msg, struct kflow *ret_flow)
{
	struct nlattr *tb[CTA_MAX + 1];
	struct tuple orig, reply;
	uint32_t id_be = 0;
	uint8_t family;

	if (!parse(msg, &family, tb) || !get_tuple(tb[CTA_TUPLE_ORIG], family, &orig) ||
	    !get_tuple(tb[CTA_TUPLE_REPLY], family, &reply))
		return false;
	memset(ret_flow, 0, sizeof(*ret_flow));
	if (tb[CTA_ID] && nla_len(tb[CTA_ID]) >= (int)sizeof(id_be))
		memcpy(&id_be, nla_data(tb[CTA_ID]), sizeof(id_be));
	ret_flow->id = ntohl(id_be);
	get_u16(tb[CTA_ZONE], &ret_flow->zone);
	ret_flow->proto = orig.proto;
	ret_flow->orig_src = orig.src;
	ret_flow->orig_dst = orig.dst;
	ret_flow->orig_sport = orig.sport;
	ret_flow->orig_dport = orig.dport;
	ret_flow->reply_src = reply.src;
	ret_flow->reply_sport = reply.sport;
	return true;
}
