/* SPDX-License-Identifier: Apache-2.0 */
/* Connections: opening, buffer sizes, raw send and receive. libnl makes and binds the sockets; the
 * bytes go past it, so that the kernel's errno arrives as it was. */
#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <linux/genetlink.h>
#include <netlink/attr.h>
#include <netlink/msg.h>

#include "conn.h"

/* The FORCE variants need CAP_NET_ADMIN and pass net.core.[rw]mem_max. */
static void set_buffer(int fd, int forced, int plain, int bytes)
{
	if (setsockopt(fd, SOL_SOCKET, forced, &bytes, sizeof(bytes)) < 0)
		setsockopt(fd, SOL_SOCKET, plain, &bytes, sizeof(bytes));
}

int conn_socket(int protocol, struct nl_sock **ret_sock, struct err *err)
{
	struct nl_sock *sock = nl_socket_alloc();
	int one = 1, fd, rc;

	if (!sock)
		return err_set(err, -ENOMEM, "no memory for a netlink socket");
	errno = 0;
	rc = nl_connect(sock, protocol);
	if (rc < 0) {
		int code = errno ? -errno : -EIO;

		nl_socket_free(sock);
		return err_set(err, code, "cannot open a netlink socket (protocol %d): %s",
			       protocol, nl_geterror(rc));
	}
	fd = nl_socket_get_fd(sock);
	set_buffer(fd, SO_SNDBUFFORCE, SO_SNDBUF, CONN_SOCKET_BYTES);
	set_buffer(fd, SO_RCVBUFFORCE, SO_RCVBUF, CONN_SOCKET_BYTES);
	/* an error answer then carries the header of its request alone (Linux 4.3) */
	setsockopt(fd, SOL_NETLINK, NETLINK_CAP_ACK, &one, sizeof(one));
	*ret_sock = sock;
	return 0;
}

static int open_sockets(int protocol, bool two, struct nl_conn **ret_conn, struct err *err)
{
	struct nl_conn *conn = calloc(1, sizeof(*conn));
	int rc;

	if (!conn)
		return err_set(err, -ENOMEM, "no memory for a netlink connection");
	conn->protocol = protocol;
	conn->rx = conn->room[0];
	rc = conn_socket(protocol, &conn->change, err);
	conn->dump = conn->change;
	if (rc == 0 && two) {
		conn->dump = NULL;
		rc = conn_socket(protocol, &conn->dump, err);
	}
	if (rc < 0) {
		nl_conn_close(conn);
		return rc;
	}
	*ret_conn = conn;
	return 0;
}

int nl_conn_open(int protocol, struct nl_conn **ret_conn, struct err *err)
{
	return open_sockets(protocol, true, ret_conn, err);
}

int nl_conn_open_reader(int protocol, struct nl_conn **ret_conn, struct err *err)
{
	return open_sockets(protocol, false, ret_conn, err);
}

int nl_conn_open_wire(const struct nl_wire *wire, void *ctx, struct nl_conn **ret_conn)
{
	struct nl_conn *conn = calloc(1, sizeof(*conn));

	if (!conn)
		return -ENOMEM;
	conn->rx = conn->room[0];
	conn->wire = wire;
	conn->wire_ctx = ctx;
	*ret_conn = conn;
	return 0;
}

void nl_conn_close(struct nl_conn *conn)
{
	if (!conn)
		return;
	if (conn->dump != conn->change)
		nl_socket_free(conn->dump);
	nl_socket_free(conn->change);
	free(conn);
}

/* The id in an answer to CTRL_CMD_GETFAMILY. */
static int take_family(const struct nlmsghdr *msg, void *arg)
{
	struct nlattr *tb[CTRL_ATTR_MAX + 1];
	uint16_t *ret_id = arg;

	if (msg->nlmsg_len < NLMSG_HDRLEN + GENL_HDRLEN ||
	    nlmsg_parse((struct nlmsghdr *)(uintptr_t)msg, GENL_HDRLEN, tb, CTRL_ATTR_MAX, NULL) ||
	    !tb[CTRL_ATTR_FAMILY_ID] || nla_len(tb[CTRL_ATTR_FAMILY_ID]) < 2)
		return -EBADMSG;
	*ret_id = nla_get_u16(tb[CTRL_ATTR_FAMILY_ID]);
	return 0;
}

