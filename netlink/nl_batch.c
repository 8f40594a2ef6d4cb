/* SPDX-License-Identifier: Apache-2.0 */
/* Many messages in one send, errors matched by sequence number.
 *
 * The kernel works a datagram off in order inside sendmsg(), answers each failing message with its
 * sequence number, and a successful one only if asked to: so one ACK, on the last, tells that all
 * is through, and no answer means success. Messages are put together in place, byte by byte what
 * libnl's nla_put() and its kin make: those cost more than the kernel needs to do what the message
 * says, ten times as much with the copying. */
#include <errno.h>
#include <string.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>

#include "conn.h"

struct nl_batch {
	struct nl_conn *conn;
	bool failed; /* a put of the message in the making did not fit... */
	bool broken; /* ...and never will */
	size_t len, count;
	size_t message_len; /* of the message in the making, behind `len` */
	uint8_t *data;      /* NL_BATCH_BYTES */
};

struct nl_batch *nl_batch_new(struct nl_conn *conn)
{
	struct nl_batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return NULL;
	batch->conn = conn;
	batch->data = malloc(NL_BATCH_BYTES);
	if (!batch->data) {
		nl_batch_free(batch);
		return NULL;
	}
	return batch;
}

void nl_batch_free(struct nl_batch *batch)
{
	if (!batch)
		return;
	free(batch->data);
	free(batch);
}

struct nl_conn *batch_conn(const struct nl_batch *batch)
{
	return batch->conn;
}

void nl_batch_reset(struct nl_batch *batch)
{
	batch->len = batch->count = batch->message_len = 0;
	batch->failed = batch->broken = false;
}

/* The next `bytes` of the message, a multiple of 4; NULL if they do not fit. */
static inline uint8_t *reserve(struct nl_batch *batch, size_t bytes)
{
	uint8_t *at = batch->data + batch->len + batch->message_len;

	batch->failed |= bytes > NL_BATCH_BYTES - batch->len - batch->message_len;
	if (batch->failed)
		return NULL;
	batch->message_len += bytes;
	return at;
}

int nl_batch_begin(struct nl_batch *batch, uint16_t type, uint16_t flags, const void *header,
		   size_t header_len)
{
	struct nlmsghdr head = {
		.nlmsg_type = type == NL_TYPE_FAMILY ? batch->conn->family_type : type,
		.nlmsg_flags = flags | NLM_F_REQUEST,
	};
	uint8_t *at;

	batch->message_len = 0;
	batch->failed = batch->broken = false;
	at = reserve(batch, NLMSG_HDRLEN + NLMSG_ALIGN(header_len));
	if (!at)
		return 0; /* told at the end */
	memcpy(at, &head, sizeof(head));
	memcpy(at + NLMSG_HDRLEN, header, header_len);
	memset(at + NLMSG_HDRLEN + header_len, 0, NLMSG_ALIGN(header_len) - header_len);
	return 0;
}

static inline void put(struct nl_batch *batch, uint16_t attr, const void *data, size_t len)
{
	struct nlattr head = {.nla_len = (uint16_t)(NLA_HDRLEN + len), .nla_type = attr};
	uint8_t *at = reserve(batch, NLA_HDRLEN + NLA_ALIGN(len));

	if (!at)
		return;
	memcpy(at, &head, sizeof(head));
	memcpy(at + NLA_HDRLEN, data, len);
	memset(at + NLA_HDRLEN + len, 0, NLA_ALIGN(len) - len);
}

void nl_put(struct nl_batch *batch, uint16_t attr, const void *data, size_t len)
{
	if (len > UINT16_MAX - NLA_HDRLEN)
		batch->failed = batch->broken = true;
	else if (len)
		put(batch, attr, data, len);
	else
		put(batch, attr, "", 0);
}

void nl_put_u8(struct nl_batch *batch, uint16_t attr, uint8_t value)
{
	put(batch, attr, &value, sizeof(value));
}

void nl_put_u16(struct nl_batch *batch, uint16_t attr, uint16_t value)
{
	put(batch, attr, &value, sizeof(value));
}

void nl_put_u32(struct nl_batch *batch, uint16_t attr, uint32_t value)
{
	put(batch, attr, &value, sizeof(value));
}

void nl_put_u64(struct nl_batch *batch, uint16_t attr, uint64_t value)
{
	put(batch, attr, &value, sizeof(value));
}

void nl_put_string(struct nl_batch *batch, uint16_t attr, const char *text)
{
	nl_put(batch, attr, text, strlen(text) + 1);
}

struct nlattr *nl_nest_begin(struct nl_batch *batch, uint16_t attr)
{
	struct nlattr head = {.nla_len = NLA_HDRLEN, .nla_type = attr | NLA_F_NESTED};
	uint8_t *at = reserve(batch, NLA_HDRLEN);

	if (at)
		memcpy(at, &head, sizeof(head));
	return (struct nlattr *)(void *)at;
}

/* A nest with nothing in it is left out. */
void nl_nest_end(struct nl_batch *batch, struct nlattr *nest)
{
	const uint8_t *end = batch->data + batch->len + batch->message_len;
	size_t len = nest ? (size_t)(end - (const uint8_t *)nest) : 0;

	if (!nest)
		return;
	if (len == NLA_HDRLEN)
		batch->message_len -= NLA_HDRLEN;
	else if (len > UINT16_MAX)
		batch->failed = batch->broken = true;
	else
		nest->nla_len = (uint16_t)len;
}

