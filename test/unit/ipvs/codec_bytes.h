/* SPDX-License-Identifier: Apache-2.0 */
/* Netlink messages in tests of the codecs: made from hexadecimal text or from a batch without a
 * socket, each in memory of exactly its own length, so that a byte read behind it is found. */
#ifndef VIPD_TEST_CODEC_BYTES_H
#define VIPD_TEST_CODEC_BYTES_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <cmocka.h>
#include <stdlib.h>
#include <string.h>
#include <linux/netlink.h>

#include "conn.h"

/* The first `len` bytes of `bytes` as a message that says it is that long; len >= NLMSG_HDRLEN. */
static inline struct nlmsghdr *message_cut(const void *bytes, size_t len)
{
	struct nlmsghdr *msg = malloc(len);

	assert_non_null(msg);
	memcpy(msg, bytes, len);
	msg->nlmsg_len = (uint32_t)len;
	return msg;
}

static inline struct nlmsghdr *message_parse(const char *hex)
{
	size_t len = strlen(hex) / 2;
	uint8_t *bytes = malloc(len);

	assert_non_null(bytes);
	for (size_t i = 0; i < len; i++) {
		const char digits[] = {hex[2 * i], hex[2 * i + 1], '\0'};

		bytes[i] = (uint8_t)strtoul(digits, NULL, 16);
	}
	assert_int_equal(((struct nlmsghdr *)(void *)bytes)->nlmsg_len, len);
	return (struct nlmsghdr *)(void *)bytes;
}

/* Makes the length of the attribute that a cut went through fit again, and so on, `depth` levels
 * deep, in its nest: so that what is left is read as far as it goes, and the last of it is short.
 * `at`: the first attribute. */
static inline void message_fit(struct nlmsghdr *msg, size_t at, int depth)
{
	uint8_t *end = (uint8_t *)msg + msg->nlmsg_len;

	while (at + NLA_HDRLEN <= msg->nlmsg_len) {
		struct nlattr *attr = (void *)((uint8_t *)msg + at);

		if ((uint8_t *)attr + attr->nla_len > end) {
			attr->nla_len = (uint16_t)(end - (uint8_t *)attr);
			if (depth > 1)
				message_fit(msg, at + NLA_HDRLEN, depth - 1);
			return;
		}
		at += (size_t)NLA_ALIGN(attr->nla_len);
	}
}

/* A batch that is never sent. */
static inline struct nl_batch *batch_unsent(void)
{
	static struct nl_conn conn = {.family_type = 0x1c};
	struct nl_batch *batch = nl_batch_new(&conn);

	assert_non_null(batch);
	return batch;
}

/* Takes the only message out of the batch; `index` is what its encoder returned. */
static inline struct nlmsghdr *batch_take(struct nl_batch *batch, int index)
{
	const struct nlmsghdr *only = batch_only_message(batch);
	struct nlmsghdr *msg;

	assert_int_equal(index, 0);
	assert_non_null(only);
	msg = message_cut(only, only->nlmsg_len);
	nl_batch_reset(batch);
	return msg;
}

static inline void assert_same_message(const struct nlmsghdr *msg, const struct nlmsghdr *want)
{
	assert_int_equal(msg->nlmsg_len, want->nlmsg_len);
	assert_memory_equal((const uint8_t *)msg + NLMSG_HDRLEN,
			    (const uint8_t *)want + NLMSG_HDRLEN, want->nlmsg_len - NLMSG_HDRLEN);
}

#endif
