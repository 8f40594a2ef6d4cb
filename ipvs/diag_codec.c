/* SPDX-License-Identifier: Apache-2.0 */
/* See diag_codec.h. */
#include <arpa/inet.h>
#include <string.h>
#include <linux/inet_diag.h>
#include <linux/sock_diag.h>
#include <netinet/tcp.h>

#include "diag_codec.h"

int diag_put_dump(struct nl_batch *batch, uint8_t family, uint8_t proto)
{
	struct inet_diag_req_v2 head = {
		.sdiag_family = family,
		.sdiag_protocol = proto,
		.idiag_states = 1U << (proto == IPPROTO_TCP ? TCP_LISTEN : TCP_CLOSE),
	};
	int rc = nl_batch_begin(batch, SOCK_DIAG_BY_FAMILY, 0, &head, sizeof(head));

	return rc < 0 ? rc : nl_batch_end(batch);
}

uint16_t diag_get_port(const struct nlmsghdr *msg)
{
	struct inet_diag_msg head;

	if (msg->nlmsg_type != SOCK_DIAG_BY_FAMILY || msg->nlmsg_len < NLMSG_HDRLEN + sizeof(head))
		return 0;
	memcpy(&head, (const uint8_t *)msg + NLMSG_HDRLEN, sizeof(head));
	return ntohs(head.id.idiag_sport);
}