static int look_up_family(struct nl_conn *conn, const char *family, uint16_t *ret_id)
{
	struct genlmsghdr head = {.cmd = CTRL_CMD_GETFAMILY, .version = 1};
	struct nl_batch *batch = nl_batch_new(conn);
	int rc;

	if (!batch)
		return -ENOMEM;
	nl_batch_begin(batch, GENL_ID_CTRL, 0, &head, sizeof(head));
	nl_put_string(batch, CTRL_ATTR_FAMILY_NAME, family);
	rc = nl_batch_end(batch);
	if (rc >= 0)
		rc = nl_batch_get(batch, take_family, ret_id);
	nl_batch_free(batch);
	return rc;
}

int nl_conn_bind_family(struct nl_conn *conn, const char *family, struct err *err)
{
	int rc = look_up_family(conn, family, &conn->family_type);

	if (rc == -ENOENT)
		return err_set(err, rc, "the kernel has no generic netlink family %s", family);
	if (rc < 0)
		return err_set(err, rc, "cannot look up the generic netlink family %s: %s", family,
			       strerror(-rc));
	return 0;
}

void nl_conn_counters(const struct nl_conn *conn, struct nl_counters *ret_counters)
{
	*ret_counters = conn->counters;
}

int conn_send(struct nl_conn *conn, struct nl_sock *sock, const void *data, size_t len)
{
	struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
	ssize_t n;

	if (conn->wire)
		return conn->wire->send(conn->wire_ctx, data, len);
	do {
		n = sendto(nl_socket_get_fd(sock), data, len, 0, (struct sockaddr *)&kernel,
			   sizeof(kernel));
	} while (n < 0 && errno == EINTR);
	return n < 0 ? -errno : 0;
}

/* How much was received, as conn_receive tells it. */
static ssize_t received(const struct msghdr *msg, unsigned len)
{
	const struct sockaddr_nl *from = msg->msg_name;

	if (from->nl_pid != 0)
		return 0;
	return msg->msg_flags & MSG_TRUNC ? -EMSGSIZE : (ssize_t)len;
}

/* A dump's end mark is a datagram of its own, there as soon as the one before it is read: a reader
 * takes both with one system call. */
ssize_t conn_receive(struct nl_conn *conn, struct nl_sock *sock)
{
	uint8_t *other = conn->room[conn->rx == conn->room[0]];
	struct sockaddr_nl from[2];
	struct iovec iov[] = {{conn->rx, CONN_RX_BYTES}, {other, CONN_RX_BYTES}};
	struct mmsghdr msgs[2] = {0};
	ssize_t ahead = conn->ahead;
	int n;

	if (conn->wire)
		return conn->wire->receive(conn->wire_ctx, conn->rx, CONN_RX_BYTES);
	if (ahead) {
		conn->ahead = 0;
		conn->rx = other;
		return ahead;
	}
	for (int i = 0; i < 2; i++)
		msgs[i].msg_hdr = (struct msghdr){.msg_name = &from[i],
						  .msg_namelen = sizeof(from[i]),
						  .msg_iov = &iov[i],
						  .msg_iovlen = 1};
	do {
		n = recvmmsg(nl_socket_get_fd(sock), msgs, conn->dump == conn->change ? 2 : 1,
			     MSG_DONTWAIT, NULL);
	} while (n < 0 && errno == EINTR);
	if (n < 0)
		return -errno;
	if (n == 2)
		conn->ahead = received(&msgs[1].msg_hdr, msgs[1].msg_len);
	return received(&msgs[0].msg_hdr, msgs[0].msg_len);
}

const struct nlmsghdr *conn_next_message(const uint8_t *data, size_t len,
					 const struct nlmsghdr *msg)
{
	size_t at = 0, left;
	struct nlmsghdr head;

	if (msg)
		at = (size_t)((const uint8_t *)msg - data) + NLMSG_ALIGN(msg->nlmsg_len);
	if (at >= len || len - at < sizeof(head))
		return NULL;
	left = len - at;
	memcpy(&head, data + at, sizeof(head));
	if (head.nlmsg_len < sizeof(head) || head.nlmsg_len > left)
		return NULL;
	return (const struct nlmsghdr *)(const void *)(data + at);
}

int conn_error_code(const struct nlmsghdr *msg)
{
	int code = 0;

	if (msg->nlmsg_len >= NLMSG_HDRLEN + sizeof(code))
		memcpy(&code, (const uint8_t *)msg + NLMSG_HDRLEN, sizeof(code));
	return code < 0 && code >= -4095 ? code : 0;
}