int nl_batch_end(struct nl_batch *batch)
{
	uint32_t len = (uint32_t)batch->message_len;
	struct nlmsghdr *head = (struct nlmsghdr *)(void *)(batch->data + batch->len);

	batch->message_len = 0;
	if (batch->failed)
		return batch->broken || !batch->count ? -ENOMEM : -ENOSPC;
	head->nlmsg_len = len;
	batch->len += len;
	return (int)batch->count++;
}

size_t nl_batch_count(const struct nl_batch *batch)
{
	return batch->count;
}

size_t nl_batch_bytes(const struct nl_batch *batch)
{
	return batch->len;
}

struct nlmsghdr *batch_only_message(struct nl_batch *batch)
{
	return batch->count == 1 ? (struct nlmsghdr *)(void *)batch->data : NULL;
}

/* Numbers the messages; returns the index of the one that asks for the ACK: the last, but not the
 * end mark of an nfnetlink batch, which kernels before 6.10 do not acknowledge. */
static size_t number_messages(struct nl_batch *batch, uint32_t first_seq)
{
	struct nlmsghdr *last = NULL;
	size_t at = 0, index = 0, last_index = 0;

	while (at < batch->len) {
		struct nlmsghdr *head = (struct nlmsghdr *)(void *)(batch->data + at);

		head->nlmsg_seq = first_seq + (uint32_t)index;
		if (batch->conn->protocol != NETLINK_NETFILTER ||
		    head->nlmsg_type > NFNL_MSG_BATCH_END) {
			last = head;
			last_index = index;
		}
		at += NLMSG_ALIGN(head->nlmsg_len);
		index++;
	}
	if (last)
		last->nlmsg_flags |= NLM_F_ACK;
	return last_index;
}

/* Takes the answers in one datagram; true when the ACK, or the error in its place, was among them.
 */
static bool take_answers(struct nl_batch *batch, size_t len, uint32_t first_seq, size_t ack_index,
			 int *results)
{
	const struct nlmsghdr *msg = NULL;
	bool through = false;

	while ((msg = conn_next_message(batch->conn->rx, len, msg)) != NULL) {
		uint32_t index = msg->nlmsg_seq - first_seq;

		if (msg->nlmsg_type != NLMSG_ERROR || index >= batch->count)
			continue;
		results[index] = conn_error_code(msg);
		batch->conn->counters.errors += results[index] != 0;
		through |= index == ack_index;
	}
	return through;
}

int nl_batch_send(struct nl_batch *batch, int *ret_results)
{
	struct nl_conn *conn = batch->conn;
	uint32_t first_seq = conn->seq + 1;
	size_t ack_index;
	bool through = false, lost = false;
	int rc;

	if (!batch->count)
		return 0;
	memset(ret_results, 0, batch->count * sizeof(*ret_results));
	ack_index = number_messages(batch, first_seq);
	conn->seq += (uint32_t)batch->count;
	conn->counters.sends++;
	conn->counters.messages += batch->count;
	rc = conn_send(conn, conn->change, batch->data, batch->len);
	while (rc == 0 && !through) {
		ssize_t n = conn_receive(conn, conn->change);

		if (n == -ENOBUFS) {
			conn->counters.lost++;
			lost = true;
		} else if (n < 0) {
			break; /* all answers are there when sendmsg() returns: this one is lost */
		} else {
			through = take_answers(batch, (size_t)n, first_seq, ack_index, ret_results);
		}
	}
	for (size_t i = 0; i < batch->count && (rc < 0 || lost || !through); i++)
		if (!ret_results[i])
			ret_results[i] = rc < 0 ? rc : -EINPROGRESS;
	nl_batch_reset(batch);
	return rc < 0 ? rc : lost || !through ? -EINPROGRESS : 0;
}

int nl_batch_get(struct nl_batch *batch, nl_msg_fn fn, void *arg)
{
	struct nl_conn *conn = batch->conn;
	struct nlmsghdr *request = batch_only_message(batch);
	int rc, answer = -ENODATA;

	if (!request)
		return -EINVAL;
	if (conn->dump_open && conn->dump == conn->change)
		return -EBUSY;
	request->nlmsg_seq = ++conn->seq;
	request->nlmsg_flags |= NLM_F_ACK;
	conn->counters.dumps++;
	rc = conn_send(conn, conn->change, batch->data, batch->len);
	nl_batch_reset(batch);
	while (rc == 0) {
		const struct nlmsghdr *msg = NULL;
		ssize_t n = conn_receive(conn, conn->change);

		if (n < 0)
			return n == -EAGAIN ? -EINPROGRESS : (int)n;
		while ((msg = conn_next_message(conn->rx, (size_t)n, msg)) != NULL) {
			if (msg->nlmsg_seq != conn->seq)
				continue;
			if (msg->nlmsg_type == NLMSG_ERROR) {
				rc = conn_error_code(msg);
				return rc < 0 ? rc : answer;
			}
			answer = fn(msg, arg);
		}
	}
	return rc;
}
