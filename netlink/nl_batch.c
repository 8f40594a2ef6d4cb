/* SPDX-License-Identifier: Apache-2.0 */
/* Many messages in one send, errors matched by sequence number.
 *
 * The kernel works a datagram off in order inside sendmsg(), answers each failing message with its
 * sequence number, and a successful one only if asked to: so one ACK, on the last, tells that all
 * is through, and no answer means success. Each message is built by libnl and copied behind the
 * last. */
#include <errno.h>
#include <string.h>
#include <linux/netfilter/nfnetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include "conn.h"

struct nl_batch {
	struct nl_conn *conn;
	struct nl_msg *msg; /* being built; its memory serves all */
	bool failed;        /* a put did not fit */
	size_t len, count;
	uint8_t *data; /* NL_BATCH_BYTES */
};

struct nl_batch *nl_batch_new(struct nl_conn *conn)
{
	struct nl_batch *batch = calloc(1, sizeof(*batch));

	if (!batch)
		return NULL;
	batch->conn = conn;
	batch->data = malloc(NL_BATCH_BYTES);
	batch->msg = nlmsg_alloc_size(NL_BATCH_BYTES);
	if (!batch->data || !batch->msg) {
		nl_batch_free(batch);
		return NULL;
	}
	return batch;
}

void nl_batch_free(struct nl_batch *batch)
{
	if (!batch)
		return;
	nlmsg_free(batch->msg);
	free(batch->data);
	free(batch);
}

struct nl_conn *batch_conn(const struct nl_batch *batch)
{
	return batch->conn;
}

void nl_batch_reset(struct nl_batch *batch)
{
	batch->len = batch->count = 0;
	batch->failed = false;
}

int nl_batch_begin(struct nl_batch *batch, uint16_t type, uint16_t flags, const void *header,
		   size_t header_len)
{
	struct nlmsghdr *head = nlmsg_hdr(batch->msg);

	head->nlmsg_len = NLMSG_HDRLEN;
	head->nlmsg_type = type == NL_TYPE_FAMILY ? batch->conn->family_type : type;
	head->nlmsg_flags = flags | NLM_F_REQUEST;
	head->nlmsg_pid = 0;
	batch->failed =
		nlmsg_append(batch->msg, (void *)(uintptr_t)header, header_len, NLMSG_ALIGNTO) < 0;
	return batch->failed ? -ENOMEM : 0;
}

void nl_put(struct nl_batch *batch, uint16_t attr, const void *data, size_t len)
{
	batch->failed |= nla_put(batch->msg, attr, (int)len, data) < 0;
}

void nl_put_u8(struct nl_batch *batch, uint16_t attr, uint8_t value)
{
	nl_put(batch, attr, &value, sizeof(value));
}

void nl_put_u16(struct nl_batch *batch, uint16_t attr, uint16_t value)
{
	nl_put(batch, attr, &value, sizeof(value));
}

void nl_put_u32(struct nl_batch *batch, uint16_t attr, uint32_t value)
{
	nl_put(batch, attr, &value, sizeof(value));
}

void nl_put_u64(struct nl_batch *batch, uint16_t attr, uint64_t value)
{
	nl_put(batch, attr, &value, sizeof(value));
}

void nl_put_string(struct nl_batch *batch, uint16_t attr, const char *text)
{
	nl_put(batch, attr, text, strlen(text) + 1);
}

struct nlattr *nl_nest_begin(struct nl_batch *batch, uint16_t attr)
{
	struct nlattr *nest = nla_nest_start(batch->msg, attr | NLA_F_NESTED);

	batch->failed |= !nest;
	return nest;
}

void nl_nest_end(struct nl_batch *batch, struct nlattr *nest)
{
	if (nest)
		batch->failed |= nla_nest_end(batch->msg, nest) < 0;
}

int nl_batch_end(struct nl_batch *batch)
{
	const struct nlmsghdr *head = nlmsg_hdr(batch->msg);
	size_t len = NLMSG_ALIGN(head->nlmsg_len);

	if (batch->failed)
		return -ENOMEM;
	if (batch->len + len > NL_BATCH_BYTES)
		return -ENOSPC;
	memcpy(batch->data + batch->len, head, head->nlmsg_len);
	memset(batch->data + batch->len + head->nlmsg_len, 0, len - head->nlmsg_len);
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
