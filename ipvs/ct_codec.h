/* SPDX-License-Identifier: Apache-2.0 */
/* ctnetlink messages: entries of connection tracking, as far as a balancer has to know them.
 * Source: <linux/netfilter/nfnetlink_conntrack.h>, net/netfilter/nf_conntrack_netlink.c. Pure. */
#ifndef VIPD_IPVS_CT_CODEC_H
#define VIPD_IPVS_CT_CODEC_H

#include "kernel.h"

/* A request for all entries of a family and protocol. The kernel filters by protocol from 5.8 on;
 * before that others come, too. Index or -errno. */
int ct_put_dump(struct nl_batch *batch, uint8_t family, uint8_t proto);
/* Removes the entry with this original direction and id. Index or -errno. */
int ct_put_delete(struct nl_batch *batch, const struct kflow *flow);
/* False if the message is no entry with ports in both directions. */
bool ct_get_flow(const struct nlmsghdr *msg, struct kflow *ret_flow);

#endif
