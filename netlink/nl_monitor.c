/* SPDX-License-Identifier: Apache-2.0 */
/* Notifications: a socket that listens to multicast groups. */
#include <errno.h>
#include <stddef.h>
#include <string.h>
#include <arpa/inet.h>
#include <linux/filter.h>
#include <netlink/socket.h>
#include <sys/socket.h>

#include "conn.h"
#include "util.h"

struct nl_monitor {
	struct nl_conn *conn; /* only its buffer and `change` socket are used */
	uint32_t own_port;
};

/* Our own changes are not queued at all: 10,000 bindings would be 10,000 datagrams to read. A
 * datagram has one cause, its first message names it. Packet filters read in network order. */
static int drop_own(struct nl_monitor *monitor, struct err *err)
{
	struct sock_filter code[] = {
		BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct nlmsghdr, nlmsg_pid)),
		BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, htonl(monitor->own_port), 0, 1),
		BPF_STMT(BPF_RET | BPF_K, 0),
		BPF_STMT(BPF_RET | BPF_K, UINT32_MAX),
	};
	struct sock_fprog program = {.len = ARRAY_SIZE(code), .filter = code};

	if (setsockopt(nl_monitor_fd(monitor), SOL_SOCKET, SO_ATTACH_FILTER, &program,
		       sizeof(program)) < 0)
		return err_set(err, -errno, "cannot filter netlink notifications: %s",
			       strerror(errno));
	return 0;
}

int nl_monitor_open(int protocol, const unsigned *groups, size_t n_groups,
		    const struct nl_conn *self, struct nl_monitor **ret_monitor, struct err *err)
{
	struct nl_monitor *monitor = calloc(1, sizeof(*monitor));
	int rc;

	if (!monitor)
		return err_set(err, -ENOMEM, "no memory for a netlink monitor");
	monitor->own_port = nl_socket_get_local_port(self->change);
	rc = nl_conn_open(protocol, &monitor->conn, err);
	if (rc == 0)
		rc = drop_own(monitor, err);
	for (size_t i = 0; i < n_groups && rc == 0; i++) {
		rc = nl_monitor_join(monitor, groups[i]);
		if (rc < 0)
			rc = err_set(err, rc, "cannot listen to netlink group %u: %s", groups[i],
				     strerror(-rc));
	}
	if (rc < 0) {
		nl_monitor_close(monitor);
		return rc;
	}
	*ret_monitor = monitor;
	return 0;
}

int nl_monitor_join(struct nl_monitor *monitor, unsigned group)
{
	int number = (int)group;

	return setsockopt(nl_monitor_fd(monitor), SOL_NETLINK, NETLINK_ADD_MEMBERSHIP, &number,
			  sizeof(number)) < 0
		       ? -errno
		       : 0;
}

void nl_monitor_close(struct nl_monitor *monitor)
{
	if (!monitor)
		return;
	nl_conn_close(monitor->conn);
	free(monitor);
}

int nl_monitor_fd(const struct nl_monitor *monitor)
{
	return nl_socket_get_fd(monitor->conn->change);
}

int nl_monitor_read(struct nl_monitor *monitor, nl_event_fn fn, void *arg)
{
	struct nl_conn *conn = monitor->conn;

	for (;;) {
		const struct nlmsghdr *msg = NULL;
		ssize_t n = conn_receive(conn, conn->change);

		if (n == -EAGAIN)
			return 0;
		if (n < 0)
			return (int)n;
		while ((msg = conn_next_message(conn->rx, (size_t)n, msg)) != NULL)
			fn(msg, arg);
	}
}
