/* SPDX-License-Identifier: Apache-2.0 */
/* rtnetlink messages of bindings (local routes) and of the node's addresses; rtnetlink(7). Pure. */
#ifndef VIPD_IPVS_ROUTE_CODEC_H
#define VIPD_IPVS_ROUTE_CODEC_H

#include "kernel.h"

/* Appends one message; its index or -errno. `oif` is the index of lo. */
int route_put_binding(struct nl_batch *batch, enum kverb verb, const struct kbinding *binding,
		      int oif);
int route_put_dump(struct nl_batch *batch, int family);
/* Index or -errno of an address dump. */
int route_put_addr_dump(struct nl_batch *batch);

/* RTM_NEWROUTE or RTM_DELROUTE: true if it is a binding (local, host-sized, protocol ours). */
bool route_get_binding(const struct nlmsghdr *msg, struct kbinding *ret_binding);
/* RTM_NEWROUTE: true if it leads to a gateway, whatever the table. */
bool route_get_gateway(const struct nlmsghdr *msg, struct ip_addr *ret_gateway);
/* RTM_NEWADDR: true if it is a global address of a link other than the two given (lo, kube-proxy's
 * own device; 0 = none), and not tentative, deprecated or temporary. */
bool route_get_addr(const struct nlmsghdr *msg, const int skip[2], struct ip_addr *ret_addr);

#endif
