/* SPDX-License-Identifier: Apache-2.0 */
/* See route_codec.h. */
#include <string.h>
#include <linux/if_addr.h>
#include <linux/rtnetlink.h>
#include <netlink/attr.h>

#include "route_codec.h"

static uint16_t verb_flags(enum kverb verb, int family)
{
	if (verb == KV_SET)
		return NLM_F_CREATE | NLM_F_REPLACE;
	/* appended, it may stand beside an address of the same value (taking over from kube-ipvs0);
	 * in IPv6 APPEND would make a multipath route instead (net/ipv6/ip6_fib.c) */
	return family == AF_INET ? NLM_F_CREATE | NLM_F_APPEND : NLM_F_CREATE | NLM_F_EXCL;
}

int route_put_binding(struct nl_batch *batch, enum kverb verb, const struct kbinding *binding,
		      int oif)
{
	const struct ip_addr *vip = &binding->vip;
	struct rtmsg head = {
		.rtm_family = vip->family,
		.rtm_dst_len = (uint8_t)(8 * addr_len(vip)),
		.rtm_table = RT_TABLE_LOCAL,
		.rtm_protocol = BINDING_PROTOCOL,
		.rtm_scope = RT_SCOPE_HOST,
		.rtm_type = RTN_LOCAL,
	};
	bool del = verb == KV_DEL;
	int rc = nl_batch_begin(batch, del ? RTM_DELROUTE : RTM_NEWROUTE,
				del ? 0 : verb_flags(verb, vip->family), &head, sizeof(head));

	if (rc < 0)
		return rc;
	nl_put(batch, RTA_DST, vip->bytes, addr_len(vip));
	nl_put_u32(batch, RTA_OIF, (uint32_t)oif);
	if (!del && addr_is_set(&binding->src))
		nl_put(batch, RTA_PREFSRC, binding->src.bytes, addr_len(&binding->src));
	return nl_batch_end(batch);
}

int route_put_dump(struct nl_batch *batch, int family)
{
	/* the kernel filters by table, protocol and type if NETLINK_GET_STRICT_CHK is on; else we
	 */
	struct rtmsg head = {
		.rtm_family = (uint8_t)family,
		.rtm_table = RT_TABLE_LOCAL,
		.rtm_protocol = BINDING_PROTOCOL,
		.rtm_type = RTN_LOCAL,
	};
	int rc = nl_batch_begin(batch, RTM_GETROUTE, 0, &head, sizeof(head));

	return rc < 0 ? rc : nl_batch_end(batch);
}

int route_put_addr_dump(struct nl_batch *batch)
{
	struct ifaddrmsg head = {.ifa_family = AF_UNSPEC};
	int rc = nl_batch_begin(batch, RTM_GETADDR, 0, &head, sizeof(head));

	return rc < 0 ? rc : nl_batch_end(batch);
}

/* The attributes behind a header of `size` bytes; false if there is not even that. */
static bool parse(const struct nlmsghdr *msg, void *head, size_t size, struct nlattr **tb, int max)
{
	const uint8_t *data = (const uint8_t *)msg + NLMSG_HDRLEN;
	size_t skip = NLMSG_HDRLEN + NLMSG_ALIGN(size);

	if (msg->nlmsg_len < skip)
		return false;
	memcpy(head, data, size);
	return nla_parse(tb, max, (struct nlattr *)(uintptr_t)((const uint8_t *)msg + skip),
			 (int)(msg->nlmsg_len - skip), NULL) == 0;
}

static bool get_addr(struct nlattr *attr, int family, struct ip_addr *ret_addr)
{
	int want = family == AF_INET ? 4 : 16;

	if (!attr || nla_len(attr) < want)
		return false;
	*ret_addr = addr_make(family, nla_data(attr));
	return true;
}

bool route_get_binding(const struct nlmsghdr *msg, struct kbinding *ret_binding)
{
	struct nlattr *tb[RTA_MAX + 1];
	struct rtmsg head;

	memset(ret_binding, 0, sizeof(*ret_binding));
	if (!parse(msg, &head, sizeof(head), tb, RTA_MAX) ||
	    (head.rtm_family != AF_INET && head.rtm_family != AF_INET6) ||
	    head.rtm_protocol != BINDING_PROTOCOL || head.rtm_type != RTN_LOCAL ||
	    head.rtm_dst_len != (head.rtm_family == AF_INET ? 32 : 128) ||
	    !get_addr(tb[RTA_DST], head.rtm_family, &ret_binding->vip))
		return false;
	get_addr(tb[RTA_PREFSRC], head.rtm_family, &ret_binding->src);
	return true;
}

bool route_get_gateway(const struct nlmsghdr *msg, struct ip_addr *ret_gateway)
{
	struct nlattr *tb[RTA_MAX + 1];
	struct rtmsg head;

	return parse(msg, &head, sizeof(head), tb, RTA_MAX) &&
	       (head.rtm_family == AF_INET || head.rtm_family == AF_INET6) &&
	       head.rtm_type == RTN_UNICAST &&
	       get_addr(tb[RTA_GATEWAY], head.rtm_family, ret_gateway);
}

bool route_get_addr(const struct nlmsghdr *msg, const int skip[2], struct ip_addr *ret_addr)
{
	struct nlattr *tb[IFA_MAX + 1];
	struct ifaddrmsg head;
	uint32_t flags;

	if (!parse(msg, &head, sizeof(head), tb, IFA_MAX) ||
	    (head.ifa_family != AF_INET && head.ifa_family != AF_INET6) ||
	    head.ifa_index == (unsigned)skip[0] || head.ifa_index == (unsigned)skip[1] ||
	    head.ifa_scope != RT_SCOPE_UNIVERSE)
		return false;
	flags = head.ifa_flags;
	if (tb[IFA_FLAGS] && nla_len(tb[IFA_FLAGS]) >= (int)sizeof(flags))
		memcpy(&flags, nla_data(tb[IFA_FLAGS]), sizeof(flags));
	if (flags & (IFA_F_TENTATIVE | IFA_F_DEPRECATED | IFA_F_DADFAILED) ||
	    (head.ifa_family == AF_INET6 && (flags & IFA_F_TEMPORARY)))
		return false;
	return get_addr(tb[IFA_LOCAL] ? tb[IFA_LOCAL] : tb[IFA_ADDRESS], head.ifa_family, ret_addr);
}
