/* SPDX-License-Identifier: Apache-2.0 */
/* Notifications: a socket that listens to multicast groups. */
#include <errno.h>
#include <netlink/socket.h>

#include "conn.h"

struct nl_monitor {
	struct nl_conn *conn; /* only its buffer and `change` socket are used */
	uint32_t own_port;
};

int nl_monitor_open(int protocol, const unsigned *groups, size_t n_groups,
		    const struct nl_conn *self, struct nl_monitor **ret_monitor, struct err *err)
{
	struct nl_monitor *monitor = calloc(1, sizeof(*monitor));
	int rc;

	if (!monitor)
		return err_set(err, -ENOMEM, "no memory for a netlink monitor");
	monitor->own_port = nl_socket_get_local_port(self->change);
	rc = nl_conn_open(protocol, &monitor->conn, err);
	for (size_t i = 0; i < n_groups && rc == 0; i++) {
		rc = nl_socket_add_membership(monitor->conn->change, (int)groups[i]);
		if (rc < 0)
			rc = err_set(err, -EIO, "cannot listen to netlink group %u: %s", groups[i],
				     nl_geterror(rc));
	}
	if (rc < 0) {
		nl_monitor_close(monitor);
		return rc;
	}
	*ret_monitor = monitor;
	return 0;
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
			fn(msg, msg->nlmsg_pid == monitor->own_port, arg);
	}
}
