/* SPDX-License-Identifier: Apache-2.0 */
/* Dumps, one datagram at a time. The kernel makes the next datagram when the last is read, so a
 * reader that pauses holds nothing up and sees the table as it is then. */
#include <errno.h>

#include "conn.h"

int nl_dump_start(struct nl_batch *batch)
{
	struct nl_conn *conn = batch_conn(batch);
	struct nlmsghdr *request = batch_only_message(batch);
	int rc;

	if (!request)
		return -EINVAL;
	nl_dump_cancel(conn);
	request->nlmsg_seq = conn->dump_seq = ++conn->seq;
	request->nlmsg_flags |= NLM_F_DUMP;
	conn->counters.dumps++;
	rc = conn_send(conn, conn->dump, request, request->nlmsg_len);
	nl_batch_reset(batch);
	conn->dump_open = rc == 0;
	return rc;
}

int dump_take_datagram(const uint8_t *data, size_t len, uint32_t seq, nl_msg_fn fn, void *arg,
		       bool *ret_interrupted, bool *ret_done)
{
	const struct nlmsghdr *msg = NULL;
	size_t used = 0;

	while ((msg = conn_next_message(data, len, msg)) != NULL) {
		int rc = 0;

		used = (size_t)((const uint8_t *)msg - data) + NLMSG_ALIGN(msg->nlmsg_len);
		if (msg->nlmsg_seq != seq)
			continue;
		if ((msg->nlmsg_flags & NLM_F_DUMP_INTR) && ret_interrupted)
			*ret_interrupted = true;
		if (msg->nlmsg_type == NLMSG_DONE || msg->nlmsg_type == NLMSG_ERROR) {
			*ret_done = true;
			return conn_error_code(msg);
		}
		if (fn)
			rc = fn(msg, arg);
		if (rc < 0)
			return rc;
	}
	return used < len ? -EBADMSG : 1;
}

static int next_datagram(struct nl_conn *conn, nl_msg_fn fn, void *arg, bool *ret_interrupted)
{
	bool done = false;
	ssize_t n = conn_receive(conn, conn->dump);
	int rc;

	if (n < 0) {
		conn->dump_open = n == -ENOBUFS || n == -EMSGSIZE;
		if (n == -EAGAIN)
			return -EIO; /* a dump that ends without its end mark */
		return n == -EMSGSIZE ? -EBADMSG : (int)n;
	}
	rc = dump_take_datagram(conn->rx, (size_t)n, conn->dump_seq, fn, arg, ret_interrupted,
				&done);
	conn->dump_open = !done;
	return rc;
}

/* A dump that nobody finished would make the next request EBUSY: read it to its end. */
void nl_dump_cancel(struct nl_conn *conn)
{
	while (conn->dump_open)
		next_datagram(conn, NULL, NULL, NULL);
}

int nl_dump_next(struct nl_conn *conn, nl_msg_fn fn, void *arg, bool *ret_interrupted)
{
	int rc;

	if (!conn->dump_open)
		return -EINVAL;
	rc = next_datagram(conn, fn, arg, ret_interrupted);
	if (rc < 0)
		nl_dump_cancel(conn);
	return rc;
}
