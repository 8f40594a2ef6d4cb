/* SPDX-License-Identifier: Apache-2.0 */
/* What the fuzzers of netlink decoders share: a datagram in, one message at a time out. */
#ifndef VIPD_TEST_FUZZ_MESSAGE_H
#define VIPD_TEST_FUZZ_MESSAGE_H

#include <stdlib.h>
#include <string.h>
#include <linux/netlink.h>

#include "conn.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* A broken promise is a finding, also where assertions are off. */
#define PROMISE(condition) ((condition) ? (void)0 : abort())

/* Takes a datagram apart as the transport does and hands out each message in memory of exactly its
 * own length, so that a byte read behind it is a finding. */
static inline void fuzz_each_message(const uint8_t *data, size_t size,
				     void (*fn)(const struct nlmsghdr *msg))
{
	const struct nlmsghdr *msg = NULL;
	uint8_t *datagram = malloc(size);

	if (!datagram)
		return;
	memcpy(datagram, data, size);
	while ((msg = conn_next_message(datagram, size, msg)) != NULL) {
		struct nlmsghdr *alone = malloc(msg->nlmsg_len);

		if (!alone)
			break;
		memcpy(alone, msg, msg->nlmsg_len);
		fn(alone);
		free(alone);
	}
	free(datagram);
}

/* A connection without a socket: enough for a batch to be filled. */
static inline struct nl_conn *fuzz_conn(void)
{
	static struct nl_conn conn = {.family_type = 0x1c};

	return &conn;
}

#endif
