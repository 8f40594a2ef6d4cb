/* SPDX-License-Identifier: Apache-2.0 */
/* sock_diag messages: which ports programs of this node wait at. Source: <linux/inet_diag.h>,
 * sock_diag(7). Pure. */
#ifndef VIPD_IPVS_DIAG_CODEC_H
#define VIPD_IPVS_DIAG_CODEC_H

#include "kernel.h"

/* A request for all sockets that wait: TCP ones that listen, others that are not connected. Index
 * or -errno. */
int diag_put_dump(struct nl_batch *batch, uint8_t family, uint8_t proto);
/* The port a socket waits at; 0 if the message is none, or it waits at none. */
uint16_t diag_get_port(const struct nlmsghdr *msg);

#endif
